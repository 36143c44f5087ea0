"""What `train` makes: a `Trainable` says of what a run is made, and a `Judge` is one that reads what was drawn."""

import json
from pathlib import Path
from typing import Any

from torch import nn

from diffusion_tutorial import pretrained
from diffusion_tutorial.losses import Loss


class Trainable:
    """Something that `train NAME` makes. A kind of it says `name` and what follows, and fills the methods in."""

    name: str  # of its files, and in cards
    command: str  # what the command line calls it; the name, unless it says otherwise
    says: str  # a line of help
    title: str  # a line of the card: what it is
    licence: str  # of the weights
    examples: dict[str, str] = {}  # for --help, by the command that they show
    settings: dict[str, Any]  # what a run is made of besides its budget, with its values unless one says otherwise
    options: dict[
        str, dict
    ] = {}  # how --NAME is read, of settings that others do not have: keyword arguments of argparse's
    positions: tuple[str, ...] = ()  # settings that the command line gives by place, before all options
    unsaid: tuple[str, ...] = ()  # settings of a run that a card's command does not repeat as options
    training: dict[str, Any] = {}  # more arguments of Training, the same in every run
    evaluate = 0  # samples that are drawn and judged at the end of a training, unless one says otherwise

    def given(self, settings: dict) -> tuple["Trainable", dict]:
        """What is trained with these settings, and the settings as a run keeps them: with nothing of this machine only.

        For what must look at a folder before it knows its classes; the methods that follow are called of what is returned.
        """
        return self, settings

    def new(self, settings: dict) -> nn.Module:
        """The untrained network, a function of the settings and of torch's random numbers."""
        raise NotImplementedError

    def loss(self, settings: dict) -> Loss:
        """What is minimised, over which data."""
        raise NotImplementedError

    def kept(self, model: Any) -> Any:
        """What of a trained model is written: a denoiser or a judge. Who learns against a second network keeps one of the two."""
        return model

    def data(self, settings: dict) -> str:
        """A line of the card: on what it was trained."""
        raise NotImplementedError

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """What is measured at the end of a training, for the card; n samples, 0 for none."""
        return {}

    def begin(self, out: Path) -> None:
        """Before the first step of a new run: clear away what an old one left in `out`."""

    def look(self, model: Any, out: Path, step: int) -> None:
        """At each milestone of a training."""

    def about(self, model: Any, settings: dict) -> dict:
        """The lines of the card that are known before the training."""
        return {"model": self.title, "data": self.data(settings), "licence": self.licence}

    def check(self) -> list[str]:
        """What is missing on this machine, for the doctor, a sentence each; what is there is printed."""
        return []


class Unjudged(ValueError):
    """There is no judge to read pictures of a subject; the message says what to do."""


class Judge(Trainable):
    """A classifier that reads what was drawn. It never takes part in drawing. Its weights: a file, or those that come along."""

    file: Path | None = None

    settings: dict[str, Any] = {"batch": 128, "lr": 3e-3, "seed": 0, "precision": "float32"}
    training: dict[str, Any] = {"warm_up": 0.1, "weight_decay": 0.05, "betas": (0.9, 0.999), "ema_decay": 0.0}

    def load(self) -> Any:
        """The judge, ready to read; Unjudged if there are no weights, a ValueError if the file holds something else."""
        if self.file is None and self.name not in pretrained.SHIPPED:
            made = f"train one by `diffusion-tutorial train {self.command}`"
            raise Unjudged(f"no {self.name} comes along; {made}, and name its weights by --judge")
        if self.file is None:
            return pretrained.load(self.name)
        model = pretrained.read(self.file)
        if not isinstance(model, type(self.new(self.settings))):
            raise ValueError(f"--judge: {self.file} holds something else than {self.title}")
        return model

    def card(self) -> dict:
        """Its model card; of a file without one beside it, that nothing was measured."""
        if self.file is None:
            return pretrained.card(self.name)
        try:
            return json.loads(self.file.with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"quality": None}


class Nobody(Judge):
    """In the place of a judge, for pictures that none can read."""

    def load(self) -> Any:
        raise Unjudged("no judge can read these pictures")
