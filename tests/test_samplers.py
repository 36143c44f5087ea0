import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from diffusion_tutorial.exact import GaussianMixture
from diffusion_tutorial.forward import q_posterior
from diffusion_tutorial.samplers import STEPS, ddpm_step, draw, sample, times
from diffusion_tutorial.schedules import cosine, linear, zero_terminal_snr

LINEAR, COSINE = linear(), cosine()


def model(x_t, t, cond=None):
    """Some denoiser, in any precision: not a good one, so that clipping has something to do."""
    return torch.tanh(1.3 * x_t) * (0.3 + 0.7 * t.view(-1, *[1] * (x_t.ndim - 1)).to(x_t) / 1000) + 0.1 * x_t.flip(-1)


def test_times():
    assert times(1000) == list(range(1000, -1, -1))
    assert times(4) == [1000, 750, 500, 250, 0]
    assert times(1) == [1000, 0] and times(3, T=10) == [10, 7, 3, 0]
    for n in (7, 50, 333, 999):
        chosen = times(n)
        assert len(chosen) == n + 1 and chosen[0] == 1000 and chosen[-1] == 0
        gaps = [t - s for t, s in zip(chosen, chosen[1:])]
        assert min(gaps) >= 1 and max(gaps) - min(gaps) <= 1


# Where diffusers means the same: its "fixed_small" variance is the posterior's (ours); its clip_sample clips x0_hat to
# [-1, 1] (ours); it calls our t its t - 1. Two differences, pinned below:
# - it keeps its tables in float32, so 1 - alpha_bar_t has lost digits near t = 0: with its own tables the two agree to
#   1e-3, and with our float64 ones, put in the same place, to 1e-5 and far better;
# - "trailing" spacing is our `times` where n divides T; elsewhere the two round differently, so the times are handed over.
def diffusers_steps(alpha_bar, clip: bool, chosen: list[int], exact: bool, **schedule):
    scheduler = DDPMScheduler(variance_type="fixed_small", clip_sample=clip, timestep_spacing="trailing", **schedule)
    scheduler.set_timesteps(timesteps=[t - 1 for t in chosen[:-1]])
    if exact:
        scheduler.alphas_cumprod, scheduler.one = alpha_bar[1:], torch.ones((), dtype=torch.float64)
    return scheduler


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize(
    "alpha_bar, name", [(LINEAR, "linear"), (COSINE, "squaredcos_cap_v2")], ids=["linear", "cosine"]
)
@pytest.mark.parametrize(
    "exact, tolerance, n",
    [(True, 1e-5, 1000), (True, 1e-5, 50), (True, 1e-5, 7), (False, 1e-3, 250), (False, 1e-3, 7)],
    ids=lambda value: (
        {True: "float64 tables", False: "its own tables"}.get(value) if isinstance(value, bool) else str(value)
    ),
)
def test_ddpm_equals_diffusers(clip, alpha_bar, name, exact, tolerance, n, as_learner):
    if name == "squaredcos_cap_v2" and not clip:
        alpha_bar = alpha_bar.clone()  # without clipping, 1 / sqrt(alpha_bar_T) = 20,000 would blow rounding up
        chosen = [900, *[t for t in times(n) if t < 900]]
    else:
        chosen = times(n)
    scheduler = diffusers_steps(alpha_bar, clip, chosen, exact, beta_schedule=name)
    x_T = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    g, theirs, seen = torch.Generator().manual_seed(2), x_T, []
    for t in scheduler.timesteps:
        eps_hat = model(theirs, torch.full((2,), t + 1))
        result = scheduler.step(eps_hat, t, theirs, generator=g)
        theirs = result.prev_sample
        seen.append((theirs, result.pred_original_sample))

    def step(*args):
        return ddpm_step(*args, clip=1.0 if clip else None)

    ours = list(sample(model, x_T, chosen, alpha_bar, step=step, generator=torch.Generator().manual_seed(2)))[1:]
    assert len(ours) == len(seen) == len(chosen) - 1
    for state, (x, x0_hat) in zip(ours, seen):
        scale = max(1.0, x.abs().max().item())
        assert (state.x - x).abs().max() <= tolerance * scale, f"x at t = {state.t}"
        assert (state.x0_hat - x0_hat).abs().max() <= tolerance * max(1.0, x0_hat.abs().max().item()), (
            f"x0_hat at {state.t}"
        )


@pytest.mark.parametrize("t", [1000, 999, 500, 100, 10, 2, 1])
def test_one_step_in_float32_equals_diffusers(t):
    """Without a table of ours: float32 on both sides, one step. 1e-5 as long as 1 - alpha_bar_t is not tiny."""
    scheduler = DDPMScheduler(variance_type="fixed_small", clip_sample=True)
    x, eps_hat = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(t))
    theirs = scheduler.step(eps_hat, t - 1, x, generator=torch.Generator().manual_seed(5))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(5))
    x_s, x0_hat = ddpm_step(x, eps_hat, torch.full((3,), t), torch.full((3,), t - 1), LINEAR, noise)
    torch.testing.assert_close(x0_hat, theirs.pred_original_sample, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x_s, theirs.prev_sample, atol=1e-5 if t >= 100 else 1e-3, rtol=1e-5)


@pytest.mark.parametrize("n", [1000, 100, 50])
def test_our_times_are_trailing_where_they_divide(n):
    scheduler = DDPMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(n)
    assert (scheduler.timesteps + 1).tolist() == times(n)[:-1]


def test_the_step_is_the_posterior_with_x0_hat_in_place_of_x0(generator):
    x_t, eps_hat, noise = torch.randn(3, 5, 1, 4, 4, generator=generator)
    t, s = torch.tensor([1000, 500, 30, 2, 1]), torch.tensor([900, 499, 10, 1, 0])
    x_s, x0_hat = ddpm_step(x_t, eps_hat, t, s, LINEAR, noise)
    assert x0_hat.abs().max() == 1
    mean, var = q_posterior(x_t, x0_hat, t, s, LINEAR)
    torch.testing.assert_close(x_s, mean + var.sqrt() * noise)
    assert torch.equal(x_s[4], ddpm_step(x_t, eps_hat, t, s, LINEAR, 0 * noise)[0][4])  # the last step adds no noise
    _, half = ddpm_step(x_t, eps_hat, t, s, LINEAR, noise, clip=0.5)
    assert half.abs().max() == 0.5


MIXTURE = GaussianMixture(
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    torch.tensor([[1.5, 0.0], [-1.0, 1.2], [-0.5, -1.6]], dtype=torch.float64),
    torch.tensor([0.25, 0.4, 0.15], dtype=torch.float64),
)


def moments_error(n_steps: int, n: int, alpha_bar=COSINE) -> tuple[float, float]:
    g = torch.Generator().manual_seed(3)
    x_T = torch.randn(n, 2, generator=g, dtype=torch.float64)
    x = draw(
        MIXTURE.denoiser(alpha_bar), x_T, times(n_steps), alpha_bar, generator=g,
        step=lambda *args: ddpm_step(*args, clip=None),
    )  # fmt: skip
    return (x.mean(0) - MIXTURE.mean()).abs().max().item(), (x.T.cov() - MIXTURE.cov()).abs().max().item()


def test_ancestral_sampling_with_the_exact_denoiser_recovers_mean_and_covariance(as_learner):
    mean_error, cov_error = moments_error(400, 6000)
    assert mean_error < 0.05 and cov_error < 0.06  # 6,000 samples alone leave about 0.015 and 0.02


def test_ancestral_sampling_keeps_the_three_heaps_apart(as_learner):
    g = torch.Generator().manual_seed(4)
    x_T = torch.randn(3000, 2, generator=g, dtype=torch.float64)
    x = draw(
        MIXTURE.denoiser(COSINE), x_T, times(150), COSINE, generator=g, step=lambda *args: ddpm_step(*args, clip=None)
    )
    near = torch.cdist(x, MIXTURE.means).argmin(1)
    shares = torch.bincount(near, minlength=3) / len(x)
    torch.testing.assert_close(shares.double(), MIXTURE.weights, atol=0.03, rtol=0)
    for k in range(3):
        assert x[near == k].std(0).mean().item() == pytest.approx(MIXTURE.stds[k].item(), rel=0.12)


def gaussian_variance(n_steps: int, std: float = 0.5, alpha_bar=COSINE) -> float:
    """The variance that ancestral sampling ends with for N(0, std^2), without one random number.

    The exact denoiser of a Gaussian is linear, so each step is x_s = k x_t + noise: k is read off from ddpm_step at
    x_t = 1, the noise's variance from noise = 1, and variances are added up from x_T ~ N(0, 1).
    """
    data = GaussianMixture(torch.ones(1).double(), torch.zeros(1, 1).double(), torch.full((1,), std).double())
    denoiser, one, v = data.denoiser(alpha_bar), torch.ones(1, 1).double(), 1.0
    chosen = times(n_steps)
    for t, s in zip(chosen, chosen[1:]):
        t, s = torch.tensor([t]), torch.tensor([s])
        args = (one, denoiser(one, t), t, s, alpha_bar)
        k = ddpm_step(*args, noise=0 * one, clip=None)[0].item()
        spread = ddpm_step(*args, noise=one, clip=None)[0].item() - k
        v = k**2 * v + spread**2
    return v


def test_the_error_falls_in_proportion_as_steps_grow(as_learner):
    errors = np.array([abs(gaussian_variance(n) - 0.25) for n in (25, 50, 100, 200)])
    assert errors[0] > 5e-3  # 25 steps are measurably wrong, or this test shows nothing
    assert ((errors[:-1] / errors[1:] > 1.7) & (errors[:-1] / errors[1:] < 2.4)).all(), errors  # first order: like 1/n


def test_the_error_of_a_mixture_falls_too(as_learner):
    assert moments_error(5, 4000)[1] > 3 * moments_error(100, 4000)[1]


def test_sample_yields_every_state_and_draw_the_last(generator):
    x_T = torch.randn(2, 1, 4, 4, generator=generator)
    states = list(sample(model, x_T, [1000, 600, 10, 0], LINEAR, generator=torch.Generator().manual_seed(1)))
    assert [state.t for state in states] == [1000, 600, 10, 0]
    assert states[0].x is x_T and states[0].eps_hat is None and states[0].x0_hat is None
    for before, state in zip(states, states[1:]):
        torch.testing.assert_close(state.eps_hat, model(before.x, torch.full((2,), before.t)))
        assert state.x0_hat.shape == state.x.shape == x_T.shape
    assert torch.equal(states[-1].x, states[-1].x0_hat)
    last = draw(model, x_T, [1000, 600, 10, 0], LINEAR, generator=torch.Generator().manual_seed(1))
    assert torch.equal(last, states[-1].x)
    other = draw(model, x_T, [1000, 600, 10, 0], LINEAR, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(last, other)


def test_sample_hands_the_condition_on_and_builds_no_graph(generator):
    weight, conds = torch.ones((), requires_grad=True), []

    def denoiser(x_t, t, cond=None):
        conds.append(cond)
        return weight * x_t

    cond = torch.tensor([4, 2])
    x = draw(denoiser, torch.randn(2, 1, 4, 4, generator=generator), [1000, 500, 0], LINEAR, cond=cond)
    assert len(conds) == 2 and all(c is cond for c in conds)
    assert not x.requires_grad


def test_sampling_can_stop_early(generator):
    x_T = torch.randn(2, 1, 4, 4, generator=generator)
    walk = sample(model, x_T, times(1000), LINEAR)
    assert [next(walk).t for _ in range(3)] == [1000, 999, 998]


def test_the_named_steps_are_steps():
    assert STEPS["ddpm"] is ddpm_step


def test_bad_input(as_learner, generator):
    x = torch.randn(2, 1, 4, 4, generator=generator)
    for bad in (0, 1001, -3):
        with pytest.raises(ValueError, match=f"between 1 and 1000 steps, got {bad}"):
            times(bad)
    for bad in ([1000, 1000, 0], [0, 10], [1001, 0], [10, -1], []):
        with pytest.raises(ValueError, match="times that fall from at most 1000"):
            draw(model, x, bad, LINEAR)
    with pytest.raises(ValueError, match="x_T holds NaN"):
        draw(model, x * torch.nan, times(3), LINEAR)
    with pytest.raises(ValueError, match="answer at t = 667 holds NaN"):
        draw(lambda x, t, cond=None: x * (torch.nan if t[0] == 667 else 1), x, times(3), LINEAR)
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\) and \(2, 4, 4\)"):
        draw(lambda x, t, cond=None: x[:, 0], x, times(3), LINEAR)
    with pytest.raises(ValueError, match="each of the 2 pictures, got 3"):
        draw(model, x, times(3), LINEAR, cond=torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match=r"alpha_bar\[0\] == 1"):
        draw(model, x, times(3, 999), LINEAR[1:])
    with pytest.raises(ValueError, match="no signal is left"):
        draw(model, x, times(3), zero_terminal_snr(LINEAR))
    with pytest.raises(ValueError, match="s < t"):
        ddpm_step(x, x, torch.tensor([3, 3]), torch.tensor([3, 2]), LINEAR, x)
    with pytest.raises(ValueError, match=r"0\.\.1000"):
        ddpm_step(x, x, torch.tensor([3, 1001]), torch.tensor([2, 2]), LINEAR, x)
