from functools import partial

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler

from diffusion_tutorial.exact import GaussianMixture
from diffusion_tutorial.forward import q_posterior
from diffusion_tutorial.predictions import x0_from_eps
from diffusion_tutorial.samplers import (
    SPACINGS,
    STEPS,
    DPMSolverPP,
    ddim_step,
    ddpm_step,
    draw,
    heun_step,
    sample,
    times,
)
from diffusion_tutorial.schedules import cosine, linear, zero_terminal_snr

LINEAR, COSINE = linear(), cosine()
METHODS = ["ddim 0", "ddim 0.5", "ddim 1", "dpm++", "heun"]


def step_of(method: str, clip: float | None = None):
    """A step for one walk, from its name in STEPS and, for DDIM, its eta."""
    name, _, eta = method.partition(" ")
    step = STEPS[name]() if isinstance(STEPS[name], type) else STEPS[name]
    return partial(step, clip=clip, **({"eta": float(eta)} if eta else {}))


def random_pair(seed: int = 1, n: int = 2):
    """Some x_t and eps_hat: nothing like pictures, so most of x0_hat is clipped."""
    return torch.randn(2, n, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_spacing_falls_from_T_to_0(spacing, as_learner):
    for T, steps in ((1, [1]), (2, [1, 2]), (37, range(1, 38)), (1000, [1, 2, 3, 7, 20, 50, 333, 500, 999, 1000])):
        for alpha_bar in (linear(T), cosine(T), zero_terminal_snr(cosine(max(T, 2)))[: T + 1]):
            for n in steps:
                chosen = times(n, T, spacing, alpha_bar)
                assert len(chosen) == n + 1 and chosen[-1] == 0 and all(isinstance(t, int) for t in chosen)
                assert all(t > s for t, s in zip(chosen, chosen[1:])), (T, n)
                assert chosen[0] == (T if spacing != "leading" else 1 + (n - 1) * (T // n))
            assert chosen == list(range(T, -1, -1))  # n = T takes every step


def test_the_three_even_spacings():
    assert times(5, 11, "trailing") == [11, 9, 7, 4, 2, 0]
    assert times(5, 13, "linspace") == [13, 10, 7, 4, 1, 0]
    assert times(5, 13, "leading") == [9, 7, 5, 3, 1, 0]
    assert times(5) == [1000, 800, 600, 400, 200, 0]
    assert times(5, spacing="linspace") == [1000, 750, 500, 251, 1, 0]  # 750.25, 500.5, 250.75; halves to the even side
    assert times(5, spacing="leading") == [801, 601, 401, 201, 1, 0]  # it never sees t = 1000


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


def test_logsnr_is_even_and_karras_is_its_formula():
    a = LINEAR[1:].numpy()
    log_snr, sigma = np.log(a / (1 - a)), np.sqrt((1 - a) / a)
    for n in (2, 5, 12):
        i = np.arange(n) / max(n - 1, 1)
        wanted = log_snr[-1] + i * (log_snr[0] - log_snr[-1])
        karras = (sigma[-1] ** (1 / 7) + i * (sigma[0] ** (1 / 7) - sigma[-1] ** (1 / 7))) ** 7  # their equation 5
        for spacing, exact in (
            ("logsnr", np.interp(wanted, log_snr[::-1], np.arange(1000, 0, -1))),
            ("karras", np.interp(karras, sigma, np.arange(1, 1001))),
        ):
            chosen = np.array(times(n, 1000, spacing, LINEAR)[:-1])
            assert abs(chosen - exact).max() < 0.6, (spacing, n)  # to the next whole number
    assert times(6, len(EVEN) - 1, "logsnr", EVEN) == [961, 769, 577, 385, 193, 1, 0]  # there, even in t is even in it
    assert times(1, 1000, "logsnr", LINEAR) == times(1, 1000, "karras", LINEAR) == [1000, 0]


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
        ours = list(sample(model, x_T, chosen, alpha_bar, step=step_of(method, 1.0 if clip else None), generator=g))[1:]
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
    x_s, x0_hat = ddim_step(x, eps_hat, t, s, LINEAR, noise)
    theirs = scheduler.step(eps_hat, 499, x)
    torch.testing.assert_close(theirs.pred_original_sample, x0_hat)
    torch.testing.assert_close(theirs.prev_sample, a_s.sqrt() * x0_hat + (1 - a_s).sqrt() * eps_hat)
    assert (theirs.prev_sample - x_s).abs().max() > 0.1
    ancestral = ddpm_step(x, eps_hat, t, s, LINEAR, noise)[0]
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
    ends = [ddim_step(x, eps_hat, torch.full((2,), 143), torch.full((2,), s), LINEAR, x)[0] for s in (0, 1)]
    torch.testing.assert_close(ends[1], theirs, atol=1e-5, rtol=0)
    assert (ends[0] - theirs).abs().max() > 1e-3
    assert DPMSolverMultistepScheduler().config.final_sigmas_type == "zero"  # its "sigma_min" would stop at t = 1 too


def test_pinned_heun_reports_its_first_look(as_learner):
    """x0_hat is what the model guessed at x_t; diffusers' second call returns the guess at the trial x_s."""
    x, eps_hat = random_pair()
    t, s = torch.full((2,), 500), torch.full((2,), 400)
    x_s, x0_hat = heun_step(x, eps_hat, t, s, LINEAR, x, model, clip=None)
    assert torch.equal(x0_hat, x0_from_eps(x, eps_hat, t, LINEAR))
    first = ddim_step(x, eps_hat, t, s, LINEAR, x, clip=None)[0]
    assert (x0_hat - x0_from_eps(first, model(first, s), s, LINEAR)).abs().max() > 0.1
    assert not HeunDiscreteScheduler().config.clip_sample  # diffusers' Heun does not clip unless told to


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


def moments_error(n_steps: int, n: int, alpha_bar=COSINE, method="ddpm", spacing="trailing") -> tuple[float, float]:
    g = torch.Generator().manual_seed(3)
    x_T = torch.randn(n, 2, generator=g, dtype=torch.float64)
    chosen = times(n_steps, 1000, spacing, alpha_bar)
    x = draw(MIXTURE.denoiser(alpha_bar), x_T, chosen, alpha_bar, generator=g, step=step_of(method))
    return (x.mean(0) - MIXTURE.mean()).abs().max().item(), (x.T.cov() - MIXTURE.cov()).abs().max().item()


def test_ancestral_sampling_with_the_exact_denoiser_recovers_mean_and_covariance(as_learner):
    mean_error, cov_error = moments_error(400, 6000)
    assert mean_error < 0.05 and cov_error < 0.06  # 6,000 samples alone leave about 0.015 and 0.02


@pytest.mark.parametrize(
    "method, n_steps, spacing",
    [("ddim 0", 150, "trailing"), ("ddim 0.5", 150, "trailing"), ("dpm++", 25, "trailing"), ("heun", 40, "karras")],
)
def test_the_others_recover_mean_and_covariance_too(method, n_steps, spacing, as_learner):
    mean_error, cov_error = moments_error(n_steps, 4000, LINEAR, method, spacing)
    assert mean_error < 0.05 and cov_error < 0.06


def test_heun_needs_a_gentle_start(as_learner):
    """On the cosine schedule sigma falls from 20,000 to 26 in the first of 40 even steps: a straight line does not do."""
    sigma_T, sigma_s = ((1 - COSINE[[1000, 975]]) / COSINE[[1000, 975]]).sqrt()
    assert sigma_T > 20_000 and sigma_s < 26
    assert moments_error(40, 2000, COSINE, "heun", "trailing")[1] > 0.4
    assert moments_error(40, 2000, COSINE, "heun", "logsnr")[1] < 0.1


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


def gaussian(mean: float = 0.0, std: float = 0.5) -> GaussianMixture:
    return GaussianMixture(torch.ones(1).double(), torch.full((1, 1), mean).double(), torch.full((1,), std).double())


def gaussian_variance(chosen: list[int], alpha_bar=COSINE, method: str = "ddpm", v: float = 1.0) -> float:
    """The variance that sampling ends with for N(0, 0.5^2), without one random number.

    The exact denoiser of a Gaussian is linear, so each step is x_s = k x_t + noise: k is read off from the step at
    x_t = 1, the noise's variance from noise = 1, and variances are added up from x_T ~ N(0, v).
    """
    denoiser, one, step = gaussian().denoiser(alpha_bar), torch.ones(1, 1).double(), step_of(method)
    for t, s in zip(chosen, chosen[1:]):
        t, s = torch.tensor([t]), torch.tensor([s])
        args = (one, denoiser(one, t), t, s, alpha_bar)
        k = step(*args, noise=0 * one)[0].item()
        spread = step(*args, noise=one)[0].item() - k
        v = k**2 * v + spread**2
    return v


def test_the_error_falls_in_proportion_as_steps_grow(as_learner):
    errors = np.array([abs(gaussian_variance(times(n)) - 0.25) for n in (25, 50, 100, 200)])
    assert errors[0] > 5e-3  # 25 steps are measurably wrong, or this test shows nothing
    assert ((errors[:-1] / errors[1:] > 1.7) & (errors[:-1] / errors[1:] < 2.4)).all(), errors  # first order: like 1/n


# The order of a method shows where its steps are small everywhere, so: a schedule that is even in log-SNR, 960 fine steps
# from log-SNR -6 to 6 (t = 0, the clean picture, stands apart and is left out: the step to it is of another kind). Every
# 16th of its times, every 8th, every 4th are then even in log-SNR as well, with no rounding. Walks start at t = 961 with
# the exact noised Gaussian and end at t = 1, where the exact answer is known:
# - without noise, of every single x: the flow keeps (x_t - sqrt(alpha_bar_t) mean) / std_t;
# - with noise, of the variance. It is alpha_bar_t std^2 + 1 - alpha_bar_t.
EVEN = torch.cat([torch.ones(1).double(), torch.sigmoid(torch.linspace(6, -6, 961, dtype=torch.float64))])
STEP_COUNTS = (60, 120, 240)


def measured_order(errors: list[float]) -> float:
    """The slope of log error against log n; and it has to be the same from each n to the next, or there is no slope."""
    slopes = -np.diff(np.log(errors)) / np.log(2)
    assert np.ptp(slopes) < 0.08, slopes
    return slopes[-1]


def gaussian_error(method: str, n: int) -> float:
    """The largest error of an x at t = 1, for N(0.7, 0.5^2)."""
    x_T, (first, last) = torch.linspace(-2, 2, 9).double()[:, None], (EVEN[961].item(), EVEN[1].item())
    a, b = gaussian(0.7).noised(first), gaussian(0.7).noised(last)
    exact = b.means + b.stds / a.stds * (x_T - a.means)
    x = draw(gaussian(0.7).denoiser(EVEN), x_T, list(range(961, 0, -960 // n)), EVEN, step=step_of(method))
    return (x - exact).abs().max().item()


@pytest.mark.parametrize("method, order", [("ddim 0", 1), ("heun", 2), ("dpm++", 2)])
def test_the_order_of_the_methods_without_noise(method, order, as_learner):
    errors = [gaussian_error(method, n) for n in STEP_COUNTS]
    assert measured_order(errors) == pytest.approx(order, abs=0.03)
    assert order == 1 or errors[0] < gaussian_error("ddim 0", 240)  # a quarter of the steps, and still nearer


@pytest.mark.parametrize("method", ["ddpm", "ddim 0", "ddim 0.5", "ddim 1"])
def test_the_order_of_the_methods_with_noise(method, as_learner):
    start, end = (gaussian().noised(EVEN[t].item()).stds.item() ** 2 for t in (961, 1))
    errors = [abs(gaussian_variance(list(range(961, 0, -960 // n)), EVEN, method, start) - end) for n in STEP_COUNTS]
    assert measured_order(errors) == pytest.approx(1, abs=0.05)


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
    assert STEPS == {"ddpm": ddpm_step, "ddim": ddim_step, "dpm++": DPMSolverPP, "heun": heun_step}


@pytest.mark.parametrize("clip", [1.0, 0.3, None])
def test_ddim_with_eta_1_is_the_ancestral_step(clip):
    x, eps_hat = random_pair(n=5)
    t, s = torch.tensor([1000, 500, 30, 2, 1]), torch.tensor([900, 499, 10, 1, 0])
    noise = random_pair(3, n=5)[0]
    for alpha_bar in (LINEAR, COSINE):
        ours = ddim_step(x, eps_hat, t, s, alpha_bar, noise, eta=1.0, clip=clip)
        for a, b in zip(ours, ddpm_step(x, eps_hat, t, s, alpha_bar, noise, clip=clip)):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-7)


def test_ddim_with_eta_0_ignores_the_noise(generator):
    x, eps_hat = random_pair()
    args = (x, eps_hat, torch.full((2,), 500), torch.full((2,), 400), LINEAR)
    assert torch.equal(ddim_step(*args, noise=x)[0], ddim_step(*args, noise=5 + 0 * x)[0])
    assert not torch.equal(ddim_step(*args, noise=x, eta=0.1)[0], ddim_step(*args, noise=0 * x, eta=0.1)[0])
    for eta in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="eta from 0"):
            ddim_step(*args, noise=x, eta=eta)


@pytest.mark.parametrize("name", ["ddim", "dpm++", "heun"])
def test_the_same_static_gives_the_same_picture(name):
    x_T = random_pair()[0]
    one, other, none = (
        draw(model, x_T, times(5), LINEAR, step=STEPS[name], generator=g)
        for g in (torch.Generator().manual_seed(1), torch.Generator().manual_seed(2), None)
    )
    assert torch.equal(one, other) and torch.equal(one, none)
    assert not torch.equal(one, draw(model, x_T + 0.01, times(5), LINEAR, step=STEPS[name]))


@pytest.mark.parametrize("clip", [1.0, None])
def test_dpm_solver_begins_and_ends_with_a_ddim_step(clip):
    states = list(sample(model, random_pair()[0], [950, 700, 300, 20, 0], LINEAR, step=step_of("dpm++", clip)))
    gaps = []
    for before, state in zip(states, states[1:]):
        t, s = torch.full((2,), before.t), torch.full((2,), state.t)
        x_s, x0_hat = ddim_step(before.x, state.eps_hat, t, s, LINEAR, before.x, clip=clip)
        assert torch.equal(x0_hat, state.x0_hat)
        gaps.append((x_s - state.x).abs().max().item())
    assert gaps[0] < 1e-10 and gaps[-1] < 1e-10 and min(gaps[1:-1]) > 1e-2


def test_every_walk_gets_a_solver_of_its_own():
    made = []

    class Noted(DPMSolverPP):
        def __init__(self):
            super().__init__()
            made.append(self)

    x, y = random_pair()
    apart = [[state.x for state in sample(model, x_T, times(6), LINEAR, step=Noted)] for x_T in (x, y)]
    assert len(made) == 2 and made[0] is not made[1]
    together = zip(*(sample(model, x_T, times(6), LINEAR, step=Noted) for x_T in (x, y)))
    for i, pair in enumerate(together):
        assert torch.equal(pair[0].x, apart[0][i]) and torch.equal(pair[1].x, apart[1][i])
    assert len(made) == 4


def test_a_solver_looks_back_only_along_its_own_walk():
    """After a jump elsewhere, what it remembers is of another place: it starts anew, by a DDIM step."""
    (x, eps_hat), solver = random_pair(), DPMSolverPP()
    at = lambda t: torch.full((2,), t)  # noqa: E731
    solver(x, eps_hat, at(900), at(700), LINEAR, x)
    args = (0.5 * x, eps_hat, at(650), at(400), LINEAR, x)
    torch.testing.assert_close(solver(*args)[0], ddim_step(*args)[0])
    args = (0.2 * x, eps_hat, at(400), at(300), LINEAR, x)
    assert (solver(*args)[0] - ddim_step(*args)[0]).abs().max() > 1e-3


@pytest.mark.parametrize("name, calls", [("ddpm", 9), ("ddim", 9), ("dpm++", 9), ("heun", 17)])
def test_how_often_the_model_is_asked(name, calls):
    asked, cond = [], torch.tensor([4, 2])

    def counted(x_t, t, cond=None):
        asked.append((t[0].item(), cond))
        return model(x_t, t)

    states = list(sample(counted, random_pair()[0], times(9), LINEAR, cond=cond, step=STEPS[name]))
    assert len(asked) == calls and all(c is cond for _, c in asked)  # heun: 2n - 1, nothing to look ahead to at s = 0
    assert [state.t for state in states] == times(9)
    assert {t for t, _ in asked} == set(times(9)[:-1])
    assert torch.equal(states[-1].x, states[-1].x0_hat)


@pytest.mark.parametrize("name", STEPS)
def test_pictures_of_one_batch_may_be_at_different_times(name):
    x, eps_hat = random_pair(n=3)
    noise, walk = random_pair(3, n=3)[0], torch.tensor([[900, 500, 30], [700, 400, 10], [600, 50, 9]])

    def two_steps(who):
        step, ahead, x_t = step_of(name, 1.0), {"denoise": model} if name == "heun" else {}, x[who]
        for t, s in zip(walk[:, who], walk[1:, who]):
            x_t, _ = step(x_t, eps_hat[who], t, s, LINEAR, noise[who], **ahead)
        return x_t

    alone = torch.cat([two_steps([i]) for i in range(3)])
    torch.testing.assert_close(two_steps([0, 1, 2]), alone)


def test_heun_looks_at_the_first_try(generator):
    x, eps_hat = random_pair()
    t, s, looked = torch.full((2,), 500), torch.full((2,), 400), []
    heun_step(x, eps_hat, t, s, LINEAR, x, lambda x_s, s: looked.append((x_s, s)) or model(x_s, s))
    [(x_s, when)] = looked
    assert torch.equal(x_s, ddim_step(x, eps_hat, t, s, LINEAR, x)[0]) and torch.equal(when, s)
    same = heun_step(x, eps_hat, t, s, LINEAR, x, lambda x_s, s: eps_hat, clip=None)[0]  # where both looks agree
    torch.testing.assert_close(same, ddim_step(x, eps_hat, t, s, LINEAR, x, clip=None)[0])


def test_a_step_of_your_own():
    x = random_pair()[0]
    halved = draw(model, x, [1000, 500, 0], LINEAR, step=lambda x_t, eps_hat, t, s, alpha_bar, noise: (x_t / 2, x_t))
    assert torch.equal(halved, x / 4)
    ahead = lambda *args, denoise: heun_step(*args, denoise=denoise, clip=0.5)  # noqa: E731
    torch.testing.assert_close(
        draw(model, x, times(4), LINEAR, step=ahead), draw(model, x, times(4), LINEAR, step=step_of("heun", 0.5))
    )


@pytest.mark.parametrize("name", ["ddim", "dpm++", "heun"])
def test_the_others_keep_the_precision_and_refuse_bad_input(name, as_learner):
    step = step_of(name, 1.0)
    ahead = {"denoise": model} if name == "heun" else {}
    x, eps_hat = random_pair()
    for dtype in (torch.float32, torch.float64):
        out = draw(model, x.to(dtype), times(4), LINEAR, step=STEPS[name])
        assert out.dtype == dtype and out.isfinite().all() and out.abs().max() <= 1
    with pytest.raises(ValueError, match="s < t"):
        step(x, eps_hat, torch.tensor([3, 3]), torch.tensor([3, 2]), LINEAR, x, **ahead)
    with pytest.raises(ValueError, match=r"0\.\.1000"):
        step(x, eps_hat, torch.tensor([3, 1001]), torch.tensor([2, 2]), LINEAR, x, **ahead)
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\) and \(2, 4, 4\)"):
        step(x, eps_hat[:, 0], torch.tensor([3, 3]), torch.tensor([2, 2]), LINEAR, x, **ahead)
    with pytest.raises(ValueError, match="no signal is left"):
        draw(model, x, times(3), zero_terminal_snr(LINEAR), step=STEPS[name])


def test_heun_notices_nan_in_its_second_look(as_learner):
    def breaks(x_t, t, cond=None):
        breaks.calls += 1
        return x_t * (torch.nan if breaks.calls == 2 else 1)

    breaks.calls = 0
    with pytest.raises(ValueError, match="answer at t = 667 holds NaN"):
        draw(breaks, random_pair()[0], times(3), LINEAR, step=heun_step)


def test_bad_input(as_learner, generator):
    x = torch.randn(2, 1, 4, 4, generator=generator)
    for bad in (0, 1001, -3):
        with pytest.raises(ValueError, match=f"between 1 and 1000 steps, got {bad}"):
            times(bad)
    with pytest.raises(ValueError, match="spacing from trailing, linspace, .*, got even"):
        times(5, spacing="even")
    for spacing in ("logsnr", "karras"):
        for bad in (None, LINEAR[:-1]):
            with pytest.raises(ValueError, match="needs alpha_bar with 1001 entries"):
                times(5, spacing=spacing, alpha_bar=bad)
        with pytest.raises(ValueError, match=r"alpha_bar\[0\] == 1"):
            times(5, 999, spacing, LINEAR[1:])
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
