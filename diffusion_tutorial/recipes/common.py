"""What all recipes share: the training under a progress bar with its checkpoints, the walk from static, the card."""

import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from diffusion_tutorial import files, pretrained, samplers
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.training import Draw, Training, bfloat16_pays

SCENES_SETTINGS = ("width", "predict", "batch", "lr", "t_bias", "seed", "precision")
DIGITS_SETTINGS = ("data", *SCENES_SETTINGS)  # what a run is made of, besides its budget
SAVE_EVERY = 30.0  # seconds between checkpoints
MILESTONES = [2.0**-k for k in range(8, -1, -1)]  # shares of the budget at which somebody may want to look


def device() -> str:
    """ "cuda" where torch finds a GPU that it can use, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the `with`, torch's own random numbers on the CPU begin at this seed; afterwards they go on as before."""
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)


def settle(settings: dict, out: Path, resume: bool) -> dict:
    """The settings with their precision decided; a ValueError if a run that is resumed was started with others."""
    if settings["precision"] == "auto":
        pays = bfloat16_pays(torch.device(device()))
        settings = settings | {"precision": "bfloat16" if pays else "float32"}
    if resume:
        started = files.read_tensors(out / "checkpoint.safetensors")[1].get("settings")
        if started != settings:
            raise ValueError(f"--resume: the run in {out} was started with {started}, not with {settings}")
    return settings


def train_denoiser(
    name: str,
    out: Path,
    settings: dict,
    model: Denoiser,
    draw: Draw,
    steps: int | None,
    seconds: float | None,
    resume: bool,
    compile: bool,
    measure: Callable[[Denoiser], dict],
    look: Callable[[Denoiser, int], None] = lambda model, step: None,
    begin: Callable[[], object] = lambda: None,
    **said,
) -> dict:
    """Train into `out`: checkpoint.safetensors on the way, <name>.safetensors and <name>.json at the end.

    begin() is called before the first step of a new run, look(average, step) at each of MILESTONES. measure(model) is asked of the weights as they were written;
    what it answers goes into the card, and so does `said`. Returns the card.
    """
    checkpoint = out / "checkpoint.safetensors"
    recipe = dict(batch_size=settings["batch"], lr=settings["lr"], t_bias=settings["t_bias"], seed=settings["seed"])
    recipe["amp"] = settings["precision"] == "bfloat16"
    training = Training(model.to(device()), draw, steps=steps, seconds=seconds, compile=compile, **recipe)
    if resume:
        training.resume(checkpoint)
    else:
        begin()
    _watch(training, lambda: training.save(checkpoint, settings=settings), look, out)
    sha256 = pretrained.write(out / f"{name}.safetensors", training.ema)
    budget = f"{steps}steps" if steps else f"{seconds:g}s"
    flags = [f"--{key.replace('_', '-')} {value}" for key, value in settings.items()]
    made = card(
        sha256,
        model,
        **said,
        output=model.output,
        schedule=f"cosine, T = {len(model.alpha_bar) - 1}",
        precision=settings["precision"],
        seed=settings["seed"],
        steps=training.step,
        batch_size=training.batch_size,
        seconds=round(training.seconds),
        **measure(pretrained.read(out / f"{name}.safetensors")),
        command=" ".join([f"diffusion-tutorial train {name}", *flags, "--budget", budget]),
    )
    pretrained.write_card(out / f"{name}.json", made)
    print(f"weights and card in {out}: {training.step} steps, {training.seconds:.0f} s")
    return made


def _watch(training: Training, save: Callable[[], None], look: Callable[[Denoiser, int], None], out: Path) -> None:
    """Run a training under a progress bar, with a checkpoint now and then, and one when it is interrupted."""
    saved, passed = time.monotonic(), sum(mark <= training.progress for mark in MILESTONES)
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
                if (marks := sum(mark <= report.progress for mark in MILESTONES)) > passed:
                    look(training.ema, report.step)
                    passed = marks
                if time.monotonic() - saved > SAVE_EVERY:
                    save()
                    saved = time.monotonic()
        save()
    except KeyboardInterrupt:
        save()
        print(f"\nstopped at step {training.step}; the same command with --resume goes on from {out}", file=sys.stderr)
        raise


def walk(
    denoiser: Callable[..., Tensor],
    alpha_bar: Float[Tensor, "times"],
    cond: Tensor,
    shape: tuple[int, int, int],
    steps: int,
    seed: int,
    sampler: str,
    spacing: str,
    batch: int,
) -> Float[Tensor, "n c h w"]:
    """A picture for each condition, from static, under a progress bar; the same for the same arguments."""
    generator = torch.Generator().manual_seed(seed)
    times = samplers.times(steps, spacing=spacing, alpha_bar=alpha_bar)
    drawn = []
    with tqdm(total=steps * -(-len(cond) // batch), desc="drawing", unit="step", file=sys.stderr, leave=False) as show:
        for part in cond.to(device()).split(batch):
            x_T = torch.randn(len(part), *shape, generator=generator).to(device())
            step = samplers.STEPS[sampler]
            for state in samplers.sample(denoiser, x_T, times, alpha_bar, part, step, generator):
                show.update(state.t < times[0])
            drawn.append(state.x.cpu())
    return torch.cat(drawn)


def card(sha256: str, model: nn.Module, model_is: str, data: str, licence: str, **run) -> dict:
    """A model card: what it is, its weights' sum, its size and data, then how this run made it."""
    return {
        "model": model_is,
        "sha256": sha256,
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": data,
        "licence": licence,
        "machine": machine(),
        **run,
    }


def machine() -> str:
    """Cores and software, for a card: what a reader needs to judge the seconds."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    threads = f"{torch.get_num_threads()} CPU thread{'s' if torch.get_num_threads() > 1 else ''}"
    return f"{threads}{gpu}, {platform.system()} {platform.machine()}, torch {torch.__version__}"
