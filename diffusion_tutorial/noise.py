"""Fresh Gaussian noise, from one source for all or from a source for each picture. See "Meet Gaussian noise".

A torch.Generator hands its numbers out in turn, so what picture 5 gets depends on how many pictures there are and how many
steps came before. With `Streams` every picture has random numbers of its own, which belong to (seed, i): picture i is the
same whatever else is drawn, in whatever batches, by however many processes.
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class Streams:
    """A stream of standard Gaussian numbers for each picture; that of picture i is a function of (seed, i) alone.

    The streams are numpy's PCG64, seeded by SeedSequence([seed, i]), which keeps neighbouring seeds apart. Both are whole
    numbers from 0 on.
    """

    def __init__(self, seed: int, pictures: Iterable[int]):
        pictures = list(pictures)
        if seed < 0 or any(i < 0 for i in pictures):
            raise ValueError(f"expected a seed and numbers of pictures from 0 on, got seed {seed} and {pictures[:8]}")
        self.streams = [np.random.Generator(np.random.PCG64([seed, i])) for i in pictures]

    def normal(self, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
        """The next numbers of every stream, (pictures, *shape) float32 on the CPU."""
        drawn = np.empty((len(self.streams), *shape), dtype=np.float32)
        for row, stream in zip(drawn, self.streams):
            stream.standard_normal(dtype=np.float32, out=row)
        return torch.from_numpy(drawn)


Source = torch.Generator | Streams | None


def fresh(x: Float[Tensor, "batch ..."], source: Source = None) -> Float[Tensor, "batch ..."]:
    """Standard Gaussian noise of x's shape and dtype, on x's device, but drawn on the CPU: a seed means the same everywhere.

    source: a torch.Generator, `Streams` with one stream for each picture of the batch, or None, torch's own numbers.
    """
    if isinstance(source, Streams):
        if len(source.streams) != len(x):
            raise ValueError(f"expected a stream for each of {len(x)} pictures, got {len(source.streams)}")
        return source.normal(tuple(x.shape[1:])).to(x, non_blocking=x.is_cuda)
    return torch.randn(x.shape, generator=source, dtype=x.dtype).to(x.device, non_blocking=x.is_cuda)
