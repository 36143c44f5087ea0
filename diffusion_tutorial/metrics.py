"""How good are the samples? Numbers with their uncertainty. Used from "Dissolve a picture" on.

A classifier says which digit it sees; the nearest training pictures show whether a sample was copied. Where the
classifier's features lie, in a space of 64 dimensions, tells how far samples are from real digits as a whole: the
Frechet distance, precision and recall. No such number means much alone: measure as many other real digits in the same
way, and put that beside it.
"""

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_tutorial.forward import as_pictures

Z = 1.96  # a Gaussian lies within Z standard deviations of its mean 95 times in 100
GROUPS, T = 20, 2.09  # of the jackknife; T as Z, for a spread that is known from 20 numbers only: Student's, 19 degrees


@contextlib.contextmanager
def in_use(net: nn.Module) -> Iterator[None]:
    """The network as after net.eval(), and afterwards each of its parts in the mode that it was in."""
    modes = {part: part.training for part in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@torch.no_grad()
def predict(classifier: nn.Module, images: Float[Tensor, "n c h w"], batch: int = 500) -> Float[Tensor, "n labels"]:
    """The classifier's probabilities for each picture, (n, 10), computed `batch` pictures at a time.

    Pictures are around [-1, 1], of the classifier's `shape`, or digits; samples and noised ones may go beyond. The
    classifier's mode stays as it is.
    """
    images = _like(classifier, as_pictures(images, getattr(classifier, "shape", (1, 28, 28)), beyond=True))
    with in_use(classifier):
        return torch.cat([classifier(part).softmax(1) for part in images.split(batch)])


def label_accuracy(
    classifier: nn.Module, images: Float[Tensor, "n c h w"], labels: Int[Tensor, "n"]
) -> tuple[float, float, float]:
    """Share of pictures that the classifier reads back as their label, and its 95 % Wilson interval: (share, low, high)."""
    labels = torch.as_tensor(labels)
    if not len(images) or labels.shape != (len(images),):
        raise ValueError(
            f"expected pictures and a label for each, got {len(images)} pictures, labels {tuple(labels.shape)}"
        )
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"expected labels in 0..9, got {labels.min()} to {labels.max()}")
    read = predict(classifier, images).argmax(1)
    return share(read == labels.to(read.device))


@torch.no_grad()
def scene_read(
    judge: nn.Module, images: Float[Tensor, "n 3 48 48"], attributes: Int[Tensor, "n 3"], batch: int = 250
) -> Bool[Tensor, "n 3"]:
    """For each picture, whether the judge of scenes reads its subject, its thing and its place back."""
    images, attributes = _like(judge, as_pictures(images, (3, 48, 48), beyond=True)), torch.as_tensor(attributes)
    if attributes.shape != (len(images), 3):
        raise ValueError(f"expected (subject, thing, place) for {len(images)} pictures, got {tuple(attributes.shape)}")
    with in_use(judge):
        read = [torch.stack([logits.argmax(1) for logits in judge(part)], 1) for part in images.split(batch)]
    return torch.cat(read) == attributes.to(images.device)


def _like(net: nn.Module, images: Tensor) -> Tensor:
    """The pictures in the precision of the network's weights."""
    return images.to(next(net.parameters(), images).dtype)


def share(hits: Bool[Tensor, "n"]) -> tuple[float, float, float]:
    """The share of hits, and its 95 % Wilson interval: (share, low, high)."""
    right, n = int(hits.sum()), len(hits)
    low, high = wilson(right, n)
    return right / n, low, high


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval for a share of `right` in `n` (Wilson 1927)."""
    if not 0 <= right <= n or n == 0:
        raise ValueError(f"expected 0 <= right <= n and n > 0, got right = {right} and n = {n}")
    p, z2 = right / n, Z * Z
    half = Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = ((p + z2 / (2 * n) + sign * half) / (1 + z2 / n) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def nearest(
    images: Float[Tensor, "n c h w"], among: Float[Tensor, "m c h w"], k: int = 1, batch: int = 500
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Distances to the k nearest pictures of `among`, and their places there, nearest first; `batch` images at a time.

    The distance is the root of the mean squared difference over pixels, 0 for a copy and at most 2 in [-1, 1].
    """
    if images.shape[1:] != among.shape[1:]:
        raise ValueError(f"expected pictures of one shape, got {tuple(images.shape[1:])} and {tuple(among.shape[1:])}")
    if not len(images):
        raise ValueError("expected at least one picture to look for, got none")
    if not 1 <= k <= len(among):
        raise ValueError(f"expected k from 1 to the {len(among)} pictures to look among, got {k}")
    among, found = among.flatten(1), []
    for x in images.flatten(1).split(batch):
        places = torch.cdist(x, among).topk(k, largest=False).indices
        exactly = (x[:, None] - among[places]).square().mean(2).sqrt()  # cdist rounds: a copy would not be at 0
        distance, order = exactly.sort(1)
        found.append((distance, places.gather(1, order)))
    distances, places = (torch.cat(parts) for parts in zip(*found))
    return distances, places


def psnr(
    a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"], where: Bool[Tensor, "#n 1 h w"] | None = None
) -> Float[Tensor, "n"]:
    """10 log10(range^2 / mse), range = 2: the peak signal-to-noise ratio of each pair in dB; infinite for equal pictures.

    mse is the mean squared difference over the pixels and channels of a picture in [-1, 1]. `where`, (n, 1, h, w) or
    (1, 1, h, w), counts only the pixels at which it is True. 20 dB are a difference of a tenth of the range, 40 dB of a
    hundredth.
    """
    if not len(a):
        raise ValueError("expected at least one pair of pictures, got none")
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(f"expected two sets of pictures of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    where = torch.ones_like(a[:1, :1], dtype=torch.bool) if where is None else where
    if where.shape not in ((len(a), 1, *a.shape[2:]), (1, 1, *a.shape[2:])) or where.dtype != torch.bool:
        wanted = f"({len(a)} or 1, 1, {a.shape[2]}, {a.shape[3]}) bool"
        raise ValueError(f"expected `where` of shape {wanted}, got {tuple(where.shape)} {where.dtype}")
    pixels = where.sum((1, 2, 3))
    if (pixels == 0).any():
        raise ValueError("expected at least one pixel to compare in each picture, but `where` leaves none in some")
    mse = (a - b).square().mul(where).sum((1, 2, 3)) / (pixels * a.shape[1])
    return 10 * torch.log10(2**2 / mse)


def grain(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n"]:
    """median over pixels p and channels of |x_p - m_p|, m_p the mean of the 3 x 3 pixels around p: a number a picture.

    How much a picture is speckled: 0 where colours are flat or change evenly. The outermost pixels, which have no full
    neighbourhood, are left out. Drawn pictures have some grain too, so put theirs beside it.
    """
    if images.ndim != 4 or min(images.shape[2:]) < 3:
        raise ValueError(f"expected pictures (n, c, h, w) with sides of at least 3 pixels, got {tuple(images.shape)}")
    if not images.isfinite().all():
        raise ValueError("expected finite pictures, but a NaN or an infinity is among the pixels")
    apart = (images[..., 1:-1, 1:-1] - F.avg_pool2d(images, 3, stride=1)).abs()
    return apart.flatten(1).quantile(0.5, dim=1)


@torch.no_grad()
def embed(
    features: Callable[[Tensor], Tensor], images: Float[Tensor, "n c h w"], batch: int = 500
) -> Float[Tensor, "n d"]:
    """features(images), for example of `classifier.features`, computed `batch` pictures at a time.

    A network, or the network that `features` is a method of, answers as in use, and its mode stays as it is.
    """
    images = as_pictures(images, beyond=True)
    net = getattr(features, "__self__", features)
    if not isinstance(net, nn.Module):
        return torch.cat([features(part) for part in images.split(batch)])
    with in_use(net):
        return torch.cat([features(part) for part in _like(net, images).split(batch)])


def frechet(x: Float[Tensor, "n d"], reference: Float[Tensor, "m d"]) -> float:
    """|mu_1 - mu_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))  (Heusel et al. 2017, arXiv 1706.08500, eq. 6).

    mu and C are mean and covariance of vectors that stand for pictures, such as `embed` makes; for two Gaussians this is
    their squared distance. 0 is best. Computed by torchmetrics, in double precision.

    A small sample looks worse than it is, by about 1/n, so compare only at equal n and m. And features are part of the
    number: over our own classifier's it must never stand beside a paper's FID, which is over Inception's.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    if x.ndim != 2 or min(len(x), len(reference)) < 2 or x.shape[1:] != reference.shape[1:]:
        came = f"{tuple(x.shape)} and {tuple(reference.shape)}"
        raise ValueError(f"expected at least two vectors of one length on each side, got {came}; `embed` makes them")
    if not (x.isfinite().all() and reference.isfinite().all()):
        raise ValueError("expected finite numbers, but the vectors hold NaN or infinity")
    distance = FrechetInceptionDistance(feature=_AsTheyAre(x.shape[1]))
    distance.update(reference.cpu().double(), real=True)
    distance.update(x.cpu().double(), real=False)
    return max(0.0, distance.compute().item())


class _AsTheyAre(nn.Identity):
    """In the place of a network that makes features, for vectors that are features already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features


def radius(x: Float[Tensor, "n d"], k: int = 3, batch: int = 500) -> Float[Tensor, "n"]:
    """How far it is from each vector to its k-th nearest neighbour in the same set, itself not counted."""
    if len(x) < 2:
        raise ValueError(f"expected at least two vectors, so that each has a neighbour, got {len(x)}")
    if not 1 <= k < len(x):
        raise ValueError(f"expected k from 1 to {len(x) - 1}, the neighbours that each of {len(x)} has, got {k}")
    return torch.cat([torch.cdist(part, x).topk(k + 1, largest=False).values[:, -1] for part in x.split(batch)])


def covered(
    x: Float[Tensor, "n d"], centres: Float[Tensor, "m d"], radii: Float[Tensor, "m"], batch: int = 500
) -> Bool[Tensor, "n"]:
    """Whether each x lies in at least one of the balls around the centres  (Kynkaanniemi et al. 2019, arXiv 1904.06991).

    With the reference's balls of its `radius`, the share of samples that they cover is precision; the share of the
    reference that the samples' balls cover is recall. Blurred or broken samples lower the first, a kind of picture that
    is never drawn lowers the second. Other real pictures do not score 1 either.
    """
    if not len(x) or not len(centres):
        raise ValueError(f"expected vectors on both sides, got {len(x)} and {len(centres)}")
    return torch.cat([(torch.cdist(part, centres) <= radii).any(1) for part in x.split(batch)])


def jackknife(statistic: Callable[[Tensor], float], x: Float[Tensor, "n ..."]) -> tuple[float, float, float]:
    """value ± t sqrt((g - 1) / g sum_j (value without group j - their mean)^2): the jackknife (Tukey 1958), g groups.

    Returns (value, low, high): where other samples of the same size would have put the value, 95 times in 100. t is
    Student's for g - 1 = 19. The bootstrap, which draws with replacement, would not do: doubles shrink the balls of
    `radius`, and bias the Frechet distance upwards. The groups are random, always the same for the same n.
    """
    if len(x) < GROUPS:
        raise ValueError(f"expected at least {GROUPS} pictures, one for each group, got {len(x)}")
    group = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)) % GROUPS
    value = statistic(x)
    without = torch.tensor([statistic(x[group != j]) for j in range(GROUPS)], dtype=torch.float64)
    half = T * math.sqrt((GROUPS - 1) * without.var(correction=0).item())
    return value, value - half, value + half


def median(values: Float[Tensor, "n"]) -> tuple[float, float, float]:
    """The median and its interval from ranks, n/2 ± z sqrt(n)/2, whatever the distribution: (median, low, high)."""
    ordered, n = values.sort().values, len(values)
    if n == 0:
        raise ValueError("expected at least one value, got none")
    low = max(0, math.floor((n - Z * math.sqrt(n)) / 2) - 1)
    high = min(n - 1, math.ceil((n + Z * math.sqrt(n)) / 2))
    return values.quantile(0.5).item(), ordered[low].item(), ordered[high].item()
