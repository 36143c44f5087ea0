"""Three ways to say the same guess: the noise eps, the picture x0, or the velocity v.

Derived in "Ask the question well".

Given x_t, any one of the three gives the other two, because x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps.
`Denoiser` turns a network that answers eps or v into the one thing that the rest of the package talks to; `guess` asks any
denoiser for x0_hat and eps_hat together.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from diffusion_tutorial.schedules import at, check, check_t


def x0_from_eps(
    x_t: Float[Tensor, "batch ..."],
    eps: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """x0_hat = (x_t - sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_bar_t)  (Ho et al. 2020, eq. 15).

    Near t = T the division blows a small error of eps_hat up; where alpha_bar_t is 0 it cannot be done at all.
    """
    a = at(alpha_bar, t, x_t, eps)
    if 0 in alpha_bar.index_select(0, t.to(alpha_bar.device)).tolist():  # on the CPU: nothing waits for x's device
        raise ValueError("x0 cannot be found from the noise where alpha_bar_t is 0: no signal is left in x_t")
    return (x_t - torch.sqrt(1 - a) * eps) / torch.sqrt(a)


def eps_from_x0(
    x_t: Float[Tensor, "batch ..."],
    x0: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """eps_hat = (x_t - sqrt(alpha_bar_t) x0_hat) / sqrt(1 - alpha_bar_t); there is no noise to find at t = 0."""
    a = at(alpha_bar, t, x_t, x0)
    if 1 in alpha_bar.index_select(0, t.to(alpha_bar.device)).tolist():
        raise ValueError("eps cannot be found from the picture at t = 0: no noise has been added yet")
    return (x_t - torch.sqrt(a) * x0) / torch.sqrt(1 - a)


def v_from(
    x0: Float[Tensor, "batch ..."],
    eps: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x0  (Salimans & Ho 2022, arXiv 2202.00512, section 4)."""
    a = at(alpha_bar, t, x0, eps)
    return torch.sqrt(a) * eps - torch.sqrt(1 - a) * x0


def eps_from_v(
    x_t: Float[Tensor, "batch ..."],
    v: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """eps_hat = sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v_hat: a skip from x_t, and v scaled by the signal."""
    a = at(alpha_bar, t, x_t, v)
    return torch.sqrt(1 - a) * x_t + torch.sqrt(a) * v


def x0_from_v(
    x_t: Float[Tensor, "batch ..."],
    v: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """x0_hat = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v_hat: there is nothing to divide by, even where alpha_bar_t is 0."""
    a = at(alpha_bar, t, x_t, v)
    return torch.sqrt(a) * x_t - torch.sqrt(1 - a) * v


class Guess(NamedTuple):
    """What a model makes of x_t. The two say the same: x_t = sqrt(alpha_bar_t) x0_hat + sqrt(1 - alpha_bar_t) eps_hat."""

    x0_hat: Float[Tensor, "batch ..."]
    eps_hat: Float[Tensor, "batch ..."]


def guess(
    denoiser: Callable[..., Tensor],
    x_t: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
    cond: Tensor | None = None,
) -> Guess:
    """The denoiser's x0_hat and eps_hat at x_t, not yet cut to any range.

    A denoiser with a method `guess(x_t, t, cond)` is asked for both at once: one that answers v finds x0_hat even where
    no signal is left. Of any other the eps_hat is taken, and x0_hat follows from it.
    """
    if hasattr(denoiser, "guess"):
        return denoiser.guess(x_t, t, cond)
    eps_hat = denoiser(x_t, t, cond)
    return Guess(x0_from_eps(x_t, eps_hat, t, alpha_bar), eps_hat)


def cut(
    guess: Guess, x_t: Float[Tensor, "batch ..."], t: Int[Tensor, "batch"], alpha_bar: Tensor, clip: float | None
) -> Guess:
    """x0_hat cut to [-clip, clip], and eps_hat found anew from it, so that the two go on saying the same; None cuts nothing."""
    if clip is None:
        return guess
    x0_hat = guess.x0_hat.clamp(-clip, clip)
    return Guess(x0_hat, eps_from_x0(x_t, x0_hat, t, alpha_bar))


def clip_of(denoiser: Callable[..., Tensor]) -> float | None:
    """The range of a denoiser's data, its `clip`; 1, that of pictures, for one that does not say."""
    return getattr(denoiser, "clip", 1.0)


def as_condition(cond: Any) -> Tensor:
    """A condition as a tensor: numbers in a list or an array are one, too; a ValueError that says what came if it is none."""
    try:
        return torch.as_tensor(cond)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"expected a condition in numbers, one or one row for each picture, got {type(cond).__name__} {str(cond)[:60]!r}; "
            "words become numbers by the network's tokenizer"
        ) from None


class Denoiser(nn.Module):
    """model(x_t, t, cond) -> eps_hat, from a network whose raw output is read as "eps" or as "v".

    `alpha_bar` is the schedule that the network is trained for, and `clip` the range of its data, [-clip, clip], to which
    samplers cut x0_hat (None: no range, as for latents); `walk` names the sampler and the number of steps that suit it, where
    those of its subject do not. All three travel with the model. The network may run in a lower precision; eps_hat is always
    computed in float32. t and cond may live on the CPU, wherever the network is.
    """

    net: Any

    def __init__(
        self,
        net: nn.Module,
        alpha_bar: Float[Tensor, "times"],
        output: str = "eps",
        clip: float | None = 1.0,
        walk: tuple[str, int] | None = None,
    ):
        super().__init__()
        if output not in ("eps", "v"):
            raise ValueError(f'expected output "eps" or "v", got "{output}"')
        if clip is not None and not clip > 0:
            raise ValueError(f"expected the range of the data, clip > 0, or None for data without one; got {clip}")
        self.net, self.output, self.clip, self.walk = net, output, clip, walk
        self.alpha_bar = check(alpha_bar).double().cpu()  # no buffer: it stays where float64 exists

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where x_t and cond have to be; the CPU for a network without any."""
        return next(self.net.parameters(), self.alpha_bar).device

    def forward(
        self, x_t: Float[Tensor, "batch ..."], t: Int[Tensor, "batch"], cond: Tensor | None = None
    ) -> Float[Tensor, "batch ..."]:
        out = self.answer(x_t, t, cond)
        return out if self.output == "eps" else eps_from_v(x_t, out, t, self.alpha_bar)

    def guess(self, x_t: Float[Tensor, "batch ..."], t: Int[Tensor, "batch"], cond: Tensor | None = None) -> Guess:
        """x0_hat and eps_hat from one look."""
        out = self.answer(x_t, t, cond)
        if self.output == "eps":
            return Guess(x0_from_eps(x_t, out, t, self.alpha_bar), out)
        return Guess(x0_from_v(x_t, out, t, self.alpha_bar), eps_from_v(x_t, out, t, self.alpha_bar))

    def answer(self, x_t: Float[Tensor, "batch ..."], t: Int[Tensor, "batch"], cond: Tensor | None = None) -> Tensor:
        """The network's own answer, in float32: eps_hat or v_hat."""
        check_t(t, x_t, len(self.alpha_bar) - 1)
        cond = None if cond is None else as_condition(cond).to(x_t.device, non_blocking=x_t.is_cuda)
        return self.net(x_t.float(), t.to(x_t.device, non_blocking=x_t.is_cuda), cond).float()

    def check(self, cond: Tensor) -> None:
        """A ValueError that says what came, unless the network knows each of these conditions.

        `sample` asks it once: at every step the network looks at values only on the CPU, for a look elsewhere has to wait.
        """
        if hasattr(self.net, "check_cond"):
            self.net.check_cond(cond.cpu(), len(cond))

    def null_like(self, cond: Tensor) -> Tensor:
        """What stands for "any picture" in the shape of `cond`: the null condition that the network was trained with."""
        return self.net.null_like(cond)


class Around:
    """A denoiser around another. What it does not change is the inner one's, where that has it: see PASSED_ON."""

    PASSED_ON = ("alpha_bar", "clip", "null_like", "guess", "check", "device")

    def __init__(self, denoiser: Callable[..., Tensor]):
        self.denoiser: Any = denoiser

    def __getattr__(self, name: str) -> Any:
        if name not in self.PASSED_ON:
            raise AttributeError(f"{type(self).__name__} has no {name}; the denoiser within may: .denoiser.{name}")
        return getattr(self.denoiser, name)

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return self.denoiser(x_t, t, cond)


class Within(Around):
    """The same denoiser for data of another range: samplers cut x0_hat to [-clip, clip]; None cuts nothing."""

    def __init__(self, denoiser: Callable[..., Tensor], clip: float | None):
        super().__init__(denoiser)
        self.clip = clip
