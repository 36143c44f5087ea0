"""Drawn scenes with captions, made on the fly, 48 x 48 in colour.

For the text-to-image model of "Type a sentence, get a picture".

A scene is (subject, thing, place): a cat wearing sunglasses on the moon. `sample` draws scenes for training, and with
held_out=True those that training never sees: a tenth of all combinations, by the rule in `world.is_held_out`.
The faces and things are by OpenMoji: ATTRIBUTION stands wherever these pictures do.
"""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from diffusion_tutorial.data.scenes.captions import WORDINGS, caption, partial_caption, plain_caption, read, vocabulary
from diffusion_tutorial.data.scenes.drawing import SIZE, draw
from diffusion_tutorial.data.scenes.world import PLACES, SUBJECTS, THINGS, Scene, combinations, is_held_out

__all__ = [
    "ATTRIBUTION", "PLACES", "SIZE", "SUBJECTS", "THINGS", "WORDINGS", "Scene", "caption", "combinations",
    "draw", "is_held_out", "pick", "plain_caption", "read", "sample", "to_pixels", "vocabulary",
]  # fmt: skip

ATTRIBUTION = (
    "The faces and things in these scenes are by OpenMoji (https://openmoji.org), the open-source emoji and icon "
    "project, under CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/); some are recoloured, all are "
    "combined with shapes of our own, and the scenes are under the same licence."
)

Batch = tuple[Float[Tensor, "n 3 48 48"], Int[Tensor, "n 3"], list[str]]


def pick(n: int, generator: torch.Generator, held_out: bool = False) -> Int[Tensor, "n 3"]:
    """n scenes, each as likely as another, from those for training or from those held out; (n, 3) int64."""
    if n < 0:
        raise ValueError(f"expected a number of scenes of 0 or more, got {n}")
    scenes = combinations(held_out)
    return scenes[torch.randint(len(scenes), (n,), generator=generator)]


def sample(n: int, generator: torch.Generator, held_out: bool = False, partial: float = 0.0) -> Batch:
    """n pictures in [-1, 1], (n, 3, 48, 48) float32; their attributes, (n, 3) int64; and a caption each.

    The wording and the synonyms of a caption vary as the pictures do, and a share `partial` of the captions leaves
    something out; the same seed gives the same of everything.
    """
    if not 0 <= partial <= 1:
        raise ValueError(f"expected a share of partial captions from 0 to 1, got {partial}")
    attributes = pick(n, generator, held_out)
    wordings = torch.randint(len(WORDINGS), (n,), generator=generator).tolist()
    left_out = (torch.rand(n, generator=generator) < partial).tolist()
    captions = [
        partial_caption(tuple(row), generator) if less else caption(tuple(row), wording, generator)
        for row, wording, less in zip(attributes.tolist(), wordings, left_out)
    ]
    return draw(attributes, generator), attributes, captions


def to_pixels(images: Float[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n h w 3"]:
    """float -1..1 to uint8 0..255, rounded, colours last; values beyond the range are cut off."""
    return images.permute(0, 2, 3, 1).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).contiguous()
