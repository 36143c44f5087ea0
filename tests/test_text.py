import copy
import re

import pytest
import torch

from diffusion_tutorial import files, pretrained
from diffusion_tutorial.data import english, scenes
from diffusion_tutorial.data.scenes import captions
from diffusion_tutorial.models.text import PAD, START, TextEncoder, Tokenizer, UnknownWord

WORDS = ("a", "cat", "moon", "on", "the")
NOTHING, EACH, SIGNS = english.NOTHING_SAID, english.ONE_OF_EACH, english.NO_WORDS
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
        ("cat9", "cat9"),
        ("a cat on the 2nd moon", "2nd"),
        ("½ a cat", "½"),
        ("a café on the moon", "café"),
        ("日本 cat", "日本"),
        ("кот on the moon", "кот"),
        ("a cat wearing qqqqqqqq", "qqqqqqqq"),
    ],
)
def test_digits_and_other_scripts_are_not_passed_over(text, word, world):
    with pytest.raises(UnknownWord, match=f'never learned the word "{word}"; (the nearest|it knows 2.. words)'):
        world([text])


# What people write


@pytest.mark.parametrize(
    ("text", "words", "notes"),
    [
        ("can you draw a cat on the moon, please", "draw a cat on the moon please", [f'{NOTHING}: "can", "you"']),
        ("I would like to see one dog", "to see dog", [f'{NOTHING}: "i", "would", "like", "one"']),
        ("A picture of: one cat", "a picture of cat", [f'{NOTHING}: "one"']),
        ("Can you make the cat in space?", "the cat in space", [f'{NOTHING}: "can", "you", "make"']),
        ("I’d love a cat, some cat, some cat", "a cat cat cat", [f'{NOTHING}: "i\'d", "love", "some"']),
        ("cats on the moon", "cat on the moon", [f'{EACH}: "cats" is read as "cat"']),
        ("two cats", "cat", [f'{EACH}: "two" is passed over, "cats" is read as "cat"']),
        ("2 Foxes", "fox", [f'{EACH}: "2" is passed over, "foxes" is read as "fox"']),
        ("many bunnies, wolves and mice", "bunny wolf and mouse", None),
        ("puppies with scarves in cities", "puppy with scarf in city", None),
        ("several cats' drums", "cat drums", None),
        ("the cat's hat", "the cat hat", []),
        ("the cat´s hat, it`s a hat", "the cat hat it a hat", []),
        ("a bow-tie and an ice-cream", "a bow tie and an ice cream", []),
        ('"a cat" «on» the ‘moon’?!', "a cat on the moon", []),
        ("À ÇÄT on the ｍｏｏｎ", "a cat on the moon", []),
        ("a cát on the moon", "a cat on the moon", []),
        ("a cat 🐱 on the moon 🚀🚀", "a cat on the moon", [f"{SIGNS}: 🐱, 🚀"]),
        ("🐱", "", [f"{SIGNS}: 🐱"]),
        ("could you?", "", [f'{NOTHING}: "could", "you"']),
        ("a cat, (on) the moon…", "a cat on the moon", []),
        ("", "", []),
    ],
)
def test_a_sentence_of_ones_own_is_understood_and_says_what_is_not_taken_as_typed(text, words, notes, world, capsys):
    found, said = world.understand(text)
    assert found == words.split() and (notes is None or said == notes)
    assert all("\n" not in note for note in said)
    assert torch.equal(world([text]), world([words])) and world.decode(world([text])[0]) == ["[start]", *found]
    assert capsys.readouterr() == ("", "")  # a tokenizer does not print


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a cat without sunglasses", "without"),
        ("a cat, no hat", "no"),
        ("Not a cat", "not"),
        ("a cat that doesn't wear a hat", "doesn't"),
        ("you can’t draw a cat", "can't"),
        ("nothing except cats", "nothing"),
        ("cats except one", "except"),
        ("a cat that never plays", "never"),
        ("0 cats", "0"),
        ("zero cats", "zero"),
    ],
)
def test_a_word_that_turns_the_meaning_round_is_never_passed_over(text, word, world):
    with pytest.raises(UnknownWord, match=f'never learned the word "{word}"; .*--negative') as problem:
        world([text])
    assert "nearest" not in str(problem.value)


@pytest.mark.parametrize("text", ["two purple cats", "an angry cat", "could you draw a unicorn", "cats on Jupiter"])
def test_a_word_with_a_meaning_of_its_own_stays_unknown(text, world):
    with pytest.raises(UnknownWord, match='"(purple|angry|unicorn|jupiter)"'):
        world([text])


def test_a_model_that_learned_a_word_reads_it():
    own = Tokenizer(["two", "cats", "without", "can", "you", "s", "t"])
    for text in ("two cats without", "can you", "you s t", "can't"):
        assert own.understand(text) == (Tokenizer.split(text), [])


def test_the_words_passed_over_are_a_closed_list_apart_from_the_world(world):
    lists = english.PASSED_OVER, english.COUNTS, english.NEGATIONS
    assert len(frozenset.union(*lists)) == sum(map(len, lists))
    assert not frozenset.union(*lists) & set(scenes.vocabulary())
    for name in {word for table in captions._phrases() for row in table for phrase in row for word in phrase.split()}:
        assert not english.negates(name.lower())


def test_the_trained_words_and_their_order_are_the_vocabulary():
    path = pretrained.FOLDER / "scenes.safetensors"
    assert tuple(files.read_tensors(path)[1]["net"]["words"]) == scenes.vocabulary()


def test_what_is_all_known_words_is_those_words_whatever_is_between(world, generator):
    """The tokens that the weights were trained on: known words, apart by anything but letters, digits and `_`."""
    between = [" ", ", ", ".\n", "'", "’", "-", "_", "\u0301", " 🐱 ", "…", "/", "`", '"']
    for _ in range(300):
        picks = torch.randint(len(world.words), (8,), generator=generator).tolist()
        marks = [between[i] for i in torch.randint(len(between), (8,), generator=generator).tolist()]
        text = "".join(world.words[i].upper() + mark for i, mark in zip(picks, marks))
        assert world([text])[0, :9].tolist() == [START, *(i + 2 for i in picks)], text


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
