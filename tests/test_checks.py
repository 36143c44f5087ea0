import functools
import importlib
import inspect
import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_tutorial import checks
from diffusion_tutorial.checks.core import EXERCISES, Exercise

pytestmark = pytest.mark.usefixtures("as_learner")  # exercises are judged as they are in a notebook

TOPICS = sorted(
    set(Path(checks.__file__).parent.glob("[a-z]*.py"))
    - {Path(checks.__file__).with_name(f"{name}.py") for name in ("core", "compare")}
)
LESSONS = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["tool"]["lessons"]["parts"]
TITLES = {title for part in LESSONS.values() for title in part.values()}
DEFINITION = r'\(\s*"(\w+)",\s*answer='
NAMES = list(EXERCISES)  # taken once: exercises that tests make below do not belong to a topic
MISTAKES = [(name, i) for name in NAMES for i in range(len(EXERCISES[name].mistakes))]


# Every exercise of every topic


@pytest.mark.parametrize("path", TOPICS, ids=lambda path: path.stem)
def test_a_topic_names_its_lesson_and_has_exercises_of_its_own(path):
    module = importlib.import_module(f"diffusion_tutorial.checks.{path.stem}")
    names = re.findall(DEFINITION, path.read_text())
    assert names and set(names) <= set(NAMES)
    everywhere = [n for p in TOPICS for n in re.findall(DEFINITION, p.read_text())]
    assert all(everywhere.count(name) == 1 for name in names)
    assert set(re.findall(r'"([^"]+)"', module.__doc__)) & TITLES


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
        nudge="Look at the sign.",
    )
    del EXERCISES["a_test_of_the_checks"]


def test_a_mistake_that_nobody_foresaw_shows_the_first_entry_that_differs_and_the_nudge(exercise):
    said = exercise.verdict(lambda x, y: torch.where(x == 1, x - y, x * y))
    assert said == (
        "not yet: expected -3 at [1], got 10; 1 of 2 entries differ. Look at the sign. "
        'Stuck? checks.solution("a_test_of_the_checks") shows an answer.'
    )


def test_right_on_one_case_is_not_correct(exercise):
    said = exercise.verdict(lambda x, y: x - y if len(x) == 2 else x)
    assert said.startswith("not yet: expected 0.25 at [0], got 0.5; 1 of 1 entries differ.")
    assert exercise.verdict(lambda x, y: x - y if len(x) == 2 else None).startswith("not yet")
    assert exercise.verdict(lambda x, y: x - y if len(x) == 1 else x + y).startswith("not yet: expected")


def test_the_tolerance_is_small_and_forgives_the_type(exercise):
    assert exercise.verdict(lambda x, y: (x - y).double() + 1e-6) == "correct."
    assert exercise.verdict(lambda x, y: (x - y).numpy()) == "correct."
    assert exercise.verdict(lambda x, y: (x - y).tolist()) == "correct."
    assert exercise.verdict(lambda x, y: x - y + 1e-2).startswith("not yet: expected")
    assert exercise.verdict(lambda x, y: (x - y).requires_grad_()) == "correct."


def verdict(answer, attempt, *cases, **more) -> str:
    """What an exercise with this answer says of an attempt, on cases of one argument each."""
    exercise = Exercise("a_trial", answer, [(case,) for case in cases], more.pop("mistakes", {}), **more)
    del EXERCISES["a_trial"]
    return exercise.verdict(attempt)


ROW, TABLE = torch.tensor([3.0, 1.0, 2.0]), torch.arange(6.0).view(2, 3)
AROUND = {
    "a tensor for a list": (lambda n: [n, 1, 2], lambda n: torch.tensor([n, 1, 2]), 5, "they come as a tensor of shape (3,) where a list of 3 is asked for; .tolist() makes a list"),
    "an array for a list": (lambda n: [n, 1, 2], lambda n: np.array([n, 1, 2]), 5, "they come as an array of shape (3,) where a list of 3 is asked for; .tolist()"),
    "a list in a list": (lambda n: [n, 1, 2], lambda n: [[n, 1, 2]], 5, "where a list of 3 is asked for"),
    "a tensor for a number": (lambda x: x.sum(), lambda x: x.sum()[None], ROW, "their shape is (1,) where a single number is asked for"),
    "an axis too many": (lambda x: x, lambda x: x[None], ROW, "their shape is (1, 3) where shape (3,) is asked for"),
    "a flat table": (lambda x: x, lambda x: x.flatten(), TABLE, "their shape is (6,) where shape (2, 3) is asked for"),
    "rows for columns": (lambda x: x, lambda x: x.T, TABLE, "rows and columns are swapped"),
    "axes swapped": (lambda x: x[None], lambda x: x.T[:, None], TABLE, "the axes are swapped"),
    "a pair turned round": (lambda x: (x, x + 1), lambda x: (x + 1, x), ROW, "they come in another order"),
    "one of a pair with an axis too many": (lambda x: (x, x + 1), lambda x: (x, x[None] + 1), ROW, "their shape is (1, 3)"),
    "backwards": (lambda x: x, lambda x: x.flip(0), ROW, "they come in reverse order"),
    "sorted": (lambda n: [n, 1, 2], lambda n: [1, 2, n], 5, "they come in another order"),
    "a diagonal": (lambda x: x * x, lambda x: x[:, None] * x, ROW, "they stand on a diagonal: broadcasting made shape (3, 3) where (3,) is asked for, of two such as (3, 1) and (3,)"),
    "repeated": (lambda x: x, lambda x: x.expand(4, 3), ROW, "each comes several times: broadcasting made shape (4, 3) where (3,) is asked for"),
}  # fmt: skip


@pytest.mark.parametrize("name", AROUND)
def test_right_numbers_in_the_wrong_place_are_told_so(name):
    answer, attempt, case, sentence = AROUND[name]
    said = verdict(answer, attempt, case, nudge="A nudge.", mistakes={"A mistake of another kind.": lambda x: -1})
    assert said.startswith("not yet: the numbers are right, but ") and sentence in said and "nudge" not in said
    assert "the numbers are right" not in verdict(lambda x: -7 * torch.as_tensor(x), attempt, case)


def test_a_misconception_is_named_whatever_holds_it():
    mistakes = {"It counts from 1.": lambda n: [i + 1 for i in range(n)]}
    for holder in (list, torch.tensor, np.array, lambda numbers: torch.tensor(numbers)[:, None]):
        attempt = lambda n: holder([i + 1 for i in range(n)])  # noqa: B023, E731
        assert verdict(lambda n: list(range(n)), attempt, 4, mistakes=mistakes) == "not yet. It counts from 1."


AS_WRITTEN = {  # attempts as newcomers write them, and a word of the sentence that has to meet them
    "digits_of": (lambda date: [date.day, date.month, date.year], "each of their digits"),
    "slope_at": (lambda f, w, h: f(w + h) - f(w - h) / (2 * h), "brackets"),
    "stronger_spots": (lambda n, s, k: n * math.erfc(k * s / math.sqrt(2)), "multiplied by sigma"),
    "sigma_from_patch": (lambda patch: torch.mean(patch - patch.mean()), "cancel"),
    "n_steps": (lambda P, p0, n: functools.reduce(lambda p, _: P @ p, range(n), p0), "on the left"),
    "reversed_matrix": (lambda P, p: (p[:, None] * P).T / (p[:, None] * P).sum(0), "divided each column"),
    "ends_in_static": (lambda a: (r := a.sqrt() - a[-1].sqrt()) * a[1].sqrt() / r[1], "two things are missing"),
}


@pytest.mark.parametrize("name", AS_WRITTEN)
def test_what_newcomers_write_is_met_by_a_sentence_of_its_own(name):
    attempt, word = AS_WRITTEN[name]
    said = EXERCISES[name].verdict(attempt)
    assert said.startswith("not yet. ") and word in said.lower()


def test_an_error_from_broadcasting_says_how_shapes_meet():
    for clash in (lambda x: x + torch.zeros(2), lambda x: x @ torch.zeros(2, 2), lambda x: x.numpy() + np.zeros(2)):
        said = verdict(lambda x: x, clash, TABLE)
        assert said.startswith("your function stopped with ") and "x[:, None, None, None]" in said
        assert ". Two shapes do not fit" in said
    assert "None, None" not in verdict(lambda x: x, crash, TABLE)


def test_an_error_from_a_function_of_math_leads_to_torch():
    for clash in (lambda x: math.sqrt(x), lambda x: math.exp(x.numpy())):
        said = verdict(lambda x: x, clash, TABLE)
        assert said.startswith("your function stopped with ") and said.endswith("one of the same name in torch.")
    assert "in torch" not in verdict(lambda x: x, crash, TABLE)


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (lambda x: -x, "Every number has the opposite sign."),
        (lambda x: 2 * x, "Every number is 2 times what it should be."),
        (lambda x: x - 0.25, "Every number is too small by 0.25."),
        (lambda x: x**2, ""),
    ],
)
def test_what_all_numbers_have_in_common_is_said(wrong, sentence):
    said = verdict(lambda x: x, wrong, ROW)
    assert ("Every number" in said) == bool(sentence) and sentence in said


def test_where_nan_comes_from_is_said():
    for wrong in (lambda x: torch.sqrt(-x), lambda x: (0 * x) / 0):
        assert "nan is no number: it comes from 0/0, a root of a negative" in verdict(lambda x: x, wrong, ROW)
    for wrong in (lambda x: x + torch.inf, lambda x: x**2, lambda x: "nan"):
        assert "nan is no number" not in verdict(lambda x: x, wrong, ROW)


@pytest.mark.parametrize(
    "answer, wrong, case, first",
    [
        (lambda x: x, lambda x: x.clone().index_put_((torch.tensor(1), torch.tensor(2)), torch.tensor(9.0)), TABLE, "expected 5 at [1, 2], got 9; 1 of 6 entries differ"),
        (lambda n: [1, n, 3], lambda n: [1, n, 4], 2, "expected 3 at [2], got 4, for a_trial(2)."),
        (lambda x: (x, x), lambda x: (x, x * 1.5), ROW, "expected 3 at [1][0], got 4.5; 3 of 3 entries differ"),
        (lambda n: 0.5 * n, lambda n: 0.75 * n + 1, 2, "expected 1, got 2.5, for a_trial(2)."),
        (lambda n: 1.0, lambda n: 1.0002, 2, "expected 1, got 1.0002, for"),
        (lambda n: [n] * 3, lambda n: [n] * 2, 2, "expected 3 entries, got 2, for"),
        (lambda x: x, lambda x: x[:2] + 1, ROW, "expected shape (3,), got shape (2,)."),
        (lambda x: x, lambda x: 7, ROW, "expected shape (3,), got a single number."),
        (lambda n: [n], lambda n: n + 1, 2, "expected a list of 1, got 3, for"),
        (lambda x: x, lambda x: x * torch.nan, ROW, "expected 3 at [0], got nan; 3 of 3"),
    ],
)  # fmt: skip
def test_the_first_entry_that_differs_is_shown(answer, wrong, case, first):
    assert verdict(answer, wrong, case).startswith(f"not yet: {first}")


def test_pairs_and_words_are_compared_part_by_part():
    pair, cases = lambda x: (x, "word"), (1.0,)
    assert verdict(pair, pair, *cases) == verdict(pair, lambda x: [x, "word"], *cases) == "correct."
    for wrong, said in {
        (1.0, "other"): "expected 'word' at [1], got 'other'",
        (1.0,): "expected 2 entries, got 1",
        (2.0, "word"): "expected 1 at [0], got 2",
        1.0: "expected a tuple of 2, got 1",
    }.items():
        assert verdict(pair, lambda x: wrong, *cases).startswith(f"not yet: {said}")  # noqa: B023
    words = (1.0, np.array(["word", "word"]))
    assert verdict(pair, lambda x: words, *cases).startswith(
        "not yet: expected 'word' at [1], got an array of shape (2,)"
    )


def test_a_walk_that_steps_from_zero_is_told_where_it_ends():
    def attempt(denoiser, x_T, alpha_bar, noise):
        return x_T * (1 / (1 - alpha_bar[0].item()))

    said = EXERCISES["draw_by_hand"].verdict(attempt)
    assert said.startswith("your function stopped with ZeroDivisionError: ") and "no step from t = 0" in said


@pytest.mark.parametrize("name", NAMES)
def test_a_nudge_says_where_to_look_and_gives_no_formula(name):
    nudge = EXERCISES[name].nudge
    assert 20 < len(nudge) <= 130 and nudge[-1] in ".?"
    assert not re.search(r" [=+*/@] |\w\(|\w\[|sqrt|torch\.", nudge)


def test_an_unknown_exercise_is_refused_by_name(capsys):
    with pytest.raises(AttributeError, match="no exercise 'q_smaple'; the exercises are: "):
        checks.q_smaple  # noqa: B018
    checks.solution("q_smaple")
    assert capsys.readouterr().out.startswith("There is no exercise 'q_smaple'. The exercises are: ")
