"""The U-Net that reads: pictures of 48 x 48 in colour, each place of which looks at the words of a caption.

Used in "Type a sentence, get a picture".

It is that of "Build the network" with words in place of labels: a picture is folded into 12 x 12 places with 48 numbers
each, and cross-attention follows the blocks. One last block looks at 24 x 24 places, where the fine grain is noise or
picture, and another, if asked for, at every pixel. Trained by `diffusion-tutorial train scenes`; its size and quality are in its model card.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_tutorial.models.text import PAD, START, TextEncoder, Tokenizer
from diffusion_tutorial.models.unet import (
    Attention,
    ResBlock,
    Waves,
    attend,
    attention_weights,
    can_look,
    check_pictures,
    zeroed,
)

FINE = 32  # features at half the side of a picture


class TextUNet(nn.Module):
    """Raw output for (x_t, t, tokens), of x_t's shape; whether it means eps or v is the business of `Denoiser`.

    words: the vocabulary, in order. width: features at a quarter of the side of a picture; there are twice as many at
    an eighth. dim: numbers in the vector of a word. size: the side of the square pictures, divisible by 8. full: features
    of a block at the full side, a multiple of 8 from 16 on, or 0 for none. It sees what the others answer, and adds
    to it; that is 0 until it is trained.

    A caption enters three times: its words by cross-attention, place by place; their mean with the time, as features for
    every block; and their mean as a sketch, a picture that the first convolution sees beside x_t.
    """

    def __init__(
        self, words: Sequence[str], width: int = 96, dim: int = 128, size: int = 48, length: int = 24, full: int = 0
    ):
        super().__init__()
        if size < 8 or size % 8:
            raise ValueError(f"expected pictures with a side divisible by 8, got {size}")
        if full % 8 or full not in (0, *range(16, 257)):
            raise ValueError(f"expected 0 features at full side or a multiple of 8 from 16 on, got {full}")
        self.config = dict(words=list(words), width=width, dim=dim, size=size, length=length, full=full)
        self.shape, self.tokenizer = (3, size, size), Tokenizer(words, length)
        emb, wide = 2 * width, 2 * width
        self.time = nn.Sequential(Waves(width), nn.Linear(width, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.text = TextEncoder(len(self.tokenizer.words), length, dim)
        self.mean = nn.Linear(dim, emb)
        self.sketch = zeroed(nn.Linear(dim, 3 * size * size))
        self.stem = nn.Conv2d(96, width, 3, padding=1)
        self.down, self.read_down = ResBlock(width, width, emb), CrossAttention(width, dim)
        self.shrink = nn.Conv2d(width, wide, 3, stride=2, padding=1)
        self.middle1, self.look = ResBlock(wide, wide, emb), Attention(wide)
        self.read_middle, self.middle2 = CrossAttention(wide, dim), ResBlock(wide, wide, emb)
        self.grow = nn.Conv2d(wide, width, 1)
        self.up, self.read_up = ResBlock(wide, width, emb), CrossAttention(width, dim)
        self.out = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), zeroed(nn.Conv2d(width, 48, 3, padding=1)))
        self.lift, self.fine = nn.Conv2d(width, 96, 1), ResBlock(48, FINE, emb)
        self.out_fine = nn.Sequential(nn.GroupNorm(8, FINE), nn.SiLU(), zeroed(nn.Conv2d(FINE, 12, 3, padding=1)))
        if full:
            self.lift_full, self.full = nn.Conv2d(FINE, 4 * (full - 9), 1), ResBlock(full, full, emb)
            self.out_full = nn.Sequential(nn.GroupNorm(8, full), nn.SiLU(), zeroed(nn.Conv2d(full, 3, 3, padding=1)))
        self.to(memory_format=torch.channels_last)  # on a CPU a fifth faster

    def forward(
        self,
        x_t: Float[Tensor, "batch c h w"],
        t: Int[Tensor, "batch"],
        cond: Int[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "batch c h w"]:
        check_pictures(x_t, self.shape)
        if cond is None:
            cond = self.null_like(t[:, None].expand(-1, self.tokenizer.length))
        else:
            self.check_cond(cond, t.shape[0])
        words, there = self.text(cond)
        mean = (words * there[..., None]).sum(1) / there.sum(1, keepdim=True)
        emb = F.silu(self.time(t) + self.mean(mean))
        seen = torch.cat([x_t, self.sketch(mean).view_as(x_t)], dim=1)
        h = self.down(self.stem(F.pixel_unshuffle(seen, 4)), emb)
        h = skip = self.read_down(h, words, there)
        h = self.look(self.middle1(self.shrink(h), emb))
        h = self.middle2(self.read_middle(h, words, there), emb)
        h = F.interpolate(self.grow(h), scale_factor=2)
        h = self.up(torch.cat([h, skip], dim=1), emb)
        h = self.read_up(h, words, there)
        near = torch.cat([F.pixel_unshuffle(seen, 2), F.pixel_shuffle(self.lift(h), 2)], dim=1)
        near = self.fine(near, emb)
        out = F.pixel_shuffle(self.out(h), 4) + F.pixel_shuffle(self.out_fine(near), 2)
        if not self.config["full"]:
            return out
        every = torch.cat([seen, out, F.pixel_shuffle(self.lift_full(near), 2)], dim=1)
        return out + self.out_full(self.full(every, emb))

    def null_like(self, cond: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
        """The empty caption for each."""
        null = torch.full_like(cond, PAD)
        null[:, 0] = START
        return null

    def check_cond(self, cond: Tensor, n: int) -> None:
        """A ValueError that says what came, unless there is a caption for each of n pictures; values only if they cost no wait."""
        length, most = self.tokenizer.length, START + len(self.tokenizer.words)
        if cond.shape != (n, length) or cond.is_floating_point():
            wanted = f"a row of {length} tokens for each of {n} pictures"
            raise ValueError(f"expected {wanted}, got {tuple(cond.shape)} {cond.dtype}")
        if not can_look(cond):
            return
        if cond.min() < 0 or cond.max() > most:
            raise ValueError(f"expected tokens 0..{most}, got {cond.min().item()} to {cond.max().item()}")
        if (cond[:, 0] != START).any():  # and with PAD alone there would be no word to look at
            raise ValueError(f"expected START, which is {START}, before the words of each caption: use net.tokenizer")


class CrossAttention(nn.Module):
    """Every place of the picture looks at every word: softmax(q k^T / sqrt(d)) v (Vaswani et al. 2017, eq. 1), added to x.

    q comes from the picture, k and v from the words (Rombach et al. 2022, section 3.3).
    """

    def __init__(self, channels: int, dim: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm, self.q = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 1)
        self.kv = nn.Linear(dim, 2 * channels)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(
        self, x: Float[Tensor, "batch c h w"], words: Float[Tensor, "batch n dim"], there: Bool[Tensor, "batch n"]
    ) -> Float[Tensor, "batch c h w"]:
        q, k, v = self._split(x, words)
        mixed = attend(q, k, v, there)
        return x + self.out(mixed.transpose(-1, -2).reshape(x.shape))

    def weights(
        self, x: Float[Tensor, "batch c h w"], words: Float[Tensor, "batch n dim"], there: Bool[Tensor, "batch n"]
    ) -> Float[Tensor, "batch heads n h w"]:
        """How much each place takes from each word; over the words they add up to 1."""
        q, k, _ = self._split(x, words)
        return attention_weights(q, k, there).transpose(-1, -2).unflatten(-1, x.shape[2:])

    def _split(self, x: Tensor, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (batch, heads, places, d), keys and values (batch, heads, words, d)."""
        q = self.q(self.norm(x)).flatten(2).unflatten(1, (self.heads, -1)).transpose(-1, -2)
        k, v = self.kv(words).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v


@torch.no_grad()
def attention_maps(
    net: TextUNet, x_t: Float[Tensor, "batch c h w"], t: Int[Tensor, "batch"], cond: Int[Tensor, "batch length"]
) -> Float[Tensor, "batch length h2 w2"]:
    """Which places look at which word, at a quarter of the side: the mean over heads of both layers of that size."""
    maps = []

    def keep(layer: CrossAttention, arguments: tuple, answer: Tensor) -> None:
        maps.append(layer.weights(*arguments).mean(1))

    hooks = [layer.register_forward_hook(keep) for layer in (net.read_down, net.read_up)]
    try:
        net(x_t, t, cond)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(maps).mean(0)
