"""Feedback on exercises: `checks.<name>(your_function)` prints one line, `checks.solution("<name>")` the answer.

Each lesson's exercises are in a file of their own; `core` says how an attempt is judged.
"""

from diffusion_tutorial.checks import (  # noqa: F401  (importing a lesson registers its exercises)
    arrays,
    lesson_00,
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
    lesson_10,
    lesson_11,
)
from diffusion_tutorial.checks.core import EXERCISES, Exercise, solution

__all__ = ["EXERCISES", "solution"]


def __getattr__(name: str) -> Exercise:
    """checks.q_sample is EXERCISES["q_sample"]; the lesson files put them there when they are imported."""
    if name in EXERCISES:
        return EXERCISES[name]
    raise AttributeError(f"there is no exercise {name!r}; the exercises are: {', '.join(EXERCISES)}")


def __dir__() -> list[str]:
    return [*EXERCISES, *__all__]
