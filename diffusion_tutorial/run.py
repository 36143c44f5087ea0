"""Around a training or a drawing: device, seeds, precision, checkpoints, progress, the card. Behind the command.

`train` brings anything that can be trained (a subject's denoiser, a judge) from its settings to weights and card, in a folder
that an interrupted run goes on from. `draw` walks from static to pictures; `draw_at_once` asks a GAN for them.
"""

import platform
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffusion_tutorial import pretrained, progress, samplers
from diffusion_tutorial.losses import Loss
from diffusion_tutorial.models.gan import Gan
from diffusion_tutorial.noise import Streams, fresh
from diffusion_tutorial.training import LOOK_EVERY, Training, bfloat16_pays, read_checkpoint

FIRST_SAVE, SAVE_EVERY = 5.0, 30.0  # seconds until the first checkpoint, and between two
MILESTONES = [2.0**-k for k in range(8, -1, -1)]  # shares of the budget at which somebody may want to look
BATCH = 100  # pictures that are drawn at a time


class Ended(KeyboardInterrupt):
    """SIGTERM came: the machine is being shut down or taken away."""


@runtime_checkable
class Trainable(Protocol):
    """What `train` needs of what it trains; subjects.base says it in full."""

    name: str
    command: str
    unsaid: tuple[str, ...]
    training: dict[str, Any]

    def new(self, settings: dict) -> nn.Module:
        """The untrained model."""

    def loss(self, settings: dict) -> Loss:
        """What is minimised."""

    def kept(self, model: Any) -> nn.Module:
        """What of the model is written."""

    def begin(self, out: Path) -> None:
        """Before the first step of a new run."""

    def look(self, model: Any, out: Path, step: int) -> None:
        """At each milestone."""

    def about(self, model: Any, settings: dict) -> dict:
        """The first lines of the card."""

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """The lines of the card that are measured."""


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


def train(
    what: Trainable,
    out: Path,
    settings: dict[str, Any],
    steps: int | None,
    seconds: float | None,
    resume: bool = False,
    anew: bool = False,
    compile: bool = False,
    evaluate: int = 0,
) -> dict:
    """Train into `out`: checkpoint.safetensors on the way, <name>.safetensors and <name>.json at the end. Returns the card.

    settings: a value for each of what.settings; a resumed run must have those that it was started with. A run that is
    there already is not touched, unless it is to go on (`resume`) or to be replaced (`anew`). Ctrl-C and SIGTERM leave a
    checkpoint; a training that runs away stops and leaves the last good one.
    """
    checkpoint = out / "checkpoint.safetensors"
    budget = f"{steps}steps" if steps else f"{seconds:g}s"
    if not (resume or anew):
        refuse_what_is_there(out, what.name)
    settings = settings | {"precision": _precision(settings["precision"])}
    before = _started(checkpoint, settings, what.unsaid) if resume else []
    with seeded(settings["seed"]):
        model = what.new(settings).to(device())
    recipe = dict(batch_size=settings["batch"], lr=settings["lr"], seed=settings["seed"], **what.training)
    loss, amp = what.loss(settings), settings["precision"] == "bfloat16"
    training = Training(model, loss, steps=steps, seconds=seconds, compile=compile, amp=amp, **recipe)
    if resume:
        training.resume(checkpoint)
        _refuse_less(training, out / f"{what.name}.json", budget)
    else:
        what.begin(out)
    history = _history(before, budget, training.step)
    _watch(training, what, out, lambda: training.save(checkpoint, settings=settings, budgets=history))
    weights = out / f"{what.name}.safetensors"
    size = sum(p.numel() for p in what.kept(model).parameters())
    sha256 = pretrained.write(weights, what.kept(training.ema))
    made = what.about(model, settings) | {"sha256": sha256, "parameters": size}
    made |= _ran(training, settings) | what.measure(pretrained.read(weights), evaluate, out)
    card = made | {"command": _commands(what.command, _said(settings, what.unsaid), history, training.step)}
    pretrained.write_card(weights.with_suffix(".json"), card)
    print(f"weights and card in {out}: {training.step} steps, {training.seconds:.0f} s")
    return card


def _ran(training: Training, settings: dict) -> dict:
    """The card's lines about how it was trained."""
    return {
        "machine": machine(),
        "precision": settings["precision"],
        "seed": settings["seed"],
        "steps": training.step,
        "batch_size": training.batch_size,
        "seconds": round(training.seconds),
        "pictures_per_second": round(training.step * training.batch_size / training.seconds),
    }


def refuse_what_is_there(out: Path, name: str) -> None:
    """A ValueError if a folder holds a run already, or weights of this name."""
    for left in (f"{name}.safetensors", "checkpoint.safetensors"):
        if (out / left).exists():
            raise ValueError(
                f"--out: there is a run in {out} already ({left}): go on with it by --resume, replace it by --anew, or name "
                "another folder"
            )


def _precision(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    return "bfloat16" if bfloat16_pays(torch.device(device())) else "float32"


def _said(settings: dict, unsaid: tuple[str, ...]) -> dict:
    return {name: value for name, value in settings.items() if name not in unsaid}


def _started(checkpoint: Path, settings: dict, unsaid: tuple[str, ...]) -> list[tuple[str, int]]:
    """The budgets that a run has had, if it was started with these settings; a ValueError that names what differs if not."""
    about = read_checkpoint(checkpoint)[1]
    started = about.get("settings", {})
    differ = [name for name in settings | started if started.get(name) != settings.get(name)]
    if differ:
        named = {name: name if name in unsaid else _flag(name) for name in differ}
        flags = ", ".join(f"{named[name]} {started.get(name)}, not {settings.get(name)}" for name in differ)
        raise ValueError(f"--resume: the run in {checkpoint.parent} was started with {flags}")
    return [(budget, step) for budget, step in about.get("budgets", [])]


def _refuse_less(training: Training, card: Path, budget: str) -> None:
    """A run that has had this budget, or more, has nothing left to do."""
    more = training.steps is not None and training.step > training.steps
    if more or (training.progress >= 1 and card.exists()):
        had = f"{training.step} steps in {training.seconds:.0f} s"
        raise ValueError(
            f"--budget: the run in {card.parent} has had {had} already; expected more than that, got {budget}"
        )


def _history(before: list[tuple[str, int]], budget: str, step: int) -> list[tuple[str, int]]:
    """Each budget that the run was given, with the step from which it counted."""
    return before if before and before[-1][0] == budget else [*before, (budget, step)]


def _commands(what: str, settings: dict, history: list[tuple[str, int]], step: int) -> str:
    """The command that makes these weights; several where the budget was changed on the way."""
    flags = " ".join(_option(key, value) for key, value in settings.items() if value is not None)
    ends = [start for _, start in history[1:]] + [step]
    said = []
    for i, ((budget, _), end) in enumerate(zip(history, ends)):
        stopped = "" if i == len(history) - 1 or budget == f"{end}steps" else f" (stopped at step {end})"
        resume = "--resume " if i else ""
        said.append(f"diffusion-tutorial train {what} {flags} {resume}--budget {budget}{stopped}")
    return "; then ".join(said)


def _option(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return _flag(name) if value else f"--no-{name.replace('_', '-')}"
    return f"{_flag(name)} {shlex.quote(str(value))}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _watch(training: Training, what: Trainable, out: Path, save: Callable[[], None]) -> None:
    """Run a training under a progress bar, with a checkpoint now and then, and one when it is interrupted."""
    due, passed, loss = time.monotonic() + FIRST_SAVE, _passed(training.progress), None
    try:
        with _terminable(), progress.bar("training", leave=True) as show:
            for report in training:
                if report.step % LOOK_EVERY == 0 or report.progress == 1:
                    mean = report.losses.mean().item()
                    loss = mean if loss is None else 0.8 * loss + 0.2 * mean
                    rate = report.step * training.batch_size / report.seconds
                    says = f"step {report.step}, {report.seconds:.0f} s, {rate:.0f} pictures/s, loss {loss:.3f}"
                    show.at(report.progress, says)
                if _passed(report.progress) > passed:
                    what.look(training.ema, out, report.step)
                    passed = _passed(report.progress)
                if time.monotonic() > due:
                    save()
                    due = time.monotonic() + SAVE_EVERY
        save()
    except KeyboardInterrupt:
        save()
        progress.note(f"\nstopped at step {training.step}; the same command with --resume goes on from {out}")
        raise


def _passed(share: float) -> int:
    return sum(mark <= share for mark in MILESTONES)


@contextmanager
def _terminable() -> Iterator[None]:
    """Within the `with`, SIGTERM is an interruption like Ctrl-C: Ended."""

    def end(number: int, frame: object) -> None:
        raise Ended

    try:
        usual = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not in the main thread, where signals arrive
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


def draw(
    denoiser: Callable[..., Tensor],
    alpha_bar: Float[Tensor, "times"],
    cond: Tensor,
    shape: tuple[int, int, int],
    walk: "samplers.Walk",
    seed: int,
    pictures: Sequence[int] | None = None,
    batch: int = BATCH,
) -> Float[Tensor, "n c h w"]:
    """A picture for each condition, from static, under a progress bar.

    Picture i's random numbers belong to (seed, i): it is the same whatever else is drawn. `pictures` are the numbers i
    (default: 0, 1, 2, ...).
    """
    numbers = range(len(cond)) if pictures is None else pictures
    times = samplers.times(walk.steps, len(alpha_bar) - 1, walk.spacing, alpha_bar)
    parts = [*zip(cond.split(batch), (numbers[i : i + batch] for i in range(0, len(cond), batch)))]
    drawn = []
    with progress.bar("drawing") as show:
        for done, (part, own) in enumerate(parts):
            source = Streams(seed, own)
            x_T = fresh(torch.empty(len(part), *shape, device=device()), source)
            step = samplers.STEPS[walk.sampler]
            for i, state in enumerate(
                samplers.sample(denoiser, x_T, times, alpha_bar, part.to(device()), step, source)
            ):
                show.at((done + i / walk.steps) / len(parts))
                x = state.x
            drawn.append(x.cpu())
    return torch.cat(drawn)


@torch.no_grad()
def draw_at_once(
    model: Gan, cond: Tensor, seed: int, pictures: Sequence[int] | None = None, batch: int = BATCH
) -> Float[Tensor, "n c h w"]:
    """A picture for each label, each from its own static in one call; picture i's random numbers belong to (seed, i)."""
    model.check_cond(cond, len(cond))
    numbers, drawn = range(len(cond)) if pictures is None else pictures, []
    for i, part in enumerate(cond.split(batch)):
        source = Streams(seed, numbers[i * batch : (i + 1) * batch])
        z = fresh(torch.empty(len(part), model.z, device=device()), source)
        drawn.append(model(z, part.to(z.device)).cpu())
    return torch.cat(drawn)


def machine() -> str:
    """Cores and software, for a card: what a reader needs to judge the seconds."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    threads = f"{torch.get_num_threads()} CPU thread{'s' if torch.get_num_threads() > 1 else ''}"
    return f"{threads}{gpu}, {platform.system()} {platform.machine()}, torch {torch.__version__}"
