"""`diffusion-tutorial evaluate sdedit`: as the strength grows, how much is kept of a rough drawing, how real is it?

The drawing is a scene of a held-out combination in BLOCKS x BLOCKS blocks of one colour each, the prompt its plain
caption. Faithfulness is the distance to the drawing, realism whether the judge reads subject, thing and place as the
prompt has them. The drawing itself and the scene that it was made of stand beside: the second is as far from the
drawing as a faithful and perfect picture would be.
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from diffusion_tutorial import editing, progress, run
from diffusion_tutorial.data import scenes
from diffusion_tutorial.evaluation import common, drawn, tables
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import Subject
from diffusion_tutorial.subjects.retouch import STEPS

BLOCKS = 12  # a side
STRENGTHS = tuple(k / 10 for k in range(1, 10))
DRAWING, REAL = "the drawing", "real scenes"
DISTANCE = "distance to the drawing"
NOTE = (
    "Distance: the root of the mean squared difference over pixels, range 2, as a mean over pictures. Read back: subject,\n"
    f"thing and place, all as the prompt asks. {tables.INTERVALS}"
)


def report_model(
    subject: Subject, model: Denoiser, weights: str, n: int, out: Path | None, seed: int, walk: Walk
) -> int:
    """Redraw n rough drawings at each strength, print table and protocol, write `out`."""
    tables.check_n(n)
    print(f"{n} drawings of {BLOCKS} x {BLOCKS} blocks, {len(STRENGTHS)} strengths", flush=True)
    rows = measure(subject, model, drawn.held_out(n), seed, walk.w)
    protocol: dict[str, Any] = {
        "n": n,
        "combinations": "held out",
        "blocks": f"{BLOCKS} x {BLOCKS}",
        "weights": weights,
        "seed": seed,
    }
    protocol |= {"w": walk.w, "sampler": "ddpm", "steps": f"strength x {STEPS}"}
    forms = {DISTANCE: tables.PLAIN, tables.READ: tables.PER_CENT}
    return tables.report(rows, [forms], NOTE, protocol, subject.judge, out)


def measure(subject: Subject, model: Denoiser, asked: Int[Tensor, "n 3"], seed: int, w: float) -> list[dict]:
    """A row for the drawings, for each strength and for the real scenes, under a progress bar."""
    judge, model = subject.judge.load(), model.to(run.device())
    real = tables.drawn(asked, seed)
    drawing, rows = blocks(real), []
    every: list[Any] = [DRAWING, *STRENGTHS, REAL]
    for strength in progress.each(every, "redrawing"):
        given = {DRAWING: drawing, REAL: real}
        with common.evaluations(model.net) as calls:
            x = given[strength] if strength in given else redraw(model, drawing, asked, strength, seed, w)
        away = (x - drawing).square().mean((1, 2, 3)).sqrt()
        about = {"strength": strength, "evaluations": round(sum(calls) / len(asked))}
        rows.append({**about, DISTANCE: tables.mean(away), tables.READ: tables.read_back(judge, x, asked)})
    return rows


def blocks(x0: Float[Tensor, "n 3 48 48"]) -> Float[Tensor, "n 3 48 48"]:
    """Each block of a picture in its mean colour."""
    side = scenes.SIZE // BLOCKS
    return F.interpolate(F.avg_pool2d(x0, side), scale_factor=side)


def redraw(
    model: Denoiser, x0: Float[Tensor, "n 3 48 48"], asked: Int[Tensor, "n 3"], strength: float, seed: int, w: float
) -> Float[Tensor, "n 3 48 48"]:
    """SDEdit of each picture, with the plain caption as prompt."""
    cond, guided = tables.tokens(model, asked), guide(model, w)
    parts = zip(x0.to(model.device).split(tables.PART), cond.split(tables.PART), tables.streams(seed, len(x0)))
    walk: dict[str, Any] = dict(strength=strength, alpha_bar=model.alpha_bar, steps=STEPS)
    redrawn = [editing.sdedit(guided, part, cond=words, **walk, generator=source) for part, words, source in parts]
    return torch.cat(redrawn).cpu()
