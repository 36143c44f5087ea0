"""The command `diffusion-tutorial`: train, sample, and ask what this machine can do. Used from lesson 05 on.

A user's mistake is answered with one line and exit code 2, an interruption with 130; never with a traceback.
"""

import argparse
import re
import sys
from pathlib import Path

from diffusion_tutorial import __version__

TRAIN_EXAMPLES = """examples:
  diffusion-tutorial train digits --budget 60s
      a minute with the 5,000 digits that come along: readable digits, most of the time
  diffusion-tutorial train digits --data full --budget 20000steps --out runs/long
      the full MNIST, a budget in steps; killed at any moment, the same command with --resume goes on exactly
  diffusion-tutorial train classifier --data full
      the judge that reads digits back
"""
SAMPLE_EXAMPLES = """examples:
  diffusion-tutorial sample digits --out digits.png
      a page of 100 digits, ten of each, from the weights that come along
  diffusion-tutorial sample digits --labels 2,4,1,2 --n 4 --steps 50 --seed 7 --out date.png
  diffusion-tutorial sample digits --sampler dpm++ --steps 15 --w 2 --out quick.png
      a second-order sampler needs few steps; guidance asks for clearer labels
  diffusion-tutorial sample digits --weights runs/digits/digits.safetensors --n 1000 --steps 100 --out mine.npz
      the arrays images, uint8 N x 28 x 28, and labels, int64 N (-1 where none was asked for)
"""


class UserError(Exception):
    """Something that the user can mend; its message is the one line that they see."""


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's) and return its exit code."""
    options = parser().parse_args(argv)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except (UserError, OSError, ValueError, RuntimeError) as problem:
        message = " ".join(str(problem).split()) or type(problem).__name__
        print(f"diffusion-tutorial: {message}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The command line; `--help` of each part shows examples."""
    top = argparse.ArgumentParser(prog="diffusion-tutorial", description="Train and sample the tutorial's models.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    raw = argparse.RawDescriptionHelpFormatter

    train = commands.add_parser("train", help="train a model", epilog=TRAIN_EXAMPLES, formatter_class=raw)
    train.add_argument("what", choices=["digits", "classifier"], help="the denoiser, or the judge that reads digits")
    train.add_argument("--data", choices=["full", "sample"], default="sample", help="MNIST, 60,000 or 5,000 digits")
    train.add_argument("--budget", default="120s", help="seconds of training, 120s, or steps, 2000steps")
    train.add_argument("--out", type=Path, metavar="DIR", help="folder for weights, card, checkpoint (runs/<what>)")
    train.add_argument("--seed", type=int, default=0, help="the same seed and steps give the same weights")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    train.add_argument("--width", type=int, default=32, help="features of the U-Net at 14 x 14 (a multiple of 8)")
    train.add_argument("--predict", choices=["v", "eps"], default="v", help="what the network's output means")
    train.add_argument("--batch", type=int, default=32, help="pictures in a step (32)")
    train.add_argument("--lr", type=float, default=4e-3, help="learning rate at its highest (0.004)")
    train.add_argument("--t-bias", type=float, default=2.0, help="1 draws every t equally often, 2 noisy ones more")
    train.add_argument("--compile", action="store_true", help="hand the network to torch.compile")
    train.add_argument("--evaluate", type=int, default=500, metavar="N", help="samples drawn and read back at the end")
    train.set_defaults(run=_train)

    sample = commands.add_parser("sample", help="draw pictures", epilog=SAMPLE_EXAMPLES, formatter_class=raw)
    sample.add_argument("what", choices=["digits"])
    sample.add_argument(
        "--weights", type=Path, metavar="FILE", help="your own weights (default: those that come along)"
    )
    sample.add_argument("--n", type=int, default=100, help="how many pictures (100)")
    sample.add_argument("--labels", default="balanced", help="0,1,2,... repeated in turn; balanced (default); none")
    _sampling(sample)
    sample.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .png page or an .npz of arrays")
    sample.set_defaults(run=_sample)

    doctor = commands.add_parser("doctor", help="what this machine has, what will be slow, what to do")
    doctor.set_defaults(run=_doctor)
    return top


def _sampling(command: argparse.ArgumentParser) -> None:
    """The options that say how to walk from static to a picture."""
    command.add_argument("--sampler", default="ddpm", metavar="NAME", help="ddpm (default), ddim, dpm++ or heun")
    command.add_argument("--steps", type=int, metavar="N", help="steps from t = 1000 to 0 (ddpm 1000, the others 20)")
    command.add_argument(
        "--spacing", default="trailing", help="of the steps: trailing, linspace, leading, logsnr, karras"
    )
    command.add_argument("--w", type=float, default=1.0, help="guidance scale: 1 is none, 2 to 4 obeys the label more")
    command.add_argument("--seed", type=int, default=0, help="the same seed draws the same pictures")


def _train(options: argparse.Namespace) -> int:
    steps, seconds = _budget(options.budget)
    if options.width < 8 or options.width % 8:
        raise UserError(f"--width: expected a multiple of 8, got {options.width}")
    if options.evaluate < 0:
        raise UserError(f"--evaluate: expected a number of samples, 0 or more, got {options.evaluate}")
    out = options.out or Path("runs") / options.what
    if out.exists() and not out.is_dir():
        raise UserError(f"--out: expected a folder, but {out} is a file")
    if options.resume and not (out / "checkpoint.safetensors").exists():
        raise UserError(
            f"--resume: there is no checkpoint in {out}; start without --resume, or name the folder by --out"
        )

    from diffusion_tutorial import recipes

    if options.what == "classifier":
        return recipes.train_classifier(out, options.data, steps, seconds, options.seed)
    settings = {name: getattr(options, name) for name in recipes.SETTINGS}
    return recipes.train_digits(
        out, settings, steps, seconds, resume=options.resume, compile=options.compile, evaluate=options.evaluate
    )


def _sample(options: argparse.Namespace) -> int:
    labels = _labels(options.labels, options.n)
    if options.out.suffix not in (".png", ".npz"):
        raise UserError(f"--out: expected a name that ends in .png or .npz, got {options.out}")
    if options.out.is_dir():
        raise UserError(f"--out: expected a file, but {options.out} is a folder")
    from diffusion_tutorial import pretrained, recipes

    walk = _walk(options)
    model = pretrained.read(options.weights) if options.weights else pretrained.load("digits")
    if not hasattr(model, "alpha_bar"):
        raise UserError(f"--weights: {options.weights} holds a classifier, expected a denoiser")
    drawn = recipes.draw_digits(model, labels, seed=options.seed, **walk)
    recipes.write_digits(options.out, drawn, labels)
    print(f"{options.n} digits in {options.out}")
    return 0


def _walk(options: argparse.Namespace) -> dict:
    """The options of `_sampling`, checked, as arguments of recipes.draw_digits."""
    from diffusion_tutorial import samplers

    steps = options.steps if options.steps is not None else 1000 if options.sampler == "ddpm" else 20
    if not 1 <= steps <= 1000:
        raise UserError(f"--steps: expected 1 to 1000, got {steps}")
    if options.sampler not in samplers.STEPS:
        raise UserError(f"--sampler: expected one of {', '.join(samplers.STEPS)}, got {options.sampler}")
    if options.spacing not in samplers.SPACINGS:
        raise UserError(f"--spacing: expected one of {', '.join(samplers.SPACINGS)}, got {options.spacing}")
    if not abs(options.w) <= 100:
        raise UserError(f"--w: expected a guidance scale from -100 to 100, got {options.w}")
    return {"sampler": options.sampler, "steps": steps, "spacing": options.spacing, "w": options.w}


def _doctor(options: argparse.Namespace) -> int:
    from diffusion_tutorial import doctor

    return doctor.report()


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


def _labels(text: str, n: int) -> list[int]:
    """The label of each of n pictures; -1 stands for none."""
    if n < 1:
        raise UserError(f"--n: expected at least 1 picture, got {n}")
    named = {"balanced": list(range(10)), "none": [-1]}
    try:
        cycle = named.get(text) or [int(part) for part in text.split(",")]
    except ValueError:
        cycle = []
    if not cycle or (text not in named and not all(0 <= label <= 9 for label in cycle)):
        raise UserError(f"--labels: expected digits with commas between, as 0,1,2, or balanced, or none; got {text}")
    return [cycle[i % len(cycle)] for i in range(n)]


if __name__ == "__main__":
    sys.exit(main())
