import pytest
import torch
from scipy.stats import binomtest, norm
from torch import nn

from diffusion_tutorial import metrics
from diffusion_tutorial.data import digits


@pytest.mark.parametrize("right, n", [(0, 1), (1, 1), (0, 50), (50, 50), (1, 50), (23, 50), (950, 1000), (999, 1000)])
def test_wilson_equals_scipy(right, n):
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    exact = metrics.wilson(right, n, z=norm.ppf(0.975))
    assert exact == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = metrics.wilson(right, n)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-4)  # 1.96 is rounded
    assert 0 <= low <= right / n <= high <= 1


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
        return self.doubt(5 * nn.functional.one_hot((images[:, 0, 0, 0] * 10).round().long(), 10).float())


def numbered(labels: torch.Tensor) -> torch.Tensor:
    images = torch.zeros(len(labels), 1, 28, 28)
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


def test_nearest_finds_planted_copies(generator):
    among, _ = digits.load()
    among = among[::5]
    places = torch.tensor([3, 999, 500, 0])
    images = among[places].clone()
    images[2] += 0.05 * torch.randn(1, 28, 28, generator=generator)
    distance, found = metrics.nearest(images, among, k=3)
    assert torch.equal(found[:, 0], places) and distance.shape == found.shape == (4, 3)
    assert distance[[0, 1, 3], 0].max() < 1e-3 and distance[2, 0].item() == pytest.approx(0.05, rel=0.1)
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
        with pytest.raises(ValueError, match=r"finite pictures \(n, 1, 28, 28\), got shape"):
            metrics.predict(Reader(), bad)
    with pytest.raises(ValueError, match=r"one shape, got \(1, 28, 28\) and \(1, 28, 27\)"):
        metrics.nearest(images, images[..., :27])
    for k in (0, 5):
        with pytest.raises(ValueError, match=f"the 4 pictures to look among, got {k}"):
            metrics.nearest(images, images, k=k)
