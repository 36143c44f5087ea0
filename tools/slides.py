"""Slides of the lessons, made from the notebooks as they were saved: `make slides` writes them to build/slides/.

    python tools/slides.py                       all lessons
    python tools/slides.py 04 why_not_one_jump   two of them, by number or by name

Which parts of a lesson make a slide follows from the lesson: the head of a section with its first sentences, its equations, lists and
tables; predictions, then what came out; figures with their captions, and those that move keep moving; short code with what it printed;
exercises; a question, and on the next slide its answer. All else that is said goes into the speaker's notes, with the minutes of the
part. A section is a column: the right arrow goes on to the next, the space bar visits every slide. Nothing is fetched.
"""

import argparse
import base64
import html
import inspect
import math
import re
import shutil
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import markup
import order
import reading
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from reading import Block, Lesson, Section

from diffusion_tutorial import checks

ROOM = 12.0  # lines that a slide bears
WIDE, CODE = 78, 92  # characters of a line, and of a line of code
FILES = ("deck.css", "deck.js")
LINK = "{stem}.html"


@dataclass
class Slide:
    """One slide: its class, its heading, its body as HTML, and what the speaker says, as Markdown."""

    kind: str
    heading: str
    body: str = ""
    said: list[str] = field(default_factory=list)
    optional: bool = False

    def html(self) -> str:
        """The slide as reveal.js wants it."""
        tag = ' <small class="tag">optional</small>' if self.optional else ""
        notes = "\n".join(markup.rendered(each, LINK) for each in self.said)
        return (
            f'<section class="{self.kind}">\n<div class="slide">\n<h2>{markup.inline(self.heading, LINK)}{tag}</h2>\n'
            f'<div class="body">\n{self.body}\n</div>\n</div>\n<aside class="notes">\n{notes}\n</aside>\n</section>'
        )


class Stack:
    """The slides of a section as they come: prose is gathered until something else asks for a slide of its own."""

    def __init__(self, section: Section, chapter: str):
        self.section, self.chapter, self.slides = section, chapter, list[Slide]()
        self.shown: list[tuple[str, float]] = []  # HTML, and how many lines of a slide it takes
        self.said: list[str] = [f"*About {max(1, round(section.count.minutes))} minutes for this part.*"]

    def show(self, body: str, lines: float, *said: str) -> None:
        """Put something on the slide that is being filled, or on a new one if there is no room."""
        if self.shown and sum(n for _, n in self.shown) + lines > ROOM:
            self.flush()
        self.shown.append((body, lines))
        self.said += said

    def flush(self) -> None:
        """Close the slide that is being filled; what is only said goes to the slide before."""
        if self.shown:
            few = all(body.startswith("<p>") for body, _ in self.shown)
            self.add("lead" if few else "text", "\n".join(body for body, _ in self.shown))
        elif self.slides:
            self.slides[-1].said += self.said
            self.said = []
        self.shown = []

    def add(self, kind: str, body: str, *said: str) -> None:
        """A slide of its own, with what has been said since the last one; what follows an exercise belongs to the chapter."""
        solved = any(slide.kind == "exercise" for slide in self.slides)
        heading = self.chapter if solved else self.section.title
        self.slides.append(Slide(kind, heading, body, [*self.said, *said], self.section.optional))
        self.said = []


def deck(lesson: Lesson) -> list[list[Slide]]:
    """The slides of a lesson, in columns: the opening, then one column for each section."""
    columns = [[title(lesson)]]
    for chapter in lesson.chapters:
        if chapter[0].title == "Read on":
            continue
        slides = [slide for section in chapter for slide in of_section(section, chapter[0].title)]
        if chapter is lesson.chapters[0]:
            columns[0] += slides
        elif slides:
            columns.append(slides)
    return columns


def title(lesson: Lesson) -> Slide:
    """The first slide: the title and the sentences that open the lesson."""
    first = lesson.sections[0]
    said = [
        block.text for block in first.blocks[: first.blocks.index(first.of("list")[0])] if block.kind == "paragraph"
    ]
    body = "".join(f"<p>{markup.inline(sentence, LINK)}</p>" for sentence in reading.sentences(said[0])[:3])
    return Slide("title", lesson.title, body, [*said, lesson.times])


def of_section(section: Section, chapter: str) -> list[Slide]:
    """The slides of one section; what opens a lesson has the list of its aims first."""
    stack = Stack(section, chapter)
    blocks = [block for block in section.blocks if block.kind not in ("heading", "setup")]
    if section.level == 1:
        blocks = blocks[blocks.index(section.of("list")[0]) :]
    for place, block in enumerate(blocks):
        following = blocks[place + 1].kind if place + 1 < len(blocks) else ""
        if following == "figure" and prepares(block):
            stack.said.append(f"```python\n{block.text}\n```")
        else:
            draw(stack, block, opens=not place)
        if section.level == 1 and not place:
            stack.flush()
            stack.slides[0].heading = "You will learn"
    stack.flush()
    return stack.slides


def prepares(block: Block) -> bool:
    """Whether a cell only makes what the next figure shows: a few lines that define and print nothing."""
    if block.kind != "code" or re.search(r"^(def|class) ", block.text, re.M):
        return False
    return len(block.text.splitlines()) <= 6 and not block.cell.outputs  # type: ignore[union-attr]


def draw(stack: Stack, block: Block, opens: bool) -> None:
    """Put a block where it belongs. opens: it is the first of its section."""
    kind, text = block.kind, block.text
    if kind == "paragraph":
        stack.said.append(text)
        if short := shortened(text, opens):
            stack.show(f"<p>{markup.inline(short, LINK)}</p>", lines_of(short))
    elif kind == "equation":
        stack.show(f'<div class="equation">{markup.rendered(text, LINK)}</div>', 2.2 + 1.2 * text.count(r"\\"))
    elif kind == "list":
        short = "\n".join(shortened_item(item) for item in re.split(r"\n(?=[-*] |\d+\. )", text))
        stack.show(
            f'<div class="list">{markup.rendered(short, LINK)}</div>', sum(map(lines_of, short.splitlines())), text
        )
    elif kind == "table":
        rows = text.splitlines()
        stack.show(markup.rendered(text, LINK), sum(math.ceil(len(row) / 110) for row in rows))
    elif kind == "fence":
        stack.show(markup.rendered(text, LINK), rows_of(text))
    elif kind == "hint":
        stack.said.append(f"**A hint.** {text}")
    elif kind in ("predict", "pitfall", "quote"):
        stack.flush()
        stack.add(kind, *box(block))
    elif kind == "question":
        stack.flush()
        stack.slides += asked(block, stack.section)
    elif kind == "code":
        code(stack, block)
    elif kind == "figure":
        stack.flush()
        for body, said in figures(block):
            stack.add("figure", body, *said)
    elif kind == "exercise":
        exercise(stack, block)


def shortened(text: str, opens: bool) -> str:
    """What a slide shows of a paragraph: of the first one its first two sentences, of others the one that leads on by a colon."""
    sentences = reading.sentences(text)
    if opens:
        short = " ".join(sentences[:2])
        return short if len(short.split()) <= 45 else sentences[0]
    return sentences[-1] if sentences[-1].endswith(":") else ""


def shortened_item(item: str) -> str:
    """The first sentence of an item of a list, or of what follows its bold words."""
    sentences = reading.sentences(item)
    name = re.match(r"(?:[-*]|\d+\.) \*\*[^*]+\*\*$", sentences[0])
    if re.fullmatch(r"\d+\.", sentences[0]) or name and len(sentences) > 1:
        return " ".join(sentences[:2])
    return sentences[0]


def lines_of(markdown: str) -> float:
    """How many lines of a slide a sentence takes, with the space after it."""
    plain = re.sub(r"\]\([^)]*\)|\\[a-z]+|[${}*`]", "", markdown)
    return math.ceil(len(plain) / WIDE) + 0.3


def box(block: Block) -> tuple[str, str]:
    """A prediction, a pitfall or what somebody says as a slide: at most three sentences, and the whole to say."""
    named = re.match(r"\*\*(.*?)\.?\*\*\s*(.*)", block.text, re.S)
    name, rest = named.groups() if named else ("Somebody asks", block.text)
    most = 4 if block.kind == "predict" else 3
    body = "".join(f"<p>{markup.inline(sentence, LINK)}</p>" for sentence in reading.sentences(rest)[:most])
    return f'<p class="label">{html.escape(name)}</p>\n{body}', block.text


def code(stack: Stack, block: Block) -> None:
    """Code and what it printed: on the slide that is being filled if there is room, each on its own if there is little."""
    printed = "".join(output.text for output in block.cell.outputs if output.output_type == "stream")  # type: ignore[union-attr]
    stack.show(highlighted(block.text), rows_of(block.text))
    if printed.strip():
        stack.show(f'<pre class="printed">{html.escape(printed.rstrip())}</pre>', min(rows_of(printed), ROOM))


def rows_of(text: str) -> float:
    """How many lines of a slide code takes, long lines wrapped, with the space after it."""
    lines = re.sub(r"\n{3,}", "\n\n", text.rstrip()).splitlines()
    return 0.67 * sum(max(1, math.ceil(len(line) / CODE)) for line in lines) + 0.7


def highlighted(source: str) -> str:
    """Python in colours, without its wide gaps."""
    return highlight(re.sub(r"\n{3,}", "\n\n", source), PythonLexer(), HtmlFormatter(cssclass="code"))


def figures(block: Block) -> Iterator[tuple[str, list[str]]]:
    """The figures of a cell, each as HTML and what is to be said: what moves, or else its picture; then the caption.

    A figure that was drawn again and again under one caption is shown as it was last.
    """
    found: dict[str, tuple[str, str]] = {}
    picture = moves = tall = ""
    for output in block.cell.outputs:  # type: ignore[union-attr]
        data = output.get("data", {})
        text = data.get("text/html", "")
        if "image/png" in data:
            width = output.metadata.get("image/png", {}).get("width", 640)
            alt = html.escape(data.get("text/plain", ""))
            source = data["image/png"].replace("\n", "")
            tall = _tall(*struct.unpack(">II", base64.b64decode(source)[16:24]))
            picture = f'<img src="data:image/png;base64,{source}" alt="{alt}" style="--wide: {width}">'
        elif "<script" in text:
            moves, size = text, re.search(r'width=\\"(\d+)\\" height=\\"(\d+)\\"', text)
            tall = _tall(*map(int, size.groups())) if size else ""
        elif "max-width:46em" in text:
            caption = " ".join(re.sub(r"<[^>]+>", "", text).split())
            found[caption] = (moves or picture, f"{'film' if moves else 'picture'}{tall}")
            picture = moves = tall = ""
    for caption, (body, kind) in found.items():
        if body:
            short = " ".join(reading.sentences(caption)[:4])
            name, _, rest = short.partition(". ")
            stage = f'<div class="stage {kind}">{body}</div>'
            yield f'{stage}\n<p class="caption"><b>{name}.</b> {rest}</p>', [html.unescape(caption)]


def _tall(width: int, height: int) -> str:
    """A class for what is better shown beside its caption than above it."""
    return " tall" if height > 0.72 * width else ""


def exercise(stack: Stack, block: Block) -> None:
    """An exercise: what is asked, the stub, and to say the mistakes that the check knows by name, and an answer."""
    asks = [text for text in stack.said if not text.startswith("*About")]
    short = [sentence for text in asks for sentence in reading.sentences(text)][:3]
    stack.shown = []
    known = checks.EXERCISES[block.exercise]
    body = "".join(f"<p>{markup.inline(sentence, LINK)}</p>" for sentence in short) + highlighted(block.text)
    stack.add(
        "exercise",
        body,
        "**What the check knows by name:**",
        "\n".join(f"- {sentence}" for sentence in known.mistakes),
        f"**An answer:**\n\n```python\n{inspect.getsource(known.answer).rstrip()}\n```",
    )


def asked(block: Block, section: Section) -> list[Slide]:
    """A question, and on the next slide the same with its answer; what is said to the wrong ones is for the speaker."""
    question = f'<p class="asks">{markup.inline(block.text, LINK)}</p>'
    open_, shut = [], []
    for answer in block.answers:
        text = markup.inline(answer.text, LINK)
        open_.append(f"<li>{text}</li>")
        shut.append(
            f'<li class="right">{text}<p>{markup.inline(answer.feedback, LINK)}</p></li>'
            if answer.right
            else f"<li>{text}</li>"
        )
    wrong = "\n".join(
        f"- “{' '.join(a.text.split())}” {' '.join(a.feedback.split())}" for a in block.answers if not a.right
    )
    head = "Check your understanding"
    return [
        Slide(
            "quiz",
            head,
            f"{question}<ol>{''.join(open_)}</ol>",
            ["Let everybody choose before you go on."],
            section.optional,
        ),
        Slide("quiz answered", head, f"{question}<ol>{''.join(shut)}</ol>", [wrong], section.optional),
    ]


def page(lesson: Lesson) -> str:
    """The deck of a lesson as a page."""
    columns = "\n".join(
        "<section>\n" + "\n".join(slide.html() for slide in column) + "\n</section>" for column in deck(lesson)
    )
    return (
        (BROWSER / "deck.html")
        .read_text(encoding="utf-8")
        .replace("{title}", html.escape(lesson.title))
        .replace("{style}", HtmlFormatter(style="default").get_style_defs(".code"))
        .replace("{slides}", columns)
    )


BROWSER = markup.BROWSER


def write(out: Path, lessons: list[Lesson]) -> list[Path]:
    """Write the decks of these lessons, and a page that links all that are there, into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(BROWSER / name, out / name)
    shutil.copyfile(order.ROOT / "docs" / "teaching" / "page.css", out / "page.css")
    written = []
    for lesson in lessons:
        written.append(out / f"{lesson.stem}.html")
        written[-1].write_text(page(lesson), encoding="utf-8")
    there = [
        stem
        for stem in map(lambda slug: order.file(slug).removesuffix(".ipynb"), order.SLUGS)
        if (out / f"{stem}.html").exists()
    ]
    links = "\n".join(f"- [{order.TITLES[stem[3:]]}]({stem}.ipynb)" for stem in there)
    (out / "index.html").write_text(
        markup.page("Slides", markup.rendered(f"# Slides\n\n{links}\n\n{KEYS}", LINK)), encoding="utf-8"
    )
    markup.vendor(out, "reveal", "mathjax")
    return written


KEYS = """\
The space bar visits every slide; the right arrow skips to the next section. S opens the speaker's notes in a window of their own, O
the overview, F the full screen. To print, add `?print-pdf` to the address and print from the browser."""


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("lessons", nargs="*", help="number or name of a lesson; default: all")
    parser.add_argument("--out", type=Path, default=order.ROOT / "build" / "slides")
    options = parser.parse_args()
    paths = order.lessons(options.lessons)
    if not paths:
        sys.exit(
            f"no lesson is called {' or '.join(options.lessons)}; their numbers are 00 to {len(order.SLUGS) - 1:02d}"
        )
    written = write(options.out, [reading.read(path) for path in paths])
    print(f"{len(written)} decks; begin with {options.out / 'index.html'}")


if __name__ == "__main__":
    main()
