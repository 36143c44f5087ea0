"""Words for a scene: wordings in both orders, synonyms, with and without articles; and back from words to the scene.

Used from "Type a sentence, get a picture" on.
"""

import re
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor

from diffusion_tutorial.data import english
from diffusion_tutorial.data.scenes.world import PLACES, SUBJECTS, THINGS, Scene, check

# {picture} a drawing, {who} a cat, {noun} cat, {doing} wearing sunglasses, {does} wears sunglasses, {thing} sunglasses,
# {item} the same without article, {where} on the moon, {place} moon
WORDINGS = (
    "{who} {doing} {where}",
    "{where}, {who} {doing}",
    "{who} {where} {doing}",
    "{who} with {thing} {where}",
    "{where}, {who} with {thing}",
    "{who} is {doing} {where}",
    "{where} {who} {does}",
    "{who} that {does} {where}",
    "{doing}, {who} is {where}",
    "{who} is {where} and {does}",
    "{picture} of {who} {doing} {where}",
    "{where} there is {who} with {thing}",
    "{who} standing {where}, {doing}",
    "{who} and {thing} {where}",
    "{who} has {thing} {where}",
    "here is {who} {where} who {does}",
    "{who} {where} while {doing}",
    "{picture} showing {who} {where} and {thing}",
    "{noun}, {item}, {place}",
    "{place}, {noun}, {item}",
    "{who}, {where}, {doing}",
    "{who} {doing} while it is {where}",
    "{who} with {thing} who is {where}",
    "{who} which {does} {where}",
    "draw {who} {doing} {where}",
    "show me {who} with {thing} {where}",
    "please paint {picture} of {who} {where} with {thing}",
    "{where} we see {who} and {thing}",
    "{who} sits {where} and {does}",
    "imagine {who} {where}, {doing}",
    "{thing}, {who}, {where}",
    "{who} lives {where} and has {thing}",
)
PARTIAL = (  # something is left out, and may be anything
    "{who} {doing}",
    "{who} {where}",
    "{who} with {thing}",
    "{who}",
    "{noun}",
    "{picture} of {who}",
    "{doing} {where}",
    "{thing} {where}",
    "{where}",
    "{place}",
)
FILLERS = (
    *("little", "cute", "happy", "small", "funny", "friendly", "big", "young", "cool", "sweet", "lovely", "smiling"),
    *("cheerful", "beautiful", "tiny", "silly", "brave", "lonely"),
)
PICTURES = ("picture", "drawing", "photo", "painting", "image", "cartoon", "scene", "illustration", "sketch")
ARTICLES = ("a", "an", "the", "its")
# every synonym is as likely as another, but the standard word comes up at least so often
STANDARD, WITHOUT_ARTICLES, WITH_FILLER, THE = 0.4, 0.2, 0.15, 0.15


def plain_caption(attributes: Int[Tensor, "3"] | tuple[int, int, int]) -> str:
    """The standard words in the standard order: "a cat wearing sunglasses on the moon"."""
    return caption(attributes)


def caption(
    attributes: Int[Tensor, "3"] | tuple[int, int, int], wording: int = 0, generator: torch.Generator | None = None
) -> str:
    """A caption of one scene, in WORDINGS[wording]; without a generator every synonym is the standard one."""
    check(torch.as_tensor(attributes)[None])
    if not 0 <= wording < len(WORDINGS):
        raise ValueError(f"expected a wording in 0..{len(WORDINGS) - 1}, got {wording}")
    return _tell(attributes, WORDINGS[wording], generator)


def partial_caption(attributes: Int[Tensor, "3"] | tuple[int, int, int], generator: torch.Generator) -> str:
    """A caption that leaves something out, and leaves it open with that: "a kitty on the moon", "downtown"."""
    check(torch.as_tensor(attributes)[None])
    return _tell(attributes, PARTIAL[torch.randint(len(PARTIAL), (1,), generator=generator)], generator)


def _tell(attributes: Tensor | tuple[int, ...], template: str, generator: torch.Generator | None) -> str:
    text = _say(Scene(*(int(x) for x in attributes)), template, _Chance(generator))
    return re.sub(r"\s+", " ", text).replace(" ,", ",").strip()


class _Chance:
    """Choices from a generator; without one, always the standard word and nothing added."""

    def __init__(self, generator: torch.Generator | None):
        self.numbers = [] if generator is None else torch.rand(16, generator=generator).tolist()

    def happens(self, p: float) -> bool:
        return bool(self.numbers) and self.numbers.pop() < p

    def choose(self, options: tuple[str, ...]) -> str:
        x = self.numbers.pop() if self.numbers else 0
        return options[0] if x < STANDARD else options[int((x - STANDARD) / (1 - STANDARD) * len(options))]


def _say(scene: Scene, template: str, chance: _Chance) -> str:
    """The template with words for the scene in it."""
    choose = chance.choose
    subject, thing, place = SUBJECTS[scene.subject], THINGS[scene.thing], PLACES[scene.place]
    noun, where = choose(subject.nouns), choose(place.where)
    verbs = choose(tuple(thing.actions))
    doing, does = (f"{verb} {choose(thing.actions[verbs])}" for verb in verbs.split(" "))
    named = f"{choose(FILLERS)} {noun}" if chance.happens(WITH_FILLER) else noun
    text = template.format(
        who=f"the {named}" if chance.happens(THE) else _with_article(named),
        noun=noun, doing=doing, does=does, where=where, picture=_with_article(choose(PICTURES)),
        thing=choose(thing.nouns), item=_bare(choose(thing.nouns)), place=choose((place.name, *place.nouns)),
    )  # fmt: skip
    return _bare(text) if chance.happens(WITHOUT_ARTICLES) else text


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _bare(text: str) -> str:
    """The text without articles: "cat wearing crown on moon"."""
    return " ".join(word for word in text.split(" ") if word not in ARTICLES)


def _words(text: str) -> list[str]:
    """The words of the letters a to z in a text, in lower case; whatever else it holds lies between them."""
    return re.findall(r"[a-z]+", text.lower())


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word that a caption can contain, in lower case, in alphabetical order."""
    rows = [*FILLERS, *PICTURES, *ARTICLES, *(re.sub(r"{\w+}", " ", wording) for wording in WORDINGS + PARTIAL)]
    rows += [phrase for table in _phrases() for phrases in table for phrase in phrases]
    return tuple(sorted({word for row in rows for word in _words(row)}))


@cache
def _phrases() -> tuple[list[list[str]], ...]:
    """For subjects, things and places: all that each may be called."""
    things = []
    for thing in THINGS:
        actions = [
            f"{verb} {noun}" for verbs, nouns in thing.actions.items() for verb in verbs.split() for noun in nouns
        ]
        things.append([thing.name, *thing.nouns, *actions])
    places = [[place.name, *place.where, *place.nouns] for place in PLACES]
    return [[subject.name, *subject.nouns] for subject in SUBJECTS], things, places


@cache
def _lookup() -> dict[tuple[str, ...], tuple[int, int]]:
    """All phrases without articles, as words: which attribute and which row they name."""
    return {
        tuple(_words(_bare(phrase))): (attribute, row)
        for attribute, table in enumerate(_phrases())
        for row, phrases in enumerate(table)
        for phrase in phrases
    }


def read(text: str) -> Scene | None:
    """The scene that a caption tells of, or None where it names no, or more than one, subject, thing or place.

    A plural is read as one of them; words that name nothing are passed over.
    """
    words = [word if word in vocabulary() else english.singular(word, vocabulary()) or word for word in _words(text)]
    left, known = _words(_bare(" ".join(words))), _lookup()
    found: tuple[set[int], ...] = (set(), set(), set())
    for n in range(max(map(len, known)), 0, -1):  # "dark glasses" before "glasses"
        for i in range(len(left) - n + 1):
            if (phrase := tuple(left[i : i + n])) in known:
                attribute, row = known[phrase]
                found[attribute].add(row)
                left[i : i + n] = [""] * n
    return Scene(*(rows.pop() for rows in found)) if all(len(rows) == 1 for rows in found) else None
