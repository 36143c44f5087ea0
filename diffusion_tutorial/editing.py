"""Editing: fill in what is missing, change one thing and keep the rest.

Derived in "Fill in the missing part" and "Change one thing, keep the rest".

Everything here drives any denoiser, and none of it trains one. A picture `x0` is (batch, channels, height, width) in
[-1, 1]. A mask says where to fill: True, or 1, is what is missing; False, or 0, is known and comes back exactly.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from diffusion_tutorial import samplers
from diffusion_tutorial.forward import as_pictures, q_sample
from diffusion_tutorial.noise import Source, fresh
from diffusion_tutorial.predictions import Within, clip_of, x0_from_eps
from diffusion_tutorial.samplers import Moment, Step
from diffusion_tutorial.schedules import at, check_step


def as_mask(mask: Shaped[Tensor, "*any"], x0: Float[Tensor, "batch c h w"]) -> Bool[Tensor, "..."]:
    """The mask as (batch or 1, 1, h, w), True where to fill; a ValueError that says what came if it is no such mask.

    Accepted: (h, w), (1, h, w), (batch, h, w) or with a channel of 1; bool, or numbers that are all 0 or 1.
    """
    b, _, h, w = x0.shape
    mask = torch.as_tensor(mask)
    shape = tuple(mask.shape)
    if mask.ndim == 4 and shape[1] == 1:
        mask = mask[:, 0]
    if mask.shape[-2:] != (h, w) or mask.shape[:-2] not in ((), (1,), (b,)):
        wanted = f"({h}, {w}), ({b}, {h}, {w}) or ({b}, 1, {h}, {w})"
        raise ValueError(f"expected a mask of shape {wanted} for pictures {tuple(x0.shape)}, got {shape}")
    if mask.dtype != torch.bool and not torch.isin(mask, torch.tensor([0, 1]).to(mask)).all():
        raise ValueError(f"expected a mask of 0 (known) and 1 (to fill), got {mask.min():.3g} to {mask.max():.3g}")
    return mask.bool().view(-1, 1, h, w).to(x0.device)


def renoise(
    x_s: Float[Tensor, "batch ..."],
    s: Int[Tensor, "batch"],
    t: Int[Tensor, "batch"],
    noise: Float[Tensor, "batch ..."],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """x_t = sqrt(a) x_s + sqrt(1 - a) noise, a = alpha_bar_t / alpha_bar_s: forward from s to t > s, all steps at once.

    It is `forward.q_step` over several steps; RePaint walks back up with it (Lugmayr et al. 2022, algorithm 1, line 10).
    """
    check_step(t, s)
    a = at(alpha_bar, t, x_s, noise) / at(alpha_bar, s, x_s)
    return torch.sqrt(a) * x_s + torch.sqrt(1 - a) * noise


def inpaint_step(
    step: Step | type, x0: Float[Tensor, "batch c h w"], mask: Shaped[Tensor, "*any"], resample: int = 1
) -> Step:
    """A step that keeps the known part: x_s = mask x_s + (1 - mask) q_sample(x0, s)  (Lugmayr et al. 2022, eq. 8).

    The known part is noised to time s, so that both halves are equally noisy; at s = 0 it is x0 itself, exactly.
    resample = 1 is plain replacement. More of it is RePaint: the step is taken so many times, with the noise put back
    between (`renoise`), so that what is filled in gets to know what is around it (algorithm 1, whose m is 1 - mask; the
    step to s = 0, which may be a long one here, is repeated as well).
    """
    x0 = as_pictures(x0)
    hole = as_mask(mask, x0)
    if resample < 1:
        raise ValueError(f"expected resample >= 1, got {resample}")
    step = step() if isinstance(step, type) else step

    def filled(m: Moment) -> Tensor:
        for left in reversed(range(resample)):
            x_s = torch.where(hole, step(m), q_sample(x0, m.s, m.noise(), m.alpha_bar))
            if left:
                m = m.back_at(renoise(x_s, m.s, m.t, m.noise(), m.alpha_bar))
        return x_s

    return filled


def inpaint(
    denoiser: Callable[..., Tensor],
    x0: Float[Tensor, "batch c h w"],
    mask: Shaped[Tensor, "*any"],
    times: list[int],
    alpha_bar: Float[Tensor, "times"],
    cond: Tensor | None = None,
    step: Step = samplers.ddpm_step,
    resample: int = 1,
    generator: Source = None,
) -> Float[Tensor, "batch c h w"]:
    """Fill the hole of each picture, from static; `resample` = 1 replaces, about 10 is RePaint. See `inpaint_step`.

    The known pixels come back exactly as they were. To watch, drive `samplers.sample` with `inpaint_step` yourself.
    """
    x0 = as_pictures(x0)
    x_T = fresh(x0, generator)
    filling = inpaint_step(step, x0, mask, resample)
    return samplers.draw(denoiser, x_T, times, alpha_bar, cond=cond, step=filling, generator=generator)


def sdedit(
    denoiser: Callable[..., Tensor],
    x0: Float[Tensor, "batch c h w"],
    strength: float,
    alpha_bar: Float[Tensor, "times"],
    cond: Tensor | None = None,
    steps: int = 20,
    step: Step = samplers.ddpm_step,
    generator: Source = None,
) -> Float[Tensor, "batch c h w"]:
    """x_t = q_sample(x0, t) at t = strength T, then the walk back from there  (Meng et al. 2022, 2108.01073; VP form).

    strength 0 returns the picture as it is, 1 forgets it. `steps` is for the whole way from T; of it the share
    `strength` is taken, at least one.
    """
    x0 = as_pictures(x0)
    if not 0 <= strength <= 1:
        raise ValueError(f"expected a strength from 0 (keep) to 1 (forget), got {strength}")
    start = round(strength * (len(alpha_bar) - 1))
    if start == 0:
        return x0.clone()
    x_t = q_sample(x0, torch.full((len(x0),), start), fresh(x0, generator), alpha_bar)
    times = samplers.times(min(start, max(1, round(strength * steps))), T=start)
    return samplers.draw(denoiser, x_t, times, alpha_bar, cond=cond, step=step, generator=generator)


@torch.no_grad()
def invert(
    denoiser: Callable[..., Tensor],
    x0: Float[Tensor, "batch c h w"],
    times: list[int],
    alpha_bar: Float[Tensor, "times"],
    cond: Tensor | None = None,
    refine: int = 0,
) -> list[Float[Tensor, "batch c h w"]]:
    """From the picture to the static that DDIM would make it of: the DDIM step taken upwards (Song et al. 2020, sec. 5.4).

    x_t = sqrt(alpha_bar_t) x0_hat + sqrt(1 - alpha_bar_t) eps_hat, with x0_hat and eps_hat guessed at x_s, the step
    before. `times` fall, as for the walk back, whose steps this undoes. The walk back guesses at x_t instead, so some
    error stays; each of `refine` rounds guesses again at the x_t just found (a fixed point undoes the step exactly).
    Returns one x for each of `times`, in their order: the static first, x0 last.
    """
    x0 = as_pictures(x0)
    path = [x0] + [x_t for x_t, _ in _climb(denoiser, x0, times, alpha_bar, cond, refine)]
    return path[::-1]


def _climb(
    denoiser: Callable[..., Tensor], x0: Tensor, times: list[int], alpha_bar: Tensor, cond: Tensor | None, refine: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each step of `invert`, from the lowest: the x_t that it leads to and the eps_hat that led there."""
    if len(times) < 2 or times[-1] != 0 or any(t <= s for t, s in zip(times, times[1:])):
        raise ValueError(f"expected times that fall to 0, got {times}")
    x = x0
    for s, t in zip(times[::-1], times[-2::-1]):
        s_batch, t_batch = (torch.full((len(x0),), time) for time in (s, t))
        guess_at, x_t = s_batch.clamp(min=1), x  # no network is trained at t = 0, where there is no noise to guess
        for _ in range(1 + refine):
            eps_hat = denoiser(x_t, guess_at, cond)
            x0_hat = x0_from_eps(x, eps_hat, s_batch, alpha_bar)
            x_t, guess_at = q_sample(x0_hat, t_batch, eps_hat, alpha_bar), t_batch
        x = x_t
        yield x, eps_hat


def slerp(a: Float[Tensor, "batch ..."], b: Float[Tensor, "batch ..."], share: float) -> Float[Tensor, "batch ..."]:
    """Between two noises along the sphere: (sin((1 - share) angle) a + sin(share angle) b) / sin(angle)  (Shoemake 1985).

    Noise in many dimensions has nearly one length ("Meet Gaussian noise"); the straight line between two would cut
    through the inside, where no noise is. `angle` is the angle between them. A ValueError for opposite ones, a and -a,
    between which every way round is as short as another.
    """
    if a.shape != b.shape:
        raise ValueError(f"expected two of the same shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    flat = [torch.nn.functional.normalize(x.flatten(1).double(), dim=1) for x in (a, b)]
    angle = (flat[0] * flat[1]).sum(1).clamp(-1, 1).arccos().view(-1, *[1] * (a.ndim - 1)).to(a)
    straight = angle.sin().abs() < 1e-6  # the same noise twice: nothing to turn
    if (straight & (angle > 1)).any():
        raise ValueError("expected two noises with one shortest way between them, got opposite ones, a and -a")
    turned = (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin().masked_fill(straight, 1)
    return torch.where(straight, (1 - share) * a + share * b, turned)


def interpolate(
    denoiser: Callable[..., Tensor],
    a: Float[Tensor, "batch c h w"],
    b: Float[Tensor, "batch c h w"],
    shares: Sequence[float],
    times: list[int],
    alpha_bar: Float[Tensor, "times"],
    conds: tuple[Tensor | None, Tensor | None] = (None, None),
    refine: int = 2,
) -> list[Float[Tensor, "batch c h w"]]:
    """From pictures a to pictures b: both inverted, their static mixed by `slerp`, walked back (Song et al. 2020, sec. 5.3).

    conds: what a and b show. On the way the guess is (1 - share) eps_hat(a's) + share eps_hat(b's). Returns the pictures
    at each of `shares`: near a at 0 and near b at 1, up to the error of the inversion.
    """
    x_a, x_b = (invert(denoiser, x, times, alpha_bar, cond, refine)[0] for x, cond in zip((a, b), conds))

    def between(share: float) -> Tensor:
        def mixed(x_t: Tensor, t: Tensor, cond: None = None) -> Tensor:
            eps_a, eps_b = (denoiser(x_t, t, cond) for cond in conds)
            return (1 - share) * eps_a + share * eps_b

        both = Within(mixed, clip_of(denoiser))
        return samplers.draw(both, slerp(x_a, x_b, share), times, alpha_bar, step=samplers.ddim_step)

    return [between(share) for share in shares]


@torch.no_grad()
def edit(
    denoiser: Callable[..., Tensor],
    x0: Float[Tensor, "batch c h w"],
    source: Tensor | None,
    target: Tensor | None,
    times: list[int],
    alpha_bar: Float[Tensor, "times"],
    mask: Shaped[Tensor, "*any"] | None = None,
    forward: Callable[..., Tensor] | None = None,
    paste: bool = True,
) -> Float[Tensor, "batch c h w"]:
    """x_s = path_s + DDIM(x_t, eps_hat(target)) - DDIM(path_t, eps_hat(source)), path = `invert`  (Wu & De la Torre 2022, 2210.05559).

    The picture is walked up to static as what it shows, `source`, and back down as what it should show, `target`. Each
    step down is corrected by what the same step does wrong for the source, which would have to come back to its own
    path: so the picture changes only where the two guesses differ. If source and target are the same it comes back to the
    last bit, unless the way down alone is guided. (Wu & De la Torre walk the source up by sampling; the same error,
    taken off the source's walk alone, is Ju et al. 2023, 2310.01506.)

    forward: the denoiser for the source's part (default: `denoiser` itself; unguided it changes more). mask: where
    to change; outside it x_s is path_s at every step (Couairon et al. 2022, 2210.11427, section 3.2), at s = 0 the
    picture itself, unless `paste` is False. `times` fall from where to start to 0.
    """
    x0 = as_pictures(x0)
    hole = None if mask is None else as_mask(mask, x0)
    forward = forward or denoiser
    climbed, guesses = zip(*_climb(forward, x0, times, alpha_bar, source, refine=0))
    path = [*climbed[::-1], x0]
    top = torch.full((len(x0),), times[0])
    eps_hats = [forward(path[0], top, source), *guesses[:0:-1]]  # at each time but 0: the way up has asked for the rest

    def ddim(x_t: Tensor, eps_hat: Tensor) -> Tensor:
        return samplers.ddim_step(samplers.moment(x_t, eps_hat, t, s, alpha_bar, clip=clip_of(denoiser)))

    x = path[0]
    for i, path_t, path_s, eps_hat in zip(range(len(times)), path, path[1:], eps_hats):
        t, s = (torch.full((len(x0),), time) for time in times[i : i + 2])
        x = path_s + (ddim(x, denoiser(x, t, target)) - ddim(path_t, eps_hat))
        if hole is not None and (paste or times[i + 1] > 0):
            x = torch.where(hole, x, path_s)
    return x


@torch.no_grad()
def where_to_edit(
    denoiser: Callable[..., Tensor],
    x0: Float[Tensor, "batch c h w"],
    source: Tensor | None,
    target: Tensor | None,
    alpha_bar: Float[Tensor, "times"],
    share: float = 0.4,
    rounds: int = 8,
    threshold: float = 0.35,
    generator: Source = None,
) -> Bool[Tensor, "batch 1 h w"]:
    """A mask for `edit`: where |eps_hat(x_t, source) - eps_hat(x_t, target)| is large  (Couairon et al. 2022, section 3.2).

    x_t = q_sample(x0, t) at t = share T, the mean of the difference over `rounds` draws of the noise and over colours,
    smoothed over 5 x 5 pixels. Large is more than `threshold` of the largest (its 98 % quantile); then two pixels more
    on each side. Where the two conditions make the same guess, nothing needs to change.
    """
    x0 = as_pictures(x0)
    t = torch.full((len(x0),), round(share * (len(alpha_bar) - 1)))
    apart = torch.zeros_like(x0[:, :1])
    for _ in range(rounds):
        x_t = q_sample(x0, t, fresh(x0, generator), alpha_bar)
        apart += (denoiser(x_t, t, source) - denoiser(x_t, t, target)).abs().mean(1, keepdim=True) / rounds
    apart = F.avg_pool2d(apart, 5, stride=1, padding=2)
    large = apart > threshold * apart.flatten(1).quantile(0.98, dim=1).view(-1, 1, 1, 1)
    return F.max_pool2d(large.float(), 5, stride=1, padding=2) > 0
