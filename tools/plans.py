"""Plans for a room: which lessons and sections of docs/teaching/plans.toml fit into a day, and at what time each begins."""

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import order
import reading
import times

SOURCE = order.ROOT / "docs" / "teaching" / "plans.toml"
GRAIN = 5  # minutes: what a lesson takes is rounded up to it


@dataclass(frozen=True)
class Slot:
    """A stretch of a day: minutes after midnight at which it begins and ends, and what happens."""

    begins: int
    ends: int
    what: str
    lesson: reading.Lesson | None = None
    exercises: tuple[str, ...] = ()

    @property
    def clock(self) -> str:
        """09:05 to 09:30."""
        return f"{self.begins // 60:02d}:{self.begins % 60:02d} to {self.ends // 60:02d}:{self.ends % 60:02d}"


def plans() -> list[dict[str, Any]]:
    """The plans as they are written."""
    return tomllib.loads(SOURCE.read_text(encoding="utf-8"))["plans"]


def slots(day: dict[str, Any], lessons: dict[str, reading.Lesson]) -> Iterator[Slot]:
    """The day from its start on, one stretch after the other."""
    now = minutes(day["starts"])
    for item in day["items"]:
        if "lesson" in item:
            lesson = lessons[item["lesson"]]
            taken, tasks = chosen(lesson, item)
            slot = Slot(
                now, now + length(lesson, taken, tasks), "; ".join(s.title for s in taken), lesson, tuple(tasks)
            )
        else:
            slot = Slot(now, now + item.get("talk", 0) + item.get("pause", 0), item["what"])
        yield slot
        now = slot.ends


def minutes(clock: str) -> int:
    """Minutes after midnight of a time such as 09:30."""
    time = datetime.strptime(clock, "%H:%M")
    return 60 * time.hour + time.minute


def chosen(lesson: reading.Lesson, item: dict[str, Any]) -> tuple[list[reading.Section], list[str]]:
    """The sections that a plan takes of a lesson, by their heads, and the exercises that the room solves in them.

    An error names a section or an exercise that the lesson does not have, or no longer has.
    """
    heads = {chapter[0].title: chapter for chapter in lesson.chapters if chapter[0].level == 2}
    only = item.get(
        "only", [title for title, chapter in heads.items() if not (chapter[0].optional or _closes(chapter[0]))]
    )
    if unknown := set(only) - set(heads):
        raise ValueError(f"{lesson.slug} has no sections {sorted(unknown)}; it has: {', '.join(heads)}")
    taken = [section for title in only for section in heads[title] if not section.optional]
    there = [block.exercise for section in taken for block in section.of("exercise")]
    tasks = item.get("exercises", there)
    if unknown := set(tasks) - set(there):
        raise ValueError(
            f"these sections of {lesson.slug} have no exercises {sorted(unknown)}; they have: {', '.join(there)}"
        )
    quiz = [heads[title][0] for title in heads if "quiz" in title.lower()] if item.get("quiz") else []
    return [heads[title][0] for title in only] + quiz, tasks


def _closes(section: reading.Section) -> bool:
    return section.title in ("Recap", "Read on") or "quiz" in section.title.lower()


def length(lesson: reading.Lesson, heads: list[reading.Section], tasks: list[str]) -> int:
    """Minutes of these sections with their opening, the recap and the run, rounded up; exercises that are only shown are free."""
    titles = {section.title for section in heads} | {"Recap"}
    taken = [c for c in lesson.chapters if c[0].level < 2 or c[0].title in titles]
    asked = times.total(section.count for chapter in taken for section in chapter if not section.optional)
    total = replace(asked, exercises=len(tasks)).minutes + lesson.seconds / 60
    return GRAIN * math.ceil(total / GRAIN)


def page(plan: dict[str, Any], lessons: dict[str, reading.Lesson]) -> str:
    """The plan as Markdown, with clock times."""
    lines = [f"# {plan['title']}", "", plan["says"]]
    for number, day in enumerate(plan["days"], 1):
        lines += [
            "",
            f"## Day {number}" if len(plan["days"]) > 1 else "## The day",
            "",
            "| time | what | the room solves |",
        ]
        lines += ["| --- | --- | --- |"]
        for slot in slots(day, lessons):
            what = (
                f"[{slot.lesson.title}]({slot.lesson.stem}.ipynb): {slot.what}" if slot.lesson else f"**{slot.what}**"
            )
            tasks = ", ".join(f"`{name}`" for name in slot.exercises)
            lines.append(f"| {slot.clock} | {what} | {tasks} |")
        lines.append(f"\n{_spare(day, slot)}")
    lines += ["", ABOUT]
    return "\n".join(lines) + "\n"


def _spare(day: dict[str, Any], last: Slot) -> str:
    left = minutes(day["ends"]) - last.ends
    return f"The day ends at {day['ends']}" + (f", with {left} minutes in hand." if left else ".")


ABOUT = """\
Each lesson is taken with its opening and its recap. Its minutes are counted from the lesson, by the rule in CONTRIBUTING.md, with the
exercises of the last column; others are shown from the front. Optional sections are left out. People who are new to all of it
take half as much again: then drop the last lesson of each half-day and not a break."""
