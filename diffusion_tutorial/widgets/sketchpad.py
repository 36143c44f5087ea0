"""Draw a digit of your own, or bring a photo of one, and see what a model makes of it."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from diffusion_tutorial.data import digits
from diffusion_tutorial.widgets.canvas import FOLDER, SHARED, Canvas, enlarged

SIDE, SCALE = 28, 8


class Sketchpad(Canvas):
    """A pad of MNIST's size, white on black; `drawing()` is the digit, (1, 28, 28) in [-1, 1]. Made by `sketchpad`."""

    _esm = SHARED + (FOLDER / "sketchpad.js").read_text(encoding="utf-8")
    EMPTY = "The pad is empty: draw a digit on it, or choose a photo of one."
    WORKING = "Working on your digit …"

    def drawing(self) -> Float[Tensor, "1 28 28"]:
        """What is on the pad now, in [-1, 1]."""
        return digits.to_signed(torch.tensor(self.pixels, dtype=torch.uint8).view(1, SIDE, SIDE))[0]

    def looks(self, zoom: int) -> Image.Image:
        """The pad, enlarged."""
        return enlarged(self.drawing(), zoom)


def sketchpad(
    answer: Callable[[Float[Tensor, "1 28 28"]], Float[Tensor, "n 1 28 28"] | Mapping[str, Float[Tensor, "n 1 28 28"]]],
    caption: str,
    alt: str,
    start: Float[Tensor, "1 28 28"] | None = None,
) -> Sketchpad:
    """A pad to draw a digit on: draw, press "Send", and what answer(x0) returns stands beside it.

    answer: takes a picture (1, 28, 28) in [-1, 1], white on black, and returns pictures (n, 1, 28, 28), or rows of
    them, {row name: pictures}; a ValueError's sentence is shown. start: the digit to begin with; it is answered at
    once, so that the page shows it without a kernel too. By keyboard, the arrows move over the pad and the space bar
    draws (with shift, the arrows draw as they go). The browser makes a photo what MNIST's digits are: white on black, cut out, 20 pixels at its longest, its
    centre of mass in the middle (LeCun et al. 1998, section III.A).
    """
    if start is not None and (start.shape != (1, SIDE, SIDE) or not start.abs().max() <= 1):
        came = f"{tuple(start.shape)} from {start.min():.3g} to {start.max():.3g}"
        raise ValueError(f"expected a start (1, {SIDE}, {SIDE}) in [-1, 1], got {came}")
    pixels = torch.zeros(SIDE, SIDE) if start is None else digits.to_pixels(start[None])
    return Sketchpad(
        answer,
        caption=caption,
        alt=alt,
        width=SIDE,
        height=SIDE,
        scale=SCALE,
        pixels=pixels.flatten().int().tolist(),
    )
