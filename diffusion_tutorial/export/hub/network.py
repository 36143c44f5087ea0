"""A network of the tutorial as diffusers has models: with a configuration, and times that begin at the first noisy step.

Used in "Meet the professionals".
"""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor


class Network(ModelMixin, ConfigMixin):
    """`net(x_t, t, cond)` as `unet(sample, timestep, cond).sample`, where timestep is t - 1: 0 is the first noisy step.

    Its configuration also has `walk`, how to draw with it where a call does not say: `timesteps` and `guidance_scale`.
    """

    net: Any

    def forward(self, sample: Tensor, timestep: Tensor | int, cond: Tensor | None = None) -> UNet2DOutput:
        """The network's own answer, eps or v, of the sample's shape; `cond` is what `encode` returns, None for any picture."""
        t = torch.as_tensor(timestep, device=sample.device).long().expand(len(sample)) + 1
        return UNet2DOutput(sample=self.net(sample, t, cond))

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of a picture: channels, height, width."""
        return self.net.shape

    def encode(self, asked: Sequence) -> Tensor:
        """What pictures are asked to show, as the network takes it; a ValueError that names what it does not know."""
        raise NotImplementedError
