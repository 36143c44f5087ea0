"""Exercises of "Jump after all": a form that keeps the boundary, the pair's target, and which side learns from which."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from diffusion_tutorial import exact, samplers, schedules
from diffusion_tutorial.checks.core import Exercise
from diffusion_tutorial.forward import q_sample

ALPHA_BAR = schedules.cosine(100)


def jump(net: Callable, x_t: Tensor, t: Tensor, alpha_bar: Tensor) -> Tensor:
    """sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) net(x_t, t): at t = 0 it is x_t, whatever the network says."""
    a = schedules.at(alpha_bar, t, x_t)
    return torch.sqrt(a) * x_t - torch.sqrt(1 - a) * net(x_t, t)


def pair_target(denoiser: Callable, x_T: Tensor, alpha_bar: Tensor) -> Tensor:
    """Where the walk without dice that begins at x_T ends, in 20 steps."""
    times = samplers.times(20, len(alpha_bar) - 1)
    return samplers.draw(denoiser, x_T, times, alpha_bar, step=samplers.ddim_step)


def consistency_loss(f: Callable, x0: Tensor, t: Tensor, r: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """mean (f(x_t, t) - f(x_r, r))^2, the same x0 and eps in both, and no slope through the second."""
    x_t, x_r = q_sample(x0, t, eps, alpha_bar), q_sample(x0, r, eps, alpha_bar)
    with torch.no_grad():
        target = f(x_r, r)
    return (f(x_t, t) - target).square().mean()


def _same_dice(function: Callable) -> Callable:
    """The function, which finds torch's own dice as they are after seed 0: who throws some is told so, and not "some number differs"."""

    @functools.wraps(function)
    def walk(*case: Any) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return function(*case)

    return walk


class Thrown(Exercise):
    """An exercise whose answer throws no dice, so that an attempt that does can be recognised."""

    def verdict(self, attempt: Any) -> str:
        """The line that is printed, without the name in front."""
        return super().verdict(_same_dice(attempt) if callable(attempt) else attempt)

    def _outcomes(self, function: Callable) -> list:
        return super()._outcomes(_same_dice(function))


class Sloped(Exercise):
    """An exercise whose answer is a loss of a function f: judged by its value and by which way it turns f's one weight."""

    def verdict(self, attempt: Any) -> str:
        """The line that is printed, without the name in front."""
        return super().verdict(_sloped(_same_dice(attempt)) if callable(attempt) else attempt)

    def _outcomes(self, function: Callable) -> list:
        return super()._outcomes(_sloped(_same_dice(function)))


def _sloped(loss: Callable) -> Callable:
    """(loss, slope in the weight) of loss(f, ...), with f(x, t) = jump whose network answers weight * x."""

    @functools.wraps(loss)
    def both(*case: Tensor) -> Any:
        weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            value = loss(lambda x, t: jump(lambda x, t: weight * x, x, t, case[-1]), *case)
        if not isinstance(value, Tensor):
            return value
        if value.numel() != 1 or not value.requires_grad:  # nothing learns
            return value.detach(), torch.zeros(())
        return value.detach(), torch.autograd.grad(value.sum(), weight)[0]

    return both


def _jump_cases() -> list[tuple]:
    x_t = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(16))
    return [
        (lambda x, t: torch.tanh(2 * x) + 0.3, x_t, torch.tensor(t), ALPHA_BAR)
        for t in ([0, 30, 60, 100], [5, 0, 90, 50])
    ]


def _of(mix: Callable) -> Callable:
    """mix(a, x_t, what the network says), a = alpha_bar_t."""
    return lambda net, x_t, t, alpha_bar: mix(schedules.at(alpha_bar, t, x_t), x_t, net(x_t, t))


def _pair_cases() -> list[tuple]:
    two = torch.ones(2, dtype=torch.float64)
    means = torch.tensor([[-1.0, 0.5], [1.0, -0.5]], dtype=torch.float64)
    cloud = exact.GaussianMixture(two, means, 0.2 * two).denoiser(ALPHA_BAR)
    x_T = torch.randn(6, 2, generator=torch.Generator().manual_seed(61), dtype=torch.float64)
    return [(cloud, x_T, ALPHA_BAR), (cloud, -x_T, ALPHA_BAR)]


def _one_call(denoiser: Callable, x_T: Tensor, alpha_bar: Tensor) -> Tensor:
    return samplers.draw(denoiser, x_T, [len(alpha_bar) - 1, 0], alpha_bar, step=samplers.ddim_step)


def _stops_early(denoiser: Callable, x_T: Tensor, alpha_bar: Tensor) -> Tensor:
    times = samplers.times(20, len(alpha_bar) - 1)[:-1]
    return samplers.draw(denoiser, x_T, times, alpha_bar, step=samplers.ddim_step)


def _with_dice(denoiser: Callable, x_T: Tensor, alpha_bar: Tensor) -> Tensor:
    """The ancestral walk."""
    return samplers.draw(denoiser, x_T, samplers.times(20, len(alpha_bar) - 1), alpha_bar, step=samplers.ddpm_step)


def _consistency_cases() -> list[tuple]:
    x0, eps = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    t = torch.tensor([100, 80, 60, 40, 20])
    return [(x0, t, r, eps, ALPHA_BAR) for r in (t // 2, t - 10, torch.zeros_like(t))]


def _loss(
    target: Callable, answer: Callable = lambda f, x_t, t: f(x_t, t), other: Callable = lambda eps: eps
) -> Callable:
    """mean (answer - target)^2 with the places x_t and x_r; `other` makes the second noise."""

    def loss(f: Callable, x0: Tensor, t: Tensor, r: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
        x_t, x_r = q_sample(x0, t, eps, alpha_bar), q_sample(x0, r, other(eps), alpha_bar)
        return (answer(f, x_t, t) - target(f, x_r, r, x0)).square().mean()

    return loss


Exercise(
    "jump",
    answer=jump,
    cases=_jump_cases(),
    mistakes={
        "The boundary is gone: that is what the network says, and at t = 0 it may say anything. Keep a share of x_t that is all "
        "of it at t = 0.": _of(lambda a, x_t, out: out),
        "Half of the boundary: at t = 0 you have x_t, and still the network's answer on top. Its share has to be 0 there.": _of(
            lambda a, x_t, out: a.sqrt() * x_t - out
        ),
        "The shares are swapped: at t = 0, where alpha_bar is 1, this is the network's answer alone.": _of(
            lambda a, x_t, out: (1 - a).sqrt() * x_t - a.sqrt() * out
        ),
        "The sign: the network answers v, in which the picture stands with a minus. Subtract it.": _of(
            lambda a, x_t, out: a.sqrt() * x_t + (1 - a).sqrt() * out
        ),
        "The roots are missing: alpha_bar and 1 - alpha_bar are shares of variance.": _of(
            lambda a, x_t, out: a * x_t - (1 - a) * out
        ),
        "This takes the answer for the noise. The network answers v, and then nothing is divided.": _of(
            lambda a, x_t, out: (x_t - (1 - a).sqrt() * out) / a.sqrt()
        ),
        "alpha_bar[t] has a number for each picture, and here each column of pixels got one. schedules.at gives it the shape that "
        "multiplies pictures.": lambda net, x_t, t, alpha_bar: (
            alpha_bar[t].sqrt() * x_t - (1 - alpha_bar[t]).sqrt() * net(x_t, t)
        ),
    },
    nudge="Think of the clean picture, to which no noise was added: which of your terms has to vanish there?",
)

Thrown(
    "pair_target",
    answer=pair_target,
    cases=_pair_cases(),
    mistakes={
        "That is the first guess, made in one call: the mean of all that this static could become, so the blur. Go all the way.": (
            _one_call
        ),
        "That is the static itself. Its partner is where the walk from it ends.": lambda denoiser, x_T, alpha_bar: x_T,
        "The walk stops a step before its end, at a point that is a little noisy still: times end with 0.": _stops_early,
        "A walk with dice gives each static another partner at every throw, and so the blur is back. Take a step without.": (
            _with_dice
        ),
    },
    nudge="Which of the samplers throws no dice, and where do its times begin and end?",
)

Sloped(
    "consistency_loss",
    answer=consistency_loss,
    cases=_consistency_cases(),
    mistakes={
        "The value is right, but both sides learn: the near one is pulled towards the far one's blur. Only f(x_t, t) may move.": (
            _loss(lambda f, x_r, r, x0: f(x_r, r))
        ),
        "The value is right, but the slope is stopped on the wrong side: who knows more, at the earlier r, learns from who knows "
        "less. Hold f(x_r, r) fast.": _loss(lambda f, x_r, r, x0: f(x_r, r), lambda f, x_t, t: f(x_t, t).detach()),
        "Two noises put x_t and x_r on two paths, which end in two pictures: use the same eps.": _loss(
            lambda f, x_r, r, x0: f(x_r, r).detach(), other=torch.randn_like
        ),
        "The target is x0 at every r: that asks for the mean again. It is f(x_r, r), which is x0 only at r = 0.": _loss(
            lambda f, x_r, r, x0: x0
        ),
        "The target is x_r, which is still noisy. Let f say where it leads.": _loss(lambda f, x_r, r, x0: x_r),
        "Nothing learns: both sides are held fast.": _loss(
            lambda f, x_r, r, x0: f(x_r, r).detach(), lambda f, x_t, t: f(x_t, t).detach()
        ),
    },
    nudge="Two places of one path, two calls of f; and ask which of the two calls may still change.",
)
