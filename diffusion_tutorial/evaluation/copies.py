"""`diffusion-tutorial evaluate folder`: are the samples new, or copies of pictures that the model was trained on?

A blurred sample lies near to everything, so a distance by itself says little. What gives a copy away is one picture much
nearer than all the others: r = d_1 / mean(d_2 .. d_k) over the k training pictures that are nearest (after Carlini et al.
2023, arXiv 2301.13188, section 5.1). A picture that was held out of the training can be no copy, so its r says what is usual: a
sample counts as a copy if its r is below that of 99 % of the held-out pictures. Mirrored pictures count as the same.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from diffusion_tutorial import pictures, progress
from diffusion_tutorial.data import folder
from diffusion_tutorial.evaluation import common
from diffusion_tutorial.evaluation.common import Measured, arrays
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import Subject

NEAREST, USUAL = 50, 0.01  # neighbours that are looked at; share of held-out pictures that count as copies
PART = 1000  # training pictures at a time
SHOWN = 50  # samples on the page, with their nearest


class Near(NamedTuple):
    """How far pictures are from their nearest training picture: the root of the mean squared difference, r, and its place."""

    distance: Float[Tensor, "n"]
    r: Float[Tensor, "n"]
    place: Int[Tensor, "n"]


class Copies(NamedTuple):
    """What was found: the share of copies, for the samples and the held-out pictures their r and distances, the usual r."""

    share: Measured
    samples: Near
    held: Near
    usual: float


def near(images: UInt8[Tensor, "n c h w"], among: UInt8[Tensor, "m c h w"]) -> Near:
    """Where the nearest of `among` are, and how far; of less than three there is no r to speak of: a ValueError."""
    if len(among) < 3:
        raise ValueError(f"expected at least 3 pictures to look among, got {len(among)}")
    k = min(NEAREST, len(among))
    x, mirrored = (side.flatten(1).float() / 127.5 for side in (images, images.flip(-1)))
    distances, places = x.new_full((len(x), 0), 0.0), torch.zeros(len(x), 0, dtype=torch.int64)
    for start in range(0, len(among), PART):
        part = among[start : start + PART].flatten(1).float() / 127.5
        d = torch.minimum(_apart(x, part), _apart(mirrored, part))
        every = torch.cat([distances, d], 1)
        numbers = torch.cat([places, torch.arange(start, start + len(part)).expand(len(x), -1)], 1)
        distances, order = every.topk(min(k, every.shape[1]), largest=False)
        places = numbers.gather(1, order)
    return Near(distances[:, 0], distances[:, 0] / distances[:, 1:].mean(1).clamp(min=1e-6), places[:, 0])


def _apart(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """The root of the mean squared difference, rounded a little: a copy is not quite at 0."""
    return torch.cdist(x, y) / math.sqrt(x.shape[1])


def find(
    samples: UInt8[Tensor, "n c h w"], training: UInt8[Tensor, "m c h w"], held_out: UInt8[Tensor, "k c h w"]
) -> Copies:
    """Which share of the samples are copies."""
    drawn, held = near(samples, training), near(held_out, training)
    usual = held.r.quantile(USUAL, interpolation="lower").item()
    return Copies(common.share(drawn.r < usual), drawn, held, usual)


def numbers(found: Copies) -> dict:
    """What was found, for a card or a file."""
    protocol = (
        f"a sample is a copy if r, its distance to the nearest training picture over the mean of that to the next "
        f"{NEAREST - 1}, is below that of {1 - USUAL:.0%} of {len(found.held.r)} held-out pictures"
    )
    sides = {"samples": found.samples, "held_out": found.held}
    return {
        "share": round(found.share.value, 4),
        "interval_95": [round(found.share.low, 4), round(found.share.high, 4)],
        "usual_r": round(found.usual, 4),
        "median_r": {name: _middle(x.r) for name, x in sides.items()},
        "median_distance": {name: _middle(x.distance) for name, x in sides.items()},
        "protocol": protocol,
    }


def _middle(x: Tensor) -> float:
    return round(x.quantile(0.5).item(), 4)


def tell(found: Copies) -> str:
    """The same for a reader, in four lines."""
    told = numbers(found)
    r, apart = told["median_r"], told["median_distance"]
    low, high = found.share.low, found.share.high
    return "\n".join(
        [
            f"copies among {len(found.samples.r)} samples: {found.share.value:.1%} (95 % interval {low:.1%} .. {high:.1%})",
            f"r in the middle: {r['samples']:.3f}; of held-out pictures {r['held_out']:.3f}, of copies below {found.usual:.3f}",
            f"distance to the nearest: {apart['samples']:.3f}; of held-out pictures {apart['held_out']:.3f}, of a range of 2",
            f"{told['protocol']}",
        ]
    )


def page(path: Path, samples: UInt8[Tensor, "n 3 h w"], training: UInt8[Tensor, "m 3 h w"], found: Copies) -> None:
    """A .png of pairs, five a row: a sample, and right of it the training picture nearest to it; the smallest r come first."""
    order = found.samples.r.argsort()[:SHOWN]
    pairs = torch.stack([samples[order], training[found.samples.place[order]]], 1).flatten(0, 1)
    pictures.write_page(path, pairs.permute(0, 2, 3, 1).numpy(), columns=10, scale=2)


def report_model(
    subject: Subject,
    model: Denoiser,
    weights: str,
    n: int,
    out: Path | None,
    seed: int,
    walk: Walk,
    against: str | None,
) -> int:
    """Draw n samples, their labels in turn, and look for copies in the folder `against`; print, and write `out`."""
    if n < 1:
        raise ValueError(f"--n: expected at least 1 picture, got {n}")
    beside = _folder(against, subject.shape[1])
    samples = draw(subject, model, n, walk, seed)
    return _report(samples, beside, {"n": n, "weights": weights, "seed": seed, **asdict(walk)}, out)


def report_file(subject: Subject, path: Path, n: int | None, out: Path | None, against: str | None) -> int:
    """Look for copies among the first n pictures of a file (None: all)."""
    with arrays(path) as found:
        pixels = found["images"]
    if pixels.ndim != 4 or pixels.dtype != "uint8" or not subject.takes(pixels.shape[1:]):
        sizes = ", ".join(map(str, folder.SIZES))
        raise ValueError(
            f"{path}: expected images uint8 N x S x S x 3, S one of {sizes}, got {pixels.dtype} {pixels.shape}"
        )
    most = len(pixels) if n is None else n
    if not 1 <= most <= len(pixels):
        raise ValueError(f"--n: expected 1 to {len(pixels)} pictures, got {most}")
    samples = torch.from_numpy(pixels[:most]).permute(0, 3, 1, 2)
    return _report(samples, _folder(against, pixels.shape[1]), {"n": most, "pictures": str(path)}, out)


def draw(
    subject: Subject, model: Denoiser, n: int, walk: Walk, seed: int = 0, labels: Sequence[int] | None = None
) -> UInt8[Tensor, "n c h w"]:
    """n samples, their labels in turn or as given, as a file would hold them."""
    asked = [i % model.net.labels for i in range(n)] if labels is None else labels
    return torch.from_numpy(subject.to_pixels(subject.draw(model, asked, seed, walk))).permute(0, 3, 1, 2)


def _folder(against: str | None, size: int) -> folder.Pictures:
    if against is None:
        raise ValueError(
            "--against: expected the folder of the pictures that the model was trained on, as --against pictures/"
        )
    found = folder.load(Path(against), size)
    if len(found.pixels) < folder.ENOUGH:
        raise ValueError(f"--against: expected at least {folder.ENOUGH} pictures, got {len(found.pixels)}")
    return found


def _report(samples: Tensor, beside: folder.Pictures, made: dict, out: Path | None) -> int:
    learned, held = folder.split(beside)
    with progress.bar("measuring"):
        found = find(samples, beside.pixels[learned], beside.pixels[held])
    print(tell(found))
    protocol = {**made, "against": f"{beside.name}, {beside.contents}", "training": len(learned), "held_out": len(held)}
    print(common.tell(protocol))
    if out:
        common.write_json(out, {"metrics": {"copies": numbers(found)}, "protocol": protocol})
    return 0
