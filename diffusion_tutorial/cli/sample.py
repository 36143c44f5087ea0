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
    suited,
    weights,
)
from diffusion_tutorial.subjects import Subject
from diffusion_tutorial.subjects.conditions import Asked


def add(commands: argparse._SubParsersAction) -> None:
    """A part for each subject, with the options that its condition has."""
    parts = each_subject(commands, "sample", "draw pictures", _sample, lambda subject: f"draw {subject.says}")
    for subject, part in parts.items():
        subject.condition.options(part)
        subject.condition.one_option(part, "negative", "what to move away from, in place of any picture")
        sampling(part, subject.walk)
        guidance(part, subject.walk.w)
        seed(part)
        weights(part)
        part.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .png page or an .npz of arrays")


def _sample(options: argparse.Namespace) -> int:
    model = drawer(options, options.subject)
    subject = options.subject.of(model)
    condition, net = subject.condition, getattr(model, "net", model)
    asked, negative = condition.asked(options), condition.one(options, "negative")
    condition.check(net, [*dict.fromkeys(asked.conditions)], condition.option)
    if negative:
        condition.check(net, [negative], "negative")
    walk = how(options, suited(model, subject.walk))
    if negative is not None and walk.w == 1:
        raise UserError("--negative: it acts by guidance, and --w 1 is none; expected another --w, for example 4")
    check_file(options.out)
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
