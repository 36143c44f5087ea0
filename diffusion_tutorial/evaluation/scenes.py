"""`diffusion-tutorial evaluate scenes`: does a picture show what its prompt asks for?

The prompts ask for held-out combinations, which training never draws, each in plain words and reworded. A judge reads
subject, thing and place back; as many really drawn scenes of the same combinations, read by the same judge, are the
ceiling. Whether the pictures are also drawn as cleanly as those is what evaluation.likeness measures. The 95 %
intervals answer for the choice of the n pictures, not for the training.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from diffusion_tutorial import metrics, progress
from diffusion_tutorial.data import scenes
from diffusion_tutorial.evaluation import common, drawn, likeness
from diffusion_tutorial.evaluation.common import Measured
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import Subject

PLAIN, REWORDED, PICTURES, DRAWN = "plain", "reworded", "pictures", "drawn scenes"  # columns; "pictures": of a file
ALL = "all three"
ROWS = (*scenes.Scene._fields, ALL)
TABLES: tuple[Any, ...] = (scenes.SUBJECTS, scenes.THINGS, scenes.PLACES)
APART = 2**31  # added to the seed: drawn scenes and wordings come from other random numbers than any training's
NOTE = "Drawn scenes, read by the same judge, are the ceiling. Intervals: for other draws of n pictures."
MOST = 5  # combinations and confusions that are told; a --json has all


class Reading(NamedTuple):
    """One set of pictures as the judge reads it."""

    right: Tensor  # (n, 3): subject, thing and place
    instead: Counter  # how often (what was asked, what was read instead)


def report_model(
    subject: Subject, model: Denoiser, weights: str, n: int, out: Path | None, seed: int, walk: Walk
) -> int:
    """Draw n pictures in plain words and n reworded, measure, print and write."""
    _check_n(n)
    asked = drawn.held_out(n)
    generator = torch.Generator().manual_seed(APART + seed)
    print(f"{n} pictures of held-out combinations in plain words, {n} reworded, {n} drawn scenes", flush=True)
    ceiling = drawn.draw(asked, generator)
    plain, reworded = [scenes.plain_caption(row) for row in asked], [drawn.reword(row, generator) for row in asked]
    other = int(torch.randint(APART, (), generator=generator))  # their own static: the two shares are independent
    sets = {}
    with common.evaluations(model.net) as calls:
        for name, prompts, static in ((PLAIN, plain, seed), (REWORDED, reworded, other)):
            sets[name] = scenes.to_pixels(subject.draw(model, prompts, static, walk))
    made = {
        "weights": weights,
        "seed": seed,
        **asdict(walk),
        "network_evaluations_per_sample": round(sum(calls) / (2 * n), 3),
    }
    return _report(subject, {**sets, DRAWN: ceiling}, asked, made, out)


def report_file(subject: Subject, path: Path, n: int | None, out: Path | None) -> int:
    """Measure n pictures of a file (None: all that tell of a full scene), print and write."""
    pixels, asked, left_out = drawn.read(path)
    n = len(pixels) if n is None else n
    _check_n(n, len(pixels))
    if left_out:
        print(f"left out: {left_out} of {left_out + len(pixels)} pictures, whose prompts name no full scene")
    if n < len(pixels):
        print(f"{n} of the {len(pixels)} pictures in {path}, chosen by chance")
    print(f"{n} pictures, {n} drawn scenes", flush=True)
    generator = torch.Generator().manual_seed(APART)
    chosen = torch.randperm(len(pixels), generator=generator)[:n]
    sets = {PICTURES: pixels[chosen], DRAWN: drawn.draw(asked[chosen], generator)}
    made = {"pictures": str(path), "pictures_in_file": left_out + len(pixels), "left_out": left_out, "seed": 0}
    return _report(subject, sets, asked[chosen], made, out)


def _check_n(n: int, most: float = math.inf) -> None:
    if not 1 <= n <= most:
        wanted = "at least 1 picture" if most == math.inf else f"1 to {most} pictures, those whose prompt names a scene"
        raise ValueError(f"--n: expected {wanted}, got {n}")


def _report(subject: Subject, sets: dict[str, Tensor], asked: Tensor, made: dict, out: Path | None) -> int:
    judge = subject.judge.load()
    found = {name: measure(judge, pixels, asked) for name, pixels in sets.items()}
    shares = {name: share(reading.right) for name, reading in found.items()}
    lost = difference(shares[PLAIN][ALL], shares[REWORDED][ALL]) if REWORDED in shares else None
    rows = by_combination(asked, found)
    protocol = {"n": len(asked), **_cover(asked, rows), **made}
    protocol["judge"] = subject.judge.card()["quality"]
    near = likeness.measure(judge, sets, asked)
    protocol["reference"] = f"{likeness.POOL} other drawn scenes of the same combinations"
    print(f"\n{table(shares)}\n\n{likeness.table(near, DRAWN)}\n\n{NOTE}\n{likeness.NOTE}")
    if lost:
        points = "{:.1f} points (95 % interval {:.1f} .. {:.1f})".format(*(100 * x for x in lost))
        print(f"reworded prompts lose {points}: {PLAIN} - {REWORDED}, {ALL}")
    print(failures(rows, *next(iter(found.items()))))
    print(common.tell(protocol))
    if out:
        told = numbers(shares, lost, found) | {"likeness": likeness.numbers(near, DRAWN)}
        common.write_json(out, {**told, "combinations": rows, "protocol": protocol})
    return 0


def measure(judge: nn.Module, pixels: UInt8[Tensor, "n 48 48 3"], asked: Int[Tensor, "n 3"]) -> Reading:
    """What the judge reads right, and what it reads instead, under a progress bar."""
    right, instead = [], Counter[tuple[str, str]]()
    for part, wanted in progress.each([*zip(pixels.split(drawn.PART), asked.split(drawn.PART))], "reading"):
        images = part.permute(0, 3, 1, 2) / 127.5 - 1
        hits = metrics.scene_read(judge, images, wanted)
        right.append(hits)
        if (missed := ~hits.all(1)).any():
            instead.update(_confusions(judge, images[missed], wanted[missed]))
    return Reading(torch.cat(right), instead)


@torch.no_grad()
def _confusions(judge: nn.Module, images: Float[Tensor, "n 3 h w"], asked: Int[Tensor, "n 3"]) -> Iterator[tuple]:
    """(asked, read) in words, of each attribute that is read wrong."""
    for table, logits, wanted in zip(TABLES, judge(images), asked.unbind(1)):
        for a, b in zip(wanted.tolist(), logits.argmax(1).tolist()):
            if a != b:
                yield table[a].name, table[b].name


def share(right: Bool[Tensor, "n 3"]) -> dict[str, Measured]:
    """The share read right, of each attribute and of all three together."""
    return {name: common.share(hits) for name, hits in zip(ROWS, (*right.unbind(1), right.all(1)))}


def difference(a: Measured, b: Measured) -> Measured:
    """d = a - b, from d - sqrt((a - a_low)^2 + (b_high - b)^2) to d + sqrt((a_high - a)^2 + (b - b_low)^2).

    For two independent shares with their Wilson intervals (Newcombe 1998, Statistics in Medicine 17:873-890, method 10).
    """
    d = a.value - b.value
    low = d - math.hypot(a.value - a.low, b.high - b.value)
    return Measured(d, low, d + math.hypot(a.high - a.value, b.value - b.low))


def by_combination(asked: Int[Tensor, "n 3"], found: dict[str, Reading]) -> list[dict]:
    """For each combination its plain caption, its samples in a set, and how many of them are all right, by set.

    Those that fail most in the first set come first.
    """
    every, which = asked.unique(dim=0, return_inverse=True)
    counts = {"samples": which} | {name: which[reading.right.all(1)] for name, reading in found.items()}
    counts = {name: torch.bincount(x, minlength=len(every)).tolist() for name, x in counts.items()}
    rows = [
        {"caption": scenes.plain_caption(scene)} | {name: count[i] for name, count in counts.items()}
        for i, scene in enumerate(every)
    ]
    return sorted(rows, key=lambda row: row[next(iter(found))] / row["samples"])


def _cover(asked: Int[Tensor, "n 3"], rows: list[dict]) -> dict:
    """How many combinations there are, and how many samples of each."""
    least, most = (extreme(row["samples"] for row in rows) for extreme in (min, max))
    samples = least if least == most else f"{least} to {most}"
    unseen = len(asked[scenes.is_held_out(asked)].unique(dim=0))
    return {"combinations": len(rows), "held_out": unseen, "samples_per_combination": samples}


def table(shares: dict[str, dict[str, Measured]]) -> str:
    """The shares in per cent for a reader: a line for each attribute, value and interval for each set."""
    lines = [f"{'% read back':12}" + "".join(f"{name:>14}   {'95 % interval':14}" for name in shares)]
    for row in ROWS:
        cells = ([f"{100 * x:.1f}" for x in measured[row]] for measured in shares.values())
        lines.append(f"{row:12}" + "".join(f"{value:>14}   {f'{low} .. {high}':14}" for value, low, high in cells))
    return "\n".join(line.rstrip() for line in lines)


def failures(rows: list[dict], name: str, reading: Reading) -> str:
    """Of the set of this name: the combinations that fail most, and what was most often read instead."""
    failed = [row for row in rows if row[name] < row["samples"]]
    if not failed:
        return f"{name}: all {len(rows)} combinations are read back every time"
    lines = [f"{name}: {len(failed)} of {len(rows)} combinations are not read back every time, these most seldom:"]
    per_cent = [100 * row[name] / row["samples"] for row in failed[:MOST]]
    lines += [f"{right:8.1f} % of {row['samples']}  {row['caption']}" for right, row in zip(per_cent, failed)]
    said = [
        f"{asked} read as {read}, {'once' if times == 1 else f'{times} times'}"
        for (asked, read), times in reading.instead.most_common(MOST)
    ]
    return "\n".join([*lines, f"{name}, read instead: {'; '.join(said)}"])


def numbers(shares: dict[str, dict[str, Measured]], lost: Measured | None, found: dict[str, Reading]) -> dict:
    """The same numbers, unrounded, for a file."""
    return {
        "metrics": {row: {name: common.pair(x[row]) for name, x in shares.items()} for row in ROWS},
        "lost_by_rewording": common.pair(lost),
        "read_instead": {
            name: [{"asked": a, "read": b, "times": n} for (a, b), n in reading.instead.most_common()]
            for name, reading in found.items()
        },
    }
