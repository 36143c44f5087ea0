"""How an exercise is checked: run the learner's function on a few inputs and say one useful line about what came out.

An `Exercise` knows the right answer (nearly always a function of the package, so there is no second copy of a solution)
and the classic mistakes, each with the sentence that names its misconception. It never raises: a notebook with unsolved
or broken exercises still runs from top to bottom.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

EXERCISES: dict[str, "Exercise"] = {}


class Exercise:
    """checks.<name>(attempt) prints one line: not attempted yet, correct, or what went wrong.

    name: how the lesson calls it. answer: the right function. cases: lists of arguments to try it on. mistakes: from a
    sentence that names a misconception to a function that makes it; each must differ from the answer on some case.
    hint: what to look at when the answer is wrong in a way that nobody foresaw.
    """

    def __init__(
        self,
        name: str,
        answer: Callable,
        cases: list[tuple],
        mistakes: dict[str, Callable],
        hint: str = "",
        tolerance: float = 1e-4,
    ):
        self.name, self.answer, self.cases, self.mistakes = name, answer, cases, mistakes
        self.hint, self.tolerance = hint, tolerance
        self.__doc__ = f"Check your solution of the exercise {name}. Stuck? checks.solution({name!r})"
        EXERCISES[name] = self

    def __call__(self, attempt: Any) -> None:
        """Print the verdict on an attempt, as one line."""
        print(f"{self.name}: {self.verdict(attempt)}")

    def verdict(self, attempt: Any) -> str:
        """The line that is printed, without the name in front."""
        if not callable(attempt):
            return f"expected a function, got {_describe(attempt)}."
        try:
            got = [attempt(*_copy(case)) for case in self.cases]
        except NotImplementedError:
            return "not attempted yet."
        except (Exception, SystemExit) as problem:
            return f"your function stopped with {type(problem).__name__}: {_line(str, problem)}"
        if all(value is None or value is ... for value in got):
            return "not attempted yet."
        expected = [self.answer(*_copy(case)) for case in self.cases]
        if self._same(got, expected):
            return "correct."
        for sentence, mistake in self.mistakes.items():
            if self._same(got, [mistake(*_copy(case)) for case in self.cases]):
                return f"not yet. {sentence}"
        return self._difference(got, expected)

    def _same(self, got: list, expected: list) -> bool:
        return all(_close(g, e, self.tolerance) for g, e in zip(got, expected))

    def _difference(self, got: list, expected: list) -> str:
        for g, e in zip(got, expected):
            if not _close(g, e, self.tolerance):
                return f"not yet: expected {_describe(e)}, got {_describe(g)}. {self.hint}".rstrip()
        raise AssertionError("only called where something differs")


def solution(name: str) -> None:
    """Print the package's own answer to an exercise, for when you have tried."""
    if name not in EXERCISES:
        print(f"There is no exercise {name!r}. The exercises are: {', '.join(EXERCISES)}.")
        return
    print(inspect.getsource(EXERCISES[name].answer))


def _copy(case: tuple) -> tuple:
    """Fresh arguments, so that an attempt that writes into its input spoils nothing."""
    return tuple(x.clone() if isinstance(x, Tensor) else x for x in case)


def _close(got: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, (tuple, list)):
        fits = isinstance(got, (tuple, list)) and len(got) == len(expected)
        return fits and all(_close(g, e, tolerance) for g, e in zip(got, expected))
    if isinstance(expected, str):
        return isinstance(got, str) and got == expected
    try:
        got, expected = torch.as_tensor(got), torch.as_tensor(expected)
        if got.is_complex() and not expected.is_complex():
            return False
        got, expected = got.detach().double(), expected.double()
    except Exception:  # whatever it is, it is no number
        return False
    return got.shape == expected.shape and torch.allclose(got, expected, rtol=tolerance, atol=tolerance)


def _describe(value: Any) -> str:
    """A value in a few words: a number as it is, a tensor by its shape and its first entries."""
    if isinstance(value, Tensor) and value.ndim:
        first = ", ".join(f"{x:.4g}" for x in value.flatten()[:3].tolist())
        return f"a tensor of shape {tuple(value.shape)} starting {first}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(_describe(x) for x in value[:3]) + (", …)" if len(value) > 3 else ")")
    if isinstance(value, (int, float, Tensor)):
        return _line("{:.4g}".format, value.item() if isinstance(value, Tensor) else value)
    return _line(repr, value)


def _line(say: Callable[[Any], str], value: Any, longest: int = 200) -> str:
    """say(value) as one line that is not too long, whatever the value is."""
    try:
        text = " ".join(say(value).split())
    except Exception:
        text = f"something of type {type(value).__name__}"
    return text if len(text) <= longest else text[: longest - 1] + "…"
