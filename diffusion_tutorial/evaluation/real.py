"""What an evaluation measures against: real digits in two parts, reference and floor; and pictures in files."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial import files, metrics
from diffusion_tutorial.data import digits
from diffusion_tutorial.evaluation.common import arrays

LEAST = metrics.GROUPS  # pictures on each side: one for each of the jackknife's groups
POOL = 10_000  # of 60,000 real digits, those for the floor; as many of the others give the reference's features


class Reference(NamedTuple):
    """Real digits to measure against, and others, apart from them, for the floor; labels are None where not known."""

    name: str
    images: Tensor
    others: Tensor
    labels: Tensor | None


def reference(against: str | None = None) -> Reference:
    """Real digits from "full", from "sample" or from an .npz; None: MNIST where it is at hand, else the sample.

    The full set is cut into 10,000 digits for the floor and 50,000, anything else into halves; always in the same way.
    """
    if against in ("full", "sample"):
        images, labels = digits.load(against)
        name = against
    elif against:
        images, labels = read(Path(against), 2 * LEAST)
        name = Path(against).name
    else:
        wanted = "full" if digits.full_is_there() or digits.misnamed() else "sample"
        images, labels, name = digits.load_or_sample(wanted)
    cut = POOL if name == "full" else len(images) // 2
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    others, rest = order[:cut], order[cut:]
    part = f"{len(rest)} of the {len(images)} "
    kind = {"full": "MNIST training digits", "sample": "digits that come along"}.get(name, f"pictures in {name}")
    return Reference(part + kind, images[rest], images[others], None if labels is None else labels[others])


def read(path: Path, least: int = LEAST) -> tuple[Float[Tensor, "n 1 28 28"], Int[Tensor, "n"] | None]:
    """Pictures in [-1, 1] and labels (None where there are none) from an .npz such as `sample digits` writes.

    images: uint8 N x 28 x 28; labels, if any: whole numbers N, 0..9 or -1 for none. files.BadFile if it is not so.
    """
    with arrays(path) as found:
        pixels, labels = found["images"], found["labels"] if "labels" in found else None
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (28, 28):
        raise files.BadFile(f"{path}: expected images uint8 N x 28 x 28, got {pixels.dtype} {pixels.shape}")
    if len(pixels) < least:
        raise files.BadFile(f"{path}: expected at least {least} pictures, got {len(pixels)}")
    if labels is None:
        return digits.to_signed(torch.from_numpy(pixels)), None
    if labels.dtype.kind not in "iu" or labels.shape != pixels.shape[:1]:
        wanted = f"a whole number as label of each of {len(pixels)} images"
        raise files.BadFile(f"{path}: expected {wanted}, got {labels.dtype} {labels.shape}")
    if labels.min() < -1 or labels.max() > 9:
        raise files.BadFile(f"{path}: expected labels 0..9, or -1 for none, got {labels.min()} to {labels.max()}")
    return digits.to_signed(torch.from_numpy(pixels)), torch.from_numpy(labels.astype(np.int64))
