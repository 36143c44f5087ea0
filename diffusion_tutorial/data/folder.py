"""Pictures of one's own: the files in a folder as squares in colour, with a label each. Used in "Go to colour and to the GPU".

What people have is mixed: large and small, lying on its side, with a palette, see-through, moving, broken, or no picture at
all. Each is read as `pictures.read_square` says, and what is left out is named, with the reason. Where every picture lies in
a folder below, those folders are the classes and their names the labels. Hidden files, and what systems leave lying
about (Thumbs.db, desktop.ini, __MACOSX), are passed over.
"""

import hashlib
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int, UInt8
from PIL import UnidentifiedImageError
from torch import Tensor

from diffusion_tutorial import files, pictures, progress

SIZES = (32, 48, 64)  # sides of the pictures that models in colour are made for
DEBRIS = {"thumbs.db", "desktop.ini", "__macosx"}
SETS = {"train", "test", "val", "valid", "validation"}  # folders with these names hold sets, and not classes
HEIC = {".heic", ".heif"}
ENOUGH = 4  # pictures, so that one can be held out
HELD_LEAST, HELD_MOST = 10, 1000  # pictures that are held out, where there are enough


class Pictures(NamedTuple):
    """What was read of a folder, in the order of the files' names."""

    name: str  # of the folder
    pixels: UInt8[Tensor, "n 3 size size"]
    labels: Int[Tensor, "n"]
    classes: tuple[str, ...]  # what the labels are called; none where the pictures have no labels
    files: tuple[str, ...]  # names below the folder
    marks: tuple[str, ...]  # digests of the files
    left_out: dict[str, str]  # files that were not read, and why
    done: dict[str, int]  # what was done to pictures, and to how many

    @property
    def contents(self) -> str:
        """How many pictures there are, and a digest of them and their labels: the same for the same folder on any machine."""
        sum_ = hashlib.blake2b(digest_size=8)
        for mark, label in sorted(zip(self.marks, self.labels.tolist())):
            sum_.update(f"{mark} {self.classes[label] if self.classes else ''}\n".encode(errors="surrogateescape"))
        return f"{len(self.pixels)} pictures ({sum_.hexdigest()})"

    @property
    def sizes(self) -> dict[str, int]:
        """How many pictures each class has."""
        counts = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts))


def load(path: Path, size: int) -> Pictures:
    """The pictures in a folder and in those below it, size x size, under a progress bar.

    Files with the same bytes count once in a class. files.BadFile if there is no such folder, or no picture in it.
    """
    found, left_out = _files(path)
    read: dict[str, Tensor] = {}
    marks: dict[str, str] = {}
    done: Counter[str] = Counter()
    first: dict[tuple[str | None, str], str] = {}
    for name in progress.each(found, "reading pictures") if found else ():
        try:
            square, notes, mark = _read(path / name, size)
        except files.BadFile as problem:
            left_out[name] = str(problem)
            continue
        if (twin := first.setdefault((_class(name), mark), name)) != name:
            left_out[name] = f"the same file as {twin}"
            continue
        read[name], marks[name] = square, mark
        done.update(notes)
    if not read:
        raise files.BadFile(f"{path}: expected pictures, such as .jpg or .png, found none{_first(left_out)}")
    classes, note = _classes(path, list(read))
    labels = torch.tensor([classes.index(_class(name) or "") if classes else 0 for name in read])
    every = {note: len(read)} if note else {}
    name = path.resolve().name
    pixels = torch.stack(list(read.values()))
    return Pictures(name, pixels, labels, classes, tuple(read), tuple(marks.values()), left_out, every | dict(done))


def split(found: Pictures) -> tuple[Int[Tensor, "n"], Int[Tensor, "m"]]:
    """Places of the pictures to learn from, and of those held out: one in ten, 10 to 1,000, but at most a quarter.

    Chosen by digests: a copy of a file, in another class or on another machine, is on the same side.
    """
    n = len(found.pixels)
    count = max(min(HELD_LEAST, n // 4), min(HELD_MOST, n // 10))
    apart = set(sorted(found.marks)[:count])
    held = torch.tensor([mark in apart for mark in found.marks])
    return torch.where(~held)[0], torch.where(held)[0]


def _files(path: Path) -> tuple[list[str], dict[str, str]]:
    """The names of all files below a folder, in order, links followed; and what cannot be opened."""
    if not path.is_dir():
        came = f"{path} is a file" if path.exists() else f"there is no {path}"
        raise files.BadFile(f"expected a folder of pictures, but {came}")
    found, left_out, seen = [], {}, {os.path.realpath(path)}

    def closed(problem: OSError) -> None:
        left_out[os.path.relpath(problem.filename, path)] = "a folder that cannot be opened"

    for at, folders, names in os.walk(path, onerror=closed, followlinks=True):
        real = {folder: os.path.realpath(os.path.join(at, folder)) for folder in folders if not _passed_over(folder)}
        folders[:] = sorted(folder for folder in real if real[folder] not in seen)
        seen |= set(real.values())
        for name in names:
            file = Path(at, name)
            if _passed_over(name):
                continue
            if file.is_file():
                found.append(file.relative_to(path).as_posix())
            else:
                left_out[file.relative_to(path).as_posix()] = "a link to nothing, or no file"
    return sorted(found), left_out


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in DEBRIS


def _read(file: Path, size: int) -> tuple[Tensor, tuple[str, ...], str]:
    """A picture, what was done to it, and the digest of its file; BadFile, with the reason alone, if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's, about files that it reads all the same
            square, notes = pictures.read_square(file, size)
        with open(file, "rb") as data:
            mark = hashlib.file_digest(data, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except Exception as problem:  # a decoder meets a broken file: anything may come
        raise files.BadFile(_why(file, problem)) from problem
    return torch.from_numpy(square).permute(2, 0, 1).contiguous(), notes, mark


def _why(file: Path, problem: Exception) -> str:
    """Why a file was left out, without the way to it."""
    if file.suffix.lower() in HEIC:
        return "HEIC pictures are not read; save it as JPEG"
    if isinstance(problem.__cause__, UnidentifiedImageError):
        return "no picture, or of a kind that is not read"
    said = str(problem) or type(problem).__name__
    return said.removeprefix(f"{file}: ").replace(str(file), file.name)


def _class(name: str) -> str | None:
    """The folder below the top in which a file lies; None for one that lies at the top."""
    return name.split("/")[0] if "/" in name else None


def _classes(path: Path, names: list[str]) -> tuple[tuple[str, ...], str | None]:
    """The classes, if every picture lies in one; and what a person would want to know."""
    tops = {_class(name) for name in names}
    if None in tops:
        mixed = "without a label, as some pictures lie in the folder itself and some in folders below"
        return (), mixed if len(tops) > 1 else None
    classes = sorted(top for top in tops if top)
    if {top.lower() for top in classes} <= SETS:
        raise files.BadFile(
            f"{path}: holds {', '.join(classes)}, which are sets and not classes; name one, as {path / classes[0]}"
        )
    return tuple(classes), None


def _first(left_out: dict[str, str]) -> str:
    if not left_out:
        return ""
    name, why = next(iter(left_out.items()))
    return f" that can be read among {len(left_out)} files ({name}: {why})"
