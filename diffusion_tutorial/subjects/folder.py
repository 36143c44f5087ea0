"""One's own pictures: a folder of them, flat or in class folders, as squares of 32, 48 or 64 pixels in colour."""

import copy
import shlex
from pathlib import Path
from typing import Any

from diffusion_tutorial import progress
from diffusion_tutorial.data import folder
from diffusion_tutorial.evaluation import copies
from diffusion_tutorial.losses import Draw, shuffled_pixels
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects.base import Evaluation, Subject
from diffusion_tutorial.subjects.conditions import Classes

ANY_PICTURE = "picture"  # the one class of a folder without classes
FEW = 1000
NAMED = 10  # files that are named on the screen; in the card more
LISTED = 100


class Folder(Subject):
    """A folder of pictures: a label-conditional U-Net in colour, whose weights say what the classes are called.

    By itself it knows neither pictures nor classes: `given` returns one that has read a folder, `of` one as a model has it.
    """

    name = command = "folder"
    says, plural = "your own pictures, in a folder", "pictures"
    title = "folder: a label-conditional U-Net denoiser for somebody's own pictures, in colour"
    licence = "that of the pictures: whose they are decides who may use these weights, and draw with them"
    shape, condition = (3, 32, 32), Classes()
    positions, unsaid = ("pictures",), ("contents",)
    settings = dict(
        pictures=None, size=32, flip=False, width=64, start=None, predict="v", batch=32, lr=2e-3, t_bias=1.5, seed=0,
        precision="auto",
    )  # fmt: skip
    options = {
        "pictures": dict(type=Path, help="the folder: pictures in it, or in folders below that are their classes"),
        "size": dict(type=int, choices=folder.SIZES, help="pixels a side (%(default)s)"),
    }
    evaluate = 100
    walk = quick = Walk("dpm++", 20)
    scale = 2
    evaluations = {"folder": Evaluation("copies", 100, against=True)}
    examples = {
        "train": """  diffusion-tutorial train folder pictures/ --size 48 --flip --budget 1800s --out runs/mine
      your own pictures, of any kind and size; in folders such as pictures/cats and pictures/dogs these are their labels
""",
        "sample": """  diffusion-tutorial sample folder --weights runs/folder/folder.safetensors --labels cats --n 40 --out cats.png
      by a model of your own; the labels are the names of the folders that it was trained on
  diffusion-tutorial sample folder --weights runs/folder/folder.safetensors --n 100 --out mine.npz
      the arrays images, uint8 N x size x size x 3, and classes, N strings
""",
        "evaluate": """  diffusion-tutorial evaluate folder --weights runs/folder/folder.safetensors --against pictures/
      your own pictures: are the samples new, or copies?
""",
        "inpaint": """  diffusion-tutorial inpaint folder my.png --mask mask.png --weights runs/folder/folder.safetensors --out new.png
""",
        "edit": """  diffusion-tutorial edit folder my.png --weights runs/folder/folder.safetensors --label cats --to dogs --out dog.png
""",
        "diffusers": """  diffusion-tutorial export diffusers folder mine --weights runs/folder/folder.safetensors
""",
        "onnx": """  diffusion-tutorial export onnx folder mine.onnx --weights runs/folder/folder.safetensors
""",
    }
    found: folder.Pictures | None = None

    def given(self, settings: dict) -> tuple["Folder", dict]:
        """One that has read the folder; a run keeps what is in it, and not where it is."""
        found = folder.load(settings["pictures"], settings["size"])
        mine = self._with(found.classes or (ANY_PICTURE,), settings["size"])
        mine.found, mine.command = found, f"folder {shlex.quote(found.name)}"
        _tell(found)
        kept = {name: value for name, value in settings.items() if name != "pictures"}
        return mine, kept | {"contents": found.contents}

    def of(self, model: Any) -> "Folder":
        return self._with(model.net.names, model.net.shape[1])

    def _with(self, names: tuple[str, ...], size: int) -> "Folder":
        mine = copy.copy(self)
        mine.condition, mine.shape = Classes(names), (3, size, size)
        return mine

    @property
    def read(self) -> folder.Pictures:
        """What was read; an error for a subject that was given no folder."""
        if self.found is None:
            raise ValueError("expected a folder of pictures, got none: Folder.given reads one")
        return self.found

    def fits(self, model: Any) -> bool:
        if not isinstance(model, Denoiser) or not self.condition.fits(model.net):
            return False
        return model.net.shape == self.shape if self.condition.names else self.takes((*model.net.shape[1:], 3))

    def takes(self, shape: tuple[int, ...]) -> bool:
        return shape in {(size, size, 3) for size in folder.SIZES}

    def draw_data(self, settings: dict) -> Draw:
        learned, _ = folder.split(self.read)
        return shuffled_pixels(self.read.pixels[learned], self.read.labels[learned], settings["flip"])

    def network(self, settings: dict) -> UNet:
        names = self.condition.names
        return UNet(3, settings["width"], len(names), settings["size"], names)

    def data(self, settings: dict) -> str:
        found, (learned, held) = self.read, folder.split(self.read)
        classes = f" in {_classes(found)}" if found.classes else ", without labels"
        return f"the folder {found.name}: {found.contents}{classes}; {len(learned)} to learn from, {len(held)} held out"

    def about(self, model: Any, settings: dict) -> dict:
        left_out = self.read.left_out
        listed = dict(list(left_out.items())[:LISTED])
        told = {"read": self.read.done, "left_out": {"files": len(left_out), "named": listed}}
        return super().about(model, settings) | told

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """Which share of n samples are copies, and a page of samples with the nearest training picture beside each."""
        learned, held = folder.split(self.read)
        if not n:
            return {}
        if len(self.read.pixels) < folder.ENOUGH:
            progress.note(f"with fewer than {folder.ENOUGH} pictures none is held out, so copies cannot be counted")
            return {"copies": None}
        samples, training = copies.draw(self, model, n, self.quick), self.read.pixels[learned]
        found = copies.find(samples, training, self.read.pixels[held])
        copies.page(out / "folder_copies.png", samples, training, found)
        print(
            f"{copies.tell(found)}\nsamples, and right of each the nearest training picture: {out / 'folder_copies.png'}"
        )
        walk = self.quick
        drawn = (
            f"{n} samples, classes in turn, {walk.steps} steps of {walk.sampler}, w = {walk.w:g}, seed 0, EMA weights"
        )
        return {"copies": copies.numbers(found) | {"drawn": drawn}}


def _classes(found: folder.Pictures) -> str:
    """ "2 classes (cats 120, dogs 80)"."""
    each = ", ".join(f"{name} {n}" for name, n in found.sizes.items())
    return f"{len(found.classes)} class{'es' if len(found.classes) > 1 else ''} ({each})"


def _tell(found: folder.Pictures) -> None:
    """What was read and what was left out; of few pictures, what to expect."""
    n = len(found.pixels)
    progress.note(f"{found.name}: {n:,} pictures{' in ' + _classes(found) if found.classes else ', without labels'}")
    for done, count in sorted(found.done.items(), key=lambda item: -item[1])[:NAMED]:
        progress.note(f"  {count:,}: {done}")
    if found.left_out:
        named = [f"{name} ({why})" for name, why in found.left_out.items()]
        more = f"; and {len(named) - NAMED} more, see the card" if len(named) > NAMED else ""
        progress.note(f"left out, {len(named):,}: {'; '.join(named[:NAMED])}{more}")
    if n < FEW:
        progress.note(
            f"{n} pictures are few: expect copies of them, or blurs between them, rather than new ones. More pictures, "
            "--flip where left and right may be swapped, and a smaller budget help. After the training copies are counted."
        )


SUBJECT = Folder()
