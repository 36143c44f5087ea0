"""Training: show the network noised pictures, ask for the noise, nudge it. Derived in "Learn to guess the noise".

`Training` is one loop that yields a `Report` a step, so that a notebook can watch it, plot it and stop it; it keeps an
average of the weights (EMA), and a checkpoint from which it goes on exactly where it was.
"""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from diffusion_tutorial import files
from diffusion_tutorial.forward import q_sample
from diffusion_tutorial.predictions import Denoiser, v_from


def simple_loss(
    denoiser: Callable[..., Tensor],
    x0: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    eps: Float[Tensor, "batch ..."],
    alpha_bar: Float[Tensor, "times"],
    cond: Tensor | None = None,
) -> Float[Tensor, "batch"]:
    """mean over pixels of (eps - eps_hat(x_t, t))^2, one number a picture: L_simple (Ho et al. 2020, eq. 14)."""
    x_t = q_sample(x0, t, eps, alpha_bar)
    return (eps - denoiser(x_t, t, cond)).square().flatten(1).mean(1)


def training_loss(
    denoiser: Denoiser,
    x0: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    eps: Float[Tensor, "batch ..."],
    cond: Tensor | None = None,
) -> Float[Tensor, "batch"]:
    """What is minimised, one number a picture: the squared error of the network's own answer.

    For output "eps" that is `simple_loss`. For output "v" it is simple_loss / alpha_bar_t (Salimans & Ho 2022), the same
    error with the noisy end of the chain given its due weight.
    """
    x_t = q_sample(x0, t, eps, denoiser.alpha_bar)
    target = eps if denoiser.output == "eps" else v_from(x0, eps, t, denoiser.alpha_bar)
    return (target - denoiser.net(x_t, t, cond).float()).square().flatten(1).mean(1)


class Report(NamedTuple):
    """One step of training: its number, the seconds and share of the budget so far, and each picture's t and loss."""

    step: int
    seconds: float
    progress: float
    t: Tensor
    losses: Tensor


Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def shuffled(images: Float[Tensor, "n c h w"], labels: Int[Tensor, "n"]) -> Draw:
    """Training data from a fixed set: draw(m, generator) gives m of these pictures, any of them, and their labels."""
    if images.ndim != 4 or labels.shape != images.shape[:1] or not len(images):
        shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"expected pictures (n, c, h, w) and a label for each, got shapes {shapes}")
    if not torch.isfinite(images).all() or images.abs().max() > 1 or images.min() >= 0:
        raise ValueError(f"expected pictures in [-1, 1], got {images.min():.3g} to {images.max():.3g}")
    if labels.is_floating_point():
        raise ValueError(f"expected a whole number for each label, got {labels.dtype}")

    def draw(m: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        pick = torch.randint(len(images), (m,), generator=generator)
        return images[pick], labels[pick]

    return draw


def drop_labels(
    cond: Int[Tensor, "batch *one"], u: Float[Tensor, "batch"], share: float, null: Int[Tensor, "..."] | int
) -> Int[Tensor, "batch *one"]:
    """The null condition where a picture's own number u, even in [0, 1), is below the share (Ho & Salimans 2022, alg. 1)."""
    return torch.where((u < share).view(-1, *[1] * (cond.ndim - 1)), null, cond)


class Training:
    """Minimise `training_loss` with AdamW over random pictures, times, noises and conditions; iterate to train.

    draw(n, generator) gives n pictures in [-1, 1], (n, c, h, w), and what the network is told of them: `shuffled` draws
    from a fixed set, data.scenes makes them on the fly. A share `label_drop` of the conditions is replaced by the null
    one, so that the network also learns to draw without. The budget is `steps` or `seconds`, one of the two. The
    learning rate climbs over the first 5 % of it and then falls in a line to 0. Times are drawn by `draw_times`, with
    `t_bias`.

    `model` is the network as trained, `ema` its average over about the last `1 / (1 - ema_decay)` steps (fewer at the
    start), which draws better. A run with a budget in steps is a function of its arguments: the same seed gives the
    same weights on the same CPU, interrupted or not. `amp` computes the network in bfloat16 (default: where
    `bfloat16_pays`); `compile` hands it to torch.compile.

    >>> training = Training(denoiser, shuffled(images, labels), seconds=60)
    >>> for report in training: ...
    >>> model = training.ema
    """

    def __init__(
        self,
        model: Denoiser,
        draw: Draw,
        steps: int | None = None,
        seconds: float | None = None,
        batch_size: int = 32,
        lr: float = 4e-3,
        t_bias: float = 2.0,
        ema_decay: float = 0.999,
        label_drop: float = 0.1,
        seed: int = 0,
        amp: bool | None = None,
        compile: bool = False,
    ):
        budget = steps if seconds is None else seconds
        if (steps is None) == (seconds is None) or not 0 < budget < math.inf or (steps and steps != int(steps)):
            raise ValueError(f"expected a budget above 0 in steps or in seconds, got steps={steps}, seconds={seconds}")
        if batch_size < 1 or not 0 <= label_drop <= 1 or not 0 <= ema_decay < 1 or not lr > 0 or t_bias < 1:
            raise ValueError(
                "expected batch_size >= 1, label_drop in [0, 1], ema_decay in [0, 1), lr > 0 and t_bias >= 1; "
                f"got {batch_size=}, {label_drop=}, {ema_decay=}, {lr=}, {t_bias=}"
            )
        self.model, self.draw = model.train(), draw
        self.steps, self.budget = steps, seconds
        self.batch_size, self.lr, self.t_bias, self.label_drop = batch_size, lr, t_bias, label_drop
        self.device = next(model.parameters()).device
        self.amp = bfloat16_pays(self.device) if amp is None else amp
        if compile:
            model.net.compile()
        self.average = AveragedModel(model, multi_avg_fn=ema_update(ema_decay))
        self.optimizer = torch.optim.AdamW(model.parameters(), lr, betas=(0.9, 0.99), fused=True)
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.seconds = 0, 0.0

    @property
    def ema(self) -> Denoiser:
        """The averaged model, ready to sample from."""
        return self.average.module.eval()

    @property
    def progress(self) -> float:
        """The share of the budget that is used, 0 to 1."""
        return min(1.0, self.step / self.steps if self.steps else self.seconds / self.budget)

    def __iter__(self) -> Iterator[Report]:
        while self.progress < 1:
            began, step, state = time.perf_counter(), self.step, self.generator.get_state()
            try:
                t, losses = self._gradients()
                with _undivided():
                    self.optimizer.step()
                    self.average.update_parameters(self.model)
                    self.step += 1
                    self.seconds += time.perf_counter() - began
            except BaseException:  # Ctrl-C in the middle of a step: its random numbers are for the next attempt
                if self.step == step:
                    self.generator.set_state(state)
                raise
            yield Report(self.step, self.seconds, self.progress, t, losses)

    def _gradients(self) -> tuple[Tensor, Tensor]:
        """Times and losses of a new batch, the gradient of their mean left in the parameters."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * learning_rate(self.progress)
        x0, t, eps, cond = (x.to(self.device) for x in self._batch())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            losses = training_loss(self.model, x0, t, eps, cond)
        self.optimizer.zero_grad()
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        return t.cpu(), losses.detach().cpu()

    def _batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Everything random about a step, from one generator on the CPU."""
        n, g = self.batch_size, self.generator
        x0, cond = self.draw(n, g)
        u = torch.rand(n, generator=g, dtype=torch.float64)
        t = draw_times(u, len(self.model.alpha_bar) - 1, self.t_bias)
        eps = torch.randn(x0.shape, generator=g)
        cond = drop_labels(cond, torch.rand(n, generator=g), self.label_drop, self.model.null_like(cond))
        return x0, t, eps, cond

    def save(self, path: str | Path, **about) -> None:
        """Everything that the next step depends on, and `about`, in one file that is whole or not there."""
        tensors = self._lasting()
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
        files.write_tensors(path, tensors, {"kind": "checkpoint", "step": self.step, "seconds": self.seconds, **about})

    def resume(self, path: str | Path) -> None:
        """Go back to the moment of `save`. Raises files.BadFile, and changes nothing, if the file does not fit."""
        tensors, about = files.read_tensors(path)
        if not isinstance(about, dict) or about.get("kind") != "checkpoint":
            raise files.BadFile(f"{path} is not a checkpoint")
        if {name: (x.shape, x.dtype) for name, x in tensors.items()} != self._layout(about["step"]):
            raise files.BadFile(f"{path} is a checkpoint of another network")
        part = {name: {} for name in ("model", "average", "optimizer")}
        for key, value in tensors.items():
            head, _, rest = key.partition(".")
            part.get(head, {})[rest] = value
        optimizer = {**self.optimizer.state_dict(), "state": {}}
        parameters = list(self.model.parameters())
        for key, value in part["optimizer"].items():
            i, _, name = key.partition(".")
            if name != "step":  # the fused optimizer wants it in memory as its parameter is, colours first or last
                value = torch.empty_like(parameters[int(i)]).copy_(value)
            optimizer["state"].setdefault(int(i), {})[name] = value
        self.model.load_state_dict(part["model"])
        self.average.load_state_dict(part["average"])
        self.optimizer.load_state_dict(optimizer)
        self.generator.set_state(tensors["generator"])
        self.step, self.seconds = about["step"], about["seconds"]

    def _lasting(self) -> dict[str, Tensor]:
        """What a checkpoint holds from the first step on; the optimizer's memory comes with the first step."""
        tensors = {"generator": self.generator.get_state()}
        tensors |= {f"model.{k}": v for k, v in self.model.state_dict().items()}
        return tensors | {f"average.{k}": v for k, v in self.average.state_dict().items()}

    def _layout(self, step: int) -> dict[str, tuple[torch.Size, torch.dtype]]:
        """Name, shape and type of every tensor in a checkpoint of this training after `step` steps."""
        tensors = self._lasting()
        for i, p in enumerate(self.model.parameters() if step else ()):
            tensors |= {f"optimizer.{i}.step": torch.tensor(0.0)}
            tensors |= {f"optimizer.{i}.{k}": p for k in ("exp_avg", "exp_avg_sq")}
        return {name: (x.shape, x.dtype) for name, x in tensors.items()}


@contextlib.contextmanager
def _undivided() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, so that weights, average and step count never part ways."""
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or usual is None:  # where Ctrl-C does not arrive
        yield
        return
    pressed = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def bfloat16_pays(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 numbers in hardware: a GPU of 2020 or later, a CPU with AVX-512 BF16 or AMX.

    There the small U-Net trains up to 1.4 times as fast (benchmarks/README.md); elsewhere it gains little.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.10 does not tell
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def draw_times(u: Float[Tensor, "batch"], T: int, bias: float = 1.0) -> Int[Tensor, "batch"]:
    """t = 1 + floor(T u^(1/bias)), whole times in 1..T from numbers u, even in [0, 1).

    bias = 1 gives every t equally often (Ho et al. 2020, algorithm 1). bias = 2 gives t in proportion to t: three
    quarters of the times lie above T/2, where the shape of a digit is decided, and digits are readable sooner.
    """
    return 1 + (T * u ** (1 / bias)).floor().long().clamp(max=T - 1)


def learning_rate(progress: float, warm_up: float = 0.05) -> float:
    """The share of the full learning rate: up in a line over the first 5 % of the budget, then down in a line to 0."""
    return min(progress / warm_up + 1e-3, 1.0) * (1 - progress)


def ema_update(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    """average += (1 - d) (new - average), d = min(decay, (1 + n) / (10 + n)): short memory first, then long."""

    def update(averages: list[Tensor], news: list[Tensor], n: Tensor | int) -> None:
        d = min(decay, (1 + int(n)) / (10 + int(n)))
        for average, new in zip(averages, news):
            average.lerp_(new, 1 - d)

    return update
