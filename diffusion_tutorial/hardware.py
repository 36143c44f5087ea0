"""What a device can do, and how pictures get there while it is at work. "Go to colour and to the GPU" shows what each gains."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

Batch = tuple[Tensor, ...]


def bfloat16_pays(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 numbers in hardware: a GPU of 2020 or later, a CPU with AVX-512 BF16 or AMX.

    There the small U-Net trains up to 1.4 times as fast (benchmarks/README.md); elsewhere it gains little.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has: dict = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.10 does not tell
    return device.type == "cpu" and bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def half(device: torch.device) -> torch.dtype | None:
    """The type of 16 bits in which this device is quicker: bfloat16, float16 on an older GPU, or None."""
    if bfloat16_pays(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else None


def free(device: torch.device) -> int:
    """The bytes that are free on a GPU; 0 where the device shares its memory with the CPU, and a copy would gain nothing."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


class Ahead:
    """draw(generator), one batch ahead: while the device works on one, a thread draws the next.

    What comes, and where the generator stands after it, is as without: the thread has a generator of its own, and what it
    drew counts only if it began where the generator stands when it is asked.
    """

    def __init__(self, draw: Callable[[torch.Generator], Batch]):
        self.draw, self.worker = draw, ThreadPoolExecutor(1)
        self.begin: Tensor | None = None
        self.drawn: Future[tuple[Batch, Tensor]]

    def __call__(self, generator: torch.Generator) -> Batch:
        """The next batch; the generator then stands after it."""
        state = generator.get_state()
        if self.begin is None or not torch.equal(self.begin, state):
            self._start(state)
        batch, after = self.drawn.result()
        generator.set_state(after)
        self._start(after)
        return batch

    def _start(self, state: Tensor) -> None:
        self.begin, self.drawn = state, self.worker.submit(self._work, state)

    def _work(self, state: Tensor) -> tuple[Batch, Tensor]:
        generator = torch.Generator()
        generator.set_state(state)
        return self.draw(generator), generator.get_state()
