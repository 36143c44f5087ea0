import math

import pytest
import torch

from diffusion_tutorial.forward import q_posterior, q_sample, q_step
from diffusion_tutorial.schedules import cosine, linear

LINEAR = linear()


def full(n: int, value: int) -> torch.Tensor:
    return torch.full((n,), value)


@pytest.mark.parametrize("alpha_bar", [linear(20, 0.02, 0.3), cosine(20)], ids=["linear", "cosine"])
def test_the_chain_of_q_step_equals_q_sample_in_distribution(alpha_bar, generator):
    n, T = 60_000, 20
    x0 = torch.tensor([0.9, -0.5], dtype=torch.float64).repeat(n // 2)  # two kinds of pixel
    x = x0
    for t in range(1, T + 1):
        x = q_step(x, full(n, t), torch.randn(n, generator=generator, dtype=x.dtype), alpha_bar)
        if t in (1, 5, 12, T):
            jump = q_sample(x0, full(n, t), torch.randn(n, generator=generator, dtype=x.dtype), alpha_bar)
            quantiles = torch.linspace(0.1, 0.9, 17, dtype=x.dtype)
            for kind in (x0 == 0.9, x0 == -0.5):
                gap = (x[kind].quantile(quantiles) - jump[kind].quantile(quantiles)).abs().max()
                assert gap < 0.06, f"t = {t}"
                a = alpha_bar[t].item()
                expected = math.sqrt(a) * x0[kind][0].item()
                assert abs(x[kind].mean().item() - expected) < 4 * math.sqrt((1 - a) / kind.sum().item()) + 1e-12
                assert abs(x[kind].var().item() / (1 - a) - 1) < 0.035


def test_one_step_of_the_chain_is_the_jump_to_1(generator):
    x0, eps = torch.randn(2, 3, 1, 4, 4, generator=generator)
    torch.testing.assert_close(q_step(x0, full(3, 1), eps, LINEAR), q_sample(x0, full(3, 1), eps, LINEAR))


def test_q_sample_by_hand():
    x0, eps = torch.tensor([[1.0], [-1.0]]), torch.tensor([[0.5], [2.0]])
    x = q_sample(x0, torch.tensor([1, 2]), eps, torch.tensor([1.0, 0.64, 0.36]))
    torch.testing.assert_close(x, torch.tensor([[0.8 + 0.6 * 0.5], [-0.6 + 0.8 * 2]]))


def test_q_step_by_hand():
    x = q_step(torch.tensor([2.0]), torch.tensor([2]), torch.tensor([0.5]), torch.tensor([1.0, 0.64, 0.16]))
    torch.testing.assert_close(x, torch.tensor([0.5 * 2 + math.sqrt(0.75) * 0.5]))  # beta_2 = 1 - 0.16/0.64


def test_nothing_has_happened_at_t_0(generator):
    x0, eps = torch.randn(2, 3, 5, generator=generator)
    assert torch.equal(q_sample(x0, full(3, 0), eps, LINEAR), x0)


def bayes_on_a_grid(x_t, x0, t, s, alpha_bar):
    """Mean and variance of p(x_s | x_t, x0) by multiplying densities: p(x_t | x_s) p(x_s | x0), in 1-D."""
    a_t, a_s = alpha_bar[t].item(), alpha_bar[s].item()
    x_s = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    log_p = -((x_s - math.sqrt(a_s) * x0) ** 2) / (2 * (1 - a_s))
    log_p -= (x_t - math.sqrt(a_t / a_s) * x_s) ** 2 / (2 * (1 - a_t / a_s))
    p = torch.softmax(log_p, 0)
    mean = (p * x_s).sum()
    return mean.item(), (p * (x_s - mean) ** 2).sum().item()


@pytest.mark.parametrize("t, s", [(2, 1), (500, 499), (1000, 999), (500, 100), (1000, 3), (30, 7)])
@pytest.mark.parametrize("alpha_bar", [linear(), cosine()], ids=["linear", "cosine"])
def test_q_posterior_is_bayes_rule(t, s, alpha_bar):
    x_t, x0 = torch.tensor([0.8, -1.7, 0.1], dtype=torch.float64), torch.tensor([0.9, -0.2, -1.0], dtype=torch.float64)
    mean, var = q_posterior(x_t, x0, full(3, t), full(3, s), alpha_bar)
    assert mean.shape == var.shape == (3,)
    for i in range(3):
        expected = bayes_on_a_grid(x_t[i].item(), x0[i].item(), t, s, alpha_bar)
        assert (mean[i].item(), var[i].item()) == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("t, m, s", [(900, 600, 200), (700, 699, 698), (50, 2, 1), (1000, 10, 0)])
def test_two_steps_back_compose_to_one(t, m, s, generator):
    """Stepping t -> m -> s with the exact posterior has the mean and variance of the one step t -> s."""
    x_t, x0 = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    mean_m, var_m = q_posterior(x_t, x0, full(4, t), full(4, m), LINEAR)
    mean_s, var_s = q_posterior(mean_m, x0, full(4, m), full(4, s), LINEAR)
    slope = (q_posterior(mean_m + 1, x0, full(4, m), full(4, s), LINEAR)[0] - mean_s)[:, :1]
    mean, var = q_posterior(x_t, x0, full(4, t), full(4, s), LINEAR)
    torch.testing.assert_close(mean_s, mean)
    torch.testing.assert_close(var_s + slope**2 * var_m, var)


def test_the_whole_way_back_is_the_picture(generator):
    x_t, x0 = torch.randn(2, 3, 1, 2, 2, generator=generator)
    mean, var = q_posterior(x_t, x0, torch.tensor([1, 500, 1000]), full(3, 0), LINEAR)
    torch.testing.assert_close(mean, x0)
    assert var.shape == (3, 1, 1, 1) and (var == 0).all()


def test_a_batch_has_its_own_time_for_each_picture(generator):
    x, eps = torch.randn(2, 3, 1, 2, 2, generator=generator)
    t, s = torch.tensor([3, 400, 1000]), torch.tensor([1, 399, 0])
    for i in range(3):
        one = slice(i, i + 1)
        torch.testing.assert_close(q_sample(x, t, eps, LINEAR)[one], q_sample(x[one], t[one], eps[one], LINEAR))
        torch.testing.assert_close(q_step(x, t, eps, LINEAR)[one], q_step(x[one], t[one], eps[one], LINEAR))
        torch.testing.assert_close(
            q_posterior(x, eps, t, s, LINEAR)[0][one], q_posterior(x[one], eps[one], t[one], s[one], LINEAR)[0]
        )


def test_bad_input(as_learner):
    x = torch.zeros(2, 1, 4, 4)
    for f in (q_step, q_sample):
        with pytest.raises(ValueError, match=r"0\.\.1000, got 1 to 1001"):
            f(x, torch.tensor([1, 1001]), x, LINEAR)
        with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\) and \(2, 4, 4\)"):
            f(x, torch.tensor([1, 2]), x[:, 0], LINEAR)
        with pytest.raises(ValueError, match=r"each of the 2 pictures; got shape \(1,\)"):
            f(x, torch.tensor([1]), x, LINEAR)
    with pytest.raises(ValueError, match="first noising step is t = 1, got t = 0"):
        q_step(x, torch.tensor([0, 1]), x, LINEAR)
    with pytest.raises(ValueError, match=r"expected s < t, got s = \[5, 5\] and t = \[6, 5\]"):
        q_posterior(x, x, torch.tensor([6, 5]), torch.tensor([5, 5]), LINEAR)
    with pytest.raises(ValueError, match="got -1 to 5"):
        q_posterior(x, x, torch.tensor([6, 6]), torch.tensor([5, -1]), LINEAR)
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\) and \(1, 4, 4\)"):
        q_posterior(x, x[0], torch.tensor([6, 6]), torch.tensor([5, 5]), LINEAR)


def test_shapes_are_checked_in_the_tests():
    """The import hook of conftest.py is at work: a shape that the annotation forbids does not get in."""
    with pytest.raises(TypeError, match="q_sample"):
        q_sample(torch.zeros(2, 3), torch.tensor([1, 2]), torch.zeros(4, 3), LINEAR)
