"""Ground truth: data that is a mixture of Gaussians, for which the best possible denoiser is known.

Used in "Why not one jump?".

Noise a mixture and it is a mixture still: component k moves to sqrt(alpha_bar) mean_k and its variance becomes
alpha_bar std_k^2 + 1 - alpha_bar. So the density, the score, the best eps and the reverse step are all closed-form.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial.predictions import Within
from diffusion_tutorial.schedules import check_t


class GaussianMixture:
    """p(x0) = sum_k weight_k N(x0; mean_k, std_k^2 I) in d dimensions.

    weights: (k,), positive, made to sum to 1. means: (k, d). stds: (k,), not negative;
    where one is 0, a density and a score exist only once the mixture is noised.
    """

    def __init__(self, weights: Float[Tensor, "k"], means: Float[Tensor, "k d"], stds: Float[Tensor, "k"]):
        if not (weights.shape == stds.shape == means.shape[:1] and means.ndim == 2):
            came = ", ".join(str(tuple(x.shape)) for x in (weights, means, stds))
            raise ValueError(f"expected weights (k,), means (k, d) and stds (k,), got the shapes {came}")
        if not ((weights > 0).all() and (stds >= 0).all() and means.isfinite().all()):
            raise ValueError("expected positive weights, finite means and standard deviations that are not negative")
        self.weights, self.means, self.stds = weights / weights.sum(), means, stds

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n d"]:
        """n independent draws: pick a component by its weight, then a point from it."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        return self.means[k] + self.stds[k, None] * noise

    def mean(self) -> Float[Tensor, "d"]:
        """sum_k weight_k mean_k."""
        return self.weights @ self.means

    def cov(self) -> Float[Tensor, "d d"]:
        """sum_k weight_k (std_k^2 I + mean_k mean_k^T) - mean mean^T."""
        d = self.means.shape[1]
        second = torch.einsum("k,ki,kj->ij", self.weights, self.means, self.means)
        return (
            (self.weights @ self.stds**2) * torch.eye(d).to(self.means) + second - torch.outer(self.mean(), self.mean())
        )

    def noised(self, a: float) -> "GaussianMixture":
        """The mixture of x_t = sqrt(a) x0 + sqrt(1 - a) eps, where a is alpha_bar_t."""
        return GaussianMixture(self.weights, math.sqrt(a) * self.means, torch.sqrt(a * self.stds**2 + 1 - a))

    def log_density(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """log p(x)."""
        return torch.logsumexp(self._log_parts(x), dim=1)

    def score(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """grad_x log p(x) = sum_k r_k(x) (mean_k - x) / std_k^2, r_k the share of component k at x."""
        share = torch.softmax(self._log_parts(x), dim=1) / self.stds**2
        return share @ self.means - share.sum(1, keepdim=True) * x

    def denoiser(self, alpha_bar: Float[Tensor, "times"]) -> Callable[..., Tensor]:
        """The best possible denoiser: eps_hat = -sqrt(1 - alpha_bar_t) grad log p_t(x_t)  (Dhariwal & Nichol 2021, eq. 11).

        A callable (x_t, t, cond=None) -> eps_hat, like every denoiser, for data without a range (`clip` is None). All of a
        batch must share one t.
        """

        def eps_hat(x_t: Float[Tensor, "n d"], t: Int[Tensor, "n"], cond: None = None) -> Float[Tensor, "n d"]:
            check_t(t, x_t, len(alpha_bar) - 1)
            a = alpha_bar[t[0]].item()
            if (t != t[0]).any():
                raise ValueError("the exact denoiser takes one t for the whole batch")
            return -math.sqrt(1 - a) * self.noised(a).score(x_t)

        return Within(eps_hat, None)  # points have no range, as pictures have

    def _log_parts(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """log(weight_k N(x; mean_k, std_k^2 I)) for every point and component."""
        d = x.shape[1]
        square = (x[:, None] - self.means).square().sum(-1) / self.stds**2
        return self.weights.log() - 0.5 * square - d * self.stds.log() - 0.5 * d * math.log(2 * math.pi)


def posterior_on_grid(
    mixture: GaussianMixture, x_t: float, t: int, s: int, alpha_bar: Float[Tensor, "times"], grid: Float[Tensor, "n"]
) -> Float[Tensor, "n"]:
    """q(x_s | x_t) by Bayes' rule, q(x_t | x_s) q(x_s) / q(x_t), for a 1-D mixture: its density at each grid point.

    The grid must be even and wide enough to hold the density; 0 <= s < t. The result integrates to 1 over the grid.
    """
    if not 0 <= s < t < len(alpha_bar):
        raise ValueError(f"expected 0 <= s < t <= {len(alpha_bar) - 1}, got s = {s} and t = {t}")
    alpha = (alpha_bar[t] / alpha_bar[s]).item()
    log_likelihood = -((x_t - math.sqrt(alpha) * grid) ** 2) / (2 * (1 - alpha))
    log_p = log_likelihood + mixture.noised(alpha_bar[s].item()).log_density(grid[:, None])
    p = torch.exp(log_p - log_p.max())
    return p / (p.sum() * (grid[1] - grid[0]))
