"""How long a lesson takes to learn, by one rule, counted in the notebook itself.

    minutes = words / 150 + lines of idea code / 10 + figures + 6 exercises + quiz questions + the time to run

Words: prose with its inline code and formulas; no code blocks, no link targets, no HTML, and nothing that is folded away
(hints, and a quiz's options and answers). Idea code: lines of the visible cells that are neither blank nor comments; the
stub of an exercise belongs to the exercise. Sections whose heading ends in "(optional)" are counted apart.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field

from nbformat import NotebookNode

FIGURE = re.compile(r"Figure (\d+)\.(\d+)\. ")
FOLDED = "# @title"  # the first line of a cell whose code is folded begins so
GENERATED = r"<!-- (\w+) -->.*?<!-- /\1 -->"


@dataclass
class Count:
    """What a lesson, or its optional sections, ask of a learner."""

    words: int = 0
    lines: int = 0
    figures: int = 0
    exercises: int = 0
    questions: int = 0

    @property
    def minutes(self) -> float:
        """The rule, without the time to run."""
        return self.words / 150 + self.lines / 10 + self.figures + 6 * self.exercises + self.questions


def words(markdown: str) -> int:
    """How many words of prose there are: whatever stands between spaces and holds a letter or a digit."""
    for pattern in (GENERATED, r"<details>.*?</details>", r"```.*?```", r"<[^>]+>", r"\]\([^)]*\)"):
        markdown = re.sub(pattern, " ", markdown, flags=re.S)
    return sum(any(map(str.isalnum, word)) for word in markdown.split())


def idea_lines(code: str) -> int:
    """How many lines of an idea cell are neither blank nor comments; none of a folded cell and of an exercise's stub."""
    if code.startswith(FOLDED) or exercises(code):
        return 0
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in code.splitlines())


def exercises(code: str) -> int:
    """How many exercises a cell hands in."""
    return len(set(re.findall(r"^checks\.(?!solution\b)\w+\(", code, re.M)))


def sections(markdown: str) -> list[str]:
    """The markdown cut before every heading; comments within code blocks are no headings."""
    pieces: list[list[str]] = [[]]
    fenced = False
    for line in markdown.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if not fenced and re.match(r"#+ ", line):
            pieces.append([])
        pieces[-1].append(line)
    return ["".join(piece) for piece in pieces if piece]


@dataclass
class Part:
    """What stands under one heading, up to the next of any level: prose as text, and code cells."""

    title: str = ""
    level: int = 0
    optional: bool = False
    pieces: list[str | NotebookNode] = field(default_factory=list)

    @property
    def count(self) -> Count:
        """What this part asks of a learner."""
        asked = Count()
        for piece in self.pieces:
            if isinstance(piece, str):
                asked.words += words(piece)
                asked.questions += len(re.findall(r"<summary[^>]*>A\. ", piece))
            else:
                asked.lines += idea_lines(piece.source)
                asked.figures += len(set(FIGURE.findall(piece.source)))
                asked.exercises += exercises(piece.source)
        return asked


def parts(notebook: NotebookNode) -> list[Part]:
    """The lesson cut at its headings; what stands below an optional heading is optional, until the next of its level."""
    found = [Part()]
    level = 0  # of the optional section's heading while inside one, else 0
    for cell in notebook.cells:
        for piece in sections(cell.source) if cell.cell_type == "markdown" else [cell]:
            heading = re.match(r"(#+) (.*)", piece) if isinstance(piece, str) else None
            if heading and (not level or len(heading[1]) <= level):
                level = len(heading[1]) if heading[2].rstrip().endswith("(optional)") else 0
            if heading:
                found.append(Part(heading[2].strip(), len(heading[1]), bool(level)))
            found[-1].pieces.append(piece)
    return [part for part in found if part.pieces]


def total(counts: Iterable[Count]) -> Count:
    """The sum, kind by kind."""
    return Count(*map(sum, zip(*(astuple(count) for count in (Count(), *counts)))))


def count(notebook: NotebookNode) -> tuple[Count, Count]:
    """What the lesson asks without its optional sections, and what those ask."""
    cut = parts(notebook)
    return total(p.count for p in cut if not p.optional), total(p.count for p in cut if p.optional)


def learning(notebook: NotebookNode, seconds: float) -> tuple[int, int]:
    """Minutes to learn, the run included, and minutes more for the optional sections; each rounded up to 5."""
    main, optional = count(notebook)
    return _up(main.minutes + seconds / 60), _up(optional.minutes)


def _up(minutes: float) -> int:
    return 5 * math.ceil(minutes / 5)


def sentence(main: int, optional: int) -> str:
    """55 minutes, and 15 more for the optional sections."""
    return f"{main} minutes" + (f", and {optional} more for the optional sections" if optional else "")


def rounded(seconds: float) -> int:
    """A measured time as the lessons state it: rounded up to 5 s, from a minute on to 10 s."""
    grain = 5 if seconds < 60 else 10
    return math.ceil(seconds / grain) * grain
