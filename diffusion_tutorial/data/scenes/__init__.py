"""Drawn scenes with captions, made on the fly, 48 x 48 in colour: for the text-to-image model of lesson 09.

A scene is (subject, thing, place): a cat wearing sunglasses on the moon. `sample` draws scenes for training, and with
held_out=True those that training never sees: a tenth of all combinations, by the rule in `world.is_held_out`.
The faces and things are by OpenMoji: ATTRIBUTION stands wherever these pictures do.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial.data.scenes.captions import WORDINGS, caption, plain_caption, read, vocabulary, words
from diffusion_tutorial.data.scenes.drawing import SIZE, draw
from diffusion_tutorial.data.scenes.world import PLACES, SUBJECTS, THINGS, Scene, combinations, is_held_out

__all__ = [
    "ATTRIBUTION", "PLACES", "SIZE", "SUBJECTS", "THINGS", "WORDINGS", "Scene", "batches", "caption", "combinations",
    "draw", "is_held_out", "pick", "plain_caption", "read", "sample", "vocabulary", "words",
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


def sample(n: int, generator: torch.Generator, held_out: bool = False) -> Batch:
    """n pictures in [-1, 1], (n, 3, 48, 48) float32; their attributes, (n, 3) int64; and a caption each.

    The wording and the synonyms of a caption vary as the pictures do; the same seed gives the same of everything.
    """
    attributes = pick(n, generator, held_out)
    wordings = torch.randint(len(WORDINGS), (n,), generator=generator).tolist()
    captions = [caption(tuple(row), wording, generator) for row, wording in zip(attributes.tolist(), wordings)]
    return draw(attributes, generator), attributes, captions


def batches(size: int, generator: torch.Generator, held_out: bool = False) -> Iterator[Batch]:
    """Fresh scenes without end, `size` at a time."""
    while True:
        yield sample(size, generator, held_out)
