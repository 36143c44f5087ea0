"""How good are the samples? Numbers with their uncertainty. Used from lesson 03 on.

A classifier says which digit it sees; the nearest training pictures show whether a sample was copied.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@torch.no_grad()
def predict(classifier: nn.Module, images: Float[Tensor, "n 1 28 28"], batch: int = 500) -> Float[Tensor, "n 10"]:
    """The classifier's probabilities for each picture, (n, 10), computed `batch` pictures at a time."""
    if images.shape[1:] != (1, 28, 28) or not images.isfinite().all():
        raise ValueError(f"expected finite pictures (n, 1, 28, 28), got shape {tuple(images.shape)} or a NaN in it")
    classifier.eval()
    return torch.cat([classifier(part).softmax(1) for part in images.split(batch)])


def label_accuracy(
    classifier: nn.Module, images: Float[Tensor, "n 1 28 28"], labels: Int[Tensor, "n"]
) -> tuple[float, float, float]:
    """Share of pictures that the classifier reads back as their label, and its 95 % Wilson interval: (share, low, high)."""
    if not len(images) or labels.shape != images.shape[:1]:
        raise ValueError(
            f"expected pictures and a label for each, got {len(images)} pictures, labels {tuple(labels.shape)}"
        )
    right = int((predict(classifier, images).argmax(1) == labels).sum())
    return right / len(images), *wilson(right, len(images))


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The interval for a share of `right` in `n` (Wilson 1927); z = 1.96 makes it a 95 % one."""
    if not 0 <= right <= n or n == 0:
        raise ValueError(f"expected 0 <= right <= n and n > 0, got right = {right} and n = {n}")
    p, z2 = right / n, z * z
    half = z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = ((p + z2 / (2 * n) + sign * half) / (1 + z2 / n) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def nearest(
    images: Float[Tensor, "n c h w"], among: Float[Tensor, "m c h w"], k: int = 1
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Distances to the k nearest pictures of `among`, and their places there, nearest first.

    The distance is the root of the mean squared difference over pixels, 0 for a copy and at most 2 in [-1, 1].
    """
    if images.shape[1:] != among.shape[1:]:
        raise ValueError(f"expected pictures of one shape, got {tuple(images.shape[1:])} and {tuple(among.shape[1:])}")
    if not 1 <= k <= len(among):
        raise ValueError(f"expected k from 1 to the {len(among)} pictures to look among, got {k}")
    distance = torch.cdist(images.flatten(1), among.flatten(1)) / math.sqrt(images[0].numel())
    values, places = distance.topk(k, largest=False)
    return values, places
