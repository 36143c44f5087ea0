"""`diffusion-tutorial sample`: draw digits or scenes."""

import argparse
import sys
from pathlib import Path

from diffusion_tutorial.cli.common import (
    OPENMOJI,
    SCENES_SPACING,
    SCENES_W,
    UserError,
    check_file,
    check_n,
    check_words,
    command,
    denoiser,
    guidance,
    sampling,
    walk,
    weights,
)

SAMPLE_DIGITS = """  diffusion-tutorial sample digits --out digits.png
      a page of 100 digits, ten of each, from the weights that come along
  diffusion-tutorial sample digits --labels 2,4,1,2 --n 4 --steps 50 --seed 7 --out date.png
  diffusion-tutorial sample digits --sampler dpm++ --steps 15 --w 1.5 --out quick.png
      a second-order sampler needs few steps; guidance asks for clearer labels
  diffusion-tutorial sample digits --weights runs/digits/digits.safetensors --n 1000 --steps 100 --out mine.npz
      the arrays images, uint8 N x 28 x 28, and labels, int64 N (-1 where none was asked for)
"""
SAMPLE_SCENES = """  diffusion-tutorial sample scenes --prompt "a cat wearing sunglasses on the moon" --out cat.png
      four pictures in a row, from the weights that come along
  diffusion-tutorial sample scenes --prompt "a cat playing guitar on Mars" --prompt "a robot in a field" --out two.png
      a row for each prompt; what a prompt leaves open, the model chooses
  diffusion-tutorial sample scenes --prompt "a dog on the beach" --negative "sunglasses" --w 6 --seed 3 --out dog.png
      further towards one prompt, and away from the other
  diffusion-tutorial sample scenes --prompt "" --n 100 --out any.npz
      whatever the model likes; the arrays images, uint8 N x 48 x 48 x 3, and prompts, N strings
"""


def add(commands) -> None:
    """A command for each model that draws, with the options that it has."""
    every = SAMPLE_DIGITS, SAMPLE_SCENES, OPENMOJI
    models = command(commands, "sample", "draw pictures", *every).add_subparsers(metavar="MODEL", required=True)
    digits = command(models, "digits", "draw digits", SAMPLE_DIGITS)
    digits.add_argument("--n", type=int, default=100, help="how many pictures (100)")
    digits.add_argument("--labels", default="balanced", help="0,1,2,... repeated in turn; balanced (default); none")
    sampling(digits)
    guidance(digits, 1.0)
    _where(digits)
    digits.set_defaults(run=_sample_digits)

    scenes = command(models, "scenes", "draw what a sentence says", SAMPLE_SCENES, OPENMOJI)
    scenes.add_argument("--prompt", action="append", metavar="TEXT", help="what to draw; again, for another row")
    scenes.add_argument("--negative", metavar="TEXT", help="what to move away from, in place of any picture")
    scenes.add_argument("--n", type=int, default=4, help="how many pictures of each prompt (4)")
    sampling(scenes, "dpm++")
    guidance(scenes, SCENES_W)
    _where(scenes)
    scenes.set_defaults(run=_sample_scenes, spacing=SCENES_SPACING)


def _where(command: argparse.ArgumentParser) -> None:
    """Where the weights come from and the pictures go to."""
    weights(command)
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .png page or an .npz of arrays")


def _sample_digits(options: argparse.Namespace) -> int:
    labels = _labels(options.labels, options.n)
    check_file(options.out)

    from diffusion_tutorial import recipes

    way = walk(options)
    model = denoiser(options)
    drawn = recipes.draw_digits(model, labels, seed=options.seed, **way)
    recipes.write_digits(options.out, drawn, labels)
    print(f"{options.n} digits in {options.out}")
    return 0


def _sample_scenes(options: argparse.Namespace) -> int:
    if not options.prompt:
        raise UserError('--prompt: say what to draw, for example --prompt "a cat wearing sunglasses on the moon"')
    if options.negative is not None and options.w == 1:
        raise UserError("--negative: it acts by guidance, and --w 1 is none; expected another --w, for example 4")
    check_n(options.n)
    check_file(options.out)

    from diffusion_tutorial import recipes

    way = walk(options)
    model = denoiser(options, "scenes")
    there_are_words = check_words(model.net.tokenizer, "prompt", options.prompt)
    check_words(model.net.tokenizer, "negative", [options.negative or ""])
    if not there_are_words:
        print("an empty prompt is unconditional: the model draws whatever it likes", file=sys.stderr)
    prompts = [prompt for prompt in options.prompt for _ in range(options.n)]
    drawn = recipes.draw_scenes(model, prompts, seed=options.seed, negative=options.negative, **way)
    recipes.write_scenes(options.out, drawn, prompts, each=options.n)
    print(f"{len(prompts)} scenes in {options.out}")
    return 0


def _labels(text: str, n: int) -> list[int]:
    """The label of each of n pictures; -1 stands for none."""
    check_n(n)
    named = {"balanced": list(range(10)), "none": [-1]}
    try:
        cycle = named.get(text) or [int(part) for part in text.split(",")]
    except ValueError:
        cycle = []
    if not cycle or (text not in named and not all(0 <= label <= 9 for label in cycle)):
        raise UserError(f"--labels: expected digits with commas between, as 0,1,2, or balanced, or none; got {text}")
    return [cycle[i % len(cycle)] for i in range(n)]
