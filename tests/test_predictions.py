import math

import pytest
import torch
from torch import nn

from diffusion_tutorial.forward import q_posterior, q_sample, q_step
from diffusion_tutorial.predictions import (
    Denoiser,
    Guess,
    cut,
    eps_from_v,
    eps_from_x0,
    guess,
    v_from,
    x0_from_eps,
    x0_from_v,
)
from diffusion_tutorial.samplers import moment
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
    for f in (x0_from_eps, eps_from_x0, v_from, eps_from_v, x0_from_v):
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


@pytest.mark.parametrize("output", ["eps", "v"])
def test_a_guess_is_both_from_one_look(output, generator):
    x_t, net = torch.randn(len(T), 1, 4, 4, generator=generator), Net()
    model = Denoiser(net, linear(), output)
    x0_hat, eps_hat = guess(model, x_t, T, model.alpha_bar)
    assert len(net.asked) == 1
    torch.testing.assert_close(eps_hat, model(x_t, T))
    torch.testing.assert_close(x0_hat, x0_from_eps(x_t, eps_hat, T, linear()), atol=1e-3, rtol=1e-3)


def test_x0_from_v_is_right_where_no_signal_is_left(noised):
    x0, eps, x_t, alpha_bar = noised
    torch.testing.assert_close(x0_from_v(x_t, v_from(x0, eps, T, alpha_bar), T, alpha_bar), x0)
    zero, end = zero_terminal_snr(alpha_bar), torch.full((len(T),), 1000)
    torch.testing.assert_close(x0_from_v(eps, v_from(x0, eps, end, zero), end, zero), x0)


def test_a_cut_guess_still_says_one_thing(noised):
    x0, eps, x_t, alpha_bar = noised
    same = cut(Guess(x0, eps), x_t, T, alpha_bar, None)
    assert same.x0_hat is x0 and same.eps_hat is eps
    x0_hat, eps_hat = cut(Guess(x0, eps), x_t, T, alpha_bar, 0.5)
    assert x0_hat.abs().max() == 0.5
    torch.testing.assert_close(q_sample(x0_hat, T, eps_hat, alpha_bar), x_t)
    with pytest.raises(ValueError, match="clip > 0, or None .* got 0"):
        Denoiser(Net(), alpha_bar, clip=0)


X = torch.zeros(2, 1, 4, 4)
DOORS = {
    "q_sample": lambda t: q_sample(X, t, X, cosine()),
    "q_step": lambda t: q_step(X, t, X, cosine()),
    "q_posterior": lambda t: q_posterior(X, X, t, 0 * t, cosine()),
    "x0_from_eps": lambda t: x0_from_eps(X, X, t, cosine()),
    "eps_from_x0": lambda t: eps_from_x0(X, X, t, cosine()),
    "v_from": lambda t: v_from(X, X, t, cosine()),
    "eps_from_v": lambda t: eps_from_v(X, X, t, cosine()),
    "x0_from_v": lambda t: x0_from_v(X, X, t, cosine()),
    "moment": lambda t: moment(X, X, t, t - 1, cosine()),
    "Denoiser": lambda t: Denoiser(Net(), cosine(), "v")(X, t),
    "Denoiser.guess": lambda t: Denoiser(Net(), cosine(), "v").guess(X, t),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize(
    "t, says",
    [
        ([1, 1001], r"expected every t in 0\.\.1000, got 1 to 1001"),
        ([-1, 1], r"expected every t in 0\.\.1000, got -1 to 1"),
        ([1.0, 2.0], "whole numbers, one for each of the 2 pictures; got .*float32"),
        ([1, 2, 3], r"each of the 2 pictures; got shape \(3,\)"),
        ([1], r"each of the 2 pictures; got shape \(1,\)"),
        (1, r"each of the 2 pictures; got shape \(\)"),
    ],
)
def test_every_door_says_what_is_wrong_with_t(door, t, says, as_learner):
    with pytest.raises(ValueError, match=says):
        door(torch.tensor(t))
