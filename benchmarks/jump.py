"""One, two and four calls a digit beside many: the numbers of "Jump after all".

    python benchmarks/jump.py                               all ways but the slow one, 1,000 digits each: minutes on two idle cores
    python benchmarks/jump.py --ways "digits, 1000 calls"   the slow one: three quarters of an hour or so
    python benchmarks/jump.py --n 200 --out /tmp/look.json  a first look

Each way draws n digits with the labels of as many real ones, seed 0. The shipped judge reads them back; the Frechet distance and
recall are over its features, and the floor is the same for n real digits. Seconds are the processor's, for one thread. The numbers
go to benchmarks/jump.json after every way, beside those that are there already.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from diffusion_tutorial import metrics, pretrained, run, subjects
from diffusion_tutorial.evaluation.common import evaluations
from diffusion_tutorial.evaluation.real import POOL, Reference, reference
from diffusion_tutorial.samplers import Walk

RESULTS = Path(__file__).with_suffix(".json")
DIGITS = subjects.get("digits")
WAYS = {
    "digits, 1 call": ("digits", Walk("jump", 1)),
    "digits, 2 calls": ("digits", Walk("jump", 2)),
    "digits, 8 calls": ("digits", Walk("dpm++", 8)),
    "digits, 1000 calls": ("digits", Walk("ddpm", 1000)),
    "digits-jump, 1 call": ("digits-jump", Walk("jump", 1)),
    "digits-jump, 2 calls": ("digits-jump", Walk("jump", 2)),
    "digits-jump, 4 calls": ("digits-jump", Walk("jump", 4)),
}
SLOW = "digits, 1000 calls"


def judged(images: torch.Tensor, labels: torch.Tensor, features: torch.Tensor) -> dict[str, float]:
    """Read back, Frechet distance and recall of pictures, `features` those of real ones."""
    x = metrics.embed(DIGITS.judge.load().features, images)
    recall = metrics.covered(features, x, metrics.radius(x)).float().mean().item()
    return {
        "read back": round(DIGITS.read_back(images, labels.tolist()).float().mean().item(), 4),
        "Frechet distance": round(metrics.frechet(x, features), 4),
        "recall": round(recall, 4),
    }


def one(name: str, walk: Walk, n: int, real: Reference, features: torch.Tensor) -> dict[str, float]:
    """One way of drawing: what it makes, and what it takes."""
    model = pretrained.denoiser(name)
    DIGITS.draw(model, [0] * 10, 1, walk if walk.steps < 10 else Walk("ddpm", 1))  # warm
    began = time.process_time()
    with evaluations(model.net) as calls:
        drawn = DIGITS.draw(model, real.labels[:n].tolist(), 0, walk)
    seconds = time.process_time() - began
    drawn = DIGITS.from_pixels(DIGITS.to_pixels(drawn))
    return judged(drawn, real.labels[:n], features) | {"calls": sum(calls) // n, "seconds": round(seconds, 2)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[name for name in WAYS if name != SLOW])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    real = reference(DIGITS)
    features = metrics.embed(DIGITS.judge.load().features, real.images[:POOL])
    about = {"n": options.n, "reference": real.name, "reference_features": len(features), "machine": run.machine()}
    rows = json.loads(options.out.read_text())["rows"] if options.out.exists() else {}
    for way in ("real digits", *options.ways):
        if way == "real digits":
            rows[way] = judged(real.others[: options.n], real.labels[: options.n], features)
        else:
            rows[way] = one(*WAYS[way], options.n, real, features)
        print(f"{way}: {rows[way]}", flush=True)
        options.out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
