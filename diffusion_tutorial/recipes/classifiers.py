"""The judges: classifiers of digits and of scenes, trained alike."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from diffusion_tutorial import metrics, pretrained
from diffusion_tutorial.data import digits, scenes
from diffusion_tutorial.models.classifier import Classifier, SceneClassifier
from diffusion_tutorial.recipes import common
from diffusion_tutorial.recipes.digits import DATA, LICENCE

REAL_SCENES = 10_000  # drawn scenes, held-out combinations among them, on which the judge of scenes is measured


def train_classifier(
    out: Path, data: str, steps: int | None, seconds: float | None, seed: int, batch: int = 128
) -> int:
    """Train the judge into `out`: digit_classifier.safetensors and its card, with its accuracy on the 10,000 test digits.

    Each digit is shifted by up to two pixels, so that the judge reads digits and not places.
    """
    images, labels = digits.load(data)
    with common.seeded(seed):
        model = Classifier().to(common.device())
    padded = F.pad(images, (2, 2, 2, 2), value=-1)

    def loss(generator: torch.Generator) -> Tensor:
        pick = torch.randint(len(images), (batch,), generator=generator)
        dy, dx = torch.randint(5, (2,), generator=generator).tolist()
        x, y = padded[pick, :, dy : dy + 28, dx : dx + 28].to(common.device()), labels[pick].to(common.device())
        return F.cross_entropy(model(x), y, label_smoothing=0.05)

    run = _minimise(model, loss, steps, seconds, seed)
    return _finish(
        *("digit_classifier", out, model.cpu().eval(), _test_accuracy),
        model_is="digit_classifier: a small convolutional network that reads 28 x 28 digits; the judge of the samples",
        data=DATA[data],
        licence=LICENCE,
        **run,
        seed=seed,
        batch_size=batch,
        command=f"diffusion-tutorial train classifier --data {data} --seed {seed} --budget {run['steps']}steps",
    )


def train_scene_classifier(out: Path, steps: int | None, seconds: float | None, seed: int, batch: int = 64) -> int:
    """Train the judge of scenes into `out`: scene_classifier.safetensors and its card, with its accuracy on drawn scenes.

    It sees all combinations, those held out from the painter too, some with a little noise over them, so that it looks
    at shapes and not at single pixels.
    """
    with common.seeded(seed):
        model = SceneClassifier().to(common.device())
    every = scenes.combinations(None)

    def loss(generator: torch.Generator) -> Tensor:
        asked = every[torch.randint(len(every), (batch,), generator=generator)]
        sigma = 0.15 * torch.rand(batch, 1, 1, 1, generator=generator)
        x = scenes.draw(asked, generator)
        x = x + sigma * torch.randn(x.shape, generator=generator)
        y = asked.to(common.device()).unbind(1)
        return sum(F.cross_entropy(logits, wanted) for logits, wanted in zip(model(x.to(common.device())), y))

    run = _minimise(model, loss, steps, seconds, seed)
    return _finish(
        *("scene_classifier", out, model.cpu().eval(), _scene_accuracy),
        model_is="scene_classifier: a convolutional network that reads subject, thing and place of a 48 x 48 scene",
        data="scenes drawn on the fly, all 3,240 combinations",
        licence=scenes.ATTRIBUTION,
        **run,
        seed=seed,
        batch_size=batch,
        command=f"diffusion-tutorial train scene-classifier --seed {seed} --budget {run['steps']}steps",
    )


def _minimise(
    model: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    steps: int | None,
    seconds: float | None,
    seed: int,
    lr: float = 3e-3,
) -> dict:
    """AdamW, its rate up over the first tenth of the budget, then down to 0; under a progress bar."""
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    step, began, progress = 0, time.perf_counter(), 0.0
    with tqdm(total=1000, bar_format="{desc} |{bar}| {percentage:3.0f}%", desc="training", file=sys.stderr) as show:
        while progress < 1:
            for group in optimizer.param_groups:
                group["lr"] = lr * min(1, progress / 0.1 + 1e-2) * (1 - progress)
            optimizer.zero_grad()
            loss(generator).backward()
            optimizer.step()
            step += 1
            progress = min(1.0, step / steps if steps else (time.perf_counter() - began) / seconds)
            show.n = round(1000 * progress)
            show.update(0)
    return {"steps": step, "seconds": round(time.perf_counter() - began)}


def _finish(name: str, out: Path, model: nn.Module, measure: Callable[[nn.Module], dict | None], **said) -> int:
    """Write weights and card, and say how good the judge is."""
    sha256 = pretrained.write(out / f"{name}.safetensors", model)
    test = measure(pretrained.read(out / f"{name}.safetensors"))
    pretrained.write_card(out / f"{name}.json", common.card(sha256, model, quality=test, **said))
    where = f"on {test['protocol']}: {test['accuracy']}" if test else "not measured"
    print(f"weights and card in {out}: {said['steps']} steps; accuracy {where}")
    return 0


def _test_accuracy(model: Classifier) -> dict | None:
    """Accuracy on the 10,000 test digits of MNIST, or None where they are not to be had."""
    try:
        images, labels = digits.load("full", train=False)
    except digits.DataUnavailable as problem:
        print(f"{problem} The accuracy on test digits is not measured.", file=sys.stderr)
        return None
    share, low, high = metrics.label_accuracy(model, images, labels)
    return {
        "accuracy": share,
        "interval_95": [round(low, 4), round(high, 4)],
        "protocol": "the 10,000 MNIST test digits",
    }


def _scene_accuracy(model: SceneClassifier) -> dict:
    """Share of drawn scenes whose subject, thing and place are all read right, and each by itself."""
    generator = torch.Generator().manual_seed(2**31)  # no training of ours has this seed
    every = scenes.combinations(None)
    asked = every[torch.randint(len(every), (REAL_SCENES,), generator=generator)]
    right = torch.cat([metrics.scene_read(model, scenes.draw(part, generator), part) for part in asked.split(500)])
    share, low, high = metrics.share(right.all(1))
    return {
        "accuracy": share,
        "interval_95": [round(low, 4), round(high, 4)],
        "subject_thing_place": [round(x, 4) for x in right.float().mean(0).tolist()],
        "protocol": f"{REAL_SCENES:,} drawn scenes, all combinations, subject, thing and place all right",
    }
