"""How fast is it here? One command, one run, one machine; run it when nothing else is running.

    python benchmarks/speed.py                 everything, about 9 minutes on two CPU cores
    python benchmarks/speed.py import train    only these parts: import, train, quality, sample

Prints medians and ratios as Markdown, ready for benchmarks/README.md.
"""

import statistics
import subprocess
import sys
import time
from collections import deque

import torch

from diffusion_tutorial import metrics, pretrained, run, samplers, subjects
from diffusion_tutorial.data import digits
from diffusion_tutorial.losses import Denoising, shuffled
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.training import Training

DIGITS = subjects.get("digits")


def time_import(runs: int = 7) -> None:
    """`import torch` beside `import torch, diffusion_tutorial`, in turn, each in a fresh interpreter."""
    seconds = {"import torch": [], "import torch, diffusion_tutorial": []}
    for _ in range(runs + 1):
        for statement, measured in seconds.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            measured.append(time.perf_counter() - began)
    plain, ours = (statistics.median(measured[1:]) for measured in seconds.values())
    print(f"import: torch {plain:.2f} s, with diffusion_tutorial {ours:.2f} s, ratio {ours / plain:.2f}")


def time_training(rounds: int = 4, steps: int = 25) -> None:
    """Digits a second in training, three sizes of the work: float32, bfloat16 and torch.compile, taking turns."""
    images, labels = digits.load("sample")
    ways = {"float32": {"amp": False}, "bfloat16": {"amp": True}, "bfloat16, compiled": {"amp": True, "compile": True}}
    print("| training, digits a second | " + " | ".join(ways) + " |\n| --- | --- | --- | --- |")
    for width, batch in ((32, 32), (32, 64), (48, 64)):
        runs, rates = {}, {name: [] for name in ways}
        for name, way in ways.items():
            model = DIGITS.untrained(width=width).to(run.device())
            runs[name] = iter(
                Training(model, Denoising(shuffled(images, labels)), steps=10**9, batch_size=batch, **way)
            )
            for _ in range(3):
                next(runs[name])
        for _ in range(rounds):
            for name, way in runs.items():
                began = time.perf_counter()
                for _ in range(steps):
                    next(way)
                rates[name].append(steps * batch / (time.perf_counter() - began))
        plain, *others = (statistics.median(measured) for measured in rates.values())
        told = [f"{plain:.0f}", *(f"{rate:.0f} ({rate / plain:.2f})" for rate in others)]
        print(f"| width {width}, batches of {batch} | " + " | ".join(told) + " |", flush=True)


def time_to_quality(budgets: tuple[int, ...] = (30, 60, 120), n: int = 2000) -> None:
    """Train from scratch for each budget in seconds; share of n balanced labelled samples that are read back."""
    images, labels, data = digits.load_or_sample("full")
    judge = pretrained.load("digit_classifier")
    wanted = torch.arange(n) % 10
    print(f"| trained on the {data} MNIST, width 32 | ancestral steps | {n} digits read back, 95 % interval |")
    print("| --- | --- | --- |")
    for seconds in budgets:
        model = DIGITS.untrained().to(run.device())
        training = Training(model, Denoising(shuffled(images, labels)), seconds=seconds, batch_size=64)
        deque(training, maxlen=0)  # run it to its end
        for steps in (20, 50):
            drawn = DIGITS.draw(training.ema, wanted.tolist(), 0, Walk("ddpm", steps))
            share, low, high = metrics.label_accuracy(judge, drawn, wanted)
            print(
                f"| {seconds} s, {training.step} steps of 64 | {steps} | {share:.1%} ({low:.1%} to {high:.1%}) |",
                flush=True,
            )


def time_sampling() -> None:
    """100 digits with 1000 ancestral steps from the shipped model."""
    model = pretrained.load("digits").to(run.device())
    cond = torch.arange(100).to(run.device()) % 10
    x_T = torch.randn(100, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(run.device())
    samplers.draw(model, x_T, samplers.times(5), model.alpha_bar, cond=cond)
    began = time.perf_counter()
    samplers.draw(model, x_T, samplers.times(1000), model.alpha_bar, cond=cond)
    print(f"100 digits with 1000 steps of the shipped model: {time.perf_counter() - began:.0f} s")


PARTS = {"import": time_import, "train": time_training, "quality": time_to_quality, "sample": time_sampling}

if __name__ == "__main__":
    names = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        sys.exit(f"expected parts from {', '.join(PARTS)}, got {', '.join(unknown)}")
    print(f"{run.machine()}\n")
    for name in names:
        PARTS[name]()
        print()
