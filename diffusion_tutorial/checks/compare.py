"""Comparing what came with what was expected, and saying in words where they part.

A value is a number, a tensor or anything that torch makes one of, a word, or a list or tuple of values.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def close(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether two values are the same: numbers within the tolerance, in the same container, of the same shape."""
    if isinstance(expected, (tuple, list)):
        fits = isinstance(got, (tuple, list)) and len(got) == len(expected)
        return fits and all(close(g, e, tolerance) for g, e in zip(got, expected))
    if isinstance(expected, str):
        return isinstance(got, str) and got == expected
    got, expected = tensor(got), tensor(expected)
    return got is not None and expected is not None and got.shape == expected.shape and _near(got, expected, tolerance)


def tensor(value: Any) -> Tensor | None:
    """The numbers of a value in their shape; None if it is not made of real numbers."""
    try:
        made = torch.as_tensor(value)
        return None if made.is_complex() else made.detach().double()
    except Exception:  # whatever it is, it is no number
        return None


def numbers(value: Any) -> Tensor | None:
    """All numbers of a value in one row, whatever its container and shape; None if it is not made of real numbers."""
    if isinstance(value, (tuple, list)) and len(value):
        parts = [part for part in map(numbers, value) if part is not None]
        return torch.cat(parts) if len(parts) == len(value) else None
    made = tensor(value)
    return None if made is None else made.flatten()


def same_numbers(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether two values hold the same numbers in the same order, whatever holds them."""
    g, e = numbers(got), numbers(expected)
    return g is not None and e is not None and g.shape == e.shape and _near(g, e, tolerance)


def right_numbers(got: Any, expected: Any, tolerance: float) -> str:
    """If the numbers are right and something around them is not, what that is; else an empty string."""
    if isinstance(expected, (tuple, list)):
        return _container(got, expected, tolerance)
    g, e = tensor(got), tensor(expected)
    if g is None or e is None or not e.numel():
        return ""
    if g.numel() == e.numel():
        return _arranged(g, e, tolerance)
    return _repeated(g, e, tolerance)


def _container(got: Any, expected: tuple | list, tolerance: float) -> str:
    wanted = f"a {type(expected).__name__} of {len(expected)}"
    if isinstance(got, (tuple, list)) and len(got) == len(expected):
        if len(got) <= 4:
            for order in itertools.permutations(got):
                if close(list(order), list(expected), tolerance):
                    return "the numbers are right, but they come in another order"
        parts = [(g, e) for g, e in zip(got, expected) if not close(g, e, tolerance)]
        said = [right_numbers(g, e, tolerance) for g, e in parts]
        return said[0] if said and all(said) else _reordered(numbers(got), numbers(expected), tolerance)
    if same_numbers(got, expected, tolerance):
        help_ = "; .tolist() makes a list" if hasattr(got, "tolist") else ""
        return f"the numbers are right, but they come as {describe(got)} where {wanted} is asked for{help_}"
    return ""


def _arranged(got: Tensor, expected: Tensor, tolerance: float) -> str:
    """The same number of numbers: in another shape, with its axes swapped, in another order."""
    if got.shape != expected.shape and _near(got.flatten(), expected.flatten(), tolerance):
        right = f"shape {tuple(expected.shape)}" if expected.ndim else "a single number"
        return f"the numbers are right, but their shape is {tuple(got.shape)} where {right} is asked for"
    if got.ndim == expected.ndim > 1:
        for axes in itertools.permutations(range(got.ndim)) if got.ndim <= 4 else ():
            turned = expected.permute(axes)
            if turned.shape == got.shape and _near(got, turned, tolerance):
                return f"the numbers are right, but {'rows and columns' if got.ndim == 2 else 'the axes'} are swapped"
    return _reordered(got.flatten(), expected.flatten(), tolerance)


def _reordered(got: Tensor | None, expected: Tensor | None, tolerance: float) -> str:
    if got is None or expected is None or got.shape != expected.shape or got.numel() < 3:
        return ""
    if expected.unique().numel() > 2 and _near(got.sort().values, expected.sort().values, tolerance):
        reverse = _near(got.flip(0), expected, tolerance)
        return f"the numbers are right, but they come in {'reverse' if reverse else 'another'} order"
    return ""


def _repeated(got: Tensor, expected: Tensor, tolerance: float) -> str:
    """More numbers than expected, because two shapes met of which broadcasting made a larger one."""
    shapes = f"shape {tuple(got.shape)} where {tuple(expected.shape)} is asked for"
    row = expected.flatten()
    if got.numel() == row.numel() ** 2 and row.numel() > 1:
        if _near(got.reshape(len(row), len(row)).diagonal(), row, tolerance):
            n = len(row)
            met = f"({n}, 1) and ({n},)"
            return (
                f"the numbers are right, but they stand on a diagonal: broadcasting made {shapes}, of two such as {met}"
            )
    try:
        wide = expected.broadcast_to(got.shape)
    except RuntimeError:
        return ""
    same = got.numel() > 0 and _near(got, wide, tolerance)
    return f"the numbers are right, but each comes several times: broadcasting made {shapes}" if same else ""


def difference(got: Any, expected: Any, tolerance: float, at: str = "") -> str:
    """Where two values differ first: "expected 2 at [0, 1], got 3; 4 of 6 entries differ"."""
    place = f" at {at}" if at else ""
    if isinstance(expected, (tuple, list)):
        if not isinstance(got, (tuple, list)):
            return f"expected a {type(expected).__name__} of {len(expected)}{place}, got {describe(got)}"
        if len(got) != len(expected):
            return f"expected {len(expected)} entries{place}, got {len(got)}"
        i = next(i for i, (g, e) in enumerate(zip(got, expected)) if not close(g, e, tolerance))
        return difference(got[i], expected[i], tolerance, f"{at}[{i}]")
    g, e = tensor(got), tensor(expected)
    if g is None or e is None:
        return f"expected {describe(expected)}{place}, got {describe(got)}"
    if g.shape != e.shape:
        return f"expected {_shape(e)}{place}, got {_shape(g)}"
    if not e.ndim:
        return f"expected {_apart(e, g)[0]}{place}, got {_apart(e, g)[1]}"
    wrong = ~torch.isclose(g, e, rtol=tolerance, atol=tolerance)
    first = tuple(wrong.nonzero()[0].tolist())
    right, came = _apart(e[first], g[first])
    return f"expected {right} at {at}{list(first)}, got {came}; {int(wrong.sum())} of {wrong.numel()} entries differ"


def pattern(got: Any, expected: Any, tolerance: float) -> str:
    """What all numbers have in common that differ: the sign, a factor, something added; an empty string if nothing.

    If some are NaN, where such numbers come from.
    """
    g, e = numbers(got), numbers(expected)
    if g is not None and g.isnan().any():
        return "nan is no number: it comes from 0/0, a root of a negative number, or a softmax with nothing but -inf."
    if g is None or e is None or g.shape != e.shape or e.unique().numel() < 2 or not g.isfinite().all():
        return ""
    if _near(g, -e, tolerance):
        return "Every number has the opposite sign."
    factor = (g * e).sum() / (e * e).sum()
    if g.abs().max() > tolerance and _near(g, factor * e, tolerance):
        return f"Every number is {factor.item():.4g} times what it should be."
    more = (g - e).mean()
    if _near(g, e + more, tolerance):
        return f"Every number is too {'large' if more > 0 else 'small'} by {abs(more.item()):.4g}."
    return ""


def describe(value: Any) -> str:
    """A value in a few words: a number as it is, a tensor by its shape."""
    if hasattr(value, "shape") and hasattr(value, "ndim") and value.ndim:
        return f"{'a tensor' if isinstance(value, Tensor) else 'an array'} of shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(describe(x) for x in value[:3]) + (", …)" if len(value) > 3 else ")")
    if isinstance(value, (int, float, Tensor)):
        return line("{:.4g}".format, value.item() if isinstance(value, Tensor) else value)
    return line(repr, value)


def line(say: Callable[[Any], str], value: Any, longest: int = 200) -> str:
    """say(value) as one line that is not too long, whatever the value is."""
    try:
        text = " ".join(say(value).split())
    except Exception:
        text = f"something of type {type(value).__name__}"
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _near(got: Tensor, expected: Tensor, tolerance: float) -> bool:
    return torch.allclose(got, expected, rtol=tolerance, atol=tolerance)


def _shape(value: Tensor) -> str:
    return f"shape {tuple(value.shape)}" if value.ndim else "a single number"


def _apart(one: Tensor, other: Tensor) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to tell them apart."""
    for digits in range(4, 16):
        texts = f"{one.item():.{digits}g}", f"{other.item():.{digits}g}"
        if texts[0] != texts[1] or math.isnan(one.item()):
            break
    return texts
