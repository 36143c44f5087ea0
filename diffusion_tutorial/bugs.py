"""Twelve famous silent bugs, each a change of one line in a program that works. Diagnosed in "Spot the bug".

The program is `train`, `walk` and `thumbnails`. A `Bug` names one line of it and what stands there instead; `broken` reads the
program's own source, changes that line and runs what comes out, so the line that is shown as the cure is the line that was wrong.
"""

import copy
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from diffusion_tutorial import schedules
from diffusion_tutorial.forward import q_sample, q_step
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.losses import draw_times
from diffusion_tutorial.predictions import Denoiser, eps_from_x0, v_from
from diffusion_tutorial.training import learning_rate


def train(
    net: torch.nn.Module, pixels: Float[Tensor, "n c h w"], labels: Int[Tensor, "n"], T: int, steps: int, seed: int
) -> Iterator[tuple[float, Denoiser]]:
    """Train a labelled network on pixels in [0, 1] to answer v; after each step its loss, and the average that draws.

    Everything that is decided in training stands in a line of its own here: range, schedule, hidden labels, target, average.
    """
    g = torch.Generator().manual_seed(seed)
    alpha_bar = schedules.cosine(T)
    model = Denoiser(net, alpha_bar, "v")
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3, (0.9, 0.99))
    for n in range(steps):
        pick = torch.randint(len(pixels), (32,), generator=g)
        x0 = 2 * pixels[pick] - 1
        hidden = torch.rand(32, generator=g) < 0.1
        cond = torch.where(hidden, 10, labels[pick])
        t = draw_times(torch.rand(32, generator=g), T, bias=2)
        noise_before, noise_of_step = torch.randn(2, *x0.shape, generator=g)
        x_t = q_step(q_sample(x0, t - 1, noise_before, alpha_bar), t, noise_of_step, alpha_bar)
        eps = eps_from_x0(x_t, x0, t, alpha_bar)
        loss = (model.answer(x_t, t, cond) - v_from(x0, eps, t, alpha_bar)).square().mean()
        optimizer.param_groups[0]["lr"] = 4e-3 * learning_rate(n / steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        memory = min(0.999, (1 + n) / (10 + n))
        for old, new in zip(average.parameters(), model.parameters()):
            old.lerp_(new, 1 - memory)
        yield loss.item(), average


def walk(
    model: Denoiser, labels: Int[Tensor, "n"], times: list[int], seed: int, paper_w: float = 0.0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Walk back from static in ancestral steps (Ho et al. 2020, eq. 7 and algorithm 2); each step's x0_hat and x_s.

    paper_w is the guidance as Ho & Salimans 2022 count it in equation 6, where 0 is none.
    """
    g = torch.Generator().manual_seed(seed)
    a = model.alpha_bar.tolist()
    x = torch.randn(len(labels), 1, 28, 28, generator=g)
    guided = guide(model, w=1 + paper_w)
    for i, (t, s) in enumerate(zip(times[:-1], times[1:])):  # noqa: B007  (a bug uses i)
        clock = torch.full((len(x),), t)
        x0_hat, eps_hat = guided.guess(x, clock, labels)
        x0_hat = x0_hat.clamp(-1, 1)
        beta = 1 - a[t] / a[s]
        mean = (a[s] ** 0.5 * beta * x0_hat + (a[t] / a[s]) ** 0.5 * (1 - a[s]) * x) / (1 - a[t])
        sigma = (beta * (1 - a[s]) / (1 - a[t])) ** 0.5
        z = torch.randn(x.shape, generator=g)
        x = mean + sigma * z
        yield x0_hat, x


def thumbnails(drawn: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Pictures at half their size, as the judge of a collection of thumbnails is shown them, enlarged again to fit its network."""
    small = F.interpolate(drawn, scale_factor=0.5, mode="area")
    return F.interpolate(small, scale_factor=2.0, mode="bilinear")


def saved(x: Float[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Pictures as a file holds them, 0 to 255."""
    return (127.5 * (x + 1)).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Bug:
    """One line of one part of the program, what stands there instead, and where the world has met it.

    part: train, walk, thumbnails or saved. origin: a paper or public threads, with their addresses. options: how the part is called.
    """

    name: str
    part: Callable
    right: str
    wrong: str
    origin: str
    options: dict[str, Any] = field(default_factory=dict)

    def broken(self) -> Callable:
        """The part of the program with its line changed."""
        source = inspect.getsource(self.part)
        if source.count(self.right) != 1:
            raise ValueError(f"expected this line once in {self.part.__name__}: {self.right}")
        space = dict(vars(sys.modules[self.part.__module__]))
        exec(compile(source.replace(self.right, self.wrong), f"<{self.name}>", "exec"), space)
        return space[self.part.__name__]

    def diff(self) -> str:
        """The cure: the wrong line with a minus, the right one with a plus."""
        return f"- {self.wrong}\n+ {self.right}"


def github(repository: str, number: int, title: str, kind: str = "issues") -> str:
    """A public thread, by its title and address."""
    return f"“{title}”, https://github.com/{repository}/{kind}/{number}"


BUGS = {bug.name: bug for bug in [
    Bug("data left in [0, 1]", train, "x0 = 2 * pixels[pick] - 1", "x0 = pixels[pick]",
        github("lucidrains/DALLE2-pytorch", 96, "Why need unnormalize img when apply openai's clip `embed_image`")),
    Bug("T too small for its betas", train, "alpha_bar = schedules.cosine(T)", "alpha_bar = schedules.linear(T)",
        github("zoubohao/DenoisingDiffusionProbabilityModel-ddpm-", 14, "Deadly Bug found and solved !!! Must be fixed !!!")
        + "; the flaw in general: Lin et al. 2023, https://arxiv.org/abs/2305.08891", {"T": 100}),
    Bug("labels hidden the wrong way round", train, "hidden = torch.rand(32, generator=g) < 0.1",
        "hidden = torch.rand(32, generator=g) > 0.1",
        github("TeaPearce/Conditional_Diffusion_MNIST", 1, "context_mask = (-1*(1-context_mask)) # need to flip 0 <-> 1")
        + ", where readers puzzle over the sense of such a mask"),
    Bug("the noise of one step as the target", train, "eps = eps_from_x0(x_t, x0, t, alpha_bar)", "eps = noise_of_step",
        github("dome272/Diffusion-Models-pytorch", 24, "I don't understand the function def noise_images(self, x, t)")),
    Bug("an EMA that is too young", train, "memory = min(0.999, (1 + n) / (10 + n))", "memory = 0.9999",
        github("openai/improved-diffusion", 59, "EMA sampling produces only noise") + " and "
        + github("konpatp/diffae", 16, "EMA model lagging behind")),
    Bug("predicted noise reused as fresh noise", walk, "z = torch.randn(x.shape, generator=g)", "z = eps_hat",
        "“Why using ground truth noise in a diffusion model does not work”, where one noise serves at every step, "
        "https://discuss.huggingface.co/t/why-using-ground-truth-noise-in-a-diffusion-model-does-not-work/48909"),
    Bug("noise added at the last step", walk, "sigma = (beta * (1 - a[s]) / (1 - a[t])) ** 0.5", "sigma = beta**0.5",
        github("TeaPearce/Conditional_Diffusion_MNIST", 10, "Line 284")),
    Bug("times walked upwards", walk, "in enumerate(zip(times[:-1], times[1:])):",
        "in enumerate(zip(times[-2::-1], times[:0:-1])):",
        github("voletiv/mcvd-pytorch", 13, "Question about DDPM and DDIM sampling.") + " and "
        + github("nathan-barry/tiny-diffusion", 2, "Bug: Incorrect sampling timestep order (denoising runs clean → noisy instead of noisy → clean)")),
    Bug("no fresh noise at all", walk, "z = torch.randn(x.shape, generator=g)", "z = 0", "a learner asks why it is added in "
        + github("SingleZombie/DL-Demos", 31, "关于ddpm中的模型存在一些疑惑，烦请解答")),
    Bug("torch.rand in place of torch.randn", walk, "z = torch.randn(x.shape, generator=g)", "z = torch.rand(x.shape, generator=g)",
        github("acids-ircam/diffusion_models", 8, "Randn instead of Rand?")),
    Bug("the schedule of another training", walk, "a = model.alpha_bar.tolist()", "a = schedules.linear().tolist()",
        github("G-U-N/AnimateLCM", 24, 'Why do you use "Linear" for beta schedule?')),
    Bug("saved without coming back from [-1, 1]", saved, "return (127.5 * (x + 1)).round()", "return (255 * x).round()",
        github("lucidrains/DALLE-pytorch", 120, "The bad generations of `generate.py`.")),
    Bug("index in place of the time", walk, "clock = torch.full((len(x),), t)", "clock = torch.full((len(x),), i)",
        github("Stability-AI/stablediffusion", 226, "fix a bug for DDIM inversion (DDIMSampler.encode())", "pull")),
    Bug("x0_hat not clipped", walk, "x0_hat = x0_hat.clamp(-1, 1)", "x0_hat = x0_hat",
        github("hojonathanho/diffusion", 5, "Sampling algorithm differ from paper.") + " and "
        + github("bot66/MNISTDiffusion", 2, "clip vs no-clip sampling"), {"paper_w": 8.0}),
    Bug("guidance in the wrong convention", walk, "guided = guide(model, w=1 + paper_w)", "guided = guide(model, w=paper_w)",
        github("huggingface/diffusers", 5882, "Classifier free guidance implementation does not match the description in the paper?"),
        {"paper_w": 0.3}),
    Bug("resized without smoothing before the Frechet distance", thumbnails, 'small = F.interpolate(drawn, scale_factor=0.5, mode="area")',
        'small = F.interpolate(drawn, scale_factor=0.5, mode="nearest")',
        "Parmar et al. 2022, https://arxiv.org/abs/2104.11222, and "
        + github("Lightning-AI/torchmetrics", 3130, "Feature Request: Use resizing with antialiasing in `torchmetrics.image.fid.FrechetInceptionDistance`.")),
]}  # fmt: skip
