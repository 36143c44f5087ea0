"""`diffusion-tutorial train`: a denoiser, or a judge."""

import argparse
import re
from pathlib import Path

from diffusion_tutorial.cli.common import UserError, check_folder, command, seed

# what a training is made of unless you say otherwise
DIGITS = {"width": 32, "batch": 64, "lr": 4e-3, "t_bias": 2.0, "evaluate": 500}
SCENES = {"width": 96, "batch": 64, "lr": 2e-3, "t_bias": 1.5, "evaluate": 324}

TRAIN_DIGITS = """  diffusion-tutorial train digits --budget 60s
      a minute with the 5,000 digits that come along: readable digits, most of the time
  diffusion-tutorial train digits --data full --budget 20000steps --out runs/long
      the full MNIST, a budget in steps; killed at any moment, the same command with --resume goes on exactly
"""
TRAIN_CLASSIFIER = """  diffusion-tutorial train classifier --data full
      the judge that reads digits back
"""
TRAIN_SCENES = """  diffusion-tutorial train scenes --budget 20000steps --out runs/words
      pictures from sentences, learned from scenes that are drawn on the fly; --resume goes on after an interruption
  diffusion-tutorial train scenes --budget 200steps --width 16 --batch 16 --evaluate 0
      a small one, to see it run
"""
TRAIN_SCENE_CLASSIFIER = """  diffusion-tutorial train scene-classifier --budget 2000steps
      the judge that reads subject, thing and place of a scene
"""


def add(commands) -> None:
    """A command for each model that can be trained, with the options that it has."""
    every = TRAIN_DIGITS, TRAIN_CLASSIFIER, TRAIN_SCENES, TRAIN_SCENE_CLASSIFIER
    models = command(commands, "train", "train a model", *every).add_subparsers(metavar="MODEL", required=True)
    digits = command(models, "digits", "the denoiser of digits", TRAIN_DIGITS)
    _mnist(digits)
    _training(digits, "runs/digits")
    _network(digits)
    digits.set_defaults(run=_train_denoiser, model="digits", **DIGITS)

    classifier = command(models, "classifier", "the judge that reads digits", TRAIN_CLASSIFIER)
    _mnist(classifier)
    _training(classifier, "runs/classifier")
    classifier.set_defaults(run=_train_classifier, model="classifier")

    scenes = command(models, "scenes", "the denoiser of scenes: from a sentence to a picture", TRAIN_SCENES)
    _training(scenes, "runs/scenes")
    _network(scenes)
    scenes.set_defaults(run=_train_denoiser, model="scenes", **SCENES)

    judge = command(models, "scene-classifier", "the judge that reads scenes", TRAIN_SCENE_CLASSIFIER)
    _training(judge, "runs/scene-classifier")
    judge.set_defaults(run=_train_classifier, model="scene-classifier")


def _mnist(command: argparse.ArgumentParser) -> None:
    """The option that says which digits to train on."""
    text = "MNIST, 60,000 or 5,000 digits (%(default)s)"
    command.add_argument("--data", choices=["full", "sample"], default="sample", help=text)


def _training(command: argparse.ArgumentParser, out: str) -> None:
    """The options of every training."""
    command.add_argument("--budget", default="120s", help="seconds of training, 120s (default), or steps, 2000steps")
    command.add_argument("--out", type=Path, default=out, metavar="DIR", help="folder for what it makes (%(default)s)")
    command.add_argument("--seed", type=seed, default=0, help="the same seed and steps give the same weights, on a CPU")


def _network(command: argparse.ArgumentParser) -> None:
    """The options of a denoiser's training; the defaults that differ stand in DIGITS and SCENES."""
    command.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    width = "features of the U-Net, a multiple of 8 (%(default)s)"
    command.add_argument("--width", type=int, help=width)
    command.add_argument("--predict", choices=["v", "eps"], default="v", help="what the network's output means (v)")
    command.add_argument("--batch", type=int, help="pictures in a step (%(default)s)")
    command.add_argument("--lr", type=float, help="learning rate at its highest (%(default)s)")
    t_bias = "1 draws every t equally often, 2 noisy ones more (%(default)s)"
    command.add_argument("--t-bias", type=float, help=t_bias)
    command.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="auto",
        help="of the network's arithmetic; auto: bfloat16 where the hardware has it",
    )
    command.add_argument("--compile", action="store_true", help="hand the network to torch.compile")
    evaluate = "samples drawn and read back at the end (%(default)s)"
    command.add_argument("--evaluate", type=int, metavar="N", help=evaluate)


def _train_denoiser(options: argparse.Namespace) -> int:
    steps, seconds = _budget(options.budget)
    if options.width < 8 or options.width % 8:
        raise UserError(f"--width: expected a multiple of 8, got {options.width}")
    if options.evaluate < 0:
        raise UserError(f"--evaluate: expected a number of samples, 0 or more, got {options.evaluate}")
    check_folder(options.out)
    if options.resume and not (options.out / "checkpoint.safetensors").exists():
        raise UserError(
            f"--resume: there is no checkpoint in {options.out}; start without --resume, or name the folder by --out"
        )

    from diffusion_tutorial import recipes

    digits, scenes = (recipes.train_digits, recipes.DIGITS_SETTINGS), (recipes.train_scenes, recipes.SCENES_SETTINGS)
    train, names = {"digits": digits, "scenes": scenes}[options.model]
    settings = {name: getattr(options, name) for name in names}
    way = dict(resume=options.resume, compile=options.compile, evaluate=options.evaluate)
    return train(options.out, settings, steps, seconds, **way)


def _train_classifier(options: argparse.Namespace) -> int:
    steps, seconds = _budget(options.budget)
    check_folder(options.out)

    from diffusion_tutorial import recipes

    if options.model == "scene-classifier":
        return recipes.train_scene_classifier(options.out, steps, seconds, options.seed)
    return recipes.train_classifier(options.out, options.data, steps, seconds, options.seed)


def _budget(text: str) -> tuple[int | None, float | None]:
    """ "2000steps" as (2000, None), "120s" as (None, 120.0)."""
    number, unit = re.fullmatch(r"([0-9.]*)(.*)", text).groups()
    try:
        if unit == "steps" and int(number) > 0:
            return int(number), None
        if unit == "s" and float(number) > 0:
            return None, float(number)
    except ValueError:
        pass
    raise UserError(f"--budget: expected seconds as 120s or steps as 2000steps, got {text}")
