"""The U-Net that is told a label, for diffusers. Used in "Meet the professionals"."""

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from diffusion_tutorial.export.hub.network import Network
from diffusion_tutorial.models.unet import UNet


class LabelNetwork(Network):
    """sizes: those of a `UNet`. names: what its labels are called, in order. walk: see `Network`."""

    @register_to_config
    def __init__(self, sizes: dict, names: list[str], walk: dict):
        super().__init__()
        self.net = UNet(**sizes)

    def encode(self, asked: Sequence[str | int | None]) -> Tensor:
        """A number for each label, by its name or its number from 0 on; for None that of any picture."""
        return torch.tensor([self._number(label) for label in asked])

    def _number(self, label: str | int | None) -> int:
        names = list(self.config.names)
        if label in (None, ""):
            return self.net.labels
        if label in names:
            return names.index(label)
        if isinstance(label, int) and 0 <= label < len(names):
            return label
        raise ValueError(
            f"expected a label from {', '.join(names)}, its number from 0 on, or None for any; got {label!r}"
        )
