"""The subjects: what can be trained, drawn and judged, a file each. `every()` finds them; a new one is a new file here."""

import importlib
import pkgutil
from types import ModuleType

from diffusion_tutorial.subjects.base import Subject, Trainable

COMMON = ("base", "conditions", "retouch")  # the files here that are no subjects, and name nothing to train


def every() -> dict[str, Subject]:
    """The subjects by name: of each file here its SUBJECT, if it has one."""
    return {name: module.SUBJECT for name, module in _files().items() if hasattr(module, "SUBJECT")}


def _files() -> dict[str, ModuleType]:
    names = sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name not in COMMON)
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


def get(name: str) -> Subject:
    """A subject by its name; a ValueError that names them all if there is none."""
    found = every()
    if name not in found:
        raise ValueError(f"expected one of the subjects {', '.join(found)}, got {name}")
    return found[name]


def trainables() -> dict[str, Trainable]:
    """All that `train` makes, by what the command calls it: subjects, their judges, and of other files the TRAINABLE."""
    found = [what for subject in every().values() for what in (subject, subject.judge)]
    found += [module.TRAINABLE for module in _files().values() if hasattr(module, "TRAINABLE")]
    return {what.command: what for what in found}


__all__ = ["Subject", "Trainable", "every", "get", "trainables"]
