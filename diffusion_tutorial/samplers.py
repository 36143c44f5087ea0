"""Samplers: from static to a picture.

The ancestral step is derived in "Walk back from static", the others in "Take fewer, bigger steps".

A sampler is one small step, `step(x_t, eps_hat, t, s, alpha_bar, noise) -> (x_s, x0_hat)`; `sample` is the one loop
that drives it along a decreasing list of times and lets you watch. A step that looks ahead has one parameter more,
`denoise`, by which it asks for eps_hat elsewhere; a step that looks back is a class, whose objects remember.
"""

import inspect
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial.forward import q_posterior
from diffusion_tutorial.predictions import eps_from_x0, x0_from_eps
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


def ddpm_step(
    x_t: Float[Tensor, "batch ..."],
    eps_hat: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    s: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
    noise: Float[Tensor, "batch ..."],
    clip: float | None = 1.0,
) -> tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]]:
    """x_s ~ q(x_s | x_t, x_0 = x0_hat): the ancestral step (Ho et al. 2020, algorithm 2 and eq. 7).

    x0_hat follows from eps_hat and is cut to [-clip, clip] (None leaves it: for data that is not pictures).
    `noise` is fresh and standard Gaussian. The variance is the posterior's, the paper's "beta tilde"; it is 0 at s = 0,
    so the last step adds nothing. Returns x_s and x0_hat.
    """
    x0_hat = _picture(x_t, eps_hat, t, alpha_bar, clip)
    mean, var = q_posterior(x_t, x0_hat, t, s, alpha_bar)
    return mean + torch.sqrt(var) * noise, x0_hat


def ddim_step(
    x_t: Float[Tensor, "batch ..."],
    eps_hat: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    s: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
    noise: Float[Tensor, "batch ..."],
    eta: float = 0.0,
    clip: float | None = 1.0,
) -> tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]]:
    """x_s = sqrt(alpha_bar_s) x0_hat + sqrt(1 - alpha_bar_s - sigma^2) eps_hat + sigma noise  (Song et al. 2020, eq. 12)
    sigma = eta sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t)) sqrt(1 - alpha_bar_t / alpha_bar_s)             (eq. 16)

    eta = 0 is deterministic: the same static gives the same picture. eta = 1 is the ancestral step. Where x0_hat is cut
    to [-clip, clip], eps_hat is found anew from it, so that the two go on saying the same thing about x_t.
    Returns x_s and x0_hat.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"expected eta from 0 (deterministic) to 1 (ancestral), got {eta}")
    check_step(t, s)
    a_t, a_s = at(alpha_bar, t, x_t), at(alpha_bar, s, x_t, noise)
    x0_hat, eps_hat = _clipped(x_t, eps_hat, t, alpha_bar, clip)
    sigma = eta * torch.sqrt((1 - a_s) / (1 - a_t) * (1 - a_t / a_s))
    direction = torch.sqrt((1 - a_s - sigma**2).clamp(min=0))
    return torch.sqrt(a_s) * x0_hat + direction * eps_hat + sigma * noise, x0_hat


def heun_step(
    x_t: Float[Tensor, "batch ..."],
    eps_hat: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    s: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
    noise: Float[Tensor, "batch ..."],
    denoise: Callable[[Tensor, Tensor], Tensor],
    clip: float | None = 1.0,
) -> tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]]:
    """The DDIM step with (eps_hat(x_t, t) + eps_hat(x_s, s)) / 2, x_s from a first try  (Karras et al. 2022, algorithm 1).

    In x / sqrt(alpha_bar) over sigma = sqrt((1 - alpha_bar) / alpha_bar) the DDIM step is Euler's, and this is Heun's:
    second order, two evaluations a step, one in the step to s = 0, where no noise is left to guess.
    It takes sigma for nearly straight over a step: where alpha_bar_T is tiny (the cosine schedule), evenly spaced times
    let sigma fall a thousandfold in the first step, and the picture suffers; take the spacing "logsnr" or "karras".
    `denoise(x, t)` answers eps_hat; `sample` hands it over. Returns x_s and the x0_hat of the first look.
    """
    x_s, x0_hat = ddim_step(x_t, eps_hat, t, s, alpha_bar, noise, clip=clip)
    if (s > 0).all():
        _, eps_t = _clipped(x_t, eps_hat, t, alpha_bar, clip)
        _, eps_s = _clipped(x_s, denoise(x_s, s), s, alpha_bar, clip)
        x_s, _ = ddim_step(x_t, (eps_t + eps_s) / 2, t, s, alpha_bar, noise, clip=None)
    return x_s, x0_hat


class DPMSolverPP:
    """DPM-Solver++(2M): second order with one evaluation a step, by looking back  (Lu et al. 2022, 2211.01095, algorithm 2).

    x_s = sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t)) x_t - sqrt(alpha_bar_s) (e^-h - 1) D
    D   = x0_hat + (h / (2 h_last)) (x0_hat - x0_hat_last)

    with h = lambda_s - lambda_t, lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)). The first step, which has nothing
    to look back on, and the step to s = 0, where h is infinite, take D = x0_hat: there it is the DDIM step.
    An object remembers its last step, so each walk needs one of its own; give `sample` the class and it makes one.
    """

    def __init__(self):
        self.last = None  # (s, h, x0_hat) of the step before

    def __call__(
        self,
        x_t: Float[Tensor, "batch ..."],
        eps_hat: Float[Tensor, "batch ..."],
        t: Int[Tensor, "batch"],
        s: Int[Tensor, "batch"],
        alpha_bar: Float[Tensor, "times"],
        noise: Float[Tensor, "batch ..."],
        clip: float | None = 1.0,
    ) -> tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]]:
        """One step from t to s; returns x_s and x0_hat, cut to [-clip, clip] before it is used."""
        check_step(t, s)
        alpha_bar = alpha_bar.double()
        sigma, lambda_ = torch.sqrt(1 - alpha_bar), torch.log(alpha_bar / (1 - alpha_bar)) / 2
        h = at(lambda_, s, x_t) - at(lambda_, t, x_t)
        D = x0_hat = _picture(x_t, eps_hat, t, alpha_bar, clip)
        if self.last is not None and torch.equal(self.last[0], t) and (s > 0).all():
            _, h_last, x0_hat_last = self.last
            D = x0_hat + h / (2 * h_last) * (x0_hat - x0_hat_last)
        self.last = s, h, x0_hat
        keep = at(sigma, s, x_t) / at(sigma, t, x_t)
        return keep * x_t - torch.sqrt(at(alpha_bar, s, x_t)) * torch.expm1(-h) * D, x0_hat


STEPS = {"ddpm": ddpm_step, "ddim": ddim_step, "dpm++": DPMSolverPP, "heun": heun_step}  # by the command line's names


def sample(
    denoiser: Callable[..., Tensor],
    x_T: Float[Tensor, "batch ..."],
    times: list[int],
    alpha_bar: Float[Tensor, "times"],
    cond: Tensor | None = None,
    step: Callable[..., tuple[Tensor, Tensor]] = ddpm_step,
    generator: torch.Generator | None = None,
) -> Iterator[State]:
    """Walk x from times[0] to times[-1], yielding the State before the first step and after each one.

    `step` is one of STEPS or one of your own. `generator` makes the fresh noise of every step (on the CPU, so that a
    seed means the same on any machine).
    >>> for state in sample(model, x_T, times(50), model.alpha_bar): ...
    >>> digits = state.x
    """
    T = len(check(alpha_bar)) - 1
    if not times or any(t <= s for t, s in zip(times, times[1:])) or times[-1] < 0 or times[0] > T:
        raise ValueError(f"expected times that fall from at most {T} to at least 0, got {times}")
    if cond is not None and len(cond) != len(x_T):
        raise ValueError(f"expected a condition for each of the {len(x_T)} pictures, got {len(cond)}")

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        return _finite(denoiser(x, t, cond), f"the denoiser's answer at t = {t[0]}")

    step = step() if isinstance(step, type) else step
    ahead = {"denoise": denoise} if "denoise" in inspect.signature(step).parameters else {}
    x = _finite(x_T, "x_T")
    yield State(times[0], x)
    for t, s in zip(times, times[1:]):
        t_batch, s_batch = (torch.full((len(x),), time, device=x.device) for time in (t, s))
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        with torch.no_grad():
            eps_hat = denoise(x, t_batch)
            x, x0_hat = step(x, eps_hat, t_batch, s_batch, alpha_bar, noise, **ahead)
        yield State(s, x, x0_hat, eps_hat)


def draw(denoiser: Callable[..., Tensor], x_T: Tensor, times: list[int], alpha_bar: Tensor, **options) -> Tensor:
    """Run `sample` to its end and return only the last x."""
    return deque(sample(denoiser, x_T, times, alpha_bar, **options), maxlen=1).pop().x


def _finite(x: Tensor, name: str) -> Tensor:
    """x itself, or a ValueError: NaN travels to every pixel, and only the last picture would show it."""
    if not x.sum().isfinite():  # one NaN or infinity shows in the sum
        raise ValueError(f"expected finite numbers, but {name} holds NaN or infinity")
    return x


def _picture(x_t: Tensor, eps_hat: Tensor, t: Tensor, alpha_bar: Tensor, clip: float | None) -> Tensor:
    """x0_hat, cut to [-clip, clip]."""
    x0_hat = x0_from_eps(x_t, eps_hat, t, alpha_bar)
    return x0_hat if clip is None else x0_hat.clamp(-clip, clip)


def _clipped(x_t: Tensor, eps_hat: Tensor, t: Tensor, alpha_bar: Tensor, clip: float | None) -> tuple[Tensor, Tensor]:
    """x0_hat as `_picture` has it, and the eps_hat that goes with it."""
    x0_hat = _picture(x_t, eps_hat, t, alpha_bar, clip)
    return x0_hat, eps_hat if clip is None else eps_from_x0(x_t, x0_hat, t, alpha_bar)
