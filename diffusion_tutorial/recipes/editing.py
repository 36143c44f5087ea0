"""Editing pictures in files: fill in what is missing, change what a prompt says, and keep the rest as it is."""

import sys

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from diffusion_tutorial import editing, samplers
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.pictures import Picture
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.recipes import common, scenes

STEPS, RESAMPLE = 50, 10  # RePaint takes each step so many times
EDIT_STEPS, STRENGTH = 25, 1.0


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
