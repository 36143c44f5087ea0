"""The U-Net with one piece taken out: the long experiment of "Build the network".

    python benchmarks/pieces.py                       one seed, 400 steps each: about 2 minutes on two idle cores
    python benchmarks/pieces.py --steps 100  a first look

Every network is trained alike, on the same batches. At the end 1,000 questions, the same for all, give the training loss in
five ranges of t, and 200 digits (20 ancestral steps, averaged weights, no guidance) are read by the shipped classifier. The
results go to benchmarks/pieces.json after every run, so it can be stopped at any time.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from diffusion_tutorial import losses, metrics, pretrained, run, samplers, schedules
from diffusion_tutorial.data import digits
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.training import Training

RESULTS = Path(__file__).with_suffix(".json")
CHANGES = ("nothing", "skip", "time", "attention", "label", "two thirds of the width")
N = 200  # digits drawn at the end


class Pass(nn.Module):
    """A block that does nothing."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """x, as it came."""
        return x


def network(without: str, width: int) -> UNet:
    """The package's U-Net without one of its pieces."""
    net = UNet(width=width // 3 if without == "two thirds of the width" else width)
    if without == "skip":
        net.up.register_forward_pre_hook(lambda up, given: (cut(given[0]), given[1]))
    if without == "time":
        net.time.register_forward_hook(lambda layer, given, answer: torch.zeros_like(answer))
    if without == "attention":
        net.middle[1] = Pass()
    if without == "label":
        net.label.register_forward_hook(lambda layer, given, answer: torch.zeros_like(answer))
        net.sketch.register_forward_hook(lambda layer, given, answer: torch.zeros_like(answer))
    return net


def cut(h: Tensor) -> Tensor:
    """The features that come up, and zeros where the skip would be."""
    up, skip = h.chunk(2, dim=1)
    return torch.cat([up, torch.zeros_like(skip)], dim=1)


@torch.no_grad()
def loss_by_t(model: Denoiser) -> list[float]:
    """The mean training loss over 200 questions in each fifth of 1..1000, from the smallest t to the largest."""
    images, labels = digits.load()
    generator = torch.Generator().manual_seed(7)
    pick = torch.randint(len(images), (1000,), generator=generator)
    eps = torch.randn(1000, 1, 28, 28, generator=generator)
    t = torch.arange(1, 1001)
    loss = losses.training_loss(model, images[pick], t, eps, labels[pick])
    return [round(part.mean().item(), 4) for part in loss.split(200)]


def read_back(model: Denoiser) -> int:
    """How many of N digits, labels in turn, are read as their label."""
    generator, cond = torch.Generator().manual_seed(9), torch.arange(N) % 10
    static = torch.randn(N, 1, 28, 28, generator=generator)
    drawn = samplers.draw(model, static, samplers.times(20), model.alpha_bar, cond=cond, generator=generator)
    return int((metrics.predict(pretrained.load("digit_classifier"), drawn).argmax(1) == cond).sum())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    about = dict(
        steps=options.steps, width=options.width, batch=32, seeds=options.seeds, drawn=N, sampler="ddpm, 20 steps"
    )
    results: dict[str, dict] = {name: {"loss by fifth of t": [], "read back": []} for name in CHANGES}
    for seed in options.seeds:
        for without in CHANGES:
            began = time.perf_counter()
            with run.seeded(seed):
                model = Denoiser(network(without, options.width), schedules.cosine(), "v")
            loss = losses.Denoising(losses.shuffled(*digits.load()))
            training = Training(model, loss, steps=options.steps, seed=seed, amp=False)
            for _ in training:
                pass
            results[without]["loss by fifth of t"].append(loss_by_t(training.ema))
            results[without]["read back"].append(read_back(training.ema))
            said = {name: values[-1] for name, values in results[without].items()}
            print(f"seed {seed}, without {without}: {said}, {time.perf_counter() - began:.0f} s", flush=True)
            options.out.write_text(json.dumps(about | {"without": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
