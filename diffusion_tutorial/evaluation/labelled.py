"""`diffusion-tutorial evaluate digits`, and of any subject with labels: how good is a set of pictures, how good are real ones?

Each number has a 95 % interval, and the same number for as many other real pictures beside it: the floor. The intervals
answer for the choice of the n pictures, not for the training, and hold the reference fixed, which both columns share:
counted shares have Wilson's; the Frechet distance and recall the jackknife's, at this n; the median distance that of
ranks. Over real digits the jackknife of the Frechet distance agreed with the spread of 50 separate samples of 1000. For
recall it is rather wide, and too narrow where whole kinds of digit are missing: one odd picture decides much then.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial import metrics, progress
from diffusion_tutorial.evaluation import common
from diffusion_tutorial.evaluation.common import Measured
from diffusion_tutorial.evaluation.real import LEAST, POOL, Reference, labels_of, read, reference
from diffusion_tutorial.models.gan import Gan
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import Subject
from diffusion_tutorial.subjects.base import Unjudged

NEAR = 0.01  # a sample counts as near if only this share of other real digits is as near to a training digit

ACCURACY, FRECHET, PRECISION, RECALL = "read as its label", "Frechet distance", "precision", "recall"
NEAREST, NEAR_SHARE = "distance to nearest", "share very near"
DECIMALS = {FRECHET: 4, NEAREST: 4}  # in the table; 3 for the others
INTERVALS = "Intervals: for other draws of n pictures."
NOTE = f"{INTERVALS} The Frechet distance is over our own judge, so no paper's is like it."


def report_model(
    subject: Subject,
    model: Denoiser | Gan,
    weights: str,
    n: int,
    out: Path | None,
    seed: int,
    walk: Walk,
    against: str | None,
) -> int:
    """Draw n pictures, measure them, print table and protocol, write `out`."""
    real = reference(subject, against)
    _check_n(n, len(real.others), real)
    images, labels, evaluations = draw(subject, model, n, real, seed, walk)
    walked = {} if isinstance(model, Gan) else asdict(walk)
    made = {"weights": weights, "seed": seed, **walked, "network_evaluations_per_sample": round(evaluations, 3)}
    made["labels"] = "balanced" if real.labels is None else "those of the real pictures beside"
    return _report(subject, images, labels, real, made, out)


def report_file(subject: Subject, path: Path, n: int | None, out: Path | None, against: str | None) -> int:
    """Measure n pictures of a file (None: as many as fit), print table and protocol, write `out`."""
    images, labels = read(subject, path)
    real = reference(subject, against)
    most = min(len(images), len(real.others))
    n = most if n is None else n
    _check_n(n, most, real)
    if n < len(images):
        print(
            f"{n} of the {len(images)} pictures in {path}, chosen by chance; the floor has {len(real.others)} real ones"
        )
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:n]
    made = {"pictures": str(path), "pictures_in_file": len(images), "seed": 0}
    return _report(subject, images[chosen], None if labels is None else labels[chosen], real, made, out)


def _check_n(n: int, most: int, real: Reference) -> None:
    if not LEAST <= n <= most:
        fuller = f"; against the full set there may be {POOL}" if most == len(real.others) < POOL else ""
        beside = f"{len(real.others)} real ones for the floor"
        raise ValueError(f"--n: expected {LEAST} to {most} pictures, with {beside}, got {n}{fuller}")


def _report(
    subject: Subject, images: Tensor, labels: Tensor | None, real: Reference, made: dict, out: Path | None
) -> int:
    protocol = {"n": len(images), **made, "reference": real.name, "reference_features": min(POOL, len(real.images))}
    protocol |= {"floor": f"{len(images)} of {len(real.others)} others"}
    print(f"{len(images)} pictures, and as many other real ones, against {real.name}", flush=True)
    found = measure(subject, images, labels, real)
    protocol |= {"judge": subject.judge.card()["quality"]} if FRECHET in found else {}
    print(f"\n{table(found, f'real {subject.plural}')}\n\n{NOTE if FRECHET in found else INTERVALS}")
    print(common.tell(protocol))
    if out:
        common.write_json(out, {"metrics": numbers(found), "protocol": protocol})
    return 0


def draw(
    subject: Subject, model: Denoiser | Gan, n: int, against: Reference, seed: int, walk: Walk
) -> tuple[Float[Tensor, "n c h w"], Int[Tensor, "n"], float]:
    """n pictures with the labels of the floor's, rounded as a file would, and the network's evaluations for each."""
    labels = torch.arange(n) % len(labels_of(subject).names) if against.labels is None else against.labels[:n]
    with common.evaluations(getattr(model, "net", model)) as calls:
        drawn = subject.draw(model, labels.tolist(), seed, walk)
    return subject.from_pixels(subject.to_pixels(drawn)), labels, sum(calls) / n


def measure(
    subject: Subject, images: Float[Tensor, "n c h w"], labels: Int[Tensor, "n"] | None, against: Reference
) -> dict[str, tuple[Measured, Measured | None]]:
    """Each metric of the images, and the floor: the same for the first n others of the reference, under a progress bar.

    The accuracy is left out where no picture has a label; its floor is None where the reference has none. Where there is no
    judge, only the distances to the nearest pictures are left, and a sentence says so.
    """
    judge = _judge(subject)
    floor, floor_labels = against.others[: len(images)], against.labels
    sides = [(images, labels), (floor, None if floor_labels is None else floor_labels[: len(images)])]
    with progress.bar("measuring") as show:
        show.at(0, "the reference")
        real = None if judge is None else metrics.embed(judge.features, against.images[:POOL])
        near = []
        for i, (side, _) in enumerate(sides, start=1):
            show.at(i / 5, "nearest neighbours")
            near.append(metrics.nearest(side, against.images)[0][:, 0])
        found = []
        for i, ((side, asked), distance) in enumerate(zip(sides, near), start=3):
            show.at(i / 5, "intervals")
            read = {} if real is None else dict(_read(subject, judge, side, asked, real))
            found.append(read | dict(_apart(distance, near[1].quantile(NEAR))))
    return {name: (value, found[1].get(name)) for name, value in found[0].items()}


def _judge(subject: Subject) -> Any:
    """The subject's judge, ready to read; None, and a sentence, where there is none."""
    try:
        return subject.judge.load()
    except Unjudged as problem:
        progress.note(f"{problem}. What it would read, and the Frechet distance over its features, are left out.")
        return None


def _read(
    subject: Subject, judge: Any, images: Tensor, labels: Tensor | None, real: Tensor
) -> Iterator[tuple[str, Measured]]:
    """What a judge says of one set of pictures, by name."""
    x, radii = metrics.embed(judge.features, images), metrics.radius(real)
    asked = None if labels is None else labels >= 0
    if labels is not None and asked is not None and asked.any():
        yield ACCURACY, common.share(subject.read_back(images[asked], labels[asked].tolist()))
    yield FRECHET, _jackknife(partial(metrics.frechet, reference=real), x, most=float("inf"))
    yield PRECISION, common.share(metrics.covered(x, real, radii))
    yield RECALL, _jackknife(lambda part: metrics.covered(real, part, metrics.radius(part)).float().mean().item(), x)


def _apart(distance: Tensor, threshold: Tensor) -> Iterator[tuple[str, Measured]]:
    """How far one set of pictures is from the nearest real ones, by name."""
    yield NEAREST, Measured(*metrics.median(distance))
    yield NEAR_SHARE, common.share(distance <= threshold)


def _jackknife(statistic: Callable[[Tensor], float], x: Tensor, most: float = 1.0) -> Measured:
    value, low, high = metrics.jackknife(statistic, x)
    return Measured(value, max(0.0, low), min(most, high))


def ratio(value: Measured, floor: Measured | None) -> float | None:
    """How many times the floor; None where there is none, or it is 0."""
    return value.value / floor.value if floor and floor.value else None


def table(found: dict[str, tuple[Measured, Measured | None]], floor_is: str = "real digits") -> str:
    """The numbers for a reader, a line for each metric."""
    wide = max(12, len(floor_is) + 1)
    lines = [f"{'':22}{'value':>8}   {'95 % interval':17}{floor_is:>{wide}}   {'95 % interval':17}{'ratio':>6}"]
    for name, (value, floor) in found.items():
        times = ratio(value, floor)
        cells = _cells(value, 8, name), _cells(floor, wide, name), "" if times is None else f"{times:.2f}"
        lines.append(f"{name:22}{cells[0]}{cells[1]}{cells[2]:>6}")
    return "\n".join(line.rstrip() for line in lines)


def _cells(x: Measured | None, width: int, name: str) -> str:
    """A value and its interval, of fixed width."""
    if x is None:
        return f"{'-':>{width}}{'':20}"
    value, low, high = (f"{number:.{DECIMALS.get(name, 3)}f}" for number in x)
    return f"{value:>{width}}   {f'{low} .. {high}':17}"


def numbers(found: dict[str, tuple[Measured, Measured | None]]) -> dict:
    """The same numbers, unrounded, for a file."""
    return {
        name: {**(common.pair(x) or {}), "real": common.pair(floor), "ratio": ratio(x, floor)}
        for name, (x, floor) in found.items()
    }
