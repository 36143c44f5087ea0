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
  diffusion-tutorial sample digits --sampler dpm++ --steps 15 --w 1.5 --out quick.png
      a second-order sampler needs few steps; guidance asks for clearer labels
  diffusion-tutorial sample digits --weights runs/digits/digits.safetensors --n 1000 --steps 100 --out mine.npz
      the arrays images, uint8 N x 28 x 28, and labels, int64 N (-1 where none was asked for)
"""
EVALUATE_EXAMPLES = """examples:
  diffusion-tutorial evaluate
      1000 digits from the weights that come along, drawn in 20 steps of dpm++, beside 1000 real ones
  diffusion-tutorial evaluate digits --sampler ddim --steps 10 --w 2 --seed 1 --json ddim.json
  diffusion-tutorial evaluate mine.npz --against full
      your own pictures: images, uint8 N x 28 x 28, and, if you like, labels (-1 for none), as `sample` writes them

the table: Frechet distance, the nearer to that of the real digits the better; how many are read back as their label;
precision, how many look real, and recall, how much of the real variety is drawn; the median distance to the nearest
training digit, and how many come nearer to one than 99 % of other real digits do (copies would stand out there).
The Frechet distance is over the features of this project's own judge: never compare it with the FID of a paper.
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
    train.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="auto",
        help="of the network's arithmetic; auto: bfloat16 where the hardware has it",
    )
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

    evaluate = commands.add_parser(
        "evaluate", help="how good are the pictures?", epilog=EVALUATE_EXAMPLES, formatter_class=raw
    )
    evaluate.add_argument("what", nargs="?", default="digits", help="digits, drawn now (default), or FILE.npz")
    evaluate.add_argument(
        "--against", metavar="REAL", help="full, sample or FILE.npz (default: full if MNIST is at hand, else sample)"
    )
    evaluate.add_argument("--n", type=int, help="how many pictures, at most 10000 (1000; of a file, all that fit)")
    evaluate.add_argument("--weights", type=Path, metavar="FILE", help="your own weights, for digits drawn now")
    _sampling(evaluate, "dpm++")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too, unrounded")
    drawing = ("weights", "sampler", "steps", "spacing", "w", "seed")
    evaluate.set_defaults(run=_evaluate, untouched={name: evaluate.get_default(name) for name in drawing})

    doctor = commands.add_parser("doctor", help="what this machine has, what will be slow, what to do")
    doctor.set_defaults(run=_doctor)
    return top


def _sampling(command: argparse.ArgumentParser, sampler: str = "ddpm") -> None:
    """The options that say how to walk from static to a picture."""
    command.add_argument("--sampler", default=sampler, help=f"ddpm, ddim, dpm++ or heun (default: {sampler})")
    command.add_argument("--steps", type=int, metavar="N", help="steps from t = 1000 to 0 (ddpm 1000, the others 20)")
    command.add_argument("--spacing", help="trailing (default; heun: karras), linspace, leading, logsnr or karras")
    command.add_argument("--w", type=float, default=1.0, help="guidance scale: 1 is none, 1.5 obeys the label more")
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
    from diffusion_tutorial import recipes

    walk = _walk(options)
    model = _denoiser(options)
    drawn = recipes.draw_digits(model, labels, seed=options.seed, **walk)
    recipes.write_digits(options.out, drawn, labels)
    print(f"{options.n} digits in {options.out}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from_file = options.what != "digits"
    touched = [name for name, default in options.untouched.items() if getattr(options, name) != default]
    if from_file and Path(options.what).suffix != ".npz":
        raise UserError(f"expected digits or a FILE.npz to evaluate, got {options.what}")
    if from_file and touched:
        raise UserError(f"--{touched[0]} says how to draw, but the pictures in {options.what} are drawn already")
    if options.against not in (None, "full", "sample") and Path(options.against).suffix != ".npz":
        raise UserError(f"--against: expected full, sample or a FILE.npz, got {options.against}")
    if options.json and options.json.is_dir():
        raise UserError(f"--json: expected a file, but {options.json} is a folder")
    from diffusion_tutorial import evaluation

    if from_file:
        return evaluation.report_file(Path(options.what), options.n, options.against, options.json)
    walk = _walk(options)
    name = str(options.weights or "those that come along")
    n = 1000 if options.n is None else options.n
    return evaluation.report_model(
        _denoiser(options), name, n, options.against, options.json, seed=options.seed, **walk
    )


def _denoiser(options: argparse.Namespace):
    """The model that --weights names, or the one that comes along."""
    from diffusion_tutorial import pretrained

    model = pretrained.read(options.weights) if options.weights else pretrained.load("digits")
    if not hasattr(model, "alpha_bar"):
        raise UserError(f"--weights: {options.weights} holds a classifier, expected a denoiser")
    return model


def _walk(options: argparse.Namespace) -> dict:
    """The options of `_sampling`, checked, as arguments of recipes.draw_digits."""
    from diffusion_tutorial import samplers

    steps = options.steps if options.steps is not None else 1000 if options.sampler == "ddpm" else 20
    if not 1 <= steps <= 1000:
        raise UserError(f"--steps: expected 1 to 1000, got {steps}")
    if options.sampler not in samplers.STEPS:
        raise UserError(f"--sampler: expected one of {', '.join(samplers.STEPS)}, got {options.sampler}")
    spacing = options.spacing or ("karras" if options.sampler == "heun" else "trailing")  # heun needs a gentle start
    if spacing not in samplers.SPACINGS:
        raise UserError(f"--spacing: expected one of {', '.join(samplers.SPACINGS)}, got {spacing}")
    if not abs(options.w) <= 100:
        raise UserError(f"--w: expected a guidance scale from -100 to 100, got {options.w}")
    return {"sampler": options.sampler, "steps": steps, "spacing": spacing, "w": options.w}


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
