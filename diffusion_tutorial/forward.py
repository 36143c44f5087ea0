"""The forward process: from a picture to static.

Derived in "Dissolve a picture"; its exact reverse step in "Why not one jump?".

Every function takes the noise as an argument, so nothing here is random and every equation can be read off.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial.schedules import at, beta_from, check_step


def as_pictures(
    images: Float[Tensor, "batch c h w"], shape: tuple[int, int, int] | None = None, beyond: bool = False
) -> Float[Tensor, "batch c h w"]:
    """The pictures as a tensor of floats in [-1, 1], where black is -1; a ValueError that says what came if they are none.

    Pictures of 64 pixels or more that are nowhere below 0 are refused: their range is [0, 1] or 0..255. (Of a toy's few
    pixels each may be light.) shape: the (c, h, w) that is wanted.
    beyond: values outside [-1, 1] are taken as well, as samples and noised pictures have them. What is no tensor yet, a
    numpy array or lists, becomes float32, and so does half precision.
    """
    try:
        x = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    except (TypeError, ValueError) as problem:
        raise ValueError(f"expected pictures as a tensor or an array, got {type(images).__name__}") from problem
    wanted = f"(batch, {', '.join(map(str, shape or ('channels', 'height', 'width')))})"
    if x.ndim != 4 or x.shape[1:] != (shape or x.shape[1:]) or not x.is_floating_point() or not len(x):
        raise ValueError(f"expected at least one picture, {wanted} of floats, got {tuple(x.shape)} {x.dtype}")
    x = x if isinstance(images, Tensor) and x.dtype == torch.float64 else x.float()
    low, high = x.min().item(), x.max().item()
    unsigned = low >= 0 and x[0, 0].numel() >= 64
    if not x.isfinite().all() or unsigned or (max(-low, high) > 1 and not beyond):
        hint = ", nothing darker than mid-grey; 2 x - 1 brings [0, 1] there" if unsigned else ""
        raise ValueError(f"expected pictures in [-1, 1], got {low:.3g} to {high:.3g}{hint}")
    return x


def q_step(
    x_prev: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    eps: Float[Tensor, "batch ..."],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) eps: one step of the chain (Ho et al. 2020, eq. 2).

    `t` is the step that is taken, 1..T; `eps` is fresh standard Gaussian noise of x's shape. beta_t is a variance.
    """
    beta = at(beta_from(alpha_bar), t, x_prev, eps)
    if (t < 1).any():
        raise ValueError(f"the first noising step is t = 1, got t = {t.min().item()}")
    return torch.sqrt(1 - beta) * x_prev + torch.sqrt(beta) * eps


def q_sample(
    x0: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    eps: Float[Tensor, "batch ..."],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps: any step at once (Ho et al. 2020, eq. 4).

    `eps` is the total noise in x_t, not the noise of the last step. At t = 0 the picture comes back unchanged.
    """
    a = at(alpha_bar, t, x0, eps)
    return torch.sqrt(a) * x0 + torch.sqrt(1 - a) * eps


def q_posterior(
    x_t: Float[Tensor, "batch ..."],
    x0: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    s: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
) -> tuple[Float[Tensor, "batch ..."], Float[Tensor, "..."]]:
    """Mean and variance of q(x_s | x_t, x_0), the step back from t to any earlier s (Ho et al. 2020, eq. 6 and 7).

    mean = sqrt(alpha_bar_s) beta / (1 - alpha_bar_t) x_0 + sqrt(alpha) (1 - alpha_bar_s) / (1 - alpha_bar_t) x_t
    var  = beta (1 - alpha_bar_s) / (1 - alpha_bar_t)
    with alpha = alpha_bar_t / alpha_bar_s and beta = 1 - alpha, which for s = t - 1 are alpha_t and beta_t.

    Returns the mean, of x_t's shape, and the variance, (batch, 1, ..., 1); at s = 0 they are x_0 and 0.
    """
    a_t, a_s = at(alpha_bar, t, x_t, x0), at(alpha_bar, s, x_t)
    check_step(t, s)
    alpha = a_t / a_s
    beta = 1 - alpha
    mean = torch.sqrt(a_s) * beta / (1 - a_t) * x0 + torch.sqrt(alpha) * (1 - a_s) / (1 - a_t) * x_t
    var = beta * (1 - a_s) / (1 - a_t)
    return mean, var
