import copy
import re

import pytest
import torch

from diffusion_tutorial.data import scenes
from diffusion_tutorial.data.scenes import captions
from diffusion_tutorial.models.text import PAD, START, TextEncoder, Tokenizer, UnknownWord

WORDS = ("a", "cat", "moon", "on", "the")
A_CAT_ON_THE_MOON = [START, 2, 3, 5, 6, 4]


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer(WORDS, length=8)


@pytest.fixture(scope="module")
def world() -> Tokenizer:
    """The tokenizer of the shipped model."""
    return Tokenizer(scenes.vocabulary())


# Tokenizer


def test_a_caption_is_start_then_its_words_then_padding(tokenizer):
    tokens = tokenizer(["a cat on the moon", "moon", ""])
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == [
        [*A_CAT_ON_THE_MOON, PAD, PAD],
        [START, 4, *[PAD] * 6],
        [START, *[PAD] * 7],
    ]
    assert tokenizer([]).shape == (0, 8)


def test_decode_leads_back(tokenizer):
    (row,) = tokenizer(["a cat on the moon"])
    assert tokenizer.decode(row) == ["[start]", "a", "cat", "on", "the", "moon"]
    assert tokenizer.decode(tokenizer([""])[0]) == ["[start]"]


@pytest.mark.parametrize(
    "text",
    [
        "A CAT on the Moon",
        "a cat, on the moon.",
        "  a cat\non\tthe moon!  ",
        "a-cat/on_the (moon)",
        "“a cat” on the moon…",
    ],
)
def test_only_words_count(text, tokenizer):
    assert tokenizer([text])[0, :6].tolist() == A_CAT_ON_THE_MOON


@pytest.mark.parametrize("blank", [" ", ".", ",, .", "\n"])
def test_a_caption_without_words_is_the_null_caption(blank, tokenizer):
    assert torch.equal(tokenizer([blank]), tokenizer([""]))


@pytest.mark.parametrize(
    "text, word, near",
    [
        ("a catt on the moon", "catt", ["cat"]),
        ("A Monn.", "monn", ["moon"]),
        ("a cat playing gitar on mars", "gitar", ["guitar"]),
        ("a cat wearing sunglases", "sunglases", ["sunglasses", "glasses"]),
    ],
)
def test_an_unknown_word_names_the_nearest(text, word, near, world):
    with pytest.raises(UnknownWord) as problem:
        world(["a cat", text])
    message = str(problem.value)
    assert isinstance(problem.value, ValueError) and "\n" not in message
    assert f'never learned the word "{word}"' in message
    named = message.partition("the nearest that it knows: ")[2].split(", ")
    assert set(near) <= set(named) <= set(scenes.vocabulary()) and len(named) <= 3


@pytest.mark.parametrize(
    "text, word",
    [
        ("3 cats", "3"),
        ("a cat on the moon 2", "2"),
        ("cat9", "cat9"),
        ("a café on the moon", "café"),
        ("日本 cat", "日本"),
        ("кот on the moon", "кот"),
        ("a cat wearing qqqqqqqq", "qqqqqqqq"),
    ],
)
def test_digits_and_other_scripts_are_not_passed_over(text, word, world):
    with pytest.raises(UnknownWord, match=f'never learned the word "{word}"; (the nearest|it knows 2.. words)'):
        world([text])


def test_too_many_words_are_refused(tokenizer):
    assert tokenizer(["cat " * 7])[0].tolist() == [START, *[3] * 7]
    with pytest.raises(ValueError, match="expected at most 7 words, got 8: cat cat"):
        tokenizer(["cat", ("cat " * 8).strip()])


@pytest.mark.parametrize("words, length", [(["cat", "moon", "cat"], 8), (["cat"], 0)])
def test_a_vocabulary_with_doubles_or_no_room_for_start_is_refused(words, length):
    with pytest.raises(ValueError, match=f"without doubles and a length of at least 1, got {len(words)} and {length}"):
        Tokenizer(words, length)


def choices() -> dict[str, set[str]]:
    """For each blank of a wording, all that can stand there, in every scene."""
    nouns = {noun for subject in scenes.SUBJECTS for noun in subject.nouns}
    named = nouns | {f"{filler} {noun}" for filler in captions.FILLERS for noun in nouns}
    said = [(verbs.split(" "), noun) for t in scenes.THINGS for verbs, ns in t.actions.items() for noun in ns]
    return {
        "who": {captions._with_article(name) for name in named} | {f"the {name}" for name in named},
        "noun": nouns,
        "doing": {f"{ing} {noun}" for (ing, _), noun in said},
        "does": {f"{s} {noun}" for (_, s), noun in said},
        "where": {where for place in scenes.PLACES for where in place.where},
        "place": {name for place in scenes.PLACES for name in (place.name, *place.nouns)},
        "thing": {noun for thing in scenes.THINGS for noun in thing.nouns},
        "item": {captions._bare(noun) for thing in scenes.THINGS for noun in thing.nouns},
        "picture": {captions._with_article(picture) for picture in captions.PICTURES},
    }


def test_every_caption_of_the_world_fits(world):
    """Each blank of each wording with its longest choice is the longest caption; each choice is in the vocabulary."""
    blanks = choices()
    for name, texts in blanks.items():
        assert all(world([text])[0, 0] == START for text in texts), name
    longest = {name: max(texts, key=lambda text: len(text.split())) for name, texts in blanks.items()}
    lengths = []
    for template in captions.WORDINGS + captions.PARTIAL:
        assert set(re.findall(r"{(\w+)}", template)) <= blanks.keys()
        lengths.append((world([template.format(**longest)]) != PAD).sum().item())
    assert 10 < max(lengths) <= world.length
    # and as they are told: one of each wording for a scene, with random synonyms, whole and partial
    generator, told = torch.Generator().manual_seed(0), []
    for number, scene in enumerate(scenes.combinations(None)[::5].tolist()):
        told.append(scenes.caption(tuple(scene), number % len(captions.WORDINGS), generator))
        told.append(captions.partial_caption(tuple(scene), generator))
    tokens = world(told)
    assert (tokens[:, 0] == START).all() and tokens.max() <= START + len(scenes.vocabulary())
    for text, row in zip(told[::19], tokens[::19]):
        assert world.decode(row)[1:] == captions._words(text)


def test_one_caption_is_not_taken_for_a_list_of_letters(as_learner):
    with pytest.raises(ValueError, match="expected a list of captions, got one: 'a cat'"):
        Tokenizer(["a", "c", "t", "cat"])("a cat")


# TextEncoder


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(words=10, length=12, dim=16, layers=2, heads=4)


def test_a_vector_for_each_token_and_which_are_there(encoder):
    tokens = torch.tensor([[START, 2, 3, PAD], [START, PAD, PAD, PAD]])
    x, there = encoder(tokens)
    assert x.shape == (2, 4, 16) and x.isfinite().all()
    assert there.tolist() == [[True, True, True, False], [True, False, False, False]]


@pytest.mark.parametrize("grad", [True, False], ids=["in training", "in use"])
def test_padding_has_no_influence(grad, encoder):
    """Longer padding, the same vectors for the words; and whatever stands for PAD is never looked at."""
    encoder = copy.deepcopy(encoder).train(grad)
    row, after = torch.tensor([[START, 5, 3, 9]]), torch.full((1, 8), PAD)
    with torch.set_grad_enabled(grad):
        short, long = encoder(row)[0], encoder(torch.cat([row, after], 1))[0][:, :4]
        torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-5)
        encoder.word.weight.data[PAD] += 10
        torch.testing.assert_close(encoder(torch.cat([row, after], 1))[0][:, :4], long, atol=1e-5, rtol=1e-5)


def test_it_says_the_same_in_training_and_in_use(encoder):
    tokens = torch.tensor([[START, 5, 3, 9, PAD, PAD], [START, 4, PAD, PAD, PAD, PAD]])
    trained, there = encoder.train()(tokens)
    with torch.no_grad():
        used = encoder.eval()(tokens)[0]
    torch.testing.assert_close(trained[there], used[there], atol=1e-5, rtol=1e-4)


def test_word_order_and_context_matter(encoder):
    encoder.eval()
    one, swapped, other = encoder(torch.tensor([[START, 5, 3, 9], [START, 3, 5, 9], [START, 5, 3, 7]]))[0]
    assert (one[1] - swapped[2]).abs().max() > 0.1  # word 5 at another position
    assert (one - swapped)[3].abs().max() > 1e-3  # word 9 after the same two words in another order
    assert (one - other)[1].abs().max() > 1e-3  # word 5 with another neighbour, two places on
    assert (one - other)[3].abs().max() > 0.1  # another word


def test_captions_of_a_batch_do_not_see_each_other(encoder):
    encoder.eval()
    tokens = torch.tensor([[START, 5, 3, 9], [START, 4, PAD, PAD], [START, 10, 11, PAD]])
    together = encoder(tokens)[0]
    for i in range(3):
        (alone,), (there,) = encoder(tokens[i : i + 1])
        torch.testing.assert_close(together[i][there], alone[there], atol=1e-5, rtol=1e-5)
