"""Several processes that train one model together. "Go to colour and to the GPU" starts two.

`torchrun` and `accelerate launch` begin the same program several times, on one machine or on many, and tell each by
environment variables which of how many it is. `join` makes them a `Team`; in a program by itself the team is one.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


class Team:
    """This process, number `rank` of `size`. Number 0 is `main`: it alone writes files and speaks.

    All draw the same batch from the same random numbers, and each works on its `share`; `add_up` makes of their slopes the
    slope of the whole batch. So the weights stay the same in all of them, and are those that one process would have found.
    """

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size, self.main = rank, size, rank == 0
        self.told = 0  # the signal that came to one of them, or 0
        self.words: Any = dist.new_group(backend="gloo") if size > 1 else None  # what is said on it waits for no GPU

    def share(self, x: Tensor) -> Tensor:
        """This process's rows of a batch; of a number for all, that number."""
        return x.tensor_split(self.size)[self.rank] if self.size > 1 and x.ndim else x

    def part(self, n: int) -> float:
        """Which part of n pictures `share` gives to this process."""
        return len(range(n)[self.rank :: self.size]) / n

    def add_up(self, slopes: Iterable[Tensor]) -> None:
        """Each slope becomes its sum over all processes. They travel as one long row: one message a step."""
        if self.size > 1:
            slopes = list(slopes)
            row = torch.cat([slope.flatten() for slope in slopes])
            dist.all_reduce(row)
            for slope, total in zip(slopes, row.split([slope.numel() for slope in slopes])):
                slope.copy_(total.view_as(slope))

    def agree(self, seconds: float) -> float:
        """The main process's clock, for all; and who was told to stop tells the others, so that all end after the same step."""
        if self.size > 1:
            said = torch.tensor([seconds if self.main else 0.0, self.told], dtype=torch.float64)
            dist.all_reduce(said, dist.ReduceOp.MAX, group=self.words)
            seconds, self.told = said[0].item(), int(said[1])
        return seconds

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        """The main process goes through the `with` before the others: it downloads what they then find."""
        if not self.main:
            dist.barrier(group=self.words)
        try:
            yield
        finally:
            if self.main and self.size > 1:
                dist.barrier(group=self.words)

    @contextlib.contextmanager
    def hushed(self) -> Iterator[None]:
        """Within the `with`, nothing is printed but by the main process."""
        with contextlib.ExitStack() as stack:
            if not self.main:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
                stack.enter_context(contextlib.redirect_stderr(nowhere))
            yield

    def leave(self) -> None:
        """From here on each is alone; the main process may take its time."""
        if self.size > 1:
            dist.destroy_process_group()


def place() -> tuple[int, int]:
    """Which of how many processes this is, as the environment says: (0, 1) for a program by itself."""
    size = int(os.environ.get("WORLD_SIZE") or 1)
    return (int(os.environ["RANK"]), size) if size > 1 else (0, 1)


@cache
def join(device: str) -> Team:
    """The team of this process, which trains on this kind of device.

    An ImportError with one sentence where it has others in it and accelerate is not installed.
    """
    rank, size = place()
    if size == 1:
        return Team()
    try:
        from accelerate import PartialState
    except ImportError:
        need = 'pip install "diffusion-tutorial[gpu]", or pip install accelerate'
        raise ImportError(f"{size} processes were started, and to work together they need accelerate: {need}") from None
    state = PartialState(cpu=device == "cpu")  # it finds a GPU for each, and how they can talk
    if (state.process_index, state.num_processes) != (rank, size):
        raise ValueError(
            f"{size} processes cannot train together on {device}; on the CPU they can: accelerate launch --cpu"
        )
    return Team(rank, size)
