"""Captions: what is told of a scene, whole or in part, and how it is read back."""

import re

import pytest
import torch
from test_scenes import ALL, FAMOUS, SIZES, rows, seeded

from diffusion_tutorial.data import scenes
from diffusion_tutorial.data.scenes import captions

# thousands of captions are told and read here: the checks of shapes at run time (tests/conftest.py) would take most of it
pytestmark = pytest.mark.usefixtures("as_learner")


def named(text: str) -> tuple[set[int], ...]:
    """The subjects, things and places that a caption names, the longest phrases first."""
    left, found = f" {' '.join(captions._words(captions._bare(text.lower())))} ", (set(), set(), set())
    for phrase in sorted(captions._lookup(), key=len, reverse=True):
        if (said := f" {' '.join(phrase)} ") in left:
            attribute, row = captions._lookup()[phrase]
            found[attribute].add(row)
            left = left.replace(said, " | ")
    return found


@pytest.mark.parametrize("scene", FAMOUS)
def test_the_plain_caption(scene):
    assert scenes.plain_caption(scene) == FAMOUS[scene] == scenes.plain_caption(torch.tensor(scene))


def test_there_are_six_wordings_and_more_in_both_orders():
    said = [scenes.caption((0, 0, 0), wording) for wording in range(len(scenes.WORDINGS))]
    assert len(set(said)) == len(said) >= 6
    first = [text.index("moon") < text.index("cat") for text in said]
    assert first.count(True) >= 3 and first.count(False) >= 3
    assert "on the moon, a cat wearing sunglasses" in said and "a cat with sunglasses on the moon" in said


def test_every_synonym_is_said_and_articles_are_optional():
    generator = seeded()
    said = {scenes.caption((0, 0, 0), 3, generator) for _ in range(600)}
    text = " ".join(said)
    for word in ("kitty", "kitten", "shades", "dark glasses", "lunar surface"):
        assert word in text
    assert any(not re.search(r"\b(a|an|the)\b", each) for each in said)
    assert "an alien" in scenes.caption((16, 0, 0)) and "an umbrella" in scenes.plain_caption((0, 13, 0))


def test_captions_tell_their_scene_and_no_other():
    """Every scene in some wording, every wording with many synonyms: reading it back gives the scene."""
    generator = seeded()
    for number, scene in enumerate(ALL):
        text = scenes.caption(scene, number * 7 % len(scenes.WORDINGS), generator)
        assert scenes.read(text) == scene, text
    assert scenes.read("a cat on the moon") is None and scenes.read("a cat and a dog with a hat on Mars") is None
    assert scenes.read("Kitty in shades on the lunar surface.") == (0, 0, 0)


@pytest.mark.parametrize("wording", range(len(scenes.WORDINGS)))
def test_each_wording_names_every_row_of_every_table(wording):
    generator = seeded(wording)
    for number in range(max(SIZES)):
        scene = tuple((number + shift) % size for shift, size in zip((0, wording, 3 * wording), SIZES))
        assert scenes.read(scenes.caption(scene, wording)) == scene
        assert scenes.read(scenes.caption(scene, wording, generator)) == scene


def test_what_somebody_may_ask_is_read():
    for text, scene in {
        "draw a dog wearing a crown in the forest": (1, 3, 4),
        "Show me a robot with a guitar on Mars!": (15, 1, 1),
        "a ghost sits in the snow and plays the piano": (17, 10, 5),
        "imagine a pig in space, wearing glasses": (10, 4, 9),
        "a guitar, a cat, on the moon": (0, 1, 0),
        "can you draw two Cats wearing hats on the moon?": (0, 2, 0),
        "wolves with balloons in cities": (13, 12, 6),
    }.items():
        assert scenes.read(text) == scene, text


@pytest.mark.parametrize("template", captions.PARTIAL)
def test_a_partial_caption_tells_what_it_names_and_leaves_the_rest_open(template, monkeypatch):
    monkeypatch.setattr(captions, "PARTIAL", (template,))
    blanks = {"{who}": 0, "{noun}": 0, "{doing}": 1, "{thing}": 1, "{where}": 2, "{place}": 2}
    tells = {attribute for blank, attribute in blanks.items() if blank in template}
    generator, vocabulary = seeded(), set(scenes.vocabulary())
    for scene in ALL[::29]:
        text = captions.partial_caption(scene, generator)
        assert scenes.read(text) is None and set(captions._words(text)) <= vocabulary
        found = named(text)
        assert found == tuple({row} if i in tells else set() for i, row in enumerate(scene)), text


def test_partial_captions_come_in_every_kind():
    told = [captions.partial_caption((0, 1, 0), seeded(i)) for i in range(400)]
    assert {"cat", "moon", "on the moon", "a cat", "a cat on the moon", "a cat playing guitar"} <= set(told)
    assert captions.partial_caption(torch.tensor([0, 1, 0]), seeded(5)) == told[5]


def test_no_two_rows_share_a_phrase():
    owner = {}
    for attribute, table in enumerate(captions._phrases()):
        for row, phrases in enumerate(table):
            for phrase in phrases:
                assert owner.setdefault(captions._bare(phrase), (attribute, row)) == (attribute, row), phrase


def test_the_vocabulary_covers_the_captions():
    vocabulary = scenes.vocabulary()
    assert list(vocabulary) == sorted(set(vocabulary)) and all(re.fullmatch("[a-z]+", word) for word in vocabulary)
    generator, used = seeded(), set()
    for number in range(2000):
        used.update(
            captions._words(scenes.caption(ALL[number * 7 % len(ALL)], number % len(scenes.WORDINGS), generator))
        )
    assert used <= set(vocabulary) and len(used) > 0.95 * len(vocabulary)
    assert captions._words("A cat, wearing shades.") == ["a", "cat", "wearing", "shades"]


# What training is told


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_captions_is_partial(share, monkeypatch):
    """And which scenes are drawn does not depend on that."""
    monkeypatch.setattr(scenes, "draw", lambda attributes, generator: torch.zeros(len(attributes), 3, 48, 48))
    _, attributes, texts = scenes.sample(600, seeded(2), partial=share)
    assert torch.equal(attributes, scenes.sample(600, seeded(2))[1])
    whole = [scenes.read(text) == tuple(row) for text, row in zip(texts, attributes.tolist())]
    assert abs(1 - sum(whole) / 600 - share) < (0.06 if share == 0.3 else 1e-9)
    assert scenes.sample(600, seeded(2), partial=share)[2] == texts


def test_no_held_out_combination_is_ever_drawn_or_told_in_training(monkeypatch):
    """What reaches the drawing itself, and what the captions say, whole and partial, over many batches."""
    drawn, told, partial = set(), set(), []

    def watch(attributes, generator):
        drawn.update(rows(attributes))
        return torch.zeros(len(attributes), 3, 48, 48)

    monkeypatch.setattr(scenes, "draw", watch)
    generator = seeded(1)
    for _ in range(4):
        _, attributes, texts = scenes.sample(500, generator, partial=0.1)
        for text, row in zip(texts, attributes.tolist()):
            read = scenes.read(text)
            assert read in (None, tuple(row)), text
            partial.append(text) if read is None else told.add(tuple(read))
    held_out = rows(scenes.combinations(True))
    assert len(drawn) > 1300 and not drawn & held_out and not told & held_out
    assert 0.08 < len(partial) / 2000 < 0.12
    for text in partial:  # it tells at most two of the three, and every two are seen in training
        assert sum(bool(rows) for rows in named(text)) <= 2, text
