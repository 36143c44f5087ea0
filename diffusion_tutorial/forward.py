"""The forward process: from a picture to static.

Derived in "Dissolve a picture"; its exact reverse step in "Why not one jump?".

Every function takes the noise as an argument, so nothing here is random and every equation can be read off.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial.schedules import at, beta_from, check_step


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
