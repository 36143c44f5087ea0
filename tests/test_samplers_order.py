"""Samplers with an exact denoiser: they recover mean and covariance, and their error falls in its measured order."""

import numpy as np
import pytest
import torch
from test_samplers import COSINE, EVEN, LINEAR, by_hand, step_of
from torch import nn

from diffusion_tutorial.exact import GaussianMixture
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.predictions import Denoiser, Within
from diffusion_tutorial.samplers import STEPS, draw, times
from diffusion_tutorial.schedules import zero_terminal_snr

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
    x = draw(MIXTURE.denoiser(COSINE), x_T, times(150), COSINE, generator=g)
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
        args = (step, one, denoiser(one, t), t, s, alpha_bar)
        k = by_hand(*args, noise=0 * one, clip=None)[0].item()
        spread = by_hand(*args, noise=one, clip=None)[0].item() - k
        v = k**2 * v + spread**2
    return v


def test_the_error_falls_in_proportion_as_steps_grow(as_learner):
    errors = np.array([abs(gaussian_variance(times(n)) - 0.25) for n in (25, 50, 100, 200)])
    assert errors[0] > 5e-3  # 25 steps are measurably wrong, or this test shows nothing
    assert ((errors[:-1] / errors[1:] > 1.7) & (errors[:-1] / errors[1:] < 2.4)).all(), errors  # first order: like 1/n


# The order of a method shows where its steps are small everywhere, so: EVEN, a schedule even in log-SNR, 960 fine steps
# from log-SNR -6 to 6 (t = 0, the clean picture, stands apart and is left out: the step to it is of another kind). Every
# 16th of its times, every 8th, every 4th are then even in log-SNR as well, with no rounding. Walks start at t = 961 with
# the exact noised Gaussian and end at t = 1, where the exact answer is known:
# - without noise, of every single x: the flow keeps (x_t - sqrt(alpha_bar_t) mean) / std_t;
# - with noise, of the variance. It is alpha_bar_t std^2 + 1 - alpha_bar_t.
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


ZERO = zero_terminal_snr(COSINE)


class ExactV(nn.Module):
    """E[v | x_t] for x0 ~ N(0.7, 0.5^2): there is nothing to divide by, even where alpha_bar_t is 0."""

    def forward(self, x_t, t, cond=None):
        a = ZERO[t][:, None].to(x_t)
        noised = x_t - a.sqrt() * 0.7
        x0, eps = (z / (a * 0.25 + 1 - a) for z in (a.sqrt() * 0.25 * noised, (1 - a).sqrt() * noised))
        return a.sqrt() * eps - (1 - a).sqrt() * (0.7 + x0)


@pytest.mark.parametrize("method", ["ddpm", "ddim", "dpm++", "heun", "ddim 0.5"])
def test_a_schedule_that_ends_at_0_is_sampled_with_a_v_model(method, as_learner):
    assert ZERO[1000] == 0
    half = torch.randn(2000, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x_T = torch.cat([half, -half])
    model, chosen = Denoiser(ExactV(), ZERO, "v", clip=None), times(100)
    assert chosen[0] == 1000
    for denoiser in (model, guide(model, 1.0, negative=torch.tensor(0)) if method == "ddim" else Within(model, None)):
        cond = torch.zeros(4000) if denoiser is not model else None
        g = torch.Generator().manual_seed(2)
        x = draw(denoiser, x_T, chosen, ZERO, cond=cond, step=step_of(method), generator=g)
        assert x.mean().item() == pytest.approx(0.7, abs=0.02) and x.std().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", STEPS)
def test_an_eps_model_cannot_start_where_no_signal_is(name, as_learner):
    model = Denoiser(ExactV(), ZERO, "eps", clip=None)
    with pytest.raises(ValueError, match="x0 cannot be found from the noise where alpha_bar_t is 0: no signal is left"):
        draw(model, torch.zeros(2, 1), times(5), ZERO, step=STEPS[name])
