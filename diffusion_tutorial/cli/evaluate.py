"""`diffusion-tutorial evaluate`: how good are the pictures?"""

import argparse
from pathlib import Path

from diffusion_tutorial import evaluation, subjects
from diffusion_tutorial.cli.common import (
    GUIDANCE,
    UserError,
    command,
    denoiser,
    drawer,
    guidance,
    how,
    sampling,
    seed,
    shown,
    suited,
    weights,
)
from diffusion_tutorial.subjects.base import Evaluation, Nobody

DRAWING = ("weights", "sampler", "steps", "spacing", "w", "seed")  # the options that say how to draw
FIRST = """  diffusion-tutorial evaluate
      1000 digits from the weights that come along, drawn in 20 steps of dpm++, beside 1000 real ones
"""
TABLES = """
the table of digits: Frechet distance, the nearer to that of the real digits the better; how many are read back as
their label; precision, how many look real, and recall, how much of the real variety is drawn; the median distance to
the nearest training digit, and how many come nearer to one than 99 % of other real digits do (copies would stand out).
The Frechet distance is over the features of this project's own judge: never compare it with the FID of a paper.

of cifar the same; without a judge, only the distances. Of folder: the share of samples that are copies, nearer to one picture
of the training, against the next ones, than pictures that were held out.

the table of scenes: in how many of 100 pictures a judge reads subject, thing and place back, and all three. The drawn
scenes, read by the same judge, are the ceiling. A second table says how cleanly they are drawn: the grain, how far
pixels lie from the mean of their neighbours, and the Frechet distance over that judge's features, the nearer to those
of drawn scenes the better. Below it, what was lost by other words, which combinations fail most, and what was read
instead. No training ever draws a held-out combination.

the tables of inpainting, sdedit, inversion and edits have a line for every way and size of change, among them what
nothing done and what a real picture would score. PSNR, in dB, tells how near two pictures are: 20 is a difference of a
tenth of the range, 40 of a hundredth. Each has a note that says how a number is counted.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """One command for pictures that are drawn now and for those in a file."""
    examples = shown(subjects.every().values(), "evaluate")
    evaluate = command(commands, "evaluate", "how good are the pictures?", FIRST, *examples, TABLES, run=_evaluate)
    every = {name: x for name, (_, x) in evaluation.every().items()}
    evaluate.add_argument(
        "what",
        nargs="?",
        default="digits",
        metavar="WHAT",
        help=f"drawn now: {', '.join(every)} (default: digits); or pictures in a FILE.npz",
    )
    against = (
        "real pictures for a subject with labels: a set by name, of digits full or sample, a FILE.npz or a folder (default: "
        "the best that is at hand; folder: the one that the model was trained on)"
    )
    evaluate.add_argument("--against", metavar="REAL", help=against)
    judge = "weights of a judge to read with (default: the one that comes along, if any)"
    evaluate.add_argument("--judge", type=Path, metavar="FILE", help=judge)
    many = ", ".join(f"{name} {x.n}{x.says and ' ' + x.says}" for name, x in every.items())
    evaluate.add_argument("--n", type=int, help=f"how many pictures: {many}; of a file, all that fit")
    weights(evaluate, "another shipped model, or your own weights, for pictures drawn now")
    sampling(evaluate, None)
    seed(evaluate)
    guidance(evaluate, None, f"{GUIDANCE} (default: as the subject has it)")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too, unrounded")
    evaluate.set_defaults(untouched={name: evaluate.get_default(name) for name in DRAWING})


def _evaluate(options: argparse.Namespace) -> int:
    every = evaluation.every()
    from_file = options.what not in every
    touched = [name for name, default in options.untouched.items() if getattr(options, name) != default]
    if from_file and Path(options.what).suffix.lower() != ".npz":
        raise UserError(f"expected {', '.join(every)} or a FILE.npz to evaluate, got {options.what}")
    if from_file and touched:
        raise UserError(f"--{touched[0]} says how to draw, but the pictures in {options.what} are drawn already")
    if options.json and options.json.is_dir():
        raise UserError(f"--json: expected a file, but {options.json} is a folder")
    name = evaluation.of_file(Path(options.what)) if from_file else options.what
    subject, found = every[name]
    if options.against and not found.against:
        raise UserError(
            f"--against: {name} {'are' if name.endswith('s') else 'is'} not measured against a set of real pictures; leave "
            "it out"
        )
    if options.judge and isinstance(subject.judge, Nobody):
        raise UserError(f"--judge: no judge can read pictures of {subject.name}; leave it out")
    subject = subject.judged_by(options.judge)
    room, beside = evaluation.module(found), {"against": options.against} if found.against else {}
    if from_file:
        return room.report_file(subject, Path(options.what), options.n, out=options.json, **beside)
    _refuse(name, found, touched)
    model = (drawer if found.module == "labelled" else denoiser)(options, subject)
    return room.report_model(
        subject.of(model),
        model,
        str(options.weights or "those that come along"),
        found.n if options.n is None else options.n,
        out=options.json,
        seed=options.seed,
        walk=how(options, suited(model, subject.quick)),
        **beside,
    )


def _refuse(name: str, found: Evaluation, touched: list[str]) -> None:
    """No option is taken that would change nothing."""
    for option in touched:
        if option in ("sampler", "steps", "spacing") and not found.walks:
            raise UserError(f"--{option}: {name} walks as its method says, so leave it out")
        if option == "w" and not found.guided:
            raise UserError(f"--w: {name} tells the model no label, so there is nothing to guide by; leave it out")
