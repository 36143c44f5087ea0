"""The teachers' kit says what the lessons say: notes, plans, sheet and quiz bank are compared with the notebooks themselves."""

import html
import inspect
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import markup  # noqa: E402
import order  # noqa: E402
import plans  # noqa: E402
import quizzes  # noqa: E402
import reading  # noqa: E402
import teaching  # noqa: E402
import times  # noqa: E402

LESSONS = reading.lessons()
BY_SLUG = {lesson.slug: lesson for lesson in LESSONS}
PAGES = teaching.pages(LESSONS)
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.slug)


def notebook(lesson):
    return nbformat.read(order.NOTEBOOKS / f"{lesson.stem}.ipynb", as_version=4)


def letters(text: str) -> str:
    """A text without its marks: what two ways of writing it have in common."""
    return re.sub(r"\W", "", html.unescape(re.sub(r"</?[a-z][^>]*>|[\\$]|\\[()\[\]]", "", text)))


class TestReading:
    SOURCE = """\
## 1 · Why? (optional)

One line
and its second.
- a list
- of two

$$a
= b$$

> **Predict, then run.** Which?

> **Pitfall.** Mind $x$.

```
# no heading
```

**2. What is $t$?**

<details><summary style="padding:12px 0">A. A `clock`.</summary>Right. It is.</details>

<details><summary>B. Nothing.</summary>It counts
steps.</details>

<br>

<details><summary>A hint</summary>Look.</details>"""

    def test_a_cell_is_cut_into_its_blocks(self):
        (section,) = reading.of(new_notebook(cells=[new_markdown_cell(self.SOURCE)]), "start_here").sections
        kinds = [block.kind for block in section.blocks]
        assert kinds == "heading paragraph list equation predict pitfall fence question hint".split()
        assert section.title == "Why?" and section.optional
        (question,) = section.of("question")
        assert question.text == "What is $t$?"
        assert [(a.text, a.right) for a in question.answers] == [("A `clock`.", True), ("Nothing.", False)]
        assert question.answers[1].feedback == "It counts\nsteps."

    def test_cells_are_told_apart(self):
        cells = [
            "# @title Set-up\nx = 1",
            'show(f, "Figure 1.1. See.", alt="a")',
            "x = 2",
            "def f(): ...\n\n\nchecks.f(f)",
        ]
        lesson = reading.of(
            new_notebook(cells=[new_code_cell(source) for source in (["# nothing"] + cells)[1:]]), "start_here"
        )
        assert [b.kind for b in lesson.sections[0].blocks] == ["setup", "figure", "code", "exercise"]
        assert lesson.sections[0].of("exercise")[0].exercise == "f"

    @each_lesson
    def test_nothing_of_a_lesson_is_lost(self, lesson):
        prose = "".join(c.source for c in notebook(lesson).cells if c.cell_type == "markdown")
        prose = re.sub(times.GENERATED, "", prose, flags=re.S)
        blocks = [block for section in lesson.sections for block in section.blocks if block.cell is None]
        kept = "".join(block.text + "".join(a.text + a.feedback for a in block.answers) for block in blocks)
        gone = re.sub(r"<summary[^>]*>(?:[A-F]\. |[^<]*)", "", prose)
        assert len(letters(kept)) == pytest.approx(len(letters(gone)), abs=12)  # the numbers of questions

    @each_lesson
    def test_every_question_has_one_right_answer(self, lesson):
        found = len(re.findall(r"<summary[^>]*>A\. ", "".join(cell.source for cell in notebook(lesson).cells)))
        assert found == len(lesson.questions)
        for block in lesson.questions:
            assert sum(answer.right for answer in block.answers) == 1, block.text
            assert len(block.answers) >= 2 and all(answer.feedback for answer in block.answers)


class TestNotes:
    def test_every_lesson_has_what_only_a_teacher_can_say(self):
        hand = teaching.by_hand()
        assert BY_SLUG.keys() <= hand.keys() <= order.TITLES.keys()
        for slug, said in hand.items():
            assert said.keys() == teaching.HAND.keys(), slug
            assert all(25 <= len(text.split()) <= 120 for text in said.values()), slug

    def test_titles_in_it_are_lessons(self):
        """A lesson named in quotes is renamed here when it is renamed there."""
        titles = {re.sub(r"\W", "", title) for title in order.TITLES.values()}
        text = (teaching.FOLDER / "notes.toml").read_text()
        for named in re.findall(r"(?:in|In|open|opens) “([A-Z][^”]+)”", text):
            assert re.sub(r"\W", "", named) in titles, named

    @each_lesson
    def test_the_notes_hold_what_the_lesson_asks(self, lesson):
        text = PAGES[lesson.stem]
        aims = re.findall(r"^- .+", lesson.sections[0].of("list")[0].text, re.M)
        assert len(aims) >= 3 and all(aim in text for aim in aims)
        for section in lesson.sections:
            assert f"{section.heading} | {max(1, round(section.count.minutes))} |" in text
            for block in section.of("exercise"):
                known = teaching.checks.EXERCISES[block.exercise]
                assert all(sentence in text for sentence in known.mistakes)
                assert inspect.getsource(known.answer).strip() in text
        for block in lesson.questions:
            (right,) = (answer for answer in block.answers if answer.right)
            assert f". **{teaching.one_line(right.text)}** {teaching.one_line(right.feedback)}" in text

    @each_lesson
    def test_the_minutes_of_the_parts_are_those_of_the_lesson(self, lesson):
        main, optional = (
            sum(s.count.minutes for s in lesson.sections if s.optional is which) for which in (False, True)
        )
        counted = times.learning(notebook(lesson), lesson.seconds)
        assert counted == (5 * -(-(main + lesson.seconds / 60) // 5), 5 * -(-optional // 5))
        assert times.sentence(*counted) in PAGES[lesson.stem]


class TestPlans:
    DAYS = [(plan, day) for plan in plans.plans() for day in plan["days"]]

    @pytest.mark.parametrize("plan, day", DAYS, ids=[plan["slug"] for plan, _ in DAYS])
    def test_a_day_fits_and_leaves_time_to_breathe(self, plan, day):
        slots = list(plans.slots(day, BY_SLUG))
        assert [slot.begins for slot in slots[1:]] == [slot.ends for slot in slots[:-1]]
        assert slots[0].begins == plans.minutes(day["starts"])
        assert 0 <= plans.minutes(day["ends"]) - slots[-1].ends <= 60
        sitting = 0
        for slot, item in zip(slots, day["items"]):
            sitting = 0 if "pause" in item else sitting + slot.ends - slot.begins
            assert sitting <= 120, slot.what

    def test_the_lessons_come_in_their_order(self):
        for plan in plans.plans():
            taken = [order.number(item["lesson"]) for day in plan["days"] for item in day["items"] if "lesson" in item]
            assert taken == sorted(set(taken))

    def test_the_clock_stands_on_the_page(self):
        plan = next(plan for plan in plans.plans() if plan["slug"] == "half_a_day")
        text = PAGES["plan_half_a_day"]
        for slot in plans.slots(plan["days"][0], BY_SLUG):
            assert f"| {slot.clock} | " in text

    def test_minutes_are_those_of_the_chosen_parts(self):
        lesson = BY_SLUG["dissolve_a_picture"]
        chapters = {chapter[0].title: chapter for chapter in lesson.chapters}
        heads, tasks = plans.chosen(lesson, {"only": ["Can you jump to any step?"]})
        asked = [
            s for title in ("Dissolve a picture", heads[0].title, "Recap") for s in chapters[title] if not s.optional
        ]
        expected = sum(s.count.minutes for s in asked) + lesson.seconds / 60
        assert tasks == ["q_sample"]
        assert plans.length(lesson, heads, tasks) == 5 * -(-expected // 5)
        assert plans.length(lesson, heads, tasks) - plans.length(lesson, heads, []) in (5, 10)

    @pytest.mark.parametrize(
        "item, says", [({"only": ["No such part"]}, "no sections"), ({"exercises": ["heun"]}, "no exercises")]
    )
    def test_what_a_lesson_has_not_is_refused(self, item, says):
        with pytest.raises(ValueError, match=says):
            plans.chosen(BY_SLUG["dissolve_a_picture"], item)


class TestSheet:
    def test_it_has_the_tables_of_the_package_and_of_the_first_lesson(self):
        text = PAGES["participants"]
        assert "| alpha_bar_t " in text and "| **Predict, then run** |" in text and "{" not in text
        assert f"github.com/{order.HOME['repository']} " in text

    def test_it_is_short_enough_for_a_page(self):
        assert len(PAGES["participants"].split()) < 520


class TestQuizBank:
    BANK = ET.fromstring(quizzes.bank(LESSONS))

    def test_every_question_is_there_in_its_lesson(self):
        counts: list[int] = []
        for question in self.BANK:
            if question.get("type") == "category":
                counts.append(0)
            else:
                counts[-1] += 1
        assert counts == [len(lesson.questions) for lesson in LESSONS]
        categories = [q.findtext("category/text") for q in self.BANK if q.get("type") == "category"]
        assert all(c.startswith("$course$/top/") and lesson.title in c for c, lesson in zip(categories, LESSONS))

    def test_answers_and_feedback_are_those_of_the_lesson(self):
        asked = [block for lesson in LESSONS for block in lesson.questions]
        found = [question for question in self.BANK if question.get("type") == "multichoice"]
        assert len(asked) == len(found)
        for block, question in zip(asked, found):
            answers = question.findall("answer")
            assert [answer.get("fraction") == "100" for answer in answers] == [a.right for a in block.answers]
            for answer, given in zip(answers, block.answers):
                assert letters(answer.findtext("text")) == letters(given.text)
                assert letters(answer.findtext("feedback/text")) == letters(given.feedback)
            assert letters(question.findtext("questiontext/text")) == letters(block.text)

    def test_it_keeps_the_rules_of_the_format(self):
        """docs.moodle.org, "Moodle XML format": what a multiple-choice question has, and which values it may have."""
        assert self.BANK.tag == "quiz"
        names = []
        for question in self.BANK.iterfind("question[@type='multichoice']"):
            names.append(question.findtext("name/text"))
            assert question.find("questiontext").get("format") == "html"
            assert question.findtext("single") == "true" and question.findtext("answernumbering") == "ABCD"
            fractions = [answer.get("fraction") for answer in question.findall("answer")]
            assert sorted(fractions) == ["0"] * (len(fractions) - 1) + ["100"]
            assert len({answer.findtext("text") for answer in question.findall("answer")}) == len(fractions)
        assert len(set(names)) == len(names) and all(len(name) < 255 for name in names)

    def test_formulas_are_as_platforms_want_them(self):
        texts = [text.text or "" for text in self.BANK.iter("text")]
        formulas = [text for text in texts if r"\(" in text]
        assert len(formulas) > 20 and any(r"\(x_{300}\)" in text for text in formulas)
        for text in texts:
            assert "$" not in re.sub(r"<code.*?</code>|^\$course\$", "", text)
            assert text.count(r"\(") == text.count(r"\)")

    def test_no_link_of_it_needs_the_notebooks_beside_it(self):
        links = [link for text in self.BANK.iter("text") for link in re.findall(r'href="([^"]+)"', text.text or "")]
        assert links and all(link.startswith("https://") for link in links)


class TestMarkup:
    def test_formulas_are_found_outside_of_code(self):
        assert markup.rendered("$x < 1$ costs `$a$`") == r"<p>\(x &lt; 1\) costs <code>$a$</code></p>"
        assert r"\[a_1" in markup.rendered("$$a_1\n= b$$")

    def test_links_lead_to_pages_or_to_the_repository(self):
        link = "[it](04_dissolve_a_picture.ipynb) and [words](../docs/glossary.md)"
        there = markup.rendered(link, link="{stem}.html")
        assert 'href="04_dissolve_a_picture.html"' in there and f'href="{markup.ONLINE}/docs/glossary.md"' in there
        assert f'href="{markup.ONLINE}/notebooks/04_dissolve_a_picture.ipynb"' in markup.rendered(link)


def test_the_kit_is_written(tmp_path):
    try:
        written = teaching.write(tmp_path / "kit")
    except SystemExit as why:  # MathJax comes by npm, once
        pytest.skip(str(why))
    names = {path.name for path in written}
    assert {"index.html", "participants.html", "plan_two_days.html", "quizzes.xml", "page.css"} <= names
    assert {f"{lesson.stem}.html" for lesson in LESSONS} <= names
    index = (tmp_path / "kit" / "index.html").read_text()
    assert all((tmp_path / "kit" / link).is_file() for link in re.findall(r'href="([\w.]+)"', index))
