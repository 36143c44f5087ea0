import math

import pytest
import torch
from torch import nn

from diffusion_tutorial.forward import q_sample
from diffusion_tutorial.predictions import Denoiser, eps_from_v, eps_from_x0, v_from, x0_from_eps
from diffusion_tutorial.schedules import cosine, linear, zero_terminal_snr

SCHEDULES = [linear(), cosine()]
T = torch.tensor([1, 2, 250, 500, 750, 999, 1000])


@pytest.fixture(params=SCHEDULES, ids=["linear", "cosine"])
def noised(request, generator):
    x0, eps = torch.randn(2, len(T), 1, 4, 4, generator=generator, dtype=torch.float64)
    return x0, eps, q_sample(x0, T, eps, request.param), request.param


def test_x0_and_eps_are_inverses(noised):
    x0, eps, x_t, alpha_bar = noised
    torch.testing.assert_close(x0_from_eps(x_t, eps, T, alpha_bar), x0)
    torch.testing.assert_close(eps_from_x0(x_t, x0, T, alpha_bar), eps)
    guess = torch.randn_like(eps)  # also for guesses that are wrong
    torch.testing.assert_close(eps_from_x0(x_t, x0_from_eps(x_t, guess, T, alpha_bar), T, alpha_bar), guess)


def test_v_and_eps_are_inverses(noised):
    x0, eps, x_t, alpha_bar = noised
    v = v_from(x0, eps, T, alpha_bar)
    torch.testing.assert_close(eps_from_v(x_t, v, T, alpha_bar), eps)
    guess = torch.randn_like(v)
    eps_hat = eps_from_v(x_t, guess, T, alpha_bar)
    torch.testing.assert_close(v_from(x0_from_eps(x_t, eps_hat, T, alpha_bar), eps_hat, T, alpha_bar), guess)


def test_v_is_the_velocity_of_x_along_the_arc(noised):
    """x = cos(phi) x0 + sin(phi) eps, so v = dx/dphi: by a finite difference (Salimans & Ho 2022, section 4)."""
    x0, eps, _, alpha_bar = noised
    phi, d = torch.acos(alpha_bar[T].sqrt())[:, None, None, None], 1e-6
    difference = (torch.cos(phi + d) - torch.cos(phi - d)) * x0 + (torch.sin(phi + d) - torch.sin(phi - d)) * eps
    torch.testing.assert_close(v_from(x0, eps, T, alpha_bar), difference / (2 * d), atol=1e-6, rtol=1e-6)


def test_float32_is_exact_enough_in_the_middle(noised):
    x0, eps, x_t, alpha_bar = noised
    middle = slice(2, 5)
    found = x0_from_eps(x_t[middle].float(), eps[middle].float(), T[middle], alpha_bar)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, x0[middle].float(), atol=1e-4, rtol=1e-4)


class Net(nn.Module):
    """Answers what it is told, or a fixed function of x_t, and remembers how it was asked."""

    def __init__(self, answer=None):
        super().__init__()
        self.answer, self.asked = answer, []

    def forward(self, x_t, t, cond=None):
        self.asked.append((x_t, t, cond))
        return torch.tanh(2 * x_t) if self.answer is None else self.answer


@pytest.mark.parametrize("alpha_bar", SCHEDULES, ids=["linear", "cosine"])
def test_output_v_equals_the_conversion_and_output_eps_the_raw_answer(alpha_bar, generator):
    x_t = torch.randn(len(T), 1, 4, 4, generator=generator)
    raw = Net()(x_t, T)
    torch.testing.assert_close(Denoiser(Net(), alpha_bar, "v")(x_t, T), eps_from_v(x_t, raw, T, alpha_bar))
    assert torch.equal(Denoiser(Net(), alpha_bar, "eps")(x_t, T), raw)


def test_a_perfect_v_gives_the_noise(generator):
    alpha_bar = cosine()
    x0, eps = torch.randn(2, len(T), 1, 4, 4, generator=generator)
    perfect = Net(v_from(x0, eps, T, alpha_bar))
    eps_hat = Denoiser(perfect, alpha_bar, "v")(q_sample(x0, T, eps, alpha_bar), T)
    torch.testing.assert_close(eps_hat, eps, atol=1e-5, rtol=1e-5)


def test_the_denoiser_hands_on_its_arguments_and_answers_in_float32(generator):
    net, cond = Net(torch.zeros(2, 1, 4, 4, dtype=torch.bfloat16)), torch.tensor([3, 4])
    x_t, t = torch.randn(2, 1, 4, 4, generator=generator), torch.tensor([5, 6])
    assert Denoiser(net, cosine(), "v")(x_t, t, cond).dtype == torch.float32
    assert Denoiser(net, cosine())(x_t, t).dtype == torch.float32
    assert all(a is b for a, b in zip(net.asked[0], (x_t, t, cond))) and net.asked[1][2] is None


def test_the_schedule_stays_exact_when_the_network_does_not():
    model = Denoiser(nn.Linear(1, 1), cosine().float().double())
    assert torch.equal(model.alpha_bar, cosine().float().double()) and model.alpha_bar.dtype == torch.float64
    assert not any("alpha_bar" in name for name in model.state_dict())


def test_bad_input(as_learner):
    x = torch.zeros(2, 1, 4, 4)
    t = torch.tensor([1, 2])
    with pytest.raises(ValueError, match='"eps" or "v", got "x0"'):
        Denoiser(nn.Linear(1, 1), cosine(), "x0")
    with pytest.raises(ValueError, match=r"alpha_bar\[0\] == 1"):
        Denoiser(nn.Linear(1, 1), cosine()[1:])
    for f in (x0_from_eps, eps_from_x0, v_from, eps_from_v):
        with pytest.raises(ValueError, match=r"0\.\.1000, got 1 to 1001"):
            f(x, x, torch.tensor([1, 1001]), cosine())
        with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\) and \(2, 4, 4\)"):
            f(x, x[:, 0], t, cosine())
    with pytest.raises(ValueError, match="no noise has been added"):
        eps_from_x0(x, x, torch.tensor([0, 5]), cosine())
    with pytest.raises(ValueError, match="no signal is left"):
        x0_from_eps(x, x, torch.tensor([5, 1000]), zero_terminal_snr(linear()))
    for output in ("eps", "v"):
        for bad in (torch.tensor([1, 1001]), torch.tensor([-1, 1])):
            with pytest.raises(ValueError, match=r"every t in 0\.\.1000"):
                Denoiser(Net(), cosine(), output)(x, bad)
        with pytest.raises(ValueError, match="whole numbers"):
            Denoiser(Net(), cosine(), output)(x, torch.tensor([1.0, 2.0]))
    assert math.isfinite(v_from(x, x, torch.tensor([0, 1000]), cosine()).sum())  # v has no bad ends
