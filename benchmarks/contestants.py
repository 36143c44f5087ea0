"""Who trains in compare.py: this package, the Hugging Face course's model and smalldiffusion's, each in its own way.

Each function trains for so many seconds on the same pictures and says how its samples are drawn. Everything around
the network (loss, schedule, optimiser, sampler) is its own, with the published settings unless a docstring says
otherwise.
"""

import contextlib
import copy
import io
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_tutorial import run, subjects
from diffusion_tutorial.losses import Denoising, shuffled
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.training import Training, update_average

COSINE = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}  # as diffusers calls it


class Trained(NamedTuple):
    """A contestant after its seconds: steps, pictures a second, the network, how to draw one for each label."""

    steps: int
    rate: float
    net: nn.Module
    draw: Callable[[Tensor], Tensor]
    labelled: bool = True


def train_ours(images: Tensor, labels: Tensor, seconds: float) -> Trained:
    """This package as in "Learn to guess the noise", batches of 32, drawn as `sample digits --steps 50` does it."""
    digits = subjects.get("digits")
    training = Training(digits.untrained().to(run.device()), Denoising(shuffled(images, labels)), seconds=seconds)
    deque(training, maxlen=0)  # run it to its end
    rate = training.step * training.batch_size / training.seconds

    def draw(wanted: Tensor) -> Tensor:
        return digits.draw(training.ema, wanted.tolist(), 0, Walk("ddpm", 50))

    return Trained(training.step, rate, training.ema, draw)


class CourseUNet(nn.Module):
    """UNet2DModel with a label as four more channels, the same in every place: what the course's unit 2 describes."""

    def __init__(self):
        super().__init__()
        self.label = nn.Embedding(10, 4)
        self.unet = UNet2DModel(
            sample_size=28,
            in_channels=1 + 4,
            out_channels=1,
            block_out_channels=(32, 64, 64),
            layers_per_block=2,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """eps_hat for (x_t, t, label)."""
        planes = self.label(labels)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return self.unet(torch.cat([x, planes], dim=1), t).sample


def train_course(images: Tensor, labels: Tensor, seconds: float, batch: int = 128) -> Trained:
    """The Hugging Face course's class-conditional MNIST model: eps-prediction, cosine schedule, Adam, no EMA.

    Drawn with 50 steps of DDIM over the scheduler's own settings: the course's 1000 ancestral ones would take hours.
    """
    scheduler, net = DDPMScheduler(**COSINE), CourseUNet().to(run.device())
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    began, step = time.perf_counter(), 0
    for chosen in endless(len(images), batch):
        x0, y = images[chosen].to(run.device()), labels[chosen].to(run.device())
        eps = torch.randn_like(x0)
        t = torch.randint(0, 999, (len(x0),), device=x0.device)  # as there: never the last one
        loss = F.mse_loss(net(scheduler.add_noise(x0, eps, t), t, y), eps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # wait for an accelerator
        step += 1
        if (spent := time.perf_counter() - began) >= seconds:
            break
    return Trained(step, step * batch / spent, net, partial(draw_course, net, scheduler))


@torch.no_grad()
def draw_course(net: nn.Module, scheduler: DDPMScheduler, wanted: Tensor) -> Tensor:
    """A digit for each label, 250 at a time, with diffusers' DDIM in 50 steps."""
    net, walk, drawn = net.eval(), DDIMScheduler.from_config(scheduler.config), []
    walk.set_timesteps(50)
    for y in wanted.to(run.device()).split(250):
        x = torch.randn(len(y), 1, 28, 28).to(y.device)
        for t in walk.timesteps:
            x = walk.step(net(x, t, y), t, x).prev_sample
        drawn.append(x.cpu())
    return torch.cat(drawn)


def train_small(images: Tensor, labels: Tensor, seconds: float, batch: int = 128) -> Trained:
    """smalldiffusion's U-Net example for 28 x 28 pictures: no labels, EMA, its own loop, its own sampler with 20 steps.

    Without its flip, which is for clothes, and with 128 pictures a step: with its 1024 a CPU would hardly take a step.
    """
    import smalldiffusion as small

    schedule = small.ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)
    net = small.Scaled(small.Unet)(28, 1, 1, ch=64, ch_mult=(1, 1, 2), attn_resolutions=(14,))
    average = copy.deepcopy(net).requires_grad_(False).to(run.device())
    loader = torch.utils.data.DataLoader(images, batch_size=batch, shuffle=True, drop_last=True)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        began, first = time.perf_counter(), None
        for step, _ in enumerate(small.training_loop(loader, net, schedule, lr=7e-4)):  # it yields before it steps
            update_average(average, net, step, 0.999)
            now = time.perf_counter()
            first = first or now
            if now - began >= seconds and step:
                break

    def draw(wanted: Tensor) -> Tensor:
        sigmas, parts = schedule.sample_sigmas(20), wanted.split(250)
        walks = (small.samples(average, sigmas, gam=1.6, batchsize=len(part)) for part in parts)
        return torch.cat([deque(walk, maxlen=1).pop().cpu() for walk in walks])

    return Trained(step, step * batch / (now - first), net, draw, labelled=False)


def endless(n: int, batch: int) -> Iterator[Tensor]:
    """Places of the pictures of one batch after the other, in a new order each time all were seen; never ends."""
    while True:
        yield from torch.randperm(n)[: n // batch * batch].split(batch)
