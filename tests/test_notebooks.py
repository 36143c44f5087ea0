"""Every lesson has the parts that a learner counts on: an opening, a set-up, figures, exercises, a quiz, a recap."""

import ast
import inspect
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import generated  # noqa: E402
import order  # noqa: E402
import times  # noqa: E402

import notebooks as tool  # noqa: E402

LESSONS = tool.lessons()
each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[str]:
    """The sources of a notebook's cells of one kind, "code" or "markdown"."""
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def calls(path: Path) -> list[ast.Call]:
    """Every call in a notebook's code, in reading order."""
    trees = [ast.parse(re.sub(r"^[%!].*", "", source, flags=re.M)) for source in cells(path, "code")]
    found = [[node for node in ast.walk(tree) if isinstance(node, ast.Call)] for tree in trees]
    return [call for cell in found for call in sorted(cell, key=lambda call: (call.lineno, call.col_offset))]


def of(call: ast.Call, owner: str) -> str:
    """The name of a call of `owner.<name>`, or an empty string."""
    function = call.func
    named = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == owner
    return function.attr if named else ""


def is_show(call: ast.Call) -> bool:
    """Whether a call is `show(…)` or `plotting.show(…)`."""
    return (isinstance(call.func, ast.Name) and call.func.id == "show") or of(call, "plotting") == "show"


def says_what(call: ast.Call, place: int) -> bool:
    """Whether a call is given an alt text, by name or as the argument at `place`, and not a stub of one."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    alt = named["alt"] if "alt" in named else call.args[place]
    return not isinstance(alt, ast.Constant) or len(alt.value) >= 20


def test_the_lessons_are_numbered_by_their_place_in_the_order():
    assert LESSONS and [path.name for path in LESSONS] == [order.file(order.slug_of(path)) for path in LESSONS]


def test_the_folder_holds_nothing_else_that_could_be_opened_by_mistake():
    assert sorted((ROOT / "notebooks").glob("*.ipynb")) == LESSONS


@each_lesson
class TestLesson:
    def test_is_valid(self, path):
        nbformat.validate(nbformat.read(path, as_version=4))

    def test_opens_with_title_badges_and_times(self, path):
        first = nbformat.read(path, as_version=4).cells[0]
        assert first.cell_type == "markdown"
        slug = order.slug_of(path)
        assert first.source.startswith(f"# {order.number(slug)} · {order.TITLES[slug]}\n")
        assert f"<!-- badges -->\n{tool.badges(path)}\n<!-- /badges -->\n" in first.source
        for part in ("**You will make**", "**You need**", "**You will learn**"):
            assert part in first.source

    def test_states_the_times_that_are_counted(self, path):
        notebook = nbformat.read(path, as_version=4)
        seconds = generated.seconds_of(notebook)
        line = generated.times_line(notebook, seconds)
        assert seconds > 0, "run `make notebooks`"
        assert f"<!-- times -->\n{line}\n<!-- /times -->" in notebook.cells[0].source, "run `make badges`"

    def test_is_short_enough(self, path):
        notebook = nbformat.read(path, as_version=4)
        minutes, _ = times.learning(notebook, generated.seconds_of(notebook))
        assert minutes <= 75, times.count(notebook)

    def test_leads_to_the_lessons_before_and_after(self, path):
        last = nbformat.read(path, as_version=4).cells[-1]
        assert f"<!-- neighbours -->\n{order.neighbours(path)}\n<!-- /neighbours -->" in last.source, (
            "run `make badges`"
        )

    def test_sets_up_in_one_cell(self, path):
        second = nbformat.read(path, as_version=4).cells[1]
        assert second.cell_type == "code" and second.source.startswith(tool.SETUP)
        for source in cells(path, "code")[1:]:
            assert not re.search(r"^(import|from) ", source, re.M), f"an import outside the set-up cell:\n{source}"

    def test_has_exercises_that_answer(self, path):
        from diffusion_tutorial.checks import EXERCISES

        asked = {of(call, "checks") for call in calls(path)} - {"", "solution"}
        assert len(asked) >= (2 if path.name.startswith("00") else 3)
        assert asked <= set(EXERCISES)
        prose = "\n".join(cells(path, "markdown"))
        for name in asked:
            assert f'checks.solution("{name}")' in prose

    def test_has_interactive_figures_that_a_blind_reader_can_use(self, path):
        from diffusion_tutorial import widgets

        figures = [call for call in calls(path) if of(call, "widgets")]
        assert len(figures) >= 2
        for call in figures:
            parameters = list(inspect.signature(getattr(widgets, of(call, "widgets"))).parameters)
            assert "alt" not in parameters or says_what(call, parameters.index("alt"))

    def test_every_figure_has_an_alt_text(self, path):
        assert all(says_what(call, 2) for call in calls(path) if is_show(call))

    def test_figures_are_numbered_in_order(self, path):
        strings = [node for source in cells(path, "code") for node in constants(source)]
        found = [match for text in strings if (match := re.match(r"Figure (\d+)\.(\d+)\. \S", text))]
        assert found and {int(match[1]) for match in found} == {int(path.name[:2])}
        assert [int(match[2]) for match in found] == list(range(1, len(found) + 1))

    def test_asks_and_sums_up(self, path):
        prose = cells(path, "markdown")
        text = "\n\n".join(prose)
        assert re.search(r"^## .*Recap", text, re.M)
        assert re.search(r"^## .*Read on", text, re.M)
        quiz = re.split(r"^## .*[Qq]uiz.*", text, flags=re.M)
        assert len(quiz) > 1 and quiz[1].count("<details>") >= 6
        assert text.count("<details>") == text.count("</details>")

    def test_headings_step_down_one_at_a_time(self, path):
        outside = re.sub(r"^```.*?^```", "", "\n\n".join(cells(path, "markdown")), flags=re.M | re.S)
        levels = [len(match) for match in re.findall(r"^(#+) ", outside, re.M)]
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))


@pytest.mark.parametrize(
    "slug, variable, key",
    [
        ("ask_the_question_well", "questions", "read_back"),
        ("build_the_network", "pieces", "without"),
        ("jump_after_all", "jump", "rows"),
        ("race_a_gan", "race", "results"),
        ("spot_the_bug", "bugs", "rows"),
    ],
)
def test_the_saved_numbers_of_a_long_experiment_are_those_of_its_file(slug, variable, key):
    """A lesson opened alone, on Colab, has no files beside it, so it holds the numbers itself."""
    measured = json.loads((ROOT / "benchmarks" / f"{variable}.json").read_text())
    command = f"python benchmarks/{variable}.py"
    (cell,) = (source for source in cells(ROOT / "notebooks" / order.file(slug), "code") if command in source)
    given = [node for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
    (saved,) = (node.value for node in given if ast.unparse(node.targets[0]) == "LONG")
    assert json.loads(json.dumps(ast.literal_eval(saved))) == measured[key]


def constants(source: str) -> list[str]:
    """The strings of a cell in the order in which they stand there (an f-string's leading part among them)."""
    tree = ast.parse(re.sub(r"^[%!].*", "", source, flags=re.M))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node.value for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset))]
