"""Exercises of "Numbers in boxes": indexing, broadcasting, weighted sums, parameters, slopes, one weight trained by hand."""

import itertools
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from diffusion_tutorial.checks.core import Exercise


def dot_at(picture: Float[Tensor, "h w"], down: int, across: int) -> Float[Tensor, ""]:
    """picture[down, across]: the row first, the column second, both counted from 0."""
    return picture[down, across]


def shape_of_sum(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int] | str:
    """The shape of a sum of two tensors of shapes a and b, or "refused": two lengths must be equal, or one of them 1."""
    shape: list[int] = []
    for m, n in zip(a, b):
        if m != n and m != 1 and n != 1:
            return "refused"
        shape.append(n if m == 1 else m)
    rows, columns = shape
    return rows, columns


def weighted_sums(W: Float[Tensor, "m n"], v: Float[Tensor, "n"]) -> Float[Tensor, "m"]:
    """sum_j W[i, j] v[j] for each row i, which is what W @ v stands for."""
    return torch.stack([(row * v).sum() for row in W])


def parameters_of_layer(inputs: int, outputs: int) -> int:
    """outputs * inputs + outputs: a weight for each pair of an input and an output, and a bias for each output."""
    return outputs * inputs + outputs


def slope_at(f: Callable[[float], float], w: float, h: float) -> float:
    """(f(w + h) - f(w - h)) / (2 h): the rise from a little left of w to a little right of it, over the distance."""
    return (f(w + h) - f(w - h)) / (2 * h)


def walk_downhill(slope: Callable[[float], float], w: float, lr: float, steps: int) -> float:
    """w <- w - lr * slope(w), so many times: each step goes against the slope of where it stands."""
    for _ in range(steps):
        w = w - lr * slope(w)
    return w


# Boxes


def _shape_by(rule: Callable[[int, int], int | None]) -> Callable[[tuple, tuple], tuple | str]:
    """A (wrong) rule for each pair of lengths, None for refused, as a rule for shapes."""

    def shape(a: tuple, b: tuple) -> tuple | str:
        lengths = tuple(rule(m, n) for m, n in zip(a, b))
        return "refused" if None in lengths else lengths

    return shape


PICTURE = torch.arange(20.0).reshape(4, 5) / 20
SQUARE = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0], [4.0, 0.0, 1.0]])

Exercise(
    "dot_at",
    answer=dot_at,
    cases=[(PICTURE, 1, 3), (PICTURE, 3, 2), (PICTURE, 2, 1)],
    mistakes={
        "You put across first. The first number in the brackets counts rows, so it says how far down.": (
            lambda picture, down, across: picture[across % 4, down]
        ),
        "You counted from 1. The top row is row 0, as the first entry of a list is entry 0.": (
            lambda picture, down, across: picture[down - 1, across - 1]
        ),
        "You counted rows from the bottom. Row 0 is the top row; only a negative number counts from the end.": (
            lambda picture, down, across: picture.flip(0)[down, across]
        ),
        "That is the whole row. Which of its numbers?": lambda picture, down, across: picture[down],
        "That is the whole column. Which of its numbers?": lambda picture, down, across: picture[:, across],
    },
    nudge="Try it on a table of two rows and three columns, and find the box with your finger first.",
)

Exercise(
    "shape_of_sum",
    answer=shape_of_sum,
    cases=list(itertools.product([(3, 1), (3, 4), (1, 2), (4, 4)], repeat=2)),
    mistakes={
        "You refuse all that differs. A 1 meets any number: that tensor is stretched.": _shape_by(
            lambda m, n: m if m == n else None
        ),
        "You take the larger number, whatever the other is. Only a 1 can be stretched, and 3 against 4 is refused.": (
            _shape_by(max)
        ),
        "You let 2 stretch to 4 because it fits twice. Nothing but a 1 is ever stretched.": _shape_by(
            lambda m, n: max(m, n) if max(m, n) % min(m, n) == 0 else None
        ),
        "You stretch only b. Either tensor may be stretched, and both may be at once.": _shape_by(
            lambda m, n: m if n in (1, m) else None
        ),
        "You stretch only a. Either tensor may be stretched, and both may be at once.": _shape_by(
            lambda m, n: n if m in (1, n) else None
        ),
        "You shrink to the smaller number. A tensor is stretched to fit, never cut.": _shape_by(
            lambda m, n: min(m, n) if m == n or 1 in (m, n) else None
        ),
        "You never refuse. Where two lengths differ and neither is 1, the answer is the word refused.": _shape_by(
            lambda m, n: n if m == 1 else m
        ),
    },
    nudge="Say by hand what should come out for (3, 1) and (1, 4), then for (3, 4) and (4, 4).",
)

# Weights

Exercise(
    "weighted_sums",
    answer=weighted_sums,
    cases=[(SQUARE, torch.tensor([1.0, 2.0, 3.0])), (SQUARE.T.contiguous(), torch.tensor([0.5, 0.0, -1.0]))],
    mistakes={
        "That is W * v: the weighting without the sum. Add up along each row.": lambda W, v: W * v,
        "You added up down the columns. Each total belongs to a row of W, so add along the row.": (
            lambda W, v: (W * v).sum(0)
        ),
        "That is v @ W: row i as a whole was multiplied by v[i]. Within a row, column j is multiplied by v[j].": (
            lambda W, v: v @ W
        ),
        "You added everything into one number. There is one total for each row.": lambda W, v: (W * v).sum(),
        "You added up the rows of W, and v plays no part.": lambda W, v: W.sum(1),
    },
    nudge="Work out one row by hand, and compare.",
)

Exercise(
    "parameters_of_layer",
    answer=parameters_of_layer,
    cases=[(3, 2), (784, 10), (5, 5), (1, 1), (2, 7)],
    mistakes={
        "You left out the biases: each output has a number of its own that is added at the end.": lambda i, o: i * o,
        "You gave every input a bias. It is added to the sum, so there is one for each output.": lambda i, o: i * o + i,
        "You counted one bias for the whole layer. Each output has its own.": lambda i, o: i * o + 1,
        "Inputs and outputs are not parameters; the weights between them are. How many pairs are there?": (
            lambda i, o: i + o
        ),
    },
    nudge="Draw the layer for 3 inputs and 2 outputs, and count.",
)

# Slopes

Exercise(
    "slope_at",
    answer=slope_at,
    cases=[(lambda w: w**3, 1.0, 0.5), (lambda w: (w - 2) ** 2, 0.5, 0.1), (lambda w: 1 / w, 2.0, 0.25)],
    mistakes={
        "You divided by h, but from w - h to w + h the distance is 2 h. Your slope is twice too steep.": lambda f, w, h: (
            (f(w + h) - f(w - h)) / h
        ),
        "That is the rise. A slope is the rise for each unit of distance: divide by how far apart the two places are.": (
            lambda f, w, h: f(w + h) - f(w - h)
        ),
        "Left minus right: your slope has the wrong sign, and whoever follows it walks uphill.": lambda f, w, h: (
            (f(w - h) - f(w + h)) / (2 * h)
        ),
        "You looked only to the right of w, so you have the slope half a step further on. Look as far to the left.": (
            lambda f, w, h: (f(w + h) - f(w)) / h
        ),
        "You looked only to the left of w, so you have the slope half a step back. Look as far to the right.": (
            lambda f, w, h: (f(w) - f(w - h)) / h
        ),
        "That is the loss at w, its height. The question is how steep it is there.": lambda f, w, h: f(w),
        "Brackets are missing: only f(w - h) was divided. The whole difference belongs over the distance.": lambda f, w, h: (
            f(w + h) - f(w - h) / (2 * h)
        ),
        "That is 2 * h multiplied, as / 2 * h reads from the left. Write / (2 * h).": lambda f, w, h: (
            (f(w + h) - f(w - h)) / 2 * h
        ),
    },
    nudge="Try it on a straight line whose slope you know.",
)


def _stale(slope: Callable[[float], float], w: float, lr: float, steps: int) -> float:
    """The slope of the start, used for every step."""
    return w - steps * lr * slope(w)


Exercise(
    "walk_downhill",
    answer=walk_downhill,
    cases=[
        (lambda w: 2 * (w - 3), 0.0, 0.1, 4),
        (lambda w: 2 * (w - 3), 5.0, 0.25, 3),
        (lambda w: w**3 - 1, -1.0, 0.2, 2),
    ],
    mistakes={
        "A step the wrong way: you add, and climb. The slope points uphill, so subtract it.": lambda slope, w, lr, steps: (
            walk_downhill(slope, w, -lr, steps)
        ),
        "You took the slope once, at the start. It changes on the way: ask again before every step.": _stale,
        "That is one step. Go on from where it led, `steps` times in all.": lambda slope, w, lr, steps: walk_downhill(
            slope, w, lr, 1
        ),
        "lr plays no part. Multiply each slope by it before you subtract.": lambda slope, w, lr, steps: walk_downhill(
            slope, w, 1.0, steps
        ),
        "One step too many.": lambda slope, w, lr, steps: walk_downhill(slope, w, lr, steps + 1),
        "One step too few.": lambda slope, w, lr, steps: walk_downhill(slope, w, lr, steps - 1),
        "That is the last step's slope. Return where w has arrived.": lambda slope, w, lr, steps: slope(
            walk_downhill(slope, w, lr, steps - 1)
        ),
    },
    nudge="Follow two steps by hand, and compare.",
)
