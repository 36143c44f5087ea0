"""`diffusion-tutorial evaluate inversion`: is a picture the same after DDIM's way to static and back?

Real scenes of held-out combinations, with their plain captions, go up without guidance and come back in as many steps,
with the same captions: once without guidance, once with it. Guidance on the way back alone is what an edit has, and
breaks the symmetry that inversion lives on. Another drawing of the same combination is the floor.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial import editing, metrics, progress, run, samplers
from diffusion_tutorial.evaluation import drawn, tables
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import Subject

STEPS, REFINE = (10, 20, 50, 100, 200), (0, 1, 2)
ERROR = "PSNR, dB"
NOTE = (
    "PSNR: 10 log10(2^2 / mse) between the picture and what came back, a median over pictures; inf: no difference. Read\n"
    f"back: subject, thing and place, all as they are. {tables.INTERVALS}"
)


def report_model(
    subject: Subject, model: Denoiser, weights: str, n: int, out: Path | None, seed: int, walk: Walk
) -> int:
    """Send n scenes to static and back in every way, print table and protocol, write `out`."""
    tables.check_n(n)
    print(f"{n} scenes to static and back: {len(STEPS)} numbers of steps, refined {REFINE[0]} to {REFINE[-1]} times")
    rows = measure(subject, model, drawn.held_out(n), seed, walk.w)
    protocol: dict[str, Any] = {"n": n, "combinations": "held out", "weights": weights, "seed": seed, "sampler": "ddim"}
    protocol |= {"w_up": 1.0, "w_back": sorted({1.0, walk.w})}
    forms = {ERROR: tables.DECIBELS, tables.READ: tables.PER_CENT}
    return tables.report(rows, [forms], NOTE, protocol, subject.judge, out)


def measure(subject: Subject, model: Denoiser, asked: Int[Tensor, "n 3"], seed: int, w: float) -> list[dict]:
    """A row for another drawing, for each guidance, refinement and number of steps, and for the pictures themselves."""
    judge, model = subject.judge.load(), model.to(run.device())
    x0 = tables.drawn(asked, seed)

    def row(back: float | str, refine: int | str, steps: int | str, x: Tensor) -> dict:
        about = {"w on the way back": back, "refined": refine, "steps": steps}
        error = tables.decibels(metrics.psnr(x, x0))
        return {**about, ERROR: error, tables.READ: tables.read_back(judge, x, asked)}

    scales, found = sorted({1.0, w}), {}
    for refine, steps in progress.each([(refine, steps) for refine in REFINE for steps in STEPS], "inverting"):
        for back, x in zip(scales, there_and_back(model, x0, asked, steps, refine, scales)):
            found[back, refine, steps] = x
    rows = [row(*key, found[key]) for key in sorted(found)]
    return [row("another drawing", "-", "-", tables.drawn(asked, seed + 1)), *rows, row("the scene", "-", "-", x0)]


def there_and_back(
    model: Denoiser,
    x0: Float[Tensor, "n 3 48 48"],
    asked: Int[Tensor, "n 3"],
    steps: int,
    refine: int,
    scales: list[float],
) -> Iterator[Float[Tensor, "n 3 48 48"]]:
    """For each guidance scale of the way back, what becomes of the pictures; the way to static is taken once."""
    cond, times = tables.tokens(model, asked), samplers.times(steps)
    parts = [*zip(x0.to(cond.device).split(tables.PART), cond.split(tables.PART))]
    static = [editing.invert(model, part, times, model.alpha_bar, words, refine)[0] for part, words in parts]
    for w in scales:
        walk: dict[str, Any] = dict(times=times, alpha_bar=model.alpha_bar, step=samplers.ddim_step)
        back = [samplers.draw(guide(model, w), x, cond=words, **walk) for x, (_, words) in zip(static, parts)]
        yield torch.cat(back).cpu()
