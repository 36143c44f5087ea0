"""`diffusion-tutorial evaluate edits`: does one thing change as asked, do the other two stay, and what of the rest?

Really drawn scenes are edited from their plain caption to that of a scene which differs in one attribute. What is asked
for is always a held-out combination. So is the scene to begin with where subject or thing changes; where the place
changes it cannot be, because a subject with a thing has only one place held out.

Each edit is made without a mask, with the one that the model finds, as the command `edit` does, and with the true one.
That says where a change is due: where the figure is or would be, when the place changes everywhere else. Outside it the
picture should stay, and PSNR tells how much of it did. With a mask, what is outside follows the path of the inversion
until the last step, which is free: the picture itself is never pasted back. Beside stand doing nothing, which keeps
all, and the asked-for scene drawn anew: as the judge reads it, that is the ceiling of what can be read, and how far it
is from the picture, the floor of what stays.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from diffusion_tutorial import metrics, progress, run
from diffusion_tutorial.data import scenes
from diffusion_tutorial.data.scenes.drawing import FLOATING
from diffusion_tutorial.evaluation import common, drawn, tables
from diffusion_tutorial.evaluation.scenes import TABLES
from diffusion_tutorial.noise import Streams
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import Subject, retouch

PLACE = scenes.Scene._fields.index("place")
GOAL = 30.0  # dB
BARE, FOUND, GIVEN, NOTHING, ANEW = "no mask", "mask found", "mask given", "nothing done", "drawn anew"
EDITS = (BARE, FOUND, GIVEN)
TOGETHER = "all of them"
DONE, ASKED, KEPT = "% done", "% changed as asked", "% other two stayed"
STAYED, ENOUGH = "PSNR, dB", f"% at {GOAL:g} dB"
NOTE = (
    "Done: the judge reads the changed attribute as asked, and the other two as they were. PSNR: outside the true mask,\n"
    "10 log10(2^2 / mse), a median over pictures, nothing pasted back; inf: no difference. Drawn anew is the ceiling of\n"
    f"what is read, and the floor of what stays. {tables.INTERVALS}"
)


class Task(NamedTuple):
    """Pictures to edit, what they show, what they should show, and where that is a change."""

    which: int  # attribute that changes
    source: Int[Tensor, "n 3"]
    target: Int[Tensor, "n 3"]
    x0: Float[Tensor, "n 3 48 48"]
    hole: Bool[Tensor, "n 1 48 48"]


class Outcome(NamedTuple):
    """For each picture: whether the change is read, whether the other two attributes are, dB outside the mask."""

    asked: Bool[Tensor, "n"]
    kept: Bool[Tensor, "n"]
    stayed: Float[Tensor, "n"]


def report_model(
    subject: Subject, model: Denoiser, weights: str, n: int, out: Path | None, seed: int, walk: Walk
) -> int:
    """Edit n scenes for each attribute, without and with masks, print tables and protocol, write `out`."""
    tables.check_n(n)
    print(f"{n} edits of each attribute: {', '.join(EDITS)}", flush=True)
    rows = measure(subject, model, n, seed, walk.w)
    protocol: dict[str, Any] = {
        "n": f"{n} for each attribute",
        "combinations": "held out, but for those that get a new place",
    }
    protocol |= {
        "weights": weights,
        "seed": seed,
        "w": walk.w,
        "steps": retouch.EDIT_STEPS,
        "strength": retouch.STRENGTH,
    }
    forms = dict.fromkeys((DONE, ASKED, KEPT), tables.PER_CENT), {STAYED: tables.DECIBELS, ENOUGH: tables.PER_CENT}
    return tables.report(rows, list(forms), NOTE, protocol, subject.judge, out)


def measure(subject: Subject, model: Denoiser, n: int, seed: int, w: float) -> list[dict]:
    """A row for each way to edit and each attribute, and all of them together, under a progress bar."""
    judge, model, found = subject.judge.load(), model.to(run.device()), {}
    tasks = [draw_task(which, n, seed + which) for which in range(len(TABLES))]
    ways = (*EDITS, NOTHING, ANEW)
    for way, task in progress.each([(way, task) for way in ways for task in tasks], "editing"):
        found[way, task.which] = outcome(judge, task, picture(model, task, way, seed, w))
    rows = []
    for way in ways:
        several = [found[way, task.which] for task in tasks]
        several.append(Outcome(*(torch.cat(parts) for parts in zip(*several))))
        rows += [row(name, way, x) for name, x in zip((*scenes.Scene._fields, TOGETHER), several)]
    return rows


def row(changed: str, way: str, x: Outcome) -> dict:
    """One line of the tables."""
    shares = {DONE: x.asked & x.kept, ASKED: x.asked, KEPT: x.kept, ENOUGH: x.stayed >= GOAL}
    measures = {name: common.share(hits) for name, hits in shares.items()} | {STAYED: tables.decibels(x.stayed)}
    return {"edited": way, "changed": changed, **measures}


def outcome(judge: torch.nn.Module, task: Task, x: Float[Tensor, "n 3 48 48"]) -> Outcome:
    """How far the pictures are what was asked for."""
    right = metrics.scene_read(judge, x, task.target)
    others = [i for i in range(len(TABLES)) if i != task.which]
    return Outcome(right[:, task.which], right[:, others].all(1), metrics.psnr(x, task.x0, where=~task.hole))


def draw_task(which: int, n: int, seed: int) -> Task:
    """n held-out scenes to ask for, in turn, and drawn ones that differ from them in the attribute `which`."""
    generator = torch.Generator().manual_seed(seed)
    every = drawn.held_out(len(scenes.combinations(True)))
    pairs = [(target, sources) for target in every if len(sources := differing(target, which))]
    pairs = [pairs[i % len(pairs)] for i in range(n)]
    target = torch.stack([target for target, _ in pairs])
    source = torch.stack([x[torch.randint(len(x), (), generator=generator)] for _, x in pairs])
    x0 = tables.drawn(source, seed)
    return Task(which, source, target, x0, hole(which, source, target, seed))


def hole(which: int, source: Int[Tensor, "n 3"], target: Int[Tensor, "n 3"], seed: int) -> Bool[Tensor, "n 1 48 48"]:
    """Where a change is due: for a new place all but the figure; else the figure, old and new, and a pixel around.

    The same seed draws the target in the same pose before the same view: so it is known where the figure would be, and
    outside the mask a perfect edit changes nothing.
    """
    old = figure(source, seed)
    if which == PLACE:
        return ~old
    new = (tables.drawn(source, seed) != tables.drawn(target, seed)).any(1, keepdim=True)
    return F.max_pool2d((old | new).float(), 3, stride=1, padding=1) > 0


def differing(target: Int[Tensor, "3"], which: int) -> Int[Tensor, "m 3"]:
    """The scenes that differ from this one in the attribute `which` alone: those held out; of the place, all."""
    every = target.repeat(len(TABLES[which]), 1)
    every[:, which] = torch.arange(len(every))
    every = every[every[:, which] != target[which]]
    return every if which == PLACE else every[scenes.is_held_out(every)]


def figure(asked: Int[Tensor, "n 3"], seed: int) -> Bool[Tensor, "n 1 48 48"]:
    """Where the figure covers the scene wholly: what is the same in every other place, drawn with the same seed.

    picture = figure + (1 - coverage) background. A figure floats in some places, and is elsewhere there, so only places
    of its own kind count.
    """
    x0, floats = tables.drawn(asked, seed), torch.isin(asked[:, 2], torch.tensor(FLOATING))
    covered = torch.ones_like(x0[:, :1], dtype=torch.bool)
    for place in range(len(scenes.PLACES)):
        there = torch.cat([asked[:, :2], torch.full_like(asked[:, 2:], place)], 1)
        same = (tables.drawn(there, seed) == x0).all(1, keepdim=True)
        covered &= same | (floats != (place in FLOATING)).view(-1, 1, 1, 1)
    return covered


def picture(model: Denoiser, task: Task, way: str, seed: int, w: float) -> Float[Tensor, "n 3 48 48"]:
    """What is measured: the edited pictures, the pictures as they are, or others of the same target."""
    if way == NOTHING:
        return task.x0
    if way == ANEW:
        return tables.drawn(task.target, seed + len(TABLES) + task.which)
    parts = zip(*(x.split(tables.PART) for x in (task.source, task.target, task.x0, task.hole)))
    return torch.cat([edited(model, Task(task.which, *part), way, seed, w) for part in parts])


def edited(model: Denoiser, task: Task, way: str, seed: int, w: float) -> Float[Tensor, "n 3 48 48"]:
    """The pictures edited from plain caption to plain caption, as the command `edit` does it, but for the last paste."""
    source, target = (tables.tokens(model, asked) for asked in (task.source, task.target))
    mask = None if way == BARE else task.hole
    if way == FOUND:
        mask = retouch.find_mask(model, task.x0, source, target, Streams(seed, range(len(task.x0))))
    return retouch.change(model, task.x0, source, target, mask, w, paste=False)
