"""Guidance: ask for more of what the condition says. Derived in "Ask for what you want".

It takes a denoiser and returns a denoiser, so every sampler and every kind of editing works with it unchanged.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial.predictions import Around, Guess, as_condition

Ask = Callable[..., tuple[Tensor, ...]]


def guide(
    denoiser: Callable[..., Tensor],
    w: float,
    interval: tuple[int, int] | None = None,
    negative: Tensor | None = None,
) -> "Guided":
    """eps_hat = eps_uncond + w (eps_cond - eps_uncond): classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).

    w = 0 ignores the condition, w = 1 is no guidance, w > 1 goes further from "any picture" towards the condition. (The
    paper's eq. 6 counts from 0 instead: its w is ours minus 1.) Both guesses come from one call on a batch twice as long.

    interval: the first and last t at which guidance acts, both included; elsewhere w is 1 and costs nothing extra
    (Kynkaanniemi et al. 2024, arXiv 2404.07724). negative: conditions to move away from in place of "any picture", one
    for each picture or one for all. Without it the denoiser's `null_like(cond)` says what "any" is.

    The denoiser itself is not changed; its schedule, range and null condition are the guided one's, too. Where cond is None
    there is nothing to ask for, and its answer comes as it is.
    """
    if not abs(w) < float("inf"):
        raise ValueError(f"expected a finite guidance scale w, got {w}")
    if interval is not None and not 0 <= interval[0] <= interval[1]:
        raise ValueError(f"expected an interval (first, last) of t with 0 <= first <= last, got {interval}")
    if negative is None and not hasattr(denoiser, "null_like"):
        raise ValueError("this denoiser has no null condition (no null_like): say by `negative` what to move away from")
    return Guided(denoiser, w, interval, negative)


class Guided(Around):
    """A denoiser under guidance; made by `guide`."""

    def __init__(
        self,
        denoiser: Callable[..., Tensor],
        w: float,
        interval: tuple[int, int] | None,
        negative: Tensor | None,
    ):
        super().__init__(denoiser)
        self.w, self.interval, self.negative = w, interval, negative

    def __call__(
        self, x_t: Float[Tensor, "batch ..."], t: Int[Tensor, "batch"], cond: Tensor | None = None
    ) -> Float[Tensor, "batch ..."]:
        """The guided eps_hat."""
        (eps_hat,) = self._guided(lambda *asked: (self.denoiser(*asked),), x_t, t, cond)
        return eps_hat

    def __getattr__(self, name: str) -> Any:
        inner = super().__getattr__(name)  # only where the one within has it
        return self._guess if name == "guess" else inner

    def _guess(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Guess:
        """x0_hat and eps_hat: one is linear in the other, so guided alike they go on saying the same."""
        return Guess(*self._guided(self.denoiser.guess, x_t, t, cond))

    def _guided(self, ask: Ask, x_t: Tensor, t: Tensor, cond: Tensor | None) -> tuple[Tensor, ...]:
        """uncond + w (cond - uncond) of each answer, where guidance acts; elsewhere that for the condition."""
        if cond is None and self.negative is not None:
            raise ValueError(
                "to move away from `negative`, say where from: give cond, the null condition for any picture"
            )
        if not len(x_t):
            raise ValueError("expected at least one picture, got an empty batch")
        first, last = self.interval or (0, math.inf)
        acts = (first <= t) & (t <= last)
        if cond is None or self.w == 1 or not acts.any():
            return ask(x_t, t, cond)
        cond = as_condition(cond)
        away = self.denoiser.null_like(cond) if self.negative is None else _for_each(self.negative, cond)
        both = ask(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([cond, away]))
        acts = acts.to(x_t.device, non_blocking=x_t.is_cuda).view(-1, *[1] * (x_t.ndim - 1))
        pairs = (answer.chunk(2) for answer in both)
        return tuple(torch.where(acts, uncond + self.w * (asked - uncond), asked) for asked, uncond in pairs)


def _for_each(negative: Tensor, cond: Tensor) -> Tensor:
    """The negative conditions in the shape of `cond`: one for each picture as they are, one for all repeated."""
    one = cond.shape[1:]
    if negative.shape not in (cond.shape, one, (1, *one)):
        raise ValueError(
            f"expected negative conditions of shape {tuple(cond.shape)}, one for each picture, or {tuple(one)}, one for "
            f"all; got {tuple(negative.shape)}"
        )
    return negative.to(cond, non_blocking=cond.is_cuda).expand_as(cond)
