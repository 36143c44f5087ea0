"""What the commands share: options, checks of what the user gave, and the error for what the user can mend."""

import argparse
import sys
from pathlib import Path

SCENES_W, SCENES_SPACING = 3.0, "karras"  # W and SPACING of recipes.scenes, which is slow to import
OPENMOJI = "\nThe faces and things in the pictures are by OpenMoji (https://openmoji.org), CC BY-SA 4.0.\n"
GUIDANCE = "guidance scale: 1 is none, more obeys label or prompt more"


SEEDS = 2**63  # a seed is below it


class UserError(Exception):
    """Something that the user can mend; its message is the one line that they see."""


def command(commands, name: str, says: str, *examples: str) -> argparse.ArgumentParser:
    """A command that shows examples under --help."""
    text = "examples:\n" + "".join(examples)
    raw = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=says, description=says, epilog=text, formatter_class=raw)


def weights(command: argparse.ArgumentParser, says: str = "your own weights (default: those that come along)") -> None:
    """Which weights to draw with."""
    command.add_argument("--weights", type=Path, metavar="FILE", help=says)


def guidance(
    command: argparse.ArgumentParser, default: float | None, says: str = f"{GUIDANCE} (default: %(default)g)"
) -> None:
    """How much the label or the prompt counts."""
    command.add_argument("--w", type=float, default=default, help=says)


def sampling(command: argparse.ArgumentParser, sampler: str = "ddpm") -> None:
    """The options that say how to walk from static to a picture."""
    command.add_argument("--sampler", default=sampler, help=f"ddpm, ddim, dpm++ or heun (default: {sampler})")
    command.add_argument("--steps", type=int, metavar="N", help="steps from t = 1000 to 0 (ddpm 1000, the others 20)")
    command.add_argument(
        "--spacing", help="trailing (default; scenes and heun: karras), linspace, leading, logsnr or karras"
    )
    command.add_argument("--seed", type=seed, default=0, help="the same seed draws the same pictures")


def seed(text: str) -> int:
    """The type of every --seed: a whole number that a generator takes."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < SEEDS:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {SEEDS - 1}, got {text}")
    return number


def denoiser(options: argparse.Namespace, of: str = "digits"):
    """The model of digits or of scenes that --weights names, or the one that comes along."""
    from diffusion_tutorial import pretrained

    if options.weights is None:
        return pretrained.load(of)
    model = pretrained.read(options.weights)
    kinds = {"digits": "denoiser", "scenes": "text denoiser"}
    holds = [
        name for name, kind in kinds.items() if isinstance(getattr(model, "net", None), pretrained.DENOISERS[kind])
    ]
    if holds != [of]:
        found = f"a denoiser of {holds[0]}" if holds else "a classifier"
        raise UserError(f"--weights: {options.weights} holds {found}, expected a denoiser of {of}")
    return model


def walk(options: argparse.Namespace) -> dict:
    """The options of `sampling` and `guidance`, checked, as arguments of recipes.draw_digits and draw_scenes."""
    from diffusion_tutorial import samplers

    steps = options.steps if options.steps is not None else 1000 if options.sampler == "ddpm" else 20
    if not 1 <= steps <= 1000:
        raise UserError(f"--steps: expected 1 to 1000, got {steps}")
    if options.sampler not in samplers.STEPS:
        raise UserError(f"--sampler: expected one of {', '.join(samplers.STEPS)}, got {options.sampler}")
    spacing = options.spacing or ("karras" if options.sampler == "heun" else "trailing")  # heun needs a gentle start
    if spacing not in samplers.SPACINGS:
        raise UserError(f"--spacing: expected one of {', '.join(samplers.SPACINGS)}, got {spacing}")
    check_w(options.w)
    return {"sampler": options.sampler, "steps": steps, "spacing": spacing, "w": options.w}


def check_n(n: int) -> None:
    """At least one picture."""
    if n < 1:
        raise UserError(f"--n: expected at least 1 picture, got {n}")


def check_w(w: float) -> None:
    """A guidance scale that a picture can bear."""
    if not abs(w) <= 100:
        raise UserError(f"--w: expected a guidance scale from -100 to 100, got {w}")


def check_words(tokenizer, option: str, captions: list[str]) -> bool:
    """Whether there is a word in every caption; a line for what is not taken as typed. Before anything slow begins."""
    try:
        tokenizer(captions)
        understood = [tokenizer.understand(caption) for caption in captions]
    except ValueError as problem:
        raise UserError(f"--{option}: {problem}") from problem
    for note in dict.fromkeys(note for _, notes in understood for note in notes):
        print(f"--{option}: {note}", file=sys.stderr)
    return all(words for words, _ in understood)


def check_folder(out: Path) -> None:
    """A folder, or nothing yet."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out: expected a folder, but {out} is a file")


def check_file(out: Path) -> None:
    """A name for a page of pictures or for arrays."""
    if out.suffix not in (".png", ".npz"):
        raise UserError(f"--out: expected a name that ends in .png or .npz, got {out}")
    if out.is_dir():
        raise UserError(f"--out: expected a file, but {out} is a folder")
