"""A GAN and a diffusion model on one clock: the long experiments of "Race a GAN".

    python benchmarks/race.py                                       25 blobs with two penalties, one and none; digits, 60 s
    python benchmarks/race.py blobs --seeds 10
    python benchmarks/race.py digits --seeds 10 --seconds 60 300 600   the whole table, three hours a contestant

Everything goes to benchmarks/race.json after each training, and what stands there is not trained again, so it can be stopped
at any time; --anew begins afresh. Seconds are those of the processor: what else the machine does takes from neither.

digits: both train on the same 3,000 of the 5,000 digits that come along, with as many parameters (within 10 %), by
the package's own loop, with batches of 32 and the package's settings. Then each draws 500 digits, 50 of each kind, and a judge
reads them; the Frechet distance, precision and recall are against 1,000 other digits, and 500 more give the floor. The
diffusion model draws twice: in its 20 steps, and in one step from t = T, which nobody should do.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from diffusion_tutorial import metrics, pretrained, run, subjects
from diffusion_tutorial.data import digits
from diffusion_tutorial.losses import Denoising, Game, Loss, shuffled
from diffusion_tutorial.models.gan import Gan, PointGan
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects.digits_gan import TRAINABLE
from diffusion_tutorial.training import Training

RESULTS = Path(__file__).with_suffix(".json")
N, TRAIN, REFERENCE, WIDTH, BATCH = 500, 3000, 1000, 16, 32
DIGITS = subjects.get("digits")
PENALTIES = {"both": (1, 1), "real only": (1, 0), "made only": (0, 1), "none": (0, 0)}
BLOBS = dict(
    steps=480,
    batch=128,
    lr=2.5e-3,
    rate=0.2,
    ema=0.98,
    weight=0.1,
    apart=2.0,
    std=0.2,
    width=64,
    found="a spot with a tenth of its share of 2,000 points, 8, within 3 standard deviations",
)
SPOTS = BLOBS["apart"] * torch.cartesian_prod(torch.arange(-2.0, 3.0), torch.arange(-2.0, 3.0))


def draw_blobs(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points of 25 spots in a square, each as likely, and the number of the spot."""
    spot = torch.randint(25, (n,), generator=generator)
    return SPOTS[spot] + BLOBS["std"] * torch.randn(n, 2, generator=generator), spot


def found(points: Tensor) -> dict[str, float]:
    """How many of the 25 spots have points near them, and the share of the points that are near one."""
    distance, spot = torch.cdist(points, SPOTS).min(1)
    near = distance < 3 * BLOBS["std"]
    return {
        "found": int((spot[near].bincount(minlength=25) >= len(points) / 250).sum()),
        "near": round(near.float().mean().item(), 3),
    }


def blobs(seed: int, real: float, made: float) -> dict[str, float]:
    """One training of the pair for points; what its generator finds."""
    with run.seeded(seed):
        model = PointGan(BLOBS["width"])
    loss = Game(draw_blobs, BLOBS["weight"] * real, BLOBS["weight"] * made)
    recipe = TRAINABLE.training | {"rates": {"generator": BLOBS["rate"]}, "ema_decay": BLOBS["ema"]}
    training = Training(model, loss, BLOBS["steps"], batch_size=BLOBS["batch"], lr=BLOBS["lr"], seed=seed, **recipe)
    for _ in training:
        pass
    with torch.no_grad():
        return found(training.ema(torch.randn(2000, model.z, generator=torch.Generator().manual_seed(99))))


def split() -> tuple[tuple[Tensor, Tensor], Tensor, tuple[Tensor, Tensor]]:
    """Digits to train on, the reference, and N others for the floor; always the same."""
    images, labels = digits.load("sample")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    train, reference, others = order[:TRAIN], order[TRAIN : TRAIN + REFERENCE], order[-N:]
    return (images[train], labels[train]), images[reference], (images[others], labels[others])


def contestant(name: str, seed: int, data: tuple[Tensor, Tensor]) -> tuple[nn.Module, Loss, dict]:
    """An untrained model, its loss, and its settings of Training, as the package has them."""
    draw = shuffled(*data)
    if name == "diffusion":
        return DIGITS.untrained(width=WIDTH, seed=seed), Denoising(draw, DIGITS.settings["t_bias"]), {"lr": 4e-3}
    half, lr = TRAINABLE.settings["gamma"] / 2, TRAINABLE.settings["lr"]
    with run.seeded(seed):
        return Gan(width=WIDTH), Game(draw, half, half), {"lr": lr, **TRAINABLE.training}


def clocked(work: Callable[[], Tensor | None]) -> tuple[float, Tensor | None]:
    """The processor's seconds for some work, and what came of it."""
    began = time.process_time()
    done = work()
    return time.process_time() - began, done


def train(name: str, seed: int, seconds: float, data: tuple[Tensor, Tensor]) -> tuple[nn.Module, dict]:
    """As many steps as fit into the seconds, by the price of the first ones, and what they took in the end."""
    model, loss, recipe = contestant(name, seed, data)
    recipe = recipe | dict(batch_size=BATCH, seed=seed, amp=False)
    trial = iter(Training(contestant(name, seed, data)[0], loss, steps=1000, **recipe))
    next(trial)  # the first step makes room for the optimiser
    price, _ = clocked(lambda: [next(trial) for _ in range(10)] and None)
    training = Training(model, loss, steps=max(1, round(10 * seconds / price)), **recipe)
    spent, _ = clocked(lambda: [None for _ in training] and None)
    about = {
        "steps": training.step,
        "processor_seconds": round(spent, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return training.ema, about


def judged(x: Tensor, labels: Tensor, judge: nn.Module, reference: Tensor) -> dict[str, float]:
    """Read back, Frechet distance, precision and recall."""
    drawn, real = metrics.embed(judge.features, x), metrics.embed(judge.features, reference)
    scores = {
        "read_back": metrics.label_accuracy(judge, x, labels)[0],
        "frechet": metrics.frechet(drawn, real),
        "precision": metrics.covered(drawn, real, metrics.radius(real)).float().mean().item(),
        "recall": metrics.covered(real, drawn, metrics.radius(drawn)).float().mean().item(),
    }
    return {key: round(value, 3) for key, value in scores.items()}


def race(name: str, seed: int, seconds: float) -> dict[str, dict]:
    """One training, and a line for each way of drawing."""
    data, reference, _ = split()
    model, about = train(name, seed, seconds, data)
    judge, labels = pretrained.load("digit_classifier"), torch.arange(N) % 10
    walks = {name: DIGITS.quick} | ({"diffusion, one step": Walk("ddim", 1)} if name == "diffusion" else {})
    lines = {}
    for way, walk in walks.items():
        spent, x = clocked(partial(DIGITS.draw, model, labels.tolist(), seed, walk))
        lines[way] = about | judged(x, labels, judge, reference) | {"ms_a_digit": round(1000 * spent / N, 2)}
    return lines


def floor() -> dict[str, float]:
    """The same measures of real digits."""
    _, reference, (images, labels) = split()
    return judged(images, labels, pretrained.load("digit_classifier"), reference)


def main() -> None:
    """The command line."""
    said = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    said.add_argument("parts", nargs="*", metavar="part", help="blobs, digits (default: both)")
    said.add_argument("--seeds", type=int, default=3, help="how many of each, from seed 0 on (3)")
    said.add_argument("--seconds", type=int, nargs="+", default=[60], help="digits: of training (60)")
    said.add_argument("--anew", action="store_true", help="forget what has been measured")
    said.add_argument("--out", type=Path, default=RESULTS)
    args = said.parse_args()
    if unknown := set(args.parts) - {"blobs", "digits"}:
        said.error(f"expected parts from blobs, digits, got {', '.join(unknown)}")
    fresh = {"blobs": {}, "digits": {}}
    kept = json.loads(args.out.read_text())["results"] if args.out.exists() and not args.anew else fresh
    kept.setdefault("floor", floor())
    told = dict(
        blobs=BLOBS,
        digits=dict(drawn=N, train=TRAIN, reference=REFERENCE, width=WIDTH, batch=BATCH),
        machine=run.machine(),
    )

    def keep(where: tuple[str, ...], line: dict[str, float]) -> None:
        """A new seed's numbers, at the end of those of the seeds before."""
        group = kept
        for name in where:
            group = group.setdefault(name, {})
        for key, value in line.items():
            group.setdefault(key, []).append(value)
        args.out.write_text(json.dumps({"protocol": told, "results": kept}, indent=1) + "\n")
        print(*where, line, flush=True)

    for seed in range(args.seeds):
        for name, weights in PENALTIES.items() if "blobs" in args.parts or not args.parts else ():
            if seed == len(kept["blobs"].get(name, {}).get("found", [])):
                keep(("blobs", name), blobs(seed, *weights))
        for seconds in map(str, args.seconds) if "digits" in args.parts or not args.parts else ():
            for name in ("gan", "diffusion"):
                done = kept["digits"].get(seconds, {}).get(name, {}).get("steps", [])
                for way, line in race(name, seed, float(seconds)).items() if seed == len(done) else ():
                    keep(("digits", seconds, way), line)


if __name__ == "__main__":
    main()
