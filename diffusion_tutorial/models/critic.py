"""A critic: it looks at pictures and says how real each seems. It sharpens the jump of "Jump after all"."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class Critic(nn.Module):
    """How real a picture with this label looks, a number of which only differences count; the label may be the null one.

    Three convolutions from size x size to size/8 x size/8 places, for pictures whose side is divisible by 4. No normalisation: what
    one picture is told must not hang on the others of its batch.
    """

    def __init__(self, channels: int = 1, width: int = 32, labels: int = 10, size: int = 28):
        super().__init__()
        wide, last = 2 * width, -(-size // 8)
        self.look = nn.ModuleList([
            nn.Conv2d(4 * channels, width, 4, stride=2, padding=1),
            nn.Conv2d(width, wide, 3, padding=1),
            nn.Conv2d(wide, wide, 3, stride=2, padding=1),
        ])  # fmt: skip
        self.sum_up, self.label = nn.Linear(wide * last * last, wide), nn.Embedding(labels + 1, wide)

    def forward(self, x: Float[Tensor, "batch c h w"], cond: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        h = F.pixel_unshuffle(x, 2)
        for layer in self.look:
            h = F.leaky_relu(layer(h), 0.2)
        h = F.leaky_relu(self.sum_up(h.flatten(1)), 0.2)
        return (h * (1 + self.label(cond))).mean(1)
