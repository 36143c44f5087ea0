"""Exercises of "Walk a Markov chain": one step, many steps, and the way back."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffusion_tutorial import markov
from diffusion_tutorial.checks.core import Exercise

WEATHER = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.4, 0.5]])
SEASIDE = torch.tensor([[0.5, 0.3, 0.2], [0.3, 0.3, 0.4], [0.6, 0.1, 0.3]])
TWO_STATES = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
MIX = torch.tensor([0.2, 0.5, 0.3])


def one_step(P: Float[Tensor, "k k"], p: Float[Tensor, "k"]) -> Float[Tensor, "k"]:
    """p'_j = sum_i p_i P[i, j]: tomorrow's distribution from today's."""
    return p @ P


def pixel_variance(v: float, beta: float) -> float:
    """Var[x_t] = (1 - beta) Var[x_{t-1}] + beta, for x_t = sqrt(1 - beta) x_{t-1} + sqrt(beta) eps."""
    return (1 - beta) * v + beta


Exercise(
    "one_step",
    answer=one_step,
    cases=[
        (WEATHER, torch.tensor([1.0, 0.0, 0.0])),
        (WEATHER, MIX),
        (SEASIDE, MIX),
        (TWO_STATES, torch.tensor([0.3, 0.7])),
    ],
    mistakes={
        "That is P @ p, which adds up along the rows of P. Your numbers do not add up to 1: tomorrow's rain collects what "
        "flows into the rainy column, so the sum runs over today's weather, down a column.": lambda P, p: P @ p,
        "That is the row of the likeliest weather today. The less likely ones count too, each with its own chance.": (
            lambda P, p: P[p.argmax()]
        ),
        "That weighs the rows by p and stops. Add the weighted rows up, and one number for each weather is left.": (
            lambda P, p: p[:, None] * P
        ),
        "That is (p * P).sum(0), in which p_j has weighed column j. p is the mix of today, and today is the row: row i of P "
        "is weighed by p_i, before the rows are added up.": lambda P, p: (p * P).sum(0),
    },
    nudge="Work it out by hand for one kind of weather tomorrow: three ways lead there.",
)

Exercise(
    "n_steps",
    answer=markov.after,
    cases=[(WEATHER, MIX, 2), (WEATHER, torch.tensor([0.0, 0.0, 1.0]), 5), (SEASIDE, MIX, 3), (WEATHER, MIX, 0)],
    mistakes={
        "That raises each entry of P to the power n (P ** n). The power here is of the matrix, P @ P @ … @ P.": (
            lambda P, p0, n: p0 @ P**n
        ),
        "That is P @ p0, again and again. Today's mix stands on the left of P, in every step.": lambda P, p0, n: (
            torch.linalg.matrix_power(P, n) @ p0
        ),
        "That takes one step whatever n is: use the result of one step as the start of the next.": lambda P, p0, n: (
            p0 @ P
        ),
        "That is n times one step. Steps follow one another, they do not add up.": lambda P, p0, n: n * (p0 @ P),
        "Off by one: that is the mix after n + 1 steps. After 0 steps it must be p0 itself.": (
            lambda P, p0, n: p0 @ torch.linalg.matrix_power(P, n + 1)
        ),
        "Off by one: that is the mix after n - 1 steps. After 1 step it must be p0 @ P.": (
            lambda P, p0, n: p0 @ torch.linalg.matrix_power(P, max(n - 1, 0))
        ),
        "That is the climate, where the chain ends after very many steps; the question is the mix after n of them.": (
            lambda P, p0, n: markov.stationary(P)
        ),
    },
    nudge="Take one step after another, each from where the last one ended. With no step at all, nothing changes.",
)

Exercise(
    "reversed_matrix",
    answer=markov.reverse,
    cases=[
        (WEATHER, markov.stationary(WEATHER)),
        (WEATHER, MIX),
        (SEASIDE, MIX),
        (TWO_STATES, torch.tensor([0.5, 0.5])),
    ],
    mistakes={
        "That is P transposed, and its rows do not even add up to 1. Transposing is not reversing: Bayes' rule also needs "
        "p, how common each yesterday was.": lambda P, p: P.T,
        "That is P transposed with its rows made to add up to 1. It answers Bayes' rule for a climate in which all weathers "
        "are equally common; use p.": lambda P, p: P.T / P.sum(0)[:, None],
        "That is P itself, as if the film looked the same in both directions. Write down P(yesterday rainy | today sunny) "
        "with Bayes' rule and compare.": lambda P, p: P,
        "That is the inverse of P. It undoes a step of a distribution, but it has negative entries, so they are not "
        "chances of anything.": lambda P, p: torch.linalg.inv(P),
        "These are the chances of both days together, p_i P[i, j], turned on their side. Divide each row by its sum, the "
        "chance of today's weather.": lambda P, p: (p[:, None] * P).T,
        "You turned the table first and then divided each column. What has to add up to 1 is each row: divide before you turn "
        "the table, or stand the sums upright with [:, None].": lambda P, p: (p[:, None] * P).T / (p @ P),
        "Right numbers, wrong way round: that is R transposed. Row j belongs to today's weather and must add up to 1.": (
            lambda P, p: markov.reverse(P, p).T
        ),
    },
    nudge="Bayes' rule, entry by entry: how often is it i and then j, of all the times that it is j?",
)

Exercise(
    "pixel_variance",
    answer=pixel_variance,
    cases=[(0.25, 0.1), (1.0, 0.05), (0.0, 0.3), (4.0, 0.02)],
    mistakes={
        "That multiplies variances by the factors in front of x and eps. A variance is multiplied by the square of the "
        "factor: (sqrt(1 - beta))^2 = 1 - beta.": lambda v, beta: (1 - beta) ** 0.5 * v + beta**0.5,
        "That reads beta as a standard deviation, (1 - beta) v + beta^2. beta is a variance: the noise is multiplied by "
        "sqrt(beta).": lambda v, beta: (1 - beta) * v + beta**2,
        "That adds the noise and forgets to shrink: v + beta grows without end. Where did sqrt(1 - beta) go?": (
            lambda v, beta: v + beta
        ),
        "That shrinks and forgets the fresh noise, whose variance is beta: left like this, every pixel fades to grey.": (
            lambda v, beta: (1 - beta) * v
        ),
        "That is a standard deviation, the root of the answer. The exercise asks for the variance.": (
            lambda v, beta: ((1 - beta) * v + beta) ** 0.5
        ),
    },
    nudge="The variances of independent things add up: what does a factor in front do to a variance?",
)
