"""Slides: what of a lesson they show and what they leave to the speaker; and in a real browser, that nothing runs over an edge.

The browser part needs Chromium, playwright and npm's packages; skipped, with the reason, where they are not.
"""

import base64
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_browser import CHROMIUM, QUIET, playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import markup  # noqa: E402
import reading  # noqa: E402
import slides  # noqa: E402

LESSONS = reading.lessons()
DECKS = {lesson.slug: [slide for column in slides.deck(lesson) for slide in column] for lesson in LESSONS}
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.slug)
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8) + (2).to_bytes(4, "big") * 2).decode()


def small(*cells):
    """The slides of a lesson that has these cells after its opening."""
    opening = new_markdown_cell(
        "# 0 · Start here\n\nWhy? It is so.\n\n**You will make** it.\n\n**You will learn**\n- to see"
    )
    lesson = reading.of(new_notebook(cells=[opening, *cells]), "start_here")
    return [slide for column in slides.deck(lesson) for slide in column][2:]


def figure(*outputs):
    made = [new_output("display_data", data=data) for data in outputs]
    return new_code_cell('show(f, "Figure 0.1. See.", alt="a")', outputs=made)


PNG = {"image/png": PIXEL, "text/plain": "A < B"}
FILM = {"text/html": '<figure id="film-1"></figure><script>move()</script>'}
CAPTION = {"text/html": '<div style="max-width:46em">Figure 0.1. See it. And more.</div>'}


class TestWhatMakesASlide:
    def test_a_section_begins_with_its_head_and_two_sentences(self):
        (slide,) = small(
            new_markdown_cell("## 1 · Why (optional)\n\nOne is so. Two is so. Three is so.\n\nMore of it.")
        )
        assert slide.heading == "Why" and slide.optional and 'class="tag"' in slide.html()
        assert slide.body == "<p>One is so. Two is so.</p>"
        assert "Three is so." in slide.said[1] and slide.said[2] == "More of it."
        assert slide.said[0] == "*About 1 minutes for this part.*"

    def test_what_leads_on_and_equations_are_shown(self):
        cell = "## 1 · Why\n\nOne. Two.\n\nA long story. Its end is this:\n\n$$a_1 = b$$\n\nSaid only."
        (slide,) = small(new_markdown_cell(cell))
        assert "<p>Its end is this:</p>" in slide.body and r"\[a_1 = b\]" in slide.body
        assert "A long story" not in slide.body and "Said only" not in slide.body and "Said only." in slide.said

    def test_a_moving_figure_moves_and_others_show_their_picture(self):
        still, moving = small(new_markdown_cell("## 1 · Why\n\n"), figure(PNG, CAPTION), figure(PNG, FILM, CAPTION))
        assert 'alt="A &lt; B"' in still.body and "<b>Figure 0.1.</b> See it." in still.body
        assert "move()" in moving.body and "<img" not in moving.body and "stage film" in moving.body

    def test_a_figure_that_was_drawn_again_is_shown_as_it_was_last(self):
        last = PNG | {"text/plain": "last"}
        (slide,) = small(new_markdown_cell("## 1 · Why\n\n"), figure(PNG, CAPTION, last, CAPTION))
        assert 'alt="last"' in slide.body

    def test_cells_that_only_prepare_a_figure_are_for_the_speaker(self):
        (slide,) = small(new_markdown_cell("## 1 · Why\n\n"), new_code_cell("x = 2"), figure(PNG, CAPTION))
        assert slide.kind == "figure" and "```python\nx = 2\n```" in slide.said
        shown = small(new_markdown_cell("## 1 · Why\n\n"), new_code_cell("def f(): ..."), figure(PNG, CAPTION))
        assert [slide.kind for slide in shown] == ["text", "figure"]

    def test_too_much_for_a_slide_goes_on_the_next(self):
        code = new_code_cell("x = 2\n" * 14, outputs=[new_output("stream", name="stdout", text="2\n" * 9)])
        first, second = small(new_markdown_cell("## 1 · Why\n\n"), code)
        assert "printed" not in first.body and "printed" in second.body and first.heading == second.heading == "Why"

    def test_a_question_is_followed_by_its_answer(self):
        quiz = "## Quiz\n\n**1. Why?**\n\n<details><summary>A. So</summary>Right. It is.</details>\n<details><summary>B. 1.</summary>It is not.</details>"
        asks, answers = small(new_markdown_cell(quiz))
        assert "Right" not in asks.body and "right" not in asks.body and "1." in asks.body
        assert '<li class="right">So<p>Right. It is.</p></li>' in answers.body and "It is not." in answers.said[0]


@each_lesson
def test_every_figure_question_and_exercise_of_a_lesson_is_in_its_deck(lesson):
    deck = DECKS[lesson.slug]
    bodies = "\n".join(slide.body for slide in deck)
    drawn = [
        b
        for s in lesson.sections
        for b in s.of("figure")
        if any("image/png" in o.get("data", {}) for o in b.cell.outputs)
    ]
    numbered = {name for block in drawn for name in re.findall(r"Figure \d+\.\d+\.(?= )", block.text)}
    assert len(numbered) >= 5 and all(f"<b>{name}</b>" in bodies for name in numbered)
    kinds = [slide.kind for slide in deck]
    assert kinds.count("quiz") == kinds.count("quiz answered") == len(lesson.questions)
    assert kinds.count("exercise") == sum(len(s.of("exercise")) for s in lesson.sections)
    assert kinds.count("pitfall") == sum(len(s.of("pitfall")) for s in lesson.sections)
    assert bodies.count("<script>") == sum(
        "<script" in output.get("data", {}).get("text/html", "")
        for section in lesson.sections
        for block in section.of("figure")
        for output in block.cell.outputs
    )


@each_lesson
def test_what_is_not_shown_is_said(lesson):
    said = {" ".join(text.split()) for slide in DECKS[lesson.slug] for text in slide.said}
    for section in lesson.sections:
        if section.title != "Read on":
            for block in section.of("paragraph"):
                assert " ".join(block.text.split()) in said or block.text == "**You will learn**", block.text


def test_what_the_pages_need_is_locked():
    """Both packages by their exact version and their hash, and under free licences."""
    package = json.loads((markup.BROWSER / "package.json").read_text())
    lock = json.loads((markup.BROWSER / "package-lock.json").read_text())["packages"]
    assert set(package["dependencies"]) == {name.removeprefix("node_modules/") for name in lock if name}
    for name, version in package["dependencies"].items():
        locked = lock[f"node_modules/{name}"]
        assert locked["version"] == version and locked["integrity"].startswith("sha512-")
        assert locked["license"] in ("MIT", "Apache-2.0")


WALK = """async () => {
  const found = [], total = Reveal.getTotalSlides();
  for (let i = 0; i < total; i++) {
    const slide = Reveal.getCurrentSlide(), body = slide.querySelector(".body");
    await Promise.all([...slide.querySelectorAll("img")].map((image) => image.decode()));
    const edge = slide.querySelector(".slide").getBoundingClientRect();
    const outside = [...body.querySelectorAll("*")].filter((each) => {
      const box = each.getBoundingClientRect();
      return box.width && box.height && (box.bottom > edge.bottom + 1 || box.right > edge.right + 1 || box.top < edge.top - 1 || box.left < edge.left - 1);
    });
    found.push({
      at: i + ": " + slide.querySelector("h2").textContent,
      over: Math.max(body.scrollHeight - body.clientHeight, body.scrollWidth - body.clientWidth),
      outside: outside.length,
      share: +body.dataset.fits,
      letters: Math.min(...[...body.querySelectorAll("p, li, td, pre")].map((each) => parseFloat(getComputedStyle(each).fontSize))),
      height: edge.height,
      empty: !body.innerText.trim() && !body.querySelector("img, canvas"),
    });
    Reveal.next();
  }
  return found;
}"""
SHOWN = ["start_here", "fill_in_the_missing_part"]  # the first, and the one whose slides are fullest


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    """Some decks, written, with what they need beside them."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine; set CHROMIUM to its path")
    if not (markup.BROWSER / "node_modules").is_dir() and not shutil.which("npm"):
        pytest.skip("npm, which brings reveal.js and MathJax, is not on this machine")
    out = tmp_path_factory.mktemp("slides")
    try:
        slides.write(out, [lesson for lesson in LESSONS if lesson.slug in SHOWN])
    except SystemExit:
        pytest.skip("npm cannot fetch reveal.js and MathJax here: no network, and they have not been fetched before")
    return out


@pytest.fixture(scope="module")
def browser(decks):
    with playwright.sync_playwright() as p:
        yield p.chromium.launch(executable_path=CHROMIUM, args=QUIET)


def opened(browser, path):
    """The deck in a window of its own size, ready; whatever it wants from elsewhere is noted."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.wanted, page.wrong = [], []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "about:")) else page.wanted.append(r.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()", timeout=120_000)
    return page


@pytest.mark.parametrize("slug", SHOWN)
def test_no_slide_runs_over_its_edge(slug, decks, browser):
    (path,) = decks.glob(f"*_{slug}.html")
    page = opened(browser, path)
    found = page.evaluate(WALK)
    assert len(found) == len(DECKS[slug])
    for slide in found:
        assert slide["over"] <= 1 and not slide["outside"] and not slide["empty"], slide
        assert slide["share"] >= 0.7 and slide["letters"] >= 14, slide
        assert slide["height"] <= 720
    assert page.locator("mjx-container").count() > 3 or slug == "start_here"
    assert not page.wanted and not page.wrong


def test_a_film_moves_and_the_arrows_on_it_turn_no_page(decks, browser):
    (path,) = decks.glob("*_start_here.html")
    page = opened(browser, path)
    while not page.evaluate("!!Reveal.getCurrentSlide().querySelector('.dt-film')"):
        page.evaluate("Reveal.next()")
    film = page.locator("section.present .dt-film")
    here, before = page.evaluate("Reveal.getIndices()"), film.locator("canvas").evaluate("e => e.toDataURL()")
    film.locator("input").press("End")
    film.locator("input").press("ArrowLeft")
    assert film.locator("canvas").evaluate("e => e.toDataURL()") != before
    assert page.evaluate("Reveal.getIndices()") == here
    assert film.bounding_box()["height"] > 300


def test_a_name_that_is_no_lesson_is_refused_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["slides.py", "nonsense", "--out", str(tmp_path / "x")])
    with pytest.raises(SystemExit, match="no lesson is called nonsense"):
        slides.main()
    assert not (tmp_path / "x").exists()
