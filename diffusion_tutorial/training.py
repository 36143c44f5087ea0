"""Training: show the model pictures, ask, nudge it towards the right answer. Derived in "Learn to guess the noise".

`Training` is one loop for every loss of `losses`. It yields a `Report` a step, so that a notebook can watch it, plot it and
stop it; it keeps an average of the weights (EMA), and a checkpoint from which it goes on exactly where it was. On one CPU,
on a GPU or in several processes it is the same loop: what differs is said in `hardware` and `team`.
"""

import contextlib
import copy
import itertools
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diffusion_tutorial import files, hardware
from diffusion_tutorial.losses import Loss
from diffusion_tutorial.team import Team

STOPS = (signal.SIGINT, signal.SIGTERM)
LOOK_EVERY = 10  # steps: so often an accelerator is waited for, to see whether the losses are still finite


class Diverged(RuntimeError):
    """The loss is not finite any more: the weights are lost, and the last checkpoint is what is left."""


class Report(NamedTuple):
    """One step of training: its number, the seconds and share of the budget so far, what was shown, each picture's loss.

    `batch` is what the loss drew, on the CPU (for denoising x0, t, eps and cond); `losses` are where the model is. Of several
    processes each reports its share.
    """

    step: int
    seconds: float
    progress: float
    batch: tuple[Tensor, ...]
    losses: Tensor


class Training:
    """Minimise a loss with AdamW; iterate to train.

    The budget is `steps` or `seconds`, one of the two. The learning rate climbs over the share `warm_up` of it and then
    falls in a line to 0. `model` is as trained, `ema` its average over about the last `1 / (1 - ema_decay)` steps (fewer at
    the start), which draws better; ema_decay = 0 is the model itself. A run with a budget in steps is a function of its
    arguments: the same seed gives the same weights on the same CPU, interrupted or not. `rates` slows parts of the model:
    {"generator": 0.25} gives parameters whose names begin so a quarter of the learning rate. `amp` computes the model in
    bfloat16, or in torch.float16, whose slopes are scaled up so that small ones do not vanish (default: where
    `hardware.half` says that it pays); `compile` hands it to torch.compile. `team`: the processes that share each batch.

    >>> training = Training(denoiser, losses.Denoising(losses.shuffled(images, labels)), seconds=60)
    >>> for report in training: ...
    >>> model = training.ema
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        steps: int | None = None,
        seconds: float | None = None,
        batch_size: int = 32,
        lr: float = 4e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
        warm_up: float = 0.05,
        ema_decay: float = 0.999,
        seed: int = 0,
        amp: bool | torch.dtype | None = None,
        compile: bool = False,
        rates: Mapping[str, float] | None = None,
        team: Team | None = None,
    ):
        budget = steps if steps is not None else seconds
        if (steps is None) == (seconds is None) or not 0 < (budget or 0) < math.inf or (steps and steps != int(steps)):
            raise ValueError(f"expected a budget above 0 in steps or in seconds, got steps={steps}, seconds={seconds}")
        if batch_size < 1 or not 0 <= ema_decay < 1 or not lr > 0 or not 0 < warm_up < 1:
            raise ValueError(
                "expected batch_size >= 1, ema_decay in [0, 1), lr > 0 and warm_up in (0, 1); "
                f"got {batch_size=}, {ema_decay=}, {lr=}, {warm_up=}"
            )
        self.model, self.loss, self.team = model.train(), loss, team or Team()
        check_team(self.team, model, batch_size)
        self.steps, self.budget = steps, seconds
        self.batch_size, self.lr, self.warm_up = batch_size, lr, warm_up
        self.device = next(model.parameters()).device
        self.batch = self._batch if self.device.type == "cpu" else hardware.Ahead(self._batch)
        self.amp = hardware.half(self.device) if amp is None else torch.bfloat16 if amp is True else amp or None
        if self.device.type == "cuda":
            model.to(memory_format=torch.channels_last)
        if compile:
            getattr(model, "net", model).compile()
        self.average, self.ema_decay = copy.deepcopy(model), ema_decay
        groups = paced(model, rates or {})
        self.optimizer = torch.optim.AdamW(groups, lr, betas, weight_decay=weight_decay, fused=True)
        self.scaler = self._scaler()
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.seconds = 0, 0.0

    @property
    def ema(self) -> nn.Module:
        """The averaged model, ready to use."""
        return self.average.eval()

    @property
    def progress(self) -> float:
        """The share of the budget that is used, 0 to 1."""
        return min(1.0, self.step / self.steps if self.steps else self.seconds / (self.budget or math.inf))

    def __iter__(self) -> Iterator[Report]:
        while self.progress < 1:
            began, step, state = time.perf_counter(), self.step, self.generator.get_state()
            try:
                batch, losses = self._gradients()
                with undivided():
                    self._update(losses)
                    self.step += 1
                    self.seconds = self.team.agree(self.seconds + time.perf_counter() - began)
            except BaseException:  # Ctrl-C in the middle of a step: its random numbers are for the next attempt
                if self.step == step:
                    self.generator.set_state(state)
                raise
            yield Report(self.step, self.seconds, self.progress, batch, losses)

    def _gradients(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """A new batch and its losses, the gradient of their mean left in the parameters, times the scaler's scale."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * group["rate"] * learning_rate(self.progress, self.warm_up)
        batch = self.batch(self.generator)
        shown = (x.to(self.device, non_blocking=True) if x.is_floating_point() else x for x in batch)  # see losses.Loss
        with torch.autocast(self.device.type, self.amp or torch.bfloat16, enabled=self.amp is not None):
            losses = self.loss(self.model, *shown)
        self.optimizer.zero_grad()
        self.scaler.scale(losses.mean() * self.team.part(self.batch_size)).backward()
        self.team.add_up(p.grad for p in self.model.parameters() if p.grad is not None)
        return batch, losses.detach()

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """This process's share of a new batch, in memory that a GPU can fetch from by itself."""
        batch = self.loss.batch(self.model, self.batch_size, generator)
        pin = self.device.type == "cuda"
        return tuple(x.pin_memory() if pin and x.is_cpu else x for x in map(self.team.share, batch))

    def _update(self, losses: Tensor) -> None:
        """AdamW's step, with the gradient cut to length 1, and the average's. float16: none where a slope does not fit."""
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if self.device.type == "cpu" or (self.step + 1) % LOOK_EVERY == 0:
            self._check(norm, losses)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        update_average(self.average, self.model, self.step, self.ema_decay)

    def _check(self, norm: Tensor, losses: Tensor) -> None:
        if (
            self.scaler.is_enabled()
        ):  # slopes that do not fit are scaled down; if nothing is left to scale down, they are too steep
            well = losses.isfinite().all() and self.scaler.get_scale() >= 1
        else:
            well = norm.isfinite()
        if not well:
            raise Diverged(
                f"the loss or its slope is not finite at step {self.step + 1}, with a learning rate of {self.lr:g}: the "
                "training has run away; start again with a lower learning rate"
            )

    def _scaler(self) -> torch.amp.GradScaler:
        """Scales losses up, and slopes down again, in float16, where small slopes would be 0 (Micikevicius et al. 2018)."""
        return torch.amp.GradScaler(self.device.type, enabled=self.amp == torch.float16)

    def save(self, path: str | Path, **about: Any) -> None:
        """Everything that the next step depends on, and `about`, in one file that is whole or not there."""
        tensors = self._lasting()
        if not all(x.isfinite().all() for x in tensors.values()):
            raise Diverged(f"the weights are not finite after step {self.step}: start again with a lower learning rate")
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
        files.write_tensors(path, tensors, {"kind": "checkpoint", "step": self.step, "seconds": self.seconds, **about})

    def resume(self, path: str | Path) -> None:
        """Go back to the moment of `save`. Raises files.BadFile, and changes nothing, if the file does not fit."""
        tensors, about = read_checkpoint(path)
        if {name: (x.shape, x.dtype) for name, x in tensors.items()} != self._layout(about["step"]):
            raise files.BadFile(f"{path} is a checkpoint of another network, or of another precision")
        part: dict[str, dict[str, Tensor]] = {name: {} for name in ("model", "average", "optimizer", "scaler")}
        for key, value in tensors.items():
            head, _, rest = key.partition(".")
            part.setdefault(head, {})[rest] = value
        optimizer: dict[str, Any] = {**self.optimizer.state_dict(), "state": {}}
        parameters = list(self.model.parameters())
        for key, value in part["optimizer"].items():
            i, _, name = key.partition(".")
            if name != "step":  # the fused optimizer wants it in memory as its parameter is, colours first or last
                value = torch.empty_like(parameters[int(i)]).copy_(value)
            optimizer["state"].setdefault(int(i), {})[name] = value
        self.model.load_state_dict(part["model"])
        self.average.load_state_dict(part["average"])
        self.optimizer.load_state_dict(optimizer)
        self.scaler = self._scaler()  # without what a step that was broken off left in the old one
        self.scaler.load_state_dict({name: x.item() for name, x in part["scaler"].items()})
        self.generator.set_state(tensors["generator"])
        self.step, self.seconds = about["step"], about["seconds"]

    def _lasting(self) -> dict[str, Tensor]:
        """What a checkpoint holds from the first step on; the optimizer's memory comes with the first step."""
        tensors = {"generator": self.generator.get_state()}
        tensors |= {f"scaler.{k}": torch.tensor(v) for k, v in self.scaler.state_dict().items()}
        tensors |= {f"model.{k}": v for k, v in self.model.state_dict().items()}
        return tensors | {f"average.{k}": v for k, v in self.average.state_dict().items()}

    def _layout(self, step: int) -> dict[str, tuple[torch.Size, torch.dtype]]:
        """Name, shape and type of every tensor in a checkpoint of this training after `step` steps."""
        tensors = self._lasting()
        for i, p in enumerate(self.model.parameters() if step else ()):
            tensors |= {f"optimizer.{i}.step": torch.tensor(0.0)}
            tensors |= {f"optimizer.{i}.{k}": p for k in ("exp_avg", "exp_avg_sq")}
        return {name: (x.shape, x.dtype) for name, x in tensors.items()}


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a checkpoint and what is said about it; files.BadFile if the file is none."""
    tensors, about = files.read_tensors(path)
    wanted = {"step": int, "seconds": float}
    named = isinstance(about, dict) and about.get("kind") == "checkpoint"
    if not named or not all(isinstance(about.get(name), kind) for name, kind in wanted.items()):
        raise files.BadFile(f"{path} is not a checkpoint")
    return tensors, about


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait for the end of the block, so that weights, average and step count never part ways."""
    usual = {number: signal.getsignal(number) for number in STOPS}
    if threading.current_thread() is not threading.main_thread():  # signals arrive elsewhere
        yield
        return
    came: list[int] = []
    held = [number for number, handler in usual.items() if handler is not None]
    for number in held:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, usual[number])
        if came:
            signal.raise_signal(came[0])


def paced(model: nn.Module, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """The parameters in their order, as groups of AdamW, each with its share `rate` of the learning rate, 1 if none is named."""

    def rate(named: tuple[str, nn.Parameter]) -> float:
        return next((share for part, share in rates.items() if named[0].startswith(part)), 1.0)

    if not all(share > 0 for share in rates.values()):
        raise ValueError(f"expected shares of the learning rate above 0, got {dict(rates)}")
    parts = itertools.groupby(model.named_parameters(), rate)
    return [{"params": [p for _, p in part], "rate": share} for share, part in parts]


def check_team(team: Team, model: nn.Module, batch_size: int) -> None:
    """A ValueError unless processes that share a batch find what one would: a picture for each, and no layer that mixes them."""
    if batch_size < team.size:
        raise ValueError(f"expected a picture for each of {team.size} processes in a batch, got {batch_size}")
    if team.size > 1 and any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules()):
        raise ValueError(
            "BatchNorm looks at the whole batch, of which each process has a share: train this in one process"
        )


def learning_rate(progress: float, warm_up: float = 0.05) -> float:
    """The share of the full learning rate: up in a line over the share `warm_up` of the budget, then down in a line to 0."""
    return min(progress / warm_up + 1e-3, 1.0) * (1 - progress)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, n: int, decay: float) -> None:
    """average += (1 - d) (model - average), d = min(decay, (1 + n) / (10 + n)): short memory first, then long.

    n counts the updates before this one; the first takes the model as it is. Buffers, such as those of BatchNorm, are copied.
    """
    d = min(decay, (1 + n) / (10 + n)) if n else 0.0
    for old, new in zip(average.parameters(), model.parameters()):
        old.lerp_(new, 1 - d)
    for kept, now in zip(average.buffers(), model.buffers()):
        kept.copy_(now)
