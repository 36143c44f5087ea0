"""Twelve bugs of one line each: every one changes what the program makes, and every diagnosis is answered."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from diffusion_tutorial import bugs, pretrained, samplers, schedules
from diffusion_tutorial.checks.bugs import CASES, EXPECTED, LETTERS, SEEN, diagnose, verdict
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.run import seeded

ROWS = json.loads((Path(__file__).parent.parent / "benchmarks" / "bugs.json").read_text())["rows"]
each_bug = pytest.mark.parametrize("bug", bugs.BUGS.values(), ids=list(bugs.BUGS))


class Toy(torch.nn.Module):
    """A network that answers v differently at every time and label, and guesses beyond [-1, 1]."""

    def forward(self, x, t, cond=None):
        return 3 * x.flip(-1) + (t / 1000 + (0 if cond is None else cond)).view(-1, 1, 1, 1)

    def null_like(self, cond):
        return torch.full_like(cond, 10)


def made(bug: bugs.Bug, program) -> torch.Tensor:
    """What a part of the program makes of small things."""
    g = torch.Generator().manual_seed(0)
    if bug.part in (bugs.thumbnails, bugs.saved):
        return program(torch.randn(2, 1, 28, 28, generator=g)).float()
    if bug.part is bugs.walk:
        model = Denoiser(Toy(), schedules.cosine(), "v")
        with torch.no_grad():
            return list(program(model, torch.arange(3), samplers.times(5), 0, **bug.options))[-1][1]
    with seeded(0):
        net = UNet(width=8)
    steps = list(program(net, torch.rand(40, 1, 28, 28, generator=g), torch.arange(40) % 10, 100, 3, 0))
    average = torch.cat([p.flatten() for p in steps[-1][1].parameters()])
    return torch.cat([average, torch.tensor([loss for loss, _ in steps])])


@each_bug
def test_a_bug_is_one_line_and_changes_what_is_made(bug):
    right, wrong = made(bug, bug.part), made(bug, bug.broken())
    assert right.shape == wrong.shape and right.isfinite().all() and wrong.isfinite().all()
    assert (right - wrong).abs().max() > 1e-3
    assert "\n" not in bug.right + bug.wrong and bug.diff() == f"- {bug.wrong}\n+ {bug.right}"
    assert "https://" in bug.origin


def test_a_line_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="expected this line once in walk: x = 1"):
        bugs.Bug("a bug", bugs.walk, "x = 1", "x = 2", "").broken()


def test_the_walk_without_a_bug_is_the_packages_own():
    """With the same dice: one step that adds noise, and the last one, which adds none."""
    model, dice = Denoiser(Toy(), schedules.cosine(), "v"), torch.Generator().manual_seed(0)
    x_T, labels = torch.randn(2, 1, 28, 28, generator=dice), torch.arange(2)
    wanted = samplers.draw(model, x_T, [900, 400, 0], model.alpha_bar, cond=labels, generator=dice)
    with torch.no_grad():
        *_, (_, x) = bugs.walk(model, labels, [900, 400, 0], 0)
    assert torch.allclose(x, wanted, atol=1e-5)


def test_every_case_has_its_name_its_letter_and_its_words():
    assert set(CASES) == set(EXPECTED) == set(SEEN) == set(LETTERS.values()) <= set(bugs.BUGS) and len(set(CASES)) == 12


@pytest.mark.parametrize("number", range(1, 13))
def test_a_diagnosis_is_answered(number):
    truth = CASES[number - 1]
    letter = next(letter for letter, name in LETTERS.items() if name == truth)
    for answer in (truth, truth.upper(), letter, f" {letter.lower()} "):
        said = verdict(number, answer)
        assert said.startswith(f"yes, {truth}.") and bugs.BUGS[truth].diff().splitlines()[1] in said
        assert bugs.BUGS[truth].origin in said
    for guess in set(CASES) - {truth}:
        said = verdict(str(number), guess)
        assert said == f"not {guess}. {EXPECTED[guess]} Here {SEEN[truth]}" and truth not in said


def test_what_is_no_answer_is_told_so(capsys):
    diagnose(3)
    assert capsys.readouterr().out == "case 3: not answered yet.\n"
    assert (
        verdict(3, "Z") == "there is no bug 'Z' on the list; give a letter from A to L, or its name as it stands there."
    )
    for case in (0, 13, "three", -1):
        assert verdict(case, "A") == "there are cases 1 to 12."


def test_at_least_eight_bugs_are_silent():
    """Their loss, over the last hundred steps, differs less from the right one than seeds do, or no training was touched."""
    right = [sum(curve[-5:]) / 5 for curve in ROWS["right, small"]["curves"]]
    middle, spread = sum(right) / len(right), max(right) - min(right)
    ends = {name: [sum(curve[-5:]) / 5 for curve in ROWS[name].get("curves", [])] for name in CASES}
    assert all((bugs.BUGS[name].part is bugs.train) == bool(losses) for name, losses in ends.items())
    assert len(right) == 3 and sum(all(abs(x - middle) <= spread for x in losses) for losses in ends.values()) >= 8


def test_the_sheet_has_a_row_for_every_program():
    sheet = Image.open(pretrained.FOLDER / "bugs.png")
    assert sheet.mode == "L" and sheet.size == (28 * 36, 28 * (len(bugs.BUGS) + 3))
    assert {"right", "right, small", "right, guided", *CASES} <= set(ROWS)
    assert (pretrained.FOLDER / "bugs.png").stat().st_size < 600_000
