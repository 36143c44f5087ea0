"""How an exercise is checked: run the learner's function on a few inputs and say one useful line about what came out.

An `Exercise` knows the right answer (nearly always a function of the package, so there is no second copy of a solution)
and the classic mistakes, each with the sentence that names its misconception. It never raises: a notebook with unsolved
or broken exercises still runs from top to bottom.
"""

import inspect
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from torch import Tensor

from diffusion_tutorial.checks import compare

EXERCISES: dict[str, "Exercise"] = {}


class Exercise:
    """checks.<name>(attempt) prints one line: not attempted yet, correct, or what went wrong.

    name: how the lesson calls it. answer: the right function. cases: lists of arguments to try it on. mistakes: from a
    sentence that names a misconception to a function that makes it; each must differ from the answer on some case.
    nudge: where to look when the answer is wrong in a way that nobody foresaw; one sentence that gives no formula away, for
    the whole answer is a call of `solution`.
    """

    def __init__(
        self,
        name: str,
        answer: Callable,
        cases: list[tuple],
        mistakes: dict[str, Callable],
        nudge: str = "",
        tolerance: float = 1e-4,
    ):
        self.name, self.answer, self.cases, self.mistakes = name, answer, cases, mistakes
        self.nudge, self.tolerance = nudge, tolerance
        self.stuck = f'Stuck? checks.solution("{name}") shows an answer.'
        self.__doc__ = f"Check your solution of the exercise {name}. Stuck? checks.solution({name!r})"
        EXERCISES[name] = self

    def __call__(self, attempt: Any) -> None:
        """Print the verdict on an attempt, as one line."""
        print(f"{self.name}: {self.verdict(attempt)}")

    def verdict(self, attempt: Any) -> str:
        """The line that is printed, without the name in front."""
        if not callable(attempt):
            return f"expected a function, got {compare.describe(attempt)}."
        try:
            got = [attempt(*_copy(case)) for case in self.cases]
        except NotImplementedError:
            return "not attempted yet."
        except (Exception, SystemExit) as problem:
            return _stopped(problem)
        if all(value is None or value is ... for value in got):
            return "not attempted yet."
        expected = self._outcomes(self.answer)
        if self._same(got, expected):
            return "correct."
        return (
            self._named(got)
            or self._right_numbers(got, expected)
            or self._nearly_named(got)
            or self._else(got, expected)
        )

    def _outcomes(self, function: Callable) -> list:
        return [function(*_copy(case)) for case in self.cases]

    def _same(self, got: list, expected: list) -> bool:
        return all(compare.close(g, e, self.tolerance) for g, e in zip(got, expected))

    def _named(self, got: list) -> str:
        """The sentence of the misconception that gives just this."""
        named = (sentence for sentence, mistake in self.mistakes.items() if self._same(got, self._outcomes(mistake)))
        return next((f"not yet. {sentence}" for sentence in named), "")

    def _right_numbers(self, got: list, expected: list) -> str:
        """What is wrong around the numbers, if every case has the right ones."""
        pairs = [(g, e) for g, e in zip(got, expected) if not compare.close(g, e, self.tolerance)]
        said = [compare.right_numbers(g, e, self.tolerance) for g, e in pairs]
        return f"not yet: {said[0]}." if said and all(said) else ""

    def _nearly_named(self, got: list) -> str:
        """The sentence of the misconception that gives these numbers in another container or shape."""
        for sentence, mistake in self.mistakes.items():
            made = zip(got, self._outcomes(mistake))
            if all(compare.same_numbers(g, m, self.tolerance) for g, m in made):
                return f"not yet. {sentence}"
        return ""

    def _else(self, got: list, expected: list) -> str:
        """The first entry that differs, what all that differ have in common, and where to look."""
        case, g, e = next(
            (case, g, e) for case, g, e in zip(self.cases, got, expected) if not compare.close(g, e, self.tolerance)
        )
        where = f"{compare.difference(g, e, self.tolerance)}{_call(self.name, case)}."
        return " ".join(
            filter(None, ["not yet:", where, compare.pattern(got, expected, self.tolerance), self.nudge, self.stuck])
        )


def solution(name: str) -> None:
    """Print the package's own answer to an exercise, for when you have tried."""
    if name not in EXERCISES:
        print(f"There is no exercise {name!r}. The exercises are: {', '.join(EXERCISES)}.")
        return
    print(inspect.getsource(EXERCISES[name].answer))


def _copy(case: tuple) -> tuple:
    """Fresh arguments, so that an attempt that writes into its input spoils nothing."""
    return tuple(x.clone() if isinstance(x, Tensor) else x for x in case)


HELP = {  # what an error's text says, and what helps then
    "must match the size|broadcast|shapes cannot be multiplied|size mismatch": (
        "Two shapes do not fit each other: print them. One number for each of n pictures has shape (n,); "
        "x[:, None, None, None] gives it the three axes that pictures have besides."
    ),
    "converted to Python scalars": (
        "A function of math takes one number. For a whole tensor there is mostly one of the same name in torch."
    ),
}


def _stopped(problem: BaseException) -> str:
    """What is said when an attempt raises, and what helps if the error is one that many make."""
    text = compare.line(str, problem)
    help_ = next((f". {sentence}" for pattern, sentence in HELP.items() if re.search(pattern, text)), "")
    return f"your function stopped with {type(problem).__name__}: {text}{help_}"


def _call(name: str, case: tuple) -> str:
    """ ", for f(0.5, 2)" where a case can be written in a few words."""

    def plain(x: Any) -> bool:
        return isinstance(x, (int, float, str, date)) or isinstance(x, list) and all(map(plain, x))

    text = ", ".join(map(str, case))
    return f", for {name}({text})" if case and all(map(plain, case)) and len(text) <= 60 else ""
