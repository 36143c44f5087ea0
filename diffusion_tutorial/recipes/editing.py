"""Editing pictures in files: fill in what is missing, change what a prompt says, and keep the rest as it is."""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from diffusion_tutorial import editing, files, samplers
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.recipes import common, scenes

LARGEST = 4096  # pixels a side: a larger file is more likely a mistake than a picture for these models
STEPS, RESAMPLE = 50, 10  # RePaint takes each step so many times
EDIT_STEPS, STRENGTH = 25, 1.0


class Picture(NamedTuple):
    """A picture of a file: as it is, uint8, and as the model sees it."""

    pixels: np.ndarray  # (height, width) or (height, width, 3)
    x0: Float[Tensor, "1 c h w"]


def read_picture(path: Path, shape: tuple[int, int, int]) -> Picture:
    """A picture, square, of any size, in grey or colour; files.BadFile, in one sentence, if it is none."""
    image = _open(path)
    if image.width != image.height:
        raise files.BadFile(f"{path}: expected a square picture, got {image.width} x {image.height}; cut it first")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    channels, side, _ = shape
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    small = image.convert("L" if channels == 1 else "RGB").resize((side, side), Image.Resampling.BOX)
    x0 = torch.from_numpy(np.array(small)).float().view(side, side, channels).permute(2, 0, 1)[None]
    return Picture(np.array(image), x0 / 127.5 - 1)


def read_mask(path: Path, picture: Picture, side: int) -> tuple[Bool[np.ndarray, "h w"], Bool[Tensor, "1 1 side side"]]:
    """Where to fill, white in the file: in the picture's own size, and in the model's, where a touch of white is enough."""
    image = _open(path).convert("L")
    height, width = picture.pixels.shape[:2]
    if image.size != (width, height):
        came = f"{image.width} x {image.height}"
        raise files.BadFile(f"{path}: expected a mask of the picture's size, {width} x {height}, got {came}")
    hole = np.array(image) > 127
    if not hole.any():
        raise files.BadFile(f"{path}: the mask has no white, so there is nothing to fill; white says where")
    touched = F.adaptive_max_pool2d(torch.from_numpy(hole)[None, None].float(), side) > 0
    return hole, touched


def widen(mask: Bool[Tensor, "1 1 side side"], picture: Picture) -> Bool[np.ndarray, "h w"]:
    """A mask of the model's size in the picture's own."""
    return F.interpolate(mask.float(), picture.pixels.shape[:2])[0, 0].numpy() > 0


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        if max(image.size) > LARGEST:
            raise files.BadFile(f"{path}: expected at most {LARGEST} pixels a side, got {image.width} x {image.height}")
        image.load()
    except FileNotFoundError:
        raise files.BadFile(f"there is no file {path}") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as bad:
        if isinstance(bad, files.BadFile):
            raise
        raise files.BadFile(f"{path}: expected a picture, such as a .png ({bad})") from bad
    return _eight_bits(path, image) if image.mode.startswith("I") else image


def _eight_bits(path: Path, image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits a pixel, 0..65535, in the 0..255 of all others."""
    pixels = np.array(image, dtype=np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        came = f"{pixels.min()} to {pixels.max()}"
        raise files.BadFile(f"{path}: expected grey of at most 16 bits, 0 to 65535, got {came}; save it with 8 bits")
    return Image.fromarray(np.round(pixels / 257).astype(np.uint8))


def inpaint_file(
    model: Denoiser, picture: Picture, mask: Tensor, cond: Tensor | None, method: str, w: float, seed: int
) -> Float[Tensor, "1 c h w"]:
    """The picture with the mask filled, as the model draws it, under a progress bar: "repaint" or "replace"."""
    model, resample = model.to(common.device()), {"repaint": RESAMPLE, "replace": 1}[method]
    generator, x0 = torch.Generator().manual_seed(seed), picture.x0.to(common.device())
    step = editing.inpaint_step(samplers.ddpm_step, x0, mask, resample, generator)
    x_T = torch.randn(x0.shape, generator=generator).to(x0)
    cond = None if cond is None else cond.to(x0.device)
    walk = samplers.sample(guide(model, w), x_T, samplers.times(STEPS), model.alpha_bar, cond, step, generator)
    for state in tqdm(walk, total=STEPS + 1, desc="filling", unit="step", file=sys.stderr, leave=False):
        x = state.x
    return x.cpu()


def edit_times(model: Denoiser, strength: float) -> list[int]:
    """The times of an edit, up to `strength` of the way to static."""
    times = samplers.times(EDIT_STEPS, spacing="karras", alpha_bar=model.alpha_bar)
    start = max(times[-2], round(strength * (len(model.alpha_bar) - 1)))
    return [t for t in times if t <= start]


def find_mask(
    model: Denoiser, x0: Float[Tensor, "n c h w"], prompts: tuple[list[str], list[str]], seed: int = 0
) -> Bool[Tensor, "n 1 h w"]:
    """Where the pictures have to change to show the second prompts instead of the first: `editing.where_to_edit`."""
    source, target = _tokens(model, prompts)
    generator = torch.Generator().manual_seed(seed)
    x0 = x0.to(common.device())
    return editing.where_to_edit(model, x0, source, target, model.alpha_bar, generator=generator).cpu()


def edit_scenes(
    model: Denoiser,
    x0: Float[Tensor, "n c h w"],
    prompts: tuple[list[str], list[str]],
    mask: Bool[Tensor, "..."] | None,
    strength: float = STRENGTH,
    w: float = scenes.W,
    paste: bool = True,
) -> Float[Tensor, "n c h w"]:
    """Pictures that show the first prompts as the second want them: `editing.edit`, guided on the way back only."""
    source, target = _tokens(model, prompts)
    times, guided = edit_times(model, strength), guide(model, w)
    x0 = x0.to(common.device())
    return editing.edit(guided, x0, source, target, times, model.alpha_bar, mask, forward=model, paste=paste).cpu()


def _tokens(model: Denoiser, prompts: tuple[list[str], list[str]]) -> list[Tensor]:
    model.to(common.device())
    return [model.net.tokenizer(texts).to(common.device()) for texts in prompts]


def write_edited(
    path: Path, picture: Picture, drawn: Float[Tensor, "1 c h w"], hole: Bool[np.ndarray, "height width"] | None
) -> None:
    """The picture in its own size, with what was drawn where the hole is (None: everywhere); all else as it was."""
    pixels = drawn[0].permute(1, 2, 0).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    colours = "L" if pixels.shape[2] == 1 else "RGB"
    height, width = picture.pixels.shape[:2]
    image = Image.fromarray(pixels[..., 0] if colours == "L" else pixels).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    new = np.array(image.convert("L" if picture.pixels.ndim == 2 and colours == "L" else "RGB"))
    old = picture.pixels if picture.pixels.ndim == new.ndim else np.repeat(picture.pixels[..., None], 3, axis=2)
    if hole is not None:
        new = np.where(hole if new.ndim == 2 else hole[..., None], new, old)
    files.write_whole(path, lambda aside: Image.fromarray(new).save(aside))
