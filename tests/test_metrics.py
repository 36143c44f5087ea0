import copy
import math
import statistics
import subprocess
import sys

import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import binom, binomtest, norm
from scipy.stats import t as student
from torch import nn

from diffusion_tutorial import metrics
from diffusion_tutorial.data import digits
from diffusion_tutorial.models.classifier import Classifier, SceneClassifier


@pytest.mark.parametrize("right, n", [(0, 1), (1, 1), (0, 50), (50, 50), (1, 50), (23, 50), (950, 1000), (999, 1000)])
def test_wilson_equals_scipy(right, n, monkeypatch):
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    low, high = metrics.wilson(right, n)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-4)  # 1.96 is rounded
    assert 0 <= low <= right / n <= high <= 1
    monkeypatch.setattr(metrics, "Z", norm.ppf(0.975))
    assert metrics.wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_covers_the_truth_95_times_in_100(generator):
    p, n = 0.9, 200
    rights = (torch.rand(4000, n, generator=generator) < p).sum(1).tolist()
    covered = [low <= p <= high for low, high in (metrics.wilson(right, n) for right in rights)]
    assert 0.93 < sum(covered) / len(covered) < 0.97


class Reader(nn.Module):
    """Reads the digit off the first pixel, with a doubt that dropout would make random in training mode."""

    def __init__(self):
        super().__init__()
        self.batches, self.doubt = [], nn.Dropout(0.5)

    def forward(self, images):
        self.batches.append(len(images))
        return self.doubt(5 * nn.functional.one_hot((images[:, 0, 0, 0].float() * 10).round().long(), 10).float())


def numbered(labels: torch.Tensor) -> torch.Tensor:
    images = -torch.ones(len(labels), 1, 28, 28)
    images[:, 0, 0, 0] = labels / 10
    return images


def test_label_accuracy_counts_what_is_read_back():
    labels = torch.arange(200) % 10
    images = numbered(labels)
    assert metrics.label_accuracy(Reader(), images, labels) == (1.0, *metrics.wilson(200, 200))
    wrong = labels.clone()
    wrong[:20] = (wrong[:20] + 1) % 10
    assert metrics.label_accuracy(Reader(), images, wrong) == (0.9, *metrics.wilson(180, 200))


def test_predict_gives_probabilities_in_order_batch_by_batch():
    labels = torch.arange(25) % 10
    reader = Reader().train()
    p = metrics.predict(reader, numbered(labels), batch=10)
    assert reader.batches == [10, 10, 5] and p.shape == (25, 10)
    torch.testing.assert_close(p.sum(1), torch.ones(25))
    assert torch.equal(p.argmax(1), labels) and not p.requires_grad


def test_grain_is_the_median_distance_from_the_neighbourhood(generator):
    images = torch.rand(3, 2, 7, 9, generator=generator) * 2 - 1
    for image, value in zip(images, metrics.grain(images)):
        apart = [
            abs(image[c, y, x] - image[c, y - 1 : y + 2, x - 1 : x + 2].mean()).item()
            for c in range(2)
            for y in range(1, 6)
            for x in range(1, 8)
        ]
        assert value.item() == pytest.approx(statistics.median(apart), abs=1e-6)


def test_grain_is_zero_where_colours_change_evenly_and_grows_with_the_noise(generator):
    even = torch.linspace(-0.5, 0.5, 48).expand(4, 3, 48, 48)
    assert metrics.grain(even).max() < 1e-6
    noise = torch.randn(even.shape, generator=generator)
    ones, twos = metrics.grain(even + 0.01 * noise), metrics.grain(even + 0.02 * noise)
    torch.testing.assert_close(twos, 2 * ones, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(ones, torch.full((4,), 0.01 * norm.ppf(0.75) * math.sqrt(8 / 9)), rtol=0.05, atol=0)


@pytest.mark.parametrize(
    "images", [torch.zeros(3, 48, 48), torch.zeros(1, 3, 2, 48), torch.full((1, 1, 3, 3), float("nan"))]
)
def test_what_has_no_grain_is_refused(images, as_learner):
    with pytest.raises(ValueError, match="expected"):
        metrics.grain(images)


@pytest.mark.parametrize("hits", [[True], [False, False], [True] * 7 + [False] * 13])
def test_a_share_has_its_wilson_interval(hits):
    right, n = sum(hits), len(hits)
    assert metrics.share(torch.tensor(hits)) == (right / n, *metrics.wilson(right, n))


def test_psnr_is_known_for_a_known_difference_and_agrees_with_torchmetrics(generator):
    from torchmetrics.functional.image import peak_signal_noise_ratio

    a = torch.rand(3, 2, 8, 8, generator=generator) - 0.5
    shift = torch.tensor([0.2, 0.02, 0.0]).view(3, 1, 1, 1)
    assert metrics.psnr(a, a + shift).tolist()[:2] == pytest.approx([20, 40], abs=1e-3)  # a tenth, a hundredth of 2
    assert metrics.psnr(a, a)[2] == float("inf")
    b = torch.rand(3, 2, 8, 8, generator=generator)
    expected = [peak_signal_noise_ratio(x, y, data_range=2.0).item() for x, y in zip(a, b)]
    assert metrics.psnr(a, b).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("pictures", [1, 3])
def test_psnr_counts_only_where_it_is_told_to(pictures, generator):
    a = torch.rand(3, 2, 8, 8, generator=generator) - 0.5
    where = torch.rand(pictures, 1, 8, 8, generator=generator) < 0.3
    b = torch.where(where, a + 0.2, a + 1)
    assert metrics.psnr(a, b, where).tolist() == pytest.approx([20] * 3, abs=1e-3)
    assert metrics.psnr(a, torch.where(where, a, b), where).isinf().all()
    assert metrics.psnr(a, b, torch.ones_like(where)).tolist() == pytest.approx(metrics.psnr(a, b).tolist())


@pytest.mark.parametrize(
    ("b", "where", "says"),
    [
        ((2, 1, 4, 5), None, "two sets of pictures of one shape, got (2, 1, 4, 4) and (2, 1, 4, 5)"),
        ((2, 1, 4, 4), torch.ones(4, 4, dtype=torch.bool), "of shape (2 or 1, 1, 4, 4) bool, got (4, 4)"),
        ((2, 1, 4, 4), torch.ones(1, 1, 4, 4), "got (1, 1, 4, 4) torch.float32"),
        ((2, 1, 4, 4), torch.arange(2).view(2, 1, 1, 1).expand(2, 1, 4, 4) > 0, "`where` leaves none in some"),
    ],
)
def test_psnr_says_what_is_wrong(b, where, says, as_learner):
    with pytest.raises(ValueError) as problem:
        metrics.psnr(torch.zeros(2, 1, 4, 4), torch.zeros(b), where)
    assert says in str(problem.value)


class SceneReader(nn.Module):
    """Reads subject, thing and place off the first three pixels, with a doubt that is random in training mode."""

    def __init__(self):
        super().__init__()
        self.batches, self.doubt = [], nn.Dropout(0.9)

    def forward(self, images):
        self.batches.append(len(images))
        said = (images[:, 0, 0, :3] * 20).round().long()
        return tuple(self.doubt(nn.functional.one_hot(said[:, i], n).float()) for i, n in enumerate((18, 18, 10)))


def scenes_of(attributes: torch.Tensor) -> torch.Tensor:
    images = -torch.ones(len(attributes), 3, 48, 48)
    images[:, 0, 0, :3] = attributes / 20
    return images


def test_scene_read_tells_for_each_attribute_whether_it_is_read_back():
    attributes = torch.tensor([[17, 0, 9], [3, 17, 0], [0, 5, 5], [8, 8, 8], [2, 1, 0]])
    reader = SceneReader().train()
    assert metrics.scene_read(reader, scenes_of(attributes), attributes, batch=2).all()
    assert reader.batches == [2, 2, 1]
    asked = attributes.clone()
    asked[0, 1], asked[2, 0], asked[2, 2] = 1, 1, 1
    right = metrics.scene_read(reader, scenes_of(attributes), asked)
    expected = torch.ones(5, 3, dtype=torch.bool)
    expected[0, 1] = expected[2, 0] = expected[2, 2] = False
    assert torch.equal(right, expected) and metrics.share(right.all(1))[0] == 0.6


def test_nearest_finds_planted_copies(generator):
    among, _ = digits.load()
    among = among[::5]
    places = torch.tensor([3, 999, 500, 0])
    images = among[places].clone()
    images[2] += 0.05 * torch.randn(1, 28, 28, generator=generator)
    distance, found = metrics.nearest(images, among, k=3)
    assert torch.equal(found[:, 0], places) and distance.shape == found.shape == (4, 3)
    assert (distance[[0, 1, 3], 0] == 0).all() and distance[2, 0].item() == pytest.approx(0.05, rel=0.1)
    assert (distance.diff(dim=1) >= 0).all() and (distance[:, 1] > 0.1).all()


def test_nearest_equals_the_definition_written_out(generator):
    images, among = torch.randn(6, 3, 4, 5, generator=generator), torch.randn(50, 3, 4, 5, generator=generator)
    by_hand = torch.stack([torch.stack([(x - y).square().mean().sqrt() for y in among]) for x in images])
    values, places = by_hand.sort(dim=1)
    distance, found = metrics.nearest(images, among, k=4)
    torch.testing.assert_close(distance, values[:, :4], atol=1e-5, rtol=1e-5)
    assert torch.equal(found, places[:, :4])
    black, white = -torch.ones(1, 1, 28, 28), torch.ones(1, 1, 28, 28)
    assert metrics.nearest(black, white)[0].item() == pytest.approx(2)


def test_nearest_is_the_same_batch_by_batch(generator):
    images, among = torch.randn(7, 1, 4, 4, generator=generator), torch.randn(9, 1, 4, 4, generator=generator)
    whole, parts = metrics.nearest(images, among, 2), metrics.nearest(images, among, 2, batch=3)
    torch.testing.assert_close(whole[0], parts[0])
    assert torch.equal(whole[1], parts[1])


def test_frechet_equals_the_equation_by_scipy(generator):
    x = torch.randn(300, 6, generator=generator) @ torch.randn(6, 6, generator=generator) + 1
    y = torch.randn(500, 6, generator=generator)
    C_1, C_2 = torch.cov(x.T.double()).numpy(), torch.cov(y.T.double()).numpy()
    mu = (x.double().mean(0) - y.double().mean(0)).numpy()
    expected = mu @ mu + (C_1 + C_2 - 2 * sqrtm(C_1 @ C_2).real).trace()
    assert metrics.frechet(x, y) == pytest.approx(expected, rel=1e-9)
    assert metrics.frechet(x, x) == pytest.approx(0, abs=1e-6)


def test_frechet_of_known_gaussians(generator):
    x, y = torch.randn(2, 200_000, 3, generator=generator)
    scale, shift = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([1.0, 0.0, -2.0])
    expected = (1 + 4) + ((scale - 1) ** 2).sum().item()  # |mu|^2 + sum (sigma_1 - sigma_2)^2
    assert metrics.frechet(x * scale + shift, y) == pytest.approx(expected, rel=0.02)
    small = [metrics.frechet(x[i * 50 : (i + 1) * 50], y) for i in range(20)]
    assert min(small) > metrics.frechet(x, y)  # a small sample looks worse than it is


def test_embed_asks_for_the_features_of_some_pictures_at_a_time(generator):
    images, asked = torch.randn(600, 1, 2, 2, generator=generator), []
    vectors = metrics.embed(lambda x: asked.append(len(x)) or x.flatten(1), images)
    assert asked == [500, 100] and torch.equal(vectors, images.flatten(1))


def precision_recall(x, r, k=3):
    pairs = (x, r), (r, x)
    return tuple(metrics.covered(a, b, metrics.radius(b, k)).float().mean().item() for a, b in pairs)


def test_precision_and_recall_equal_the_definition_written_out(generator):
    x, r = torch.randn(30, 4, generator=generator), 0.8 * torch.randn(40, 4, generator=generator) + 0.3

    def by_hand(points, centres):
        inside = 0
        for p in points:
            for c in centres:
                reach = sorted((c - other).norm().item() for other in centres)[2]  # [0] is itself
                if (p - c).norm().item() <= reach:
                    inside += 1
                    break
        return inside / len(points)

    assert precision_recall(x, r, k=2) == pytest.approx((by_hand(x, r), by_hand(r, x)))
    reach = metrics.radius(r, k=2, batch=7)
    assert torch.equal(metrics.covered(x, r, reach, batch=7), metrics.covered(x, r, metrics.radius(r, k=2)))


def test_dropped_modes_cost_recall_and_noise_costs_precision(generator):
    centres = 10 * torch.randn(5, 8, generator=generator)
    modes = torch.arange(1000) % 5
    real, good = (centres[modes] + torch.randn(1000, 8, generator=generator) for _ in range(2))
    dropped, noisy = good[modes < 2], good + 3 * torch.randn(1000, 8, generator=generator)
    (p, r), (p_dropped, r_dropped), (p_noisy, _) = (precision_recall(x, real) for x in (good, dropped, noisy))
    assert min(p, r) > 0.6
    assert abs(p_dropped - p) < 0.1 and r_dropped < 0.5 * r
    assert p_noisy < 0.3 * p


def test_jackknife_of_a_mean_is_the_textbook_interval(generator):
    x = torch.randn(20, generator=generator, dtype=torch.float64)
    value, low, high = metrics.jackknife(lambda part: part.mean().item(), x)
    half = round(student.ppf(0.975, 19), 2) * (x.std() / math.sqrt(20)).item()
    assert (value, low, high) == pytest.approx((x.mean().item(), value - half, value + half))


def test_jackknife_covers_where_the_frechet_distance_falls(generator):
    x, y = 1.2 * torch.randn(40, 200, 3, generator=generator), torch.randn(2000, 3, generator=generator)
    intervals = [metrics.jackknife(lambda part: metrics.frechet(part, y), sample) for sample in x[:20]]
    typical = sum(metrics.frechet(sample, y) for sample in x) / len(x)
    assert sum(low <= typical <= high for _, low, high in intervals) >= 16


def test_jackknife_groups_do_not_follow_labels_in_turn():
    labels = torch.arange(200) % 10  # as `sample digits` orders them
    seen = []
    metrics.jackknife(lambda part: seen.append(len(part.unique())) or 0.0, labels.float())
    assert seen == [10] * 21 and metrics.jackknife(lambda part: part.mean().item(), labels.float())[2] < 6


@pytest.mark.parametrize("n", [1, 2, 20, 101, 1000])
def test_median_and_its_interval_from_ranks(n, generator):
    values = torch.randperm(n, generator=generator).double()  # a value is its own rank, from 0
    middle, low, high = metrics.median(values)
    assert middle == (n - 1) / 2 and 0 <= low <= middle <= high <= n - 1
    if n >= 20:
        assert 0.95 <= binom.cdf(high, n, 0.5) - binom.cdf(low, n, 0.5) < 0.99


def test_torchmetrics_is_loaded_only_when_it_is_used():
    script = "import sys; from diffusion_tutorial import metrics, cli; print('torchmetrics' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "False"


@pytest.fixture
def judges() -> tuple[Classifier, SceneClassifier]:
    torch.manual_seed(0)
    return Classifier(), SceneClassifier()


def test_a_judge_keeps_its_mode_and_learns_nothing_while_it_reads(judges, generator):
    """What it says does not depend on the mode that it is in, part by part, and BatchNorm's statistics stay."""
    digit, scene = judges
    images, pictures = torch.randn(4, 1, 28, 28, generator=generator), torch.randn(4, 3, 48, 48, generator=generator)
    asked = torch.zeros(4, 3, dtype=torch.int64)
    for net, measure in (
        (digit, lambda: metrics.predict(digit, images)),
        (digit, lambda: metrics.embed(digit.features, images)),
        (digit, lambda: metrics.embed(digit, images)),
        (scene, lambda: metrics.embed(scene.features, pictures)),
        (scene, lambda: metrics.scene_read(scene, pictures, asked)),
    ):
        expected = (net.eval(), measure())[1]
        before = copy.deepcopy(net.state_dict())
        net.train()
        net.head.eval()
        assert torch.equal(measure(), expected)
        assert net.training and net.body.training and not net.head.training
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_judge_keeps_its_mode_when_it_fails():
    reader = Reader().train()
    with pytest.raises(ZeroDivisionError), metrics.in_use(reader):
        assert not reader.training and not reader.doubt.training
        raise ZeroDivisionError
    assert reader.training and reader.doubt.training


def test_arrays_lists_and_other_precisions_are_read_alike(judges, as_learner, generator):
    digit, scene = judges
    labels = torch.arange(20) % 10
    images = numbered(labels)
    for given in (images.numpy(), images.double(), images.bfloat16(), images.tolist(), images.numpy()[::-1][::-1]):
        assert metrics.label_accuracy(Reader(), given, labels.tolist())[0] == 1
    assert metrics.label_accuracy(Reader(), images, labels.numpy())[0] == 1
    attributes = torch.tensor([[17, 0, 9], [3, 17, 0]])
    assert metrics.scene_read(SceneReader(), scenes_of(attributes).numpy(), attributes.tolist()).all()
    for given in (images.numpy(), images.double()):
        torch.testing.assert_close(metrics.predict(digit, given), metrics.predict(digit, images))
        torch.testing.assert_close(metrics.embed(digit.features, given), metrics.embed(digit.features, images))
    own = copy.deepcopy(digit).double()
    torch.testing.assert_close(metrics.predict(own, images).float(), metrics.predict(digit, images))


def test_pictures_in_0_to_1_are_refused_in_place_of_a_number(judges, as_learner):
    """0.10 of digits in [0, 1] are read back, 0.996 of the same in [-1, 1]: nobody would see why."""
    digit, scene = judges
    images, labels = (x[::50] for x in digits.load())
    for wrong in ((images + 1) / 2, (images + 1) * 127.5, torch.zeros_like(images)):
        for measure, more in (
            (metrics.label_accuracy, [labels]),
            (metrics.predict, []),
            (lambda judge, images: metrics.embed(judge.features, images), []),
        ):
            with pytest.raises(ValueError, match=r"expected pictures in \[-1, 1\], got 0 to (0|1|255), nothing darker"):
                measure(digit, wrong, *more)
    with pytest.raises(ValueError, match=r"in \[-1, 1\], got 0.2 to 0.2, nothing darker than mid-grey; 2 x - 1 brings"):
        metrics.scene_read(scene, torch.full((2, 3, 48, 48), 0.2), torch.zeros(2, 3, dtype=torch.int64))
    assert metrics.predict(digit, 100 * images).shape == (100, 10)  # a sample may fly away, and is read as it is
    with pytest.raises(ValueError, match="expected labels in 0..9, got -1 to 9"):
        metrics.label_accuracy(digit, images, torch.where(labels == 0, -1, labels))


def test_an_empty_set_gets_a_sentence(judges, as_learner):
    (digit, scene), none = judges, torch.zeros(0, 1, 28, 28)
    vectors, asked = torch.zeros(3, 2), torch.zeros(0, 3, dtype=torch.int64)
    for call in (
        lambda: metrics.predict(digit, none),
        lambda: metrics.label_accuracy(digit, none, []),
        lambda: metrics.scene_read(scene, torch.zeros(0, 3, 48, 48), asked),
        lambda: metrics.embed(digit.features, none),
        lambda: metrics.nearest(none, torch.zeros(2, 1, 28, 28)),
        lambda: metrics.nearest(torch.zeros(2, 1, 28, 28), none),
        lambda: metrics.psnr(none, none),
        lambda: metrics.radius(vectors[:0]),
        lambda: metrics.radius(vectors[:1]),
        lambda: metrics.covered(vectors[:0], vectors, torch.ones(3)),
        lambda: metrics.covered(vectors, vectors[:0], torch.ones(0)),
    ):
        with pytest.raises(ValueError, match="expected .* got|k from 1 to the 0 pictures") as problem:
            call()
        assert "\n" not in str(problem.value) and "-1" not in str(problem.value)


def test_bad_vectors(as_learner, generator):
    x, images = torch.randn(30, 4, generator=generator), torch.randn(30, 1, 4, 4, generator=generator)
    with pytest.raises(ValueError, match=r"one length on each side, got \(30, 1, 4, 4\).*; `embed` makes them"):
        metrics.frechet(images, images)
    with pytest.raises(ValueError, match=r"got \(30, 4\) and \(30, 3\)"):
        metrics.frechet(x, x[:, :3])
    for some in ((x[:1], x), (x, x[:1])):
        with pytest.raises(ValueError, match=r"at least two .* got .*\(1, 4\)"):
            metrics.frechet(*some)
    for some in ((x * torch.nan, x), (x, x * torch.inf)):
        with pytest.raises(ValueError, match="NaN or infinity"):
            metrics.frechet(*some)
    for k in (0, 30):
        with pytest.raises(ValueError, match=f"k from 1 to 29, .* got {k}"):
            metrics.radius(x, k)
    with pytest.raises(ValueError, match="at least 20 pictures, one for each group, got 3"):
        metrics.jackknife(lambda part: 0.0, x[:3])
    with pytest.raises(ValueError, match="at least one value"):
        metrics.median(x[:0, 0])


def test_bad_input(as_learner):
    images, labels = numbered(torch.arange(4)), torch.arange(4)
    for right, n in [(3, 2), (-1, 2), (0, 0)]:
        with pytest.raises(ValueError, match=f"got right = {right} and n = {n}"):
            metrics.wilson(right, n)
    with pytest.raises(ValueError, match=r"a label for each, got 4 pictures, labels \(3,\)"):
        metrics.label_accuracy(Reader(), images, labels[:3])
    with pytest.raises(ValueError, match="got 0 pictures"):
        metrics.label_accuracy(Reader(), images[:0], labels[:0])
    for bad in (images * torch.nan, images[:, 0], images[..., :27]):
        with pytest.raises(ValueError, match=r"picture, \(batch, 1, 28, 28\) of floats, got|in \[-1, 1\], got nan"):
            metrics.predict(Reader(), bad)
    attributes = torch.zeros(4, 3, dtype=torch.int64)
    pictures = scenes_of(attributes)
    for bad in (pictures * torch.nan, pictures[:, :1], pictures[..., :32]):
        with pytest.raises(ValueError, match=r"picture, \(batch, 3, 48, 48\) of floats, got|in \[-1, 1\], got nan"):
            metrics.scene_read(SceneReader(), bad, attributes)
    for bad in (attributes[:3], attributes[:, :2], attributes[0]):
        with pytest.raises(ValueError, match=r"\(subject, thing, place\) for 4 pictures, got \("):
            metrics.scene_read(SceneReader(), pictures, bad)
    with pytest.raises(ValueError, match="got right = 0 and n = 0"):
        metrics.share(torch.zeros(0, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"one shape, got \(1, 28, 28\) and \(1, 28, 27\)"):
        metrics.nearest(images, images[..., :27])
    for k in (0, 5):
        with pytest.raises(ValueError, match=f"the 4 pictures to look among, got {k}"):
            metrics.nearest(images, images, k=k)
