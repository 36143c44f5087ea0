"""`diffusion-tutorial sample`: draw pictures."""

import argparse
from pathlib import Path

import numpy as np
from torch import Tensor

from diffusion_tutorial import pictures
from diffusion_tutorial.cli.common import (
    UserError,
    check_file,
    drawer,
    each_subject,
    guidance,
    how,
    sampling,
    seed,
    settled,
    suited,
    weights,
)
from diffusion_tutorial.subjects import Subject
from diffusion_tutorial.subjects.conditions import Asked

EXAMPLES = {
    "cifar": """  diffusion-tutorial sample cifar --weights runs/cifar/cifar.safetensors --labels dog,ship --n 20 --out dogs.png
      dogs and ships in turn, by a model of your own: no weights for photographs come along yet
""",
    "folder": """  diffusion-tutorial sample folder --weights runs/folder/folder.safetensors --labels cats --n 40 --out cats.png
      by a model of your own; the labels are the names of the folders that it was trained on
  diffusion-tutorial sample folder --weights runs/folder/folder.safetensors --n 100 --out mine.npz
      the arrays images, uint8 N x size x size x 3, and classes, N strings
""",
    "digits": """  diffusion-tutorial sample digits --out digits.png
      a page of 100 digits, ten of each, from the weights that come along
  diffusion-tutorial sample digits --labels 2,4,1,2 --n 4 --steps 50 --seed 7 --out date.png
  diffusion-tutorial sample digits --sampler dpm++ --steps 15 --w 1.5 --out quick.png
      a second-order sampler needs few steps; guidance asks for clearer labels
  diffusion-tutorial sample digits --weights digits-jump --out jump.png
      each digit in one call of the network; --steps 2 or 4 look again, and are a little better
  diffusion-tutorial sample digits --weights runs/digits/digits.safetensors --n 1000 --steps 100 --out mine.npz
      the arrays images, uint8 N x 28 x 28, and labels, int64 N (-1 where none was asked for)
  diffusion-tutorial sample digits --weights digits-gan --out forged.png
      by the GAN of "Race a GAN", in one call of its network
""",
    "scenes": """  diffusion-tutorial sample scenes --prompt "a cat wearing sunglasses on the moon" --out cat.png
      four pictures in a row, from the weights that come along
  diffusion-tutorial sample scenes --prompt "a cat playing guitar on Mars" --prompt "a robot in a field" --out two.png
      a row for each prompt; what a prompt leaves open, the model chooses
  diffusion-tutorial sample scenes --prompt "a dog on the beach" --negative "sunglasses" --w 6 --seed 3 --out dog.png
      further towards one prompt, and away from the other
  diffusion-tutorial sample scenes --prompt "" --n 100 --out any.npz
      whatever the model likes; the arrays images, uint8 N x 48 x 48 x 3, and prompts, N strings
""",
}


def add(commands: argparse._SubParsersAction) -> None:
    """A part for each subject, with the options that its condition has."""
    parts = each_subject(commands, "sample", "draw pictures", EXAMPLES, _sample, lambda subject: f"draw {subject.says}")
    for subject, part in parts.items():
        subject.condition.options(part)
        subject.condition.one_option(part, "negative", "what to move away from, in place of any picture")
        sampling(part, subject.walk)
        guidance(part, subject.walk.w)
        seed(part)
        weights(part)
        part.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .png page or an .npz of arrays")


def _sample(options: argparse.Namespace) -> int:
    subject = settled(options, options.subject)
    asked = subject.condition.asked(options)
    negative = subject.condition.one(options, "negative")
    model = drawer(options, subject)
    walk = how(options, suited(model, subject.walk))
    if negative is not None and walk.w == 1:
        raise UserError("--negative: it acts by guidance, and --w 1 is none; expected another --w, for example 4")
    check_file(options.out)
    net = getattr(model, "net", model)
    subject.condition.check(net, [*dict.fromkeys(asked.conditions)], subject.condition.option)
    if negative:
        subject.condition.check(net, [negative], "negative")
    drawn = subject.draw(model, asked.conditions, options.seed, walk, negative, asked.pictures)
    write(options.out, subject, drawn, asked)
    print(f"{len(drawn)} {subject.plural} in {options.out}")
    return 0


def write(path: Path, subject: Subject, drawn: Tensor, asked: Asked) -> None:
    """A .png page on which every block begins a new row, or an .npz with `images` uint8 and what was asked for."""
    pixels = subject.to_pixels(drawn)
    if path.suffix.lower() == ".npz":
        arrays = {"images": pixels, subject.condition.key: subject.condition.array(asked.conditions)}
        pictures.write_arrays(path, **arrays)
        return
    columns = min(asked.block, subject.columns)
    blocks = pixels.reshape(-1, asked.block, *pixels.shape[1:])
    blank = [(0, 0), (0, -asked.block % columns), *[(0, 0)] * (pixels.ndim - 1)]
    blocks = np.pad(blocks, blank, constant_values=64)
    pictures.write_page(path, blocks.reshape(-1, *pixels.shape[1:]), columns, subject.scale)
