"""What the evaluations of editing share: real scenes in parts, means and medians with intervals, one table, one report.

A row is a dict: first what it is of, in words and numbers, then each measure as `Measured`. The rows that are printed
are also those that are written, in --json, where an infinite number of dB (no difference at all) is null.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial import metrics
from diffusion_tutorial.data import scenes
from diffusion_tutorial.evaluation import common
from diffusion_tutorial.evaluation.common import Measured
from diffusion_tutorial.noise import Streams
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.subjects.base import Judge

LEAST = metrics.GROUPS  # pictures: one for each of the jackknife's groups
PART = 64  # pictures that a model draws at a time
PER_CENT, DECIBELS, PLAIN = (100, 1), (1, 1), (1, 3)  # how a measure is printed: its scale, its decimals
READ = "% read back"
INTERVALS = "In brackets: 95 % intervals, for other draws of n pictures."


def check_n(n: int, most: float = math.inf) -> None:
    """From LEAST on, a jackknife can be taken; a ValueError for the command line otherwise."""
    if not LEAST <= n <= most:
        wanted = f"at least {LEAST} pictures" if most == math.inf else f"{LEAST} to {most} pictures"
        raise ValueError(f"--n: expected {wanted}, got {n}")


def drawn(asked: Int[Tensor, "n 3"], seed: int) -> Float[Tensor, "n 3 48 48"]:
    """Really drawn scenes; the same pose, view and light for the same seed, whatever is asked for."""
    return scenes.draw(asked, torch.Generator().manual_seed(seed))


def streams(seed: int, n: int, part: int = PART) -> Iterator[Streams]:
    """The random numbers of n pictures that are drawn `part` at a time: those of picture i belong to (seed, i)."""
    return (Streams(seed, range(i, min(i + part, n))) for i in range(0, n, part))


def tokens(model: Denoiser, asked: Int[Tensor, "n 3"]) -> Int[Tensor, "n words"]:
    """The plain captions of scenes, as the model reads them."""
    return model.net.tokenizer([scenes.plain_caption(row) for row in asked]).to(model.device)


def read_back(judge: torch.nn.Module, images: Float[Tensor, "n 3 48 48"], asked: Int[Tensor, "n 3"]) -> Measured:
    """The share in which the judge reads subject, thing and place as asked."""
    return common.share(metrics.scene_read(judge, images, asked).all(1))


def mean(values: Float[Tensor, "n"]) -> Measured:
    """The mean and its jackknife interval."""
    return Measured(*metrics.jackknife(lambda part: part.mean().item(), values))


def decibels(psnr: Float[Tensor, "n"]) -> Measured:
    """The median of mse / range^2 = 10^(-psnr / 10), told in dB, with its interval from ranks: infinities do no harm."""
    middle, low, high = metrics.median(10 ** (-psnr / 10))
    return Measured(*(-10 * math.log10(x) if x else math.inf for x in (middle, high, low)))


def table(rows: list[dict], forms: dict[str, tuple[float, int]]) -> str:
    """A line for each row: what it is of, then the measures that have a form, each with its 95 % interval in brackets."""
    names = [name for name, x in rows[0].items() if not isinstance(x, Measured)]
    cells = [[*names, *forms]]
    for row in rows:
        cells.append([*(str(row[name]) for name in names), *(_cell(row[name], *form) for name, form in forms.items())])
    widths = [max(map(len, column)) for column in zip(*cells)]
    sides = ["<"] * len(names) + [">"] * len(forms)
    lines = ["   ".join(f"{x:{side}{width}}" for x, side, width in zip(line, sides, widths)) for line in cells]
    return "\n".join(line.rstrip() for line in lines)


def _cell(x: Measured, scale: float, decimals: int) -> str:
    value, low, high = (f"{scale * number:.{decimals}f}" for number in x)
    return f"{value} ({low} .. {high})"


def report(rows: list[dict], tables: list[dict], note: str, protocol: dict, judge: Judge, out: Path | None) -> int:
    """Print a table for each set of forms, the note and the protocol with the judge's accuracy; write `out`."""
    protocol = protocol | {"judge": judge.card()["quality"]}
    for forms in tables:
        print(f"\n{table(rows, forms)}")
    print(f"\n{note}\n{common.tell(protocol)}")
    if out:
        common.write_json(out, {"metrics": [_numbers(row) for row in rows], "protocol": protocol})
    return 0


def _numbers(row: dict) -> dict:
    """The row, unrounded, for a file."""
    return {name: _pair(x) if isinstance(x, Measured) else x for name, x in row.items()}


def _pair(x: Measured) -> dict:
    value, low, high = (number if math.isfinite(number) else None for number in x)
    return {"value": value, "interval_95": [low, high]}
