"""Are the drawn digits as varied as MNIST, and are they new? What "Walk back from static" reports.

    python benchmarks/new_and_varied.py counts     digits that nobody asked for by label, counted: what tilts the count
    python benchmarks/new_and_varied.py copies     each of 500 new digits looked for among all 60,000 training digits
    python benchmarks/new_and_varied.py sizes      networks trained on 50, 500 and 5,000 digits: who copies?

Each needs the full MNIST (the folder in DIFFUSION_TUTORIAL_DATA, or a download). On two free CPU cores they take about 20, 2 and
3 minutes. `copies --card FILE` writes what it finds into that model card.
"""

import argparse
import json
from collections import deque
from pathlib import Path

import torch
from torch import Tensor

from diffusion_tutorial import metrics, pretrained, run, subjects
from diffusion_tutorial.data import digits
from diffusion_tutorial.losses import Denoising, shuffled
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.training import Training

DIGITS = subjects.get("digits")
MNIST = torch.tensor([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])  # training digits of each kind
LIMIT = 16.9  # chi-square of ten fair counts, nine of them free, stays below this 95 times in 100


def anything(model: Denoiser, n: int, seed: int, walk: Walk) -> Tensor:
    """n digits that nobody asked for by label."""
    cond = model.null_like(torch.zeros(n, dtype=torch.long))
    return run.draw(model, model.alpha_bar, cond, DIGITS.shape, walk, seed)


def read(x: Tensor) -> Tensor:
    """How many of each kind the shipped classifier sees."""
    return metrics.predict(DIGITS.judge.load(), x).argmax(1).bincount(minlength=10)


def tell(name: str, counts: Tensor, shares: Tensor = MNIST) -> None:
    """A line of the table: counts beside what the shares promise, and chi-square."""
    expected = counts.sum() * shares / shares.sum()
    off = (counts - expected) / torch.sqrt(expected * (1 - expected / counts.sum()))
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    outside = [d for d in range(10) if abs(off[d]) > metrics.Z]
    print(f"| {name} | {counts.sum()} | {counts.tolist()} | {chi_square:.1f} | {outside} |", flush=True)


def count(model: Denoiser, name: str, walk: Walk, n: int, seeds: range) -> None:
    """Count n digits for each seed, and all of them together."""
    each = [read(anything(model, n, seed, walk)) for seed in seeds]
    for seed, counts in zip(seeds, each):
        tell(f"{name}, {walk.sampler} {walk.steps}, seed {seed}", counts)
    if len(each) > 1:
        tell(f"{name}, {walk.sampler} {walk.steps}, all", torch.stack(each).sum(0))


def further(model: Denoiser, label_drop: float, steps: int, lr: float = 5e-4) -> Denoiser:
    """The shipped network, trained further with this share of the labels hidden."""
    loss = Denoising(shuffled(*digits.load("full")), DIGITS.settings["t_bias"], label_drop)
    training = Training(pretrained_copy(model), loss, steps=steps, batch_size=64, lr=lr)
    deque(training, maxlen=0)
    return training.ema


def pretrained_copy(model: Denoiser) -> Denoiser:
    """The same network with weights of its own that can be trained."""
    net = DIGITS.untrained(width=model.net.config["width"])
    net.load_state_dict(model.state_dict())
    return net


def counts(options: argparse.Namespace) -> None:
    """The suspects one by one: steps, the judge, the labels, and the training without labels."""
    model, n, seeds = pretrained.denoiser("digits"), options.n, range(options.seeds)
    print(f"chi-square of fair counts stays below {LIMIT} in 95 % of cases")
    print("| digits | n | counted 0 to 9 | chi-square | outside 95 % |\n| --- | --- | --- | --- | --- |")
    test, test_labels = digits.load("full", train=False)
    tell("the judge on real test digits, against their labels", read(test), test_labels.bincount(minlength=10))
    for steps in options.steps:
        count(model, "no label", Walk("ddpm", steps), n, seeds)
    asked = torch.repeat_interleave(torch.arange(10), (5000 * MNIST / MNIST.sum()).round().long())
    drawn = DIGITS.draw(model, asked.tolist(), 0, Walk("ddpm", 50))
    tell("with labels in MNIST's shares", read(drawn), asked.bincount(minlength=10))
    count(model, "no label", Walk("dpm++", 20), n, seeds)
    for label_drop in options.further:
        trained = further(model, label_drop, options.more)
        name = f"{options.more} steps more, {label_drop:.0%} of the labels hidden, no label"
        count(trained, name, Walk("ddpm", 50), n, seeds)


def distances(x: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """To the nearest and the second nearest picture, a pixel's shift in any direction allowed."""
    shifts = [x.roll((dy, dx), dims=(2, 3)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    found = torch.stack([metrics.nearest(shifted, among, k=2)[0] for shifted in shifts])  # (9, n, 2)
    best = found[:, :, 0].argmin(0)
    return tuple(found[best, torch.arange(len(x))].T)


def about(d: Tensor) -> dict:
    """What a set of distances is like."""
    low, middle = d.quantile(torch.tensor([0.01, 0.5])).tolist()
    return {"smallest": round(d.min().item(), 4), "percent_1": round(low, 4), "median": round(middle, 4)}


def copies(options: argparse.Namespace) -> None:
    """New digits and held-out test digits, as many of each kind, among all training digits; and training digits, moved."""
    model, each = pretrained.denoiser("digits"), options.n // 10
    known, _ = digits.load("full")
    test, test_labels = digits.load("full", train=False)
    pick = torch.cat([(test_labels == d).nonzero()[-each:, 0] for d in range(10)])
    asked = torch.arange(10).repeat_interleave(each)
    new = DIGITS.draw(model, asked.tolist(), 0, Walk("ddpm", 25))
    thief = known[:: len(known) // 100][:100].roll((1, -1), dims=(2, 3))
    sides = {"new": new, "test": test[pick], "thief": thief}
    found = {name: distances(x, known) for name, x in sides.items()}
    card = {name: about(d) for name, (d, _) in found.items()}
    card["suspects"] = int((found["new"][0] < found["test"][0].min()).sum())
    lonely = {name: round((d / second).quantile(0.01).item(), 3) for name, (d, second) in found.items()}
    card["ratio_to_second_nearest_percent_1"] = lonely
    card["protocol"] = (
        f"{options.n} new digits, {each} of each kind, 25 ancestral steps, no guidance, seed 0, and as many MNIST test digits, "
        "the last of each kind, each looked for among all 60,000 training digits; distance: root of the mean squared difference "
        "over pixels in [-1, 1], the smallest of nine shifts by up to one pixel; suspects: new digits nearer than every test "
        "digit; thief: 100 training digits moved by a pixel each way, which have to be found"
    )
    print(json.dumps(card, indent=2))
    if options.card:
        pretrained.write_card(options.card, json.loads(options.card.read_text()) | {"copies": card})


def sizes(options: argparse.Namespace) -> None:
    """The same network, the same steps, ever more training digits: the share of new digits that are suspects."""
    images, labels = digits.load("full")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held_out = images[order[-1000:]]
    for size in options.sizes:
        known, kinds = images[order[:size]], labels[order[:size]]
        model = DIGITS.untrained(width=options.width)
        training = Training(model, Denoising(shuffled(known, kinds)), steps=options.train, batch_size=32)
        deque(training, maxlen=0)
        asked = [i % 10 for i in range(options.n)]
        new = DIGITS.draw(training.ema, asked, 0, Walk("ddpm", 25))
        (d, second), (honest, honest_second) = distances(new, known), distances(held_out, known)
        share, low, high = metrics.share(metrics.predict(DIGITS.judge.load(), new).argmax(1) == torch.tensor(asked))
        told = {
            "size": size,
            "new": about(d),
            "held_out": about(honest),
            "suspects": round((d < honest.min()).double().mean().item(), 4),
            "nearer_than_a_third_of_the_second": round((d < second / 3).double().mean().item(), 4),
            "held_out_nearer_than_a_third": round((honest < honest_second / 3).double().mean().item(), 4),
            "read_back": [round(x, 3) for x in (share, low, high)],
        }
        print(json.dumps(told), flush=True)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            pretrained.write(options.out / f"digits_{size}.safetensors", training.ema)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["counts", "copies", "sizes"])
    parser.add_argument(
        "--n", type=int, help="digits drawn (1000 for each seed of counts; 500 for copies; 200 for sizes)"
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds for each line of counts (%(default)s)")
    parser.add_argument("--steps", type=int, nargs="*", default=[15, 50, 250], help="ancestral steps (%(default)s)")
    parser.add_argument(
        "--further", type=float, nargs="*", default=[0.1, 1.0], help="shares of labels hidden (%(default)s)"
    )
    parser.add_argument("--more", type=int, default=1000, help="steps of further training (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="*", default=[50, 500, 5000], help="training digits (%(default)s)")
    parser.add_argument("--width", type=int, default=16, help="of the network of sizes (%(default)s)")
    parser.add_argument("--train", type=int, default=700, help="steps of 32 digits in sizes (%(default)s)")
    parser.add_argument("--card", type=Path, help="write the result of copies into this card")
    parser.add_argument("--out", type=Path, help="keep the weights of sizes in this folder")
    options = parser.parse_args()
    options.n = options.n or {"counts": 1000, "copies": 500, "sizes": 200}[options.part]
    {"counts": counts, "copies": copies, "sizes": sizes}[options.part](options)


if __name__ == "__main__":
    main()
