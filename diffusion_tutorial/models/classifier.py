"""Small convolutional networks that read digits, scenes and photographs: the judges of the series. They never draw.

The judge of digits is used from "Dissolve a picture" on, that of scenes in "Type a sentence, get a picture", that of
photographs in "Go to colour and to the GPU". Trained by `diffusion-tutorial train classifier`, `train scene-classifier` and
`train cifar-classifier`; their accuracy is in their model cards.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Classifier(nn.Module):
    """Logits, (batch, 10), for digits in [-1, 1], (batch, 1, 28, 28); `features` is the layer before them, (batch, 64)."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.config = dict(width=width)
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_block(4, width),
            *_block(width, width),
            nn.MaxPool2d(2),
            *_block(width, 2 * width),
            *_block(2 * width, 2 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(2 * width, 10)

    def features(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch features"]:
        return self.body(images)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        return self.head(self.features(images))


class SceneClassifier(nn.Module):
    """Logits for subject, thing and place, a tensor (batch, n) each, of scenes in [-1, 1], (batch, 3, 48, 48).

    `features` is the layer before them, (batch, 3 width).
    """

    def __init__(self, width: int = 32, classes: Sequence[int] = (18, 18, 10)):
        super().__init__()
        self.config = dict(width=width, classes=list(classes))
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_block(12, width),
            *_block(width, width),
            nn.MaxPool2d(2),
            *_block(width, 2 * width),
            *_block(2 * width, 2 * width),
            nn.MaxPool2d(2),
            *_block(2 * width, 3 * width),
            *_block(3 * width, 3 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(3 * width, sum(classes))
        self.to(memory_format=torch.channels_last)  # on a CPU up to twice as fast

    def features(self, images: Float[Tensor, "batch 3 48 48"]) -> Float[Tensor, "batch features"]:
        return self.body(images)

    def forward(self, images: Float[Tensor, "batch 3 48 48"]) -> tuple[Float[Tensor, "batch n"], ...]:
        return self.head(self.features(images)).split(self.config["classes"], dim=1)


class PhotoClassifier(nn.Module):
    """Logits, (batch, labels), for photographs in [-1, 1], (batch, 3, 32, 32); `features` is the layer before, (batch, 8 width).

    The resolution is halved three times; after the first and the last halving two convolutions are added to what goes past
    them (He et al. 2016, arXiv 1512.03385).
    """

    shape = (3, 32, 32)

    def __init__(self, width: int = 32, labels: int = 10):
        super().__init__()
        self.config = dict(width=width, labels=labels)
        self.body = nn.Sequential(
            *_block(3, width),
            *_block(width, 2 * width),
            nn.MaxPool2d(2),
            _Beside(2 * width),
            *_block(2 * width, 4 * width),
            nn.MaxPool2d(2),
            *_block(4 * width, 8 * width),
            nn.MaxPool2d(2),
            _Beside(8 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(8 * width, labels)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Float[Tensor, "batch 3 32 32"]) -> Float[Tensor, "batch features"]:
        return self.body(images)

    def forward(self, images: Float[Tensor, "batch 3 32 32"]) -> Float[Tensor, "batch labels"]:
        return self.head(self.features(images))


class _Beside(nn.Module):
    """x + two convolutions of it."""

    def __init__(self, channels: int):
        super().__init__()
        self.blocks = nn.Sequential(*_block(channels, channels), *_block(channels, channels))

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
        return x + self.blocks(x)


def _block(c_in: int, c_out: int) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
