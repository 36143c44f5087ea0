"""Exercises of "Dissolve a picture": the forward process and its schedules."""

import math

import torch

from diffusion_tutorial import forward, schedules
from diffusion_tutorial.checks.core import Exercise


def spread_after(n: int, beta: float) -> float:
    """sqrt(1 - (1 - beta)^n): the standard deviation of a pixel that started at 0, after n steps of one beta."""
    return math.sqrt(1 - (1 - beta) ** n)


def _one_loop_less(beta):
    """alpha_bar[t] made from the betas before step t only."""
    return torch.cat([torch.ones_like(beta[:1]), torch.cumprod(1 - beta, dim=0)[:-1]])


def _q_sample(signal, noise):
    """q_sample with other factors: signal and noise take (alpha_bar, t, x0) and return what to multiply by."""
    return lambda x0, t, eps, alpha_bar: signal(alpha_bar, t, x0) * x0 + noise(alpha_bar, t, x0) * eps


def _root(values, t, x):
    return schedules.at(values, t, x).sqrt()


def _rest(values, t, x):
    return (1 - schedules.at(values, t, x)).sqrt()


def _one_step_only(x0, t, eps, alpha_bar):
    """alpha_t in the place of alpha_bar_t: as if the last step were the only one."""
    return _q_sample(_root, _rest)(x0, t, eps, 1 - schedules.beta_from(alpha_bar))


def _wrong_axis(x0, t, eps, alpha_bar):
    """alpha_bar[t] as it is, (batch,): torch lines it up with the last axis, not the first."""
    a = alpha_bar[t]
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def _stretched(values):
    """values - values[-1], stretched so that values[1] stays; values[0] is 1."""
    out = (values - values[-1]) * values[1] / (values[1] - values[-1])
    return torch.cat([torch.ones_like(out[:1]), out[1:]])


def _shifted_only(alpha_bar):
    root = alpha_bar.sqrt()
    return torch.cat([torch.ones_like(root[:1]), (root - root[-1])[1:] ** 2])


def _q_sample_cases():
    """As many pictures as a picture is wide, so that a factor along the wrong axis does not stop with an error."""
    generator = torch.Generator().manual_seed(303)
    x0, eps = torch.randn(2, 4, 1, 4, 4, generator=generator)
    alpha_bar = torch.tensor([1.0, 0.9, 0.6, 0.3, 0.05])
    return [(x0, torch.tensor(t), eps, alpha_bar) for t in ([1, 2, 3, 4], [4, 0, 2, 2])]


Exercise(
    "spread_after",
    answer=spread_after,
    cases=[(1, 0.1), (2, 0.1), (10, 0.02), (40, 0.3)],
    mistakes={
        "That is the variance. The spread that a histogram shows is its square root.": lambda n, beta: (
            1 - (1 - beta) ** n
        ),
        "You added standard deviations. Independent noises add in variance ('Meet Gaussian noise'); and beta is the "
        "variance of one step, so its deviation is sqrt(beta).": lambda n, beta: n * math.sqrt(beta),
        "You took beta for a standard deviation. It is a variance: one step from 0 has the spread sqrt(beta).": (
            lambda n, beta: beta * math.sqrt((1 - (1 - beta) ** (2 * n)) / (1 - (1 - beta) ** 2))
        ),
        "You added n variances of beta, but every step also shrinks what is there by sqrt(1 - beta), older noise included. "
        "Look at your answer for many steps: it passes 1.": lambda n, beta: math.sqrt(n * beta),
        "That is how much of the picture is left, sqrt((1 - beta)^n). The noise has the rest of the variance.": (
            lambda n, beta: math.sqrt((1 - beta) ** n)
        ),
    },
    nudge="Follow the variance from one step to the next, from 0 on, and take its root in the end.",
)

Exercise(
    "alpha_bar_from",
    answer=schedules.alpha_bar_from,
    cases=[(torch.tensor([0.0, 0.1, 0.2, 0.4, 0.5]),), (torch.tensor([0.0, 0.01, 0.01, 0.3]),)],
    mistakes={
        "You subtracted the sum of the betas. Each step keeps a share of what is left, so shares multiply; the sum runs past "
        "1 and alpha_bar below 0.": lambda beta: 1 - torch.cumsum(beta, dim=0),
        "Your list is late by one: alpha_bar[t] has to hold the steps 1 to t, the t-th included.": _one_loop_less,
        "Your list starts at t = 1. Keep the entry for the clean picture, alpha_bar[0] = 1: beta[0] is 0 and gives it for "
        "free.": lambda beta: torch.cumprod(1 - beta[1:], dim=0),
        "You multiplied the betas. What a step keeps is 1 - beta.": lambda beta: torch.cumprod(beta, dim=0),
        "That is 1 - beta for each step alone (alpha_t). The bar stands for the product of all steps up to t.": (
            lambda beta: 1 - beta
        ),
        "That is sqrt(alpha_bar), the factor in front of the picture. alpha_bar is its square: drop the root.": (
            lambda beta: torch.cumprod((1 - beta).sqrt(), dim=0)
        ),
    },
    nudge="What one step keeps is a factor: multiply the factors of all steps up to t. Before the first, all is kept.",
)

Exercise(
    "q_sample",
    answer=forward.q_sample,
    cases=_q_sample_cases(),
    mistakes={
        "The noise lacks its root: 1 - alpha_bar_t is the variance of the noise, so eps is multiplied by "
        "sqrt(1 - alpha_bar_t).": _q_sample(_root, lambda ab, t, x: 1 - schedules.at(ab, t, x)),
        "The picture lacks its root: it is multiplied by sqrt(alpha_bar_t).": _q_sample(schedules.at, _rest),
        "Both roots are missing: alpha_bar_t and 1 - alpha_bar_t are shares of variance, and pixels are multiplied by the "
        "square roots.": _q_sample(schedules.at, lambda ab, t, x: 1 - schedules.at(ab, t, x)),
        "You used alpha_t, what the last step alone keeps. alpha_bar_t holds all t steps, and the argument alpha_bar is "
        "that already: read it at t.": _one_step_only,
        "Off by one: alpha_bar[0] is the clean picture here, so step t is alpha_bar[t], not alpha_bar[t - 1].": (
            lambda x0, t, eps, ab: forward.q_sample(x0, (t - 1).clamp(min=0), eps, ab)
        ),
        "Your factor runs along the width of the pictures, not along the batch: alpha_bar[t] has the shape (batch,). Make it "
        "(batch, 1, 1, 1) with schedules.at(alpha_bar, t, x0) or .view(-1, 1, 1, 1).": _wrong_axis,
        "You swapped the two factors: at t = 0 the picture must come back unchanged.": _q_sample(_rest, _root),
    },
    nudge="Each picture has an alpha_bar of its own, and the squares of the two factors add up to 1.",
)

Exercise(
    "ends_in_static",
    answer=schedules.zero_terminal_snr,
    cases=[(schedules.linear(200),), (schedules.linear(50),), (torch.tensor([1.0, 0.9, 0.6, 0.3, 0.05]),)],
    mistakes={
        "You set the last entry to 0 and left the others: the last step then throws away all that is left in one blow. "
        "Shift and stretch the whole curve.": lambda ab: torch.cat([ab[:-1], torch.zeros_like(ab[-1:])]),
        "You shifted and stretched alpha_bar. Do it to sqrt(alpha_bar), the factor in front of the picture, then square.": (
            _stretched
        ),
        "You shifted but did not stretch: step 1 now loses more than before. Multiply by root[1] / (root[1] - root[-1]).": (
            _shifted_only
        ),
        "That is sqrt(alpha_bar), shifted and stretched as it should be. Square it to get alpha_bar back.": (
            lambda ab: _stretched(ab.sqrt())
        ),
        "Two things are missing: square what you have to get alpha_bar back, and put entry 0 at 1 by hand.": lambda ab: (
            (ab.sqrt() - ab[-1].sqrt()) * ab[1].sqrt() / (ab[1].sqrt() - ab[-1].sqrt())
        ),
        "All but entry 0 is right: stretching moves that a hair above 1. Put root[0] = 1 back by hand.": (
            lambda ab: ((ab.sqrt() - ab[-1].sqrt()) * ab[1].sqrt() / (ab[1].sqrt() - ab[-1].sqrt())) ** 2
        ),
        "Nothing changed: the last entry has to be exactly 0.": lambda ab: ab,
    },
    nudge="Work on the square roots: shift them until the last is 0, then stretch them until entry 1 is what it was.",
    tolerance=1e-6,
)
