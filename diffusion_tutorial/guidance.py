"""Guidance: ask for more of what the condition says. Derived in "Ask for what you want".

It takes a denoiser and returns a denoiser, so every sampler and every kind of editing works with it unchanged.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


def guide(
    denoiser: Callable[..., Tensor],
    w: float,
    interval: tuple[int, int] | None = None,
    negative: Tensor | None = None,
) -> Callable[..., Tensor]:
    """eps_hat = eps_uncond + w (eps_cond - eps_uncond): classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).

    w = 0 ignores the condition, w = 1 is no guidance, w > 1 goes further from "any picture" towards the condition. (The
    paper's eq. 6 counts from 0 instead: its w is ours minus 1.) Both guesses come from one call on a batch twice as long.

    interval: the first and last t at which guidance acts, both included; elsewhere w is 1 and costs nothing extra
    (Kynkaanniemi et al. 2024, arXiv 2404.07724). negative: conditions to move away from in place of "any picture", one
    for each picture or one for all. Without it the denoiser's `null_like(cond)` says what "any" is.

    The denoiser itself is not changed. Where cond is None there is nothing to ask for, and its answer comes as it is.
    """
    if not abs(w) < float("inf"):
        raise ValueError(f"expected a finite guidance scale w, got {w}")
    if interval is not None and not 0 <= interval[0] <= interval[1]:
        raise ValueError(f"expected an interval (first, last) of t with 0 <= first <= last, got {interval}")
    if negative is None and not hasattr(denoiser, "null_like"):
        raise ValueError("this denoiser has no null condition (no null_like): say by `negative` what to move away from")

    def guided(
        x_t: Float[Tensor, "batch ..."], t: Int[Tensor, "batch"], cond: Tensor | None = None
    ) -> Float[Tensor, "batch ..."]:
        if cond is None and negative is not None:
            raise ValueError(
                "to move away from `negative`, say where from: give cond, the null condition for any picture"
            )
        first, last = interval or (0, t.max())
        acts = (first <= t) & (t <= last)
        if cond is None or w == 1 or not acts.any():
            return denoiser(x_t, t, cond)
        away = denoiser.null_like(cond) if negative is None else _for_each(negative, cond)
        both = denoiser(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([cond, away]))
        eps_cond, eps_uncond = both.chunk(2)
        acts = acts.view(-1, *[1] * (x_t.ndim - 1))
        return torch.where(acts, eps_uncond + w * (eps_cond - eps_uncond), eps_cond)

    return guided


def _for_each(negative: Tensor, cond: Tensor) -> Tensor:
    """The negative conditions in the shape of `cond`: one for each picture as they are, one for all repeated."""
    one = cond.shape[1:]
    if negative.shape not in (cond.shape, one, (1, *one)):
        raise ValueError(
            f"expected negative conditions of shape {tuple(cond.shape)}, one for each picture, or {tuple(one)}, one for "
            f"all; got {tuple(negative.shape)}"
        )
    return negative.to(cond).expand_as(cond)
