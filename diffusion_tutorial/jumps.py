"""From static to a picture in one call: what a network has to learn for that. Derived in "Jump after all".

A jump is the network's x0_hat. With an answer in v it is x0_hat = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v_hat, which at
t = 0 is x_t itself, whatever the network says. Three losses teach it, all trained by `Training`: `Pairs` gives each static the
one picture that a deterministic walk makes of it; `Consistency` asks two places of one path for the same picture; `Criticised`
adds to the pairs what a critic says who has seen real pictures, so that what is left of the blur becomes strokes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from diffusion_tutorial import progress, samplers
from diffusion_tutorial.forward import q_sample
from diffusion_tutorial.losses import Draw, draw_times, drop_labels
from diffusion_tutorial.noise import Streams
from diffusion_tutorial.predictions import Denoiser


class Walks(NamedTuple):
    """Deterministic walks: x (n, stops, ...) at the times t (stops,), where each ends, x0 (n, ...), and what was asked for, cond."""

    x: Float[Tensor, "n stops ..."]
    t: Int[Tensor, "stops"]
    x0: Float[Tensor, "n ..."]
    cond: Tensor


def pseudo_huber(
    a: Float[Tensor, "batch ..."], b: Float[Tensor, "batch ..."], c: float = 0.03
) -> Float[Tensor, "batch"]:
    """sqrt(d^2 + c^2) - c, d^2 the mean squared difference: a square where d is small, d itself where it is large.

    (Song & Dhariwal 2023, arXiv 2310.14189, eq. 9, with the mean over pixels for the sum.)
    """
    return torch.sqrt((a - b).square().flatten(1).mean(1) + c * c) - c


def walks(
    teacher: Denoiser,
    cond: Tensor,
    shape: tuple[int, ...],
    steps: int = 8,
    keep: int = 4,
    seed: int = 0,
    batch: int = 128,
) -> Walks:
    """Where deterministic walks of `steps` steps of DPM-Solver++ lead, one for each condition; of each `keep` places are kept.

    Half precision, to be held in memory; static i belongs to (seed, i), so a longer list begins with the same walks.
    """
    if steps % keep:
        raise ValueError(f"expected a number of steps that {keep} divides, got {steps}")
    times, every = samplers.times(steps, len(teacher.alpha_bar) - 1), steps // keep
    paths, ends = [], []
    for i, part in progress.each([*enumerate(cond.split(batch))], "walking"):
        static = Streams(seed, range(i * batch, i * batch + len(part))).normal(shape).to(teacher.device)
        told = part.to(teacher.device)
        states = list(samplers.sample(teacher, static, times, teacher.alpha_bar, told, samplers.DPMSolverPP))
        paths.append(torch.stack([state.x for state in states[:-1:every]], 1).half().cpu())
        ends.append(states[-1].x.half().cpu())
    return Walks(torch.cat(paths), torch.tensor(times[:-1:every]), torch.cat(ends), cond)


class Pairs:
    """|x0_hat(x_t, t) - x0|, x_t a place on a deterministic walk and x0 its end: distillation  (Luhman & Luhman 2021).

    Each x_t has one x0 only, so the mean of all that fits is no blur but a picture. A share `static` of the places is the
    beginning, t = T; the others are any that `walks` kept.
    """

    def __init__(self, walks: Walks, static: float = 0.5):
        if not 0 <= static <= 1 or not len(walks.x):
            raise ValueError(f"expected walks, and a share of static in [0, 1]; got {len(walks.x)} walks, {static=}")
        self.walks, self.static = walks, static

    def batch(self, model: Any, n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """x_t, t, x0 and cond."""
        x, t, x0, cond = self.walks
        i = torch.randint(len(x), (n,), generator=generator)
        stop = torch.randint(len(t), (n,), generator=generator)
        stop = stop.masked_fill(torch.rand(n, generator=generator) < self.static, 0)
        return x[i, stop].float(), t[stop], x0[i].float(), cond[i]

    def __call__(self, model: Denoiser, *batch: Tensor) -> Float[Tensor, "batch"]:
        """How far each jump lands from the walk's end."""
        x_t, t, x0, cond = batch
        return pseudo_huber(model.guess(x_t, t, cond).x0_hat, x0)


class Consistency:
    """|x0_hat(x_t, t) - x0_hat(x_r, r)|, x_t and x_r the same x0 under the same eps, r < t, and no slope through the second.

    (Song et al. 2023, arXiv 2303.01469, eq. 10; Geng et al. 2024, arXiv 2406.14548.) At r = 0 the second is x0 itself, which
    holds all others fast. r = t (1 - 2^-j), j even in 0..`halvings`: from asking for the picture at once to asking the near
    neighbour. Both see the same dropout, of which our networks have none.
    """

    def __init__(self, draw: Draw, halvings: int = 4, t_bias: float = 2.0, label_drop: float = 0.1):
        if halvings < 0 or not t_bias > 0 or not 0 <= label_drop <= 1:
            raise ValueError(
                f"expected halvings >= 0, t_bias > 0, label_drop in [0, 1]; got {halvings}, {t_bias}, {label_drop}"
            )
        self.draw, self.halvings, self.t_bias, self.label_drop = draw, halvings, t_bias, label_drop

    def batch(self, model: Denoiser, n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """x0, t, r, eps and cond."""
        x0, cond = self.draw(n, generator)
        t = draw_times(torch.rand(n, generator=generator, dtype=torch.float64), len(model.alpha_bar) - 1, self.t_bias)
        j = torch.randint(self.halvings + 1, (n,), generator=generator)
        r = (t * (1 - 0.5**j)).long()
        eps = torch.randn(x0.shape, generator=generator)
        cond = drop_labels(cond, torch.rand(n, generator=generator), self.label_drop, model.null_like(cond))
        return x0, t, r, eps, cond

    def __call__(self, model: Denoiser, *batch: Tensor) -> Float[Tensor, "batch"]:
        """How far apart the two jumps land."""
        x0, t, r, eps, cond = batch
        with torch.no_grad():
            target = model.guess(q_sample(x0, r, eps, model.alpha_bar), r, cond).x0_hat
        x0_hat = model.guess(q_sample(x0, t, eps, model.alpha_bar), t, cond).x0_hat
        return pseudo_huber(x0_hat, target)


class Jumper(nn.Module):
    """A denoiser that learns to jump, and the critic who looks at where it lands."""

    def __init__(self, denoiser: Denoiser, critic: nn.Module):
        super().__init__()
        self.denoiser, self.critic = denoiser, critic


class Alike:
    """Real pictures, one for each label that is asked for; any for the null label, the number `labels` itself."""

    def __init__(self, images: Float[Tensor, "n c h w"], labels: Int[Tensor, "n"], kinds: int):
        counts = labels.bincount(minlength=kinds)
        if len(counts) != kinds or (counts == 0).any():
            raise ValueError(f"expected pictures of each of {kinds} labels, got {counts.tolist()}")
        self.images = images[labels.argsort(stable=True)]
        self.counts = torch.cat([counts, counts.sum()[None]])
        self.first = torch.cat([counts.cumsum(0) - counts, torch.zeros(1, dtype=torch.int64)])

    def __call__(self, cond: Int[Tensor, "batch"], generator: torch.Generator) -> Float[Tensor, "batch c h w"]:
        """A picture for each label, drawn anew."""
        u = torch.rand(len(cond), generator=generator, dtype=torch.float64)
        return self.images[self.first[cond] + (u * self.counts[cond]).long()]


class Criticised:
    """`Pairs` for the denoiser of a `Jumper`, and a game with its critic D, `weight` times:

    denoiser  softplus(D(real) - D(jump))
    critic    softplus(D(jump) - D(real)) + gamma/2 (|slope of D at real|^2 + |slope of D at jump|^2)

    (Jolicoeur-Martineau 2018; Huang et al. 2025, arXiv 2501.05441, with both penalties.) Real and jump have the same label.
    Each term's slope reaches one of the two only: the critic sees the jump detached, and its own weights are held for the other.
    """

    def __init__(self, pairs: Pairs, real: Alike, weight: float = 0.1, gamma: float = 1.0):
        if not (weight >= 0 and gamma >= 0):
            raise ValueError(f"expected weight and gamma of 0 or more, got {weight=}, {gamma=}")
        self.pairs, self.real, self.weight, self.gamma = pairs, real, weight, gamma

    def batch(self, model: Any, n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """x_t, t, x0, cond, and a real picture for each cond."""
        x_t, t, x0, cond = self.pairs.batch(model, n, generator)
        return x_t, t, x0, cond, self.real(cond, generator)

    def __call__(self, model: Jumper, *batch: Tensor) -> Float[Tensor, "batch"]:
        """All three terms of each picture."""
        x_t, t, x0, cond, real = batch
        jump = model.denoiser.guess(x_t, t, cond).x0_hat
        D = partial(model.critic, cond=cond.to(jump.device))
        told_real, told_jump, slopes = self._told(D, real, jump.detach())
        held = {name: p.detach() for name, p in model.critic.named_parameters()}
        told_maker = functional_call(model.critic, held, (jump, cond.to(jump.device)))
        critic = F.softplus(told_jump - told_real) + self.gamma / 2 * slopes
        return pseudo_huber(jump, x0) + self.weight * F.softplus(told_real.detach() - told_maker) + critic

    def _told(self, D: Callable[[Tensor], Tensor], real: Tensor, jump: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """D of both, and the sum of their squared slopes, for each pair."""
        told, slopes = [], torch.zeros(len(real), device=real.device)
        for x in (real, jump):
            x = x.clone().requires_grad_()
            told.append(D(x))
            (slope,) = torch.autograd.grad(told[-1].sum(), x, create_graph=True)
            slopes = slopes + slope.square().flatten(1).sum(1)
        return told[0], told[1], slopes
