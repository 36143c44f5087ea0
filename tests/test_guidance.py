import copy
import math
import pickle

import numpy as np
import pytest
import torch

from diffusion_tutorial import pretrained
from diffusion_tutorial.exact import GaussianMixture
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser, Within, clip_of
from diffusion_tutorial.samplers import draw, heun_step, sample, times
from diffusion_tutorial.schedules import cosine

COSINE = cosine()
COND = torch.tensor([3, 1, 4])


class Noted:
    """A denoiser for labels 0..9 with 10 for "any", which notes what it is asked."""

    def __init__(self):
        self.calls = []

    def __call__(self, x_t, t, cond=None):
        self.calls.append((x_t, t, cond))
        label = torch.full_like(t, 10) if cond is None else cond
        return torch.sin((1 + label).view(-1, 1, 1, 1) * x_t) + t.view(-1, 1, 1, 1) / 1000

    def null_like(self, cond):
        return torch.full_like(cond, 10)


@pytest.fixture
def asked(generator):
    """x_t and t for three pictures, each at a time of its own."""
    return torch.randn(3, 1, 4, 4, generator=generator, dtype=torch.float64), torch.tensor([900, 500, 20])


@pytest.fixture(scope="module")
def small() -> Denoiser:
    """A network with small random weights: a new one would answer 0 to everything."""
    net, g = UNet(width=8), torch.Generator().manual_seed(3)
    for p in net.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=g)
    return Denoiser(net, COSINE, "v").eval()


@pytest.mark.parametrize("w", [-1.0, 0.1, 0.5, 1.5, 3.0, 7.5])
def test_the_formula(w, asked):
    model = Noted()
    cond, uncond = model(*asked, COND), model(*asked, torch.full((3,), 10))
    torch.testing.assert_close(guide(model, w)(*asked, COND), uncond + w * (cond - uncond), atol=1e-14, rtol=1e-14)


def test_w_1_is_the_model_itself_and_w_0_its_null_condition(asked, small, generator):
    for model, x in ((Noted(), asked[0]), (small, torch.randn(3, 1, 28, 28, generator=generator))):
        assert torch.equal(guide(model, 1)(x, asked[1], COND), model(x, asked[1], COND))
        null = model(torch.cat([x, x]), asked[1].repeat(2), torch.full((6,), 10))[3:]
        assert torch.equal(guide(model, 0)(x, asked[1], COND), null)
        assert (null - model(x, asked[1], COND)).abs().max() > 1e-3


def test_one_call_with_both_in_one_batch_and_half_of_it_where_there_is_nothing_to_do(asked):
    def calls(w, cond=COND, **options):
        model = Noted()
        guide(model, w, **options)(*asked, cond)
        return [len(x) for x, _, _ in model.calls]

    assert calls(3.0) == calls(0.0) == calls(3.0, interval=(500, 1000)) == [6]
    assert calls(1.0) == calls(1) == calls(3.0, interval=(21, 499)) == calls(3.0, cond=None) == [3]
    model = Noted()
    guide(model, 3.0)(*asked, COND)
    [(x, t, cond)] = model.calls
    assert torch.equal(x[:3], x[3:]) and torch.equal(t[:3], asked[1]) and torch.equal(t[3:], asked[1])
    assert cond.tolist() == [3, 1, 4, 10, 10, 10]


def test_a_walk_costs_a_call_a_step(small):
    model = Noted()
    x_T = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    draw(guide(model, 2.0, interval=(300, 800)), x_T, [1000, 800, 500, 300, 299, 0], COSINE, cond=COND)
    assert [len(x) for x, _, _ in model.calls] == [3, 6, 6, 6, 3]


def test_the_interval_acts_on_each_picture_by_its_own_t(asked):
    model, x, t = Noted(), asked[0], torch.tensor([900, 500, 20])
    full, plain = guide(model, 3.0)(x, t, COND), model(x, t, COND)
    for interval, acts in (
        ((500, 900), [True, True, False]),  # both ends belong to it
        ((21, 899), [False, True, False]),
        ((0, 20), [False, False, True]),
        ((20, 20), [False, False, True]),
        ((0, 1000), [True, True, True]),
        ((901, 1000), [False, False, False]),
    ):
        out = guide(model, 3.0, interval)(x, t, COND)
        for i in range(3):
            assert torch.equal(out[i], full[i] if acts[i] else plain[i]), (interval, i)  # outside bit for bit
    assert (full - plain).abs().amax((1, 2, 3)).min() > 1e-2


def test_negative_one_for_all_or_one_for_each(asked):
    model = Noted()
    cond = model(*asked, COND)
    for negative, away in (
        (torch.tensor(7), [7, 7, 7]),
        (torch.tensor([7]), [7, 7, 7]),
        (torch.tensor([7, 8, 10]), [7, 8, 10]),
    ):
        other = model(*asked, torch.tensor(away))
        out = guide(model, 2.5, negative=negative)(*asked, COND)
        torch.testing.assert_close(out, other + 2.5 * (cond - other), atol=1e-14, rtol=1e-14)
        assert model.calls[-1][2].tolist() == [3, 1, 4, *away]
        assert torch.equal(guide(model, 0, negative=negative)(*asked, COND), other)
    same = guide(model, 9.0, negative=COND)(*asked, COND)
    torch.testing.assert_close(same, cond)  # away from what it goes towards: nowhere


def test_negative_makes_do_without_a_null_condition_and_with_conditions_of_any_shape(asked):
    def described(x_t, t, cond):  # a condition is a row of three numbers
        return x_t + cond.sum(1).view(-1, 1, 1, 1)

    cond, negative = torch.arange(9.0).view(3, 3).double(), torch.tensor([1.0, 0.0, 0.0])
    for given in (negative, negative[None], negative.repeat(3, 1)):
        out = guide(described, 2.0, negative=given)(*asked, cond)
        torch.testing.assert_close(out, asked[0] + (2 * cond.sum(1) - 1).view(-1, 1, 1, 1))


@pytest.mark.parametrize("n", [1, 3, 4])
def test_captions_are_rows_of_tokens_and_one_negative_row_serves_all(n, generator):
    """Four tokens a caption; with four pictures, too, a single row is one for all and not a number for each."""

    class Reads:
        def __call__(self, x_t, t, cond=None):
            return x_t * (cond * torch.tensor([1000, 100, 10, 1])).sum(1).view(-1, 1, 1, 1).double()

        def null_like(self, cond):
            return torch.tensor([1, 0, 0, 0]).expand_as(cond)

    x, t, row = torch.ones(n, 1, 2, 2).double(), torch.full((n,), 500), torch.tensor([1, 2, 3, 4])
    cond = torch.arange(n)[:, None] + torch.tensor([1, 5, 6, 7])
    told = Reads()(x, t, cond)
    torch.testing.assert_close(guide(Reads(), 3.0)(x, t, cond), 1000 + 3 * (told - 1000))
    for negative in (row, row[None], row.repeat(n, 1)):
        torch.testing.assert_close(guide(Reads(), 3.0, negative=negative)(x, t, cond), 1234 + 3 * (told - 1234))
    with pytest.raises(ValueError, match=rf"negative conditions of shape \({n}, 4\), .* got \(2, 4\)"):
        guide(Reads(), 3.0, negative=row.repeat(2, 1))(x, t, cond)


def test_without_a_condition_the_answer_comes_as_it_is(asked, small, generator):
    model = Noted()
    assert torch.equal(guide(model, 3.0)(*asked), model(*asked))
    with pytest.raises(ValueError, match="give cond, the null condition for any picture"):
        guide(model, 3.0, negative=torch.tensor(7))(*asked)
    x = torch.randn(3, 1, 28, 28, generator=generator)
    assert torch.equal(guide(small, 3.0)(x, asked[1]), small(x, asked[1]))


def test_the_model_is_left_as_it_was(small, asked, generator):
    small.train()
    before = {name: value.clone() for name, value in small.state_dict().items()}
    hooks = (len(small._forward_hooks), len(small._forward_pre_hooks), set(vars(small)), set(vars(small.net)))
    x, cond = torch.randn(3, 1, 28, 28, generator=generator), COND.clone()
    kept = x.clone()
    out = guide(small, 3.0)(x, asked[1], cond)
    draw(guide(small, 3.0), x, times(2), COSINE, cond=cond)
    assert small.training and all(p.requires_grad and p.grad is None for p in small.parameters())
    assert hooks == (len(small._forward_hooks), len(small._forward_pre_hooks), set(vars(small)), set(vars(small.net)))
    after = small.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(x, kept) and torch.equal(cond, COND)
    assert out.requires_grad and torch.is_grad_enabled()  # it neither cuts a graph nor keeps autograd off
    small.eval()
    x.requires_grad_()
    guide(small, 3.0)(x, asked[1], cond).square().sum().backward()  # a learner may want to differentiate through it
    assert x.grad.isfinite().all() and x.grad.abs().max() > 0
    small.zero_grad()


def test_guides_can_be_used_side_by_side_and_keep_x_precision(asked):
    model = Noted()
    weak, strong = guide(model, 1.5), guide(model, 5.0)
    first = weak(*asked, COND)
    strong(*asked, COND)
    assert torch.equal(weak(*asked, COND), first)
    assert weak(asked[0].float(), asked[1], COND).dtype == torch.float32 and first.dtype == torch.float64


class TwoHeaps:
    """The best denoiser for label 0, label 1 and 2 ("either"), each heap a Gaussian and equally common."""

    clip = None

    def __init__(self, stds=(0.4, 0.4)):
        self.means = torch.tensor([[-0.8, 0.3], [0.9, -0.2]], dtype=torch.float64)
        self.stds = torch.tensor(stds, dtype=torch.float64)
        one = torch.ones(1, dtype=torch.float64)
        heaps = [GaussianMixture(one, self.means[[k]], self.stds[[k]]) for k in (0, 1)]
        heaps.append(GaussianMixture(one.repeat(2), self.means, self.stds))
        self.denoisers = [heap.denoiser(COSINE) for heap in heaps]

    def __call__(self, x_t, t, cond):
        answers = torch.stack([denoiser(x_t, t) for denoiser in self.denoisers])
        return answers[cond, torch.arange(len(x_t))]

    def null_like(self, cond):
        return torch.full_like(cond, 2)


@pytest.mark.parametrize("w", [0.0, 1.0, 2.0, 4.5])
@pytest.mark.parametrize("t", [30, 500, 950])
def test_guidance_between_two_gaussians_has_its_closed_form(w, t, generator):
    """With one std for both heaps eps_hat is sqrt(1 - a) / v (x - sqrt(a) m): guidance moves m, from the mean that is
    expected at x, r_0 m_0 + r_1 m_1, through the wanted mean and out on the other side."""
    heaps, label = TwoHeaps(), torch.tensor([0, 1, 1, 0])
    x = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    a = COSINE[t].item()
    v, (m_0, m_1) = a * 0.4**2 + 1 - a, heaps.means
    r_1 = torch.sigmoid(math.sqrt(a) * (x - math.sqrt(a) * (m_0 + m_1) / 2) @ (m_1 - m_0) / v)[:, None]
    either = (1 - r_1) * m_0 + r_1 * m_1
    m = either + w * (heaps.means[label] - either)
    exact = math.sqrt(1 - a) / v * (x - math.sqrt(a) * m)
    torch.testing.assert_close(guide(heaps, w)(x, torch.full((4,), t), label), exact, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("w", [0.5, 2.0, 3.0])
def test_moving_away_from_a_gaussian_is_dividing_by_it(w, generator):
    """p_1^w p_0^(1 - w) is a Gaussian again, of precision w / v_1 + (1 - w) / v_0: guided eps_hat is its score."""
    heaps, t = TwoHeaps((0.6, 0.3)), 300
    x, a = torch.randn(5, 2, generator=generator, dtype=torch.float64), COSINE[t].item()
    v = a * heaps.stds**2 + 1 - a
    precision = w / v[1] + (1 - w) / v[0]
    centre = math.sqrt(a) * (w / v[1] * heaps.means[1] + (1 - w) / v[0] * heaps.means[0]) / precision
    guided = guide(heaps, w, negative=torch.tensor(0))(x, torch.full((5,), t), torch.ones(5).long())
    torch.testing.assert_close(guided, math.sqrt(1 - a) * precision * (x - centre), atol=1e-12, rtol=1e-10)


def test_samples_end_beyond_the_wanted_heap(as_learner):
    """Away from heap 0 towards heap 1, of equal std: exactly the heap with the mean m_0 + w (m_1 - m_0)."""
    heaps, g = TwoHeaps(), torch.Generator().manual_seed(1)
    half = torch.randn(1000, 2, generator=g, dtype=torch.float64)
    x_T = torch.cat([half, -half])  # its mean is 0, and so is the sampling error of the mean
    chosen = times(60, 1000, "logsnr", COSINE)

    label, away = torch.ones(2000).long(), torch.tensor(0)
    x = draw(guide(heaps, 2.0, negative=away), x_T, chosen, COSINE, cond=label, step=heun_step)
    np.testing.assert_allclose(x.mean(0), 2 * heaps.means[1] - heaps.means[0], atol=5e-3)
    np.testing.assert_allclose(x.std(0), [0.4, 0.4], atol=0.02)


def test_the_shipped_digits():
    model, g = pretrained.load("digits"), torch.Generator().manual_seed(1)
    x_T, cond = torch.randn(3, 1, 28, 28, generator=g), COND
    pictures = {w: draw(guide(model, w), x_T, times(4), model.alpha_bar, cond=cond, step=heun_step) for w in (1, 3)}
    assert torch.equal(pictures[1], draw(model, x_T, times(4), model.alpha_bar, cond=cond, step=heun_step))
    assert pictures[3].isfinite().all() and pictures[3].abs().max() <= 1
    assert (pictures[3] - pictures[1]).abs().amax((1, 2, 3)).min() > 0.1  # each of the three is another picture
    states = list(sample(guide(model, 3.0), x_T, times(4), model.alpha_bar, cond=cond))
    assert torch.equal(states[1].eps_hat, guide(model, 3.0)(x_T, torch.full((3,), 1000), cond))


def test_bad_input(as_learner, asked):
    for w in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="finite guidance scale"):
            guide(Noted(), w)
    for interval in ((500, 400), (-1, 400)):
        with pytest.raises(ValueError, match="0 <= first <= last"):
            guide(Noted(), 2.0, interval=interval)
    with pytest.raises(ValueError, match="say by `negative` what to move away from"):
        guide(lambda x_t, t, cond=None: x_t, 2.0)
    for negative in (torch.tensor([1, 2]), torch.tensor([[1, 2, 3]]), torch.tensor([1, 2, 3, 4])):
        with pytest.raises(ValueError, match=r"negative .* \(3,\)"):
            guide(Noted(), 2.0, negative=negative)(*asked, COND)


def test_what_guidance_does_not_change_is_the_model_s(small):
    small.clip = 0.7
    try:
        for around in (guide(small, 2.0), Within(guide(small, 2.0), None), guide(Within(small, 0.7), 2.0)):
            assert around.alpha_bar is small.alpha_bar and torch.equal(around.null_like(COND), small.null_like(COND))
            assert around.device == small.device
        assert clip_of(guide(small, 2.0)) == clip_of(guide(guide(small, 2.0), 1.5)) == 0.7
        assert clip_of(Within(guide(small, 2.0), None)) is None
    finally:
        small.clip = 1.0
    with pytest.raises(AttributeError, match="Guided has no net; the denoiser within may: .denoiser.net"):
        guide(small, 2.0).net  # noqa: B018
    with pytest.raises(AttributeError):
        guide(small, 2.0).to("cpu")  # would be the model without guidance
    assert not hasattr(guide(Noted(), 2.0), "guess") and not hasattr(Within(Noted(), None), "guess")


def test_a_guided_guess_says_the_same_as_a_guided_answer(small, generator):
    x, t, guided = torch.randn(3, 1, 28, 28, generator=generator), torch.tensor([900, 500, 20]), guide(small, 3.0)
    x0_hat, eps_hat = guided.guess(x, t, COND)
    torch.testing.assert_close(eps_hat, guided(x, t, COND), atol=1e-5, rtol=1e-5)
    a = COSINE[t].float().view(-1, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * x0_hat + (1 - a).sqrt() * eps_hat, x, atol=1e-4, rtol=1e-4)
    assert (x0_hat - small.guess(x, t, COND).x0_hat).abs().max() > 1e-3


@pytest.mark.parametrize("w, again", [(2.0, 3.0), (1.5, 1.0), (0.0, 2.0)])
def test_guided_twice_the_scales_multiply(w, again, asked):
    twice, once = guide(guide(Noted(), w), again), guide(Noted(), w * again)
    torch.testing.assert_close(twice(*asked, COND), once(*asked, COND), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_stand_on_their_own(how, small, generator):
    x, t = torch.randn(3, 1, 28, 28, generator=generator), torch.tensor([900, 500, 20])
    for around in (guide(small, 2.0), Within(small, 0.5), guide(Within(small, 0.5), 2.0)):
        copied = how(around)
        assert type(copied) is type(around) and clip_of(copied) == clip_of(around)
        assert torch.equal(copied(x, t, COND), around(x, t, COND))
        assert torch.equal(copied.guess(x, t, COND).x0_hat, around.guess(x, t, COND).x0_hat)
    guided = guide(small, 2.0)
    copied = how(guided)
    copied.w = 5.0
    assert torch.equal(copied.guess(x, t, COND).eps_hat, guide(small, 5.0).guess(x, t, COND).eps_hat)


def test_labels_as_a_list_and_an_empty_batch(small, asked, as_learner, generator):
    assert torch.equal(guide(Noted(), 2.0)(*asked, [3, 1, 4]), guide(Noted(), 2.0)(*asked, COND))
    x = torch.randn(3, 1, 28, 28, generator=generator)
    assert torch.equal(guide(small, 2.0)(x, asked[1], [3, 1, 4]), guide(small, 2.0)(x, asked[1], COND))
    assert torch.equal(small(x, asked[1], [3, 1, 4]), small(x, asked[1], COND))
    for w in (1.0, 2.0):
        with pytest.raises(ValueError, match="at least one picture, got an empty batch"):
            guide(Noted(), w)(asked[0][:0], asked[1][:0], COND[:0])
    with pytest.raises(ValueError, match="expected a condition in numbers, .* got list"):
        small(x, asked[1], ["three", "one", "four"])
