"""Out of this package and into it: a folder that diffusers loads, a file for ONNX Runtime, and diffusers' own models here.

Used in "Meet the professionals". `folder.write` and `onnx.write` are what `diffusion-tutorial export` does; `theirs.denoiser`
is the way back. diffusers and ONNX are not among what the package needs: each is loaded where it is used, by `optional`.
"""

import importlib
from types import ModuleType


def optional(name: str, also: str = "") -> ModuleType:
    """The module of this name; an ImportError that says what to install if it is not there. `also` is needed beside it."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise ImportError(f"{name} is needed for this ({problem}): pip install {f'{name} {also}'.strip()}") from problem
