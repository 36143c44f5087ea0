"""The subjects: what can be trained, drawn and judged, a file each. `every()` finds them; a new one is a new file here."""

import importlib
import pkgutil

from diffusion_tutorial.subjects.base import Subject, Trainable

COMMON = ("base", "conditions", "jump", "retouch")  # the files here that are no subjects


def every() -> dict[str, Subject]:
    """The subjects by name: of each file here its SUBJECT."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name not in COMMON)
    return {name: importlib.import_module(f"{__name__}.{name}").SUBJECT for name in names}


def get(name: str) -> Subject:
    """A subject by its name; a ValueError that names them all if there is none."""
    found = every()
    if name not in found:
        raise ValueError(f"expected one of the subjects {', '.join(found)}, got {name}")
    return found[name]


def trainables() -> dict[str, Trainable]:
    """All that `train` makes, subjects, their judges and their students, by what the command calls them."""
    return {what.command: what for subject in every().values() for what in (subject, subject.judge, *subject.students)}


__all__ = ["Subject", "Trainable", "every", "get", "trainables"]
