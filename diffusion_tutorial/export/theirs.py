"""The way back: a model that was trained with diffusers, driven by our samplers. Used in "Meet the professionals"."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from diffusion_tutorial.predictions import Denoiser

MEANS = {"epsilon": "eps", "v_prediction": "v"}


class Theirs(nn.Module):
    """A network of diffusers, `unet(x, timestep, class_labels=...).sample`, called as ours are: its timestep is our t - 1.

    null: the label that stands for "any picture", where it was trained with one; guidance needs it.
    """

    def __init__(self, unet: Any, null: int | None = None):
        super().__init__()
        self.unet, self.null = unet, null

    def forward(
        self, x_t: Float[Tensor, "batch ..."], t: Int[Tensor, "batch"], cond: Int[Tensor, "batch"] | None = None
    ) -> Float[Tensor, "batch ..."]:
        """Its own answer; a ValueError at t = 0, where it knows no time."""
        if t.is_cpu and (t < 1).any():
            raise ValueError("expected t from 1 on: diffusers' models know no t = 0, the picture without noise")
        told = {} if cond is None else {"class_labels": cond}
        return self.unet(x_t, t - 1, **told).sample

    def null_like(self, cond: Int[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        """The null label for each; a ValueError if it has none."""
        if self.null is None:
            raise ValueError("this model has no label for any picture: say by `null` which, or draw without guidance")
        return torch.full_like(cond, self.null)


def denoiser(unet: Any, scheduler: Any, null: int | None = None) -> Denoiser:
    """A denoiser of ours around a model of diffusers: `draw(denoiser(pipe.unet, pipe.scheduler), x_T, times(50), ...)`.

    The scheduler says what the model's answer means, its alpha_bar, and the range that x0_hat is cut to; how to walk is now
    for our samplers to say. Times are as many as it has, alpha_bar with a 1 in front.
    """
    says = scheduler.config
    if says.prediction_type not in MEANS:
        raise ValueError(f"expected a model that predicts {' or '.join(MEANS)}, got {says.prediction_type}")
    if says.get("thresholding"):
        raise ValueError(
            "expected a scheduler that cuts x0_hat by clip_sample or not at all; this one has thresholding"
        )
    clip = says.get("clip_sample_range", 1.0) if says.get("clip_sample") else None
    alpha_bar = torch.cat([torch.ones(1), scheduler.alphas_cumprod.float().cpu()])
    return Denoiser(Theirs(unet, null), alpha_bar, MEANS[says.prediction_type], clip).eval()
