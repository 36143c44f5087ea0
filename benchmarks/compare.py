"""Beside what you might pick instead: diffusers, a course's model, smalldiffusion. One run on one idle machine.

    python benchmarks/compare.py                      both parts with their defaults, about 45 minutes on two CPU cores
    python benchmarks/compare.py drive                the shipped U-Net driven by our loop and by diffusers, 5 minutes
    python benchmarks/compare.py train --seconds 600  digits from scratch, for as many seconds each, 40 minutes

Compare only lines of one n.
Needs the developers' packages, for diffusers; `pip install smalldiffusion` adds its line to the second part, which says
so where it is missing. Prints Markdown, ready for benchmarks/README.md.
"""

import argparse
import re
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch
from contestants import COSINE, Trained, train_course, train_ours, train_small
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DiffusionPipeline, DPMSolverMultistepScheduler
from torch import Tensor, nn

from diffusion_tutorial import metrics, pictures, pretrained, run, samplers, subjects
from diffusion_tutorial.data import digits
from diffusion_tutorial.predictions import Denoiser

SOLVERS = {"DDIM": "ddim", "DPM-Solver++(2M)": "dpm++"}


class AsPipelinesWantIt(nn.Module):
    """Our network, its labels fixed, with what a pipeline asks of its `unet`: config, device, dtype and `.sample`."""

    def __init__(self, net: nn.Module, labels: Tensor):
        super().__init__()
        self.net, self.labels = net, labels
        self.config = SimpleNamespace(sample_size=net.config["size"], in_channels=net.config["channels"])
        self.device, self.dtype = labels.device, torch.float32

    def forward(self, x: Tensor, t: Tensor) -> SimpleNamespace:
        """The network's own answer; diffusers calls our step t its t - 1."""
        return SimpleNamespace(sample=self.net(x, t.to(x.device).expand(len(x)) + 1, self.labels))


def pipeline(model: Denoiser, labels: Tensor, solver: str, clip: bool) -> DiffusionPipeline:
    """diffusers' own pipeline around the same network, schedule and times; `clip`: DPM-Solver++ clips as ours does."""
    wanted = COSINE | {"prediction_type": {"v": "v_prediction", "eps": "epsilon"}[model.output]}
    wanted["timestep_spacing"] = "trailing"
    unet = AsPipelinesWantIt(model.net, labels)
    if solver == "DDIM":
        pipe = DDIMPipeline(unet, DDIMScheduler(**wanted))
    else:  # any scheduler does for DDPMPipeline, which is the same loop
        pipe = DDPMPipeline(unet, DPMSolverMultistepScheduler(**wanted, thresholding=clip))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drive(rounds: int) -> None:
    """Seconds for a sample: our loop and diffusers' pipelines in turn, as they come, from the same x_T and labels."""
    model = pretrained.load("digits").to(run.device())
    what = f"{run.machine()}, diffusers {version('diffusers')}"
    print(f"\n| {what} | ours | diffusers | ratio | pictures differ by |")
    print("| --- | --- | --- | --- | --- |")
    for n in (100, 1):
        labels = (torch.arange(n) % 10).to(run.device())
        for solver in SOLVERS:
            for steps in (20, 50):
                print(drive_line(model, labels, solver, steps, rounds), flush=True)
    print(
        f"\nTime a digit, median of {rounds} rounds in turn ({5 * rounds} for one at a time). Ratio: median of ours "
        "divided by theirs in each round; below 1, ours is faster. The last column is the mean over pixels, in grey "
        "levels of 255: with x0_hat clipped alike, and as both come."
    )


def drive_line(model: Denoiser, labels: Tensor, solver: str, steps: int, rounds: int) -> str:
    """One line of the table: warm up, take turns, compare the pictures."""
    n, as_it_comes, alike = len(labels), pipeline(model, labels, solver, False), pipeline(model, labels, solver, True)

    def ours() -> Tensor:
        x_T = torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(labels.device)
        step = samplers.STEPS[SOLVERS[solver]]
        return samplers.draw(model, x_T, samplers.times(steps), model.alpha_bar, cond=labels, step=step).clamp(-1, 1)

    def theirs(pipe: DiffusionPipeline = as_it_comes, **options) -> Tensor:
        seed = torch.Generator().manual_seed(0)
        return 2 * pipe(n, seed, num_inference_steps=steps, output_type="pt", **options).images - 1

    drawn = ours()
    clipped_alike = theirs(alike, **({"use_clipped_model_output": True} if solver == "DDIM" else {}))
    differ = [(drawn - other).abs().mean().item() * 127.5 for other in (clipped_alike, theirs())]
    turns = []
    for i in range(rounds if n > 1 else 5 * rounds):
        seconds = {}
        for draw in (ours, theirs)[:: (-1) ** i]:  # who is first changes too
            began = time.perf_counter()
            draw().cpu()
            seconds[draw] = (time.perf_counter() - began) / n
        turns.append((seconds[ours], seconds[theirs], seconds[ours] / seconds[theirs]))
    a, b, ratio = (statistics.median(column) for column in zip(*turns))
    what = f"{solver}, {steps} steps, {n} at a time"
    return f"| {what} | {a * 1e3:.2f} ms | {b * 1e3:.2f} ms | {ratio:.2f} | {differ[0]:.3f}, {differ[1]:.3f} |"


def train(seconds: float, n: int, data: str, pages: Path | None) -> None:
    """Train each contestant, draw n digits, measure; a line each."""
    images, labels, held, data = split(data, n)
    contestants = [
        (f"this package, {seconds / 20:g} s", train_ours, seconds / 20),
        (f"this package, {seconds:g} s", train_ours, seconds),
        (f"the course's UNet2DModel, {seconds:g} s", train_course, seconds),
        (f"smalldiffusion's U-Net example, {seconds:g} s, no labels", train_small, seconds),
    ]
    what = f"{run.machine()}, {len(images)} digits of the {data} MNIST"
    print(f"\n| {what} | parameters | steps | images/s | Frechet distance | read as its label | seconds to draw |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    others, reference = held[:n], held[n:]
    distance = measure(others, reference)
    print(f"| {n} other real digits | | | | {spread(distance, 3)} | | |", flush=True)
    found = {}
    for name, contest, budget in contestants:
        try:
            line, found[name] = train_line(partial(contest, images, labels, budget), n, reference, pages, name)
        except ModuleNotFoundError as missing:
            line = f"left out: {missing.name} is not installed (pip install smalldiffusion) | | | | | |"
        print(f"| {name} | {line}", flush=True)
    print(
        f"\nFrechet distance of n = {n} over our own judge's features, to {len(reference)} held ones, 95 % intervals. "
        "Drawn with 50 ancestral steps (ours), 50 of DDIM (the course's), 20 of its own (smalldiffusion's).\n"
    )
    names = list(found)
    for rival in names[2:]:
        for mine in names[:2]:
            print(f"- {mine}: {found[mine] / found[rival]:.3g} of the Frechet distance of {rival}")


def train_line(
    contest: Callable[[], Trained], n: int, reference: Tensor, pages: Path | None, name: str
) -> tuple[str, float]:
    """Train one, draw and measure: the rest of its line, and its Frechet distance."""
    torch.manual_seed(0)
    made, wanted = contest(), torch.arange(n) % 10
    began = time.perf_counter()
    drawn = digits.to_signed(digits.to_pixels(made.draw(wanted)))  # rounded as a file would hold them
    drawing = time.perf_counter() - began
    if pages:
        page = subjects.get("digits").to_pixels(drawn[:100])
        pictures.write_page(pages / (re.sub(r"\W+", "_", name) + ".png"), page, columns=10, scale=2)
    distance, read = measure(drawn, reference), "no labels"
    if made.labelled:
        accuracy = metrics.label_accuracy(pretrained.load("digit_classifier"), drawn, wanted)
        read = spread([100 * share for share in accuracy], 1) + " %"
    size = sum(p.numel() for p in made.net.parameters())
    cells = [f"{size:,}", made.steps, f"{made.rate:.0f}", spread(distance, 3), read, f"{drawing:.0f}"]
    return " | ".join(map(str, cells)) + " |", distance[0]


def measure(images: Tensor, reference: Tensor) -> tuple[float, float, float]:
    """Frechet distance over the judge's features, with its 95 % interval."""
    judge = pretrained.load("digit_classifier")
    x, r = (metrics.embed(judge.features, pictures) for pictures in (images, reference))
    return metrics.jackknife(partial(metrics.frechet, reference=r), x)


def split(data: str, n: int) -> tuple[Tensor, Tensor, Tensor, str]:
    """Digits to train on with their labels, held real digits of which n give the floor, and the name of the set."""
    images, labels, data = digits.load_or_sample(data)
    if data == "full":
        held, _ = digits.load("full", train=False)
    else:
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        held, images, labels = images[order[: 2 * n]], images[order[2 * n :]], labels[order[2 * n :]]
    return images, labels, held, data


def spread(x: tuple[float, float, float] | list[float], decimals: int) -> str:
    """value (low to high)."""
    value, low, high = (f"{max(0.0, number):.{decimals}f}" for number in x)
    return f"{value} ({low} to {high})"


if __name__ == "__main__":
    said = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    said.add_argument("parts", nargs="*", metavar="part", help="drive, train (default: both)")
    said.add_argument("--rounds", type=int, default=5, help="drive: turns that each takes (5)")
    said.add_argument("--seconds", type=float, default=600, help="train: seconds of training for each (600)")
    said.add_argument("--n", type=int, default=200, help="train: digits drawn from each, at least 20 (200)")
    said.add_argument("--data", choices=["full", "sample"], default="full", help="train: MNIST, 60,000 digits or 5,000")
    said.add_argument("--pages", type=Path, metavar="DIR", help="train: write a page of 100 digits from each there")
    args = said.parse_args()
    if unknown := set(args.parts) - {"drive", "train"}:
        said.error(f"expected parts from drive, train, got {', '.join(unknown)}")
    if args.rounds < 1 or not args.seconds > 0 or not 20 <= args.n <= 2000:
        said.error(f"expected rounds >= 1, seconds > 0 and n from 20 to 2000, got {args}")
    if args.pages:
        args.pages.mkdir(parents=True, exist_ok=True)
    if "drive" in args.parts or not args.parts:
        drive(args.rounds)
    if "train" in args.parts or not args.parts:
        train(args.seconds, args.n, args.data, args.pages)
