"""Exercises of lesson 00, Start here: how an exercise works."""

import datetime

from diffusion_tutorial.checks.core import Exercise


def digits_of(date: datetime.date) -> list[int]:
    """Day, month and year as eight digits."""
    return [int(character) for character in date.strftime("%d%m%Y")]


def seeds_that_differ() -> tuple[int, int]:
    """Any two different whole numbers."""
    return 7, 8


class _TwoSeeds(Exercise):
    """Any two different seeds are right, so there is no one answer to compare with."""

    def _same(self, got: list, expected: list) -> bool:
        def kind(value: object) -> str:
            two = isinstance(value, tuple | list) and len(value) == 2 and all(type(x) is int for x in value)
            return "other" if not two else "same" if value[0] == value[1] else "differ"

        return kind(got[0]) == kind(expected[0]) != "other"


seeds = _TwoSeeds(
    "seeds_that_differ",
    answer=seeds_that_differ,
    cases=[()],
    mistakes={"Both seeds are the same, and the same seed gives the same picture.": lambda: (7, 7)},
    hint="Return two whole numbers with a comma between them.",
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
        "The order is year, month, day; asked for are day, month, year.": lambda date: [
            int(character) for character in date.strftime("%Y%m%d")
        ],
    },
    hint="date.strftime('%d%m%Y') is a text of eight characters to go through.",
)
