"""Around a training or a drawing: device, seeds, precision, checkpoints, progress, the card. Behind the command.

`train` brings anything that can be trained (a subject's denoiser, a judge) from its settings to weights and card, in a folder
that an interrupted run goes on from. `draw` walks from static to pictures; `draw_at_once` asks a GAN for them.
"""

import os
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

from diffusion_tutorial import hardware, memory, pretrained, progress, samplers
from diffusion_tutorial.hardware import bfloat16_pays
from diffusion_tutorial.losses import Loss, Shuffled
from diffusion_tutorial.models.gan import Gan
from diffusion_tutorial.noise import Streams, fresh
from diffusion_tutorial.team import Team, join
from diffusion_tutorial.training import LOOK_EVERY, Training, read_checkpoint

FIRST_SAVE, SAVE_EVERY = 5.0, 30.0  # seconds until the first checkpoint, and between two
MILESTONES = [2.0**-k for k in range(8, -1, -1)]  # shares of the budget at which somebody may want to look
BATCH = 100  # pictures that are drawn at a time
PRECISIONS = {"float32": False, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
    """ "cuda" where torch finds a GPU that it can use, "mps" on a Mac that has one, else "cpu", or where accelerate is told so."""
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


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
    checkpoint, team = out / "checkpoint.safetensors", join(device())
    budget = f"{steps}steps" if steps else f"{seconds:g}s"
    if not (resume or anew):
        refuse_what_is_there(out, what.name)
    settings = settings | {"precision": _precision(settings["precision"])}
    before = _started(checkpoint, settings, what.unsaid) if resume else []
    model, loss = _begun(what, settings, team)
    recipe = dict(batch_size=settings["batch"], lr=settings["lr"], seed=settings["seed"], **what.training)
    how: dict[str, Any] = dict(amp=PRECISIONS[settings["precision"]], compile=compile, team=team)
    training = Training(model, loss, steps=steps, seconds=seconds, **how, **recipe)
    if resume:
        training.resume(checkpoint)
        _refuse_less(training, out / f"{what.name}.json", budget)
    elif team.main:
        what.begin(out)
    history = _history(before, budget, training.step)
    _watch(training, what, out, lambda: training.save(checkpoint, settings=settings, budgets=history))
    team.leave()
    return _written(training, what, out, settings, history, evaluate) if team.main else {}


def _begun(what: Trainable, settings: dict, team: Team) -> tuple[nn.Module, Loss]:
    """The untrained model, where it will be trained, and the loss, whose pictures are there too if they fit."""
    with seeded(settings["seed"]):
        model = what.new(settings).to(device())
    with team.first():
        loss = what.loss(settings)
    data, where = getattr(loss, "draw", None), next(model.parameters()).device
    if isinstance(data, Shuffled) and (free := hardware.free(where)):
        if memory.fits(memory.plan(model, loss, -(-settings["batch"] // team.size)), free):
            data.to(where)
    return model, loss


def _written(
    training: Training, what: Trainable, out: Path, settings: dict, history: list[tuple[str, int]], evaluate: int
) -> dict:
    """Weights and card; the card, with what was measured, is returned."""
    model, weights = what.kept(training.model), out / f"{what.name}.safetensors"
    size = sum(p.numel() for p in model.parameters())
    sha256 = pretrained.write(weights, what.kept(training.ema))
    made = what.about(training.model, settings) | {"sha256": sha256, "parameters": size}
    made |= _ran(training, settings) | what.measure(pretrained.read(weights), evaluate, out)
    card = made | {"command": _commands(what.command, _said(settings, what.unsaid), history, training.step)}
    pretrained.write_card(weights.with_suffix(".json"), card)
    print(f"weights and card in {out}: {training.step} steps, {training.seconds:.0f} s")
    return card


def plan(what: Trainable, settings: dict[str, Any]) -> None:
    """Print how much memory a training with these settings needs in each process, by calculation, and train nothing."""
    team = join(device())
    with seeded(settings["seed"]):
        model = what.new(settings)
    n = -(-settings["batch"] // team.size)
    print(
        f"memory by calculation, for {n} pictures a step in each process; activations in float32, of 16 bits they are less"
    )
    print(memory.plan(model, what.loss(settings), n))


def _ran(training: Training, settings: dict) -> dict:
    """The card's lines about how it was trained."""
    several = {"processes": training.team.size} if training.team.size > 1 else {}
    return {
        "machine": machine(),
        **several,
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
    if bfloat16_pays(torch.device(device())):
        return "bfloat16"
    return "float16" if device() == "cuda" else "float32"


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
    due, passed, loss, team = time.monotonic() + FIRST_SAVE, _passed(training.progress), None, training.team
    if not team.main:
        save = _nothing
    try:
        with _terminable(team), progress.bar("training", leave=True) as show:
            for report in training:
                if report.step % LOOK_EVERY == 0 or report.progress == 1:
                    mean = report.losses.mean().item()
                    loss = mean if loss is None else 0.8 * loss + 0.2 * mean
                    rate = report.step * training.batch_size / report.seconds
                    says = f"step {report.step}, {report.seconds:.0f} s, {rate:.0f} pictures/s, loss {loss:.3f}"
                    show.at(report.progress, says)
                if _passed(report.progress) > passed and team.main:
                    what.look(training.ema, out, report.step)
                    passed = _passed(report.progress)
                if time.monotonic() > due:
                    save()
                    due = time.monotonic() + SAVE_EVERY
                if team.told:
                    raise Ended if team.told == signal.SIGTERM else KeyboardInterrupt
        save()
    except KeyboardInterrupt:
        save()
        progress.note(f"\nstopped at step {training.step}; the same command with --resume goes on from {out}")
        raise


def _nothing() -> None:
    """What all but the main process write."""


def _passed(share: float) -> int:
    return sum(mark <= share for mark in MILESTONES)


@contextmanager
def _terminable(team: Team) -> Iterator[None]:
    """Within the `with`, SIGTERM is an interruption like Ctrl-C: Ended.

    In a team a signal only leaves a note, for one that stopped in the middle of a step would leave the others waiting.
    """

    def end(number: int, frame: object) -> None:
        if team.size == 1:
            raise Ended
        team.told = max(team.told, number)

    numbers = [signal.SIGTERM] if team.size == 1 else [signal.SIGTERM, signal.SIGINT]
    try:
        usual = [signal.signal(number, end) for number in numbers]
    except ValueError:  # not in the main thread, where signals arrive
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(numbers, usual):
            signal.signal(number, handler)


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
    gpu = ""
    if device() != "cpu":
        gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", its GPU by Metal"
    threads = f"{torch.get_num_threads()} CPU thread{'s' if torch.get_num_threads() > 1 else ''}"
    return f"{threads}{gpu}, {platform.system()} {platform.machine()}, torch {torch.__version__}"
