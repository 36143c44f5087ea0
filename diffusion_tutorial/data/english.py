"""What people write around a prompt: politeness, numbers, plurals, apostrophes, and what of it a small vocabulary needs.

A model that learned 240 words knows neither "could you" nor "two cats". The first says nothing about a picture; the
second is a cat, in a world that has one of each. Used from "Type a sentence, get a picture" on.
"""

import re
import unicodedata
from collections.abc import Container

PASSED_OVER = frozenset(  # words without which a sentence still asks for the same picture
    """
    one 1 some any this these those such
    i my myself you your yours us our ours he him his she her hers they them their theirs someone somebody
    something anyone anybody anything what how where whose whom about for
    am are was were be been being do does did doing done have had having im ive
    can could will would shall should may might must let lets get gets got
    want wants wanted wish wishes need needs like likes love hope hoping try help
    make makes made making create creates created creating generate generates generated generating render renders
    rendered produce give gives depict depicts depicting visualise visualize draws drawn
    paints painted sketched sees seeing seen shows shown imagines imagined contains containing featuring
    pls plz kindly thanks thank thx hi hello hey dear ok okay yes sorry
    now then again just really very so quite also too maybe perhaps simply possibly ever
    """.split()
)
COUNTS = frozenset(
    """
    two three four five six seven eight nine ten eleven twelve twenty hundred hundreds thousand thousands dozen dozens
    couple several many multiple numerous various few both all every each another more lot lots plenty bunch group
    double triple
    """.split()
)
NEGATIONS = frozenset(  # whoever passes one over draws the opposite
    """
    not no non nor neither never none nothing nobody nowhere without except excluding minus zero cannot cant dont doesnt
    didnt isnt arent wasnt wont shouldnt wouldnt hasnt havent aint lacking avoid instead
    """.split()
)
# an ending and its singular
PLURALS = (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe"), ("mice", "mouse"))

# how a note begins, by what it tells of
NOTHING_SAID = "passed over, for they change nothing here"
ONE_OF_EACH = "a picture here has one of each"
NO_WORDS = "only words are read, so these are passed over"

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\uff07`\u00b4", "'"))


def split(text: str) -> list[str]:
    """The words of a text in lower case; an apostrophe belongs to its word only in "cat's", "I'd", "can't" and the like."""
    text = unicodedata.normalize("NFC", text.lower().translate(_APOSTROPHES))
    return re.findall(r"[^\W_]+(?:'(?:s|d|m|re|ve|ll|t)\b)?", text)


def plain(word: str) -> str:
    """Without accents, and in the plain form of each letter: "café" is cafe, "ß" is ss, a wide "ｃ" is c."""
    return "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(c))


def signs(text: str) -> list[str]:
    """The emoji and other small pictures in a text, each once."""
    if text.isascii():
        return []
    return list(dict.fromkeys(c for c in text if unicodedata.category(c) in ("So", "Cn")))


def negates(word: str) -> bool:
    """Whether the word turns the meaning of others round: "without", "can't", "0"."""
    word = plain(word)
    return word in NEGATIONS or word.endswith("'t") or (word.isdecimal() and int(word) == 0)


def singular(word: str, known: Container[str]) -> str | None:
    """The known word of which this is a plural, if there is one."""
    for ending, one in PLURALS:
        found = word.removesuffix(ending) + one
        if word.endswith(ending) and len(found) > 2 and not found.endswith("s") and found in known:
            return found
    return None


def meaning(typed: str, known: Container[str]) -> tuple[list[str], str, str] | None:
    """What a word of `split` is among the known words: none or one of them, the opening of a note, and what it says of it.

    The last two are "" for a word that is taken as it was typed; None where the word is unknown and cannot be left out.
    """
    if typed in known:
        return [typed], "", ""
    if negates(typed):
        return None
    word = plain(typed).partition("'")[0]
    if word in known:
        return [word], "", ""
    if word in PASSED_OVER:
        return [], NOTHING_SAID, f'"{typed}"'
    if word in COUNTS or word.isdecimal():
        return [], ONE_OF_EACH, f'"{typed}" is passed over'
    one = singular(word, known)
    return None if one is None else ([one], ONE_OF_EACH, f'"{typed}" is read as "{one}"')
