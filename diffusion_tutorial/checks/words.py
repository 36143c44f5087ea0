"""Exercises of "Type a sentence, get a picture": attention by hand, dropping captions, a step between two prompts."""

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion_tutorial.checks.core import Exercise
from diffusion_tutorial.losses import drop_labels


def look_at_words(q: Tensor, k: Tensor, v: Tensor, there: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, the softmax over the words that are there (Vaswani et al. 2017, eq. 1).

    q: (places, d), k: (words, d), v: (words, m), there: (words,) bool. Returns (places, m).
    """
    scores = q @ k.T / q.shape[1] ** 0.5
    weights = scores.masked_fill(~there, float("-inf")).softmax(dim=1)
    return weights @ v


def _look(divide: Callable[[Tensor], float] = lambda q: q.shape[1] ** 0.5, absent=float("-inf"), dim=1):
    """The same with another divisor, another score for words that are not there, or the softmax along another axis."""

    def wrong(q, k, v, there):
        scores = q @ k.T / divide(q)
        return (scores if absent is None else scores.masked_fill(~there, absent)).softmax(dim=dim) @ v

    return wrong


def _weights(then: Callable[[Tensor, Tensor], Tensor]):
    """The scores, turned into weights by then(scores, there)."""
    return lambda q, k, v, there: then(q @ k.T / q.shape[1] ** 0.5, there) @ v


def _look_cases():
    """More places than words, and fewer; some words not there, always at the end."""
    generator = torch.Generator().manual_seed(909)
    cases = []
    for places, words, d, absent in ((6, 4, 9, 1), (3, 5, 4, 2), (5, 5, 5, 2)):
        q = torch.randn(places, d, generator=generator)
        k, v = torch.randn(words, d, generator=generator), torch.randn(words, d, generator=generator)
        cases.append((q, k, v, torch.arange(words) < words - absent))
    return cases


Exercise(
    "look_at_words",
    answer=look_at_words,
    cases=_look_cases(),
    mistakes={
        "Your softmax runs over the places, so the places compete for each word. Every place asks and every word answers: for "
        "each place, the weights of the words add up to 1. Take dim=1.": (
            lambda q, k, v, there: (q @ k.T / q.shape[1] ** 0.5).softmax(dim=0).masked_fill(~there, 0) @ v
        ),
        "Your softmax runs over the places (and words that are not there take part). For each place, the weights of the words "
        "add up to 1: take dim=1, after the mask.": _look(absent=None, dim=0),
        "The sqrt(d) is missing. Sums of d products grow with sqrt(d); undivided, one word takes nearly everything.": _look(
            divide=lambda q: 1.0
        ),
        "You divided by d. A sum of d products of random numbers has a spread of sqrt(d): divide by that.": _look(
            divide=lambda q: q.shape[1]
        ),
        "The mask is ignored: words that are not there get their share. Give them the score -inf before the softmax.": _look(
            absent=None
        ),
        "You gave words that are not there the score 0. exp(0) is 1, so they still get a share; it takes -inf.": _look(
            absent=0.0
        ),
        "You masked after the softmax: the weights of the words that are there no longer add up to 1. Mask the scores, before "
        "it.": _weights(lambda scores, there: scores.softmax(dim=1) * there),
        "The mask is the wrong way round: your places look only at words that are not there. `there` is True for a word; mask "
        "~there.": _weights(lambda scores, there: scores.masked_fill(there, float("-inf")).softmax(dim=1)),
        "The softmax is missing: raw scores may be negative, and they do not add up to 1.": _weights(
            lambda scores, there: scores.masked_fill(~there, 0)
        ),
        "You mixed the keys. A key says what a word answers to; what it hands over is its value: weights @ v.": (
            lambda q, k, v, there: look_at_words(q, k, k, there)
        ),
    },
    hint="scores (places, words), masked, softmax along dim=1, times v.",
)


def _drop_cases():
    """As many captions as places for words, which is where a forgotten axis goes unnoticed."""
    generator = torch.Generator().manual_seed(910)
    null = torch.tensor([1, 0, 0, 0, 0, 0, 0, 0])
    cases = []
    for share, first in ((0.1, 0.05), (0.3, 0.6), (0.5, 0.7)):
        tokens = torch.randint(2, 50, (8, 8), generator=generator)
        tokens[:, 0] = 1
        for row, length in zip(tokens, (4, 8, 6, 5, 7, 4, 8, 3)):
            row[length:] = 0
        u = torch.rand(8, generator=generator)
        u[:4] = torch.tensor([first, 0.99, 0.02, 0.85])
        cases.append((tokens, u, share, null))
    return cases


Exercise(
    "drop_captions",
    answer=drop_labels,
    cases=_drop_cases(),
    mistakes={
        "You dropped single words: u ran along the words of every caption, because it has no axis for them. The decision is one "
        "for each caption: (u < share)[:, None].": lambda tokens, u, share, null: torch.where(u < share, null, tokens),
        "You dropped to padding alone. Then no token is there to look at, the mean of no words is 0/0, and NaN goes through the "
        "network. The null caption is START, then padding: `null`.": (
            lambda tokens, u, share, null: torch.where((u < share)[:, None], 0, tokens)
        ),
        "You wrote START in every place. That is a caption of many words that nobody ever types; the null caption is one START "
        "and then padding: `null`.": lambda tokens, u, share, null: torch.where((u < share)[:, None], 1, tokens),
        "No caption was dropped. The network then never learns what an empty caption means, and guidance has nothing to move "
        "away from.": lambda tokens, u, share, null: tokens,
        "You dropped the whole batch or nothing, by one number for all. Each caption decides for itself.": (
            lambda tokens, u, share, null: torch.where(u[0] < share, null, tokens)
        ),
        "The right way round is: drop where u is *below* the share. You kept the share and dropped all the others.": (
            lambda tokens, u, share, null: torch.where((u < share)[:, None], tokens, null)
        ),
        "You removed the dropped captions from the batch. They stay, as the null caption: their pictures are what the network "
        "learns “any picture” from.": lambda tokens, u, share, null: tokens[u >= share],
    },
    hint="torch.where((u < share)[:, None], null, tokens): one decision for each caption, the whole row replaced.",
)


def between_prompts(
    denoiser: Callable[..., Tensor], x_t: Tensor, t: Tensor, cond_a: Tensor, cond_b: Tensor, a: float
) -> Tensor:
    """eps_hat = (1 - a) eps_A + a eps_B: a = 0 asks for A alone, a = 1 for B alone."""
    eps_a = denoiser(x_t, t, cond_a)
    eps_b = denoiser(x_t, t, cond_b)
    return (1 - a) * eps_a + a * eps_b


def _mix(how: Callable[[Tensor, Tensor, float], Tensor]):
    """The two answers put together in another way."""
    return lambda denoiser, x_t, t, A, B, a: how(denoiser(x_t, t, A), denoiser(x_t, t, B), a)


def _stand_in(x_t, t, cond=None):
    """A denoiser in a line, whose answer leans by the words."""
    cond = torch.ones(len(t), 1) if cond is None else cond
    return 0.3 * x_t + (torch.cos(1.3 * cond).sum(1) + t / 1000).view(-1, 1, 1, 1)


def _mix_cases():
    generator = torch.Generator().manual_seed(911)
    x_t = torch.randn(3, 1, 4, 4, generator=generator)
    t = torch.tensor([900, 400, 20])
    A, B = torch.randint(2, 40, (2, 3, 5), generator=generator)
    return [(_stand_in, x_t, t, A, B, a) for a in (0.25, 0.0, 0.7)]


Exercise(
    "between_prompts",
    answer=between_prompts,
    cases=_mix_cases(),
    mistakes={
        "The ends are swapped: a = 0 should ask for A alone.": _mix(lambda A, B, a: a * A + (1 - a) * B),
        "You mixed the numbers of the words. Half-way between word 40 and word 60 is word 50, whatever that is. Ask with each "
        "prompt, and mix the answers.": (
            lambda denoiser, x_t, t, A, B, a: denoiser(x_t, t, ((1 - a) * A + a * B).round().long())
        ),
        "The two weights do not add up to 1: eps_B came on top of all of eps_A, and there is too much noise in the guess.": _mix(
            lambda A, B, a: A + a * B
        ),
        "You went half-way, whatever a is.": _mix(lambda A, B, a: (A + B) / 2),
        "You chose one of the two. On the way from one prompt to the other both are asked, at every step.": _mix(
            lambda A, B, a: A if a < 0.5 else B
        ),
        "You asked for “any” at one end: that is guidance. Here each end has a prompt.": (
            lambda denoiser, x_t, t, A, B, a: (1 - a) * denoiser(x_t, t) + a * denoiser(x_t, t, B)
        ),
    },
    hint="Two calls with the same x_t and t, one for each prompt; at a = 0 only the first counts.",
)
