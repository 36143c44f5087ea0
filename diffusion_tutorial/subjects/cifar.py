"""CIFAR-10: small photographs of ten kinds of thing, 32 x 32 in colour, by label."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_tutorial import metrics, progress
from diffusion_tutorial.data import cifar, digits
from diffusion_tutorial.files import BadFile
from diffusion_tutorial.losses import Classification, Draw, Loss, shuffled_pixels
from diffusion_tutorial.models.classifier import PhotoClassifier
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects.base import Evaluation, Judge, Subject, Trainable, Unjudged
from diffusion_tutorial.subjects.conditions import Labels

LICENCE = (
    "CIFAR-10: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, published without a licence; its "
    "photographs belong to those who took them."
)
SHIFT = 4  # pixels by which the judge sees pictures moved


def _data(text: str) -> str | Path:
    return text if text == "full" else Path(text)


DATA = {
    "data": dict(
        type=_data,
        metavar="full|FOLDER",
        help="CIFAR-10 where DIFFUSION_TUTORIAL_DATA says, or downloaded; or a FOLDER with train/airplane, … (%(default)s)",
    )
}


class Photos(NamedTuple):
    """Training pictures with labels, and where they are from: a line of the card, and the folder, if it was one."""

    pixels: UInt8[Tensor, "n 3 32 32"]
    labels: Int[Tensor, "n"]
    says: str
    folder: Path | None = None


class _OfPhotos(Trainable):
    """What is trained on photographs: from torchvision's files, or from a folder, which `given` reads."""

    unsaid = ("contents",)
    options = DATA
    photos_: Photos | None = None

    def given(self, settings: dict) -> tuple["_OfPhotos", dict]:
        """One that has the photographs; of a folder, a run keeps name and contents, and not where it is."""
        mine, source = copy.copy(self), settings["data"]
        if source == "full":
            pixels, labels = cifar.full()
            mine.photos_ = Photos(pixels, labels, f"CIFAR-10, {len(pixels):,} training pictures")
            return mine, settings
        found = cifar.of_folder(source)
        if found.left_out:
            progress.note(f"left out, {len(found.left_out):,}: {', '.join(list(found.left_out)[:10])}")
        jpeg = any(name.lower().endswith((".jpg", ".jpeg")) for name in found.files)
        once = ", once compressed as JPEG" if jpeg else ""
        says = f"CIFAR-10 from the folder {source.resolve().name}: {found.contents}{once}"
        mine.photos_ = Photos(found.pixels, found.labels, says, source)
        return mine, settings | {"data": source.resolve().name, "contents": found.contents}

    @property
    def photos(self) -> Photos:
        """What is trained on; of what was given nothing, torchvision's."""
        return self.photos_ or self.given({"data": "full"})[0].photos

    def data(self, settings: dict) -> str:
        return self.photos.says


class PhotoJudge(_OfPhotos, Judge):
    """Reads photographs. Each is mirrored and shifted in training, so that it reads things and not places."""

    name, command, says = "cifar_classifier", "cifar-classifier", "the judge that reads small photographs"
    title = "cifar_classifier: a convolutional network that reads 32 x 32 photographs of ten kinds; the judge of the samples"
    licence = LICENCE
    settings = {"data": "full", **Judge.settings}
    examples = {
        "train": """  diffusion-tutorial train cifar-classifier --budget 20000steps
      the judge that reads photographs; evaluate cifar --judge runs/cifar-classifier/cifar_classifier.safetensors
""",
    }

    def new(self, settings: dict) -> nn.Module:
        return PhotoClassifier()

    def loss(self, settings: dict) -> Loss:
        whole = shuffled_pixels(self.photos.pixels, self.photos.labels, flip=True)

        def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            images, labels = whole(n, generator)
            dy, dx = torch.randint(2 * SHIFT + 1, (2,), generator=generator).tolist()
            return F.pad(images, (SHIFT,) * 4, mode="reflect")[..., dy : dy + 32, dx : dx + 32], labels

        return Classification(draw, label_smoothing=0.05)

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """Accuracy on the 10,000 test pictures, where they are to be had."""
        try:
            pixels, labels = _test(self.photos.folder)
        except (digits.DataUnavailable, BadFile) as problem:
            progress.note(f"{problem} The accuracy on test pictures is not measured.")
            return {"quality": None}
        hits = [_read(model, _signed(x)) == y for x, y in zip(pixels.split(500), labels.split(500))]
        share, low, high = metrics.share(torch.cat(hits))
        protocol = f"{len(labels):,} CIFAR-10 test pictures"
        print(f"accuracy on {protocol}: {share:.2%}")
        return {"quality": {"accuracy": share, "interval_95": [round(low, 4), round(high, 4)], "protocol": protocol}}


class Cifar(_OfPhotos, Subject):
    """Small photographs: a label-conditional U-Net in colour, "Go to colour and to the GPU"."""

    name = command = "cifar"
    says, plural = "small photographs of ten kinds of thing, by label", "photographs"
    title = "cifar: a label-conditional U-Net denoiser for 32 x 32 photographs"
    licence, shape = LICENCE, (3, cifar.SIZE, cifar.SIZE)
    condition, judge = Labels(cifar.NAMES, "class", "classes"), PhotoJudge()
    settings = dict(
        data="full",
        flip=True,
        width=64,
        start=None,
        predict="v",
        batch=64,
        lr=2e-3,
        t_bias=1.5,
        seed=0,
        precision="auto",
    )
    evaluate = 500
    walk = quick = Walk("dpm++", 20)
    evaluations = {"cifar": Evaluation("labelled", 1000, against=True)}
    examples = {
        "train": """  diffusion-tutorial train cifar --budget 20000steps --out runs/photographs
      small photographs, from CIFAR-10; --data FOLDER takes them from class folders such as FOLDER/train/airplane
""",
        "sample": """  diffusion-tutorial sample cifar --weights runs/cifar/cifar.safetensors --labels dog,ship --n 20 --out dogs.png
      dogs and ships in turn, by a model of your own: no weights for photographs come along yet
""",
        "evaluate": """  diffusion-tutorial evaluate cifar --weights runs/cifar/cifar.safetensors --judge cifar_classifier.safetensors
      photographs, beside real ones, read by a judge of your own
""",
        "inpaint": """  diffusion-tutorial inpaint cifar dog.png --mask mask.png --weights runs/cifar/cifar.safetensors --label dog --out new.png
""",
        "edit": """  diffusion-tutorial edit cifar dog.png --weights runs/cifar/cifar.safetensors --label dog --to cat --out cat.png
""",
        "diffusers": """  diffusion-tutorial export diffusers cifar photographs --weights runs/cifar/cifar.safetensors
""",
        "onnx": """  diffusion-tutorial export onnx cifar cifar.onnx --weights runs/cifar/cifar.safetensors
""",
    }

    def draw_data(self, settings: dict) -> Draw:
        return shuffled_pixels(self.photos.pixels, self.photos.labels, settings["flip"])

    def network(self, settings: dict) -> UNet:
        return UNet(3, settings["width"], len(cifar.NAMES), cifar.SIZE)

    def real(self, which: str | None = None) -> tuple[Float[Tensor, "n 3 32 32"], Int[Tensor, "n"], str]:
        """The training pictures, torchvision's or those of a folder that is named."""
        photos = self.given({"data": _data(which or "full")})[0].photos
        return _signed(photos.pixels), photos.labels, f"training pictures of {photos.says.partition(', ')[0]}"

    def read_back(self, images: Float[Tensor, "n 3 32 32"], asked: Sequence[int]) -> Bool[Tensor, "n"]:
        return _read(self.judge.load(), images) == torch.tensor(asked)

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """Share of n samples, labels in turn, that the judge reads back, where there is one."""
        if not n:
            return {}
        try:
            self.judge.load()
        except Unjudged as problem:
            progress.note(f"{problem} of `evaluate cifar`; what was drawn is not read back")
            return {"quality": None}
        walk = self.quick
        share, *interval = self.quality(model, [i % len(cifar.NAMES) for i in range(n)], walk)
        drawn = (
            f"{n} samples, classes in turn, {walk.steps} steps of {walk.sampler}, w = {walk.w:g}, seed 0, EMA weights"
        )
        protocol = f"{drawn}, read by the judge of photographs"
        print(f"read back as their label: {share:.1%} ({protocol})")
        return {"quality": {"label_accuracy": share, "interval_95": interval, "protocol": protocol}}

    def check(self) -> list[str]:
        there = (
            "there"
            if cifar.is_there()
            else f"not there; optional. To use it, set {digits.FOLDER}, or let it be downloaded"
        )
        print(f"cifar    CIFAR-10, 60,000 small photographs: {there}")
        return []


def _signed(pixels: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    return pixels.float().div(127.5).sub(1)


def _read(judge: nn.Module, images: Float[Tensor, "n 3 32 32"]) -> Int[Tensor, "n"]:
    return metrics.predict(judge, images).argmax(1)


def _test(folder: Path | None) -> tuple[UInt8[Tensor, "n 3 32 32"], Int[Tensor, "n"]]:
    """The test pictures that belong to the training pictures: torchvision's, or those beside train in a folder."""
    if folder is None:
        return cifar.full(train=False)
    found = cifar.of_folder(folder, train=False)
    return found.pixels, found.labels


SUBJECT = Cifar()
