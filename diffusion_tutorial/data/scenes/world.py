"""The little world as tables: who there is, what they have, where they are, the words for each, and what is held out.

The first word of each row is the standard one, which `plain_caption` uses; the others are synonyms. The order of the
rows is the meaning of the numbers in a scene: whoever changes it must train the model again.
Used from "Type a sentence, get a picture" on.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class Subject(NamedTuple):
    """Who is in the picture."""

    name: str
    nouns: tuple[str, ...]  # without article: "cat", "kitty"


class Thing(NamedTuple):
    """What they wear, play or hold."""

    name: str
    actions: dict[str, tuple[str, ...]]  # "wearing wears": the nouns that follow either; the first is the standard
    nouns: tuple[str, ...]  # with article, as they follow "with"


class Place(NamedTuple):
    """Where they are."""

    name: str
    where: tuple[str, ...]  # with preposition: "on the moon"
    nouns: tuple[str, ...] = ()  # more words for the place itself, as in "cat, sunglasses, lunar surface"


def _worn(name: str, *nouns: str) -> Thing:
    return Thing(name, {"wearing wears": nouns, "in wears": nouns}, nouns)


def _held(name: str, *nouns: str, verbs: str = "holding holds, carrying carries") -> Thing:
    return Thing(name, dict.fromkeys(verbs.split(", "), nouns), nouns)


SUBJECTS = (
    Subject("cat", ("cat", "kitty", "kitten", "pussycat")),
    Subject("dog", ("dog", "puppy", "doggy", "doggie", "pup", "hound")),
    Subject("fox", ("fox", "red fox", "vixen")),
    Subject("bear", ("bear", "brown bear", "grizzly bear", "grizzly")),
    Subject("panda", ("panda", "panda bear", "giant panda")),
    Subject("rabbit", ("rabbit", "bunny", "bunny rabbit", "white rabbit", "hare")),
    Subject("frog", ("frog", "toad", "green frog")),
    Subject("monkey", ("monkey", "ape", "chimp", "chimpanzee")),
    Subject("tiger", ("tiger", "tiger cub")),
    Subject("lion", ("lion", "lion cub")),
    Subject("pig", ("pig", "piglet", "piggy", "pink pig")),
    Subject("mouse", ("mouse", "grey mouse", "gray mouse", "rat")),
    Subject("cow", ("cow", "bull", "calf")),
    Subject("wolf", ("wolf", "grey wolf", "gray wolf")),
    Subject("chick", ("chick", "chicken", "baby chicken", "yellow bird", "bird")),
    Subject("robot", ("robot", "android", "bot")),
    Subject("alien", ("alien", "extraterrestrial", "green alien")),
    Subject("ghost", ("ghost", "phantom", "spirit", "spook")),
)

THINGS = (
    _worn("sunglasses", "sunglasses", "shades", "dark glasses", "a pair of sunglasses", "sun glasses"),
    Thing(
        "guitar",
        {
            "playing plays": ("guitar", "the guitar", "a guitar", "an electric guitar"),
            "strumming strums": ("a guitar", "the guitar", "its guitar"),
        },
        ("a guitar", "an electric guitar", "its guitar"),
    ),
    _worn("top hat", "a top hat", "a hat", "a tall hat", "a black hat", "a tophat"),
    _worn("crown", "a crown", "a golden crown", "a gold crown", "a royal crown"),
    _worn("glasses", "glasses", "spectacles", "eyeglasses", "a pair of glasses", "a pair of spectacles", "specs"),
    _worn("scarf", "a scarf", "a woolly scarf", "a warm scarf", "a shawl"),
    _worn("bow tie", "a bow tie", "a bow", "a bowtie", "a ribbon"),
    _worn("headphones", "headphones", "earphones", "a pair of headphones", "a headset"),
    Thing(
        "drum",
        {
            "playing plays": ("the drum", "a drum", "the drums", "drums", "drum"),
            "beating beats": ("a drum", "the drum"),
            "banging bangs": ("a drum", "the drum"),
            "drumming drums": ("",),
        },
        ("a drum", "drums"),
    ),
    Thing(
        "trumpet",
        {
            "playing plays": ("the trumpet", "a trumpet", "trumpet", "a horn", "the horn"),
            "blowing blows": ("a trumpet", "the trumpet", "a horn"),
        },
        ("a trumpet", "a horn", "a golden trumpet"),
    ),
    Thing(
        "piano",
        {
            "playing plays": ("the piano", "a piano", "piano", "the keyboard", "a keyboard"),
            "practising practises": ("the piano", "piano"),
        },
        ("a piano", "a keyboard"),
    ),
    Thing(
        "football",
        {
            "kicking kicks": ("a ball", "a football", "a soccer ball", "the ball", "the football"),
            "playing plays": ("football", "soccer", "with a ball", "with a football", "ball"),
        },
        ("a ball", "a football", "a soccer ball"),
    ),
    _held("balloon", "a balloon", "a toy balloon"),
    _held("umbrella", "an umbrella", "a parasol", "a brolly", verbs="holding holds, carrying carries, under holds"),
    _held(
        "ice cream",
        *("an ice cream", "ice cream", "an icecream", "an ice cream cone", "a gelato"),
        verbs="eating eats, holding holds, licking licks, enjoying enjoys",
    ),
    _held("flower", "a flower", "a sunflower", "a blossom", "a bloom"),
    _held(
        "book", "a book", "a story", "a storybook", "a novel", verbs="reading reads, holding holds, studying studies"
    ),
    _held(
        "present",
        *("a present", "a gift", "a gift box", "a wrapped present", "a birthday present"),
        verbs="holding holds, carrying carries, bringing brings",
    ),
)

PLACES = (
    Place(
        "moon",
        ("on the moon", "on the lunar surface", "on the surface of the moon", "in a lunar landscape"),
        ("lunar surface",),
    ),
    Place(
        "Mars",
        (
            "on Mars",
            "on the red planet",
            "on planet Mars",
            "on the planet Mars",
            "on the surface of Mars",
            "on the Martian surface",
        ),
    ),
    Place("beach", ("on the beach", "at the beach", "at the seaside", "by the sea", "on a sandy beach"), ("seaside",)),
    Place("desert", ("in the desert", "in a desert", "in the sand dunes", "among the cacti", "next to a cactus")),
    Place(
        "forest", ("in the forest", "in a forest", "in the woods", "among the trees", "in a wood"), ("woods", "wood")
    ),
    Place(
        "snow", ("in the snow", "in winter", "in a snowy landscape", "in the snowy mountains", "on snow"), ("winter",)
    ),
    Place(
        "city",
        ("in the city", "in a city", "in town", "in the big city", "downtown", "in a street", "in the streets"),
        ("town",),
    ),
    Place(
        "sea",
        ("under the sea", "underwater", "under water", "in the sea", "in the ocean", "at the bottom of the sea"),
        ("ocean", "underwater"),
    ),
    Place(
        "meadow", ("in a meadow", "in the meadow", "on the grass", "in a field", "on a green hill"), ("grass", "field")
    ),
    Place("space", ("in space", "in outer space", "among the stars", "in deep space"), ("outer space",)),
)


class Scene(NamedTuple):
    """The three attributes of a picture, as row numbers of SUBJECTS, THINGS and PLACES."""

    subject: int
    thing: int
    place: int


def is_held_out(attributes: Int[Tensor, "n 3"]) -> Bool[Tensor, "n"]:
    """(subject + thing - place) mod 10 == 0: each subject with each thing misses one place of ten, in turn.

    So exactly a tenth of all combinations is held out, a cat (0) wearing sunglasses (0) on the moon (0) and a cat (0)
    playing guitar (1) on Mars (1) among them; every pair of two attributes is still seen in training. (n,) bool.
    """
    subject, thing, place = attributes.unbind(1)
    return (subject + thing - place) % len(PLACES) == 0


def combinations(held_out: bool | None = False) -> Int[Tensor, "n 3"]:
    """All scenes that training may draw (False), may never draw (True), or both (None), in a fixed order."""
    grid = torch.cartesian_prod(*(torch.arange(len(table)) for table in (SUBJECTS, THINGS, PLACES)))
    return grid if held_out is None else grid[is_held_out(grid) == held_out]


def check(attributes: Int[Tensor, "n 3"]) -> None:
    """One clear ValueError for a tensor that holds no scenes."""
    if attributes.ndim != 2 or attributes.shape[1] != 3 or attributes.dtype != torch.int64:
        came = f"shape {tuple(attributes.shape)}, {attributes.dtype}"
        raise ValueError(f"expected scenes as (n, 3) int64 (subject, thing, place), got {came}")
    for name, table, column in zip(Scene._fields, (SUBJECTS, THINGS, PLACES), attributes.unbind(1)):
        wrong = column[(column < 0) | (column >= len(table))]
        if len(wrong):
            raise ValueError(f"expected a {name} in 0..{len(table) - 1}, got {int(wrong[0])}")
