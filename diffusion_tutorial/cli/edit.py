"""`diffusion-tutorial inpaint` and `edit`: fill what is missing, change one thing and keep the rest."""

import argparse
from pathlib import Path

from diffusion_tutorial.cli.common import (
    OPENMOJI,
    SCENES_W,
    UserError,
    check_w,
    check_words,
    command,
    denoiser,
    guidance,
    seed,
    weights,
)

INPAINT_DIGITS = """  diffusion-tutorial inpaint digits half.png --mask mask.png --label 3 --out three.png
      white in the mask is what to fill; the picture is white on black, square, of any size
"""
INPAINT_SCENES = """  diffusion-tutorial inpaint scenes cat.png --mask head.png --prompt "a cat on the moon" --out cat2.png
  diffusion-tutorial inpaint scenes cat.png --mask head.png --method replace --seed 3 --out cat3.png
      without RePaint's resampling: ten times as fast, and it shows along the edge
"""
EDIT_SCENES = """  diffusion-tutorial edit scenes cat.png --prompt "a cat on the moon" --to "a dog on the moon" --out dog.png
  diffusion-tutorial edit scenes cat.png --prompt "a cat" --to "a dog" --mask cat-mask.png --strength 0.8 --out dog.png
      only where the mask is white; the rest comes back as it was. Without a mask the model finds out where
"""
SCALE = "guidance scale (default: %(default)g, 1 is none)"


def add(commands) -> None:
    """`inpaint` for both models, `edit` for the one that reads."""
    every = INPAINT_DIGITS, INPAINT_SCENES, OPENMOJI
    models = command(commands, "inpaint", "fill in what is missing", *every).add_subparsers(
        metavar="MODEL", required=True
    )
    for name, examples in (("digits", (INPAINT_DIGITS,)), ("scenes", (INPAINT_SCENES, OPENMOJI))):
        inpaint = command(models, name, f"fill in part of a picture by the model of {name}", *examples)
        _files(inpaint, required=True)
        if name == "digits":
            inpaint.add_argument("--label", type=int, help="which digit it should become (default: any)")
        else:
            inpaint.add_argument(
                "--prompt", metavar="TEXT", help="what the whole picture should show (default: anything)"
            )
        method = "repaint (default) goes back and forth, so that the new fits the old; replace does not"
        inpaint.add_argument("--method", default="repaint", help=method)
        guidance(inpaint, 1.0 if name == "digits" else SCENES_W, SCALE)
        inpaint.set_defaults(run=_inpaint, model=name)

    every = EDIT_SCENES, OPENMOJI
    models = command(commands, "edit", "change one thing, keep the rest", *every)
    models = models.add_subparsers(metavar="MODEL", required=True)
    edit = command(models, "scenes", "change a picture from what it shows to what it should show", *every)
    _files(edit, required=False)
    edit.add_argument("--prompt", required=True, metavar="TEXT", help="what the picture shows")
    edit.add_argument("--to", required=True, metavar="TEXT", help="what it should show")
    strength = "how far to go back towards static, 0 to 1: more changes more (default: 1)"
    edit.add_argument("--strength", type=float, default=1.0, help=strength)
    guidance(edit, SCENES_W, SCALE)
    edit.set_defaults(run=_edit)


def _files(part: argparse.ArgumentParser, required: bool) -> None:
    part.add_argument("image", type=Path, metavar="IMAGE.png", help="a square picture of any size")
    found = "white where to change (default: where the two prompts make the model guess differently)"
    mask = "of the same size: " + ("white where to fill" if required else found)
    part.add_argument("--mask", type=Path, required=required, metavar="MASK.png", help=mask)
    weights(part)
    part.add_argument("--seed", type=seed, default=0, help="the same seed draws the same picture (default: 0)")
    part.add_argument("--out", type=Path, required=True, metavar="FILE.png", help="the picture, as large as it came")


def _check(options: argparse.Namespace) -> None:
    if options.out.suffix != ".png":
        raise UserError(f"--out: expected a name that ends in .png, got {options.out}")
    if options.out.is_dir():
        raise UserError(f"--out: expected a file, but {options.out} is a folder")
    check_w(options.w)


def _inpaint(options: argparse.Namespace) -> int:
    _check(options)
    if options.method not in ("repaint", "replace"):
        raise UserError(f"--method: expected repaint or replace, got {options.method}")
    if options.model == "digits" and options.label is not None and not 0 <= options.label <= 9:
        raise UserError(f"--label: expected a digit from 0 to 9, got {options.label}")
    import torch

    from diffusion_tutorial.recipes import editing as recipe

    model = denoiser(options, options.model)
    if options.model == "digits":
        cond = None if options.label is None else torch.tensor([options.label])
    else:
        check_words(model.net.tokenizer, "prompt", [options.prompt or ""])
        cond = model.net.tokenizer([options.prompt]) if options.prompt else None
    picture = recipe.read_picture(options.image, model.net.shape)
    hole, mask = recipe.read_mask(options.mask, picture, model.net.shape[1])
    drawn = recipe.inpaint_file(model, picture, mask, cond, options.method, options.w, options.seed)
    recipe.write_edited(options.out, picture, drawn, hole)
    print(f"filled {hole.mean():.0%} of {options.image}: {options.out}")
    return 0


def _edit(options: argparse.Namespace) -> int:
    _check(options)
    if not 0 < options.strength <= 1:
        raise UserError(f"--strength: expected more than 0 (keep) and at most 1 (forget), got {options.strength}")
    from diffusion_tutorial.recipes import editing as recipe

    model = denoiser(options, "scenes")
    check_words(model.net.tokenizer, "prompt", [options.prompt])
    check_words(model.net.tokenizer, "to", [options.to])
    picture = recipe.read_picture(options.image, model.net.shape)
    prompts = [options.prompt], [options.to]
    if options.mask is None:
        mask = recipe.find_mask(model, picture.x0, prompts, options.seed)
        hole = recipe.widen(mask, picture)
    else:
        hole, mask = recipe.read_mask(options.mask, picture, model.net.shape[1])
    drawn = recipe.edit_scenes(model, picture.x0, prompts, mask, options.strength, options.w)
    recipe.write_edited(options.out, picture, drawn, hole)
    print(f"changed {hole.mean():.0%} of {options.image}: {options.out}")
    return 0
