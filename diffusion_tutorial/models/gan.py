"""Two players, a generator and a critic: the networks of "Race a GAN", from the blocks of "Build the network".

Together they have about as many parameters as a `UNet` of the same width. `Gan` is the pair for pictures with labels, and
`PointGan` the pair for points in the plane. Both have what losses.Game needs: `generator(z, cond)`, `critic(x, cond)` and
`z`, how many numbers of static a drawing begins from.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_tutorial.models.unet import ResBlock, can_look, check_pictures, zeroed


class Generator(nn.Module):
    """A picture in [-1, 1] from z, (batch, z), standard Gaussian numbers, and a label 0..labels - 1: one call and no walk."""

    def __init__(self, channels: int, width: int, labels: int, size: int, z: int):
        super().__init__()
        emb, wide, self.side = 4 * width, 2 * width, size // 4
        self.label = nn.Embedding(labels, z)
        self.style = nn.Sequential(nn.Linear(2 * z, emb), nn.SiLU(), nn.Linear(emb, emb), nn.SiLU())
        self.start = nn.Linear(2 * z, width // 4 * self.side**2)
        self.stem = nn.Conv2d(width // 4, wide, 1)
        self.coarse = ResBlock(wide, wide, emb)
        self.grow = nn.Conv2d(wide, width, 1)
        self.fine = ResBlock(width, width, emb)
        self.out = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, 4 * channels, 3, padding=1))

    def forward(self, z: Float[Tensor, "batch z"], cond: Int[Tensor, "batch"]) -> Float[Tensor, "batch c h w"]:
        told = torch.cat([z, self.label(cond.to(z.device))], dim=1)
        emb = self.style(told)
        h = self.stem(self.start(told).unflatten(1, (-1, self.side, self.side)))
        h = self.grow(self.coarse(h, emb))
        h = self.fine(F.interpolate(h, scale_factor=2), emb)
        return torch.tanh(F.pixel_shuffle(self.out(h), 2))


class Residual(nn.Module):
    """x + what two convolutions make of it: a ResBlock that is told nothing and leaves the size of its features alone."""

    def __init__(self, c: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(c, c, 3, padding=1), zeroed(nn.Conv2d(c, c, 3, padding=1))

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


class Critic(nn.Module):
    """How real a picture looks, for its label: a number of which only differences count.

    The score is the product of what is seen with the label's own row (Miyato & Koyama 2018, arXiv 1802.05637).
    """

    def __init__(self, channels: int, width: int, labels: int, size: int):
        super().__init__()
        wide = 2 * width
        self.shape = (channels, size, size)
        self.stem = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.shrink = nn.Conv2d(width, wide, 3, stride=2, padding=1)
        self.coarse = Residual(wide)
        self.read = nn.Conv2d(wide, width // 4, 1)
        self.seen = nn.Linear(width // 4 * (size // 4) ** 2, 2 * wide)
        self.label = nn.Embedding(labels, 2 * wide)

    def forward(self, x: Float[Tensor, "batch c h w"], cond: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        check_pictures(x, self.shape)
        h = F.silu(self.stem(F.pixel_unshuffle(x, 2)))
        h = self.coarse(self.shrink(h))
        seen = self.seen(self.read(F.silu(h)).flatten(1))
        return (seen * self.label(cond.to(x.device))).sum(1) / seen.shape[1] ** 0.5


class Gan(nn.Module):
    """The pair for pictures: `model(z, label)` draws, in one call. Sizes as of `UNet`; `z` numbers of static."""

    def __init__(self, channels: int = 1, width: int = 16, labels: int = 10, size: int = 28, z: int = 32):
        super().__init__()
        if size < 4 or size % 4 or width < 8 or width % 8:
            raise ValueError(f"expected a side divisible by 4 and a width divisible by 8, got {size=} and {width=}")
        self.config = dict(channels=channels, width=width, labels=labels, size=size, z=z)
        self.shape, self.labels, self.z = (channels, size, size), labels, z
        self.generator = Generator(channels, width, labels, size, z)
        self.critic = Critic(channels, width, labels, size)

    def forward(self, z: Float[Tensor, "batch z"], cond: Int[Tensor, "batch"]) -> Float[Tensor, "batch c h w"]:
        self.check_cond(cond, len(z))
        return self.generator(z, cond)

    def check_cond(self, cond: Tensor, n: int) -> None:
        """A ValueError that says what came, unless there is a label for each of n pictures."""
        if cond.shape != (n,) or cond.is_floating_point():
            raise ValueError(f"expected a label for each of {n} pictures, got {tuple(cond.shape)} {cond.dtype}")
        if can_look(cond) and (cond.min() < 0 or cond.max() >= self.labels):
            came = f"{cond.min().item()} to {cond.max().item()}"
            raise ValueError(f"expected labels 0..{self.labels - 1}, got {came}: a GAN draws no picture without one")


class PointGan(nn.Module):
    """The pair for points in the plane, (batch, 2), without labels: each player three layers of `width`."""

    def __init__(self, width: int = 64, z: int = 2):
        super().__init__()
        self.z = z
        self.generator, self.critic = Layers(z, width, 2), Layers(2, width, 1)

    def forward(self, z: Float[Tensor, "batch z"], cond: Tensor | None = None) -> Float[Tensor, "batch 2"]:
        return self.generator(z, cond)


class Layers(nn.Sequential):
    """Weighted sums with bends between; it is told a condition like the other players, and does not listen."""

    def __init__(self, c_in: int, width: int, c_out: int):
        bends = [part for _ in range(2) for part in (nn.Linear(width, width), nn.SiLU())]
        super().__init__(nn.Linear(c_in, width), nn.SiLU(), *bends, nn.Linear(width, c_out))

    def forward(self, x: Float[Tensor, "batch c"], cond: Tensor | None = None) -> Tensor:
        y = super().forward(x)
        return y.squeeze(1) if y.shape[1] == 1 else y
