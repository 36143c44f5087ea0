"""Samplers: from static to a picture. The ancestral step is derived in lesson 06.

A sampler is one small step, `step(x_t, eps_hat, t, s, alpha_bar, noise) -> (x_s, x0_hat)`; `sample` is the one loop
that drives it along a decreasing list of times and lets you watch.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial.forward import q_posterior
from diffusion_tutorial.predictions import x0_from_eps
from diffusion_tutorial.schedules import check


class State(NamedTuple):
    """Where a sampler is: x at time t; what the model guessed on the way here (None before the first guess)."""

    t: int
    x: Tensor
    x0_hat: Tensor | None = None
    eps_hat: Tensor | None = None


def times(n: int, T: int = 1000) -> list[int]:
    """n + 1 evenly spaced times from T down to 0, so n steps; n = T takes every step. 1 <= n <= T."""
    if not 1 <= n <= T:
        raise ValueError(f"expected between 1 and {T} steps, got {n}")
    return torch.linspace(T, 0, n + 1, dtype=torch.float64).round().int().tolist()


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
    x0_hat = x0_from_eps(x_t, eps_hat, t, alpha_bar)
    if clip is not None:
        x0_hat = x0_hat.clamp(-clip, clip)
    mean, var = q_posterior(x_t, x0_hat, t, s, alpha_bar)
    return mean + torch.sqrt(var) * noise, x0_hat


STEPS = {"ddpm": ddpm_step}  # by the names of the command line


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

    `generator` makes the fresh noise of every step (on the CPU, so that a seed means the same on any machine).
    >>> for state in sample(model, x_T, times(50), model.alpha_bar): ...
    >>> digits = state.x
    """
    T = len(check(alpha_bar)) - 1
    if not times or any(t <= s for t, s in zip(times, times[1:])) or times[-1] < 0 or times[0] > T:
        raise ValueError(f"expected times that fall from at most {T} to at least 0, got {times}")
    if cond is not None and len(cond) != len(x_T):
        raise ValueError(f"expected a condition for each of the {len(x_T)} pictures, got {len(cond)}")
    x = _finite(x_T, "x_T")
    yield State(times[0], x)
    for t, s in zip(times, times[1:]):
        t_batch, s_batch = (torch.full((len(x),), time, device=x.device) for time in (t, s))
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        with torch.no_grad():
            eps_hat = _finite(denoiser(x, t_batch, cond), f"the denoiser's answer at t = {t}")
            x, x0_hat = step(x, eps_hat, t_batch, s_batch, alpha_bar, noise)
        yield State(s, x, x0_hat, eps_hat)


def draw(denoiser: Callable[..., Tensor], x_T: Tensor, times: list[int], alpha_bar: Tensor, **options) -> Tensor:
    """Run `sample` to its end and return only the last x."""
    return deque(sample(denoiser, x_T, times, alpha_bar, **options), maxlen=1).pop().x


def _finite(x: Tensor, name: str) -> Tensor:
    """x itself, or a ValueError: NaN travels to every pixel, and only the last picture would show it."""
    if not x.isfinite().all():
        raise ValueError(f"expected finite numbers, but {name} holds NaN or infinity")
    return x
