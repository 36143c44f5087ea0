"""Are scenes drawn as cleanly as the pictures that the model learned from? Part of `diffusion-tutorial evaluate scenes`.

Two numbers for each set of pictures: the grain, pixel by pixel, and the Frechet distance over the features of the judge
of scenes. As many really drawn scenes are the floor of both. The reference of the distance are other drawn scenes of
the same combinations, so that a set is not told apart by what it was asked for. Intervals hold the reference fixed.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from diffusion_tutorial import metrics, progress
from diffusion_tutorial.evaluation import common, drawn
from diffusion_tutorial.evaluation.common import Measured

GRAIN, FRECHET = "grain", "Frechet distance"
POOL = 3240  # drawn scenes in the reference, ten of each held-out combination
OTHERS = 2**32  # the seed of the reference: other drawn scenes than those of any evaluation
NOTE = "Grain: of [-1, 1]. The Frechet distance is over our own judge, so no paper's is like it, and falls as n grows."

Found = dict[str, dict[str, Measured]]  # by metric, by set of pictures


def measure(judge: Any, sets: dict[str, UInt8[Tensor, "n 48 48 3"]], asked: Int[Tensor, "n 3"]) -> Found:
    """Grain and Frechet distance of each set; nothing where there are too few pictures for an interval."""
    if len(asked) < metrics.GROUPS:
        return {}
    reference = embed(judge, drawn.draw(asked[torch.arange(POOL) % len(asked)], torch.Generator().manual_seed(OTHERS)))
    found: Found = {GRAIN: {}, FRECHET: {}}
    for name, pixels in progress.each(list(sets.items()), "likeness"):
        found[GRAIN][name] = _jackknife(lambda x: x.mean().item(), metrics.grain(_signed(pixels)))
        found[FRECHET][name] = _jackknife(lambda x: metrics.frechet(x, reference), embed(judge, pixels))
    return found


def embed(judge: Any, pixels: UInt8[Tensor, "n 48 48 3"]) -> Float[Tensor, "n d"]:
    """The judge's features of pictures as a file holds them."""
    return metrics.embed(judge.features, _signed(pixels), drawn.PART)


def _signed(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2) / 127.5 - 1


def _jackknife(statistic: Callable[[Tensor], float], x: Tensor) -> Measured:
    value, low, high = metrics.jackknife(statistic, x)
    return Measured(value, max(0.0, low), high)


def ratio(found: dict[str, Measured], name: str, floor: str) -> float | None:
    """How many times the floor; None where that is 0."""
    return found[name].value / found[floor].value if found[floor].value else None


def table(found: Found, floor: str) -> str:
    """The numbers for a reader: value and interval for each set, and below how many times those of drawn scenes."""
    if not found:
        return f"no grain and no distance: they need at least {metrics.GROUPS} pictures"
    lines = [" " * 16 + "".join(f"{name:>14}   {'95 % interval':16}" for name in found[GRAIN])]
    for metric, row in found.items():
        cells = (f"{x.value:>14.4f}   {f'{x.low:.4f} .. {x.high:.4f}':16}" for x in row.values())
        lines.append(f"{metric:16}" + "".join(cells))
        times = (ratio(row, name, floor) for name in row)
        lines.append(f"{'  times drawn':16}" + "".join(f"{'-' if x is None else f'{x:.2f}':>14}{'':19}" for x in times))
    return "\n".join(line.rstrip() for line in lines)


def numbers(found: Found, floor: str) -> dict:
    """The same numbers, unrounded, with the ratio to the floor, for a file."""
    return {
        metric: {name: {**(common.pair(x) or {}), "ratio": ratio(row, name, floor)} for name, x in row.items()}
        for metric, row in found.items()
    }
