"""Exercises of "Fill in the missing part": keep what is known, noise a part of the way, two agreements."""

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion_tutorial.checks.core import Exercise
from diffusion_tutorial.editing import renoise
from diffusion_tutorial.forward import q_sample, q_step
from diffusion_tutorial.schedules import at, cosine, linear


def keep_known(x_s: Tensor, x0: Tensor, mask: Tensor, t: Tensor, s: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_s where the mask is True, q_sample(x0, s) elsewhere  (Lugmayr et al. 2022, eq. 8)."""
    return torch.where(mask, x_s, q_sample(x0, s, noise, alpha_bar))


def _keep_cases():
    """A mask of one half, another of one pixel; steps to different s, among them the last."""
    generator = torch.Generator().manual_seed(1010)
    cases = []
    for alpha_bar, t, s in ((cosine(), (900, 500, 60), (800, 440, 30)), (linear(), (700, 301, 40), (650, 300, 0))):
        x_s, noise = torch.randn(2, 3, 1, 4, 4, generator=generator)
        x0 = torch.rand(3, 1, 4, 4, generator=generator) * 2 - 1
        for mask in (torch.arange(16).view(4, 4) < 8, torch.arange(16).view(4, 4) == 5):
            cases.append((x_s, x0, mask, torch.tensor(t), torch.tensor(s), noise, alpha_bar))
    return cases


Exercise(
    "keep_known",
    answer=keep_known,
    cases=_keep_cases(),
    mistakes={
        "The known part is clean. At time s the network expects noise everywhere; a clean half beside a noisy one is a picture "
        "that it never saw. Take q_sample(x0, s, noise, alpha_bar).": (
            lambda x_s, x0, mask, t, s, noise, alpha_bar: torch.where(mask, x_s, x0)
        ),
        "The mask is the wrong way round: True says where to fill. You kept the drawing where the picture is known, and noised "
        "the picture where it is missing.": (
            lambda x_s, x0, mask, t, s, noise, alpha_bar: torch.where(mask, q_sample(x0, s, noise, alpha_bar), x_s)
        ),
        "The mask is the wrong way round, and the other part is clean. True says where to fill; the rest is x0, noised to s.": (
            lambda x_s, x0, mask, t, s, noise, alpha_bar: torch.where(mask, x0, x_s)
        ),
        "You noised the known part to t. The step has just left t: the hole stands at s now, so the known part must stand "
        "there, too. With t, some noise would still be there at the end.": (
            lambda x_s, x0, mask, t, s, noise, alpha_bar: torch.where(mask, x_s, q_sample(x0, t, noise, alpha_bar))
        ),
        "The known part is dimmed by sqrt(alpha_bar_s), and the noise is missing. q_sample does both.": (
            lambda x_s, x0, mask, t, s, noise, alpha_bar: torch.where(mask, x_s, torch.sqrt(at(alpha_bar, s, x0)) * x0)
        ),
        "That is the whole picture, noised, the hole included. What is in the hole nobody knows; there x_s stays as it was "
        "drawn.": lambda x_s, x0, mask, t, s, noise, alpha_bar: q_sample(x0, s, noise, alpha_bar),
    },
    nudge="Where the mask is True, what was drawn stays; elsewhere the known picture goes, with the noise that belongs to s.",
)


def _back_up(keep: Callable[[Tensor, Tensor], Tensor], add: Callable[[Tensor, Tensor], Tensor]):
    """From s up to t with other coefficients, each from alpha_bar_t and alpha_bar_s."""

    def wrong(x_s, s, t, noise, alpha_bar):
        a_t, a_s = at(alpha_bar, t, x_s), at(alpha_bar, s, x_s)
        return keep(a_t, a_s) * x_s + add(a_t, a_s) * noise

    return wrong


def _share(a_t: Tensor, a_s: Tensor) -> Tensor:
    return torch.sqrt(a_t / a_s)


def _noise(a_t: Tensor, a_s: Tensor) -> Tensor:
    return torch.sqrt(1 - a_t / a_s)


def _along_the_columns(x_s: Tensor, s: Tensor, t: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """The right formula without the axes: no error, as the pictures are as wide as the batch is long."""
    a = alpha_bar[t] / alpha_bar[s]
    return torch.sqrt(a) * x_s + torch.sqrt(1 - a) * noise


def _renoise_cases():
    generator = torch.Generator().manual_seed(1011)
    cases = []
    for alpha_bar, s, t in ((cosine(), (800, 400, 30), (900, 520, 75)), (linear(), (600, 250, 0), (640, 300, 50))):
        x_s, noise = torch.randn(2, 3, 1, 3, 3, generator=generator)
        cases.append((x_s, torch.tensor(s), torch.tensor(t), noise, alpha_bar))
    return cases


Exercise(
    "renoise",
    answer=renoise,
    cases=_renoise_cases(),
    mistakes={
        "You noised x_s as if it were clean, with alpha_bar_t alone. It has the noise of s already; only what comes between s "
        "and t is missing: a = alpha_bar_t / alpha_bar_s.": (
            lambda x_s, s, t, noise, alpha_bar: q_sample(x_s, t, noise, alpha_bar)
        ),
        "The noise is scaled by its variance, 1 - a. Its standard deviation is the square root of that.": _back_up(
            _share, lambda a_t, a_s: 1 - a_t / a_s
        ),
        "The noise came on top, and x_s was not dimmed: its variance grows with every round. x_s is multiplied by "
        "sqrt(a).": _back_up(lambda a_t, a_s: torch.ones_like(a_t), _noise),
        "x_s is dimmed by a. What is left of the signal's *variance* is a; the picture itself is multiplied by its square "
        "root.": _back_up(lambda a_t, a_s: a_t / a_s, _noise),
        "The noise has the variance alpha_bar_s - alpha_bar_t. On the way up the old noise is dimmed as well, so that is too "
        "little; it takes 1 - alpha_bar_t / alpha_bar_s.": _back_up(_share, lambda a_t, a_s: torch.sqrt(a_s - a_t)),
        "The square roots are missing: a and 1 - a are shares of the variance.": _back_up(
            lambda a_t, a_s: a_t / a_s, lambda a_t, a_s: 1 - a_t / a_s
        ),
        "a has one number for each picture, and yours ran along the columns of every picture, of which there happen to be as "
        "many. Give it the shape (batch, 1, 1, 1).": _along_the_columns,
        "That is a single step, from t - 1 to t. The way from s to t has t - s of them: put alpha_bar_s where you have "
        "alpha_bar at t - 1.": lambda x_s, s, t, noise, alpha_bar: q_step(x_s, t, noise, alpha_bar),
    },
    nudge="From s to t only the steps between them count: what share of the signal do those keep?",
)


def two_agreements(readings: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """How often a completion is read as the truth, and two completions of one picture are read alike.

    readings: (n, k), what k completions of each of n pictures are read as. truth: (n,). Two shares from 0 to 1.
    """
    k = readings.shape[1]
    with_truth = (readings == truth[:, None]).double().mean()
    alike = (readings[:, :, None] == readings[:, None, :]).double().mean((0, 1, 2))
    among = (k * alike - 1) / (k - 1)  # each is like itself, once in k
    return with_truth, among


def _each_with_itself(readings: Tensor, truth: Tensor):
    alike = readings[:, :, None] == readings[:, None, :]
    return two_agreements(readings, truth)[0], alike.double().mean()


def _too_many_pairs(readings: Tensor, truth: Tensor):
    k = readings.shape[1]
    with_truth, among = two_agreements(readings, truth)
    return with_truth, among * (k - 1) / k


def _winner(readings: Tensor, truth: Tensor):
    return (readings.mode(1).values == truth).double().mean(), two_agreements(readings, truth)[1]


def _all_alike(readings: Tensor, truth: Tensor):
    return two_agreements(readings, truth)[0], (readings == readings[:, :1]).all(1).double().mean()


def _any_right(readings: Tensor, truth: Tensor):
    return (readings == truth[:, None]).any(1).double().mean(), two_agreements(readings, truth)[1]


def _across(readings: Tensor, truth: Tensor):
    every = readings.flatten()
    alike = (every[:, None] == every).double().sum() - len(every)
    return two_agreements(readings, truth)[0], alike / (len(every) * (len(every) - 1))


def _agreement_cases():
    """Readings that mostly follow the truth, for different n and k."""
    generator = torch.Generator().manual_seed(1012)
    cases = []
    for n, k in ((6, 4), (9, 3)):
        truth = torch.randint(0, 10, (n,), generator=generator)
        other = torch.randint(0, 10, (n, k), generator=generator)
        cases.append((torch.where(torch.rand(n, k, generator=generator) < 0.6, truth[:, None], other), truth))
    return cases


Exercise(
    "two_agreements",
    answer=two_agreements,
    cases=_agreement_cases(),
    mistakes={
        "In the second share each completion was compared with itself, too, and always agreed. Count pairs of two different "
        "ones: k (k - 1) of the k squared.": _each_with_itself,
        "You left the k comparisons of a completion with itself out of the sum, and counted them among the pairs: divide by "
        "k (k - 1).": _too_many_pairs,
        "The two are swapped: first the agreement with the truth, then that among the completions.": (
            lambda readings, truth: two_agreements(readings, truth)[::-1]
        ),
        "In the first share you let the completions of a picture vote. A vote is better than any of the voters; compare every "
        "single one with the truth.": _winner,
        "In the first share you were content if one of the k was right. With enough tries anybody is; compare every single one "
        "with the truth.": _any_right,
        "In the second share you asked that all k are read alike. It is about two at a time: the share of pairs.": _all_alike,
        "In the second share you compared completions of different pictures, too. Only two of the same picture count.": _across,
    },
    nudge="Compare every completion of a picture with every other of the same picture, and none with itself.",
)
