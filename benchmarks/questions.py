"""The same network asked for the noise and asked for v, on two schedules: the long experiment of "Ask the question well".

    python benchmarks/questions.py                         two seeds, 1,000 steps each: about 5 minutes on two idle cores
    python benchmarks/questions.py --seeds 0 --steps 300   a first look

One network, one set of batches, one budget; what is asked and the schedule differ. At three moments each run draws 200 digits
(20 ancestral steps, averaged weights, no guidance) and the shipped classifier counts those that it reads as the label that was
asked for. The counts go to benchmarks/questions.json after every run, so it can be stopped at any time.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from diffusion_tutorial import metrics, pretrained, run, samplers, schedules
from diffusion_tutorial.data import digits
from diffusion_tutorial.losses import Denoising, shuffled
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.training import Training

RESULTS = Path(__file__).with_suffix(".json")
SCHEDULES = {"cosine": schedules.cosine(), "linear": schedules.linear()}
N = 200  # digits drawn at each moment
MOMENTS = (0.15, 0.4, 1.0)  # shares of the budget


def read_back(model: Denoiser, judge: torch.nn.Module) -> int:
    """How many of N digits, labels in turn, are read as their label."""
    generator, cond = torch.Generator().manual_seed(9), torch.arange(N) % 10
    static = torch.randn(N, 1, 28, 28, generator=generator)
    drawn = samplers.draw(model, static, samplers.times(20), model.alpha_bar, cond=cond, generator=generator)
    return int((metrics.predict(judge, drawn).argmax(1) == cond).sum())


def one(question: str, schedule: str, seed: int, steps: int, width: int) -> dict[str, int]:
    """The counts of one training, by training step."""
    with run.seeded(seed):
        model = Denoiser(UNet(width=width), SCHEDULES[schedule], question)
    training = Training(model, Denoising(shuffled(*digits.load())), steps=steps, seed=seed, amp=False)
    moments, judge = {round(share * steps) for share in MOMENTS}, pretrained.load("digit_classifier")
    return {str(r.step): read_back(training.ema, judge) for r in training if r.step in moments}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--schedules", nargs="+", choices=SCHEDULES, default=list(SCHEDULES))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    about = dict(
        steps=options.steps, width=options.width, batch=32, seeds=options.seeds, drawn=N, sampler="ddpm, 20 steps"
    )
    results: dict[str, dict[str, list[int]]] = {}
    for seed in options.seeds:
        for schedule in options.schedules:
            for question in ("eps", "v"):
                began = time.perf_counter()
                counts = one(question, schedule, seed, options.steps, options.width)
                key = f"{schedule}, {question}"
                for step, count in counts.items():
                    results.setdefault(key, {}).setdefault(step, []).append(count)
                print(f"seed {seed}, {key}: {counts} of {N}, {time.perf_counter() - began:.0f} s", flush=True)
                options.out.write_text(json.dumps(about | {"read_back": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
