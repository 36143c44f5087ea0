"""Exercises of "Take fewer, bigger steps": DDIM, a second-order step, the times."""

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion_tutorial import samplers, schedules
from diffusion_tutorial.checks.core import Exercise
from diffusion_tutorial.schedules import at


def _ddim(move, dial=lambda eta: eta):
    """A step that is made of other parts: move(m, a_t, a_s, sigma), sigma for another setting of the dial."""

    def step(m, eta):
        a_t, a_s = at(m.alpha_bar, m.t, m.x_t), at(m.alpha_bar, m.s, m.x_t)
        sigma = dial(eta) * torch.sqrt((1 - a_s) / (1 - a_t) * (1 - a_t / a_s))
        return move(m, a_t, a_s, sigma)

    return step


def _parts(m, picture, old, sigma):
    """The three parts of a step with these strengths."""
    return picture * m.x0_hat + old * m.eps_hat + sigma * m.noise()


def _left(a, sigma):
    """The strength that the old noise has left, once the fresh noise has taken its share."""
    return torch.sqrt((1 - a - sigma**2).clamp(min=0))


def _ddim_cases():
    generator = torch.Generator().manual_seed(707)
    x_t, eps_hat, noise = torch.randn(3, 4, 1, 3, 3, generator=generator)
    t, s = torch.tensor([[900, 500, 300, 30], [700, 350, 250, 0]])
    alpha_bars = schedules.cosine(), schedules.linear()
    return [(samplers.moment(x_t, eps_hat, t, s, ab, noise), eta) for ab in alpha_bars for eta in (0.0, 0.6, 1.0)]


Exercise(
    "ddim_step",
    answer=samplers.ddim_step,
    cases=_ddim_cases(),
    mistakes={
        "You scaled eps_hat for time t. The step arrives at s: the noise there has the strength sqrt(1 - alpha_bar_s), less "
        "what the fresh noise takes.": _ddim(
            lambda m, a_t, a_s, sigma: _parts(m, torch.sqrt(a_s), _left(a_t, sigma), sigma)
        ),
        "You scaled x0_hat for time t. The step arrives at s: the picture there has the factor sqrt(alpha_bar_s).": _ddim(
            lambda m, a_t, a_s, sigma: _parts(m, torch.sqrt(a_t), _left(a_s, sigma), sigma)
        ),
        "You noised x_t where x0_hat belongs. x_t still holds all of its noise: take the guessed picture, and noise "
        "that.": _ddim(
            lambda m, a_t, a_s, sigma: torch.sqrt(a_s) * m.x_t + _left(a_s, sigma) * m.eps_hat + sigma * m.noise()
        ),
        "You add noise at eta = 0. The dial is missing: sigma is eta times the ancestral step's deviation.": _ddim(
            lambda m, a_t, a_s, sigma: _parts(m, torch.sqrt(a_s), _left(a_s, sigma), sigma), dial=lambda eta: 1.0
        ),
        "The fresh noise is missing. At eta = 0 that is right; above it, add sigma times the noise.": _ddim(
            lambda m, a_t, a_s, sigma: _parts(m, torch.sqrt(a_s), _left(a_s, sigma), 0)
        ),
        "You multiplied the fresh noise by the variance sigma^2. Noise is multiplied by its standard deviation, sigma.": (
            _ddim(lambda m, a_t, a_s, sigma: _parts(m, torch.sqrt(a_s), _left(a_s, sigma), sigma**2))
        ),
        "You took sigma away from 1 - alpha_bar_s. That is a variance, and only variances subtract: sigma^2.": _ddim(
            lambda m, a_t, a_s, sigma: _parts(m, torch.sqrt(a_s), torch.sqrt((1 - a_s - sigma).clamp(min=0)), sigma)
        ),
        "Your noise is too strong: the fresh noise comes on top of all the old. Take its variance away from the old noise's: "
        "sqrt(1 - alpha_bar_s - sigma^2).": _ddim(
            lambda m, a_t, a_s, sigma: _parts(m, torch.sqrt(a_s), torch.sqrt(1 - a_s), sigma)
        ),
        "All your noise is fresh: at eta = 0 none of it should be. The old noise, eps_hat, comes along.": _ddim(
            lambda m, a_t, a_s, sigma: _parts(m, torch.sqrt(a_s), 0, torch.sqrt(1 - a_s))
        ),
    },
    nudge="x_s is made of three parts, picture, old noise and fresh noise: which strength has each at time s?",
)


def heun(u: Tensor, sigma: float, sigma_next: float, slope: Callable[[Tensor, float], Tensor]) -> Tensor:
    """u at sigma_next: step from u with the average of the slope here and the slope where a first try lands."""
    here = slope(u, sigma)
    tried = u + (sigma_next - sigma) * here
    there = slope(tried, sigma_next)
    return u + (sigma_next - sigma) * (here + there) / 2


def _two_looks(move):
    """heun with another move(u, sigma, sigma_next, slope, h, here, tried), h being the length of the step."""

    def step(u, sigma, sigma_next, slope):
        h = sigma_next - sigma
        here = slope(u, sigma)
        return move(u, sigma, sigma_next, slope, h, here, u + h * here)

    return step


def _gaussian_slope(u, sigma):
    """eps_hat of the perfect guesser where pictures are a Gaussian with mean 0.7 and standard deviation 0.5."""
    return sigma * (u - 0.7) / (0.25 + sigma**2)


Exercise(
    "heun",
    answer=heun,
    cases=[
        (torch.tensor([-2.0, 0.1, 1.5, 4.0]), 2.0, 1.2, _gaussian_slope),
        (torch.tensor([[0.3, -1.0]]), 0.8, 0.3, _gaussian_slope),
    ],
    mistakes={
        "That is Euler's step: one look. Look a second time, where it lands, and average the two slopes.": _two_looks(
            lambda u, a, b, slope, h, here, tried: tried
        ),
        "You added the two slopes and did not halve: the step is twice as long as it should be.": _two_looks(
            lambda u, a, b, slope, h, here, tried: u + h * (here + slope(tried, b))
        ),
        "Your second look is at sigma again. The try has arrived at sigma_next: ask for the slope there.": _two_looks(
            lambda u, a, b, slope, h, here, tried: u + h * (here + slope(tried, a)) / 2
        ),
        "Your second look is at u. Ask at the place that the first try reached.": _two_looks(
            lambda u, a, b, slope, h, here, tried: u + h * (here + slope(u, b)) / 2
        ),
        "You averaged the two places, u and the try: that goes half the way. Average the two slopes, and step from u.": (
            _two_looks(lambda u, a, b, slope, h, here, tried: (u + tried) / 2)
        ),
        "You used the second slope alone and threw the first away. Average the two.": _two_looks(
            lambda u, a, b, slope, h, here, tried: u + h * slope(tried, b)
        ),
        "You stepped on from the first try. It was only for looking: the real step starts from u.": _two_looks(
            lambda u, a, b, slope, h, here, tried: tried + h * (here + slope(tried, b)) / 2
        ),
        "You looked half-way and used that slope. This is the midpoint method, of second order too; Heun's averages the "
        "slopes at both ends.": _two_looks(
            lambda u, a, b, slope, h, here, tried: u + h * slope(u + h / 2 * here, (a + b) / 2)
        ),
        "You walked the wrong way: the step is sigma_next - sigma, which is negative on the way back.": _two_looks(
            lambda u, a, b, slope, h, here, tried: u - h * (here + slope(u - h * here, b)) / 2
        ),
    },
    nudge="Heun's step looks twice: at the place where it is, and at the place where a first try lands.",
)


def even_times(n: int, T: int) -> list[int]:
    """n + 1 whole times from T down to 0, as evenly as whole numbers allow."""
    return [round(T * (n - i) / n) for i in range(n + 1)]


Exercise(
    "choose_times",
    answer=even_times,
    cases=[(10, 1000), (7, 1000), (4, 1000), (3, 50), (1, 1000)],
    mistakes={
        "Your first time is below T: the static would be taken for a picture with some signal in it. This is the famous flaw "
        "of leading times; begin at T.": lambda n, T: [1 + i * (T // n) for i in reversed(range(n))] + [0],
        "You begin below T and make one step too few. n steps need n + 1 times, from T itself to 0.": lambda n, T: [
            i * (T // n) for i in reversed(range(n))
        ],
        "The 0 is missing: the walk would stop before the picture is clean. n steps need n + 1 times.": lambda n, T: (
            even_times(n, T)[:-1]
        ),
        "You chose n times, which makes n - 1 steps. n steps need n + 1 times, as a fence needs one post more than rails.": (
            lambda n, T: torch.linspace(T, 0, n).round().int().tolist()
        ),
        "Your times rise. The walk back starts at T and falls to 0.": lambda n, T: even_times(n, T)[::-1],
        "You begin at T - 1. Libraries that count from 0 call their last time so; here it is T.": lambda n, T: (
            even_times(n, T - 1)
        ),
        "You cut the fractions off. Take the *nearest* whole number: round(T * (n - i) / n).": (
            lambda n, T: [T * (n - i) // n for i in range(n + 1)]
        ),
        "Where n does not divide T you do not arrive at 0. Round each time by itself: round(T * (n - i) / n).": (
            lambda n, T: [T - i * (T // n) for i in range(n + 1)]
        ),
    },
    nudge="Count the times that n steps need, and look at the first and the last of yours.",
)
