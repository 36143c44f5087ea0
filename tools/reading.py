"""What stands in a lesson, block by block: prose, equations, boxes, questions, exercises, code and figures.

Teachers' notes, the quiz bank and the slides are made from this, so none of them repeats what a lesson says.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import order
import times
from nbformat import NotebookNode

DETAILS = re.compile(r"<details>\s*<summary[^>]*>(.*?)</summary>(.*?)</details>", re.S)
RIGHT = re.compile(r"(Right|Yes)\b")  # so begins what is said to a right answer, and to no other


@dataclass(frozen=True)
class Answer:
    """One choice of a question, and what is said to whoever takes it."""

    text: str
    feedback: str

    @property
    def right(self) -> bool:
        """Whether this is the right one."""
        return bool(RIGHT.match(self.feedback))


@dataclass(frozen=True)
class Block:
    """A piece of a lesson. kind: heading, paragraph, list, table, equation, fence, predict, pitfall, quote, question, hint,
    or of a cell: figure, exercise, code, setup. text: its Markdown or its source."""

    kind: str
    text: str
    cell: NotebookNode | None = None
    answers: tuple[Answer, ...] = ()

    @property
    def exercise(self) -> str:
        """The name of the exercise that a cell hands in."""
        found = re.search(r"^checks\.(?!solution\b)(\w+)\(", self.text, re.M)
        return found[1] if found else ""


@dataclass(frozen=True)
class Section:
    """What stands under one heading, up to the next of any level, and what it asks of a learner."""

    heading: str
    level: int
    optional: bool
    count: times.Count
    blocks: tuple[Block, ...]

    @property
    def title(self) -> str:
        """The heading without its number and without "(optional)"."""
        return re.sub(r"^\d+ · |\s*\(optional\)$", "", self.heading)

    def of(self, *kinds: str) -> list[Block]:
        """The blocks of these kinds."""
        return [block for block in self.blocks if block.kind in kinds]


@dataclass(frozen=True)
class Lesson:
    """A lesson: its name, its sections in order, and the seconds that it takes to run."""

    slug: str
    sections: tuple[Section, ...]
    seconds: int
    times: str  # the sentence of the first cell

    @property
    def title(self) -> str:
        """Its title, without the number."""
        return order.TITLES[self.slug]

    @property
    def stem(self) -> str:
        """04_dissolve_a_picture."""
        return order.file(self.slug).removesuffix(".ipynb")

    @property
    def chapters(self) -> list[list[Section]]:
        """The sections in groups: the opening, then one group for each heading of level 2."""
        groups: list[list[Section]] = []
        for section in self.sections:
            if section.level == 2 or not groups:
                groups.append([])
            groups[-1].append(section)
        return groups

    @property
    def questions(self) -> list[Block]:
        """Every question, in order."""
        return [block for section in self.sections for block in section.of("question")]


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph, on one line each, however its lines were broken."""
    line = " ".join(text.split())
    return re.split(r"(?:(?<=[.?!])|(?<=[.?!]\*\*)|(?<=[.?!]\)))(?<!al\.)\s+(?=[A-Z“*$`\[(0-9])", line)


def lessons() -> list[Lesson]:
    """All lessons that there are, in reading order."""
    return [read(path) for path in order.lessons()]


def read(path: Path) -> Lesson:
    """The lesson in a notebook."""
    return of(nbformat.read(path, as_version=4), order.slug_of(path))


def of(notebook: NotebookNode, slug: str) -> Lesson:
    """The lesson that this notebook is."""
    found = re.search(r"<!-- times -->\n(.*?)\n<!-- /times -->", notebook.cells[0].source, re.S)
    seconds = re.search(r"\*\*Time to run:\*\* (\d+) s", notebook.cells[0].source)
    return Lesson(
        slug,
        tuple(_sections(notebook)),
        int(seconds[1]) if seconds else 0,
        re.sub(r"\*\*", "", found[1] if found else ""),
    )


def _sections(notebook: NotebookNode) -> Iterator[Section]:
    for part in times.parts(notebook):
        blocks = [b for piece in part.pieces for b in (blocks_of(piece) if isinstance(piece, str) else [cell(piece)])]
        yield Section(part.title, part.level, part.optional, part.count, tuple(_asked(blocks)))


def cell(node: NotebookNode) -> Block:
    """A code cell as a block."""
    source = node.source
    if times.exercises(source):
        kind = "exercise"
    elif times.FIGURE.search(source) or any("image/png" in output.get("data", {}) for output in node.outputs):
        kind = "figure"
    else:
        kind = "setup" if source.startswith(times.FOLDED) else "code"
    return Block(kind, source, cell=node)


def _asked(blocks: list[Block]) -> Iterator[Block]:
    """The blocks, each question as one: the paragraph before the first of its answers, and all of them."""
    waiting: list[Block] = []
    for block in blocks:
        if block.kind != "answer":
            yield from waiting
            waiting = [block]
        elif waiting and block.text == "A":
            waiting = [replace(waiting[0], kind="question", text=question(waiting[0].text), answers=block.answers)]
        elif waiting:
            waiting = [replace(waiting[0], answers=waiting[0].answers + block.answers)]
    yield from waiting


def question(text: str) -> str:
    """A question without its number and its bold type."""
    return re.sub(r"\A\*\*(?:\d+\. )?|\*\*\Z", "", text)


def blocks_of(markdown: str) -> Iterator[Block]:
    """The Markdown cut into blocks; what is generated, and lines of the page alone, left out."""
    text = re.sub(times.GENERATED, "", markdown, flags=re.S)
    text = re.sub(r"^<br>$", "", text, flags=re.M)
    place = 0
    for match in DETAILS.finditer(text):
        yield from _plain(text[place : match.start()])
        place = match.end()
        choice = re.match(r"\s*([A-F])\. (.*)", match[1], re.S)
        if choice:
            yield Block("answer", choice[1], answers=(Answer(choice[2].strip(), match[2].strip()),))
        else:
            yield Block("hint", match[2].strip())
    yield from _plain(text[place:])


def _plain(text: str) -> Iterator[Block]:
    """Markdown without folded parts, cut at its empty lines, code in fences and quotes kept whole."""
    piece: list[str] = []
    fence = equation = False
    for line in [*text.splitlines(), ""]:
        whole = fence or equation
        fence ^= line.startswith("```")
        equation ^= not fence and line.count("$$") % 2 == 1
        begins = not whole and bool(piece) and (_kind(line) != _kind(piece[0])) and _breaks(line, piece[0])
        if (not line.strip() and not whole) or begins:
            if piece:
                yield _block(piece)
            piece = []
        if line.strip() or whole:
            piece.append(line)


def _breaks(line: str, first: str) -> bool:
    """Whether a line begins a block of its own although no empty line stands before it."""
    return bool(line.strip()) and (
        _kind(line) in ("heading", "quote", "list", "equation", "fence")
        or _kind(first) in ("heading", "equation", "fence")
    )


def _kind(line: str) -> str:
    starts = {
        "#+ ": "heading",
        ">": "quote",
        r"[-*] |\d+\. ": "list",
        r"\|": "table",
        r"\$\$": "equation",
        "```": "fence",
    }
    return next((kind for start, kind in starts.items() if re.match(start, line)), "paragraph")


def _block(lines: list[str]) -> Block:
    text, kind = "\n".join(lines), _kind(lines[0])
    if kind == "quote":
        text = re.sub(r"^> ?", "", text, flags=re.M)
        boxes = {r"\*\*Predict": "predict", r"\*\*Pitfall": "pitfall"}
        kind = next((box for start, box in boxes.items() if re.match(start, text)), "quote")
    return Block(kind, text)
