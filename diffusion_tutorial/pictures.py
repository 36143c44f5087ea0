"""Pictures in files: read those that people have, say what was done to them, write pages and what was edited.

A file holds whole numbers, or fractions, of several ranges; a model sees [-1, 1], upright, square, of its own size. For
a model with one channel, ink is 1 and what it stands on is -1: black ink on paper is turned, and turned back on writing.
"""

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from diffusion_tutorial import files

LARGEST = 4096  # pixels a side: a larger file is more likely a mistake than a picture for these models
VAST = 30_000  # and among one's own photographs
TOPS = {1: 1, 8: 255, 10: 1023, 12: 4095, 14: 16383, 16: 65535}  # bits: what white is in them
GREY = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue are


class Picture(NamedTuple):
    """A picture of a file: as it is there, upright; as the model sees it; and what a person would want to know of it.

    ground and ink are what -1 and 1 of the model are in the file, in each of its channels.
    """

    pixels: Shaped[np.ndarray, "h w *channels"]  # uint8 or uint16; channels: none (grey), 3 or 4 (colour, with alpha)
    x0: Float[Tensor, "1 c side side"]
    notes: tuple[str, ...] = ()
    ground: tuple[float, ...] = (0.0,)
    ink: tuple[float, ...] = (255.0,)


class Mask(NamedTuple):
    """Where to fill, in the picture's size and in the model's, where a touch is enough; and what was seen in the file."""

    hole: Bool[np.ndarray, "h w"]
    mask: Bool[Tensor, "1 1 side side"]
    notes: tuple[str, ...] = ()


class _View(NamedTuple):
    """A picture as the model sees it, 0..1, in the file's size; the rest as in `Picture`."""

    pixels: np.ndarray
    values: np.ndarray
    ground: np.ndarray | tuple
    ink: np.ndarray | tuple
    notes: tuple[str, ...] = ()


def check_out(path: Path, suffixes: tuple[str, ...] = (".png",)) -> None:
    """A name for a file to write, ending in one of these, in capitals or not; files.BadFile, which says why, if it is none."""
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        wanted = " or ".join(suffixes)
        why = "; a JPEG changes every pixel a little, also those to be kept" if suffix in (".jpg", ".jpeg") else ""
        raise files.BadFile(f"expected a name that ends in {wanted}, got {path}{why}")
    if path.is_dir():
        raise files.BadFile(f"expected a file, but {path} is a folder")


def read_picture(path: Path, shape: tuple[int, int, int]) -> Picture:
    """A picture, square, of any size, for a model of this shape (channels, side, side); files.BadFile if it is none.

    1, 8, 10, 12, 14 or 16 bits, as few as its values need; fractions of 0 to 1; grey, colours, a palette, CMYK. What is
    transparent is background: black or white, whichever lets what is visible be seen.
    """
    image, notes = _open(path)
    if image.width != image.height:
        raise files.BadFile(f"{path}: expected a square picture, got {image.width} x {image.height}; cut it first")
    channels, side, _ = shape
    pixels, top, read = _pixels(path, image)
    view = _strokes(pixels, top) if channels == 1 else _colours(pixels, top)
    x0 = torch.from_numpy(_resize(view.values, (side, side), Image.Resampling.BOX)).permute(2, 0, 1)[None] * 2 - 1
    ground, ink = (tuple(np.asarray(level, dtype=float).tolist()) for level in (view.ground, view.ink))
    told = (f"{path}: {note}" for note in (*notes, *read, *view.notes))
    return Picture(view.pixels, x0.contiguous(), tuple(told), ground, ink)


def read_square(path: Path, side: int) -> tuple[UInt8[np.ndarray, "side side 3"], tuple[str, ...]]:
    """The middle of a picture of any shape, in colour, and what was done to it; files.BadFile if it is none, or tiny.

    Read as `read_picture` reads; what is longer than wide, or wider than long, loses as much at both ends. Shrunk, each new
    pixel is the mean of the area that it covers.
    """
    image, notes = _open(path, VAST)
    edge = min(image.size)
    if 2 * edge < side:
        came = f"{image.width} x {image.height}"
        raise files.BadFile(f"{path}: expected at least {-(-side // 2)} pixels a side, got {came}")
    left, upper = (image.width - edge) // 2, (image.height - edge) // 2
    pixels, top, read = _pixels(path, image.crop((left, upper, left + edge, upper + edge)))
    pixels, top = (pixels * 255, 255) if top == 1 else (pixels, top)
    view = _colours(_scaled(pixels, side), top)
    small = [f"smaller than {side} x {side}, so it was enlarged"] if edge < side else []
    return np.round(255 * view.values).astype(np.uint8), (*notes, *read, *small, *view.notes)


def read_mask(path: Path, picture: Picture, side: int) -> Mask:
    """Where to fill, from a file of the picture's size; files.BadFile, which says what was seen, if that is not clear.

    Painted is the opaque part, where some of the mask is transparent, else the brighter part: of two values, whatever
    they are, the larger; of more, those above half of their range. Colours count by the largest of red, green and blue.
    """
    image, notes = _open(path)
    height, width = picture.pixels.shape[:2]
    if image.size != (width, height):
        came = f"{image.width} x {image.height}"
        raise files.BadFile(f"{path}: expected a mask of the picture's size, {width} x {height}, got {came}")
    paint, told = _paint(path, image)
    hole, seen = _above_half(path, paint)
    touched = F.adaptive_max_pool2d(torch.from_numpy(hole)[None, None].float(), side) > 0
    return Mask(hole, touched, tuple(f"{path}: {note}" for note in (*notes, *told, *seen)))


def widen(mask: Bool[Tensor, "1 1 side side"], picture: Picture) -> Bool[np.ndarray, "h w"]:
    """A mask of the model's size in the picture's own."""
    return F.interpolate(mask.float(), picture.pixels.shape[:2])[0, 0].numpy() > 0


def write_edited(
    path: Path, picture: Picture, drawn: Float[Tensor, "1 c h w"], hole: Bool[np.ndarray, "height width"] | None
) -> None:
    """The picture in its own size and sense, with what was drawn where the hole is (None: everywhere); all else as it was."""
    height, width = picture.pixels.shape[:2]
    old = picture.pixels.reshape(height, width, -1)
    values = drawn[0].cpu().permute(1, 2, 0).add(1).div(2).float().numpy()
    values = _resize(values, (width, height), Image.Resampling.BICUBIC).clip(0, 1)
    if values.shape[2] == 3 and old.shape[2] == 4:
        values = values[..., [0, 1, 2, 0]]  # ground and ink are equally opaque
    ground, ink = np.array(picture.ground), np.array(picture.ink)
    new = np.round(ground + (ink - ground) * values).astype(old.dtype)
    if hole is not None:
        new = np.where(hole[..., None], new, old)
    new = new.reshape(picture.pixels.shape)
    files.write_whole(path, lambda aside: Image.fromarray(new).save(aside, format="PNG"))


def write_page(path: Path, pixels: UInt8[np.ndarray, "n h w *rgb"], columns: int, scale: int) -> None:
    """Pictures in rows, a pixel of grey between, each pixel `scale` pixels wide, as one whole .png."""
    n, h, w, *rgb = pixels.shape
    columns = min(n, columns)
    page = np.full((-(-n // columns) * (h + 1) + 1, columns * (w + 1) + 1, *rgb), 64, dtype=np.uint8)
    for i, picture in enumerate(pixels):
        y, x = i // columns * (h + 1) + 1, i % columns * (w + 1) + 1
        page[y : y + h, x : x + w] = picture
    size = page.shape[1] * scale, page.shape[0] * scale
    large = Image.fromarray(page).resize(size, Image.Resampling.NEAREST)
    files.write_whole(path, lambda aside: large.save(aside, format="PNG"))


def write_arrays(path: Path, **arrays: Any) -> None:
    """Arrays by name as one whole .npz, under exactly this name."""

    def write(aside: Path) -> None:
        with open(aside, "wb") as file:  # given a name, numpy would add .npz to one that ends in .NPZ
            np.savez_compressed(file, **arrays)

    files.write_whole(path, write)


# How files are read


def _open(path: Path, largest: int = LARGEST) -> tuple[Image.Image, list[str]]:
    """The first picture in a file, upright, and what was done to it; files.BadFile if there is none, or a huge one."""
    try:
        with Image.open(path) as image:
            if max(image.size) > largest:
                came = f"{image.width} x {image.height}"
                raise files.BadFile(f"{path}: expected at most {largest} pixels a side, got {came}")
            frames = getattr(image, "n_frames", 1)
            notes = [f"the first of its {frames} pictures"] if frames > 1 else []
            if any(raw in str(image.tile) for raw in (";16B", ";16L", ";16N")) and not image.mode.startswith("I"):
                notes.append("16 bits a colour, read as 8")
            image.load()
            upright = _upright(image, notes)
    except FileNotFoundError:
        raise files.BadFile(f"there is no file {path}") from None
    except files.BadFile:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as bad:
        raise files.BadFile(f"{path}: expected a picture, such as a .png ({bad})") from bad
    return upright, notes


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """The picture as a camera's note, its EXIF orientation, wants it shown."""
    try:
        orientation = image.getexif().get(0x0112, 1)
        upright = ImageOps.exif_transpose(image)
    except (struct.error, TypeError, ValueError, KeyError, SyntaxError):
        notes.append("taken as it lies: its EXIF notes, which say what is up, cannot be read")
        return image.copy()
    if orientation in range(2, 9):
        notes.append(f"turned upright, as its EXIF orientation ({orientation}) wants it")
    return upright


def _pixels(path: Path, image: Image.Image) -> tuple[np.ndarray, int, list[str]]:
    """Whole numbers, uint8 or uint16, what white is among them, and what a person would want to know."""
    if image.mode.startswith(("I", "F")):
        return _deep(path, np.array(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        pixels = np.array(image.convert("RGBA"))
        if pixels[..., 3].max() < 13:
            raise files.BadFile(f"{path}: expected a picture, got nothing visible: every pixel is transparent")
        return pixels, 255, []
    if image.mode not in ("1", "L"):
        said = (
            [f"its colours, {image.mode}, read as red, green and blue"] if image.mode in ("CMYK", "LAB", "HSV") else []
        )
        return np.array(image.convert("RGB")), 255, said
    pixels = np.array(image.convert("L"))
    return (pixels, 1, ["its values, 0 and 1, read as black and white"]) if pixels.max() == 1 else (pixels, 255, [])


def _deep(path: Path, values: np.ndarray) -> tuple[np.ndarray, int, list[str]]:
    """Grey of more than 8 bits, or in fractions, by the range that its values need."""
    low, high = values.min(), values.max()
    bits = next((bits for bits, top in TOPS.items() if high <= top), None)
    fractions = values.dtype.kind == "f"
    if bits is None or not low >= 0 or (fractions and 1 < high < 128):
        wanted = "at most 16 bits, 0 to 65535, or fractions from 0 to 1"
        raise files.BadFile(f"{path}: expected grey of {wanted}, got {low:g} to {high:g}; save it with 8 bits")
    bits = bits if high else 16
    top, named = TOPS[bits], f"its values, {low:g} to {high:g}, read as"
    if fractions:
        read = f"{named} 0 (black) to {top} (white), and kept in 16 bits"
        return np.round(values * (65535.0 / top)).astype(np.uint16), 65535, [read]
    said = [] if bits == 16 else [f"{named} {bits} bit{'s' * (bits > 1)}: 0 is black, {top} is white"]
    return values.astype(np.uint16), top, said


def _resize(values: Float[np.ndarray, "h w c"], size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    """Each channel in this size (width, height), without rounding."""
    channels = values.astype(np.float32).transpose(2, 0, 1)
    return np.stack([np.array(Image.fromarray(channel).resize(size, how)) for channel in channels], axis=-1)


def _scaled(pixels: np.ndarray, side: int) -> np.ndarray:
    """A square picture in this size and in its own numbers; what is transparent lends its colour to nothing."""
    how = Image.Resampling.BOX if len(pixels) >= side else Image.Resampling.BICUBIC
    if pixels.dtype != np.uint8:
        small = _resize(pixels[..., None].astype(np.float32), (side, side), how)[..., 0]
        return np.round(small).clip(0, 65535).astype(pixels.dtype)
    image = Image.fromarray(pixels)
    if image.mode != "RGBA":
        return np.array(image.resize((side, side), how))
    return np.array(image.convert("RGBa").resize((side, side), how).convert("RGBA"))


# What a model sees of a picture


def _colours(pixels: np.ndarray, top: int) -> _View:
    """For a model in colour. Transparent is white, unless all that is visible is nearly white."""
    notes = []
    if pixels.ndim == 2:
        notes = ["its grey rounded to 8 bits, as many as a colour has in a .png"] if pixels.dtype == np.uint16 else []
        pixels = np.round(pixels[..., None] * (255 / top)).astype(np.uint8).repeat(3, axis=2)
    if pixels.shape[2] == 3:
        return _View(pixels, pixels / 255, (0,) * 3, (255,) * 3, tuple(notes))
    colour, alpha = pixels[..., :3] / 255, pixels[..., 3:] / 255
    on_white = (alpha * (1 - colour)).max() > 0.25 or alpha.min() == 1
    if alpha.min() < 1:
        notes.append(f"what is transparent is seen as {'white' if on_white else 'black'}")
    return _View(pixels, alpha * colour + (1 - alpha) * on_white, (0, 0, 0, 255), (255,) * 4, tuple(notes))


def _strokes(pixels: np.ndarray, top: int) -> _View:
    """For a model of white strokes on black: what stands on a transparent ground, or on light paper, is ink."""
    rows = pixels.reshape(*pixels.shape[:2], -1).astype(float)
    light = rows[..., 0] / top if rows.shape[2] == 1 else (rows[..., :3] @ GREY / 255).clip(0, 1)
    alpha = rows[..., 3] / 255 if rows.shape[2] == 4 else np.ones_like(light)
    edge = np.ones(light.shape, dtype=bool)
    edge[1:-1, 1:-1] = False
    if alpha[edge].mean() < 0.5:
        return _on_nothing(pixels, rows, light, alpha)
    light = alpha * light + (1 - alpha) * np.median(light[edge & (alpha >= 0.5)])
    middle = (light.min() + light.max()) / 2 if np.ptp(light) > 0.1 else 0.5
    if (light[edge] > middle).mean() < 0.75:
        white = np.full(rows.shape[2], top)
        return _View(pixels, light[..., None], white * ([0, 0, 0, 1] if len(white) == 4 else 0), white)
    far = (np.median(light[edge]) - light).clip(0)
    paper, ink = np.median(rows[edge], axis=0), np.where(np.arange(rows.shape[2]) == 3, 255, 0)
    if far.max() > 0.25:  # more than the grain of an empty sheet
        far, ink = far / far.max(), _ink(rows, far)
    said = "dark ink on light paper, as it seems: read as white on black, written back as ink on paper"
    return _View(pixels, far[..., None], paper, ink, (said,))


def _on_nothing(pixels: np.ndarray, rows: np.ndarray, light: np.ndarray, alpha: np.ndarray) -> _View:
    """Strokes on a transparent ground: laid on black or on white, whichever is further from them."""
    ground = float((alpha * light).sum() / alpha.sum() <= 0.5)
    far = np.abs(alpha * (light - ground))
    ink = _ink(rows, far)
    said = "what is visible is read as ink; what is transparent is its background"
    return _View(pixels, (far / far.max())[..., None], np.append(ink[:3], 0), ink, (said,))


def _ink(rows: Float[np.ndarray, "h w c"], far: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "c"]:
    """The colour of the ink: the mean of what stands out most."""
    return rows[far >= 0.9 * far.max()].mean(axis=0)


# Where a mask is painted


def _paint(path: Path, image: Image.Image) -> tuple[np.ndarray, list[str]]:
    """How much paint is on each pixel, in any range: its opacity, or its brightness."""
    if image.mode.startswith(("I", "F")):
        return np.array(image).astype(float), []
    if image.mode in ("CMYK", "LAB", "HSV", "YCbCr"):
        image = image.convert("RGB")
    rgba = np.array(image.convert("RGBA")).astype(float)
    light, alpha = rgba[..., :3].max(axis=2), rgba[..., 3]
    if np.ptp(alpha):
        opaque = light[alpha > (alpha.min() + alpha.max()) / 2]
        bright = (opaque > (opaque.min() + opaque.max()) / 2).mean()
        if np.ptp(opaque) > 64 and 0.01 < bright < 0.99:
            came = f"transparent parts and, of what is opaque, {bright:.0%} bright and the rest dark"
            raise files.BadFile(f"{path}: expected a mask painted in one way, got {came}; save it as white on black")
        return alpha, ["some of it is transparent, so what is opaque is filled"]
    if not alpha.max():
        raise files.BadFile(f"{path}: expected a mask, got nothing visible: every pixel is transparent")
    if not np.ptp(light) and np.ptp(rgba, axis=(0, 1)).any():
        came = f"colours that are all equally bright ({light.max():g} of 255)"
        raise files.BadFile(f"{path}: expected a mask, white where to fill and black elsewhere, got {came}")
    return light, []


def _above_half(path: Path, paint: Float[np.ndarray, "h w"]) -> tuple[Bool[np.ndarray, "h w"], list[str]]:
    """Where there is more than half of the paint."""
    low, high = paint.min(), paint.max()
    wanted = f"{path}: expected a mask, white where to fill and black elsewhere"
    if not np.isfinite(low + high):
        raise files.BadFile(f"{wanted}, got values that are no numbers")
    if not high and not low:
        raise files.BadFile(f"{path}: the mask has no white, so there is nothing to fill; white says where")
    if low == high:
        if high not in (1, 255, 65535):
            raise files.BadFile(f"{wanted}, got {high:g} in every pixel")
        return paint > 0, ["all of it is white, so everything is filled"]
    top = next((top for top in TOPS.values() if high <= top), high)
    if len(np.unique(paint)) > 2 and high - low < top / 8:
        raise files.BadFile(f"{wanted}, got only values from {low:g} to {high:g} of {top:g}")
    between = (np.abs(paint - (low + high) / 2) < (high - low) / 4).mean()
    said = f"{between:.0%} of it is neither light nor dark; from half of its range on it is filled"
    return paint > (low + high) / 2, [said] if between > 0.1 else []
