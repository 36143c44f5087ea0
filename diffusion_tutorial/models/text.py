"""From words to vectors: a tokenizer over a known vocabulary, and a small encoder that reads a caption.

Used in "Type a sentence, get a picture".

A caption becomes a row of whole numbers, one a word; each number owns a learned vector; two layers of attention let
every word see the others, so that "sea" may mean something else after "by the" than after "under the".
"""

import difflib
import re
from collections.abc import Sequence
from typing import NoReturn

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from diffusion_tutorial.data import english

PAD, START = 0, 1  # two tokens that are no words: nothing more comes; here it begins


class UnknownWord(ValueError):
    """A caption has a word that the model never learned."""


class Tokenizer:
    """Captions as tokens: START, then one number for each word, then PAD up to `length`; (n, length) int64.

    Upper case, commas and full stops are ignored, and words that say nothing about a picture are passed over: see
    `understand`, which tells what was. The null caption is START alone: an empty caption.
    """

    def __init__(self, words: Sequence[str], length: int = 24):
        if len(set(words)) != len(words) or length < 1:
            raise ValueError(
                f"expected words without doubles and a length of at least 1, got {len(words)} and {length}"
            )
        self.words, self.length = tuple(words), length
        self.number = {word: i for i, word in enumerate(self.words, start=START + 1)}

    def __call__(self, captions: Sequence[str]) -> Int[Tensor, "n length"]:
        if isinstance(captions, str):
            raise ValueError(f"expected a list of captions, got one: {captions!r}")
        tokens = torch.full((len(captions), self.length), PAD)
        for row, caption in zip(tokens, captions):
            numbers = [START, *(self.number[word] for word in self.understand(caption)[0])]
            if len(numbers) > self.length:
                raise ValueError(f"expected at most {self.length - 1} words, got {len(numbers) - 1}: {caption}")
            row[: len(numbers)] = torch.tensor(numbers)
        return tokens

    def understand(self, caption: str) -> tuple[list[str], list[str]]:
        """The words of a caption that become tokens, and a sentence for each kind of thing not taken as it was typed.

        "can you draw two cats" is draw, cat: what says nothing about a picture is passed over, and a plural read as one
        (data.english). UnknownWord for any other word that was never learned, and for one that turns the meaning round.
        """
        typed, words = self.split(caption), []
        notes: dict[str, list[str]] = {}
        if any(word not in self.number for word in typed):  # a caption of known words is these words, whatever else
            typed = english.split(caption)
        for word in typed:
            found, opening, done = english.meaning(word, self.number) or self._refuse(word)
            words += found
            if opening:
                notes.setdefault(opening, []).append(done)
        if signs := english.signs(caption):
            notes[english.NO_WORDS] = signs
        return words, [f"{opening}: {', '.join(dict.fromkeys(said))}" for opening, said in notes.items()]

    @staticmethod
    def split(caption: str) -> list[str]:
        """The words of a caption, in lower case."""
        return re.findall(r"[^\W_]+", caption.lower())

    def decode(self, tokens: Int[Tensor, "length"]) -> list[str]:
        """What each token stands for, START as "[start]", without the padding: the columns of an attention map."""
        return ["[start]" if i == START else self.words[i - START - 1] for i in tokens.tolist() if i != PAD]

    def _refuse(self, word: str) -> NoReturn:
        if english.negates(word):
            hint = (
                "it turns the meaning round, so it is not passed over: say what should be there, and what should not by "
                "--negative of `sample scenes` (negative= in Python)"
            )
        else:
            near = difflib.get_close_matches(english.plain(word), self.words, n=3, cutoff=0.5)
            hint = f"the nearest that it knows: {', '.join(near)}" if near else f"it knows {len(self.words)} words"
        raise UnknownWord(f'the model never learned the word "{word}"; {hint}')


class TextEncoder(nn.Module):
    """A vector for each token, from its word, its position and the words around it; (batch, length, dim).

    A learned vector a word and a position, then the encoder layers of Vaswani et al. 2017, section 3.1, with the norm
    first (as in GPT-2). PAD is seen by none.
    """

    def __init__(self, words: int, length: int, dim: int = 128, layers: int = 2, heads: int = 4):
        super().__init__()
        self.word, self.position = nn.Embedding(words + 2, dim), nn.Embedding(length, dim)
        for table in (self.word, self.position):
            nn.init.normal_(table.weight, std=0.5)
        layer = nn.TransformerEncoderLayer(
            dim, heads, 2 * dim, dropout=0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(dim), enable_nested_tensor=False)

    def forward(
        self, tokens: Int[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch length dim"], Bool[Tensor, "batch length"]]:
        """The vectors, and which of the tokens are there (not PAD)."""
        there = tokens != PAD
        with torch.autocast(tokens.device.type, enabled=False):  # of so few numbers float32 is the faster
            x = self.word(tokens) + self.position.weight[: tokens.shape[1]]
            return self.layers(x, src_key_padding_mask=~there), there
