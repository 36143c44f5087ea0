"""A small U-Net with a clock and a label: the network of the series. Built piece by piece in "Build the network".

What makes it fast on an ordinary computer is its first line of work: a 28 x 28 picture is folded into 14 x 14 places
with 4 numbers each (`pixel_unshuffle`), so that every convolution has a quarter of the places to visit.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """Raw output for (x_t, t, label), of x_t's shape; whether it means eps or v is the business of `Denoiser`.

    channels: 1 for digits, 3 in colour. width: features at 14 x 14; there are twice as many at 7 x 7. labels: how many labels there
    are; the null label, which stands for "any", is the number `labels` itself, and `cond=None` is a batch of it.
    size: the side of the square pictures, divisible by 4. names: what the labels are called, where the weights must say so.

    A label enters twice: with the time, as features for every block, and as a learned sketch, a picture of the size of
    x_t that the first convolution sees beside it.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 32,
        labels: int = 10,
        size: int = 28,
        names: Sequence[str] | None = None,
    ):
        super().__init__()
        if size < 4 or size % 4:
            raise ValueError(f"expected pictures with a side divisible by 4, got {size}")
        if names is not None and len(names) != labels:
            raise ValueError(f"expected a name for each of {labels} labels, got {len(names)}")
        self.config: dict = dict(channels=channels, width=width, labels=labels, size=size)
        if names is not None:
            self.config["names"] = list(names)
        self.names = None if names is None else tuple(names)
        self.shape, self.labels = (channels, size, size), labels
        emb, wide = 4 * width, 2 * width
        self.time = nn.Sequential(Waves(wide), nn.Linear(wide, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.label = nn.Embedding(labels + 1, emb)
        self.sketch = nn.Embedding(labels + 1, channels * size * size)
        nn.init.zeros_(self.sketch.weight)
        self.stem = nn.Conv2d(8 * channels, width, 3, padding=1)
        self.down = ResBlock(width, width, emb)
        self.shrink = nn.Conv2d(width, wide, 3, stride=2, padding=1)
        self.middle = nn.ModuleList([ResBlock(wide, wide, emb), Attention(wide), ResBlock(wide, wide, emb)])
        self.grow = nn.Conv2d(wide, width, 1)
        self.up = ResBlock(wide, width, emb)
        self.out = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), zeroed(nn.Conv2d(width, 4 * channels, 3, padding=1))
        )

    def forward(
        self, x_t: Float[Tensor, "batch c h w"], t: Int[Tensor, "batch"], cond: Int[Tensor, "batch"] | None = None
    ) -> Float[Tensor, "batch c h w"]:
        check_pictures(x_t, self.shape)
        if cond is None:
            cond = torch.full_like(t, self.labels)
        else:
            self.check_cond(cond, t.shape[0])
        emb = F.silu(self.time(t) + self.label(cond))
        seen = torch.cat([x_t, self.sketch(cond).view_as(x_t)], dim=1)
        h = self.stem(F.pixel_unshuffle(seen, 2))
        h = skip = self.down(h, emb)
        h = self.shrink(h)
        for block in self.middle:
            h = block(h, emb)
        h = F.interpolate(self.grow(h), scale_factor=2)
        h = self.up(torch.cat([h, skip], dim=1), emb)
        return F.pixel_shuffle(self.out(h), 2)

    def null_like(self, cond: Int[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        return torch.full_like(cond, self.labels)

    def check_cond(self, cond: Tensor, n: int) -> None:
        """A ValueError that says what came, unless there is a label for each of n pictures; values only if they cost no wait."""
        if cond.shape != (n,) or cond.is_floating_point():
            raise ValueError(f"expected a whole number for each of {n} pictures, got {tuple(cond.shape)} {cond.dtype}")
        if can_look(cond) and (cond.min() < 0 or cond.max() > self.labels):
            wanted = f"labels 0..{self.labels - 1}, or {self.labels} for none"
            raise ValueError(f"expected {wanted}, got {cond.min().item()} to {cond.max().item()}")


def check_pictures(x: Tensor, shape: tuple[int, int, int]) -> None:
    """A ValueError that says what came, unless x is a batch, at least one, of pictures of this shape."""
    if x.shape[1:] != shape or x.shape[0] == 0:
        wanted = "(batch, {}, {}, {})".format(*shape)
        raise ValueError(f"expected pictures of shape {wanted}, at least one, got {tuple(x.shape)}")


def can_look(cond: Tensor) -> bool:
    """Whether a look at the values costs nothing: an accelerator would be waited for, a compiled network cut in two."""
    return not torch.compiler.is_compiling() and cond.is_cpu and len(cond) > 0


class Waves(nn.Module):
    """t as a row of sines and cosines, from fast waves to slow ones (Vaswani et al. 2017, section 3.5)."""

    freq: Tensor

    def __init__(self, dim: int, longest: float = 10_000.0):
        super().__init__()
        freq = torch.exp(-math.log(longest) * torch.arange(dim // 2) / (dim // 2))
        self.register_buffer("freq", freq, persistent=False)

    def forward(self, t: Int[Tensor, "batch"]) -> Float[Tensor, "batch dim"]:
        angle = t[:, None].to(self.freq.dtype) * self.freq
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class ResBlock(nn.Module):
    """x + what two convolutions make of it, with the time and the label scaling and shifting the features between."""

    def __init__(self, c_in: int, c_out: int, emb: int):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, c_in), nn.Conv2d(c_in, c_out, 3, padding=1)
        self.film = nn.Linear(emb, 2 * c_out)
        self.norm2, self.conv2 = nn.GroupNorm(8, c_out), zeroed(nn.Conv2d(c_out, c_out, 3, padding=1))
        self.skip = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Float[Tensor, "batch c h w"], emb: Float[Tensor, "batch emb"]) -> Float[Tensor, "batch d h w"]:
        scale, shift = self.film(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class Attention(nn.Module):
    """Every place looks at every other: softmax(q k^T / sqrt(d)) v (Vaswani et al. 2017, eq. 1), added to x."""

    def __init__(self, channels: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm, self.qkv = nn.GroupNorm(8, channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "batch c h w"], emb: Tensor | None = None) -> Float[Tensor, "batch c h w"]:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, 3, self.heads, c // self.heads, h * w).transpose(-1, -2).unbind(1)
        mixed = attend(q, k, v)
        return x + self.out(mixed.transpose(-1, -2).reshape(b, c, h, w))


def attend(
    q: Float[Tensor, "batch heads n d"],
    k: Float[Tensor, "batch heads m d"],
    v: Float[Tensor, "batch heads m d"],
    there: Bool[Tensor, "batch m"] | None = None,
) -> Float[Tensor, "batch heads n d"]:
    """softmax(q k^T / sqrt(d)) v, in float32 always: with so few places bfloat16 is the slower one, by far on a CPU."""
    with torch.autocast(q.device.type, enabled=False):
        return attention_weights(q.float(), k.float(), there) @ v.float()


def attention_weights(
    q: Float[Tensor, "batch heads n d"], k: Float[Tensor, "batch heads m d"], there: Bool[Tensor, "batch m"] | None
) -> Float[Tensor, "batch heads n m"]:
    """softmax(q k^T / sqrt(d)): how much each of n places takes from each of m; nothing from where not `there`."""
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if there is not None:
        scores = scores.masked_fill(~there[:, None, None], float("-inf"))
    return scores.softmax(-1)


def zeroed(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """Start at zero, so that every block begins as the identity and training grows it from there."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
