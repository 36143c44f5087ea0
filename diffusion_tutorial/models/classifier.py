"""A small convolutional network that reads digits: the judge of the series, from lesson 03 on. It never takes part in drawing them.

Trained on the full MNIST by `diffusion-tutorial train classifier`; its accuracy is in its model card.
"""

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


def _block(c_in: int, c_out: int) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
