import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_tutorial import checks
from diffusion_tutorial.checks.core import EXERCISES, Exercise

pytestmark = pytest.mark.usefixtures("as_learner")  # exercises are judged as they are in a notebook

LESSONS = sorted(Path(checks.__file__).parent.glob("lesson_*.py"))
DEFINITION = r'\(\s*"(\w+)",\s*answer='
NAMES = list(EXERCISES)  # taken once: exercises that tests make below do not belong to a lesson
MISTAKES = [(name, i) for name in NAMES for i in range(len(EXERCISES[name].mistakes))]


# Every exercise of every lesson


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_at_least_three_exercises_and_no_name_twice(path):
    module = importlib.import_module(f"diffusion_tutorial.checks.{path.stem}")
    names = re.findall(DEFINITION, path.read_text())
    assert len(names) >= 3 and set(names) <= set(NAMES)
    everywhere = [n for p in LESSONS for n in re.findall(DEFINITION, p.read_text())]
    assert all(everywhere.count(name) == 1 for name in names)
    assert module.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_is_found_by_its_name(name):
    assert getattr(checks, name) is EXERCISES[name]  # and not, say, a module of that name
    assert name in dir(checks) and name in EXERCISES[name].__doc__


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_correct(name, capsys):
    exercise = EXERCISES[name]
    assert exercise.verdict(exercise.answer) == "correct."
    assert exercise(exercise.answer) is None
    assert capsys.readouterr().out == f"{name}: correct.\n"
    assert exercise.verdict(exercise.answer) == "correct."  # again: nothing was used up


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_knows_its_classic_mistakes(name):
    sentences = list(EXERCISES[name].mistakes)
    assert len(sentences) >= 2 and EXERCISES[name].cases
    assert all("\n" not in s and s[-1] in ".?" and len(s) > 15 for s in sentences)


@pytest.mark.parametrize("name, i", MISTAKES)
def test_each_mistake_gets_its_own_sentence(name, i):
    sentence, mistake = list(EXERCISES[name].mistakes.items())[i]
    assert EXERCISES[name].verdict(mistake) == f"not yet. {sentence}"


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_shows_the_answer(name, capsys):
    checks.solution(name)
    shown = capsys.readouterr().out
    assert shown.strip() == inspect.getsource(EXERCISES[name].answer).strip()


class Strange:
    def __repr__(self):
        raise RuntimeError("no words")


class Wordless(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def crash(*args):
    raise RuntimeError("first line\nsecond line")


def recurse(*args):
    return recurse(*args)


def stop(*args):
    raise SystemExit(3)


def speechless(*args):
    raise Wordless


def stub(*args):
    raise NotImplementedError  # your turn


BROKEN = {
    "crash": (crash, "your function stopped with RuntimeError: first line second line"),
    "recursion": (recurse, "your function stopped with RecursionError"),
    "exit": (stop, "your function stopped with SystemExit"),
    "an exception without words": (speechless, "your function stopped with Wordless"),
    "another number of arguments": (lambda a, b, c, d, e, f, g, h, i: None, "your function stopped with TypeError"),
    "text": (lambda *args: "banana", "not yet: expected"),
    "long text": (lambda *args: "banana\n" * 1000, "not yet: expected"),
    "an object": (lambda *args: object(), "not yet: expected"),
    "an object without words": (lambda *args: Strange(), "not yet: expected"),
    "a function": (lambda *args: stub, "not yet: expected"),
    "a dictionary": (lambda *args: {"x": 1}, "not yet: expected"),
    "an array": (lambda *args: np.full((40, 40), 0.123), "not yet: expected"),
    "an array of words": (lambda *args: np.array(["a", "b"]), "not yet: expected"),
    "a tensor of another shape": (lambda *args: torch.full((3, 1, 4, 1, 5), 0.5), "not yet: expected"),
    "an empty tensor": (lambda *args: torch.zeros(0), "not yet: expected"),
    "NaN": (lambda *args: torch.tensor(torch.nan), "not yet: expected"),
    "a list of tensors": (lambda *args: [torch.zeros(2), torch.zeros(3)], "not yet: expected"),
    "a complex number": (lambda *args: 1 + 2j, "not yet: expected"),
    "a complex tensor": (lambda *args: torch.tensor(1 + 2j), "not yet: expected"),
    "a complex vector": (lambda *args: torch.tensor([1 + 2j, 0]), "not yet: expected"),
    "a truth value": (lambda *args: torch.tensor(True), "not yet"),
    "a huge number": (lambda *args: 10**400, "not yet: expected"),
    "a generator": (lambda *args: (x for x in ()), "not yet: expected"),
    "an empty tuple": (lambda *args: (), "not yet: expected"),
    "nested Nones": (lambda *args: (None, None), "not yet: expected"),
    "a learner's weight": (lambda *args: torch.full((2, 2), 77.0, requires_grad=True), "not yet: expected"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")  # a warning would be a stray line under the exercise
@pytest.mark.parametrize("name", NAMES)
def test_whatever_comes_gives_one_line_and_never_raises(name, capsys):
    for how, (attempt, begins) in BROKEN.items():
        EXERCISES[name](attempt)
        said = capsys.readouterr()
        assert said.out.startswith(f"{name}: ") and said.out.count("\n") == 1 and said.err == "", how
        assert len(said.out) < 1000, how
        verdict = said.out.removeprefix(f"{name}: ")
        named = begins.startswith("not yet") and verdict.startswith("not yet. ")  # it happens to be a classic mistake
        assert verdict.startswith(begins) or named, (how, verdict)


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_is_not_attempted_yet(name):
    for attempt in (stub, lambda *args: None, lambda *args: ...):
        assert EXERCISES[name].verdict(attempt) == "not attempted yet."


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_function_is_told_so(name):
    for thing in (None, 3, "text", torch.zeros(2, 2), np.zeros((9, 9)), Strange()):
        verdict = EXERCISES[name].verdict(thing)
        assert verdict.startswith("expected a function, got ") and "\n" not in verdict


@pytest.mark.parametrize("name", NAMES)
def test_an_attempt_that_writes_into_its_input_spoils_nothing(name):
    exercise = EXERCISES[name]

    def attempt(*args):
        result = exercise.answer(*args)
        for x in args:
            if isinstance(x, torch.Tensor):
                x.zero_()
        return result

    exercise.verdict(attempt)
    assert exercise.verdict(exercise.answer) == "correct."


# How an exercise judges


@pytest.fixture
def exercise():
    yield Exercise(
        "a_test_of_the_checks",
        answer=lambda x, y: x - y,
        cases=[(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])), (torch.tensor([0.5]), torch.tensor([0.25]))],
        mistakes={"You added.": lambda x, y: x + y, "The other way round.": lambda x, y: y - x},
        hint="Look at the sign.",
    )
    del EXERCISES["a_test_of_the_checks"]


def test_a_mistake_that_nobody_foresaw_shows_both_values_and_the_hint(exercise):
    said = exercise.verdict(lambda x, y: x * y)
    assert said == (
        "not yet: expected a tensor of shape (2,) starting -2, -3, got a tensor of shape (2,) starting 3, 10. "
        "Look at the sign."
    )


def test_right_on_one_case_is_not_correct(exercise):
    assert exercise.verdict(lambda x, y: x - y if len(x) == 2 else x).startswith(
        "not yet: expected a tensor of shape (1,)"
    )
    assert exercise.verdict(lambda x, y: x - y if len(x) == 2 else None).startswith("not yet")
    assert exercise.verdict(lambda x, y: x - y if len(x) == 1 else x + y).startswith("not yet: expected")


def test_the_tolerance_is_small_and_forgives_the_type(exercise):
    assert exercise.verdict(lambda x, y: (x - y).double() + 1e-6) == "correct."
    assert exercise.verdict(lambda x, y: (x - y).numpy()) == "correct."
    assert exercise.verdict(lambda x, y: (x - y).tolist()) == "correct."
    assert exercise.verdict(lambda x, y: (x - y)[None]).startswith("not yet: expected")
    assert exercise.verdict(lambda x, y: x - y + 1e-2).startswith("not yet: expected")
    assert exercise.verdict(lambda x, y: (x - y).requires_grad_()) == "correct."


def test_pairs_and_words_are_compared_part_by_part():
    pair = Exercise("a_pair", lambda x: (x, "word"), [(1.0,)], {})
    del EXERCISES["a_pair"]
    assert pair.verdict(lambda x: (x, "word")) == pair.verdict(lambda x: [x, "word"]) == "correct."
    for wrong in ((1.0, "other"), (1.0,), (2.0, "word"), 1.0, ("word", 1.0), (1.0, np.array(["word", "word"]))):
        assert pair.verdict(lambda x: wrong).startswith("not yet: expected (1, 'word'), got")  # noqa: B023


def test_an_unknown_exercise_is_refused_by_name(capsys):
    with pytest.raises(AttributeError, match="no exercise 'q_smaple'; the exercises are: "):
        checks.q_smaple  # noqa: B018
    checks.solution("q_smaple")
    assert capsys.readouterr().out.startswith("There is no exercise 'q_smaple'. The exercises are: ")
