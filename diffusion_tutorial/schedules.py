"""Noise schedules: how much of the picture is left after t steps. Derived in "Dissolve a picture".

A schedule is one tensor, `alpha_bar`, with an entry for every t from 0 to T, so `alpha_bar[0] == 1` (the clean picture)
and `alpha_bar[T]` is close to 0 (static). `beta` has the same length, with `beta[0] == 0`. Libraries that start their
arrays at the first noisy step, diffusers among them, call our step t their step t - 1.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

T = 1000  # noising steps in the series


def linear(T: int = T, beta_1: float = 1e-4, beta_T: float = 0.02) -> Float[Tensor, "times"]:
    """beta_t rises evenly from beta_1 to beta_T (Ho et al. 2020, arXiv 2006.11239, section 4).

    Returns alpha_bar, (T + 1,) float64. The defaults belong to T = 1000: a shorter chain with the same betas does not
    reach static ("Dissolve a picture" measures what is left).
    """
    beta = torch.zeros(_steps(T) + 1, dtype=torch.float64)
    beta[1:] = torch.linspace(beta_1, beta_T, T, dtype=torch.float64)
    return alpha_bar_from(beta)


def cosine(T: int = T, s: float = 0.008, beta_max: float = 0.999) -> Float[Tensor, "times"]:
    """alpha_bar_t = f(t) / f(0), f(t) = cos^2( (t/T + s) / (1 + s) * pi/2 )  (Nichol & Dhariwal 2021, eq. 17).

    beta_t is held below `beta_max`, as in the paper, so that alpha_bar_T stays above 0. Returns (T + 1,) float64.
    """
    t = torch.arange(_steps(T) + 1, dtype=torch.float64)
    f = torch.cos((t / T + s) / (1 + s) * math.pi / 2) ** 2
    return alpha_bar_from(beta_from(f / f[0]).clamp(max=beta_max))


def zero_terminal_snr(alpha_bar: Float[Tensor, "times"]) -> Float[Tensor, "times"]:
    """Shift and stretch sqrt(alpha_bar) so that it ends at exactly 0 (Lin et al. 2023, arXiv 2305.08891, algorithm 1).

    sqrt(alpha_bar_1) stays where it was. With alpha_bar_T = 0 the picture cannot be found from the noise at t = T, so a
    model for such a schedule must predict v or x0 there.
    """
    if len(check(alpha_bar)) < 3:
        raise ValueError("expected at least two noising steps: with one, there is no step to keep and one to move to 0")
    root = alpha_bar.sqrt()
    rescaled = (root - root[-1]) * root[1] / (root[1] - root[-1])
    rescaled[0] = 1
    return rescaled**2


def check(alpha_bar: Float[Tensor, "times"]) -> Float[Tensor, "times"]:
    """alpha_bar itself, if it starts at 1, never rises and never leaves [0, 1]; else a ValueError that says what is wrong."""
    if not isinstance(alpha_bar, Tensor):
        raise ValueError(
            f"expected alpha_bar as a tensor, got {type(alpha_bar).__name__}: torch.as_tensor makes it one"
        )
    if alpha_bar.ndim != 1 or len(alpha_bar) < 2:
        raise ValueError(
            f"expected alpha_bar with an entry for every t from 0 to T, got shape {tuple(alpha_bar.shape)}"
        )
    if alpha_bar[0] != 1:
        raise ValueError(
            f"expected alpha_bar[0] == 1, the clean picture, got {alpha_bar[0]:.4g}; a list that starts at the first "
            "noisy step needs a 1 in front"
        )
    if not (alpha_bar.diff() <= 0).all() or not alpha_bar[-1] >= 0:
        raise ValueError(
            "expected an alpha_bar that falls from 1 towards 0; got one that rises, goes below 0 or holds NaN"
        )
    if not (alpha_bar[:-1] > 0).all():
        raise ValueError(
            f"expected alpha_bar above 0 before its end, got 0 from t = {(alpha_bar == 0).int().argmax()} on"
        )
    return alpha_bar


def alpha_bar_from(beta: Float[Tensor, "times"]) -> Float[Tensor, "times"]:
    """alpha_bar_t = (1 - beta_1) (1 - beta_2) ... (1 - beta_t)  (Ho et al. 2020, above eq. 4), with beta_0 = 0."""
    if beta[0] != 0 or not (beta.min() >= 0 and beta.max() <= 1):  # "not": NaN is neither
        raise ValueError(
            f"expected beta[0] == 0 and every beta in [0, 1]; got beta[0] = {beta[0]:.4g} "
            f"and values from {beta.min():.4g} to {beta.max():.4g}"
        )
    return torch.cumprod(1 - beta, dim=0)


def beta_from(alpha_bar: Float[Tensor, "times"]) -> Float[Tensor, "times"]:
    """beta_t = 1 - alpha_bar_t / alpha_bar_{t-1}, the variance added at step t, with beta_0 = 0."""
    beta = torch.zeros_like(check(alpha_bar))
    beta[1:] = 1 - alpha_bar[1:] / alpha_bar[:-1]
    return beta


def snr(alpha_bar: Float[Tensor, "times"]) -> Float[Tensor, "times"]:
    """SNR_t = alpha_bar_t / (1 - alpha_bar_t): signal variance over noise variance; infinite at t = 0."""
    return alpha_bar / (1 - alpha_bar)


def at(
    values: Float[Tensor, "times"], t: Int[Tensor, "batch"], x: Float[Tensor, "batch ..."], *others: Tensor
) -> Float[Tensor, "..."]:
    """values[t], shaped to multiply the batch `x`: (batch, 1, ..., 1), in x's dtype and on x's device.

    The one place where the package broadcasts over a batch. The look-up itself stops at a t outside 0..T, so the loops ask
    for nothing twice; `check_t` then says what was wrong. The `others` must have x's shape: torch would stretch them to
    fit, and no one would notice. Let t live where `values` does, on the CPU: then no accelerator is waited for, and what
    was found goes to a GPU in its turn.
    """
    for other in others:
        if other.shape != x.shape:
            raise ValueError(f"expected the same shape twice, got {tuple(x.shape)} and {tuple(other.shape)}")
    if not isinstance(t, Tensor) or t.shape != x.shape[:1]:
        check_t(t, x, len(values) - 1)
    try:
        found = values.index_select(0, t.to(values.device))
    except (IndexError, RuntimeError):
        check_t(t, x, len(values) - 1)
        raise
    return found.to(x, non_blocking=x.is_cuda).view(t.shape + (1,) * (x.ndim - 1))


def check_t(t: Int[Tensor, "batch"], x: Float[Tensor, "batch ..."], T: int) -> None:
    """A ValueError that says what came, unless t is a whole number in 0..T for each picture of the batch x."""
    if not isinstance(t, Tensor) or t.is_floating_point() or t.dtype == torch.bool or t.shape != x.shape[:1]:
        came = f"shape {tuple(t.shape)} of {t.dtype}" if isinstance(t, Tensor) else repr(t)
        raise ValueError(f"expected t as a tensor of whole numbers, one for each of the {len(x)} pictures; got {came}")
    if t.is_cpu:  # elsewhere the look would wait for the device
        times = t.tolist()  # for so few, Python's min and max are quicker than torch's
        if times and (min(times) < 0 or max(times) > T):
            raise ValueError(f"expected every t in 0..{T}, got {min(times)} to {max(times)}")


def check_step(t: Int[Tensor, "batch"], s: Int[Tensor, "batch"]) -> None:
    """A ValueError that says what came, unless every step leads back, from t to an earlier s."""
    if (s >= t).any():
        raise ValueError(f"expected s < t, got s = {s.tolist()} and t = {t.tolist()}")


def _steps(T: int) -> int:
    if T < 1 or T != int(T):
        raise ValueError(f"expected a whole number of noising steps, at least one; got T = {T}")
    return int(T)
