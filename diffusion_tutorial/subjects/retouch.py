"""Fill in what is missing, change what a picture shows, and keep the rest as it is: any subject's model, as the command does it."""

from jaxtyping import Bool, Float
from torch import Tensor

from diffusion_tutorial import editing, progress, run, samplers
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.noise import Source, Streams, fresh
from diffusion_tutorial.predictions import Denoiser

METHODS = {"repaint": 10, "replace": 1}  # how often each step of an inpainting is taken
STEPS = 50  # of an inpainting
EDIT_STEPS, STRENGTH = 25, 1.0


def fill(
    model: Denoiser, x0: Float[Tensor, "1 c h w"], mask: Tensor, cond: Tensor | None, method: str, w: float, seed: int
) -> Float[Tensor, "1 c h w"]:
    """The picture with the mask filled, as the model draws it, under a progress bar; `method` is one of METHODS."""
    model, x0, source = model.to(run.device()), x0.to(run.device()), Streams(seed, [0])
    step = editing.inpaint_step(samplers.ddpm_step, x0, mask, METHODS[method])
    cond = None if cond is None else cond.to(x0.device)
    with progress.bar("filling") as show:
        walk = (guide(model, w), fresh(x0, source), samplers.times(STEPS), model.alpha_bar, cond, step, source)
        for done, state in enumerate(samplers.sample(*walk)):
            show.at(done / STEPS)
            x = state.x
    return x.cpu()


def edit_times(model: Denoiser, strength: float) -> list[int]:
    """The times of an edit, up to `strength` of the way to static."""
    times = samplers.times(EDIT_STEPS, spacing="karras", alpha_bar=model.alpha_bar)
    start = max(times[-2], round(strength * (len(model.alpha_bar) - 1)))
    return [t for t in times if t <= start]


def find_mask(
    model: Denoiser, x0: Float[Tensor, "n c h w"], source: Tensor, target: Tensor, generator: Source = None
) -> Bool[Tensor, "n 1 h w"]:
    """Where the pictures have to change to show `target` instead of `source`: `editing.where_to_edit`."""
    x0, source, target = (x.to(run.device()) for x in (x0, source, target))
    model = model.to(run.device())
    return editing.where_to_edit(model, x0, source, target, model.alpha_bar, generator=generator).cpu()


def change(
    model: Denoiser,
    x0: Float[Tensor, "n c h w"],
    source: Tensor,
    target: Tensor,
    mask: Bool[Tensor, "..."] | None,
    w: float,
    strength: float = STRENGTH,
    paste: bool = True,
) -> Float[Tensor, "n c h w"]:
    """Pictures that show `source`, as `target` wants them: `editing.edit`, guided on the way back only."""
    x0, source, target = (x.to(run.device()) for x in (x0, source, target))
    model = model.to(run.device())
    times, guided = edit_times(model, strength), guide(model, w)
    return editing.edit(guided, x0, source, target, times, model.alpha_bar, mask, forward=model, paste=paste).cpu()
