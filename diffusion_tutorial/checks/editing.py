"""Exercises of "Change one thing, keep the rest": where SDEdit starts, a step upwards, a walk that keeps the rest."""

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion_tutorial.checks.core import Exercise
from diffusion_tutorial.editing import renoise
from diffusion_tutorial.forward import q_sample
from diffusion_tutorial.predictions import x0_from_eps
from diffusion_tutorial.schedules import at, cosine, linear


def sdedit_start(x0: Tensor, strength: float, eps: Tensor, alpha_bar: Tensor) -> tuple[Tensor, Tensor]:
    """x_t = q_sample(x0, t, eps) at t = strength T, and t for each picture  (Meng et al. 2022, algorithm 1)."""
    T = len(alpha_bar) - 1
    t = torch.full((len(x0),), round(strength * T))
    return q_sample(x0, t, eps, alpha_bar), t


def _start(how: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], share: Callable[[float], float] = lambda s: s):
    """The start made by how(x0, eps, alpha_bar_t, t) in place of q_sample, at another share of the way."""

    def wrong(x0, strength, eps, alpha_bar):
        t = torch.full((len(x0),), round(share(strength) * (len(alpha_bar) - 1)))
        return how(x0, eps, at(alpha_bar, t, x0), t), t

    return wrong


def _mixed(x0: Tensor, eps: Tensor, a: Tensor, t: Tensor) -> Tensor:
    return torch.sqrt(a) * x0 + torch.sqrt(1 - a) * eps


def _start_cases():
    """Several strengths, none of them a half, the largest among them, and two schedules of different length."""
    generator = torch.Generator().manual_seed(1101)
    cases = []
    for alpha_bar, strength in ((cosine(), 0.3), (linear(), 0.7), (cosine(200), 0.85), (cosine(), 1.0)):
        x0 = torch.rand(3, 1, 4, 4, generator=generator) * 2 - 1
        cases.append((x0, strength, torch.randn(x0.shape, generator=generator), alpha_bar))
    return cases


Exercise(
    "sdedit_start",
    answer=sdedit_start,
    cases=_start_cases(),
    mistakes={
        "Your picture is clean, and the clock says t. The network looks for as much noise as belongs to t, finds none, and takes "
        "the picture itself for noise. Mix the noise in: q_sample(x0, t, eps, alpha_bar).": _start(
            lambda x0, eps, a, t: x0
        ),
        "The noise is not scaled: x0 + eps is as noisy at every strength, and its range is too large. q_sample says how much of "
        "each belongs to t.": _start(lambda x0, eps, a, t: x0 + eps),
        "You start at T whatever the strength is: nothing of the picture is left there. t = strength T.": _start(
            _mixed, share=lambda s: 1.0
        ),
        "The sense of the strength is turned round: 0 should keep the picture, and 1 forget it. t = strength T.": _start(
            _mixed, share=lambda s: 1 - s
        ),
        "You mixed by the strength itself. It says how far on the clock, and the schedule says what that means: alpha_bar at "
        "t, as in q_sample.": lambda x0, strength, eps, alpha_bar: (
            (1 - strength) * x0 + strength * eps,
            sdedit_start(x0, strength, eps, alpha_bar)[1],
        ),
        "The square roots are missing: alpha_bar is a share of the variance.": _start(
            lambda x0, eps, a, t: a * x0 + (1 - a) * eps
        ),
        "Your start is static alone. Then only the clock knows the strength, and the picture is lost.": _start(
            lambda x0, eps, a, t: eps
        ),
    },
    nudge="Which t does a strength stand for? From there, it is the mixing of picture and noise that you know.",
)


def invert_step(x_s: Tensor, eps_hat: Tensor, s: Tensor, t: Tensor, alpha_bar: Tensor, noise: Tensor) -> Tensor:
    """x_t = sqrt(alpha_bar_t) x0_hat + sqrt(1 - alpha_bar_t) eps_hat, x0_hat from x_s: DDIM upwards, from s to t > s.

    `noise` is handed to every step; this one, like DDIM's with eta = 0, has no use for it.
    """
    x0_hat = x0_from_eps(x_s, eps_hat, s, alpha_bar)
    return q_sample(x0_hat, t, eps_hat, alpha_bar)


def _step_cases():
    """Pictures far out of [-1, 1] among them, and one step from the clean picture."""
    generator = torch.Generator().manual_seed(1102)
    cases = []
    for alpha_bar, s, t in ((cosine(), (800, 400, 30), (900, 520, 75)), (linear(), (600, 250, 0), (640, 300, 50))):
        x_s, eps_hat, noise = torch.randn(3, 3, 1, 4, 4, generator=generator)
        cases.append((x_s, eps_hat, torch.tensor(s), torch.tensor(t), alpha_bar, noise))
    return cases


Exercise(
    "invert_step",
    answer=invert_step,
    cases=_step_cases(),
    mistakes={
        "The two alpha_bars are swapped: that is the step down, which takes you for a picture at t and leads to s. You stand at "
        "s: x0_hat is found with alpha_bar_s, and noised with alpha_bar_t.": (
            lambda x_s, eps_hat, s, t, alpha_bar, noise: invert_step(x_s, eps_hat, t, s, alpha_bar, noise)
        ),
        "You noised x0_hat with fresh noise. Then nothing leads back to this picture: the noise on the way up has to be the one "
        "that the way down will find, eps_hat.": (
            lambda x_s, eps_hat, s, t, alpha_bar, noise: (
                invert_step(x_s, eps_hat, s, t, alpha_bar, noise)
                + torch.sqrt(1 - at(alpha_bar, t, x_s)) * (noise - eps_hat)
            )
        ),
        "That is the forward process: x_s with fresh noise on top. It forgets; no noise is drawn on the way up, it is guessed.": (
            lambda x_s, eps_hat, s, t, alpha_bar, noise: renoise(x_s, s, t, noise, alpha_bar)
        ),
        "You noised x_s as if it were clean. It has the noise of s in it: find x0_hat first.": (
            lambda x_s, eps_hat, s, t, alpha_bar, noise: q_sample(x_s, t, eps_hat, alpha_bar)
        ),
        "You cut x0_hat to [-1, 1]. On the way down that keeps a guess in range; on the way up it throws away what the way down "
        "would need to come back.": (
            lambda x_s, eps_hat, s, t, alpha_bar, noise: q_sample(
                x0_from_eps(x_s, eps_hat, s, alpha_bar).clamp(-1, 1), t, eps_hat, alpha_bar
            )
        ),
        "That is x0_hat, the guess of the picture. Noise it again, to t, with eps_hat.": (
            lambda x_s, eps_hat, s, t, alpha_bar, noise: x0_from_eps(x_s, eps_hat, s, alpha_bar)
        ),
    },
    nudge="The clean picture that the guess implies, and then the same guess as its noise, at t.",
)


def masked_walk(
    down: Callable[[Tensor, int, int], Tensor], path: list[Tensor], mask: Tensor, times: list[int]
) -> Tensor:
    """x_s = down(x_t) where the mask is True, path_s elsewhere, at every step  (Couairon et al. 2022, section 3.2)."""
    x = path[0]
    for t, s, path_s in zip(times, times[1:], path[1:]):
        x = torch.where(mask, down(x, t, s), path_s)
    return x


def _blended(where: Callable[[Tensor, Tensor, Tensor, list, int], Tensor], before: bool = False):
    """The walk with where(mask, x, path_s, path, i) in place of the blend after (or before) step i."""

    def wrong(down, path, mask, times):
        x = path[0]
        for i, (t, s) in enumerate(zip(times, times[1:])):
            x = where(mask, x, path[i], path, i) if before else x
            x = down(x, t, s)
            x = x if before else where(mask, x, path[i + 1], path, i)
        return x

    return wrong


def _stand_in(x: Tensor, t: int, s: int) -> Tensor:
    """A step in a line, in which every pixel depends on its neighbours, so that what is beside the mask counts."""
    return 0.8 * x + 0.2 * x.roll(1, dims=-1) + 0.001 * (t - s) + 0.0002 * s


def _walk_cases():
    """A mask of one half, and another of one pixel in a corner."""
    generator = torch.Generator().manual_seed(1103)
    cases = []
    for times, mask in (
        ([1000, 700, 350, 0], torch.arange(16).view(4, 4) % 4 < 2),
        ([800, 600, 90, 20, 0], torch.arange(16).view(4, 4) == 12),
    ):
        path = list(torch.randn(len(times), 2, 1, 4, 4, generator=generator))
        cases.append((_stand_in, path, mask, times))
    return cases


Exercise(
    "masked_walk",
    answer=masked_walk,
    cases=_walk_cases(),
    mistakes={
        "You blended at the end only. Until then the two halves went different ways, and they do not fit: that is the seam of a "
        "cut-out. Blend after every step.": _blended(
            lambda mask, x, path_s, path, i: torch.where(mask, x, path_s) if i == len(path) - 2 else x
        ),
        "You put the clean picture beside a noisy one. At time s the network expects noise everywhere; path holds the picture "
        "as noisy as it is at s.": _blended(lambda mask, x, path_s, path, i: torch.where(mask, x, path[-1])),
        "The mask is the wrong way round: True says where to change. You kept what should change, and changed the rest.": (
            _blended(lambda mask, x, path_s, path, i: torch.where(mask, path_s, x))
        ),
        "You took the path at t. The step has just left t: after it you stand at s, and so must the rest, path[i + 1].": (
            _blended(lambda mask, x, path_s, path, i: torch.where(mask, x, path[i]))
        ),
        "You blended before the step. So the last step, which ends at the picture, is never blended, and the outside drifts in "
        "it.": _blended(lambda mask, x, path_t, path, i: torch.where(mask, x, path_t), before=True),
        "The mask does nothing: that is the walk without it.": _blended(lambda mask, x, path_s, path, i: x),
    },
    nudge="After each step, what lies outside the mask comes from the path, from the place where the step arrived.",
)
