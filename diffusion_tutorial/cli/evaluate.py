"""`diffusion-tutorial evaluate`: how good are the pictures?"""

import argparse
from pathlib import Path

from diffusion_tutorial.cli.common import SCENES_SPACING, SCENES_W, UserError, denoiser, sampling, walk

EVALUATE_EXAMPLES = """examples:
  diffusion-tutorial evaluate
      1000 digits from the weights that come along, drawn in 20 steps of dpm++, beside 1000 real ones
  diffusion-tutorial evaluate digits --sampler ddim --steps 10 --w 2 --seed 1 --json ddim.json
  diffusion-tutorial evaluate mine.npz --against full
      your own pictures: images, uint8 N x 28 x 28, and, if you like, labels (-1 for none), as `sample` writes them
  diffusion-tutorial evaluate scenes
      each of the 324 held-out combinations in plain words and reworded, beside as many really drawn scenes
  diffusion-tutorial evaluate scenes --n 6480 --json scenes.json
      20 samples of each
  diffusion-tutorial evaluate scenes.npz
      your own scenes: images, uint8 N x 48 x 48 x 3, and prompts, as `sample scenes` writes them

the table of digits: Frechet distance, the nearer to that of the real digits the better; how many are read back as
their label; precision, how many look real, and recall, how much of the real variety is drawn; the median distance to
the nearest training digit, and how many come nearer to one than 99 % of other real digits do (copies would stand out).
The Frechet distance is over the features of this project's own judge: never compare it with the FID of a paper.

the table of scenes: in how many of 100 pictures a judge reads subject, thing and place back, and all three. The drawn
scenes, read by the same judge, are the ceiling. Below it, what was lost by other words, which combinations fail most,
and what was read instead. No training ever draws a held-out combination.
"""


def add(commands) -> None:
    """One command for pictures that are drawn now and for those in a file."""
    raw = argparse.RawDescriptionHelpFormatter
    says = dict(help="how good are the pictures?", epilog=EVALUATE_EXAMPLES, formatter_class=raw)
    evaluate = commands.add_parser("evaluate", **says, conflict_handler="resolve")  # the second --w stands
    evaluate.add_argument(
        "what", nargs="?", default="digits", help="digits (default) or scenes, drawn now, or FILE.npz"
    )
    against = "of digits: full, sample or FILE.npz (default: full if MNIST is at hand, else sample)"
    evaluate.add_argument("--against", metavar="REAL", help=against)
    many = "how many pictures: digits 1000, at most 10000; scenes 324 for each wording; of a file, all that fit"
    evaluate.add_argument("--n", type=int, help=many)
    evaluate.add_argument("--weights", type=Path, metavar="FILE", help="your own weights, for pictures drawn now")
    sampling(evaluate, "dpm++")
    guidance = f"guidance scale: 1 is none, more obeys label or prompt more (default: digits 1, scenes {SCENES_W:g})"
    evaluate.add_argument("--w", type=float, help=guidance)
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too, unrounded")
    drawing = ("weights", "sampler", "steps", "spacing", "w", "seed")
    evaluate.set_defaults(run=_evaluate, untouched={name: evaluate.get_default(name) for name in drawing})


def _evaluate(options: argparse.Namespace) -> int:
    from_file = options.what not in ("digits", "scenes")
    touched = [name for name, default in options.untouched.items() if getattr(options, name) != default]
    if from_file and Path(options.what).suffix != ".npz":
        raise UserError(f"expected digits, scenes or a FILE.npz to evaluate, got {options.what}")
    if from_file and touched:
        raise UserError(f"--{touched[0]} says how to draw, but the pictures in {options.what} are drawn already")
    if options.against not in (None, "full", "sample") and Path(options.against).suffix != ".npz":
        raise UserError(f"--against: expected full, sample or a FILE.npz, got {options.against}")
    if options.json and options.json.is_dir():
        raise UserError(f"--json: expected a file, but {options.json} is a folder")
    from diffusion_tutorial import evaluation

    kind = evaluation.kind(Path(options.what)) if from_file else options.what
    if kind == "scenes" and options.against:
        raise UserError("--against: it is for digits; scenes are measured against drawn ones, so leave it out")
    room, beside = getattr(evaluation, kind), {"against": options.against} if kind == "digits" else {}
    if from_file:
        return room.report_file(Path(options.what), options.n, out=options.json, **beside)
    n, w = {"digits": (1000, 1.0), "scenes": (324, SCENES_W)}[kind]
    options.w = w if options.w is None else options.w
    if kind == "scenes":
        options.spacing = options.spacing or SCENES_SPACING
    beside |= walk(options)
    name = str(options.weights or "those that come along")
    n = n if options.n is None else options.n
    return room.report_model(denoiser(options, kind), name, n, out=options.json, seed=options.seed, **beside)
