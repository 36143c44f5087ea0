"""Exercises of "Learn to guess the noise" and "Build the network": the loss, its times, the guessed picture, the clock."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusion_tutorial import forward, losses, predictions, schedules
from diffusion_tutorial.checks.core import Exercise, _copy


def time_waves(t: Int[Tensor, "batch"], dim: int) -> Float[Tensor, "batch dim"]:
    """[sin(t f_0), sin(t f_1), ..., cos(t f_0), cos(t f_1), ...], f_i = 10000^(-2 i / dim): one row a picture."""
    freq = 10_000.0 ** (-torch.arange(dim // 2) / (dim // 2))
    angle = t[:, None] * freq[None, :]
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _guess(x_t, t=None, cond=None):
    """A denoiser whose answer depends on the time; without a time it takes t = 0, so that forgetting it is not an error."""
    t = torch.zeros(len(x_t)) if t is None else t
    return 0.4 * x_t + 0.3 * torch.cos(t).view(-1, 1, 1, 1)


def _loss(target, guess=_guess, noised=forward.q_sample, score=lambda e: e.square().flatten(1).mean(1)):
    """The loss with one thing done otherwise; target takes (x0, t, eps, alpha_bar)."""

    def loss(denoiser, x0, t, eps, alpha_bar):
        return score(target(x0, t, eps, alpha_bar) - guess(noised(x0, t, eps, alpha_bar), t))

    return loss


def _eps(x0, t, eps, alpha_bar):
    return eps


def _beta(t, x, alpha_bar):
    return schedules.at(schedules.beta_from(alpha_bar), t, x)


def _a(t, x, alpha_bar):
    return schedules.at(alpha_bar, t, x)


def _loss_cases():
    generator = torch.Generator().manual_seed(505)
    x0, eps = torch.randn(2, 4, 1, 4, 4, generator=generator).clamp(-1, 1)
    alpha_bar = schedules.cosine(20).float()
    return [(_guess, x0, torch.tensor(t), eps, alpha_bar) for t in ([1, 7, 12, 19], [20, 3, 3, 9])]


def _x0_cases():
    """As many pictures as a picture is wide, so that a factor along the wrong axis does not stop with an error."""
    generator = torch.Generator().manual_seed(506)
    x_t, eps = torch.randn(2, 4, 1, 4, 4, generator=generator)
    alpha_bar = torch.tensor([1.0, 0.9, 0.6, 0.3, 0.05])
    return [(x_t, eps, torch.tensor(t), alpha_bar) for t in ([1, 2, 3, 4], [4, 1, 2, 2])]


def _x0(signal, noise, sign=-1):
    """x0 = (x_t + sign noise eps) / signal, where signal and noise are functions of alpha_bar_t."""

    def x0(x_t, eps, t, alpha_bar):
        a = _a(t, x_t, alpha_bar)
        return (x_t + sign * noise(a) * eps) / signal(a)

    return x0


def _root(a):
    return a**0.5


def _rest(a):
    return (1 - a) ** 0.5


def _wrong_axis(x_t, eps, t, alpha_bar):
    """alpha_bar[t] as it is, (batch,): torch lines it up with the last axis, not the first."""
    a = alpha_bar[t]
    return (x_t - _rest(a) * eps) / _root(a)


def _waves_lined_up(t, dim):
    """t * freq with no axis added: picture i gets wave i and no other."""
    angle = t * 10_000.0 ** (-torch.arange(dim // 2) / (dim // 2))
    return torch.cat([angle.sin(), angle.cos()])


def _waves_woven(t, dim):
    waves = time_waves(t, dim)
    return torch.stack([waves[:, : dim // 2], waves[:, dim // 2 :]], dim=2).flatten(1)


Exercise(
    "training_loss",
    answer=losses.simple_loss,
    cases=_loss_cases(),
    mistakes={
        "Your target is the noise of step t alone, sqrt(beta_t) eps. The network is asked for the total noise in x_t, from "
        "all t steps together: the eps that q_sample was given.": _loss(
            lambda x0, t, eps, ab: _beta(t, x0, ab).sqrt() * eps
        ),
        "You took one noising step from the clean picture (q_step). x_t has been through all t steps: make it with "
        "q_sample, which jumps there.": _loss(_eps, noised=forward.q_step),
        "The network does not know the time: call denoiser(x_t, t). Without t it cannot tell faint noise from strong.": (
            _loss(_eps, guess=lambda x_t, t: _guess(x_t))
        ),
        "Your target is sqrt(1 - alpha_bar_t) eps, the noise as it sits in x_t. The network answers the noise of variance "
        "1, before it is scaled: eps itself.": _loss(lambda x0, t, eps, ab: (1 - _a(t, x0, ab)).sqrt() * eps),
        "You showed the network the clean picture x0. It sees the noised one, x_t, or there is no noise to guess.": _loss(
            _eps, noised=lambda x0, t, eps, ab: x0
        ),
        "Your target is the clean picture. That can be done too, but here the network answers the noise, eps.": _loss(
            lambda x0, t, eps, ab: x0
        ),
        "You showed the network x0 + eps. q_sample weighs the two by the time.": _loss(
            _eps, noised=lambda x0, t, eps, ab: x0 + eps
        ),
        "One number for the whole batch: keep one a picture, so that the loss can be plotted against t. Average over all "
        "axes but the first.": _loss(_eps, score=lambda e: e.square().mean()),
        "You summed over the pixels. Take the mean, so that the score does not depend on the size of the picture.": _loss(
            _eps, score=lambda e: e.square().flatten(1).sum(1)
        ),
        "That is the mean distance. Square it first: the best answer to the square is the mean ('Why not one jump?').": _loss(
            _eps, score=lambda e: e.abs().flatten(1).mean(1)
        ),
        "That is the root of the answer. Leave the mean of the squares as it is.": _loss(
            _eps, score=lambda e: e.square().flatten(1).mean(1).sqrt()
        ),
    },
    nudge="Follow one picture: noise it, ask for its noise, compare. Each picture gets one number.",
)

FLOATS = "The values are right, but they are floats: a time is a place in alpha_bar, and there is no place 3.0. End with .long()."


class WholeNumbers(Exercise):
    """An exercise whose answer has to be of a whole type; by their values alone 3 and 3.0 are the same."""

    def verdict(self, attempt: Any) -> str:
        """As for any other, and then a look at the type."""
        said = super().verdict(attempt)
        if said == "correct." and any(
            torch.as_tensor(attempt(*_copy(case))).is_floating_point() for case in self.cases
        ):
            return f"not yet. {FLOATS}"
        return said


_U = torch.tensor([0.0, 0.1, 0.26, 0.5, 0.74, 0.9, 0.9999])

WholeNumbers(
    "draw_times",
    answer=losses.draw_times,
    cases=[(_U, 10), (_U, 1000), (torch.tensor([0.999, 0.3, 0.0]), 4)],
    mistakes={
        "You draw from 0 to T - 1. At t = 0 there is no noise to guess, and t = T, where every drawing begins, is never "
        "trained.": lambda u, T: (u * T).floor(),
        "You draw from 1 to T - 1: t = T is never trained, and every drawing begins there. Its answer would be a wild "
        "guess.": lambda u, T: 1 + (u * (T - 1)).floor(),
        "You draw from 0 to T, and at t = 0 there is no noise to guess. The first noising step is t = 1.": lambda u, T: (
            (u * (T + 1)).floor()
        ),
        "Rounding gives the two ends, 0 and T, half a share each, and t = 0 should have none.": lambda u, T: (
            u * T
        ).round(),
        "Rounding up is right but for u = 0, which does come: it gives t = 0, where there is no noise to guess.": (
            lambda u, T: (u * T).ceil()
        ),
        "That is one t for the whole batch. Each picture gets its own, or a step of training learns about one t only.": (
            lambda u, T: torch.full_like(u, 1 + int(u[0] * T))
        ),
        "t has to be whole: cut the fraction off, with .long().": lambda u, T: 1 + u * T,
        FLOATS: lambda u, T: 1 + (u * T).floor(),
    },
    nudge="Try the ends: a u of 0 has to give 1, and a u just below 1 has to give T.",
)

Exercise(
    "x0_from_eps",
    answer=predictions.x0_from_eps,
    cases=_x0_cases(),
    mistakes={
        "You took the noise off and stopped. What is left is sqrt(alpha_bar_t) x0, a faded picture: divide by "
        "sqrt(alpha_bar_t).": _x0(torch.ones_like, _rest),
        "You subtracted eps unscaled. In x_t it is multiplied by sqrt(1 - alpha_bar_t).": _x0(_root, torch.ones_like),
        "x_t - eps_hat is the noise taken off as if both were mixed one to one. Solve q_sample's equation for x0: two "
        "factors.": _x0(torch.ones_like, torch.ones_like),
        "The noise lacks its root: it is multiplied by sqrt(1 - alpha_bar_t).": _x0(_root, lambda a: 1 - a),
        "You divided by alpha_bar_t. The picture in x_t is multiplied by its root.": _x0(lambda a: a, _rest),
        "Both roots are missing: alpha_bar_t and 1 - alpha_bar_t are shares of variance.": _x0(
            lambda a: a, lambda a: 1 - a
        ),
        "You added the noise a second time. It has to come off.": _x0(_root, _rest, sign=1),
        "You used alpha_t and beta_t, of step t alone. eps is the total noise of all t steps, so its factor is "
        "sqrt(1 - alpha_bar_t).": lambda x_t, eps, t, ab: predictions.x0_from_eps(
            x_t, eps, t, 1 - schedules.beta_from(ab)
        ),
        "Your factor runs along the width of the pictures, not along the batch: alpha_bar[t] has the shape (batch,). Make "
        "it (batch, 1, 1, 1) with at(alpha_bar, t, x_t).": _wrong_axis,
        "The two factors are swapped. At small t, x_t is nearly x0.": _x0(_rest, _root),
    },
    nudge="Start from the equation that mixes picture and noise, and solve it for the picture.",
)

Exercise(
    "time_waves",
    answer=time_waves,
    cases=[
        (torch.tensor([1, 50, 497, 1000]), 8),
        (torch.tensor([3, 700, 12, 12, 950, 1, 400, 55]), 16),
    ],
    mistakes={
        "You indexed by the place in the batch, 0, 1, 2, …, and not by t. A text's words are numbered by their places; "
        "here the batch is a random pile, and the clock is the value of t.": lambda t, dim: time_waves(
            torch.arange(len(t)), dim
        ),
        "Wrong axis: that is the table on its side, a row a wave. Each picture needs its own row, (batch, dim): add the "
        "new axis with t[:, None].": lambda t, dim: time_waves(t, dim).T,
        "Wrong axis: t * freq gives the first picture the first wave, the second picture the second, and no more. Every "
        "picture needs every wave: t[:, None] * freq.": _waves_lined_up,
        "Every row is the same: you gave all pictures the first one's t.": lambda t, dim: time_waves(
            t[:1].expand_as(t), dim
        ),
        "You scaled t to 0..1 first. The slow waves then stand still and the fastest one hardly moves: use t as it is.": (
            lambda t, dim: time_waves(t / 1000, dim)
        ),
        "The right waves in another order: here all sines come first, then all cosines. A network would not mind, but "
        "trained weights expect one order.": _waves_woven,
        "You laid the cosines under the sines, as more rows. Each t has one row: put them side by side, with dim=1.": (
            lambda t, dim: torch.cat(time_waves(t, dim).chunk(2, dim=1))
        ),
        "Cosines first: here all sines come first.": lambda t, dim: time_waves(t, dim).roll(dim // 2, 1),
        "Your frequencies grow with i. The first wave is the fast one, f_0 = 1, and the others get slower: a minus in the "
        "exponent.": lambda t, dim: torch.cat(
            [f(t[:, None] * 10_000.0 ** (torch.arange(dim // 2) / (dim // 2))) for f in (torch.sin, torch.cos)], 1
        ),
        "The 2 of the exponent is missing. There are dim / 2 waves, i runs only so far, and 2 i / dim goes from 0 nearly "
        "to 1.": lambda t, dim: torch.cat(
            [f(t[:, None] * 10_000.0 ** (-torch.arange(dim // 2) / dim)) for f in (torch.sin, torch.cos)], 1
        ),
    },
    nudge="One row for each t: first its sines at every speed, then its cosines.",
    tolerance=1e-3,  # the sine of a large angle in float32
)
