"""Exercises of "Meet Gaussian noise": how strong is the fuzz?"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from diffusion_tutorial.checks.core import Exercise


def stronger_spots(n: int, sigma: float, threshold: float) -> float:
    """n P(|sigma eps| > threshold) = n erfc(threshold / (sigma sqrt(2))): how many of n dots to expect out there."""
    return n * math.erfc(threshold / (sigma * math.sqrt(2)))


def fuzz_of_variance(x0: Float[Tensor, "..."], variance: float, eps: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """x = x_0 + sqrt(variance) eps: what multiplies eps is a standard deviation, the root of the variance."""
    return x0 + math.sqrt(variance) * eps


def strength_of_sum(sigmas: list[float]) -> float:
    """sigma = sqrt(sigma_1^2 + sigma_2^2 + ...): independent fuzz adds in variance."""
    return math.sqrt(sum(sigma**2 for sigma in sigmas))


def sigma_from_patch(patch: Float[Tensor, "h w"]) -> Float[Tensor, ""]:
    """sigma_hat^2 = mean of (x - mean of x)^2: on a flat patch, everything that is not the mean is fuzz."""
    return torch.sqrt(torch.mean((patch - patch.mean()) ** 2))


def _noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


Exercise(
    "stronger_spots",
    answer=stronger_spots,
    cases=[(24576, 0.2, 0.4), (24576, 0.2, 0.6), (1000, 0.5, 0.4), (50000, 1.5, 4.0)],
    mistakes={
        "That is the share, from 0 to 1. How many dots is that, out of n?": lambda n, s, k: math.erfc(k / s / 2**0.5),
        "You counted one tail. Stronger spots are both too bright and too dark: |fuzz| > threshold.": lambda n, s, k: (
            n * math.erfc(k / s / 2**0.5) / 2
        ),
        "You counted the dots inside the threshold. The spots are the rest.": lambda n, s, k: (
            n * math.erf(k / s / 2**0.5)
        ),
        "sigma plays no part yet. erfc counts in sigmas: how many sigmas is the threshold?": lambda n, s, k: (
            n * math.erfc(k / 2**0.5)
        ),
        "You multiplied by sigma. The limit is given in units of the dot: how many sigmas fit into it?": lambda n, s, k: (
            n * math.erfc(k * s / 2**0.5)
        ),
        "You divided by the variance. The ruler for a distance is the standard deviation, sigma.": lambda n, s, k: (
            n * math.erfc(k / s**2 / 2**0.5)
        ),
    },
    nudge="How many standard deviations away is the threshold? That is the k of the formula.",
)

Exercise(
    "fuzz_of_variance",
    answer=fuzz_of_variance,
    cases=[
        (_noise(1, 3, 4), 0.25, _noise(2, 3, 4)),
        (_noise(3, 3, 2, 2), 0.02, _noise(4, 3, 2, 2)),
        (_noise(5, 9), 4.0, _noise(6, 9)),
    ],
    mistakes={
        "You multiplied eps by the variance. Scaling by s scales the variance by s squared, so this fuzz has variance "
        "variance². Take the root.": lambda x0, v, eps: x0 + v * eps,
        "You multiplied eps by variance². The root goes the other way.": lambda x0, v, eps: x0 + v**2 * eps,
        "That is the fuzz alone. Add it to x0.": lambda x0, v, eps: math.sqrt(v) * eps,
        "The root belongs on the variance only. Each eps keeps its sign and its size.": lambda x0, v, eps: (
            x0 + torch.sqrt(v * eps.abs())
        ),
    },
    nudge="Measure the variance of the fuzz that you added, and compare it with the one asked for.",
)

Exercise(
    "strength_of_sum",
    answer=strength_of_sum,
    cases=[([0.3, 0.4],), ([0.1] * 9,), ([0.5, 1.2, 0.2],), ([0.7],)],
    mistakes={
        "You added the sigmas. Independent fuzz partly cancels: its variances add, and sigma is the root of the total.": sum,
        "That is the variance of the sum. The strength is its root.": lambda sigmas: sum(s**2 for s in sigmas),
        "You took the root of the sum of sigmas. Square each sigma first.": lambda sigmas: math.sqrt(sum(sigmas)),
        "You averaged. Adding fuzz never makes it weaker than its strongest part.": lambda sigmas: (
            sum(sigmas) / len(sigmas)
        ),
        "You averaged the variances. They add.": lambda sigmas: math.sqrt(sum(s**2 for s in sigmas) / len(sigmas)),
    },
    nudge="Try two amounts by hand, 0.3 and 0.4: the triangle in the lesson has the answer.",
)

Exercise(
    "sigma_from_patch",
    answer=sigma_from_patch,
    cases=[(0.9 + 0.2 * _noise(7, 32, 32),), (-0.4 + 0.5 * _noise(8, 40, 24),), (0.05 * _noise(9, 64, 64) + 0.3,)],
    mistakes={
        "That is the variance, sigma². Take the root.": torch.var,
        "That is next to 0: the dots above the mean cancel those below it. Square the distances before you average.": (
            lambda patch: (patch - patch.mean()).mean()
        ),
        "You measured the distance from 0, so the grey of the sky counts as fuzz. Subtract the patch's mean first.": (
            lambda patch: patch.square().mean().sqrt()
        ),
        "That is the mean distance from the mean, about 0.8 sigma. Square the distances first, average, then take the "
        "root.": lambda patch: (patch - patch.mean()).abs().mean(),
        "You measured from the darkest dot to the brightest. That grows with the size of the patch; sigma does not.": (
            lambda patch: patch.max() - patch.min()
        ),
        "That is the mean: the colour of the sky, not its fuzz.": torch.mean,
    },
    nudge="A patch of one grey holds fuzz and its grey: what is left without the grey?",
    tolerance=2e-3,  # dividing by n or by n - 1 is a matter of taste
)
