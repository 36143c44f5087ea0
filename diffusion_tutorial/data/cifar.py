"""Small photographs: CIFAR-10, 32 x 32 in colour, ten kinds of thing (Krizhevsky 2009). Used in "Go to colour and to the GPU".

- `full`: 50,000 pictures to train on and 10,000 to test, read by torchvision from the folder that the environment variable
  DIFFUSION_TUTORIAL_DATA names (cifar-10-batches-py in it), or downloaded there once; every file is checked against its MD5.
- `of_folder`: the same pictures as files in class folders, such as train/airplane/0000.jpg, and test/airplane/0000.jpg.
"""

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from diffusion_tutorial import files
from diffusion_tutorial.data import folder
from diffusion_tutorial.data.digits import FOLDER, DataUnavailable, misnamed
from diffusion_tutorial.data.digits import folder as root

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE = 32
BATCHES = "cifar-10-batches-py"  # what torchvision calls the folder of the files


def full(train: bool = True) -> tuple[UInt8[Tensor, "n 3 32 32"], Int[Tensor, "n"]]:
    """The 50,000 training pictures, or the 10,000 test pictures, and their labels, numbers of NAMES.

    Raises DataUnavailable, with one sentence that says what to do, if they are neither on disk nor downloadable.
    """
    return _full(root(), train)


def is_there() -> bool:
    """Whether `full` needs no download."""
    return (root() / BATCHES).is_dir()


def of_folder(path: Path, train: bool = True) -> folder.Pictures:
    """The pictures in the class folders of `path`/train or `path`/test; of `path` itself, if they lie there.

    files.BadFile if the folders are not those of NAMES, or there is no such folder.
    """
    part = path / ("train" if train else "test")
    if not train or part.is_dir():
        path = part
    found = folder.load(path, SIZE)
    if found.classes != NAMES:
        came = ", ".join(found.classes) or "pictures without class folders"
        raise files.BadFile(f"{path}: expected the folders {', '.join(NAMES)}, got {came}")
    return found


@cache
def _full(at: Path, train: bool) -> tuple[Tensor, Tensor]:
    if wrong := misnamed():
        raise DataUnavailable(wrong)
    if not (at / BATCHES).is_dir():
        _download(at)
    try:
        data = _torchvision(at, train)
    except (RuntimeError, OSError) as problem:
        raise DataUnavailable(f"A file in {at / BATCHES} is missing or damaged; delete that folder.") from problem
    return torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets)


def _torchvision(at: Path, train: bool = True, download: bool = False) -> Any:
    """torchvision's CIFAR10, which checks each file before it reads any."""
    from torchvision.datasets import CIFAR10

    return CIFAR10(str(at), train=train, download=download)


def _download(at: Path) -> None:
    """Fetch into a folder aside, then move it into place whole: what is seen under `at` is never half-written."""
    try:
        at.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=at, prefix="download-") as aside:
            _torchvision(Path(aside), download=True)  # draws the progress bar and checks the archive's MD5
            os.replace(Path(aside) / BATCHES, at / BATCHES)
    except (OSError, RuntimeError, EOFError) as problem:
        reason = " ".join(str(problem).split()).rstrip(":.") or type(problem).__name__
        raise DataUnavailable(
            f"CIFAR-10 could not be downloaded ({reason}); if you have it, set {FOLDER} to the folder that holds {BATCHES}, "
            "or name a folder with train/airplane, train/automobile, … by --data."
        ) from problem
