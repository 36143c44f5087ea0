"""Exercises of "Race a GAN": what the generator wants, what the critic wants, and the two penalties."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion_tutorial.checks.core import Exercise


class Pulled(Exercise):
    """An exercise that is judged by its slopes too: what an attempt gives, and how it would move each player's weights.

    A case is (shift, w, x, z): the generator is z + shift, the critic the sum of w x^3, so that its slope depends on the place.
    `told` says what of these the learner's function takes.
    """

    def __init__(self, name: str, told: Callable[..., tuple], **options: Any):
        super().__init__(name, **options)
        self.told = told

    def verdict(self, attempt: Any) -> str:
        """As of every exercise."""
        return super().verdict(self._pulled(attempt) if callable(attempt) else attempt)

    def _outcomes(self, function: Callable) -> list:
        return super()._outcomes(self._pulled(function))

    def _pulled(self, function: Callable) -> Callable:
        def both(shift: Tensor, w: Tensor, x: Tensor, z: Tensor) -> Any:
            players = shift.requires_grad_(), w.requires_grad_()
            got = function(*self.told(lambda z: z + shift, lambda x: (w * x**3).sum(1), x, z))
            if not isinstance(got, Tensor) or not got.is_floating_point():
                return got
            pull: list = [None, None]
            if got.requires_grad:
                pull = list(torch.autograd.grad(got.sum(), players, allow_unused=True))
            return got.detach(), *(torch.zeros(3) if g is None else g for g in pull)

        return both


def generator_loss(d_x: Tensor, d_fake: Tensor) -> Tensor:
    """softplus(D(x) - D(G(z))): small where the made picture of a pair scores above the real one."""
    return F.softplus(d_x - d_fake)


def critic_loss(generator: Callable, critic: Callable, x: Tensor, z: Tensor) -> Tensor:
    """softplus(D(G(z)) - D(x)), the made pictures cut off from the generator: this term is none of its business."""
    fake = generator(z).detach()
    return F.softplus(critic(fake) - critic(x))


def penalties(critic: Callable, x: Tensor, fake: Tensor) -> Tensor:
    """|grad D(x)|^2 + |grad D(fake)|^2, a number a pair; create_graph, so that the critic can be moved by it."""
    return _steep(critic, x) + _steep(critic, fake)


def _steep(critic, x, create_graph=True):
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=create_graph)
    return slope.square().flatten(1).sum(1)


def _undetached(generator, critic, x, z):
    return F.softplus(critic(generator(z)) - critic(x))


_g = torch.Generator().manual_seed(1500)
_scores = [
    (torch.randn(5, generator=_g), torch.randn(5, generator=_g)),
    (torch.zeros(3), torch.tensor([0.0, 2.0, -40.0])),
]
_games = [tuple(torch.randn(*s, generator=_g) for s in ((3,), (3,), (4, 3), (4, 3))) for _ in range(2)]

Exercise(
    "generator_loss",
    answer=generator_loss,
    cases=_scores,
    mistakes={
        "That is the critic's wish: it is small where the real picture scores higher. The forger wants the opposite; turn the "
        "sign within.": lambda d_x, d_fake: F.softplus(d_fake - d_x),
        "You put a minus before the critic's loss. The aim is the same, but where the critic is sure this is flat, and a forger "
        "who is losing learns nothing. Turn the sign within softplus.": lambda d_x, d_fake: -F.softplus(d_fake - d_x),
        "Your loss does not look at the real pictures. A score means something only beside that of a real picture.": (
            lambda d_x, d_fake: F.softplus(-d_fake)
        ),
        "Without softplus a forger is paid without end for being far ahead. softplus ends that.": lambda d_x, d_fake: (
            d_x - d_fake
        ),
    },
    nudge="Let the made picture score far above the real one: your loss should be near 0 then.",
)

Pulled(
    "critic_loss",
    told=lambda generator, critic, x, z: (generator, critic, x, z),
    answer=critic_loss,
    cases=_games,
    mistakes={
        "The number is right, but its slope goes on into the generator, and teaches it to help the critic. Cut the made pictures "
        "off: .detach().": _undetached,
        "That is the generator's wish. The critic wants the real picture to score higher.": (
            lambda generator, critic, x, z: F.softplus(critic(x) - critic(generator(z).detach()))
        ),
        "The number is right, but you cut the score off, not the picture: now the critic itself learns nothing from made "
        "pictures.": lambda generator, critic, x, z: F.softplus(critic(generator(z)).detach() - critic(x)),
        "The number is right, but nothing can learn from it: you cut off everything.": (
            lambda generator, critic, x, z: _undetached(generator, critic, x, z).detach()
        ),
        "The static itself is no picture: ask the generator first.": lambda generator, critic, x, z: F.softplus(
            critic(z) - critic(x)
        ),
    },
    nudge="Follow the slope back from your loss: which numbers may it move?",
)

Pulled(
    "penalties",
    told=lambda generator, critic, x, z: (critic, x, generator(z).detach()),
    answer=penalties,
    cases=_games,
    mistakes={
        "The penalty on the made pictures is left out: there the critic may get as steep as it likes.": lambda critic, x, fake: (
            _steep(critic, x)
        ),
        "The penalty on the real pictures is left out: there the critic may get as steep as it likes.": lambda critic, x, fake: (
            _steep(critic, fake)
        ),
        "The numbers are right, but the critic cannot learn from them: ask for create_graph=True, so that the slope has a slope "
        "of its own.": lambda critic, x, fake: _steep(critic, x, False) + _steep(critic, fake, False),
        "You took the length of the slope. It is its square that is asked for.": lambda critic, x, fake: (
            _steep(critic, x).sqrt() + _steep(critic, fake).sqrt()
        ),
        "You took the mean over the pixels of a picture. It is their sum: the squared length of the slope.": (
            lambda critic, x, fake: (_steep(critic, x) + _steep(critic, fake)) / 3
        ),
        "You took the mean of the two penalties. It is their sum.": lambda critic, x, fake: (
            (_steep(critic, x) + _steep(critic, fake)) / 2
        ),
    },
    nudge="Find the slope of the scores' sum with respect to the pictures first, and print its shape.",
)
