"""Exercises of "Walk back from static": the step, the loop, new or copied."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from diffusion_tutorial import metrics, samplers, schedules
from diffusion_tutorial.checks.core import Exercise
from diffusion_tutorial.forward import q_posterior
from diffusion_tutorial.predictions import x0_from_eps
from diffusion_tutorial.schedules import at


def p_sample(
    x_t: Tensor, eps_hat: Tensor, t: Tensor, s: Tensor, alpha_bar: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """x_s ~ q(x_s | x_t, x_0 = x0_hat), x0_hat cut to [-1, 1]: the ancestral step  (Ho et al. 2020, algorithm 2)."""
    x0_hat = x0_from_eps(x_t, eps_hat, t, alpha_bar).clamp(-1, 1)
    mean, var = q_posterior(x_t, x0_hat, t, s, alpha_bar)
    return mean + torch.sqrt(var) * noise, x0_hat


def _p_sample(clip=1.0, spread=lambda var, beta, s: torch.sqrt(var), clip_x=None):
    """The ancestral step with another clipping, another factor for the noise, or with x_s cut as well."""

    def step(x_t, eps_hat, t, s, alpha_bar, noise):
        x0_hat = x0_from_eps(x_t, eps_hat, t, alpha_bar)
        if clip is not None:
            x0_hat = x0_hat.clamp(-clip, clip)
        mean, var = q_posterior(x_t, x0_hat, t, s, alpha_bar)
        beta = 1 - at(alpha_bar, t, x_t) / at(alpha_bar, s, x_t)
        x_s = mean + spread(var, beta, s.view(-1, *[1] * (x_t.ndim - 1))) * noise
        return (x_s if clip_x is None else x_s.clamp(-clip_x, clip_x)), x0_hat

    return step


def _noise_again(x_t, eps_hat, t, s, alpha_bar, noise):
    """Jump to x0_hat and noise it to s afresh: right at every single s, but x_t is forgotten."""
    _, x0_hat = p_sample(x_t, eps_hat, t, s, alpha_bar, noise)
    a_s = at(alpha_bar, s, x_t)
    return torch.sqrt(a_s) * x0_hat + torch.sqrt(1 - a_s) * noise, x0_hat


def _cut_too_late(x_t, eps_hat, t, s, alpha_bar, noise):
    x_s, x0_hat = _p_sample(clip=None)(x_t, eps_hat, t, s, alpha_bar, noise)
    return x_s, x0_hat.clamp(-1, 1)


def _p_sample_cases():
    generator = torch.Generator().manual_seed(606)
    x_t, eps_hat, noise = torch.randn(3, 4, 1, 3, 3, generator=generator)
    t, s = torch.tensor([[900, 500, 60, 30], [899, 350, 10, 0]])
    return [(x_t, eps_hat, t, s, ab, noise) for ab in (schedules.cosine(), schedules.linear())]


Exercise(
    "p_sample",
    answer=p_sample,
    cases=_p_sample_cases(),
    mistakes={
        "x0_hat is not clipped. Pixels end at -1 and 1, so a guess beyond them is wrong for certain: cut it before it goes "
        "into the mean.": _p_sample(clip=None),
        "You cut x0_hat after you had used it. Cut it first, then hand it to q_posterior.": _cut_too_late,
        "You add noise at the last step. At s = 0 the posterior's variance is 0; yours is beta, which is not: the finished "
        "picture gets grain.": _p_sample(spread=lambda var, beta, s: torch.sqrt(beta)),
        "Your noise has the variance beta. With x0_hat known the step is surer than that: take the posterior's variance, "
        "the second thing that q_posterior returns.": _p_sample(
            spread=lambda var, beta, s: torch.where(s > 0, torch.sqrt(beta), 0.0)
        ),
        "You multiplied the noise by the variance. Noise is multiplied by its standard deviation, sqrt(var).": _p_sample(
            spread=lambda var, beta, s: var
        ),
        "The noise is missing. The mean alone is the middle of all possible x_s, not one of them.": _p_sample(
            spread=lambda var, beta, s: 0
        ),
        "You added the noise at full strength, whatever the step. Multiply it by sqrt(var).": _p_sample(
            spread=lambda var, beta, s: 1
        ),
        "You noised x0_hat to time s from scratch and forgot x_t. The step has to stay near where the chain is: "
        "use q_posterior.": _noise_again,
        "You also clipped x_s. A noisy picture does leave [-1, 1], and must; only x0_hat is cut.": _p_sample(
            clip_x=1.0
        ),
    },
    nudge="Three things in turn: a guess of the clean picture, cut to its range; where the posterior is; a draw from it.",
)


def draw_by_hand(denoiser: Callable[..., Tensor], x_T: Tensor, alpha_bar: Tensor, noise: Tensor) -> Tensor:
    """x_T -> x_{T-1} -> ... -> x_0, with noise[t] for the step that starts at t."""
    x = x_T
    for t in range(len(alpha_bar) - 1, 0, -1):
        now = torch.full((len(x),), t)
        moment = samplers.moment(x, denoiser(x, now), now, now - 1, alpha_bar, noise[t])
        x = samplers.ddpm_step(moment)
    return x


class Walk(Exercise):
    """An exercise whose steps divide by 1 - alpha_bar_t, which is 0 at t = 0: who starts a step there is told so."""

    def verdict(self, attempt: Any) -> str:
        """As for any other, with a reason for a division by zero."""
        said = super().verdict(attempt)
        return f"{said}. {FROM_ZERO}" if "ZeroDivisionError" in said else said


FROM_ZERO = "There is no step from t = 0, where the picture is finished. The last step goes from 1 to 0."


def _loop(order=None, start=None, told=0, keep=True, quiet=False, seen=False, late=0):
    """draw_by_hand with one thing wrong: the order of t, the start, the clock, x kept, the noise, what is looked at."""

    def wrong(denoiser, x_T, alpha_bar, noise):
        T = len(alpha_bar) - 1
        x = x_T if start is None else start(x_T)
        for t in order(T) if order else range(T, 0, -1):
            x = x if keep else x_T
            now = torch.full((len(x),), t)
            z = noise[t] * 0 if quiet else noise[t - late]
            eps_hat = denoiser(x_T if seen else x, (now - told).clamp(min=0))
            x = samplers.ddpm_step(samplers.moment(x, eps_hat, now, now - 1, alpha_bar, z))
        return x

    return wrong


def _shrinking(x_t, t, cond=None):
    """A stand-in for a trained network, on five steps of a schedule: the best guess for pixels with a spread of 0.4."""
    a = at(_SHORT, t, x_t)
    return torch.sqrt(1 - a) * x_t / (1 - 0.84 * a)


_SHORT = torch.tensor([1.0, 0.9, 0.7, 0.4, 0.15, 0.02])


def _loop_cases():
    generator = torch.Generator().manual_seed(607)
    return [
        (
            _shrinking,
            torch.randn(2, 1, 3, 3, generator=generator),
            _SHORT,
            torch.randn(6, 2, 1, 3, 3, generator=generator),
        )
        for _ in range(2)
    ]


Walk(
    "draw_by_hand",
    answer=draw_by_hand,
    cases=_loop_cases(),
    mistakes={
        "You walk from the clean end, t = 1 first. x_T is static: its first step is the one from T, and t falls to 1.": _loop(
            lambda T: range(1, T + 1)
        ),
        "You began at T - 1: the step from T itself is missing. range(T, 0, -1) begins at T.": _loop(
            lambda T: range(T - 1, 0, -1)
        ),
        "You stopped at x_1: the last step, from 1 to 0, is missing. range(T, 0, -1) ends at 1; range(T, 1, -1) does not.": (
            _loop(lambda T: range(T, 1, -1))
        ),
        "Both ends are missing, the step from T and the step from 1. Use range(T, 0, -1).": _loop(
            lambda T: range(T - 1, 1, -1)
        ),
        "You started from an empty picture. The noise at T is where the picture comes from: begin with x = x_T.": _loop(
            start=torch.zeros_like
        ),
        "Every step starts again from x_T. Put the result of a step back into x.": _loop(keep=False),
        "You told the network t - 1, where the step goes to. It is looking at x_t, so tell it t.": _loop(told=1),
        "You left the noise out. Hand noise[t] to the step that starts at t.": _loop(quiet=True),
        "You took the noise of the next step. noise[t] is for the step that starts at t.": _loop(late=1),
        "The network always looks at x_T. Show it where the walk is now: x.": _loop(seen=True),
    },
    nudge="Walk from T down to 0, one step at a time, and write down t and s as you go.",
)


def suspects(samples: Tensor, held_out: Tensor, train: Tensor) -> float:
    """The share of samples nearer to a training picture than every held-out picture is to its own nearest one."""
    limit = metrics.nearest(held_out, train)[0].min()
    return (metrics.nearest(samples, train)[0] < limit).double().mean().item()


def _near(samples, train):
    return metrics.nearest(samples, train)[0]


def _suspects_cases():
    """Pictures of random dots; a few samples are copies, exact or a little brighter, and two are copies of held-out ones."""
    generator = torch.Generator().manual_seed(608)
    cases = []
    for copies in (3, 5):
        train, held_out, samples = (torch.rand(n, 1, 4, 4, generator=generator) for n in (40, 15, 20))
        samples[:copies] = train[:copies] + 0.03 * torch.arange(copies).view(-1, 1, 1, 1)
        samples[-2:] = held_out[:2]
        cases.append((samples, held_out, train))
    return cases


Exercise(
    "suspects",
    answer=suspects,
    cases=_suspects_cases(),
    mistakes={
        "You took the limit from training pictures against the training set. Each finds itself there, at distance 0: the limit "
        "has to come from pictures that the set does not hold.": lambda samples, held_out, train: (
            (_near(samples, train) < _near(train, train).min()).double().mean().item()
        ),
        "You caught exact copies only. A copy with a little blur or noise is one, too: compare with the held-out pictures' "
        "smallest distance.": lambda samples, held_out, train: (_near(samples, train) < 1e-2).double().mean().item(),
        "Your limit is the held-out pictures' average distance. About half of all honest pictures are below it.": (
            lambda samples, held_out, train: (
                (_near(samples, train) < _near(held_out, train).mean()).double().mean().item()
            )
        ),
        "Your limit is the held-out pictures' largest distance. Nearly all honest pictures are below it: a suspect is nearer "
        "than every one of them, so take the smallest.": lambda samples, held_out, train: (
            (_near(samples, train) < _near(held_out, train).max()).double().mean().item()
        ),
        "You looked for the samples among the held-out pictures. A copy is made from the training pictures: look there.": (
            lambda samples, held_out, train: (
                (_near(samples, held_out) < _near(held_out, train).min()).double().mean().item()
            )
        ),
        "That is the share that is not suspect. Turn the comparison round.": lambda samples, held_out, train: (
            1 - suspects(samples, held_out, train)
        ),
        "That is how many, not which share: divide by the number of samples.": lambda samples, held_out, train: (
            suspects(samples, held_out, train) * len(samples)
        ),
    },
    nudge="How near to the training pictures do pictures come that nobody can have copied? That is the measure.",
)
