"""Files that are whole or not there: written aside, then renamed. Weights are safetensors only, never pickles."""

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

PARTIAL = "diffusion-tutorial-partial"  # in the name of every file written aside, and of no other
STALE = 3600.0  # seconds after which a file written aside is taken for abandoned


class BadFile(ValueError):
    """A file is missing, damaged or of another kind; the message names it and says what was expected."""


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call write(aside), then rename aside to `path`: whoever looks at `path` sees the old file or the new, whole.

    `aside` is .NAME.RANDOM.diffusion-tutorial-partial with the suffix of `path`, in the same folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in _leftovers(path):
        with contextlib.suppress(OSError):  # another process sweeps at the same time, or it belongs to somebody else
            if time.time() - left.stat().st_mtime > STALE:
                left.unlink()
    before, after = _around(path)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=before, suffix=after)
    os.close(handle)
    try:
        write(Path(aside))
        with open(aside, "rb+") as written:  # Windows syncs only what may be written
            os.fsync(written.fileno())
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def write_whole_folder(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call write(aside), then rename the folder aside to `path`: it appears whole or not at all; a folder that is there is replaced."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    before, after = _around(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=before, suffix=after) as room:
        new, old = Path(room) / "new", Path(room) / "old"
        new.mkdir()
        write(new)
        for file in new.rglob("*"):
            if file.is_file():
                os.chmod(file, 0o666 & ~_umask())
        if path.exists():
            os.rename(path, old)
        try:
            os.rename(new, path)
        except BaseException:
            if old.exists():
                os.rename(old, path)
            raise


def _umask() -> int:
    """Which permissions new files of this process go without; to read it is to set it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _around(path: Path) -> tuple[str, str]:
    """What stands before and after the random part in the name of a file written aside; short for a long name too."""
    name = path.name.encode(errors="ignore")[:100].decode(errors="ignore")
    return f".{name}.", f".{PARTIAL}{path.suffix}"


def _leftovers(path: Path) -> list[Path]:
    """Files written aside for `path`, as by a process that was killed while it wrote; never anybody else's."""
    before, after = _around(path)
    ours = re.compile(re.escape(before) + "[a-z0-9_]{8}" + re.escape(after))  # the middle is tempfile's
    try:
        return [path.parent / name for name in os.listdir(path.parent) if ours.fullmatch(name)]
    except OSError:  # a folder that may be written and not read
        return []


def write_tensors(path: str | Path, tensors: dict[str, Tensor], about: dict) -> None:
    """Tensors and a JSON-able description as one safetensors file, written whole."""
    tensors = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    text = json.dumps(about)
    data = save(tensors, {"about": f"{_digest(tensors, text)} {text}"})  # one entry: several come in any order
    write_whole(path, lambda aside: aside.write_bytes(data))


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """What `write_tensors` wrote. Raises BadFile if there is no such file, or it is damaged or of another kind."""
    try:
        with safe_open(path, framework="pt") as f:
            tensors, meta = {name: f.get_tensor(name) for name in f.keys()}, f.metadata()
        digest, _, text = meta["about"].partition(" ")
        if digest != _digest(tensors, text):
            raise ValueError("its contents have changed since they were written")
        return tensors, json.loads(text)
    except FileNotFoundError:
        raise BadFile(f"there is no file {path}") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise BadFile(f"{path} is damaged or not a safetensors file of this package ({problem})") from problem


def _digest(tensors: dict[str, Tensor], about: str) -> str:
    """A sum over every name, shape, type and byte: safetensors itself does not notice a number that has changed."""
    sum_ = hashlib.blake2b(about.encode(), digest_size=16)
    for name, x in sorted(tensors.items()):
        sum_.update(f"{name} {x.dtype} {list(x.shape)}".encode())
        sum_.update(x.reshape(-1).view(torch.uint8).numpy().data)
    return sum_.hexdigest()
