"""How much memory a training needs, by calculation, before it is started. "Go to colour and to the GPU" looks where it goes."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffusion_tutorial.losses import Loss, Shuffled

SPARE = 1.25  # times what is calculated: what a GPU's own libraries take, and what lives for a moment only


class Plan(NamedTuple):
    """Bytes, by what they are for. `activations` is what the way back needs of the way forth, and grows with the batch."""

    weights: int
    slopes: int
    adam: int
    average: int
    activations: int
    pictures: int

    @property
    def total(self) -> int:
        """All but the pictures, which stay on the CPU where they do not fit."""
        return sum(self) - self.pictures

    def __str__(self) -> str:
        rows = {**self._asdict(), "total, without pictures": self.total}
        return "\n".join(f"{name:<24}{size / 1e6:>12,.1f} MB" for name, size in rows.items())


def plan(model: nn.Module, loss: Loss, n: int) -> Plan:
    """What a step with n pictures needs where the model is: weights W, slopes W, Adam's two averages 2 W, the EMA's W,
    activations a + b n, and the pictures of a fixed set.

    a and b are counted on the CPU, in steps forward with 2 and with 4 pictures in float32; of 16 bits they are less.
    """
    weights = _bytes([*model.parameters(), *model.buffers()])
    slopes = _bytes([p for p in model.parameters() if p.requires_grad])
    small = copy.deepcopy(model).cpu()
    two, four = (kept(small, loss, k) for k in (2, 4))
    data = getattr(loss, "draw", None)
    pictures = data.nbytes if isinstance(data, Shuffled) else 0
    return Plan(weights, slopes, 2 * slopes, weights, two + (four - two) * (n - 2) // 2, pictures)


def fits(plan: Plan, free: int) -> bool:
    """Whether the pictures may live on a GPU with so many free bytes: beside all else that is calculated, and a quarter more."""
    return SPARE * plan.total + plan.pictures <= free


def kept(model: nn.Module, loss: Loss, n: int) -> int:
    """The bytes that the step forward with n pictures keeps for the step back; the model's own weights are not counted again."""
    own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    found: dict[int, torch.UntypedStorage] = {}

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage  # what several layers keep of one tensor is there once
        return x

    batch = (x.cpu() for x in loss.batch(model, n, torch.Generator().manual_seed(0)))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        loss(model, *batch)
    return sum(storage.nbytes() for storage in found.values())


def _bytes(tensors: list[Tensor]) -> int:
    return sum(x.nbytes for x in tensors)
