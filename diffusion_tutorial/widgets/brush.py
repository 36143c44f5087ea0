"""Paint a hole on a picture and see it filled."""

from collections.abc import Callable

import numpy as np
import torch
import traitlets
from jaxtyping import Bool, Float, Shaped
from PIL import Image
from torch import Tensor

from diffusion_tutorial import editing
from diffusion_tutorial.widgets.canvas import FOLDER, SHARED, Canvas, data_uri, enlarged

ORANGE, BLACK = (230, 159, 0), (0, 0, 0)  # the stripes over the hole, of plotting.COLOURS; brush.js draws the same
COVER = 0.8  # how much of the picture they hide


class Brush(Canvas):
    """The picture under a brush; `drawing()` is the hole, True where to fill. Made by `brush`."""

    _esm = SHARED + (FOLDER / "brush.js").read_text(encoding="utf-8")
    EMPTY = "There is no hole yet: paint over the part that should be filled, or choose a ready-made hole."
    WORKING = "Filling the hole …"
    picture = traitlets.Unicode().tag(sync=True)

    def __init__(self, x0: Float[Tensor, "c h w"], fill: Callable, **values: object):
        self.x0 = x0
        super().__init__(fill, picture=data_uri(enlarged(x0)), **values)

    def drawing(self) -> Bool[Tensor, "h w"]:
        """The hole that is painted now, True where to fill."""
        return torch.tensor(self.pixels).view(self.height, self.width).bool()

    def looks(self, zoom: int) -> Image.Image:
        """The picture with stripes over its hole."""
        image = enlarged(self.x0, zoom).convert("RGB")
        pixels = torch.from_numpy(np.array(image))
        y, x = torch.meshgrid(torch.arange(image.height), torch.arange(image.width), indexing="ij")
        striped = (1 - COVER) * pixels + COVER * torch.tensor([ORANGE, BLACK])[(x + y) // zoom % 2]
        hole = self.drawing().repeat_interleave(zoom, 0).repeat_interleave(zoom, 1)
        return Image.fromarray(torch.where(hole[..., None], striped, pixels).byte().numpy())


def brush(
    picture: Float[Tensor, "c h w"],
    fill: Callable[[Bool[Tensor, "h w"]], Float[Tensor, "n c h w"]],
    caption: str,
    alt: str,
    mask: Shaped[Tensor, "h w"] | None = None,
    scale: int = 6,
) -> Brush:
    """The picture under a brush: paint the hole, press "Fill", and what fill(mask) returns stands beside it.

    picture: (1 or 3, h, w) in [-1, 1], shown `scale` times as large. fill: takes a bool mask, True where to fill, and
    returns pictures (n, c, h, w) in [-1, 1]; a ValueError's sentence is shown. mask: the hole to begin with; it is
    filled at once, so that the page shows it without a kernel too. By keyboard, the arrows move over the picture and the
    space bar paints (with shift, the arrows paint as they go), or the menu has ready-made holes.
    """
    if picture.ndim != 3 or picture.shape[0] not in (1, 3) or not picture.abs().max() <= 1:
        came = f"{tuple(picture.shape)} from {picture.min():.3g} to {picture.max():.3g}"
        raise ValueError(f"expected a picture (1 or 3, h, w) in [-1, 1], got {came}")
    _, height, width = picture.shape
    hole = torch.zeros(height, width) if mask is None else editing.as_mask(mask, picture[None])
    return Brush(
        picture,
        fill,
        caption=caption,
        alt=alt,
        width=width,
        height=height,
        scale=scale,
        pixels=hole.flatten().int().tolist(),
    )
