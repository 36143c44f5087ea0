"""What an evaluation measures against: real pictures in two parts, reference and floor; and pictures in files."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial import files, metrics
from diffusion_tutorial.evaluation.common import arrays
from diffusion_tutorial.subjects import Subject
from diffusion_tutorial.subjects.conditions import ANY, Labels

LEAST = metrics.GROUPS  # pictures on each side: one for each of the jackknife's groups
POOL = 10_000  # of 60,000 real pictures, those for the floor; as many of the others give the reference's features


class Reference(NamedTuple):
    """Real pictures to measure against, and others, apart from them, for the floor; labels are None where not known."""

    name: str
    images: Tensor
    others: Tensor
    labels: Tensor | None


def reference(subject: Subject, against: str | None = None) -> Reference:
    """Real pictures from a set of the subject's, by name, or from an .npz; None: the best that is at hand.

    A set of 60,000 is cut into 10,000 pictures for the floor and 50,000, anything else into halves; always in the same way.
    """
    if against and against.lower().endswith(".npz"):
        images, labels = read(subject, Path(against), 2 * LEAST)
        kind = f"pictures in {Path(against).name}"
    else:
        images, labels, kind = subject.real(against)
    cut = POOL if len(images) >= 6 * POOL else len(images) // 2
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    others, rest = order[:cut], order[cut:]
    name = f"{len(rest)} of the {len(images)} {kind}"
    return Reference(name, images[rest], images[others], None if labels is None else labels[others])


def labels_of(subject: Subject) -> Labels:
    """The labels of a subject that has them."""
    assert isinstance(subject.condition, Labels), f"{subject.name} has no labels"
    return subject.condition


def read(subject: Subject, path: Path, least: int = LEAST) -> tuple[Float[Tensor, "n c h w"], Int[Tensor, "n"] | None]:
    """Pictures in [-1, 1] and labels (None where there are none) from an .npz such as `sample` writes.

    images: uint8 N x height x width, in colour x 3; labels, if any: whole numbers N, from 0 on, or -1 for none.
    files.BadFile if it is not so.
    """
    with arrays(path) as found:
        pixels, labels = found["images"], found["labels"] if "labels" in found else None
    if pixels.dtype != np.uint8 or pixels.shape[1:] != subject.pixel_shape:
        wanted = " x ".join(("N", *map(str, subject.pixel_shape)))
        raise files.BadFile(f"{path}: expected images uint8 {wanted}, got {pixels.dtype} {pixels.shape}")
    if len(pixels) < least:
        raise files.BadFile(f"{path}: expected at least {least} pictures, got {len(pixels)}")
    images = subject.from_pixels(pixels)
    if labels is None:
        return images, None
    if labels.dtype.kind not in "iu" or labels.shape != pixels.shape[:1]:
        wanted = f"a whole number as label of each of {len(pixels)} images"
        raise files.BadFile(f"{path}: expected {wanted}, got {labels.dtype} {labels.shape}")
    most = len(labels_of(subject).names) - 1
    if labels.min() < ANY or labels.max() > most:
        raise files.BadFile(f"{path}: expected labels 0..{most}, or -1 for none, got {labels.min()} to {labels.max()}")
    return images, torch.from_numpy(labels.astype(np.int64))
