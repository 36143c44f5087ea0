import math

import pytest
import torch

from diffusion_tutorial.exact import GaussianMixture, posterior_on_grid
from diffusion_tutorial.forward import q_posterior, q_sample
from diffusion_tutorial.schedules import cosine, linear

LINEAR = linear()


def mixture(d: int = 2) -> GaussianMixture:
    means = torch.tensor([[1.0, -0.5], [-1.5, 0.3], [0.2, 2.0]], dtype=torch.float64)[:, :d]
    return GaussianMixture(torch.tensor([2.0, 1.0, 1.0]).double(), means, torch.tensor([0.3, 0.6, 0.15]).double())


def test_the_density_integrates_to_1_and_has_the_stated_mean_and_covariance():
    side = torch.linspace(-5, 5, 801, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    p = mixture().log_density(x).exp() * (side[1] - side[0]) ** 2
    assert p.sum().item() == pytest.approx(1, abs=1e-6)
    mean = p @ x
    torch.testing.assert_close(mean, mixture().mean(), atol=1e-6, rtol=0)
    torch.testing.assert_close((p[:, None] * (x - mean)).T @ (x - mean), mixture().cov(), atol=1e-5, rtol=0)


def test_samples_have_the_stated_mean_and_covariance(generator):
    x = mixture().sample(100_000, generator)
    torch.testing.assert_close(x.mean(0), mixture().mean(), atol=0.02, rtol=0)
    torch.testing.assert_close(x.T.cov(), mixture().cov(), atol=0.03, rtol=0)


@pytest.mark.parametrize("t", [0, 1, 50, 400, 1000])
def test_the_score_is_the_gradient_of_the_log_density(t, generator):
    noised = mixture().noised(LINEAR[t].item())
    x = (2 * torch.randn(50, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(noised.log_density(x).sum(), x)
    torch.testing.assert_close(noised.score(x.detach()), gradient)


@pytest.mark.parametrize("t", [1, 50, 400, 1000])
def test_the_exact_denoiser_is_autograd_of_the_log_density(t, generator):
    x = (2 * torch.randn(50, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    a = LINEAR[t]
    # log p_t written out once more, from the components: x_t of component k is N(sqrt(a) mean_k, a std_k^2 + 1 - a)
    m = mixture()
    var = a * m.stds**2 + 1 - a
    square = (x[:, None] - a.sqrt() * m.means).square().sum(-1)
    log_p = torch.logsumexp(m.weights.log() - square / (2 * var) - torch.log(2 * math.pi * var), 1)
    (gradient,) = torch.autograd.grad(log_p.sum(), x)
    eps_hat = m.denoiser(LINEAR)(x.detach(), torch.full((50,), t))
    torch.testing.assert_close(eps_hat, -torch.sqrt(1 - a) * gradient)


def test_no_other_guess_of_the_noise_is_better(generator):
    """The exact eps_hat is the mean of eps given x_t: right on average near any x_t, and every change to it costs."""
    n, t = 200_000, 300
    x0 = mixture().sample(n, generator)
    eps = torch.randn(n, 2, generator=generator, dtype=x0.dtype)
    x_t = q_sample(x0, torch.full((n,), t), eps, LINEAR)
    eps_hat = mixture().denoiser(LINEAR)(x_t, torch.full((n,), t))
    error = eps - eps_hat
    for feature in (torch.ones(n, 1), x_t, x_t**2, eps_hat, torch.sin(3 * x_t)):
        assert (error * feature).mean(0).abs().max() < 0.012
    assert error.square().mean() < (eps - 0.95 * eps_hat).square().mean()
    assert error.square().mean() < (eps - 1.05 * eps_hat).square().mean()


def test_noised_mixture_equals_noised_samples(generator):
    t, n = 400, 100_000
    x_t = q_sample(
        mixture().sample(n, generator), torch.full((n,), t), torch.randn(n, 2, generator=generator).double(), LINEAR
    )
    noised = mixture().noised(LINEAR[t].item())
    torch.testing.assert_close(x_t.mean(0), noised.mean(), atol=0.02, rtol=0)
    torch.testing.assert_close(x_t.T.cov(), noised.cov(), atol=0.03, rtol=0)


@pytest.mark.parametrize("t, s", [(500, 300), (40, 39), (1000, 0)])
def test_posterior_on_grid_is_the_average_of_q_posterior_over_x0(t, s):
    """q(x_s | x_t) by the other road: average q(x_s | x_t, x0) over q(x0 | x_t), all in 1-D and numerically."""
    alpha_bar, m, x_t = cosine(), mixture(1), 0.4
    grid = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    step = grid[1] - grid[0]
    p = posterior_on_grid(m, x_t, t, s, alpha_bar, grid)
    assert (p.sum() * step).item() == pytest.approx(1, abs=1e-12) and (p >= 0).all()
    a = alpha_bar[t].item()
    p_x0 = torch.softmax(m.log_density(grid[:, None]) - (x_t - math.sqrt(a) * grid) ** 2 / (2 * (1 - a)), 0)
    if s == 0:
        expected = p_x0 / step
    else:
        n = len(grid)
        mean, var = q_posterior(
            torch.full((n,), x_t).double(), grid, torch.full((n,), t), torch.full((n,), s), alpha_bar
        )
        parts = torch.exp(-((grid[:, None] - mean) ** 2) / (2 * var)) / torch.sqrt(2 * math.pi * var)
        expected = parts @ p_x0
    torch.testing.assert_close(p, expected, atol=1e-4 * expected.max().item(), rtol=0)


def test_one_jump_cannot_do_what_many_steps_do():
    """The premise of "Why not one jump?": q(x_{t-1} | x_t) is close to a Gaussian, q(x_0 | x_t) is far from one."""
    m = GaussianMixture(torch.ones(2).double(), torch.tensor([[-1.0], [1.0]]).double(), torch.full((2,), 0.1).double())
    grid = torch.linspace(-4, 4, 4001, dtype=torch.float64)
    step = (grid[1] - grid[0]).item()

    def distance_to_gaussian(t, s):
        p = posterior_on_grid(m, 0.0, t, s, LINEAR, grid)
        mean, var = (p * grid).sum() * step, (p * grid**2).sum() * step - ((p * grid).sum() * step) ** 2
        q = torch.exp(-((grid - mean) ** 2) / (2 * var)) / torch.sqrt(2 * math.pi * var)
        return ((p - q).abs().sum() * step / 2).item()

    assert distance_to_gaussian(500, 499) < 0.01 and distance_to_gaussian(500, 0) > 0.3


def test_bad_input(as_learner):
    one, two = torch.ones(1), torch.ones(2)
    with pytest.raises(ValueError, match=r"got the shapes \(2,\), \(1, 1\), \(2,\)"):
        GaussianMixture(two, torch.ones(1, 1), two)
    with pytest.raises(ValueError, match=r"got the shapes \(1,\), \(1,\), \(1,\)"):
        GaussianMixture(one, one, one)
    for weights, means, stds in [(-one, one, one), (0 * one, one, one), (one, one, -one), (one, torch.nan * one, one)]:
        with pytest.raises(ValueError, match="positive weights, finite means and standard deviations"):
            GaussianMixture(weights, means[:, None], stds)
    with pytest.raises(ValueError, match="positive weights"):
        GaussianMixture(torch.tensor([torch.nan]), torch.ones(1, 1), one)
    denoiser = mixture().denoiser(LINEAR)
    with pytest.raises(ValueError, match="one t for the whole batch"):
        denoiser(torch.zeros(2, 2).double(), torch.tensor([1, 2]))
    with pytest.raises(ValueError, match=r"0\.\.1000, got 1001"):
        denoiser(torch.zeros(2, 2).double(), torch.tensor([1001, 1001]))
    grid = torch.linspace(-3, 3, 11).double()
    for t, s in [(5, 5), (5, 6), (5, -1), (1001, 3)]:
        with pytest.raises(ValueError, match=rf"0 <= s < t <= 1000, got s = {s} and t = {t}"):
            posterior_on_grid(mixture(1), 0.0, t, s, LINEAR, grid)
