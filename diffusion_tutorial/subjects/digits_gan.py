"""The rival that draws digits in one call: a generator and its critic, "Race a GAN"."""

from pathlib import Path
from typing import Any

from torch import nn

from diffusion_tutorial.losses import Game, Loss, shuffled
from diffusion_tutorial.models.gan import Gan
from diffusion_tutorial.subjects import digits
from diffusion_tutorial.subjects.base import Trainable


class DigitsGan(Trainable):
    """A GAN for digits, by label; it is drawn and judged as the subject `digits` says."""

    name = command = "digits-gan"
    says = "a GAN that draws digits in one call, by label"
    title = "digits-gan: a generator and a critic for 28 x 28 handwritten digits, by label"
    licence = digits.LICENCE
    settings = dict(data="sample", width=16, batch=32, lr=2e-3, gamma=1.0, seed=0, precision="float32")
    options = digits.DATA | {
        "gamma": dict(type=float, help="weight of the two penalties, gamma / 2 each (%(default)s)")
    }
    training = {  # beta1 = 0: the other player moves, so old slopes mislead. The forger learns slower, so that the critic keeps up
        "betas": (0.0, 0.99),
        "rates": {"generator": 0.25},
        "ema_decay": 0.997,
    }
    evaluate = 500
    examples = {
        "train": """  diffusion-tutorial train digits-gan --budget 60s
      a minute of a forger and a critic; `sample digits --weights runs/digits-gan/digits-gan.safetensors` draws
""",
    }

    def new(self, settings: dict) -> nn.Module:
        return Gan(width=settings["width"])

    def loss(self, settings: dict) -> Loss:
        return Game(shuffled(*digits.pictures(settings)), settings["gamma"] / 2, settings["gamma"] / 2)

    def data(self, settings: dict) -> str:
        return digits.SETS[settings["data"]]

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """Share of n samples, labels in turn, that the shipped judge reads."""
        if not n:
            return {}
        subject = digits.SUBJECT
        share, *interval = subject.quality(model, [i % 10 for i in range(n)], subject.walk)
        protocol = f"one call of the generator; {n} samples, labels in turn, seed 0, EMA weights, read by the shipped classifier"
        print(f"read back as their label: {share:.1%} ({protocol})")
        return {"quality": {"label_accuracy": share, "interval_95": interval, "protocol": protocol}}


TRAINABLE = DigitsGan()
