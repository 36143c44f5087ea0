"""Twelve silent bugs, each made on purpose: the pictures, the loss curves and the probes of "Spot the bug".

    python benchmarks/bugs.py                     all of them: eight trainings of 400 steps
    python benchmarks/bugs.py --only "x0_hat not clipped"

Those in training: a network of width 16 on the 5,000 digits that come along, trained by the program of `diffusion_tutorial.bugs`
with one line of it changed, seed 0; the right program has three seeds. Those in drawing: the shipped model. Each draws 100 digits,
labels in turn, in 20 steps, seed 0. Numbers go to benchmarks/bugs.json after every bug, twenty digits and the guesses on the way to two
of them to a row of diffusion_tutorial/pretrained/bugs.png; what stands there is not made again, unless --anew.
"""

import argparse
import json
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from diffusion_tutorial import bugs, metrics, pretrained, run, samplers
from diffusion_tutorial.data import digits
from diffusion_tutorial.losses import training_loss
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser

RESULTS = Path(__file__).with_suffix(".json")
SHEET = pretrained.FOLDER / "bugs.png"
STEPS, WIDTH, WALK, N = 400, 16, 20, 100
TRAININGS = {  # how many seeds
    "right, small": 3,
    "data left in [0, 1]": 1,
    "T too small for its betas": 1,
    "labels hidden the wrong way round": 1,
    "the noise of one step as the target": 1,
    "an EMA that is too young": 1,
}
ROWS = ["right", "right, small", *bugs.BUGS, "right, guided"]
SHOWN, STRIP, FOLLOWED = 20, 8, (3, 5)  # digits on the sheet; guesses of each followed digit
IMAGES, LABELS = digits.load("sample")
ASKED = torch.arange(N) % 10
EDGES = torch.linspace(-2, 2, 41)


def trained(name: str, seed: int) -> tuple[list[float], Denoiser]:
    """The loss, twenty steps at a time, and the average that draws."""
    bug = bugs.BUGS.get(name)
    with run.seeded(seed):
        net = UNet(width=WIDTH)
    T = bug.options.get("T", 1000) if bug else 1000
    program = bug.broken() if bug else bugs.train
    steps = list(program(net, (IMAGES + 1) / 2, LABELS, T, STEPS, seed))
    return torch.tensor([loss for loss, _ in steps]).view(-1, 20).mean(1).tolist(), steps[-1][1].eval()


@torch.no_grad()
def loss_by_t(model: Denoiser, x0: Tensor) -> dict[str, list[float]]:
    """The loss of the network that draws at ten times, on 200 digits of its data."""
    T, g = len(model.alpha_bar) - 1, torch.Generator().manual_seed(1)
    times, losses = [max(1, T * k // 10) for k in range(11)], []
    for t in times:
        eps = torch.randn(x0.shape, generator=g)
        losses.append(training_loss(model, x0, torch.full((len(x0),), t), eps, LABELS[: len(x0)]).mean().item())
    return {"t": times, "loss": losses}


@torch.no_grad()
def drawn(name: str, model: Denoiser) -> list[tuple[Tensor, Tensor]]:
    """x0_hat and x of each step of a walk by N digits."""
    bug = bugs.BUGS.get(name)
    walk = bug.broken() if bug and bug.part is bugs.walk else bugs.walk
    options = bug.options if bug and bug.part is bugs.walk else {"paper_w": 8.0} if name == "right, guided" else {}
    return list(walk(model, ASKED, samplers.times(WALK, len(model.alpha_bar) - 1), 0, **options))


def probes(pictures: Tensor, film: list[tuple[Tensor, Tensor]]) -> dict:
    """Range of values, label counts, nearest neighbours; the x0_hat strip is a picture."""
    judge = pretrained.load("digit_classifier")
    read = metrics.predict(judge, pictures.clamp(-1, 1)).argmax(1)
    distance, place = metrics.nearest(pictures, IMAGES)
    ends = [(x.min().item(), x.max().item()) for x, _ in film]
    return {
        "lowest, highest": [pictures.min().item(), pictures.max().item()],
        "histogram": torch.histogram(pictures.flatten().clamp(-1.999, 1.999), EDGES)
        .hist.div(pictures.numel())
        .tolist(),
        "x0_hat": {"lowest": [low for low, _ in ends], "highest": [high for _, high in ends]},
        "read": read.bincount(minlength=10).tolist(),
        "as asked": (read == ASKED).float().mean().item(),
        "distance": distance.median().item(),
        "neighbours": place[:10, 0].tolist(),
    }


def frechet(pictures: Tensor) -> float:
    """The distance to real thumbnails, 1,000 of the digits, over the judge's features."""
    features = pretrained.load("digit_classifier").features
    real = bugs.thumbnails(IMAGES[torch.randperm(len(IMAGES), generator=torch.Generator().manual_seed(0))[:1000]])
    return metrics.frechet(metrics.embed(features, pictures), metrics.embed(features, real))


def one(name: str) -> tuple[dict, Tensor]:
    """All there is to know of a bug, or of the program without one, and its row of the sheet."""
    row: dict = {}
    model, x0 = pretrained.denoiser("digits"), IMAGES[:200]
    if name in TRAININGS:
        runs = [trained(name, seed) for seed in range(TRAININGS[name])]
        row["curves"], model = [curve for curve, _ in runs], runs[0][1]
        x0 = (x0 + 1) / 2 if name == "data left in [0, 1]" else x0
    film = drawn(name, model)
    pictures = film[-1][1]
    if name == "resized without smoothing before the Frechet distance":
        row["Frechet distance"] = {"right": frechet(bugs.thumbnails(pictures))}
        pictures = bugs.BUGS[name].broken()(pictures)
        row["Frechet distance"]["wrong"] = frechet(pictures)
    row |= {"loss by t": loss_by_t(model, x0), **probes(pictures, film)}
    moments = torch.linspace(0, WALK - 1, STRIP).round().int().tolist()
    strips = [film[k][0][i] for i in FOLLOWED for k in moments]
    return row, torch.cat([pictures[:SHOWN], torch.stack(strips)])


def paste(name: str, tiles: Tensor) -> None:
    """Write a row of the sheet."""
    sheet = Image.new("L", (28 * (SHOWN + STRIP * len(FOLLOWED)), 28 * len(ROWS)))
    if SHEET.exists():
        sheet.paste(Image.open(SHEET))
    for i, tile in enumerate(digits.to_pixels(tiles)):
        sheet.paste(Image.fromarray(tile.numpy()), (28 * i, 28 * ROWS.index(name)))
    sheet.save(SHEET, optimize=True)


def rounded(x: object) -> object:
    """Numbers to four digits, however deep they lie."""
    if isinstance(x, dict):
        return {key: rounded(value) for key, value in x.items()}
    if isinstance(x, list):
        return [rounded(value) for value in x]
    return float(f"{x:.4g}") if isinstance(x, float) else x


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--anew", action="store_true", help="make again what stands there already")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else {}
    about = {"steps": STEPS, "width": WIDTH, "walk": WALK, "drawn": N, "machine": run.machine()}
    for name in options.only:
        if name in rows and not options.anew:
            continue
        row, tiles = one(name)
        paste(name, tiles)
        rows[name] = rounded(row)
        print(name, {key: rows[name][key] for key in ("as asked", "lowest, highest", "distance")}, flush=True)
        RESULTS.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
