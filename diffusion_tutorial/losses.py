"""What is minimised: the error of the guessed noise for denoisers, of the read labels for judges. Derived in "Learn to guess the noise".
The game of two players, a generator and a critic, is that of "Race a GAN".

A loss says what a step of training is shown, `batch(model, n, generator)`, all of its random numbers from one generator on
the CPU, and what is wrong with the model's answer, `loss(model, *batch)`, a number a picture; `Training` follows the slope
of their mean. Two players in one model fit as well: their terms are added, each built so that its slope reaches its own
player only.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from diffusion_tutorial.forward import q_sample
from diffusion_tutorial.predictions import Denoiser, v_from

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


@runtime_checkable
class Loss(Protocol):
    """What `Training` minimises."""

    def batch(self, model: Any, n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Everything random about a step that shows n pictures, on the CPU; n rows each, or one number for all.

        On a GPU a thread draws the next batch while the model works at this one: of the model it may ask what does not change.
        Pictures that live there (`Shuffled.to`) come from there.
        """

    def __call__(self, model: Any, *batch: Tensor) -> Float[Tensor, "batch"]:
        """How wrong the model is about each picture of the batch.

        By now its floats are where the model is; whole numbers, times and labels, are still on the CPU, where they can be
        looked at without waiting for a device.
        """


class Denoising:
    """`training_loss` over random pictures, times, noises and conditions: what a denoiser learns from.

    draw(n, generator) gives n pictures in [-1, 1], (n, c, h, w), and what the network is told of them: `shuffled` draws
    from a fixed set, data.scenes makes them on the fly. Times are drawn by `draw_times`, with `t_bias`. A share
    `label_drop` of the conditions is replaced by the null one, so that the network also learns to draw without.
    """

    def __init__(self, draw: Draw, t_bias: float = 2.0, label_drop: float = 0.1):
        if not 0 <= label_drop <= 1 or not t_bias > 0:
            raise ValueError(f"expected label_drop in [0, 1] and t_bias > 0, got {label_drop=}, {t_bias=}")
        self.draw, self.t_bias, self.label_drop = draw, t_bias, label_drop

    def batch(self, model: Denoiser, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x0, t, eps and cond."""
        x0, cond = self.draw(n, generator)
        u = torch.rand(n, generator=generator, dtype=torch.float64)
        t = draw_times(u, len(model.alpha_bar) - 1, self.t_bias)
        eps = torch.randn(x0.shape, generator=generator)
        cond = drop_labels(cond, torch.rand(n, generator=generator), self.label_drop, model.null_like(cond))
        return x0, t, eps, cond

    def __call__(self, model: Denoiser, *batch: Tensor) -> Float[Tensor, "batch"]:
        """The network's squared error on each picture."""
        x0, t, eps, cond = batch
        return training_loss(model, x0, t, eps, cond)


class Classification:
    """Cross-entropy of what a judge reads: one label a picture, or one of each of several lists, whose terms are added.

    draw(n, generator) gives n pictures and their labels, (n,), or (n, lists) for a judge with several answers.
    """

    def __init__(self, draw: Draw, label_smoothing: float = 0.0):
        self.draw, self.label_smoothing = draw, label_smoothing

    def batch(self, model: nn.Module, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures and labels."""
        return self.draw(n, generator)

    def __call__(self, model: nn.Module, *batch: Tensor) -> Float[Tensor, "batch"]:
        """-log p(label | picture), summed over the lists."""
        images, labels = batch
        answers: Sequence[Tensor] | Tensor = model(images)
        answers = (answers,) if isinstance(answers, Tensor) else answers
        wanted = labels.to(images.device).unsqueeze(1).flatten(1).unbind(1)
        terms = [
            F.cross_entropy(logits.float(), y, label_smoothing=self.label_smoothing, reduction="none")
            for logits, y in zip(answers, wanted)
        ]
        return torch.stack(terms).sum(0)


class Game:
    """`game_loss` over random pictures and static: what a generator and its critic learn from (R3GAN, see there).

    draw(n, generator) gives n pictures, or points, and their labels. real, made: the weights of the two penalties, gamma / 2
    each in the paper. The players, `model.generator` and `model.critic`, take the labels as their second argument.
    """

    def __init__(self, draw: Draw, real: float = 0.5, made: float = 0.5):
        if not min(real, made) >= 0:
            raise ValueError(f"expected weights of the penalties from 0 on, got {real=}, {made=}")
        self.draw, self.real, self.made = draw, real, made

    def batch(self, model: Any, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, static and labels."""
        x, cond = self.draw(n, generator)
        return x, torch.randn(n, model.z, generator=generator), cond

    def __call__(self, model: Any, *batch: Tensor) -> Float[Tensor, "batch"]:
        """What both players have lost, for each pair of a real and a made picture."""
        x, z, cond = batch
        return game_loss(model, x, z, cond, real=self.real, made=self.made)


def game_loss(
    model: Any, x: Float[Tensor, "batch ..."], z: Float[Tensor, "batch z"], cond: Tensor, real: float, made: float
) -> Float[Tensor, "batch"]:
    """softplus(D(G(z)) - D(x)) + real |grad D(x)|^2 + made |grad D(G(z))|^2, the critic's, + softplus(D(x) - D(G(z))), the generator's.

    Huang et al. 2025, arXiv 2501.05441, eq. 2 and 4: real and made pictures are compared in pairs, and both penalties keep the
    critic D from getting steep. Each term's slope reaches one player only: the critic sees made pictures that are cut
    off from the generator, and the generator is judged by a critic that is held still.
    """
    fake = model.generator(z, cond)
    shown = torch.cat([x, fake.detach()]).requires_grad_()
    scores = model.critic(shown, torch.cat([cond, cond]))
    (slope,) = torch.autograd.grad(scores.sum(), shown, create_graph=True)
    steep_x, steep_fake = slope.square().flatten(1).sum(1).chunk(2)
    d_x, d_fake = scores.chunk(2)
    critic = F.softplus(d_fake - d_x) + real * steep_x + made * steep_fake

    still = {name: weight.detach() for name, weight in model.critic.named_parameters()}
    generator = F.softplus(d_x.detach() - functional_call(model.critic, still, (fake, cond)))
    return critic + generator


def simple_loss(
    denoiser: Callable[..., Tensor],
    x0: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    eps: Float[Tensor, "batch ..."],
    alpha_bar: Float[Tensor, "times"],
    cond: Tensor | None = None,
) -> Float[Tensor, "batch"]:
    """mean over pixels of (eps - eps_hat(x_t, t))^2, one number a picture: L_simple (Ho et al. 2020, eq. 14)."""
    x_t = q_sample(x0, t, eps, alpha_bar)
    return (eps - denoiser(x_t, t, cond)).square().flatten(1).mean(1)


def training_loss(
    denoiser: Denoiser,
    x0: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    eps: Float[Tensor, "batch ..."],
    cond: Tensor | None = None,
) -> Float[Tensor, "batch"]:
    """What is minimised, one number a picture: the squared error of the network's own answer.

    For output "eps" that is `simple_loss`. For output "v" it is simple_loss / alpha_bar_t (Salimans & Ho 2022), the same
    error with the noisy end of the chain given its due weight.
    """
    x_t = q_sample(x0, t, eps, denoiser.alpha_bar)
    target = eps if denoiser.output == "eps" else v_from(x0, eps, t, denoiser.alpha_bar)
    return (target - denoiser.answer(x_t, t, cond)).square().flatten(1).mean(1)


class Shuffled:
    """draw(n, generator) gives n pictures of a fixed set in [-1, 1], any of them, and their labels.

    pictures: floats in [-1, 1], or uint8 as files hold them, in a quarter of the memory. `to` keeps them on a device, from
    which the next batch need not be fetched; the labels stay on the CPU. With `flip` each is mirrored half of the time.
    """

    def __init__(self, pictures: Tensor, labels: Int[Tensor, "n"], flip: bool = False):
        self.pictures, self.labels, self.flip = pictures, labels, flip

    @property
    def nbytes(self) -> int:
        """What the pictures take."""
        return self.pictures.nbytes

    def to(self, device: torch.device | str) -> "Shuffled":
        """Keep the pictures there from now on."""
        self.pictures = self.pictures.to(device)
        return self

    def __call__(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n pictures as floats, where the set is kept, and their labels."""
        pick, device = torch.randint(len(self.pictures), (n,), generator=generator), self.pictures.device
        images = self.pictures[pick.to(device, non_blocking=True)]
        if images.dtype == torch.uint8:
            images = images.float().div(127.5).sub(1)
        if self.flip:
            mirrored = (torch.rand(n, generator=generator) < 0.5).to(device, non_blocking=True)
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
        return images, self.labels[pick]


def shuffled(images: Float[Tensor, "n c h w"], labels: Int[Tensor, "n"]) -> Shuffled:
    """Training data from a fixed set: draw(m, generator) gives m of these pictures, any of them, and their labels."""
    if images.ndim != 4 or labels.shape != images.shape[:1] or not len(images):
        shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"expected pictures (n, c, h, w) and a label for each, got shapes {shapes}")
    if not torch.isfinite(images).all() or images.abs().max() > 1 or images.min() >= 0:
        raise ValueError(f"expected pictures in [-1, 1], got {images.min():.3g} to {images.max():.3g}")
    if labels.is_floating_point():
        raise ValueError(f"expected a whole number for each label, got {labels.dtype}")
    return Shuffled(images, labels)


def shuffled_pixels(pixels: UInt8[Tensor, "n c h w"], labels: Int[Tensor, "n"], flip: bool = False) -> Shuffled:
    """Like `shuffled`, from pictures as files hold them, in a quarter of the memory; with `flip` each is mirrored half of the time."""
    if labels.shape != pixels.shape[:1] or not len(pixels):
        shapes = f"{tuple(pixels.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"expected pictures (n, c, h, w) and a label for each, got shapes {shapes}")
    return Shuffled(pixels, labels, flip)


def drop_labels(
    cond: Int[Tensor, "batch *one"], u: Float[Tensor, "batch"], share: float, null: Int[Tensor, "..."] | int
) -> Int[Tensor, "batch *one"]:
    """The null condition where a picture's own number u, even in [0, 1), is below the share (Ho & Salimans 2022, alg. 1)."""
    return torch.where((u < share).view(-1, *[1] * (cond.ndim - 1)), null, cond)


def draw_times(u: Float[Tensor, "batch"], T: int, bias: float = 1.0) -> Int[Tensor, "batch"]:
    """t = 1 + floor(T u^(1/bias)), whole times in 1..T from numbers u, even in [0, 1).

    bias = 1 gives every t equally often (Ho et al. 2020, algorithm 1). bias = 2 gives t in proportion to t: three
    quarters of the times lie above T/2, where the shape of a digit is decided, and digits are readable sooner.
    """
    return 1 + (T * u ** (1 / bias)).floor().long().clamp(max=T - 1)
