"""What tools/ generates in a lesson: numbers, links, times, folding and the set-up cell."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import generated  # noqa: E402
import order  # noqa: E402
import times  # noqa: E402

START, DISSOLVE = order.file("start_here"), order.file("dissolve_a_picture")  # the tests hold in any order


class TestOrder:
    def test_a_number_is_the_place_in_the_order(self):
        assert [order.number(slug) for slug in order.SLUGS] == list(range(len(order.SLUGS)))
        assert START == f"{order.SLUGS.index('start_here'):02d}_start_here.ipynb"
        assert len(set(order.TITLES.values())) == len(order.SLUGS) == len(set(order.SLUGS))

    def test_files_are_renamed_when_the_order_changes(self, tmp_path):
        right = order.file("why_not_one_jump")
        for name in ("97_start_here.ipynb", "98_dissolve_a_picture.ipynb", right):
            (tmp_path / name).write_text(name)
        renamed = order.renumber(tmp_path)
        assert renamed == [("97_start_here.ipynb", START), ("98_dissolve_a_picture.ipynb", DISSOLVE)]
        now = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert now == {START: "97_start_here.ipynb", DISSOLVE: "98_dissolve_a_picture.ipynb", right: right}
        assert order.renumber(tmp_path) == []

    def test_a_lesson_outside_the_order_is_refused(self, tmp_path):
        (tmp_path / "03_unheard_of.ipynb").write_text("")
        with pytest.raises(ValueError, match="add 'unheard_of' to"):
            order.renumber(tmp_path)

    def test_links_follow(self):
        old = 'see [it](98_dissolve_a_picture.ipynb), <a href="97_start_here.ipynb">this</a> and [that](96_other.ipynb)'
        new = f'see [it]({DISSOLVE}), <a href="{START}">this</a> and [that](96_other.ipynb)'
        assert order.relinked(old) == new == order.relinked(new)

    def test_the_first_lesson_has_none_before_and_the_last_none_after(self):
        first, *_, last = order.lessons()
        assert "←" not in order.neighbours(first) and "→" in order.neighbours(first)
        assert "←" in order.neighbours(last) and "→" not in order.neighbours(last)


class TestNumbersAndLinks:
    def test_figures_take_the_number_of_their_lesson(self):
        assert generated.figures('"Figure 3.2. What to see" and Figures\n3.13, 3.2 and 3.14', 7) == (
            '"Figure 7.2. What to see" and Figures\n7.13, 7.2 and 7.14'
        )
        assert generated.figures("2.5 times, Figure 10.11 at 0.5", 3) == "2.5 times, Figure 3.11 at 0.5"

    def test_a_figure_of_another_lesson_is_a_link_and_takes_its_number(self):
        link, html = f"[Figure 3.4]({DISSOLVE})", f'<a href="{DISSOLVE}">Figure 1.4</a>'
        there = f"Figure {order.number('dissolve_a_picture')}.4"
        assert generated.figures(f"Figure 1.1, {link}, {html}, [Figure 1.2](a.png)", 99) == (
            f'Figure 99.1, [{there}]({DISSOLVE}), <a href="{DISSOLVE}">{there}</a>, [Figure 99.2](a.png)'
        )

    def test_papers_are_linked_once(self):
        linked = generated.papers("Ho, *DDPM*, arXiv\n  2006.11239: and arXiv 1503.03585.")
        assert linked == (
            "Ho, *DDPM*, [arXiv 2006.11239](https://arxiv.org/abs/2006.11239): "
            "and [arXiv 1503.03585](https://arxiv.org/abs/1503.03585)."
        )
        assert generated.papers(linked) == linked

    def test_saved_outputs_and_widgets_follow(self):
        html, text = "<figcaption>Figure 1.2. See.</figcaption>", "Figure 1.2"
        page = new_output("display_data", {"text/html": html, "image/png": "Figure 1.2"})
        cell = new_code_cell("show()", outputs=[page, new_output("stream", text=text)])
        notebook = new_notebook(cells=[cell])
        notebook.metadata.widgets = {"state": {"state": {"one": {"state": {"value": html, "max": 9}}}}}
        generated.in_outputs(notebook, lambda said: generated.figures(said, 4))
        assert cell.outputs[0].data == {"text/html": html.replace("1.2", "4.2"), "image/png": "Figure 1.2"}
        assert cell.outputs[1].text == "Figure 4.2"
        assert notebook.metadata.widgets["state"]["state"]["one"]["state"] == {
            "value": html.replace("1.2", "4.2"),
            "max": 9,
        }


class TestTimes:
    def test_prose_counts_and_what_is_folded_away_does_not(self):
        assert times.words("Two words, `one_name` and $x + y$.") == 6  # + is no word
        assert times.words("[three words here](04_dissolve_a_picture.ipynb) <br>") == 3
        assert times.words("<details><summary>A. No</summary>Because\nnot.</details> yes") == 1
        assert times.words("```\nmake lab\n```\n\nyes <!-- badges -->\nmany words\n<!-- /badges -->") == 1

    def test_only_the_idea_is_read_line_by_line(self):
        idea = "# the step\nx = 1\n\ny = 2  # why\n"
        assert times.idea_lines(idea) == 2
        assert times.idea_lines("# @title Draws a figure\n" + idea) == 0
        stub = "def f():\n    raise NotImplementedError\n\n\nchecks.f(f)"
        assert times.idea_lines(stub) == 0 and times.exercises(stub) == 1
        assert times.exercises('checks.solution("f")') == 0

    def notebook(self, heading: str):
        question = "**1. Why?**\n\n<details><summary>A. So</summary>No.</details>\n<details><summary>B. Thus</summary>Yes.</details>"
        return new_notebook(
            cells=[
                new_markdown_cell("# A title\n\n" + "word " * 298),  # with "A title" 300 words: 2 minutes
                new_code_cell("a = 1\n" * 20),  # 2 minutes
                new_code_cell('# @title Draws it\nshow(figure, "Figure 4.1. See.", alt="a")'),  # 1
                new_markdown_cell(f"## {heading}\n\n### Exercise: try"),
                new_code_cell("def f(): ...\n\n\nchecks.f(f)"),  # 6
                new_markdown_cell(f"## Check your understanding\n\n{question}"),  # 1
            ]
        )

    def test_the_rule(self):
        main, optional = times.count(self.notebook("One more"))
        assert optional == times.Count()
        assert (main.lines, main.figures, main.exercises, main.questions) == (20, 1, 1, 1)
        assert main.minutes == pytest.approx(main.words / 150 + 2 + 1 + 6 + 1)
        assert main.words == 300 + 2 + 2 + 3 + 2
        assert times.learning(self.notebook("One more"), 60) == (15, 0)
        assert times.sentence(15, 0) == "15 minutes"

    def test_optional_sections_are_counted_apart_until_the_next_of_their_level(self):
        main, optional = times.count(self.notebook("One more (optional)"))
        assert (optional.exercises, main.exercises, main.questions) == (1, 0, 1)
        assert times.learning(self.notebook("One more (optional)"), 0) == (10, 10)
        assert times.sentence(55, 15) == "55 minutes, and 15 more for the optional sections"

    def test_a_measured_time_is_rounded_up(self):
        assert [times.rounded(s) for s in (0.2, 5, 41, 59.9, 61)] == [5, 5, 45, 60, 70]


class TestFolding:
    def test_a_titled_cell_is_folded_and_others_are_not(self):
        cell = new_code_cell("# @title Draws a figure\nshow()", metadata={"tags": ["nbval-check-output"], "x": 1})
        folded = {
            "cellView": "form",
            "jupyter": {"source_hidden": True},
            "tags": ["nbval-check-output", "hide-input"],
        }
        assert generated.metadata(cell) == folded
        cell.metadata = generated.metadata(cell)
        assert generated.metadata(cell) == folded
        cell.source = "show()"
        assert generated.metadata(cell) == {"tags": ["nbval-check-output"]}
        assert generated.metadata(new_markdown_cell("# @title no code")) == {}


class TestSetUp:
    def test_its_lines_are_short(self):
        assert max(map(len, generated.SETUP.splitlines())) <= 100
        assert generated.SETUP.startswith("# @title Set-up: run me once\n")

    def test_on_colab_it_fetches_the_package_and_what_colab_lacks(self, monkeypatch):
        asked = []
        shell = SimpleNamespace(run_line_magic=lambda *line: asked.append(line))
        exec(generated.SETUP, {"get_ipython": lambda: shell})
        assert asked == []
        monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
        exec(generated.SETUP, {"get_ipython": lambda: shell})
        place = f"git+https://github.com/{order.HOME['repository']}@{order.HOME['branch']}"
        assert asked == [("pip", f"install --quiet --no-deps {place} {order.HOME['colab']}")]

    def test_a_first_cell_without_a_place_for_what_is_generated_is_refused(self):
        with pytest.raises(ValueError, match="expected lines <!-- times -->"):
            generated.between("# A title", "times", "soon")
