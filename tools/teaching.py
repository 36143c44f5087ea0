"""The teachers' kit, made from the lessons and their checks: `make teaching` writes it to build/teaching/.

    python tools/teaching.py            for every lesson notes, the plans with clock times, a participants' sheet, the quiz bank
    python tools/teaching.py --out X    to another folder

What a lesson says already is taken from it, so that nothing can drift: aims, minutes, predictions, pitfalls, answers. What only a
teacher can say stands in docs/teaching/. `pages` has them as Markdown; what is written is HTML, to be read and printed.
"""

import argparse
import inspect
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import markup
import order
import plans
import quizzes
import reading

import diffusion_tutorial
from diffusion_tutorial import checks

FOLDER = order.ROOT / "docs" / "teaching"
HAND = {"demonstration": "A demonstration", "ask": "Ask the room", "goes_wrong": "What goes wrong in the room"}


def by_hand() -> dict[str, dict[str, str]]:
    """For each lesson what only a teacher can say."""
    return tomllib.loads((FOLDER / "notes.toml").read_text(encoding="utf-8"))


def notes(lesson: reading.Lesson, hand: dict[str, str]) -> str:
    """The notes of one lesson, as Markdown."""
    return (
        "\n\n".join([*_opening(lesson), *(f"## {HAND[key]}\n\n{hand[key].strip()}" for key in HAND), *_rest(lesson)])
        + "\n"
    )


def _opening(lesson: reading.Lesson) -> Iterator[str]:
    first = lesson.sections[0]
    yield f"# Teaching “{lesson.title}”"
    yield f"[Lesson {order.number(lesson.slug)}]({markup.ONLINE}/notebooks/{lesson.stem}.ipynb). {lesson.times}"
    yield from (block.text for block in first.of("paragraph") if block.text.startswith("**You will make**"))
    yield "## Aims"
    yield first.of("list")[0].text


def _rest(lesson: reading.Lesson) -> Iterator[str]:
    yield "## Minutes for each part\n\n" + minutes(lesson)
    yield "## What to leave out when time is short\n\n" + short_of_time(lesson)
    yield "## What they will think"
    yield from _guesses(lesson)
    yield from _pitfalls(lesson)
    yield "## Exercises: what goes wrong, and the answers"
    yield from (exercise(block) for section in lesson.sections for block in section.of("exercise"))
    yield "## The quizzes, with their answers"
    yield from (question(block) for block in lesson.questions)


def minutes(lesson: reading.Lesson) -> str:
    """A table of the parts and what each takes, counted by tools/times.py."""
    rows = ["| part | minutes | figures | exercises | questions |", "| --- | --- | --- | --- | --- |"]
    for section in lesson.sections:
        asked = section.count
        name = ("– " if section.level > 2 else "") + section.heading
        numbers = (number or "" for number in (asked.figures, asked.exercises, asked.questions))
        rows.append(f"| {name} | {max(1, round(asked.minutes))} | " + " | ".join(map(str, numbers)) + " |")
    return "\n".join(rows) + f"\n\nThe cells run for {lesson.seconds} s on two idle cores: start them while you speak."


def short_of_time(lesson: reading.Lesson) -> str:
    """The optional sections and what each saves, and what else need not be done by everybody."""
    optional = [f"- {s.title} ({max(1, round(s.count.minutes))} minutes)" for s in lesson.sections if s.optional]
    asked = sum(s.count.exercises for s in lesson.sections if not s.optional)
    lines = ["Nothing later needs the optional sections:", "", *optional, ""] if optional else []
    lines.append(
        f"The lesson has {asked} {'other ' if optional else ''}exercises of six minutes each. Solve one together, show the rest with "
        "`checks.solution`, and give the quiz as homework."
    )
    return "\n".join(lines)


def _guesses(lesson: reading.Lesson) -> Iterator[str]:
    """Each prediction that the lesson asks for, and the first sentence that follows it."""
    for section in lesson.sections:
        for place, block in enumerate(section.blocks):
            if block.kind == "predict":
                after = next((b.text for b in section.blocks[place + 1 :] if b.kind == "paragraph"), "")
                asks = re.sub(r"\A\*\*.*?\*\*\s*", "", one_line(block.text))
                yield f"- *{section.title}*: {asks}" + (f"\n\n  Then: {reading.sentences(after)[0]}" if after else "")


def _pitfalls(lesson: reading.Lesson) -> Iterator[str]:
    yield from (f"- {one_line(block.text)}" for section in lesson.sections for block in section.of("pitfall"))


def exercise(block: reading.Block) -> str:
    """What the check of an exercise says to each mistake that it knows, and the package's answer."""
    known = checks.EXERCISES[block.exercise]
    said = "\n".join(f"- {sentence}" for sentence in known.mistakes)
    return f"### `{known.name}`\n\n{said}\n\n```python\n{inspect.getsource(known.answer).rstrip()}\n```"


def question(block: reading.Block) -> str:
    """A question, its choices with what is said to each, the right one in bold."""
    lines = [f"**{one_line(block.text)}**", ""]
    for letter, answer in zip("ABCDEF", block.answers):
        text = one_line(answer.text)
        lines.append(f"- {letter}. {f'**{text}**' if answer.right else text} {one_line(answer.feedback)}")
    return "\n".join(lines)


def one_line(text: str) -> str:
    """A paragraph on one line."""
    return " ".join(text.split())


def sheet() -> str:
    """The participants' sheet: docs/teaching/participants.md with the lessons' own tables put in."""
    text = (FOLDER / "participants.md").read_text(encoding="utf-8")
    start = reading.read(order.NOTEBOOKS / order.file("start_here"))
    works = next(s for s in start.sections if s.title == "How does a lesson work?")
    symbols = "\n".join(line for line in (diffusion_tutorial.__doc__ or "").splitlines() if line.startswith("|"))
    filled = {
        "how a lesson works": works.of("table")[0].text,
        "symbols": symbols,
        "repository": order.HOME["repository"],
    }
    return re.sub(r"\{([a-z ]+)\}", lambda match: filled[match[1]], text)


def contents(lessons: list[reading.Lesson], all_plans: list[dict]) -> str:
    """The page that links all others."""
    lines = [
        "# The teachers' kit",
        "",
        "- [A sheet for participants](participants.html)",
        "- The quizzes, for Moodle: `quizzes.xml`",
    ]
    lines += [
        "",
        "## Plans",
        "",
        *(f"- [{plan['title']}](plan_{plan['slug']}.html): {plan['says']}" for plan in all_plans),
    ]
    lines += ["", "## Notes for each lesson", "", *(f"- [{each.title}]({each.stem}.html)" for each in lessons)]
    return "\n".join(lines) + "\n"


def pages(lessons: list[reading.Lesson]) -> dict[str, str]:
    """Every page of the kit as Markdown, by its name."""
    hand, by_slug, all_plans = by_hand(), {lesson.slug: lesson for lesson in lessons}, plans.plans()
    made = {lesson.stem: notes(lesson, hand[lesson.slug]) for lesson in lessons}
    made |= {f"plan_{plan['slug']}": plans.page(plan, by_slug) for plan in all_plans}
    return made | {"participants": sheet(), "index": contents(lessons, all_plans)}


def write(out: Path) -> list[Path]:
    """Write the whole kit into the folder `out`; returns the files."""
    lessons = reading.lessons()
    made = pages(lessons)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        title, body = text.splitlines()[0].removeprefix("# "), markup.rendered(text, link="{stem}.html")
        (out / f"{name}.html").write_text(markup.page(title, body), encoding="utf-8")
    (out / "quizzes.xml").write_text(quizzes.bank(lessons), encoding="utf-8")
    shutil.copyfile(FOLDER / "page.css", out / "page.css")
    return sorted(out.iterdir())


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=order.ROOT / "build" / "teaching")
    out = parser.parse_args().out
    written = write(out)
    markup.vendor(out, "mathjax")
    print(f"{len(written)} files; begin with {out / 'index.html'}")


if __name__ == "__main__":
    main()
