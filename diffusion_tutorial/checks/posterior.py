"""Exercises of "Why not one jump?": a step back by Bayes' rule, the best guess, how many steps suffice."""

import math

import torch
from torch import Tensor

from diffusion_tutorial import forward, schedules
from diffusion_tutorial.checks.core import Exercise
from diffusion_tutorial.schedules import at


def _combine(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """1 / var = 1 / var_1 + 1 / var_2 and mean = var (mean_1 / var_1 + mean_2 / var_2)."""
    (m1, v1), (m2, v2) = first, second
    var = 1 / (1 / v1 + 1 / v2)
    return var * (m1 / v1 + m2 / v2), var


def _opinions(x_t, x0, t, s, alpha_bar, *, past=None):
    """The two opinions about x_s, from x_0 and from x_t; `past` is what alpha is divided by, alpha_bar_s if not given."""
    a_t, a_s = at(alpha_bar, t, x_t), at(alpha_bar, s, x_t)
    alpha = a_t / (a_s if past is None else past)
    return (torch.sqrt(a_s) * x0, 1 - a_s), (x_t / torch.sqrt(alpha), (1 - alpha) / alpha)


def _swapped(*args):
    (m1, v1), (m2, v2) = _opinions(*args)
    return (v1 * m1 + v2 * m2) / (v1 + v2), 1 / (1 / v1 + 1 / v2)


def _averaged(*args):
    (m1, v1), (m2, v2) = _opinions(*args)
    return (m1 + m2) / 2, 1 / (1 / v1 + 1 / v2)


def _spreads(*args):
    """Standard deviations where variances are asked for; the result is one as well."""
    (m1, v1), (m2, v2) = _opinions(*args)
    return _combine((m1, torch.sqrt(v1)), (m2, torch.sqrt(v2)))


def _future(opinion):
    """The step back with another second opinion, from x_t, alpha and beta."""

    def wrong(x_t, x0, t, s, alpha_bar):
        first, _ = _opinions(x_t, x0, t, s, alpha_bar)
        alpha = at(alpha_bar, t, x_t) / at(alpha_bar, s, x_t)
        return _combine(first, opinion(x_t, alpha, 1 - alpha))

    return wrong


def _past_unrooted(x_t, x0, t, s, alpha_bar):
    (_, var), second = _opinions(x_t, x0, t, s, alpha_bar)
    return _combine((at(alpha_bar, s, x_t) * x0, var), second)


def _with_variance(change):
    """The right mean, with change(var, beta) for its variance."""

    def wrong(x_t, x0, t, s, alpha_bar):
        mean, var = forward.q_posterior(x_t, x0, t, s, alpha_bar)
        return mean, change(var, 1 - at(alpha_bar, t, x_t) / at(alpha_bar, s, x_t))

    return wrong


_x_t = torch.tensor([[0.9, -0.4], [0.2, 1.3], [-1.1, 0.5]], dtype=torch.float64)
_x0 = torch.tensor([[1.0, -1.0], [-0.6, 0.8], [0.3, -0.2]], dtype=torch.float64)

Exercise(
    "q_posterior",
    answer=forward.q_posterior,
    cases=[
        (_x_t, _x0, torch.tensor([400, 400, 700]), torch.tensor([399, 200, 50]), schedules.linear()),
        (_x_t, _x0, torch.tensor([20, 500, 999]), torch.tensor([10, 499, 300]), schedules.cosine()),
    ],
    mistakes={
        "The mean is right, but you returned the standard deviation. Bayes' rule works with variances: leave out the root.": (
            _with_variance(lambda var, beta: torch.sqrt(var))
        ),
        "The mean is right, but your variance is beta, as if only x_t had an opinion. Knowing x_0 as well makes you surer: "
        "add both opinions' trust, 1 / var.": _with_variance(lambda var, beta: beta),
        "The two weights are swapped: you trust each opinion by its variance. Trust is 1 / variance, so the sharper opinion "
        "counts more.": _swapped,
        "You averaged the two opinions as if both were equally sharp. Weight each by its trust, 1 / variance.": _averaged,
        "You took x_t itself as an opinion about x_s. The step shrank x_s by sqrt(alpha) before it added noise: undo that, "
        "x_t / sqrt(alpha), with variance beta / alpha.": _future(lambda x_t, alpha, beta: (x_t, beta)),
        "Your future goes on from x_t, to a still later time. The opinion is about x_s, which came before: solve "
        "x_t = sqrt(alpha) x_s + sqrt(beta) eps for x_s.": _future(
            lambda x_t, alpha, beta: (torch.sqrt(alpha) * x_t, beta)
        ),
        "The future's variance is too small. Solving for x_s divides the noise by sqrt(alpha) as well, so the variance is "
        "beta / alpha.": _future(lambda x_t, alpha, beta: (x_t / torch.sqrt(alpha), beta)),
        "The past lacks a root: in x_s the clean value is multiplied by sqrt(alpha_bar_s).": _past_unrooted,
        "You gave combine standard deviations. It asks for variances: leave the roots out.": _spreads,
        "Your alpha is alpha_bar_t, the whole way from 0 to t. Only the way from s to t counts here: "
        "alpha = alpha_bar_t / alpha_bar_s.": lambda *args: _combine(*_opinions(*args, past=1.0)),
    },
    nudge="Print the mean and the variance of each of the two opinions, for one number and one step.",
)


def best_constant(values: Tensor, weights: Tensor) -> Tensor:
    """argmin_g sum_k weights_k (values_k - g)^2 = sum_k weights_k values_k / sum_k weights_k: the mean."""
    return (weights * values).sum() / weights.sum()


def _weighted_median(values, weights):
    order = values.argsort()
    return values[order][int((weights[order].cumsum(0) < weights.sum() / 2).sum())]


Exercise(
    "best_constant",
    answer=best_constant,
    cases=[
        (torch.tensor([-1.0, 1.0, 0.2]), torch.tensor([2.0, 1.5, 0.6])),
        (torch.tensor([0.5, -0.8, 0.9, -0.3]), torch.tensor([2.0, 1.0, 0.5, 4.0])),
    ],
    mistakes={
        "That is the most common value. It is often exactly right, but pays a large square each time it is not; the squared "
        "error is smallest elsewhere.": lambda values, weights: values[weights.argmax()],
        "That is the middle between the extremes. How often each value occurs must matter: use the weights.": (
            lambda values, weights: (values.min() + values.max()) / 2
        ),
        "That is the plain mean, as if all values were equally common: use the weights.": (
            lambda values, weights: values.mean()
        ),
        "The weights need not sum to 1: divide by their sum.": lambda values, weights: (weights * values).sum(),
        "You divided by how many values there are. Divide by the sum of the weights.": (
            lambda values, weights: (weights * values).mean()
        ),
        "That is the median: the best guess for the absolute error. The squared error wants another average.": (
            _weighted_median
        ),
    },
    nudge="Try some g: where is the weighted squared error smallest? One of the averages lies there, exactly.",
)


def best_guess(x_t: Tensor, a: float) -> Tensor:
    """E[x_0 | x_t] = P(+1 | x_t) - P(-1 | x_t) = tanh(sqrt(a) x_t / (1 - a)), for x_0 = -1 or +1, a = alpha_bar_t."""
    plus = torch.exp(-((x_t - math.sqrt(a)) ** 2) / (2 * (1 - a)))
    minus = torch.exp(-((x_t + math.sqrt(a)) ** 2) / (2 * (1 - a)))
    return (plus - minus) / (plus + minus)


def _height(x_t: Tensor, mean: float, a: float) -> Tensor:
    return torch.exp(-((x_t - mean) ** 2) / (2 * (1 - a)))


_some = torch.tensor([-0.7, -0.1, 0.05, 0.4, 1.2], dtype=torch.float64)

Exercise(
    "best_guess",
    answer=best_guess,
    cases=[(_some, 0.2), (_some, 0.5)],
    mistakes={
        "That is the more probable of the two values. The squared error asks for their average, each weighted by its "
        "probability.": lambda x_t, a: torch.sign(x_t),
        "That is the probability of +1. The guess is the average value: P(+1) times 1 plus P(-1) times -1.": (
            lambda x_t, a: torch.sigmoid(2 * math.sqrt(a) * x_t / (1 - a))
        ),
        "You only scaled x_t back up. That ignores what you know about x_0: it is -1 or +1, nothing else.": (
            lambda x_t, a: x_t / math.sqrt(a)
        ),
        "Your bells stand at -1 and +1, but noising also shrinks the signal: they stand at -sqrt(a) and +sqrt(a).": (
            lambda x_t, a: torch.tanh(x_t / (1 - a))
        ),
        "Your bells are sqrt(1 - a) in variance. 1 - a is the variance already; its root is the standard deviation.": (
            lambda x_t, a: torch.tanh(math.sqrt(a) * x_t / math.sqrt(1 - a))
        ),
        "The two heights have to be scaled so that they add up to 1: divide by plus + minus.": (
            lambda x_t, a: best_guess(x_t, a) * sum(_height(x_t, m, a) for m in (-math.sqrt(a), math.sqrt(a)))
        ),
    },
    nudge="How likely is each of the two at this x_t? The best guess lies between them accordingly.",
)


def enough_steps(steps: list[int], distances: list[float], floors: list[float]) -> int:
    """The smallest n from which on every distance is at most the largest of the real-against-real distances."""
    limit = max(floors)
    for i, n in enumerate(steps):
        if all(distance <= limit for distance in distances[i:]):
            return n
    raise ValueError("no number of steps is enough")


def _first_under(limit, default):
    """A rule that takes the first n under limit(floors), lucky or not."""
    return lambda steps, distances, floors: next((n for n, d in zip(steps, distances) if d <= limit(floors)), default)


Exercise(
    "enough_steps",
    answer=enough_steps,
    cases=[
        ([1, 2, 5, 20, 1000], [0.81, 0.63, 0.24, 0.033, 0.020], [0.021, 0.035, 0.028]),
        ([1, 2, 4, 8, 16, 32], [0.5, 0.04, 0.2, 0.047, 0.03, 0.018], [0.05, 0.019, 0.033]),
        ([1, 10, 100, 300, 1000], [0.5, 0.3, 0.043, 0.023, 0.021], [0.05, 0.024]),
    ],
    mistakes={
        "That is the number of steps with the smallest distance. Below the floor, smaller is luck: ask for the fewest steps "
        "that are good enough.": lambda steps, distances, floors: steps[distances.index(min(distances))],
        "That number was under the floor by luck: with more steps the distance rises above it again. Ask for the first from "
        "which on all stay under it.": _first_under(max, None),
        "You compare with the average floor, which about half of all real clouds would fail. Compare with the largest.": (
            lambda steps, distances, floors: enough_steps(steps, distances, [sum(floors) / len(floors)])
        ),
        "You compare with the smallest floor, which all real clouds but one would fail. Compare with the largest.": (
            _first_under(min, None)
        ),
        "You returned a place in the list, not the number of steps that stands there.": (
            lambda steps, distances, floors: steps.index(enough_steps(steps, distances, floors))
        ),
    },
    nudge="For each n in turn, look at its distance and at all that come after it.",
)
