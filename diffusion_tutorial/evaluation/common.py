"""What the evaluations share: a value with its interval, counting the network's work, reading .npz, telling and writing."""

import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from torch import Tensor, nn

from diffusion_tutorial import files, metrics


class Measured(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def share(hits: Bool[Tensor, "n"]) -> Measured:
    """The share of hits with its Wilson interval."""
    return Measured(*metrics.share(hits))


@contextmanager
def evaluations(network: nn.Module) -> Iterator[list[int]]:
    """A list that grows within the `with`: on how many pictures the network was evaluated, call by call."""
    calls = []
    counting = network.register_forward_hook(lambda network, arguments, answer: calls.append(len(answer)))
    try:
        yield calls
    finally:
        counting.remove()


@contextmanager
def arrays(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """The arrays of an .npz by name, never unpickled; files.BadFile if it is none, or one that is asked for is missing."""
    try:
        with np.load(path, allow_pickle=False) as found:
            yield found
    except FileNotFoundError:
        raise files.BadFile(f"there is no file {path}") from None
    except (
        OSError,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        EOFError,
        MemoryError,
        NotImplementedError,
    ) as bad:
        raise files.BadFile(f"{path}: expected an .npz with an array `images` ({bad})") from bad
    except (zipfile.BadZipFile, zlib.error) as bad:
        raise files.BadFile(f"{path} is damaged ({bad})") from bad


def tell(protocol: dict) -> str:
    """The protocol in a line, the judge's accuracy last, if there is a judge."""
    said = [f"{name.replace('_', ' ')} {value}" for name, value in protocol.items() if name != "judge"]
    if "judge" in protocol:
        judge = protocol["judge"]
        said.append(f"judge {judge['accuracy']:.2%} right on {judge['protocol']}" if judge else "judge not measured")
    return "protocol: " + "; ".join(said)


def pair(x: Measured | None) -> dict | None:
    """A value and its interval as they stand in a file."""
    return x and {"value": x.value, "interval_95": [x.low, x.high]}


def write_json(path: Path, contents: dict) -> None:
    """The numbers, unrounded, as one whole JSON file; says so."""
    text = json.dumps(contents, indent=2, ensure_ascii=False) + "\n"
    files.write_whole(path, lambda aside: aside.write_text(text, encoding="utf-8"))
    print(f"unrounded in {path}")
