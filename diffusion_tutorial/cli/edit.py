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
    weights,
)
from diffusion_tutorial.noise import Streams
from diffusion_tutorial.subjects import retouch

Read = TypeVar("Read", pictures.Picture, pictures.Mask)
SCALE = "guidance scale (default: %(default)g, 1 is none)"
ANYWHERE = "where to change (default: where the two conditions make the model guess differently)"
PAINTED = "painted is what is opaque, if some of it is transparent, else what is brighter: white on black is best"


def add(commands: argparse._SubParsersAction) -> None:
    """`inpaint` and `edit`, a part for each subject."""
    of = "fill in part of a picture by the model of {}".format
    parts = each_subject(commands, "inpaint", "fill in what is missing", _inpaint, lambda x: of(x.name))
    for subject, part in parts.items():
        _files(part, "where to fill", required=True)
        subject.condition.one_option(part, subject.condition.option, "what the picture should show (default: anything)")
        method = "repaint (default) goes back and forth, so that the new fits the old; replace does not"
        part.add_argument("--method", default="repaint", help=method)
        guidance(part, subject.walk.w, SCALE)

    change = "change a picture from what it shows to what it should show"
    parts = each_subject(commands, "edit", "change one thing, keep the rest", _edit, lambda subject: change)
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
    model = denoiser(options, options.subject)
    subject = options.subject.of(model)
    _check(options)
    if options.method not in retouch.METHODS:
        raise UserError(f"--method: expected repaint or replace, got {options.method}")
    wish = subject.condition.one(options, subject.condition.option)
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
    model = denoiser(options, options.subject)
    subject = options.subject.of(model)
    _check(options)
    if not 0 < options.strength <= 1:
        raise UserError(f"--strength: expected more than 0 (keep) and at most 1 (forget), got {options.strength}")
    condition, net = subject.condition, model.net
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
