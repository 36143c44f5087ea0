"""What an evaluation of scenes asks for and measures against: held-out prompts, really drawn scenes, pictures in files.

All pictures are rounded, as a file holds them: uint8 (n, 48, 48, 3).
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from diffusion_tutorial import files, progress
from diffusion_tutorial.data import scenes
from diffusion_tutorial.evaluation.common import arrays

PART = 250  # pictures drawn or read at a time


def held_out(n: int) -> Int[Tensor, "n 3"]:
    """n scenes: the held-out combinations in turn, shuffled once, always in the same order."""
    every = scenes.combinations(True)
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))
    return every[order[torch.arange(n) % len(every)]]


def reword(attributes: Int[Tensor, "3"], generator: torch.Generator) -> str:
    """A caption in any wording and with any synonyms, as in training, but never the plain one."""
    while True:
        wording = int(torch.randint(len(scenes.WORDINGS), (), generator=generator))
        text = scenes.caption(attributes, wording, generator)
        if text != scenes.plain_caption(attributes):
            return text


def draw(asked: Int[Tensor, "n 3"], generator: torch.Generator) -> UInt8[Tensor, "n 48 48 3"]:
    """As many really drawn scenes of the same combinations, under a progress bar."""
    return torch.cat(
        [scenes.to_pixels(scenes.draw(part, generator)) for part in progress.each(asked.split(PART), "scenes")]
    )


def read(path: Path) -> tuple[UInt8[Tensor, "n 48 48 3"], Int[Tensor, "n 3"], int]:
    """Pictures whose prompt names a full scene, those scenes, and how many are left out; an .npz as `sample scenes` writes.

    images: uint8 N x 48 x 48 x 3; prompts: N strings. files.BadFile if it is not so, or if no prompt names a scene.
    """
    with arrays(path) as found:
        pixels, prompts = found["images"], found["prompts"] if "prompts" in found else None
    size = scenes.SIZE
    if prompts is None or pixels.dtype != np.uint8 or pixels.shape[1:] != (size, size, 3):
        wanted = f"images uint8 N x {size} x {size} x 3 with prompts (scenes) or uint8 N x 28 x 28 (digits)"
        came = f"{pixels.dtype} {pixels.shape} {'without' if prompts is None else 'with'} prompts"
        raise files.BadFile(f"{path}: expected {wanted}, got {came}")
    if prompts.dtype.kind != "U" or prompts.shape != pixels.shape[:1]:
        wanted = f"a string as prompt of each of {len(pixels)} images"
        raise files.BadFile(f"{path}: expected {wanted}, got {prompts.dtype} {prompts.shape}")
    told = [scenes.read(prompt) for prompt in prompts.tolist()]
    full = [i for i, scene in enumerate(told) if scene]
    if not full:
        what = "a full scene (one subject, one thing, one place)"
        raise files.BadFile(f"{path}: expected prompts that name {what}, but none of its {len(told)} does")
    return torch.from_numpy(pixels[full]), torch.tensor([told[i] for i in full]), len(told) - len(full)
