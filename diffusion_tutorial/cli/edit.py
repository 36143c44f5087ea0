"""`diffusion-tutorial inpaint` and `edit`: fill what is missing, change one thing and keep the rest."""

import argparse
from pathlib import Path
from typing import TypeVar

from diffusion_tutorial import pictures, progress
from diffusion_tutorial.cli.common import (
    UserError,
    check_file,
    check_w,
    denoiser,
    each_subject,
    guidance,
    seed,
    settled,
    weights,
)
from diffusion_tutorial.noise import Streams
from diffusion_tutorial.subjects import retouch

Read = TypeVar("Read", pictures.Picture, pictures.Mask)
INPAINT = {
    "cifar": """  diffusion-tutorial inpaint cifar dog.png --mask mask.png --weights runs/cifar/cifar.safetensors --label dog --out new.png
""",
    "folder": """  diffusion-tutorial inpaint folder my.png --mask mask.png --weights runs/folder/folder.safetensors --out new.png
""",
    "digits": """  diffusion-tutorial inpaint digits half.png --mask mask.png --label 3 --out three.png
      white in the mask is what to fill; the picture is square, of any size, white on black or ink on paper
""",
    "scenes": """  diffusion-tutorial inpaint scenes cat.png --mask head.png --prompt "a cat on the moon" --out cat2.png
  diffusion-tutorial inpaint scenes cat.png --mask head.png --method replace --seed 3 --out cat3.png
      without RePaint's resampling: ten times as fast, and it shows along the edge
""",
}
EDIT = {
    "cifar": """  diffusion-tutorial edit cifar dog.png --weights runs/cifar/cifar.safetensors --label dog --to cat --out cat.png
""",
    "folder": """  diffusion-tutorial edit folder my.png --weights runs/folder/folder.safetensors --label cats --to dogs --out dog.png
""",
    "digits": """  diffusion-tutorial edit digits three.png --label 3 --to 8 --out eight.png
""",
    "scenes": """  diffusion-tutorial edit scenes cat.png --prompt "a cat on the moon" --to "a dog on the moon" --out dog.png
  diffusion-tutorial edit scenes cat.png --prompt "a cat" --to "a dog" --mask cat-mask.png --strength 0.8 --out dog.png
      only where the mask is white; the rest comes back as it was. Without a mask the model finds out where
""",
}
SCALE = "guidance scale (default: %(default)g, 1 is none)"
ANYWHERE = "where to change (default: where the two conditions make the model guess differently)"
PAINTED = "painted is what is opaque, if some of it is transparent, else what is brighter: white on black is best"


def add(commands: argparse._SubParsersAction) -> None:
    """`inpaint` and `edit`, a part for each subject."""
    of = "fill in part of a picture by the model of {}".format
    parts = each_subject(commands, "inpaint", "fill in what is missing", INPAINT, _inpaint, lambda x: of(x.name))
    for subject, part in parts.items():
        _files(part, "where to fill", required=True)
        subject.condition.one_option(part, subject.condition.option, "what the picture should show (default: anything)")
        method = "repaint (default) goes back and forth, so that the new fits the old; replace does not"
        part.add_argument("--method", default="repaint", help=method)
        guidance(part, subject.walk.w, SCALE)

    change = "change a picture from what it shows to what it should show"
    parts = each_subject(commands, "edit", "change one thing, keep the rest", EDIT, _edit, lambda subject: change)
    for subject, part in parts.items():
        _files(part, ANYWHERE, required=False)
        subject.condition.one_option(part, subject.condition.option, "what the picture shows", required=True)
        subject.condition.one_option(part, "to", "what it should show", required=True)
        strength = "how far to go back towards static, 0 to 1: more changes more (default: %(default)g)"
        part.add_argument("--strength", type=float, default=retouch.STRENGTH, help=strength)
        guidance(part, subject.quick.w, SCALE)


def _files(part: argparse.ArgumentParser, mask: str, required: bool) -> None:
    part.add_argument("image", type=Path, metavar="IMAGE.png", help="a square picture of any size")
    part.add_argument(
        "--mask", type=Path, required=required, metavar="MASK.png", help=f"of the same size, painted {mask}; {PAINTED}"
    )
    weights(part)
    seed(part)
    kept = "the picture, as large as it came; a .png keeps every other pixel"
    part.add_argument("--out", type=Path, required=True, metavar="FILE.png", help=kept)


def _check(options: argparse.Namespace) -> None:
    check_file(options.out, (".png",))
    check_w(options.w)


def _inpaint(options: argparse.Namespace) -> int:
    subject = settled(options, options.subject)
    _check(options)
    if options.method not in retouch.METHODS:
        raise UserError(f"--method: expected repaint or replace, got {options.method}")
    wish = subject.condition.one(options, subject.condition.option)
    model = denoiser(options, subject)
    if wish:
        subject.condition.check(model.net, [wish], subject.condition.option)
    cond = subject.condition.encode(model.net, [wish]) if wish not in (None, "") else None
    picture = _told(pictures.read_picture(options.image, subject.shape))
    hole, mask, _ = _told(pictures.read_mask(options.mask, picture, subject.shape[1]))
    drawn = retouch.fill(model, picture.x0, mask, cond, options.method, options.w, options.seed)
    pictures.write_edited(options.out, picture, drawn, hole)
    print(f"filled {hole.mean():.0%} of {options.image}: {options.out}")
    return 0


def _edit(options: argparse.Namespace) -> int:
    subject = settled(options, options.subject)
    _check(options)
    if not 0 < options.strength <= 1:
        raise UserError(f"--strength: expected more than 0 (keep) and at most 1 (forget), got {options.strength}")
    condition, net = subject.condition, (model := denoiser(options, subject)).net
    conds = []
    for option in (condition.option, "to"):
        told = condition.one(options, option)
        condition.check(net, [told], option)
        conds.append(condition.encode(net, [told]))
    source, target = conds
    picture = _told(pictures.read_picture(options.image, subject.shape))
    if options.mask is None:
        mask = retouch.find_mask(model, picture.x0, source, target, Streams(options.seed, [0]))
        hole = pictures.widen(mask, picture)
    else:
        hole, mask, _ = _told(pictures.read_mask(options.mask, picture, subject.shape[1]))
    drawn = retouch.change(model, picture.x0, source, target, mask, options.w, options.strength)
    pictures.write_edited(options.out, picture, drawn, hole)
    print(f"changed {hole.mean():.0%} of {options.image}: {options.out}")
    return 0


def _told(read: Read) -> Read:
    """A picture or a mask; what a person would want to know of it is said."""
    for sentence in read.notes:
        progress.note(sentence)
    return read
