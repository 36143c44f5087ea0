"""Twelve silent bugs, each made on purpose: the pictures, the loss curves and the probes of "Spot the bug".

    python benchmarks/bugs.py                     all of them: eight trainings of 400 steps
    python benchmarks/bugs.py --only "x0_hat not clipped"

Those in training: a network of width 16 on the 5,000 digits that come along, trained by the program of `diffusion_tutorial.bugs`
with one line of it changed, seed 0; the right program has three seeds. Those in drawing: the shipped model. Each draws twenty
digits, labels in turn, in 20 steps, seed 0. Numbers go to benchmarks/bugs.json after every bug, the digits and the guesses on the way to two
of them to a row of diffusion_tutorial/pretrained/bugs.png; what stands there is not made again, unless --anew.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from diffusion_tutorial import bugs, metrics, pretrained, run, samplers
from diffusion_tutorial.data import digits
from diffusion_tutorial.losses import training_loss
from diffusion_tutorial.models.unet import UNet

RESULTS = Path(__file__).with_suffix(".json")
SHEET = pretrained.FOLDER / "bugs.png"
KEPT = Path("runs/bugs")
STEPS, WIDTH, WALK = 400, 16, 20
TRAININGS = {  # how many seeds
    "right, small": 3,
    "data left in [0, 1]": 1,
    "T too small for its betas": 1,
    "labels hidden the wrong way round": 1,
    "the noise of one step as the target": 1,
    "an EMA that is too young": 1,
}
ROWS = ["right", "right, small", *bugs.BUGS, "right, guided"]
STRIP, FOLLOWED = 8, (3, 5)  # guesses of each followed digit
ASKED = torch.arange(20) % 10
IMAGES, LABELS = digits.load("sample")
EDGES = torch.linspace(-2, 2, 41)


def kept(name: str, what: str) -> Path:
    """Where something of a program is kept: pictures, weights and losses, so that nothing is done twice."""
    return KEPT / f"{re.sub('[^a-z0-9_]+', '-', name.lower())}.{what}"


def trained(name: str, seed: int) -> list[float]:
    """The loss, the mean of twenty steps at a time; the average that draws goes to a file."""
    bug, path = bugs.BUGS.get(name), kept(name, f"{seed}.json")
    if not path.exists():
        with run.seeded(seed):
            net = UNet(width=WIDTH)
        program, T = (bug.broken(), bug.options.get("T", 1000)) if bug else (bugs.train, 1000)
        steps = list(program(net, (IMAGES + 1) / 2, LABELS, T, STEPS, seed))
        pretrained.write(kept(name, f"{seed}.safetensors"), steps[-1][1])
        path.write_text(json.dumps(torch.tensor([loss for loss, _ in steps]).view(-1, 20).mean(1).tolist()))
    return json.loads(path.read_text())


@torch.no_grad()
def loss_by_t(model: nn.Module, x0: Tensor) -> dict[str, list[float]]:
    """The loss of the network that draws at ten times, on 200 digits of its data."""
    T, g = len(model.alpha_bar) - 1, torch.Generator().manual_seed(1)
    times, losses = [max(1, T * k // 10) for k in range(11)], []
    for t in times:
        eps = torch.randn(x0.shape, generator=g)
        losses.append(training_loss(model, x0, torch.full((len(x0),), t), eps, LABELS[: len(x0)]).mean().item())
    return {"t": times, "loss": losses}


@torch.no_grad()
def drawn(name: str, model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """x0_hat and x of each step of a walk by twenty digits, labels in turn."""
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


def frechet(resize: Callable[[Tensor], Tensor]) -> float:
    """From 1,000 real digits, made thumbnails in this way, to the thumbnails of 1,000 others, over the judge's features."""
    features, order = (
        pretrained.load("digit_classifier").features,
        torch.randperm(len(IMAGES), generator=torch.Generator().manual_seed(0)),
    )
    ours, others = (
        metrics.embed(features, x) for x in (resize(IMAGES[order[:1000]]), bugs.thumbnails(IMAGES[order[1000:2000]]))
    )
    return metrics.frechet(ours, others)


def one(name: str, right: dict | None) -> tuple[dict, Tensor]:
    """All there is to know of a bug, and its row of the sheet. right: the row of the program without one, whose network it shares."""
    row: dict = {}
    model, x0 = pretrained.load("digits"), IMAGES[:200]
    if name in TRAININGS:
        row["curves"] = [trained(name, seed) for seed in range(TRAININGS[name])]
        model = pretrained.read(kept(name, "0.safetensors"))
        x0 = (x0 + 1) / 2 if name == "data left in [0, 1]" else x0
    film = drawn(name, model)
    pictures = film[-1][1]
    if name in bugs.BUGS and bugs.BUGS[name].part is bugs.saved:
        pictures = bugs.BUGS[name].broken()(pictures) / 127.5 - 1
    if name in bugs.BUGS and bugs.BUGS[name].part is bugs.thumbnails:
        resize = bugs.BUGS[name].broken()
        pictures = resize(pictures)
        row["Frechet distance"] = {"right": frechet(bugs.thumbnails), "wrong": frechet(resize)}
    loss = loss_by_t(model, x0) if right is None or name in TRAININGS else right["loss by t"]
    row |= {"loss by t": loss, **probes(pictures, film)}
    moments = torch.linspace(0, WALK - 1, STRIP).round().int().tolist()
    strips = [film[k][0][i] for i in FOLLOWED for k in moments]
    return row, torch.cat([pictures, torch.stack(strips)])


def paste(name: str, tiles: Tensor) -> None:
    """Keep a program's row, and put the rows that there are on one sheet."""
    pixels = bugs.saved(tiles)[:, 0]
    Image.fromarray(torch.cat(list(pixels), dim=1).numpy()).save(kept(name, "png"))
    sheet = Image.new("L", (28 * len(tiles), 28 * len(ROWS)))
    for i, path in enumerate(kept(row, "png") for row in ROWS):
        if path.exists():
            sheet.paste(Image.open(path), (0, 28 * i))
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
    KEPT.mkdir(parents=True, exist_ok=True)
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else {}
    about = {"steps": STEPS, "width": WIDTH, "walk": WALK, "machine": run.machine()}
    for name in options.only:
        if name in rows and not options.anew:
            continue
        row, tiles = one(name, rows.get("right"))
        paste(name, tiles)
        rows[name] = rounded(row)
        print(name, {key: rows[name][key] for key in ("as asked", "lowest, highest", "distance")}, flush=True)
        RESULTS.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
