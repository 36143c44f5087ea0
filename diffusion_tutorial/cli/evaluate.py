"""`diffusion-tutorial evaluate`: how good are the pictures?"""

import argparse
from pathlib import Path

from diffusion_tutorial.cli.common import (
    GUIDANCE,
    SCENES_SPACING,
    SCENES_W,
    UserError,
    denoiser,
    guidance,
    sampling,
    walk,
    weights,
)

DRAWN_NOW = {  # what can be drawn and measured now: whose model, how many, guidance scale (None: nothing to guide by)
    "digits": ("digits", 1000, 1.0),
    "scenes": ("scenes", 324, SCENES_W),
    "inpainting": ("digits", 50, None),
    "sdedit": ("scenes", 150, SCENES_W),
    "inversion": ("scenes", 20, SCENES_W),
    "edits": ("scenes", 100, SCENES_W),
}
WALKS = ("digits", "scenes")  # the others walk as their method says
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
  diffusion-tutorial evaluate inpainting --n 200 --json inpainting.json
      digits with a hole, small to large, filled by replacement and by RePaint, beside the true digits
  diffusion-tutorial evaluate sdedit --w 1
      rough block drawings redrawn at strength 0.1 to 0.9: how much is kept, how real it becomes
  diffusion-tutorial evaluate inversion
      scenes to static and back, in 10 to 200 steps, with and without guidance on the way back
  diffusion-tutorial evaluate edits --n 324 --weights mine.safetensors
      324 edits from caption to caption for each of subject, thing and place, without a mask and with one

the table of digits: Frechet distance, the nearer to that of the real digits the better; how many are read back as
their label; precision, how many look real, and recall, how much of the real variety is drawn; the median distance to
the nearest training digit, and how many come nearer to one than 99 % of other real digits do (copies would stand out).
The Frechet distance is over the features of this project's own judge: never compare it with the FID of a paper.

the table of scenes: in how many of 100 pictures a judge reads subject, thing and place back, and all three. The drawn
scenes, read by the same judge, are the ceiling. Below it, what was lost by other words, which combinations fail most,
and what was read instead. No training ever draws a held-out combination.

the tables of inpainting, sdedit, inversion and edits have a line for every way and size of change, among them what
nothing done and what a real picture would score. PSNR, in dB, tells how near two pictures are: 20 is a difference of a
tenth of the range, 40 of a hundredth. Each has a note that says how a number is counted.
"""


def add(commands) -> None:
    """One command for pictures that are drawn now and for those in a file."""
    raw = argparse.RawDescriptionHelpFormatter
    says = dict(help="how good are the pictures?", epilog=EVALUATE_EXAMPLES, formatter_class=raw)
    evaluate = commands.add_parser("evaluate", **says)
    evaluate.add_argument(
        "what",
        nargs="?",
        default="digits",
        metavar="WHAT",
        help=f"drawn now: {', '.join(DRAWN_NOW)} (default: digits); or pictures in a FILE.npz",
    )
    against = "of digits: full, sample or FILE.npz (default: full if MNIST is at hand, else sample)"
    evaluate.add_argument("--against", metavar="REAL", help=against)
    many = "how many pictures: digits 1000, at most 10000; scenes 324 for each wording; of a file, all that fit; "
    many += "inpainting 50, sdedit 150, inversion 20, edits 100 for each attribute"
    evaluate.add_argument("--n", type=int, help=many)
    weights(evaluate, "your own weights, for pictures drawn now")
    sampling(evaluate, "dpm++")
    guidance(evaluate, None, f"{GUIDANCE} (default: digits 1, scenes {SCENES_W:g})")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too, unrounded")
    drawing = ("weights", "sampler", "steps", "spacing", "w", "seed")
    evaluate.set_defaults(run=_evaluate, untouched={name: evaluate.get_default(name) for name in drawing})


def _evaluate(options: argparse.Namespace) -> int:
    from_file = options.what not in DRAWN_NOW
    touched = [name for name, default in options.untouched.items() if getattr(options, name) != default]
    if from_file and Path(options.what).suffix != ".npz":
        raise UserError(f"expected {', '.join(DRAWN_NOW)} or a FILE.npz to evaluate, got {options.what}")
    if from_file and touched:
        raise UserError(f"--{touched[0]} says how to draw, but the pictures in {options.what} are drawn already")
    if options.against not in (None, "full", "sample") and Path(options.against).suffix != ".npz":
        raise UserError(f"--against: expected full, sample or a FILE.npz, got {options.against}")
    if options.json and options.json.is_dir():
        raise UserError(f"--json: expected a file, but {options.json} is a folder")
    from diffusion_tutorial import evaluation

    kind = evaluation.kind(Path(options.what)) if from_file else options.what
    if kind != "digits" and options.against:
        beside = "; scenes are measured against drawn ones" if kind == "scenes" else ""
        raise UserError(f"--against: it is for digits{beside}, so leave it out")
    room, beside = getattr(evaluation, kind), {"against": options.against} if kind == "digits" else {}
    if from_file:
        return room.report_file(Path(options.what), options.n, out=options.json, **beside)
    of, n, w = DRAWN_NOW[kind]
    _refuse(kind, touched, w)
    options.w = w if options.w is None else options.w
    if kind == "scenes":
        options.spacing = options.spacing or SCENES_SPACING
    if w is not None:
        how = walk(options)
        beside |= how if kind in WALKS else {"w": how["w"]}
    name = str(options.weights or "those that come along")
    n = n if options.n is None else options.n
    return room.report_model(denoiser(options, of), name, n, out=options.json, seed=options.seed, **beside)


def _refuse(kind: str, touched: list[str], w: float | None) -> None:
    """No option is taken that would change nothing."""
    for name in touched:
        if name in ("sampler", "steps", "spacing") and kind not in WALKS:
            raise UserError(f"--{name}: it is for digits and scenes; {kind} walks as its method says, so leave it out")
        if name == "w" and w is None:
            raise UserError(f"--w: {kind} tells the model no label, so there is nothing to guide by; leave it out")
