"""From static to pictures by any of diffusers' schedulers, with a network of diffusion_tutorial.

Explained in its lesson "Meet the professionals". This file stands beside the weights in a folder that
`diffusion-tutorial export diffusers` wrote, and needs torch and diffusers alone.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor


class TutorialPipeline(DiffusionPipeline):
    """Draws what the network is asked for. Set another scheduler by `pipe.scheduler = X.from_config(pipe.scheduler.config)`.

    It counts times as diffusers does: the tutorial's t is its t + 1.
    """

    def __init__(self, unet: Any, scheduler: Any):
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        prompt: Any = None,
        negative_prompt: Any = None,
        num_inference_steps: int | None = None,
        timesteps: Sequence[int] | None = None,
        guidance_scale: float | None = None,
        eta: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple:
        """A picture for each prompt: one or a list of sentences, or of labels by name or number; None is any picture.

        negative_prompt: what to move away from in place of any picture, one for all or one for each. latents: the static to
        begin with, (n, channels, height, width). eta: of DDIM, 0 adds no fresh noise. output_type: "pil", "np" or "pt", these
        two in [0, 1]. Without steps or times those are taken that suit the model.
        """
        asked = list(prompt) if isinstance(prompt, (list, tuple)) else [prompt]
        away = list(negative_prompt) if isinstance(negative_prompt, (list, tuple)) else [negative_prompt] * len(asked)
        if not asked or len(away) != len(asked):
            raise ValueError(
                f"expected a negative prompt for each of {len(asked)} prompts, at least one; got {len(away)}"
            )
        w = self.unet.config.walk["guidance_scale"] if guidance_scale is None else guidance_scale
        if negative_prompt is not None and w == 1:
            raise ValueError("negative_prompt acts by guidance, and guidance_scale=1 is none: choose another scale")
        cond, away = (self.unet.encode(each).to(self.device) for each in (asked, away))
        self._set_times(num_inference_steps, timesteps)
        shape = (len(asked), *self.unet.shape)
        if latents is None:
            latents = randn_tensor(shape, generator, self.device, self.unet.dtype)
        elif latents.shape != shape:
            raise ValueError(f"expected latents of shape {shape}, got {tuple(latents.shape)}")
        x = latents.to(self.device) * self.scheduler.init_noise_sigma
        options = self._accepted(eta=eta, generator=generator, use_clipped_model_output=True)
        for t in self.progress_bar(self.scheduler.timesteps):
            answer = self._guided(self.scheduler.scale_model_input(x, t), t, cond, away, w)
            x = self.scheduler.step(answer, t, x, **options).prev_sample
        images = self._as(output_type, x)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _guided(self, x: Tensor, t: Tensor, cond: Tensor, away: Tensor, w: float) -> Tensor:
        """uncond + w (cond - uncond): classifier-free guidance; w = 1 is none."""
        if w == 1:
            return self.unet(x, t, cond).sample
        asked, uncond = self.unet(torch.cat([x, x]), t, torch.cat([cond, away])).sample.chunk(2)
        return uncond + w * (asked - uncond)

    def _set_times(self, n: int | None, timesteps: Sequence[int] | None) -> None:
        """The times given, or n as the scheduler spaces them, or those that suit the model; alpha_bar with all its digits.

        A scheduler multiplies 1 - beta up in single precision, which near t = 0 leaves few digits of 1 - alpha_bar.
        """
        beta = np.array(self.scheduler.config.trained_betas, dtype=np.float64)
        self.scheduler.alphas_cumprod = torch.from_numpy(np.cumprod(1 - beta))
        own, takes = self.unet.config.walk["timesteps"], inspect.signature(self.scheduler.set_timesteps).parameters
        if timesteps is None and n is None and "timesteps" in takes:
            timesteps = own
        if timesteps is None:
            self.scheduler.set_timesteps(len(own) if n is None else n)
        elif "timesteps" in takes:
            self.scheduler.set_timesteps(timesteps=list(timesteps))
        else:
            name = type(self.scheduler).__name__
            raise ValueError(f"timesteps: {name} takes none; give num_inference_steps, or choose another scheduler")

    def _accepted(self, **options: Any) -> dict:
        """Those of the options that the scheduler's step takes."""
        takes = inspect.signature(self.scheduler.step).parameters
        return {name: value for name, value in options.items() if name in takes}

    def _as(self, output_type: str, x: Tensor) -> Any:
        images = (x / 2 + 0.5).clamp(0, 1)
        if output_type == "pt":
            return images
        arrays = images.cpu().permute(0, 2, 3, 1).float().numpy()
        return self.numpy_to_pil(arrays) if output_type == "pil" else arrays
