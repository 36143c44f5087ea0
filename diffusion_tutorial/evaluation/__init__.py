"""The evaluations behind `diffusion-tutorial evaluate`: `digits` beside real digits, `scenes` beside really drawn scenes.

And of editing: `inpainting` on digits; `sdedit`, `inversion` and `edits` on scenes.
"""

from pathlib import Path

from diffusion_tutorial.evaluation import common, digits, edits, inpainting, inversion, scenes, sdedit

__all__ = ["digits", "edits", "inpainting", "inversion", "kind", "scenes", "sdedit"]


def kind(path: Path) -> str:
    """What an .npz holds: "scenes" where it has prompts or pictures in colour, else "digits"; BadFile if it is no .npz."""
    with common.arrays(path) as found:
        return "scenes" if "prompts" in found or found["images"].ndim == 4 else "digits"
