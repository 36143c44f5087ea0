"""`diffusion-tutorial evaluate inpainting`: does what is filled in make the digit whole, and does it join at the edge?

Digits lose a square in the middle, larger and larger, or their right half. The model fills it, and is told no label.
Replacement and RePaint take the same steps; RePaint takes each of them RESAMPLE times, so replacement with as many
evaluations of the network stands beside it: only that comparison is fair. The hole left black is the floor, the true
digit the ceiling. Every method fills the same digits, from the same static.
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diffusion_tutorial import editing, metrics, progress, run, samplers
from diffusion_tutorial.data import digits
from diffusion_tutorial.evaluation import common, tables
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import Subject
from diffusion_tutorial.subjects.retouch import METHODS, STEPS

RESAMPLE = METHODS["repaint"]
SIDES = (8, 12, 16, 20)  # of the square holes, in pixels
BLACK, REPLACEMENT, LONGER, REPAINT, TRUE = "left black", "replacement", "replacement, longer", "RePaint", "true digit"
WALKS = {REPLACEMENT: (STEPS, 1), LONGER: (STEPS * RESAMPLE, 1), REPAINT: (STEPS, RESAMPLE)}  # steps, each so often
FILLED = (BLACK, *WALKS, TRUE)
PART = 250  # digits that are filled at a time
READ, EDGE = "% read as the true digit", "jump at the edge, beyond the truth"
NOTE = (
    "Evaluations: of the network, for each digit. The jump in brightness (range 2) across the edge of the hole, less that\n"
    f"of the true digit: 0 is as smooth as the truth, less than 0 smoother. {tables.INTERVALS}"
)


def report_model(
    subject: Subject, model: Denoiser, weights: str, n: int, out: Path | None, seed: int, walk: Walk
) -> int:
    """Fill the holes of n digits by each method, print table and protocol, write `out`."""
    images, labels, name = _digits()
    tables.check_n(n, len(images))
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:n]
    print(f"{n} of {name}, {len(SIDES) + 1} holes, {len(WALKS)} ways to fill each", flush=True)
    rows = measure(subject, model, images[chosen], labels[chosen], seed)
    protocol: dict[str, Any] = {
        "n": n,
        "digits": name,
        "label": "none",
        "weights": weights,
        "seed": seed,
        "sampler": "ddpm",
    }
    protocol |= {way: f"{steps} steps x {resample}" for way, (steps, resample) in WALKS.items()}
    forms = {READ: tables.PER_CENT, EDGE: tables.PLAIN}
    return tables.report(rows, [forms], NOTE, protocol, subject.judge, out)


def _digits() -> tuple[Tensor, Tensor, str]:
    """The test digits where MNIST is at hand, else the digits that come along, which are of the training half."""
    if digits.full_is_there():
        return *digits.load("full", train=False), "the 10,000 MNIST test digits"
    return *digits.load("sample"), "the 5,000 MNIST training digits that come along"


def holes() -> dict[str, Bool[Tensor, "28 28"]]:
    """The holes by name, True where the picture is missing."""
    y, x = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
    away = torch.maximum((y - 13.5).abs(), (x - 13.5).abs())  # from the middle
    return {f"{side} x {side}": away < side / 2 for side in SIDES} | {"right half": x >= 14}


def jump(x: Float[Tensor, "n 1 h w"], hole: Bool[Tensor, "h w"]) -> Float[Tensor, "n"]:
    """J = mean over (p, q) of |x_p - x_q|, p in the hole and q beside, above or below it outside: one J a picture."""
    down, right = (x[..., 1:, :] - x[..., :-1, :]).abs(), (x[..., 1:] - x[..., :-1]).abs()
    edges = down[..., hole[1:] != hole[:-1]], right[..., hole[:, 1:] != hole[:, :-1]]
    return torch.cat(edges, -1).mean((1, 2))


def measure(
    subject: Subject, model: Denoiser, x0: Float[Tensor, "n 1 28 28"], labels: Int[Tensor, "n"], seed: int
) -> list[dict]:
    """A row for each hole and each way to fill it, under a progress bar.

    READ is the share that the classifier reads as its label, EDGE the mean over digits of J(filled) - J(true).
    """
    judge, model, rows = subject.judge.load(), model.to(run.device()), []
    every = [(name, hole, way) for name, hole in holes().items() for way in FILLED]
    for name, hole, way in progress.each(every, "filling"):
        with common.evaluations(model.net) as calls:
            x = fill(model, x0, hole, way, seed)
        about = {"hole": name, "filled by": way, "evaluations": round(sum(calls) / len(x0))}
        read = common.share(metrics.predict(judge, x).argmax(1) == labels)
        rows.append({**about, READ: read, EDGE: tables.mean(jump(x, hole) - jump(x0, hole))})
    return rows


def fill(
    model: Denoiser, x0: Float[Tensor, "n 1 28 28"], hole: Bool[Tensor, "28 28"], way: str, seed: int
) -> Float[Tensor, "n 1 28 28"]:
    """The digits with the hole filled in one of the ways FILLED, rounded as a file would."""
    if way not in WALKS:
        return x0 if way == TRUE else x0.masked_fill(hole, -1)
    steps, resample = WALKS[way]
    walk: dict[str, Any] = dict(times=samplers.times(steps), alpha_bar=model.alpha_bar, resample=resample)
    parts = zip(x0.to(model.device).split(PART), tables.streams(seed, len(x0), PART))
    filled = [editing.inpaint(model, part, hole, **walk, generator=source) for part, source in parts]
    return digits.to_signed(digits.to_pixels(torch.cat(filled).cpu()))
