"""The samplers beside those of diffusers: the same model, the same static, the same times."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler
from test_samplers import COSINE, LINEAR, by_hand, model, random_pair, step_of

from diffusion_tutorial.predictions import Within, x0_from_eps
from diffusion_tutorial.samplers import DPMSolverPP, ddim_step, ddpm_step, draw, heun_step, sample, times

METHODS = ["ddim 0", "ddim 0.5", "ddim 1", "dpm++", "heun"]


# diffusers' DDIM means the same by the three names; our t is its t - 1. "leading" is equal for every n. The other two
# round: it rounds the t - 1 and we the t, so where a time lies half-way between two whole numbers, and only there, the
# two may differ by 1 (both round halves to the even side). For some n its "trailing" has a step too many, as an
# np.arange in floating point does. For n = 1 its "linspace" takes the one step from the wrong end, from t = 1.
@pytest.mark.parametrize("spacing", ["trailing", "linspace", "leading"])
def test_spacings_equal_diffusers(spacing):
    scheduler = DDIMScheduler(timestep_spacing=spacing)
    equal = 0
    for n in range(2, 1001, 3):
        scheduler.set_timesteps(n)
        theirs, ours = scheduler.timesteps.numpy() + 1, np.array(times(n, spacing=spacing)[:-1])
        if len(theirs) == n + 1:
            assert spacing == "trailing"
            continue
        exact = np.linspace(1000, 1000 / n if spacing == "trailing" else 1, n) if spacing != "leading" else ours
        differ = theirs != ours
        assert np.allclose(exact[differ] % 1, 0.5) and (abs(theirs - ours) <= 1).all(), n
        equal += not differ.any()
    assert equal > (150 if spacing != "leading" else 332)
    scheduler.set_timesteps(1)
    assert scheduler.timesteps.tolist() == [999 if spacing == "trailing" else 0]
    assert times(1, spacing=spacing) == [1 if spacing == "leading" else 1000, 0]


def test_other_schedulers_of_diffusers_mean_something_else_by_the_same_names():
    """DPM-Solver's "linspace" and "leading" cut n + 1 pieces and drop the last; Heun's "linspace" is not whole."""
    solver = DPMSolverMultistepScheduler(timestep_spacing="linspace")
    solver.set_timesteps(10)
    assert solver.timesteps[-1] == 100 and times(10, spacing="linspace")[-2] == 1
    solver = DPMSolverMultistepScheduler(timestep_spacing="leading")
    solver.set_timesteps(10)
    assert solver.timesteps[0] == 900 and times(10, spacing="leading")[0] == 901
    heun = HeunDiscreteScheduler(timestep_spacing="linspace")
    heun.set_timesteps(7)
    assert heun.timesteps[1] == 832.5


@pytest.mark.parametrize("spacing, switch", [("logsnr", "use_lu_lambdas"), ("karras", "use_karras_sigmas")])
def test_logsnr_and_karras_equal_diffusers(spacing, switch):
    """Its sigmas stay where they are and only its t are rounded; the rounded t are ours, until two are the same."""
    scheduler = DPMSolverMultistepScheduler(**{switch: True})
    for n in (2, 5, 10, 20):
        scheduler.set_timesteps(n)
        assert (scheduler.timesteps + 1).tolist() == times(n, 1000, spacing, LINEAR)[:-1]
    scheduler.set_timesteps(50)
    theirs, ours = scheduler.timesteps + 1, torch.tensor(times(50, 1000, spacing, LINEAR)[:-1])
    assert len(theirs.unique()) == (50 if spacing == "karras" else 49) and len(ours.unique()) == 50
    assert (theirs - ours).abs().max() <= 1


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

    denoiser, g = Within(model, 1.0 if clip else None), torch.Generator().manual_seed(2)
    ours = list(sample(denoiser, x_T, chosen, alpha_bar, step=ddpm_step, generator=g))[1:]
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
    x_s, x0_hat = by_hand(ddpm_step, x, eps_hat, torch.full((3,), t), torch.full((3,), t - 1), LINEAR, noise)
    torch.testing.assert_close(x0_hat, theirs.pred_original_sample, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x_s, theirs.prev_sample, atol=1e-5 if t >= 100 else 1e-3, rtol=1e-5)


# diffusers' DDIM, DPM-Solver++(2M) and Heun beside ours: the same model, noise and times; see also the pins further down.
# - DDIM: ours finds eps_hat anew from a clipped x0_hat, which is its use_clipped_model_output. It can step only by
#   T // n, so it gets a table that holds alpha_bar at our times and no other, and walks that by ones.
# - DPM-Solver++: it has no clip_sample, but its thresholding up to sample_max_value = 1 is the same thing. It rounds
#   x_t to float32 in every step, so there 1e-5 is what float32 leaves.
# - Heun: it holds x / sqrt(alpha_bar) and clips x0_hat in both its looks, as ours does. Both take the last step once.
def diffusers_walk(method, name, alpha_bar, clip, chosen, exact, x_T):
    """Every x of diffusers' walk along `chosen`, and its x0_hat; `exact` puts our float64 tables in place of its own."""
    before, ab = [t - 1 for t in chosen[:-1]], alpha_bar[chosen].clone()
    sigmas = ((1 - ab) / ab).sqrt()
    if method.startswith("ddim"):
        scheduler = DDIMScheduler(beta_schedule=name, clip_sample=clip)
        scheduler.set_timesteps(1000)  # from i it steps to i - 1
        scheduler.alphas_cumprod = (alpha_bar[1:] if exact else scheduler.alphas_cumprod)[before[::-1]]
        options = dict(eta=float(method[5:]), use_clipped_model_output=True, generator=torch.Generator().manual_seed(2))
        for i, t in zip(reversed(range(len(before))), chosen):
            result = scheduler.step(model(x_T, torch.full((2,), t)), i, x_T, **options)
            x_T = result.prev_sample
            yield x_T, result.pred_original_sample
    elif method == "dpm++":
        scheduler = DPMSolverMultistepScheduler(
            beta_schedule=name, thresholding=clip, algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint",
            final_sigmas_type="zero",
        )  # fmt: skip
        scheduler.set_timesteps(timesteps=before)
        scheduler.sigmas = sigmas if exact else scheduler.sigmas
        for t in scheduler.timesteps:
            x_T = scheduler.step(model(x_T, torch.full((2,), t + 1)), t, x_T).prev_sample
            yield x_T, scheduler.model_outputs[-1]
    else:
        scheduler = HeunDiscreteScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule=name, clip_sample=clip)
        scheduler.set_timesteps(timesteps=before)
        scheduler.sigmas = sigmas[[0, *np.arange(1, len(before)).repeat(2), -1]] if exact else scheduler.sigmas
        x, looks = x_T / (1 / (scheduler.sigmas[0] ** 2 + 1)).sqrt(), []
        for i, t in enumerate(scheduler.timesteps):
            x_t = scheduler.scale_model_input(x, t)
            result = scheduler.step(model(x_t, torch.full((2,), int(t) + 1)), t, x)
            x, looks = result.prev_sample, [*looks, result.pred_original_sample]
            if scheduler.state_in_first_order or i == len(scheduler.timesteps) - 1:
                yield x / (scheduler.sigmas[scheduler.step_index] ** 2 + 1).sqrt(), looks[0]
                looks = []


@pytest.mark.parametrize("clip", [True, False], ids=["clipped", "free"])
@pytest.mark.parametrize(
    "alpha_bar, name", [(LINEAR, "linear"), (COSINE, "squaredcos_cap_v2")], ids=["linear", "cosine"]
)
@pytest.mark.parametrize("exact", [True, False], ids=["float64 tables", "its own tables"])
@pytest.mark.parametrize("method", METHODS)
def test_the_others_equal_diffusers(method, clip, alpha_bar, name, exact, as_learner):
    tolerance = 1e-3 if not exact else 1e-5 if method == "dpm++" else 1e-9
    x_T, _ = random_pair()
    for chosen in (times(50), times(7), times(12, 1000, "karras", LINEAR), times(1)):
        if name == "squaredcos_cap_v2" and not (clip and exact):
            chosen = [900, *[t for t in chosen if t < 900]]  # as for DDPM above; and its alpha_bar_T has few digits
        g = torch.Generator().manual_seed(2)
        denoiser = Within(model, 1.0 if clip else None)
        ours = list(sample(denoiser, x_T, chosen, alpha_bar, step=step_of(method), generator=g))[1:]
        theirs = list(diffusers_walk(method, name, alpha_bar, clip, chosen, exact, x_T))
        assert len(ours) == len(theirs) == len(chosen) - 1
        for state, (x, x0_hat) in zip(ours, theirs):
            for what, a, b in (("x", state.x, x), ("x0_hat", state.x0_hat, x0_hat)):
                gap = (a - b).abs().max() / max(1.0, b.abs().max().item())
                assert gap <= tolerance, f"{what} at t = {state.t}: {gap:.1e}"
        assert not clip or (ours[0].x0_hat.abs() == 1).any()  # else clipping has had nothing to do


def test_diffusers_untouched_gives_the_same_pictures(as_learner):
    """Nothing put into its tables, its own times: 50 steps in float32."""
    x_T = random_pair()[0].float()
    for scheduler, step in (
        (DDIMScheduler(timestep_spacing="trailing"), ddim_step),
        (DPMSolverMultistepScheduler(timestep_spacing="trailing", thresholding=True), DPMSolverPP),
    ):
        scheduler.set_timesteps(50)
        x, options = x_T, {"use_clipped_model_output": True} if step is ddim_step else {}
        for t in scheduler.timesteps:
            x = scheduler.step(model(x, torch.full((2,), t + 1)), t, x, **options).prev_sample
        torch.testing.assert_close(draw(model, x_T, times(50), LINEAR, step=step), x, atol=1e-3, rtol=0)


def test_pinned_ddim_of_diffusers_keeps_the_unclipped_eps_hat_by_default():
    """Then x0_hat and eps_hat contradict each other, and eta = 1 is not the ancestral step: so ours asks for more."""
    x, eps_hat = random_pair()
    t, s, noise = torch.full((2,), 500), torch.full((2,), 480), random_pair(3)[0]
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(50)
    scheduler.alphas_cumprod = LINEAR[1:]
    a_s = LINEAR[480]
    x_s, x0_hat = by_hand(ddim_step, x, eps_hat, t, s, LINEAR, noise)
    theirs = scheduler.step(eps_hat, 499, x)
    torch.testing.assert_close(theirs.pred_original_sample, x0_hat)
    torch.testing.assert_close(theirs.prev_sample, a_s.sqrt() * x0_hat + (1 - a_s).sqrt() * eps_hat)
    assert (theirs.prev_sample - x_s).abs().max() > 0.1
    ancestral = by_hand(ddpm_step, x, eps_hat, t, s, LINEAR, noise)[0]
    assert (scheduler.step(eps_hat, 499, x, eta=1.0, variance_noise=noise).prev_sample - ancestral).abs().max() > 0.1
    told = scheduler.step(eps_hat, 499, x, eta=1.0, variance_noise=noise, use_clipped_model_output=True).prev_sample
    torch.testing.assert_close(told, ancestral)


def test_pinned_ddim_of_diffusers_can_stop_short_of_0():
    """It steps by T // n whatever its times are: with 7 trailing steps the last is from our t = 143 to t = 1, not 0."""
    x, eps_hat = random_pair()
    scheduler = DDIMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(7)
    assert scheduler.timesteps[-1] + 1 == 143 == times(7)[-2]
    theirs = scheduler.step(eps_hat, 142, x, use_clipped_model_output=True).prev_sample
    ends = [by_hand(ddim_step, x, eps_hat, torch.full((2,), 143), torch.full((2,), s), LINEAR)[0] for s in (0, 1)]
    torch.testing.assert_close(ends[1], theirs, atol=1e-5, rtol=0)
    assert (ends[0] - theirs).abs().max() > 1e-3
    assert DPMSolverMultistepScheduler().config.final_sigmas_type == "zero"  # its "sigma_min" would stop at t = 1 too


def test_pinned_heun_reports_its_first_look(as_learner):
    """x0_hat is what the model guessed at x_t; diffusers' second call returns the guess at the trial x_s."""
    x, _ = random_pair()
    t, s = torch.full((2,), 500), torch.full((2,), 400)
    _, state = sample(Within(model, None), x, [500, 400], LINEAR, step=heun_step)
    x0_hat, eps_hat = state.x0_hat, model(x, t)
    assert torch.equal(x0_hat, x0_from_eps(x, eps_hat, t, LINEAR))
    first = by_hand(ddim_step, x, eps_hat, t, s, LINEAR, clip=None)[0]
    assert (x0_hat - x0_from_eps(first, model(first, s), s, LINEAR)).abs().max() > 0.1
    assert not HeunDiscreteScheduler().config.clip_sample  # diffusers' Heun does not clip unless told to


@pytest.mark.parametrize("n", [1000, 100, 50])
def test_our_times_are_trailing_where_they_divide(n):
    scheduler = DDPMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(n)
    assert (scheduler.timesteps + 1).tolist() == times(n)[:-1]
