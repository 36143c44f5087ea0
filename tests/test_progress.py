"""Progress: a bar on a terminal, a line now and then in a log."""

import pytest

from diffusion_tutorial import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_in_a_log_it_is_a_line_now_and_then(clock, capsys):
    with progress.bar("training") as show:
        for second in range(1, 301):
            clock[0] = float(second)
            for _ in range(3):
                show.at(second / 300, f"step {second}")
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert lines[0] == "training:   4%, step 11" and lines[1] == "training:  24%, step 72"
    assert lines[-1] == "training: 100%, step 300" and len(lines) == 6
    assert "\r" not in said.err and not said.out


def test_what_is_done_at_once_needs_no_line(clock, capsys):
    assert list(progress.each("abc", "reading")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_it_is_a_bar(monkeypatch, capsys):
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.bar("training", leave=True) as show:
        show.at(0.5, "step 3")
        show.show.refresh()
    said = capsys.readouterr().err
    assert "training |" in said and " 50% " in said and "step 3" in said and "\r" in said


def test_a_note_stands_beside_the_output(capsys):
    progress.note("for whoever sits there")
    assert capsys.readouterr() == ("", "for whoever sits there\n")
