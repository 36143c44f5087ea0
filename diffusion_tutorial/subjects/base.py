"""What can be trained, drawn and judged. A file beside this one says it of one subject; nothing else asks which it has.

A `Subject` is a kind of picture with the denoiser that draws it, and its `Judge` reads what was drawn. Both are `Trainable`:
they say of what a run is made, and `run.train` does the rest. What a condition is, a label or a sentence, and how it is read
from a command line, is the business of `conditions`.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from diffusion_tutorial import metrics, pretrained, run
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.losses import Denoising, Draw, Loss
from diffusion_tutorial.models.gan import Gan
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.schedules import cosine
from diffusion_tutorial.subjects.conditions import Condition
from diffusion_tutorial.subjects.trainable import Judge, Nobody, Trainable, Unjudged

__all__ = ["Evaluation", "Judge", "Nobody", "Subject", "Trainable", "Unjudged"]


class Evaluation(NamedTuple):
    """An experiment of `evaluate`: its module in `evaluation`, how many pictures, and which drawing options it takes."""

    module: str
    n: int
    walks: bool = True  # whether it draws as --sampler, --steps and --spacing say; else as its method says
    guided: bool = True  # whether it takes --w
    against: bool = False  # whether it takes --against, real pictures to measure against
    says: str = ""  # how n is meant, for --help


class Subject(Trainable):
    """A kind of picture: data, network, condition, judge, and how it is drawn unless one says otherwise."""

    plural: str  # "digits"
    shape: tuple[int, int, int]  # of a picture: channels, height, width
    condition: Condition
    judge: Judge = Nobody()
    walk: Walk = Walk()  # how `sample` draws
    quick: Walk = Walk("dpm++", 20)  # how `evaluate` draws
    columns, scale = 10, 2  # of a page: pictures in a row at most, screen pixels for a pixel
    evaluations: dict[str, Evaluation] = {}  # by the command's names; the first is of the subject itself

    # what a kind of picture says

    def draw_data(self, settings: dict) -> Draw:
        """Training data: draw(n, generator) gives n pictures in [-1, 1] and their conditions as the network takes them."""
        raise NotImplementedError

    def network(self, settings: dict) -> nn.Module:
        """The untrained network."""
        raise NotImplementedError

    def real(self, which: str | None = None) -> tuple[Float[Tensor, "n c h w"], Tensor, str]:
        """Real pictures to measure against, what they show, and the name of the set; None: the best that is at hand."""
        raise NotImplementedError

    def read_back(self, images: Float[Tensor, "n c h w"], asked: Sequence) -> Bool[Tensor, "n"]:
        """Whether the judge reads what was asked for, of each picture."""
        raise NotImplementedError

    def of(self, model: Any) -> "Subject":
        """This subject as a model has it, where its weights say what its labels are called and how large its pictures are."""
        return self

    # what follows for all of them

    def judged_by(self, file: Path | None) -> "Subject":
        """This subject with the judge in a file of weights; None: the usual one."""
        if file is None:
            return self
        other = copy.copy(self)
        other.judge = copy.copy(self.judge)
        other.judge.file = file
        return other

    @property
    def pixel_shape(self) -> tuple[int, ...]:
        """The shape of a picture in files: height and width, and in colour 3."""
        channels, height, width = self.shape
        return (height, width) if channels == 1 else (height, width, channels)

    def new(self, settings: dict) -> Denoiser:
        model = Denoiser(self.network(settings), cosine(), settings["predict"])
        if settings.get("start"):
            self._start(model, settings["start"])
        return model

    def loss(self, settings: dict) -> Loss:
        return Denoising(self.draw_data(settings), settings["t_bias"])

    def about(self, model: Any, settings: dict) -> dict:
        schedule = f"cosine, T = {len(model.alpha_bar) - 1}"
        told = super().about(model, settings) | {"output": model.output, "schedule": schedule}
        if settings.get("start"):
            told["start"] = self._origin(settings["start"])
        return told

    def _origin(self, start: str) -> dict:
        """The card's lines about the weights that a training began with: which, and of a shipped model how it was made."""
        path = pretrained.path(start)
        made = pretrained.card(start) if start in pretrained.SHIPPED else {}
        told = {name: made[name] for name in ("start", "steps", "batch_size", "seconds", "command") if name in made}
        return {"file": path.name, "sha256": pretrained.sha256(path)} | told

    def _start(self, model: Denoiser, start: str) -> None:
        """The weights of a trained model; parts of the network that it had not begin as in an untrained one."""
        old = pretrained.named(start)
        if not self.fits(old) or old.output != model.output:
            wanted = f"a denoiser of {self.plural} that answers with {model.output}"
            raise ValueError(f"--start: expected weights of {wanted}, but {start} holds something else")
        new, shapes = model.state_dict(), {name: x.shape for name, x in old.state_dict().items()}
        if any(name not in new or new[name].shape != shape for name, shape in shapes.items()):
            raise ValueError(f"--start: the network in {start} has another size than these settings ask for")
        model.load_state_dict(new | old.state_dict())

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether pictures of this shape in files may be the subject's."""
        return shape == self.pixel_shape

    def untrained(self, **settings: Any) -> Denoiser:
        """A new model with these settings, the rest as `settings` has them; the same for the same seed."""
        settings = self.settings | settings
        with run.seeded(settings["seed"]):
            return self.new(settings)

    def fits(self, model: nn.Module) -> bool:
        """Whether a model draws this subject: a denoiser, or a GAN."""
        if isinstance(model, Gan):
            return model.shape == self.shape and model.labels == len(getattr(self.condition, "names", ()))
        if not isinstance(model, Denoiser):
            return False
        return self.condition.fits(model.net) and getattr(model.net, "shape", None) == self.shape

    def draw(
        self,
        model: Denoiser | Gan,
        asked: Sequence,
        seed: int = 0,
        walk: Walk | None = None,
        negative: Any = None,
        pictures: Sequence[int] | None = None,
    ) -> Float[Tensor, "n c h w"]:
        """A picture in [-1, 1] for each condition, under a progress bar; picture i's random numbers belong to (seed, i).

        asked: what `condition` reads, labels or sentences. pictures: the numbers i, if not 0, 1, 2, ... A GAN draws in one
        call; there is no walk to choose, and nothing to guide by.
        """
        if isinstance(model, Gan):
            return run.draw_at_once(model.to(run.device()), self.condition.encode(model, asked), seed, pictures)
        walk, model = walk or self.quick, model.to(run.device())
        away = None if negative is None else self.condition.encode(model.net, [negative])
        cond = self.condition.encode(model.net, asked)
        return run.draw(guide(model, walk.w, negative=away), model.alpha_bar, cond, self.shape, walk, seed, pictures)

    def quality(self, model: Denoiser | Gan, asked: Sequence, walk: Walk) -> list[float]:
        """The share of pictures, seed 0, that are read back as what was asked for, and its 95 % interval, to four digits."""
        return [round(x, 4) for x in metrics.share(self.read_back(self.draw(model, asked, 0, walk), asked))]

    def to_pixels(self, images: Float[Tensor, "n c h w"]) -> np.ndarray:
        """[-1, 1] to uint8 0..255, rounded, n x h x w or n x h x w x 3: as pictures stand in files."""
        pixels = images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        return pixels.squeeze(-1).numpy()

    def from_pixels(self, pixels: np.ndarray) -> Float[Tensor, "n c h w"]:
        """And back: uint8 to [-1, 1]."""
        images = torch.from_numpy(pixels).float().div(127.5).sub(1)
        return (images[..., None] if images.ndim == 3 else images).permute(0, 3, 1, 2)
