"""What the commands share: options, and checks of what the user gave."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from diffusion_tutorial import files, pictures, pretrained, samplers, subjects
from diffusion_tutorial.models.gan import Gan
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import Subject, Trainable

OPENMOJI = "\nThe faces and things in the pictures of scenes are by OpenMoji (https://openmoji.org), CC BY-SA 4.0.\n"
GUIDANCE = "guidance scale: 1 is none, more obeys label or prompt more"
CANNOT = "which draws a whole picture in one call and cannot fill in or change one that is there"
STEPS, ANCESTRAL = 20, 1000  # where neither the user nor the subject says how many


class UserError(Exception):
    """Something that the user can mend; its message is the one line that they see."""


def command(
    commands: Any, name: str, says: str, *examples: str, run: Callable | None = None, **defaults: Any
) -> argparse.ArgumentParser:
    """A command that shows examples under --help, and what runs it."""
    text = "examples:\n" + "".join(examples)
    raw = argparse.RawDescriptionHelpFormatter
    made = commands.add_parser(name, help=says, description=says, epilog=text, formatter_class=raw)
    made.set_defaults(run=run, **defaults)
    return made


def each_subject(
    commands: Any, name: str, says: str, run: Callable, of: Callable[[Subject], str]
) -> dict[Subject, argparse.ArgumentParser]:
    """A command with a part for each subject; `of` says its line of help."""
    every = subjects.every()
    group = command(commands, name, says, *shown(every.values(), name), OPENMOJI)
    models = group.add_subparsers(metavar="SUBJECT", required=True)
    return {
        subject: command(models, key, of(subject), *shown([subject], name), OPENMOJI, run=run, subject=subject)
        for key, subject in every.items()
    }


def shown(every: Iterable[Trainable], command: str) -> list[str]:
    """Examples of a command, by each of them that has some."""
    return [what.examples[command] for what in every if command in what.examples]


def weights(command: argparse.ArgumentParser, says: str = "another shipped model, or your own weights") -> None:
    """Which weights to draw with."""
    command.add_argument("--weights", metavar="NAME|FILE", help=says)


def guidance(command: argparse.ArgumentParser, default: float | None, says: str = f"{GUIDANCE} (%(default)g)") -> None:
    """How much the label or the prompt counts."""
    command.add_argument("--w", type=float, default=default, help=says)


def seed(command: argparse.ArgumentParser) -> None:
    """Where the random numbers begin."""
    says = "picture i of a seed is always the same, however many are drawn (default: %(default)s)"
    command.add_argument("--seed", type=_seed, default=0, help=says)


def _seed(text: str) -> int:
    try:
        number = int(text)
    except ValueError:  # no number, or one of thousands of digits
        number = -1
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {2**63 - 1}, got {text}")
    return number


def sampling(command: argparse.ArgumentParser, walk: Walk | None) -> None:
    """The options that say how to walk from static to a picture; their defaults are those of `walk`, if there is one."""
    named = ", ".join(samplers.STEPS)
    as_usual = f" ({walk.sampler})" if walk else ""
    command.add_argument("--sampler", help=f"{named}{as_usual}")
    usual = f"{walk.sampler} {walk.steps}, else " if walk else ""
    says = f"steps from t = 1000 to 0 ({usual}ddpm {ANCESTRAL}, the others {STEPS})"
    command.add_argument("--steps", type=int, metavar="N", help=says)
    spacing = f"{', '.join(samplers.SPACINGS)} ({walk.spacing if walk else 'as the subject has it'}; heun: karras)"
    command.add_argument("--spacing", help=spacing)


def how(options: argparse.Namespace, usual: Walk) -> Walk:
    """The options of `sampling` and `guidance`, checked; what is not said is as usual."""
    sampler = usual.sampler if options.sampler is None else options.sampler
    if sampler not in samplers.STEPS:
        raise UserError(f"--sampler: expected one of {', '.join(samplers.STEPS)}, got {sampler}")
    by_itself = usual.steps if sampler == usual.sampler else ANCESTRAL if sampler == "ddpm" else STEPS
    steps = by_itself if options.steps is None else options.steps
    if not 1 <= steps <= 1000:
        raise UserError(f"--steps: expected 1 to 1000, got {steps}")
    spacing = options.spacing or ("karras" if sampler == "heun" else usual.spacing)  # heun needs a gentle start
    if spacing not in samplers.SPACINGS:
        raise UserError(f"--spacing: expected one of {', '.join(samplers.SPACINGS)}, got {spacing}")
    return Walk(sampler, steps, spacing, check_w(usual.w if options.w is None else options.w))


def suited(model: Denoiser | Gan, usual: Walk) -> Walk:
    """The usual walk, with the sampler and the number of steps that the model names for itself, if it does."""
    own = getattr(model, "walk", None)
    return usual if own is None else replace(usual, sampler=own[0], steps=own[1])


def _named(options: argparse.Namespace, subject: Subject) -> Denoiser | Gan:
    """The subject's model that --weights names, or the one that comes along; refused if of something else."""
    if options.weights is None:
        if subject.name not in pretrained.SHIPPED:
            train = " ".join(["train", subject.command, *(place.upper() for place in subject.positions)])
            made = f"train them by `diffusion-tutorial {train}`, and name them by --weights"
            raise UserError(f"--weights: none come along for {subject.name}; {made}")
        return pretrained.denoiser(subject.name)
    model = pretrained.named(options.weights)
    if not isinstance(model, Denoiser | Gan) or not subject.fits(model):
        raise UserError(f"--weights: {options.weights} holds {_holds(model)}, expected {_wanted(subject)}")
    return model


def drawer(options: argparse.Namespace, subject: Subject) -> Denoiser | Gan:
    """What draws the subject. A GAN draws in one call, so with it no option is taken that says how to walk back or to guide."""
    model = _named(options, subject)
    for option in ("sampler", "steps", "spacing", "w", "negative") if isinstance(model, Gan) else ():
        usual = subject.walk.w if option == "w" else None
        if getattr(options, option, None) not in (None, usual):
            raise UserError(
                f"--{option}: {options.weights} is a GAN, which draws in one call, without a walk; leave it out"
            )
    return model


def denoiser(options: argparse.Namespace, subject: Subject) -> Denoiser:
    """The subject's denoiser: only that can fill in or change a picture."""
    model = _named(options, subject)
    if isinstance(model, Gan):
        raise UserError(f"--weights: {options.weights} is a GAN, {CANNOT}; expected a denoiser of {subject.name}")
    return model


def _holds(model: nn.Module) -> str:
    """What was found in a file of weights, in words."""
    if not isinstance(model, Denoiser | Gan):
        return "a classifier"
    of = [other.name for other in subjects.every().values() if other.fits(model)]
    return f"a {'GAN' if isinstance(model, Gan) else 'denoiser'} of {of[0] if of else 'other pictures'}"


def _wanted(subject: Subject) -> str:
    """Which weights the subject takes, and how to come by them."""
    along = "; leave --weights out for the one that comes along" if subject.name in pretrained.SHIPPED else ""
    return f"a denoiser of {subject.name}, as `train {subject.command}` makes it{along}"


def check_w(w: float) -> float:
    """A guidance scale that a picture can bear."""
    if not abs(w) <= 100:
        raise UserError(f"--w: expected a guidance scale from -100 to 100, got {w}")
    return w


def check_folder(out: Path) -> None:
    """A folder, or nothing yet."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out: expected a folder, but {out} is a file")


def check_file(out: Path, suffixes: tuple[str, ...] = (".png", ".npz")) -> None:
    """A name for a file: for a page of pictures or for arrays, or for what else is asked for."""
    try:
        pictures.check_out(out, suffixes)
    except files.BadFile as problem:
        raise UserError(f"--out: {problem}") from None
