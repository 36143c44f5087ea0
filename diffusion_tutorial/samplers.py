"""Samplers: from static to a picture.

The ancestral step is derived in "Walk back from static", that for models that jump in "Jump after all", the others in "Take
fewer, bigger steps".

A sampler is one small step, `step(moment) -> x_s`; `sample` is the one loop that drives it along a decreasing list of
times and lets you watch. The `Moment` holds all that a step may use: most only read it, some ask it for fresh noise, one
asks it what the model guesses further on. A step that looks back is a class, whose objects remember.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial.forward import q_posterior
from diffusion_tutorial.noise import Source, fresh
from diffusion_tutorial.predictions import Guess, as_condition, clip_of, cut, guess, x0_from_eps
from diffusion_tutorial.schedules import at, check, check_step, snr


class State(NamedTuple):
    """Where a sampler is: x at time t; what the model guessed on the way here (None before the first guess)."""

    t: int
    x: Tensor
    x0_hat: Tensor | None = None
    eps_hat: Tensor | None = None


SPACINGS = ("trailing", "linspace", "leading", "logsnr", "karras")


def times(
    n: int, T: int = 1000, spacing: str = "trailing", alpha_bar: Float[Tensor, "times"] | None = None
) -> list[int]:
    """n + 1 whole times that fall to 0, so n steps; n = T takes every step. 1 <= n <= T.

    trailing  evenly from T down to 0                             (these three: Lin et al. 2023, table 2)
    linspace  evenly from T down to 1, then 0
    leading   evenly upwards from 1, then 0 at the end: with few steps it starts far below T, with too little noise
    logsnr    evenly in log(alpha_bar_t / (1 - alpha_bar_t)) from T down to 1, then 0  (Lu et al. 2022, 2206.00927)
    karras    evenly in sigma^(1/7), sigma^2 = (1 - alpha_bar_t) / alpha_bar_t, likewise  (Karras et al. 2022, eq. 5)

    The last two need `alpha_bar`, the first entry of which belongs to t = 0. Times that round to the same number are
    moved apart.
    """
    if not 1 <= n <= T:
        raise ValueError(f"expected between 1 and {T} steps, got {n}")
    share = torch.linspace(1, 0, n + 1, dtype=torch.float64)
    if spacing == "trailing":
        return (T * share).round().int().tolist()
    if spacing == "linspace":
        chosen = torch.linspace(T, 1, n, dtype=torch.float64).round().int().tolist()
    elif spacing == "leading":
        chosen = [1 + i * (T // n) for i in reversed(range(n))]
    elif spacing in ("logsnr", "karras"):
        if alpha_bar is None or len(check(alpha_bar)) != T + 1:
            raise ValueError(f'spacing "{spacing}" needs alpha_bar with {T + 1} entries, one for every t from 0 to {T}')
        ratio = snr(alpha_bar[1:].double().clamp(min=1e-12))  # at t = 1..T
        scale = ratio.log() if spacing == "logsnr" else -(ratio ** (-0.5 / 7))
        wanted = scale[-1] + (scale[0] - scale[-1]) * torch.linspace(0, 1, n, dtype=torch.float64)
        chosen = (1 + (scale - wanted[:, None]).abs().argmin(1)).tolist()
    else:
        raise ValueError(f"expected a spacing from {', '.join(SPACINGS)}, got {spacing}")
    for i in range(1, n):
        chosen[i] = min(chosen[i], chosen[i - 1] - 1)
    return [max(t, n - i) for i, t in enumerate(chosen)] + [0]


@dataclass(frozen=True)
class Moment:
    """All that a sampler may know of a step: where the walk is, what the model guesses there, where it goes next.

    x_t, x0_hat, eps_hat: (batch, ...); the guess is already cut to the range of the data. t, s: (batch,) whole times, s < t.
    noise(): fresh standard Gaussian noise of x_t's shape; who does not ask draws none. look(x, t): the model's `Guess`
    elsewhere, cut as well.
    """

    x_t: Tensor
    x0_hat: Tensor
    eps_hat: Tensor
    t: Tensor
    s: Tensor
    alpha_bar: Tensor
    noise: Callable[[], Tensor]
    look: Callable[[Tensor, Tensor], Guess]

    def back_at(self, x_t: Tensor) -> "Moment":
        """The same moment at another x_t, with the model's guess there."""
        return replace(self, x_t=x_t, **self.look(x_t, self.t)._asdict())


Step = Callable[[Moment], Tensor]


def moment(
    x_t: Float[Tensor, "batch ..."],
    eps_hat: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    s: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
    noise: Float[Tensor, "batch ..."] | None = None,
    denoiser: Callable[..., Tensor] | None = None,
    clip: float | None = 1.0,
) -> Moment:
    """A Moment from a guess that is there already, to take one step by hand: `ddim_step(moment(x_t, eps_hat, t, s, alpha_bar))`.

    x0_hat follows from eps_hat and is cut to [-clip, clip] (None: not at all). noise: what noise() is to return; without
    it, torch's own numbers. denoiser: who is asked by look().
    """
    check_step(t, s)
    x0_hat, eps_hat = cut(Guess(x0_from_eps(x_t, eps_hat, t, alpha_bar), eps_hat), x_t, t, alpha_bar, clip)

    def look(x: Tensor, t: Tensor) -> Guess:
        if denoiser is None:
            raise ValueError("this step looks ahead: say by `denoiser` whom to ask")
        return cut(guess(denoiser, x, t, alpha_bar), x, t, alpha_bar, clip)

    return Moment(x_t, x0_hat, eps_hat, t, s, alpha_bar, lambda: fresh(x_t) if noise is None else noise, look)


def ddpm_step(m: Moment) -> Float[Tensor, "batch ..."]:
    """x_s ~ q(x_s | x_t, x_0 = x0_hat): the ancestral step (Ho et al. 2020, algorithm 2 and eq. 7).

    The variance is the posterior's, the paper's "beta tilde"; it is 0 at s = 0, so the last step adds nothing.
    """
    mean, var = q_posterior(m.x_t, m.x0_hat, m.t, m.s, m.alpha_bar)
    return mean + torch.sqrt(var) * m.noise()


def ddim_step(m: Moment, eta: float = 0.0) -> Float[Tensor, "batch ..."]:
    """x_s = sqrt(alpha_bar_s) x0_hat + sqrt(1 - alpha_bar_s - sigma^2) eps_hat + sigma noise  (Song et al. 2020, eq. 12)
    sigma = eta sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t)) sqrt(1 - alpha_bar_t / alpha_bar_s)             (eq. 16)

    eta = 0 is deterministic: the same static gives the same picture, and no noise is drawn. eta = 1 is the ancestral step.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"expected eta from 0 (deterministic) to 1 (ancestral), got {eta}")
    a_t, a_s = at(m.alpha_bar, m.t, m.x_t), at(m.alpha_bar, m.s, m.x_t)
    if eta == 0:
        return torch.sqrt(a_s) * m.x0_hat + torch.sqrt(1 - a_s) * m.eps_hat
    sigma = eta * torch.sqrt((1 - a_s) / (1 - a_t) * (1 - a_t / a_s))
    direction = torch.sqrt((1 - a_s - sigma**2).clamp(min=0))
    return torch.sqrt(a_s) * m.x0_hat + direction * m.eps_hat + sigma * m.noise()


def heun_step(m: Moment) -> Float[Tensor, "batch ..."]:
    """The DDIM step with (eps_hat(x_t, t) + eps_hat(x_s, s)) / 2, x_s from a first try  (Karras et al. 2022, algorithm 1).

    In x / sqrt(alpha_bar) over sigma = sqrt((1 - alpha_bar) / alpha_bar) the DDIM step is Euler's, and this is Heun's:
    second order, two evaluations a step, one in the step to s = 0, where no noise is left to guess, or from where no signal is.
    It takes sigma for nearly straight over a step: where alpha_bar_T is tiny (the cosine schedule), evenly spaced times
    let sigma fall a thousandfold in the first step, and the picture suffers; take the spacing "logsnr" or "karras".
    """
    x_s = ddim_step(m)
    if (m.s == 0).any() or (m.alpha_bar[m.t] == 0).any():  # sigma is 0 or infinite at one end
        return x_s
    eps_hat = (m.eps_hat + m.look(x_s, m.s).eps_hat) / 2
    return ddim_step(replace(m, x0_hat=x0_from_eps(m.x_t, eps_hat, m.t, m.alpha_bar), eps_hat=eps_hat))


class DPMSolverPP:
    """DPM-Solver++(2M): second order with one evaluation a step, by looking back  (Lu et al. 2022, 2211.01095, algorithm 2).

    x_s = sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t)) x_t - sqrt(alpha_bar_s) (e^-h - 1) D
    D   = x0_hat + (h / (2 h_last)) (x0_hat - x0_hat_last)

    with h = lambda_s - lambda_t, lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)). The first step, which has nothing
    to look back on, and those from where no signal is left and to s = 0, where h is infinite, take D = x0_hat: there it is
    the DDIM step. An object remembers its last step, so each walk needs one of its own; give `sample` the class and it
    makes one.
    """

    def __init__(self) -> None:
        self.last: tuple[Tensor, Tensor, Tensor] | None = None  # (s, h, x0_hat) of the step before

    def __call__(self, m: Moment) -> Float[Tensor, "batch ..."]:
        """One step from t to s."""
        alpha_bar = m.alpha_bar.double()
        sigma, lambda_ = torch.sqrt(1 - alpha_bar), torch.log(alpha_bar / (1 - alpha_bar)) / 2
        h = at(lambda_, m.s, m.x_t) - at(lambda_, m.t, m.x_t)
        D = m.x0_hat
        if self.last is not None and torch.equal(self.last[0], m.t) and (m.s > 0).all():
            _, h_last, x0_hat_last = self.last
            D = m.x0_hat + h / (2 * h_last) * (m.x0_hat - x0_hat_last)
        self.last = m.s, h, m.x0_hat
        keep = at(sigma, m.s, m.x_t) / at(sigma, m.t, m.x_t)
        return keep * m.x_t - torch.sqrt(at(alpha_bar, m.s, m.x_t)) * torch.expm1(-h) * D


def jump_step(m: Moment) -> Float[Tensor, "batch ..."]:
    """x_s = sqrt(alpha_bar_s) x0_hat + sqrt(1 - alpha_bar_s) noise  (Song et al. 2023, arXiv 2303.01469, algorithm 1).

    The guessed picture, noised again with fresh noise: for a model that jumps, whose x0_hat is a picture at every t. At s = 0
    nothing is added, so one step from T is one jump. See "Jump after all".
    """
    a_s = at(m.alpha_bar, m.s, m.x_t)
    return torch.sqrt(a_s) * m.x0_hat + torch.sqrt(1 - a_s) * m.noise()


STEPS: dict[str, Step | type[DPMSolverPP]] = {  # by the command line's names
    "ddpm": ddpm_step, "ddim": ddim_step, "dpm++": DPMSolverPP, "heun": heun_step, "jump": jump_step
}  # fmt: skip


@dataclass(frozen=True)
class Walk:
    """How to get from static to a picture: which step, how many, at which times, under how much guidance."""

    sampler: str = "ddpm"
    steps: int = 1000
    spacing: str = "trailing"
    w: float = 1.0


def sample(
    denoiser: Callable[..., Tensor],
    x_T: Float[Tensor, "batch ..."],
    times: list[int],
    alpha_bar: Float[Tensor, "times"],
    cond: Tensor | None = None,
    step: Step | type = ddpm_step,
    generator: Source = None,
) -> Iterator[State]:
    """Walk x from times[0] to times[-1], yielding the State before the first step and after each one.

    `step` is one of STEPS or one of your own: it gets a `Moment` and returns x_s. `generator` makes the fresh noise of a
    step that asks for it, on the CPU, so that a seed means the same on any machine; with noise.Streams each picture has its
    own. x0_hat is cut to the range that the denoiser's `clip` names.
    >>> for state in sample(model, x_T, times(50), model.alpha_bar): ...
    >>> digits = state.x
    """
    T = len(check(alpha_bar)) - 1
    if not times or any(t <= s for t, s in zip(times, times[1:])) or times[-1] < 0 or times[0] > T:
        raise ValueError(f"expected times that fall from at most {T} to at least 0, got {times}")
    x_T = torch.as_tensor(x_T)
    if not x_T.is_floating_point() or x_T.ndim < 2 or not len(x_T):
        raise ValueError(f"expected a batch of static, at least one, as floats, got {tuple(x_T.shape)} {x_T.dtype}")
    cond = None if cond is None else _conditions(denoiser, cond, len(x_T))
    clip, step = clip_of(denoiser), step() if isinstance(step, type) else step

    def look(x: Tensor, t: Tensor) -> tuple[Guess, Tensor]:
        """The guess cut to the data's range, and eps_hat as the model had it."""
        raw = guess(denoiser, x, t, alpha_bar, cond)
        _finite(raw.eps_hat, f"the denoiser's answer at t = {t[0]}")
        return cut(raw, x, t, alpha_bar, clip), raw.eps_hat

    x = _finite(
        x_T if x_T.dtype == torch.float64 else x_T.float(), "x_T"
    )  # half precision would lose a small alpha_bar
    yield State(times[0], x)
    for t, s in zip(times, times[1:]):
        with torch.no_grad():
            t_batch, s_batch = torch.full((len(x),), t), torch.full((len(x),), s)
            (x0_hat, cut_eps), eps_hat = look(x, t_batch)
            x = step(
                Moment(
                    *(x, x0_hat, cut_eps, t_batch, s_batch, alpha_bar),
                    noise=partial(fresh, x, generator),
                    look=lambda x, t: look(x, t)[0],
                )
            )
        yield State(s, x, x0_hat, eps_hat)


def draw(denoiser: Callable[..., Tensor], x_T: Tensor, times: list[int], alpha_bar: Tensor, **options: Any) -> Tensor:
    """Run `sample` to its end and return only the last x."""
    return deque(sample(denoiser, x_T, times, alpha_bar, **options), maxlen=1).pop().x


def _conditions(denoiser: Callable[..., Tensor], cond: Any, n: int) -> Tensor:
    """The conditions as a tensor, looked at once, if the denoiser can tell which it knows."""
    cond = as_condition(cond)
    if cond.ndim == 0 or len(cond) != n:
        came = len(cond) if cond.ndim else f"{cond} alone"
        raise ValueError(f"expected a condition for each of the {n} pictures, got {came}")
    if hasattr(denoiser, "check"):
        denoiser.check(cond)
    return cond


def _finite(x: Tensor, name: str) -> Tensor:
    """x itself, or a ValueError: NaN travels to every pixel. Only where the look costs nothing: an accelerator is not waited for."""
    if x.is_cpu and not math.isfinite(x.sum()) and not x.isfinite().all():  # a sum is quick, and may be too large
        raise ValueError(f"expected finite numbers, but {name} holds NaN or infinity")
    return x
