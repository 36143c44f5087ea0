"""The student of the digit model: it learns to draw in one call what its teacher draws in many, "Jump after all"."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffusion_tutorial import pretrained, run
from diffusion_tutorial.jumps import Alike, Criticised, Jumper, Pairs, walks
from diffusion_tutorial.losses import Loss, drop_labels
from diffusion_tutorial.models.critic import Critic
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import digits
from diffusion_tutorial.subjects.base import Subject, Trainable
from diffusion_tutorial.subjects.conditions import Labels

WALK, NO_LABEL = ("jump", 1), 0.1  # how a student is drawn with; the share of its walks without a label


class Student(Trainable):
    """A subject's student. It begins as its teacher, `start`, and learns where `walks` of the teacher's walks end; a critic may look on."""

    options = {
        "walks": dict(type=int, metavar="N", help="walks of the teacher's to learn from (%(default)s)"),
        "critic": dict(
            type=float, metavar="WEIGHT", help="how much a critic's opinion counts; 0: there is none (%(default)s)"
        ),
    }
    training = {"ema_decay": 0.99}
    evaluate = 500

    def __init__(self, subject: Subject, labels: Labels):
        self.subject, self.labels = subject, labels
        self.name = self.command = f"{subject.name}-jump"
        self.says = f"a student of the denoiser of {subject.plural} that draws in one call"
        self.title = f"{self.name}: the denoiser of {subject.plural}, taught to draw in one call"
        self.licence = subject.licence
        self.settings = dict(
            data="sample", start=subject.name, walks=4096, critic=0.0, batch=32, lr=2e-3, seed=0, precision="auto"
        )
        self.options = self.options | subject.options
        self.examples = {
            "train": f"  diffusion-tutorial train {self.command} --data full --budget 1500s\n      one call from static to a picture\n"
        }

    def new(self, settings: dict) -> nn.Module:
        model = self._teacher(settings).train().requires_grad_(True)
        model.walk = WALK
        if not settings["critic"]:
            return model
        channels, size, _ = self.subject.shape
        return Jumper(model, Critic(channels, labels=len(self.labels.names), size=size))

    def kept(self, model: Any) -> Any:
        return model.denoiser if isinstance(model, Jumper) else model

    def loss(self, settings: dict) -> Loss:
        """The teacher walks first: it takes about as long as a fifth of the training that follows."""
        if settings["walks"] < 1:
            raise ValueError(f"--walks: expected at least one, got {settings['walks']}")
        kinds, generator = len(self.labels.names), torch.Generator().manual_seed(settings["seed"])
        cond = torch.arange(settings["walks"]) % kinds
        cond = drop_labels(cond, torch.rand(len(cond), generator=generator), NO_LABEL, kinds)
        teacher = self._teacher(settings).to(run.device())
        pairs = Pairs(walks(teacher, cond, self.subject.shape, seed=settings["seed"]))
        if not settings["critic"]:
            return pairs
        images, labels, _ = self.subject.real(settings["data"])
        return Criticised(pairs, Alike(images, labels, kinds), settings["critic"])

    def data(self, settings: dict) -> str:
        seen = f", and {self.subject.data(settings)} for the critic" if settings["critic"] else ""
        return f"{settings['walks']} walks of {Path(settings['start']).stem}{seen}"

    def about(self, model: Any, settings: dict) -> dict:
        return self.subject.about(self.kept(model), settings) | super().about(model, settings)

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """The share of n pictures that are read back as what was asked for, in 1, 2 and 4 calls."""
        if not n:
            return {}
        asked = [i % len(self.labels.names) for i in range(n)]
        read = {str(steps): self.subject.quality(model, asked, Walk("jump", steps)) for steps in (1, 2, 4)}
        protocol = (
            f"{n} samples, labels in turn, seed 0, EMA weights, in 1, 2 and 4 calls, read by the shipped classifier"
        )
        print(f"read back as their label in one call: {read['1'][0]:.1%} ({protocol})")
        return {
            "quality": {
                "label_accuracy": read["1"][0],
                "interval_95": read["1"][1:],
                "read_back": read,
                "protocol": protocol,
            }
        }

    def _teacher(self, settings: dict) -> Any:
        model = pretrained.named(settings["start"])
        if not isinstance(model, Denoiser) or not self.subject.fits(model):
            raise ValueError(
                f"--start: expected weights of a denoiser of {self.subject.plural}; {settings['start']} holds another"
            )
        return model


TRAINABLE = Student(digits.SUBJECT, digits.SUBJECT.condition)
