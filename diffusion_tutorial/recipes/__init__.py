"""The recipes behind the command: train a model, measure it, write weights and card; draw a page and write it.

What a lesson does in a few cells, with progress bars, checkpoints and a record of how it was done.
"""

from diffusion_tutorial.recipes.classifiers import train_classifier, train_scene_classifier
from diffusion_tutorial.recipes.common import DIGITS_SETTINGS, SCENES_SETTINGS, device, machine
from diffusion_tutorial.recipes.digits import draw_digits, new_denoiser, train_digits, write_digits
from diffusion_tutorial.recipes.scenes import draw_scenes, new_painter, train_scenes, write_scenes

__all__ = [
    "DIGITS_SETTINGS", "SCENES_SETTINGS", "device", "draw_digits", "draw_scenes", "machine", "new_denoiser",
    "new_painter", "train_classifier", "train_digits", "train_scene_classifier", "train_scenes", "write_digits",
    "write_scenes",
]  # fmt: skip
