"""Exercises of "Ask the question well": the picture from v, the growth of an error, the average of the weights."""

import math

import torch
from torch import Tensor

from diffusion_tutorial import predictions, schedules
from diffusion_tutorial.checks.core import Exercise


def error_factor(question: str, a: float) -> float:
    """|d x0_hat / d answer| at alpha_bar_t = a, for a network that is asked for "eps", "v" or "x0"."""
    return {"eps": math.sqrt((1 - a) / a), "v": math.sqrt(1 - a), "x0": 1.0}[question]


def ema_step(average: list[Tensor], weights: list[Tensor], mu: float) -> list[Tensor]:
    """average <- mu average + (1 - mu) weights, for each tensor of the lists."""
    return [mu * old + (1 - mu) * new for old, new in zip(average, weights)]


def _v_cases() -> list[tuple]:
    """As many pictures as a picture is wide, so that a factor along the wrong axis does not stop with an error."""
    x_t, v = torch.randn(2, 4, 1, 4, 4, generator=torch.Generator().manual_seed(808))
    alpha_bar = torch.tensor([1.0, 0.9, 0.6, 0.3, 0.05])
    return [(x_t, v, torch.tensor(t), alpha_bar) for t in ([1, 2, 3, 4], [4, 1, 2, 2])]


def _from_v(of_x_t, of_v):
    """of_x_t(a) x_t + of_v(a) v, where a is alpha_bar_t."""

    def combined(x_t, v, t, alpha_bar):
        a = schedules.at(alpha_bar, t, x_t)
        return of_x_t(a) * x_t + of_v(a) * v

    return combined


def _wrong_axis(x_t, v, t, alpha_bar):
    a = alpha_bar[t]
    return torch.sqrt(a) * x_t - torch.sqrt(1 - a) * v


def _factors(eps, v, x0=lambda a: 1.0):
    return lambda question, a: {"eps": eps, "v": v, "x0": x0}[question](a)


def _ema(mix):
    return lambda average, weights, mu: [mix(old, new, mu) for old, new in zip(average, weights)]


Exercise(
    "x0_from_v",
    answer=predictions.x0_from_v,
    cases=_v_cases(),
    mistakes={
        "That is eps_hat, the other unknown: the noise is left and the picture has cancelled. Swap the two roots and mind the "
        "sign.": _from_v(lambda a: (1 - a).sqrt(), lambda a: a.sqrt()),
        "The sign: with a plus the noise does not cancel, it doubles. Subtract.": _from_v(
            lambda a: a.sqrt(), lambda a: (1 - a).sqrt()
        ),
        "The roots are swapped. At t = 0, where alpha_bar is 1, x_t is the picture.": _from_v(
            lambda a: (1 - a).sqrt(), lambda a: -a.sqrt()
        ),
        "The roots are missing: x_t is multiplied by sqrt(alpha_bar_t), v by sqrt(1 - alpha_bar_t).": _from_v(
            lambda a: a, lambda a: -(1 - a)
        ),
        "You divided by sqrt(alpha_bar_t), as for eps. Here the two shares sum to 1, and nothing is left to divide by.": (
            _from_v(lambda a: torch.ones_like(a), lambda a: -((1 - a) / a).sqrt())
        ),
        "You took v for the noise. v holds some of the picture, too.": predictions.x0_from_eps,
        "Your factor runs along the width of the pictures, not along the batch: make it (batch, 1, 1, 1) with "
        "at(alpha_bar, t, x_t).": _wrong_axis,
    },
    nudge="Put in what the noisy picture and v are made of, and see which mix lets the noise cancel.",
)

Exercise(
    "error_factor",
    answer=error_factor,
    cases=[(question, a) for question in ("eps", "v", "x0") for a in (0.9, 0.5, 0.03)],
    mistakes={
        "Without the roots: alpha_bar_t and 1 - alpha_bar_t are shares of variance, and a size is a root of that.": _factors(
            lambda a: (1 - a) / a, lambda a: 1 - a
        ),
        "The factor for eps is upside down: at large t, where alpha_bar is small, errors grow.": _factors(
            lambda a: math.sqrt(a / (1 - a)), lambda a: math.sqrt(1 - a)
        ),
        "For eps you took the noise off, and forgot to undo the fading: divide by sqrt(alpha_bar_t).": _factors(
            lambda a: math.sqrt(1 - a), lambda a: math.sqrt(1 - a)
        ),
        "The factor for v is that of x_t. Look at what v is multiplied by: sqrt(1 - alpha_bar_t).": _factors(
            lambda a: math.sqrt((1 - a) / a), lambda a: math.sqrt(a)
        ),
        "The size of an error is not negative: leave the minus out.": _factors(
            lambda a: -math.sqrt((1 - a) / a), lambda a: -math.sqrt(1 - a)
        ),
        'Asked for "x0", the answer is the picture: an error stays as large as it is, so the factor is 1.': _factors(
            lambda a: math.sqrt((1 - a) / a), lambda a: math.sqrt(1 - a), lambda a: 0.0
        ),
    },
    nudge="Write x0_hat as something times x_t plus something times the answer; the second something is what counts.",
)

Exercise(
    "ema_step",
    answer=ema_step,
    cases=[
        ([torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])], [torch.tensor([5.0, -2.0]), torch.tensor([[7.0]])], mu)
        for mu in (0.9, 0.999, 0.25)
    ],
    mistakes={
        "The wrong way round: mu, which is near 1, belongs to the average, so that it changes slowly.": _ema(
            lambda old, new, mu: (1 - mu) * old + mu * new
        ),
        "The two shares have to sum to 1, or the average grows with every step: the new weights get 1 - mu.": _ema(
            lambda old, new, mu: mu * old + new
        ),
        "The old average has to give way: it gets mu, or the average grows with every step.": _ema(
            lambda old, new, mu: old + (1 - mu) * new
        ),
        "That is the plain mean of the two. mu says how they share.": _ema(lambda old, new, mu: (old + new) / 2),
        "Those are the weights as they are, not averaged.": lambda average, weights, mu: weights,
        "The average has not moved.": lambda average, weights, mu: average,
    },
    nudge="Take one weight: how much of the old one stays, and how much of the new one comes in?",
)
