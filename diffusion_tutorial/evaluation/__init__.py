"""The evaluations behind `diffusion-tutorial evaluate`, a module each; a subject says which are its own.

`labelled` is for any subject with labels, `scenes` for captions, and of editing there are `inpainting`, `sdedit`,
`inversion` and `edits`. Each has `report_model`, for pictures drawn now; the first two `report_file`, for those in a file.
"""

import importlib
from pathlib import Path
from types import ModuleType

from diffusion_tutorial import subjects
from diffusion_tutorial.evaluation import common
from diffusion_tutorial.subjects import Subject
from diffusion_tutorial.subjects.base import Evaluation

__all__ = ["every", "module", "of_file"]


def every() -> dict[str, tuple[Subject, Evaluation]]:
    """All evaluations by the command's names for them, each with the subject that it is of."""
    return {name: (subject, x) for subject in subjects.every().values() for name, x in subject.evaluations.items()}


def module(evaluation: Evaluation) -> ModuleType:
    """Where it is done."""
    return importlib.import_module(f"diffusion_tutorial.evaluation.{evaluation.module}")


def of_file(path: Path) -> str:
    """The evaluation that the pictures of an .npz are for; BadFile if it is no .npz.

    That of the first subject whose pictures have this shape and that keeps its conditions under a name that is there; or
    else of one with this shape, or with that name; of the first with as many axes, whose error says what was expected, if
    there is none.
    """
    with common.arrays(path) as found:
        shape, keys = found["images"].shape[1:], set(found.files)
    known = subjects.every().values()
    named = [x for x in known if x.condition.key in keys]
    fit = [x for x in named if x.takes(shape)] + [x for x in known if x.pixel_shape == shape] + named
    colour = [x for x in known if len(x.pixel_shape) == len(shape)]
    return next(iter([*fit, *colour, *known][0].evaluations))
