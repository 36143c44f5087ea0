"""Exercises of "Ask for what you want": dropping labels, the guided guess, choosing w."""

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion_tutorial.checks.core import Exercise
from diffusion_tutorial.losses import drop_labels


def _drop_cases():
    """Labels with a 0 among them, and numbers whose first falls below the share in some cases only."""
    generator = torch.Generator().manual_seed(808)
    cases = []
    for first, share in ((0.05, 0.1), (0.6, 0.3), (0.45, 0.5)):
        labels = torch.randint(0, 10, (40,), generator=generator)
        u = torch.rand(40, generator=generator)
        u[:6] = torch.tensor([first, 0.99, 0.02, 0.75, 0.2, 0.97])
        labels[:6] = torch.tensor([3, 0, 7, 9, 1, 0])
        cases.append((labels, u, share, 10))
    return cases


Exercise(
    "drop_labels",
    answer=drop_labels,
    cases=_drop_cases(),
    mistakes={
        "No label was dropped. The network then never learns to draw without one, and its answer to the null label stays "
        "whatever it was before training.": lambda labels, u, share, null: labels,
        "You dropped the whole batch or nothing, by one number for all. Each picture decides for itself: compare all of u "
        "with the share.": lambda labels, u, share, null: torch.where(u[0] < share, null, labels),
        "You dropped to label 0, which is a digit. The network would learn that a zero may be anything; “any” has a label of "
        "its own, the null label.": lambda labels, u, share, null: torch.where(u < share, 0, labels),
        "You dropped to the last real label. The null label is one more: `null` itself, not null - 1.": (
            lambda labels, u, share, null: torch.where(u < share, null - 1, labels)
        ),
        "The right way round is: drop where u is *below* the share. You kept the share and dropped all the others.": (
            lambda labels, u, share, null: torch.where(u < share, labels, null)
        ),
        "You removed the dropped pictures from the batch. They stay, with the null label: they are what the network "
        "learns “any picture” from.": lambda labels, u, share, null: labels[u >= share],
        "You dropped the first labels of the batch. In a shuffled batch that would do, but here the numbers u decide.": (
            lambda labels, u, share, null: torch.where(torch.arange(len(labels)) < share * len(labels), null, labels)
        ),
    },
    nudge="One decision for each picture: drop its label, or leave it as it is.",
)


def guided_guess(denoiser: Callable[..., Tensor], x_t: Tensor, t: Tensor, cond: Tensor, w: float) -> Tensor:
    """eps_hat = eps_any + w (eps_cond - eps_any)  (Ho & Salimans 2022, with w = 1 for no guidance)."""
    eps_cond = denoiser(x_t, t, cond)
    eps_any = denoiser(x_t, t)
    return eps_any + w * (eps_cond - eps_any)


def _guess(mix: Callable[[Tensor, Tensor, float], Tensor], away: Callable[[Tensor], Tensor | None] | None = None):
    """The guided guess with the two answers put together in another way, or with another condition for "any"."""

    def wrong(denoiser, x_t, t, cond, w):
        return mix(denoiser(x_t, t, cond), denoiser(x_t, t, away(cond) if away else None), w)

    return wrong


def _stand_in(x_t, t, cond=None):
    """A denoiser in a line: its answer leans by the label, and by 10 for none."""
    cond = torch.full_like(t, 10) if cond is None else cond
    return 0.3 * x_t + (torch.cos(1.7 * cond) + t / 1000).view(-1, 1, 1, 1)


def _guess_cases():
    generator = torch.Generator().manual_seed(809)
    x_t = torch.randn(4, 1, 3, 3, generator=generator)
    t = torch.tensor([900, 500, 60, 1])
    return [(_stand_in, x_t, t, torch.tensor([3, 7, 1, 9]), w) for w in (3.0, 0.0, 1.5)]


Exercise(
    "guided_guess",
    answer=guided_guess,
    cases=_guess_cases(),
    mistakes={
        "Your w counts from 0, as in the paper: w = 0 should ignore the label here, and yours gives the labelled guess. Start "
        "from eps_any, or use w - 1.": _guess(lambda c, u, w: c + w * (c - u)),
        "The two guesses are swapped: at w = 0 yours obeys the label, and a larger w walks away from it. The difference runs "
        "from “any” to the label.": _guess(lambda c, u, w: c + w * (u - c)),
        "The difference is the wrong way round, eps_any - eps_cond. You start in the right place and walk away from the "
        "label.": _guess(lambda c, u, w: u + w * (u - c)),
        "You multiplied the whole labelled guess by w. Only the *difference* between the two guesses is scaled.": _guess(
            lambda c, u, w: u + w * c
        ),
        "The start is missing. The difference alone is no guess of the noise: add w times it to eps_any.": _guess(
            lambda c, u, w: w * (c - u)
        ),
        "You gave the guess for the label alone: w does nothing.": _guess(lambda c, u, w: c),
        "You took label 0 for “any”. 0 is a digit; call the denoiser without a condition: denoiser(x_t, t).": _guess(
            lambda c, u, w: u + w * (c - u), torch.zeros_like
        ),
    },
    nudge="Try w at 0, where the wish must not matter, and at 1, where there is nothing to exaggerate.",
)


def pick_w(ws: list[float], lows: list[float], highs: list[float], varieties: list[float]) -> float:
    """Of the w whose interval reaches up to the best lower end, the one with the greatest variety."""
    bar = max(lows)
    allowed = [i for i in range(len(ws)) if highs[i] >= bar]
    return ws[max(allowed, key=lambda i: varieties[i])]


def _pick(score: Callable[..., float], everyone: bool = False):
    """The w with the highest score, among those that pick_w allows or among all."""

    def wrong(ws, lows, highs, varieties):
        rows = [row for row in zip(ws, lows, highs, varieties) if everyone or row[2] >= max(lows)]
        return max(rows, key=lambda row: score(*row))[0]

    return wrong


_PICK_CASES = [
    (
        [0.0, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0],
        [0.07, 0.85, 0.90, 0.93, 0.96, 0.95, 0.92],
        [0.15, 0.93, 0.97, 0.99, 1.00, 0.99, 0.98],
        [0.70, 0.61, 0.58, 0.59, 0.52, 0.50, 0.51],
    ),
    ([1.0, 1.5, 2.0, 4.0, 6.0], [0.74, 0.90, 0.92, 0.91, 0.85], [0.85, 0.96, 0.98, 0.97, 0.91], [0.6, 0.5, 0.45, 0.52, 0.3]),
    ([0.0, 1.0, 2.0, 4.0], [0.05, 0.90, 0.96, 0.98], [0.20, 0.95, 0.99, 1.0], [0.66, 0.63, 0.58, 0.57]),
]  # fmt: skip

Exercise(
    "pick_w",
    answer=pick_w,
    cases=_PICK_CASES,
    mistakes={
        "You took the most obedient w. Others cannot be told from it by this measurement, and some of them have more "
        "variety.": _pick(lambda w, low, high, variety: low, everyone=True),
        "You took the greatest variety of all. Nothing is as varied as a model that does not listen: look only at the w whose "
        "interval reaches up to the best.": _pick(lambda w, low, high, variety: variety, everyone=True),
        "You multiplied the two. That lets variety make up for disobedience; the rule asks for obedience first, then for "
        "variety.": _pick(lambda w, low, high, variety: (low + high) * variety, everyone=True),
        "You took the largest w that is allowed. Guidance costs variety: of those allowed, take the most varied.": _pick(
            lambda w, low, high, variety: w
        ),
        "You took the smallest w that is allowed. Often that is the most varied one, but not always: look at the variety.": (
            _pick(lambda w, low, high, variety: -w)
        ),
        "That is the variety of the right one. Return its w.": lambda ws, lows, highs, varieties: varieties[
            ws.index(pick_w(ws, lows, highs, varieties))
        ],
        "That is the place in the list. Return the w that stands there.": lambda ws, lows, highs, varieties: ws.index(
            pick_w(ws, lows, highs, varieties)
        ),
    },
    nudge="Two steps: which w could be the best, going by their intervals? And which of those has the most variety?",
)
