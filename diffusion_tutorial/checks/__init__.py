"""Feedback on exercises: `checks.<name>(your_function)` prints one line, `checks.solution("<name>")` the answer.

The exercises lie in files by topic; `core` says how an attempt is judged.
"""

from diffusion_tutorial.checks import (  # noqa: F401  (importing a topic registers its exercises)
    ancestral,
    arrays,
    bugs,
    chains,
    editing,
    forward,
    gan,
    guidance,
    inpainting,
    jumps,
    network,
    noise,
    posterior,
    questions,
    samplers,
    start,
    training,
    words,
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
