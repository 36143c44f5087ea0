"""The evaluations behind `diffusion-tutorial evaluate`: `digits` beside real digits, `scenes` beside really drawn scenes."""

from pathlib import Path

from diffusion_tutorial.evaluation import common, digits, scenes

__all__ = ["digits", "kind", "scenes"]


def kind(path: Path) -> str:
    """What an .npz holds: "scenes" where it has prompts or pictures in colour, else "digits"; BadFile if it is no .npz."""
    with common.arrays(path) as found:
        return "scenes" if "prompts" in found or found["images"].ndim == 4 else "digits"
