"""Scenes: train the text-to-image model of lesson 09, draw pictures from prompts."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from diffusion_tutorial import files, metrics, pictures, pretrained, schedules
from diffusion_tutorial.data import scenes
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.models.text_unet import TextUNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.recipes import common

PARTIAL = 0.1  # share of captions in training that leave something out: "a cat on the moon"
W, SPACING = 3.0, "karras"  # guidance scale and times for prompts
COLUMNS = 8  # pictures in a row of a page, at most
WATCHED = (  # how they are drawn is kept at every milestone of the training
    "a cat wearing sunglasses on the moon",
    "a cat playing guitar on Mars",
    "a robot holding a balloon under the sea",
    "a rabbit wearing a crown in the city",
    "a pig reading a book in the snow",
    "a frog holding an umbrella in the forest",
)


def new_painter(width: int = 96, predict: str = "v", seed: int = 0) -> Denoiser:
    """The untrained scene model: TextUNet of this width, cosine schedule; the same for the same seed."""
    with common.seeded(seed):
        return Denoiser(TextUNet(scenes.vocabulary(), width), schedules.cosine(), predict)


def train_scenes(
    out: Path,
    settings: dict,
    steps: int | None,
    seconds: float | None,
    resume: bool = False,
    compile: bool = False,
    evaluate: int = 324,
) -> int:
    """Train the scene model into `out`: checkpoint.safetensors on the way, scenes.safetensors and scenes.json at the end.

    settings: a value for each of SCENES_SETTINGS; a resumed run must have the settings that it was started with.
    """
    settings = common.settle(settings, out, resume)
    model = new_painter(settings["width"], settings["predict"], settings["seed"])
    tokenizer = model.net.tokenizer

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images, _, captions = scenes.sample(n, generator, partial=PARTIAL)
        return images, tokenizer(captions)

    made = common.train_denoiser(
        *("scenes", out, settings, model, draw, steps, seconds, resume, compile),
        measure=lambda model: ({"quality": _quality(model, evaluate)} if evaluate else {}) | _history(out),
        begin=lambda: [old.unlink() for old in _rows(out)],
        look=lambda model, step: _look(model, out / "history" / f"{step:07d}.png"),
        model_is="scenes: a text-conditional U-Net denoiser for drawn scenes of 48 x 48 in colour",
        data="scenes drawn on the fly, 2,916 of 3,240 combinations; the other 324 are held out",
        licence=scenes.ATTRIBUTION,
    )
    if evaluate:
        print(f"subject, thing and place read back: {made['quality']['accuracy']:.1%} ({made['quality']['protocol']})")
    return 0


def _look(model: Denoiser, path: Path) -> None:
    """One row of the model's history: what it draws of each watched prompt by now, from the same static."""
    drawn = scenes.to_pixels(draw_scenes(model, list(WATCHED), seed=0)).numpy()
    pictures.write_page(path, drawn, columns=len(drawn), scale=1)


def _rows(out: Path) -> list[Path]:
    """The rows that are there, in the order of their steps; a name is the step in seven digits."""
    return sorted((out / "history").glob("[0-9]" * 7 + ".png"))


def _history(out: Path) -> dict:
    """The rows, if any, as one page, scenes_history.png; for the card, the steps at which they were drawn."""
    rows = _rows(out)
    if not rows:
        return {}
    pages = [np.asarray(Image.open(row))[:-1] for row in rows]  # each row brings the frame above it
    page = Image.fromarray(np.concatenate([*pages, pages[-1][:1]]))
    files.write_whole(out / "scenes_history.png", lambda aside: page.save(aside, optimize=True))
    return {"history": {"steps": [int(row.stem) for row in rows], "prompts": list(WATCHED)}}


def _quality(model: Denoiser, n: int) -> dict:
    """Share of n pictures of held-out combinations of which the shipped judge reads all three attributes back."""
    held_out = scenes.combinations(True)
    order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))
    asked = held_out[order.repeat(-(-n // len(order)))[:n]]
    drawn = draw_scenes(model, [scenes.plain_caption(row) for row in asked], seed=0)
    share, low, high = metrics.share(metrics.scene_read(pretrained.load("scene_classifier"), drawn, asked).all(1))
    return {
        "accuracy": round(share, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "protocol": f"{n} pictures of held-out combinations, plain wording, 20 steps of dpm++, spacing {SPACING}, w = {W:g}, seed 0, EMA "
        "weights, read by the shipped judge of scenes",
    }


def draw_scenes(
    model: Denoiser,
    prompts: list[str],
    seed: int,
    steps: int = 20,
    sampler: str = "dpm++",
    spacing: str = SPACING,
    w: float = W,
    negative: str | None = None,
    batch: int = 64,
) -> Float[Tensor, "n 3 48 48"]:
    """A picture in [-1, 1] for each prompt ("": any), under a progress bar; the same for the same arguments."""
    model = model.to(common.device())
    tokens = model.net.tokenizer(prompts)
    away = None if negative is None else model.net.tokenizer([negative])
    denoiser = guide(model, w, negative=away)
    return common.walk(denoiser, model.alpha_bar, tokens, model.net.shape, steps, seed, sampler, spacing, batch)


def write_scenes(path: Path, drawn: Float[Tensor, "n 3 h w"], prompts: list[str], each: int | None = None) -> None:
    """A .png page, or an .npz with `images` uint8 N x H x W x 3 and `prompts`.

    On the page every `each` pictures (default: all) begin a new row, which goes on in the next after COLUMNS.
    """
    pixels = scenes.to_pixels(drawn).numpy()
    if path.suffix.lower() == ".npz":
        pictures.write_arrays(path, images=pixels, prompts=np.array(prompts))
    else:
        each = each or len(pixels)
        columns = min(each, COLUMNS)
        rows = pixels.reshape(-1, each, *pixels.shape[1:])
        blank = [(0, 0), (0, -each % columns), (0, 0), (0, 0), (0, 0)]
        rows = np.pad(rows, blank, constant_values=64)  # the grey of the page
        pictures.write_page(path, rows.reshape(-1, *pixels.shape[1:]), columns, scale=4)
