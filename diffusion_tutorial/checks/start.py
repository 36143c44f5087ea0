"""Exercises of "Start here": how an exercise works."""

import datetime

from diffusion_tutorial.checks.core import Exercise


def digits_of(date: datetime.date) -> list[int]:
    """Day, month and year as eight digits."""
    return [int(character) for character in date.strftime("%d%m%Y")]


def labels_in_turn(n: int) -> list[int]:
    """0, 1, ... 9, 0, 1, ...: n labels."""
    return [i % 10 for i in range(n)]


def seeds_that_differ() -> tuple[int, int]:
    """Any two different whole numbers."""
    return 7, 8


class _TwoSeeds(Exercise):
    """Any two different seeds are right, so there is no one answer to compare with."""

    def _same(self, got: list, expected: list) -> bool:
        def kind(value: object) -> str:
            if not isinstance(value, tuple | list) or len(value) != 2:
                return "one" if type(value) is int else "other"
            if not all(type(x) is int for x in value):
                return "not whole"
            return "same" if value[0] == value[1] else "differ"

        return kind(got[0]) == kind(expected[0]) != "other"


seeds = _TwoSeeds(
    "seeds_that_differ",
    answer=seeds_that_differ,
    cases=[()],
    mistakes={
        "Both seeds are the same, and the same seed gives the same picture.": lambda: (7, 7),
        "That is one seed; two pictures need two, with a comma between them.": lambda: 7,
        "A seed is a whole number: 7, not 7.5 and not '7'.": lambda: (7.5, 8.5),
    },
    nudge="Return two whole numbers with a comma between them.",
)

dates = Exercise(
    "digits_of",
    answer=digits_of,
    cases=[(datetime.date(2001, 3, 9),), (datetime.date(1987, 12, 24),)],
    mistakes={
        "The leading zeros are missing: 9 March is 0, 9, 0, 3, so that every date has eight digits.": lambda date: [
            int(character) for part in (date.day, date.month, date.year) for character in str(part)
        ],
        "These are characters, not numbers: '7' in quotes is text; int('7') makes the number.": lambda date: list(
            date.strftime("%d%m%Y")
        ),
        "These are three numbers: day, month and year. Each of their digits is asked for by itself, eight in all.": (
            lambda date: [date.day, date.month, date.year]
        ),
        "The year has lost two digits: %Y writes all four, %y only the last two.": lambda date: [
            int(character) for character in date.strftime("%d%m%y")
        ],
        "The order is year, month, day; asked for are day, month, year.": lambda date: [
            int(character) for character in date.strftime("%Y%m%d")
        ],
    },
    nudge="Every date has eight digits: how is the day written when it is a single one?",
)

turns = Exercise(
    "labels_in_turn",
    answer=labels_in_turn,
    cases=[(12,), (3,), (25,)],
    mistakes={
        "It runs on to 10, 11, 12: there are ten digits, 0 to 9, and after 9 comes 0 again.": lambda n: list(range(n)),
        "It starts at 1: the first digit is 0.": lambda n: [(i + 1) % 10 for i in range(n)],
        "It counts to 8 and starts again; 9 is a digit too.": lambda n: [i % 9 for i in range(n)],
        "There are always ten labels, whatever n is.": lambda n: list(range(10)),
    },
    nudge="What is left of i when the tens are taken away?",
)
