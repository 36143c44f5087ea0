"""Editing on cases with a known answer: for Gaussian pictures the best denoiser, and every conditional, is exact."""

import pytest
import torch
from torch import Tensor

from diffusion_tutorial import editing, samplers
from diffusion_tutorial.forward import q_sample, q_step
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.schedules import cosine

ALPHA_BAR = cosine()
RHO = 0.9


def pair(rho: float = RHO, sigma: float = 0.3):
    """Pictures of two pixels, Gaussian with correlation rho: the exact eps_hat(x_t, t), whatever the condition."""
    cov = sigma**2 * torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)

    def denoiser(x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        a = ALPHA_BAR[t].view(-1, 1, 1)
        precision = torch.linalg.inv(a * cov + (1 - a) * torch.eye(2))
        x = x_t.flatten(1)[:, :, None].double()
        return (torch.sqrt(1 - a) * precision @ x).view(x_t.shape).to(x_t)

    return denoiser


def pictures(n: int, generator: torch.Generator) -> Tensor:
    """n pairs from the same Gaussian, (n, 1, 1, 2), inside [-1, 1]."""
    z = torch.randn(n, 2, generator=generator)
    pair = 0.3 * torch.stack([z[:, 0], RHO * z[:, 0] + (1 - RHO**2) ** 0.5 * z[:, 1]], 1)
    return pair.clamp(-1, 1).view(n, 1, 1, 2)


RIGHT = torch.tensor([[False, True]])  # the right pixel is missing


@pytest.mark.parametrize("resample", [1, 3])
@pytest.mark.parametrize("name", samplers.STEPS)
def test_known_pixels_come_back_exactly(name, resample, generator):
    x0 = pictures(5, generator)
    step = samplers.STEPS[name]
    out = editing.inpaint(
        pair(), x0, RIGHT, samplers.times(4), ALPHA_BAR, step=step, resample=resample, generator=generator
    )
    assert torch.equal(out[..., 0], x0[..., 0]) and not torch.isclose(out[..., 1], x0[..., 1]).any()


def test_repaint_comes_near_the_conditional_and_replacement_misses_it():
    """Given the left pixel the right one has mean rho * left; replacement lets the two halves disagree."""
    left = torch.tensor([-0.4, 0.4]).repeat_interleave(2000)
    x0 = torch.stack([left, torch.zeros_like(left)], 1).view(-1, 1, 1, 2)
    slope = {}
    for resample in (1, 10):
        seed = torch.Generator().manual_seed(1)
        out = editing.inpaint(pair(), x0, RIGHT, samplers.times(50), ALPHA_BAR, resample=resample, generator=seed)
        slope[resample] = ((out[:, 0, 0, 1] * left).mean() / left.square().mean()).item()
    assert RHO - 0.06 < slope[10] < RHO + 0.03 and slope[1] < RHO - 0.25


def test_the_known_part_is_noised_to_the_time_of_the_step(generator):
    x0 = torch.full((4000, 1, 1, 2), 0.5)  # of two pixels both may be light
    step = editing.inpaint_step(samplers.ddim_step, x0, RIGHT)
    t, s = (torch.full((4000,), time) for time in (800, 600))
    x_t = torch.randn(x0.shape, generator=generator)
    noise = torch.randn(x0.shape, generator=generator)
    x_s = step(samplers.moment(x_t, torch.zeros_like(x_t), t, s, ALPHA_BAR, noise, pair()))
    a, known = ALPHA_BAR[600].item(), x_s[..., 0]
    assert abs(known.mean().item() - 0.5 * a**0.5) < 0.05 and abs(known.var().item() - (1 - a)) < 0.05


def test_renoise_is_the_chain_of_q_step(generator):
    """Mean and variance of three single steps at once; over one step it is q_step."""
    x, n = torch.full((50_000, 1), 0.7, dtype=torch.float64), 50_000
    s, t = torch.full((n,), 500), torch.full((n,), 503)
    chain = x
    for k in (501, 502, 503):
        eps = torch.randn(n, 1, generator=generator, dtype=torch.float64)
        chain = q_step(chain, torch.full((n,), k), eps, ALPHA_BAR)
    eps = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    at_once = editing.renoise(x, s, t, eps, ALPHA_BAR)
    assert abs(chain.mean() - at_once.mean()) < 2e-3 and abs(chain.std() / at_once.std() - 1) < 0.02
    torch.testing.assert_close(editing.renoise(x, s, s + 1, eps, ALPHA_BAR), q_step(x, s + 1, eps, ALPHA_BAR))


def test_sdedit_goes_from_the_picture_to_a_new_one(generator):
    x0 = pictures(400, generator)
    change = []
    for strength in (0.0, 0.2, 0.5, 1.0):
        seed = torch.Generator().manual_seed(5)
        out = editing.sdedit(pair(), x0, strength, ALPHA_BAR, steps=40, generator=seed)
        assert out.shape == x0.shape and out is not x0
        change.append((out - x0).square().mean().sqrt().item())
    assert change[0] == 0 and change == sorted(change)
    both = torch.stack([out.flatten(), x0.flatten()])
    assert abs(torch.corrcoef(both)[0, 1]) < 0.1  # at full strength nothing of the picture is left


def test_inversion_is_undone_by_ddim_better_with_more_steps_and_exactly_at_the_fixed_point(generator):
    x0 = pictures(50, generator).double()

    def error(n: int, refine: int) -> float:
        times = samplers.times(n)
        path = editing.invert(pair(), x0, times, ALPHA_BAR, refine=refine)
        assert len(path) == n + 1 and torch.equal(path[-1], x0)
        x = path[0]
        for t, s in zip(times, times[1:]):
            t, s = torch.full((50,), t), torch.full((50,), s)
            x = samplers.ddim_step(samplers.moment(x, pair()(x, t), t, s, ALPHA_BAR, clip=None))
        return (x - x0).abs().max().item()

    coarse, fine = error(20, 0), error(200, 0)
    assert fine < coarse / 3 and error(200, 30) < fine / 1000


def test_inverted_gaussians_are_standard_noise(generator):
    x0 = pictures(4000, generator).double()
    x_T = editing.invert(pair(), x0, samplers.times(200), ALPHA_BAR, refine=5)[0].flatten(1)
    torch.testing.assert_close(torch.cov(x_T.T), torch.eye(2, dtype=torch.float64), atol=0.1, rtol=0)


def test_slerp_keeps_the_length_and_the_ends(generator):
    a, b = (torch.randn(3, 1, 16, 16, generator=generator) for _ in range(2))
    torch.testing.assert_close(editing.slerp(a, b, 0.0), a)
    torch.testing.assert_close(editing.slerp(a, b, 1.0), b)
    middle = editing.slerp(a, b, 0.5)
    assert (middle.flatten(1).norm(dim=1) / 16 - 1).abs().max() < 0.12
    assert (((a + b) / 2).flatten(1).norm(dim=1) / 16 - 0.71).abs().max() < 0.1  # the straight line falls short
    torch.testing.assert_close(editing.slerp(a, a, 0.3), a)


def test_an_edit_keeps_what_is_outside_the_mask_and_changes_inside(generator):
    """The condition shifts the mean of both pixels; only the one under the mask follows it."""
    plain = pair(rho=0.0)

    def denoiser(x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        mean = 0.0 if cond is None else cond.view(-1, 1, 1, 1)
        a = ALPHA_BAR[t].view(-1, 1, 1, 1).to(x_t)
        return plain(x_t - torch.sqrt(a) * mean, t)

    x0 = pictures(200, generator) - 0.4
    x0 = x0.clamp(-1, 1)
    source, target = torch.full((200,), -0.4), torch.full((200,), 0.4)
    arguments = (denoiser, x0, source, target, samplers.times(50), ALPHA_BAR)
    everywhere, masked = editing.edit(*arguments), editing.edit(*arguments, mask=RIGHT)
    assert torch.equal(masked[..., 0], x0[..., 0])
    for out, pixel in ((everywhere, 0), (everywhere, 1), (masked, 1)):
        assert (out[..., pixel] - x0[..., pixel] - 0.8).abs().mean() < 0.02
    same = editing.edit(denoiser, x0, source, source, samplers.times(5), ALPHA_BAR)
    assert torch.equal(same, x0)  # however coarse the steps: every error is taken off again
    near = editing.edit(*arguments, mask=RIGHT, paste=False)
    assert 0 < (near - x0)[..., 0].abs().max() < 0.02 and torch.equal(near[..., 1], masked[..., 1])


def test_a_guided_edit_keeps_what_both_conditions_agree_on(generator):
    """The guesses differ in the right pixel only; guidance moves it further, and the left one not at all."""
    plain = pair(rho=0.0)

    def denoiser(x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        shift = torch.zeros(len(x_t), 1, 1, 2)
        shift[..., 1] = 0.0 if cond is None else cond.view(-1, 1, 1)
        return plain(x_t - torch.sqrt(ALPHA_BAR[t].view(-1, 1, 1, 1).to(x_t)) * shift, t)

    denoiser.null_like = torch.zeros_like
    x0 = (pictures(50, generator) - 0.4).clamp(-1, 1)
    source, target = torch.full((50,), -0.4), torch.full((50,), 0.2)
    arguments = x0, source, target, samplers.times(20), ALPHA_BAR
    mild = editing.edit(denoiser, *arguments)
    strong = editing.edit(guide(denoiser, 1.5), *arguments, forward=denoiser)
    for out in (mild, strong):
        torch.testing.assert_close(out[..., 0], x0[..., 0])
    assert ((strong - mild)[..., 1] > 0.05).all()


def test_an_edit_asks_for_each_guess_once(generator):
    """The source at every time, at 1 in place of 0, where no network is trained; the target at every time but 0."""
    plain, asked = pair(rho=0.0), []

    def denoiser(x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        asked.append((t[0].item(), cond[0].item()))
        return plain(x_t, t)

    source, target = torch.zeros(3), torch.ones(3)
    editing.edit(denoiser, pictures(3, generator).clamp(-1, 1), source, target, samplers.times(5), ALPHA_BAR)
    times = [1000, 800, 600, 400, 200]
    assert sorted(asked) == sorted([(t, 0.0) for t in [*times, 1]] + [(t, 1.0) for t in times])


def test_where_to_edit_is_where_the_guesses_differ(generator):
    def denoiser(x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        eps_hat = 0.5 * x_t
        eps_hat[:, :, 10:14, 4:8] += cond.view(-1, 1, 1, 1)
        return eps_hat

    x0 = torch.full((2, 3, 24, 24), -0.1)
    source, target = torch.zeros(2), torch.tensor([1.0, -2.0])
    found = editing.where_to_edit(denoiser, x0, source, target, ALPHA_BAR, rounds=2, generator=generator)
    assert found.shape == (2, 1, 24, 24) and found.dtype == torch.bool and torch.equal(found[0], found[1])
    assert found[:, :, 10:14, 4:8].all()  # and a border around it
    assert not found[:, :, :5].any() and not found[:, :, 19:].any() and not found[..., 13:].any()
    nothing = editing.where_to_edit(denoiser, x0, source, source, ALPHA_BAR, rounds=1, generator=generator)
    assert not nothing.any()


def test_interpolation_begins_at_one_picture_and_ends_at_the_other(generator):
    a, b = pictures(40, generator).clamp(-1, 1), pictures(40, generator).clamp(-1, 1)
    ends = editing.interpolate(pair(), a, b, [0.0, 0.5, 1.0], samplers.times(100), ALPHA_BAR, refine=5)
    assert (ends[0] - a).abs().max() < 0.05 and (ends[2] - b).abs().max() < 0.05
    assert ends[1].shape == a.shape and (ends[1] - a).abs().mean() > 0.05

    def leans(x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return 0.5 * x_t + cond.view(-1, 1, 1, 1)

    conds = torch.zeros(40), torch.full((40,), 0.1)
    half = editing.interpolate(leans, a, a, [0.5], [1000, 500, 0], ALPHA_BAR, conds=conds)[0]
    alone = editing.interpolate(leans, a, a, [0.0, 1.0], [1000, 500, 0], ALPHA_BAR, conds=conds)
    assert all((half - one).abs().mean() > 1e-3 for one in alone)


@pytest.mark.parametrize(
    "mask",
    [
        torch.tensor([[0, 1], [1, 0]]),
        torch.tensor([[0.0, 1.0], [1.0, 0.0]]),
        torch.zeros(1, 2, 2, dtype=torch.bool),
        torch.zeros(3, 2, 2, dtype=torch.bool),
        torch.zeros(3, 1, 2, 2, dtype=torch.uint8),
        torch.zeros(1, 1, 2, 2),
    ],
)
def test_masks_in_every_form(mask):
    out = editing.as_mask(mask, torch.zeros(3, 1, 2, 2))
    assert out.dtype == torch.bool and out.shape in ((1, 1, 2, 2), (3, 1, 2, 2)) and int(out.sum()) == int(mask.sum())


@pytest.mark.parametrize(
    "mask, message",
    [
        (torch.zeros(3, 3), r"expected a mask of shape \(2, 2\).*got \(3, 3\)"),
        (torch.zeros(2, 2, 2), r"for pictures \(3, 1, 2, 2\), got \(2, 2, 2\)"),
        (torch.zeros(3, 2, 2, 2), r"got \(3, 2, 2, 2\)"),
        (torch.full((2, 2), 0.5), r"0 \(known\) and 1 \(to fill\), got 0.5 to 0.5"),
        (torch.full((2, 2), 255), "got 255 to 255"),
        (torch.full((2, 2), float("nan")), "got nan"),
    ],
)
def test_what_is_no_mask_is_refused(mask, message, as_learner):
    with pytest.raises(ValueError, match=message):
        editing.as_mask(mask, torch.zeros(3, 1, 2, 2))


@pytest.mark.parametrize(
    "x0, message",
    [
        (torch.zeros(1, 28, 28), r"\(batch, channels, height, width\).*got \(1, 28, 28\)"),
        (torch.full((1, 1, 1, 2), 255.0), r"in \[-1, 1\], got 255 to 255"),
        (torch.full((1, 1, 1, 2), float("nan")), r"in \[-1, 1\], got nan"),
        (torch.zeros(1, 1, 1, 2, dtype=torch.uint8), "of floats, got .*uint8"),
        (
            torch.linspace(0, 1, 64).view(1, 1, 8, 8),
            r"in \[-1, 1\], got 0 to 1, nothing darker than mid-grey; 2 x - 1 brings",
        ),
        (torch.tensor([[[[-1.0, 1.5]]]]), r"in \[-1, 1\], got -1 to 1.5$"),
        (torch.zeros(0, 1, 1, 2), r"at least one picture, .* got \(0, 1, 1, 2\)"),
        ("a cat", "of floats, got|as a tensor or an array, got str"),
    ],
)
def test_what_is_no_picture_is_refused(x0, message, as_learner):
    for call in (
        lambda: editing.inpaint(pair(), x0, RIGHT, [1000, 0], ALPHA_BAR),
        lambda: editing.sdedit(pair(), x0, 0.5, ALPHA_BAR),
        lambda: editing.invert(pair(), x0, [1000, 0], ALPHA_BAR),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_numbers_out_of_range_are_refused(generator, as_learner):
    x0 = pictures(2, generator)
    with pytest.raises(ValueError, match="resample >= 1, got 0"):
        editing.inpaint(pair(), x0, RIGHT, [1000, 0], ALPHA_BAR, resample=0)
    with pytest.raises(ValueError, match=r"strength from 0 \(keep\) to 1 \(forget\), got 1.5"):
        editing.sdedit(pair(), x0, 1.5, ALPHA_BAR)
    for times in ([0], [0, 10], [1000, 10], [10, 10, 0]):
        with pytest.raises(ValueError, match="expected times that fall to 0"):
            editing.invert(pair(), x0, times, ALPHA_BAR)
    with pytest.raises(ValueError, match="expected s < t"):
        t = torch.tensor([5, 5])
        editing.renoise(x0, t, t, x0, ALPHA_BAR)
    with pytest.raises(ValueError, match="two of the same shape"):
        editing.slerp(x0, x0[:1], 0.5)


def test_nothing_is_changed_that_was_handed_over(generator):
    x0 = pictures(3, generator)
    before = x0.clone()
    editing.inpaint(pair(), x0, RIGHT, [1000, 500, 0], ALPHA_BAR, resample=2, generator=generator)
    editing.sdedit(pair(), x0, 0.5, ALPHA_BAR, generator=generator)
    editing.edit(pair(), x0, None, None, [1000, 500, 0], ALPHA_BAR, mask=RIGHT)
    assert torch.equal(x0, before)
    assert q_sample(x0, torch.zeros(3, dtype=torch.long), x0, ALPHA_BAR).equal(x0)


@pytest.mark.parametrize("strength, calls, start", [(0.5, 10, 500), (0.2, 4, 200), (1.0, 20, 1000), (0.001, 1, 1)])
def test_sdedit_takes_its_share_of_the_steps(strength, calls, start, generator):
    plain, asked = pair(), []

    def denoiser(x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        asked.append(t[0].item())
        return plain(x_t, t)

    editing.sdedit(denoiser, pictures(2, generator), strength, ALPHA_BAR, steps=20, generator=generator)
    assert len(asked) == calls and asked[0] == start


def test_an_edit_asks_forward_about_the_source_and_the_denoiser_about_the_target(generator):
    asked = {"forward": [], "denoiser": []}

    def named(name: str, factor: float):
        def denoiser(x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
            asked[name].append(cond[0].item())
            return factor * pair()(x_t, t)

        return denoiser

    x0, source, target = pictures(3, generator), torch.zeros(3), torch.ones(3)
    arguments = (x0, source, target, samplers.times(5), ALPHA_BAR)
    out = editing.edit(named("denoiser", 1.1), *arguments, forward=named("forward", 1.0))
    assert set(asked["forward"]) == {0.0} and set(asked["denoiser"]) == {1.0}
    assert not torch.equal(out, editing.edit(named("denoiser", 1.1), *arguments))


def test_an_empty_batch_is_a_sentence_and_an_array_is_taken(as_learner):
    array = torch.full((1, 1, 1, 2), -0.5).numpy()
    assert torch.equal(editing.sdedit(pair(), array, 0.0, ALPHA_BAR), torch.as_tensor(array))
    x0, says = torch.zeros(0, 1, 1, 2), r"at least one picture.*got \(0, 1, 1, 2\)"
    calls = (
        lambda: editing.inpaint(pair(), x0, RIGHT, [1000, 0], ALPHA_BAR),
        lambda: editing.inpaint_step(samplers.ddpm_step, x0, RIGHT),
        lambda: editing.sdedit(pair(), x0, 0.5, ALPHA_BAR),
        lambda: editing.sdedit(pair(), x0, 0.0, ALPHA_BAR),
        lambda: editing.invert(pair(), x0, [1000, 0], ALPHA_BAR),
        lambda: editing.edit(pair(), x0, None, None, [1000, 0], ALPHA_BAR),
        lambda: editing.where_to_edit(pair(), x0, None, None, ALPHA_BAR),
        lambda: editing.interpolate(pair(), x0, x0, [0.5], [1000, 0], ALPHA_BAR),
    )
    for call in calls:
        with pytest.raises(ValueError, match=says):
            call()
