"""Progress on long work: a bar on a terminal; a line now and then where the output goes to a file or a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

FIRST, EVERY = 10.0, 60.0  # seconds after which a line is written where there is no terminal, and between two

Item = TypeVar("Item")


class Bar:
    """What `bar` hands out: tell it how far the work is, as a share, and what else there is to say."""

    def __init__(self, name: str, show: tqdm | None):
        self.name, self.show = name, show
        self.due = time.monotonic() + FIRST
        self.told = False

    def at(self, share: float, says: str = "") -> None:
        """The work is done up to this share, 0 to 1."""
        if self.show is not None:
            self.show.n = round(1000 * share)
            if says:
                self.show.set_postfix_str(says, refresh=False)
            self.show.update(0)
        elif time.monotonic() > self.due or (self.told and share >= 1):
            print(f"{self.name}: {share:4.0%}{f', {says}' if says else ''}", file=sys.stderr, flush=True)
            self.due, self.told = time.monotonic() + EVERY, share < 1


@contextmanager
def bar(name: str, leave: bool = False) -> Iterator[Bar]:
    """A progress bar within the `with`; `leave` keeps it on the screen afterwards."""
    if not sys.stderr.isatty():
        yield Bar(name, None)
        return
    form = "{desc} |{bar}| {percentage:3.0f}% {postfix}"
    with tqdm(total=1000, bar_format=form, desc=name, file=sys.stderr, leave=leave) as show:
        yield Bar(name, show)


def each(items: Sequence[Item] | Iterable[Item], name: str, total: int | None = None) -> Iterator[Item]:
    """The items, one after the other, under a bar."""
    items = items if total or isinstance(items, Sequence) else list(items)
    total = total or len(items)  # type: ignore[arg-type]
    with bar(name) as show:
        for done, item in enumerate(items, start=1):
            yield item
            show.at(done / total)


def note(text: Any) -> None:
    """A sentence for the person at the command, beside the output proper."""
    print(text, file=sys.stderr, flush=True)
