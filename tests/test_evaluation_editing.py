"""`diffusion-tutorial evaluate` of inpainting, SDEdit, inversion and edits: models whose every number is known beforehand."""

import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from diffusion_tutorial import cli, metrics, pretrained, samplers, subjects
from diffusion_tutorial.data import digits, scenes
from diffusion_tutorial.evaluation import common, drawn, edits, inpainting, inversion, sdedit, tables
from diffusion_tutorial.noise import Streams
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.schedules import cosine

ROOMS = {"inpainting": inpainting, "sdedit": sdedit, "inversion": inversion, "edits": edits}
DIGITS, SCENES = subjects.get("digits"), subjects.get("scenes")
SUBJECT, THING, PLACE = 0, 1, 2
CLASSES = [len(table) for table in (scenes.SUBJECTS, scenes.THINGS, scenes.PLACES)]
CARD = {"quality": {"accuracy": 1.0, "protocol": "pictures that say what they show"}}
INSIDE = slice(16, 32)  # rows and columns of the figure in `staged`


def staged(attributes, generator=None):
    """Scenes for the Oracle: a square that tells subject and thing in two channels, around it the place in the third."""
    code = (attributes * 10 / 127.5 - 1)[:, :, None, None]
    x = torch.zeros(len(attributes), 3, scenes.SIZE, scenes.SIZE)
    x[:, 2:] = code[:, 2:]
    x[:, :2, INSIDE, INSIDE], x[:, 2, INSIDE, INSIDE] = code[:, :2], 0
    return x


class Oracle(nn.Module):
    """Reads what `staged` tells, also where everything is a little brighter."""

    def forward(self, x):
        told = torch.cat([x[:, :2, 24, 24], x[:, 2:, 0, 0]], 1)
        read = ((told + 1) * 127.5 / 10).round().long()
        return tuple(F.one_hot(row.clamp(0, n - 1), n).float() for row, n in zip(read.unbind(1), CLASSES))


class Painter(nn.Module):
    """A network that answers the eps of the one picture that it has in mind: paint(attributes that are asked for)."""

    def __init__(self, paint):
        super().__init__()
        self.paint, self.tokenizer = paint, lambda prompts: torch.tensor([scenes.read(prompt) for prompt in prompts])

    def forward(self, x_t, t, cond=None):
        a = cosine()[t].view(-1, 1, 1, 1).float()
        return (x_t - a.sqrt() * self.paint(cond)) / (1 - a).sqrt()

    def null_like(self, cond):
        return cond


class Known(nn.Module):
    """A network that answers factor(t) x_t, for Gaussian pictures the truth; 0 keeps every picture."""

    def __init__(self, sigma):
        super().__init__()
        self.sigma, self.tokenizer = sigma, lambda prompts: torch.zeros(len(prompts), 3, dtype=torch.long)

    def forward(self, x_t, t, cond=None):
        return self.factor(t).view(-1, 1, 1, 1).float() * x_t

    def factor(self, t):
        a = cosine()[t]
        return torch.sqrt(1 - a) / (a * self.sigma**2 + 1 - a) if self.sigma else torch.zeros_like(a)

    def null_like(self, cond):
        return cond


@pytest.fixture
def oracle(monkeypatch):
    """A judge of scenes that is never wrong, and scenes that it can read."""
    monkeypatch.setattr(pretrained, "load", lambda name: Oracle())
    monkeypatch.setattr(pretrained, "card", lambda name: CARD)
    monkeypatch.setattr(scenes, "draw", staged)


def value(rows, measure, **which):
    """The measure of the one row that is meant."""
    (found,) = [row for row in rows if all(row[name] == wanted for name, wanted in which.items())]
    return found[measure].value


# What the four share


def test_decibels_are_those_of_the_median_error_and_infinities_do_no_harm():
    told = tables.decibels(torch.tensor([20.0, 30, 40] * 7))
    assert told.value == pytest.approx(30) and told.low == pytest.approx(20) and told.high == pytest.approx(40)
    assert tables.decibels(torch.full((20,), math.inf)) == (math.inf,) * 3
    some = tables.decibels(torch.tensor([20.0] * 5 + [30.0] * 20 + [math.inf] * 6))
    assert some.value == pytest.approx(30) and some.low == pytest.approx(30)


def test_a_mean_has_students_interval(generator):
    x = torch.randn(4000, generator=generator)
    told = tables.mean(x)
    assert told.value == pytest.approx(x.mean().item(), abs=1e-6)
    assert (told.high - told.low) / 2 == pytest.approx(2.09 * x.std().item() / 4000**0.5, rel=0.35)


def test_a_table_prints_what_is_written_unrounded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretrained, "card", lambda name: CARD)
    rows = [
        {"hole": "8 x 8", "steps": 50, "% read": common.Measured(0.123456, 0.1, 0.2), "dB": (x := exact())},
        {"hole": "half", "steps": 500, "% read": common.Measured(1.0, 0.9, 1.0), "dB": x},
    ]
    forms, out = {"% read": tables.PER_CENT, "dB": tables.DECIBELS}, tmp_path / "x.json"
    assert tables.report(rows, [forms], "Note.", {"n": 20}, SCENES.judge, out) == 0
    shown, told = capsys.readouterr().out, json.loads(out.read_text())
    assert "12.3 (10.0 .. 20.0)" in shown and "inf (inf .. inf)" in shown and "protocol: n 20; judge 100.00%" in shown
    assert told["metrics"][0]["% read"] == {"value": 0.123456, "interval_95": [0.1, 0.2]}
    assert (
        told["metrics"][1]["dB"] == {"value": None, "interval_95": [None, None]} and told["metrics"][1]["steps"] == 500
    )
    assert "Infinity" not in out.read_text()


def exact():
    return tables.decibels(torch.full((20,), math.inf))


# Inpainting


def grey(labels):
    """Digits that are one shade all over, which says their label."""
    return (labels * 28 / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 1, 28, 28).contiguous()


class Shade(nn.Module):
    """Reads the shade in the middle."""

    def forward(self, x):
        return 9 * F.one_hot(((x[:, 0, 14, 14] + 1) * 127.5 / 28).round().long().clamp(0, 9), 10).float()


def test_the_holes_are_as_large_as_they_say_and_in_the_middle():
    found = inpainting.holes()
    for side in inpainting.SIDES:
        hole = found[f"{side} x {side}"]
        assert hole.sum() == side**2 and torch.equal(hole, hole.flip(0)) and torch.equal(hole, hole.T)
    half = found["right half"]
    assert half.sum() == 28 * 14 and half[:, 14:].all() and len(found) == len(inpainting.SIDES) + 1


def test_the_jump_is_counted_across_the_edge_alone(generator):
    for hole in inpainting.holes().values():
        x = torch.where(hole, 0.75, -0.5).view(1, 1, 28, 28).repeat(3, 1, 1, 1)
        assert inpainting.jump(x, hole).tolist() == [1.25] * 3
        assert inpainting.jump(torch.full_like(x, 0.3), hole).tolist() == [0] * 3
    y = torch.rand(2, 1, 28, 28, generator=generator)
    by_hand = [(y[:, 0, a, 14] - y[:, 0, a, 13]).abs() for a in range(28)]
    torch.testing.assert_close(inpainting.jump(y, inpainting.holes()["right half"]), torch.stack(by_hand).mean(0))


def test_a_model_that_always_draws_a_three_is_right_on_threes_and_its_edge_is_known(monkeypatch):
    monkeypatch.setattr(pretrained, "load", lambda name: Shade())
    monkeypatch.setattr(
        inpainting,
        "WALKS",
        {inpainting.REPLACEMENT: (4, 1), inpainting.LONGER: (12, 1), inpainting.REPAINT: (4, 3)},
    )
    labels = torch.arange(20) % 10
    model = Denoiser(Painter(lambda cond: grey(torch.tensor([3]))), cosine())
    rows = inpainting.measure(DIGITS, model, grey(labels), labels, seed=0)
    assert len(rows) == 5 * 5
    x = 28 / 127.5 * labels
    edge = {inpainting.BLACK: x.mean().item(), inpainting.TRUE: 0.0}
    for row in rows:
        way = row["filled by"]
        assert row[inpainting.READ].value == (1 if way == inpainting.TRUE else 0.1)
        assert row[inpainting.EDGE].value == pytest.approx(edge.get(way, (x - x[3]).abs().mean().item()), abs=1e-6)
        low, high = row[inpainting.EDGE][1:]
        assert low <= row[inpainting.EDGE].value <= high
        looks = {inpainting.REPLACEMENT: 4, inpainting.LONGER: 12, inpainting.REPAINT: 12}
        assert row["evaluations"] == looks.get(way, 0)


def test_the_truth_is_the_measure_of_the_jump_and_the_shipped_judge_reads_it(monkeypatch):
    """Real digits, some of whose strokes end at the edge by themselves: that is no fault of a filling."""
    monkeypatch.setattr(inpainting, "FILLED", (inpainting.BLACK, inpainting.TRUE))
    images, labels = (x[::100] for x in digits.load())
    rows = inpainting.measure(DIGITS, Denoiser(Painter(grey), cosine()), images, labels, seed=0)
    assert (inpainting.jump(images, inpainting.holes()["8 x 8"]) > 0.1).any()
    for hole in inpainting.holes():
        whole, black = (dict(hole=hole, **{"filled by": way}) for way in (inpainting.TRUE, inpainting.BLACK))
        assert value(rows, inpainting.EDGE, **whole) == 0 and value(rows, inpainting.READ, **whole) > 0.95
        assert value(rows, inpainting.READ, **black) < 0.9
    assert value(rows, inpainting.EDGE, **black) > 0.1  # of the right half


def test_repaint_and_the_longer_replacement_look_equally_often():
    walks = inpainting.WALKS
    looks = {way: steps * resample for way, (steps, resample) in walks.items()}
    assert looks[inpainting.LONGER] == looks[inpainting.REPAINT] > looks[inpainting.REPLACEMENT]
    assert walks[inpainting.REPAINT][0] == walks[inpainting.REPLACEMENT][0]


def test_without_mnist_the_digits_that_come_along_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv(digits.FOLDER, str(tmp_path))
    assert "training digits that come along" in inpainting._digits()[2]
    monkeypatch.setattr(digits, "full_is_there", lambda: True)
    asked = []
    monkeypatch.setattr(digits, "load", lambda name, train=True: asked.append((name, train)) or (torch.empty(0),) * 2)
    assert inpainting._digits()[2] == "the 10,000 MNIST test digits" and asked == [("full", False)]


# SDEdit


def test_a_drawing_has_one_colour_a_block(generator):
    x = torch.rand(2, 3, 48, 48, generator=generator)
    rough = sdedit.blocks(x).view(2, 3, 12, 4, 12, 4)
    means = x.view(2, 3, 12, 4, 12, 4).mean((3, 5), keepdim=True)
    torch.testing.assert_close(rough, means.expand_as(rough))


def test_a_painter_that_obeys_is_read_back_at_every_strength_and_its_distance_is_known(oracle, monkeypatch):
    monkeypatch.setattr(sdedit, "STEPS", 10)
    asked = drawn.held_out(20)
    model = Denoiser(Painter(lambda cond: staged(cond) + 0.02), cosine())
    rows = sdedit.measure(SCENES, model, asked, seed=0, w=1.0)
    assert [row["strength"] for row in rows] == [sdedit.DRAWING, *sdedit.STRENGTHS, sdedit.REAL]
    for row in rows:
        redrawn = row["strength"] in sdedit.STRENGTHS
        assert row[tables.READ].value == 1
        assert row[sdedit.DISTANCE].value == pytest.approx(0.02 if redrawn else 0, abs=1e-4)
        assert row["evaluations"] == (round(10 * row["strength"]) if redrawn else 0)


def test_real_scenes_are_read_and_rough_drawings_of_them_hardly(monkeypatch):
    """The shipped judge; at strength 0 nothing is redrawn."""
    monkeypatch.setattr(sdedit, "STRENGTHS", (0.0,))
    rows = sdedit.measure(SCENES, Denoiser(Painter(staged), cosine()), drawn.held_out(40), seed=0, w=1.0)
    assert (
        value(rows, tables.READ, strength=sdedit.REAL) > 0.9 > 0.5 > value(rows, tables.READ, strength=sdedit.DRAWING)
    )
    assert value(rows, sdedit.DISTANCE, strength=0.0) == 0 < value(rows, sdedit.DISTANCE, strength=sdedit.REAL)


# Inversion


def gain(net, steps):
    """By which factor a picture comes back: the DDIM steps up and down, each a number for the linear network."""
    a, times = cosine(), samplers.times(steps)
    g = 1.0
    for guess_at, t, s in [
        *((max(s, 1), s, t) for s, t in zip(times[::-1], times[-2::-1])),
        *((t, t, s) for t, s in zip(times, times[1:])),
    ]:
        e = net.factor(torch.tensor([guess_at])).item()
        x0_hat = (1 - (1 - a[t]).sqrt() * e) / a[t].sqrt()
        g *= (a[s].sqrt() * x0_hat + (1 - a[s]).sqrt() * e).item()
    return g


def test_for_gaussian_pictures_the_error_of_inversion_is_known_and_refining_lessens_it(oracle, monkeypatch):
    monkeypatch.setattr(scenes, "draw", lambda attributes, generator: 0.5 * staged(attributes))
    monkeypatch.setattr(inversion, "STEPS", (5, 20))
    asked, net = drawn.held_out(20), Known(sigma=0.3)
    rows = inversion.measure(SCENES, Denoiser(net, cosine()), asked, seed=0, w=1.0)
    assert len(rows) == 2 + len(inversion.REFINE) * len(inversion.STEPS)
    x0 = 0.5 * staged(asked)
    found = {
        key: value(rows, inversion.ERROR, refined=key[0], steps=key[1]) for key in [(0, 5), (0, 20), (1, 20), (2, 20)]
    }
    for steps in (5, 20):
        expected = tables.decibels(metrics.psnr(gain(net, steps) * x0, x0)).value
        assert found[0, steps] == pytest.approx(expected, abs=0.05)
    assert found[0, 5] < found[0, 20] < found[1, 20] < found[2, 20]
    assert value(rows, inversion.ERROR, steps="-", **{"w on the way back": "the scene"}) == math.inf


def test_guidance_is_on_the_way_back_alone_and_the_way_up_is_taken_once(oracle, monkeypatch):
    monkeypatch.setattr(inversion, "STEPS", (4,))
    monkeypatch.setattr(inversion, "REFINE", (0, 2))
    model = Denoiser(Painter(staged), cosine())
    with common.evaluations(model.net) as calls:
        rows = inversion.measure(SCENES, model, drawn.held_out(20), seed=0, w=3.0)
    assert [row["w on the way back"] for row in rows] == ["another drawing", 1.0, 1.0, 3.0, 3.0, "the scene"]
    up, back = 4 * (1 + 3), 2 * 4 * (1 + 2)  # once and three guesses a step; two guesses where guidance acts
    assert sum(calls) == 20 * (up + back)


# Edits


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(edits.retouch, "EDIT_STEPS", 10)


@pytest.mark.parametrize("which", [SUBJECT, THING, PLACE])
def test_one_attribute_changes_and_what_is_asked_for_is_held_out(which, oracle):
    task = edits.draw_task(which, 300, seed=0)
    assert torch.equal((task.source != task.target).sum(0), 300 * F.one_hot(torch.tensor(which), 3))
    assert scenes.is_held_out(task.target).all()
    assert scenes.is_held_out(task.source).all() == (which != PLACE)
    assert len(task.target.unique(dim=0)) > 250 and len(task.target[:20, SUBJECT].unique()) > 5
    assert torch.equal(edits.draw_task(which, 300, seed=0).source, task.source)


def test_the_mask_of_staged_scenes_is_the_square_and_a_pixel_around_or_all_else(oracle):
    square = torch.zeros(1, 1, 48, 48, dtype=torch.bool)
    square[..., INSIDE, INSIDE] = True
    wider = F.max_pool2d(square.float(), 3, 1, 1) > 0
    for which in (SUBJECT, THING, PLACE):
        hole = edits.draw_task(which, 20, seed=0).hole
        assert torch.equal(hole, (~square if which == PLACE else wider).expand(20, -1, -1, -1))


@pytest.mark.parametrize("which", [SUBJECT, THING])
def test_in_drawn_scenes_a_perfect_edit_changes_nothing_outside_the_mask(which):
    task = edits.draw_task(which, 40, seed=1)
    perfect = tables.drawn(task.target, 1)
    assert metrics.psnr(perfect, task.x0, where=~task.hole).isinf().all()
    assert 0.2 < task.hole.float().mean() < 0.6
    assert edits.figure(task.source, 1)[task.hole.logical_not()].logical_not().all()


def test_in_drawn_scenes_the_figure_stays_when_the_place_changes():
    task = edits.draw_task(PLACE, 40, seed=1)
    floats = [torch.isin(x[:, 2], torch.tensor(edits.FLOATING)) for x in (task.source, task.target)]
    alike = floats[0] == floats[1]
    perfect = tables.drawn(task.target, 1)
    assert metrics.psnr(perfect[alike], task.x0[alike], where=~task.hole[alike]).isinf().all()
    assert 0.5 < task.hole.float().mean() < 0.95


def test_a_painter_that_obeys_does_every_edit_and_what_it_brightens_is_known(oracle, few_steps):
    """It brightens the whole picture a little with every number of the scene: by so much an edit changes the rest."""

    def paint(cond):
        return staged(cond) + 0.0005 * cond.sum(1).view(-1, 1, 1, 1)

    rows = edits.measure(SCENES, Denoiser(Painter(paint), cosine()), 20, seed=0, w=2.0)
    assert len(rows) == 5 * 4
    for which, changed in enumerate(scenes.Scene._fields):
        task = edits.draw_task(which, 20, seed=which)
        brighter = 0.0005 * (task.target - task.source).sum(1)
        expected = tables.decibels(10 * torch.log10(4 / brighter**2)).value
        for way in edits.EDITS:
            row = dict(changed=changed, edited=way)
            assert [value(rows, name, **row) for name in (edits.DONE, edits.ASKED, edits.KEPT, edits.ENOUGH)] == [1] * 4
            assert value(rows, edits.STAYED, **row) == pytest.approx(expected, abs=0.02)
        nothing = dict(changed=changed, edited=edits.NOTHING)
        assert [value(rows, name, **nothing) for name in (edits.DONE, edits.ASKED, edits.KEPT)] == [0, 0, 1]
        assert value(rows, edits.STAYED, **nothing) == math.inf
        assert value(rows, edits.DONE, changed=changed, edited=edits.ANEW) == 1


def test_an_edit_that_gets_the_thing_wrong_is_told_apart_by_what_changed_and_what_stayed(oracle, monkeypatch):
    def wrong(model, task, way, seed, w):
        shown = task.target.clone()
        shown[:, THING] = (shown[:, THING] + 1) % CLASSES[THING]
        return staged(shown)

    monkeypatch.setattr(edits, "edited", wrong)
    rows = edits.measure(SCENES, Denoiser(Painter(staged), cosine()), 70, seed=0, w=1.0)
    for changed, asked, kept in (("subject", 1, 0), ("thing", 0, 1), ("place", 1, 0)):
        row = dict(changed=changed, edited=edits.BARE)
        assert [value(rows, name, **row) for name in (edits.DONE, edits.ASKED, edits.KEPT)] == [0, asked, kept]
    assert value(rows, edits.ASKED, changed=edits.TOGETHER, edited=edits.BARE) == pytest.approx(2 / 3)


def test_a_model_that_changes_nothing_edits_nothing_and_keeps_all(oracle, few_steps):
    rows = edits.measure(SCENES, Denoiser(Known(sigma=0), cosine()), 20, seed=0, w=1.0)
    for way in edits.EDITS:
        row = dict(changed=edits.TOGETHER, edited=way)
        assert value(rows, edits.DONE, **row) == 0 and value(rows, edits.KEPT, **row) == 1
        assert value(rows, edits.STAYED, **row) > 90


def test_each_way_hands_on_its_mask_and_never_pastes(oracle, monkeypatch):
    task, said = edits.draw_task(THING, 20, seed=0), []
    found = torch.zeros(20, 1, 48, 48, dtype=torch.bool)
    monkeypatch.setattr(
        edits.retouch, "find_mask", lambda model, x0, source, target, streams: said.append(streams) or found
    )
    monkeypatch.setattr(edits.retouch, "change", lambda model, x0, *conds, **rest: said.append((*conds, rest)) or x0)
    model = Denoiser(Painter(staged), cosine())
    for way in edits.EDITS:
        assert torch.equal(edits.edited(model, task, way, seed=5, w=2.5), task.x0)
    (source, target, bare, w, rest), streams, (_, _, by_model, *_), (_, _, given, *_) = said
    assert bare is None and by_model is found and given is task.hole and w == 2.5 and rest == {"paste": False}
    assert torch.equal(streams.normal((4,)), Streams(5, range(20)).normal((4,)))
    assert torch.equal(source, task.source) and torch.equal(target, task.target)


# The command line


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained model of each kind."""
    folder = tmp_path_factory.mktemp("weights")
    pretrained.write(folder / "digits.safetensors", DIGITS.untrained(width=8))
    pretrained.write(folder / "scenes.safetensors", SCENES.untrained(width=8))
    return folder


def of(kind):
    return "digits" if kind == "inpainting" else "scenes"


@pytest.mark.parametrize("kind", ROOMS)
def test_the_command_prints_and_writes_the_same_for_the_same_seed(kind, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(digits.FOLDER, str(tmp_path))
    monkeypatch.setattr(inpainting, "WALKS", {"replacement": (2, 1), "RePaint": (2, 2)})
    monkeypatch.setattr(inpainting, "FILLED", ("left black", "replacement", "RePaint", "true digit"))
    monkeypatch.setattr(sdedit, "STRENGTHS", (0.5,))
    monkeypatch.setattr(inversion, "STEPS", (2,))
    monkeypatch.setattr(sdedit, "STEPS", 2)
    monkeypatch.setattr(edits.retouch, "EDIT_STEPS", 2)
    monkeypatch.setattr(edits, "EDITS", (edits.BARE, edits.GIVEN))
    out, told = tmp_path / "x.json", []
    own = ["--weights", str(weights / f"{of(kind)}.safetensors")]
    for seed in ("3", "3", "4"):
        assert cli.main(["evaluate", kind, *own, "--n", "20", "--seed", seed, "--json", str(out)]) == 0
        told.append(out.read_text())
    first, again, other = (json.loads(text) for text in told)
    assert first == again and first["metrics"] != other["metrics"]
    assert first["protocol"]["seed"] == 3 and first["protocol"]["weights"] == own[1]
    assert ("w" in first["protocol"] or "w_back" in first["protocol"]) == (kind != "inpainting")
    shown = capsys.readouterr().out
    assert "In brackets: 95 % intervals" in shown and "protocol: n 20" in shown and f"unrounded in {out}" in shown


def test_how_many_and_the_guidance_scale_that_are_not_given(weights, monkeypatch):
    said = []
    for kind, room in ROOMS.items():
        report = lambda subject, model, name, n, **rest: said.append((n, rest["walk"].w)) or 0  # noqa: E731
        monkeypatch.setattr(room, "report_model", report)
        own = ["--weights", str(weights / f"{of(kind)}.safetensors")]
        assert cli.main(["evaluate", kind, *own]) == 0
    assert said == [(50, 1.0), (150, SCENES.quick.w), (20, SCENES.quick.w), (100, SCENES.quick.w)]
    assert cli.main(["evaluate", "edits", *own, "--w", "2", "--n", "33"]) == 0 and said[-1] == (33, 2.0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["inpainting", "--w", "2"], "--w: inpainting tells the model no label, so there is nothing to guide by"),
        (["inpainting", "--steps", "10"], "--steps: inpainting walks as its method says"),
        (["sdedit", "--sampler", "heun"], "--sampler: sdedit walks"),
        (["inversion", "--spacing", "karras"], "--spacing: inversion walks"),
        (
            ["edits", "--against", "sample"],
            "--against: edits are not measured against a set of real pictures; leave it out",
        ),
        (["edits", "--w", "nan"], "--w: expected a guidance scale"),
        (["inpainting", "--n", "19"], "--n: expected 20 to 5000 pictures, got 19"),
        (["inpainting", "--n", "5001"], "--n: expected 20 to 5000 pictures, got 5001"),
        (["sdedit", "--n", "3"], "--n: expected at least 20 pictures, got 3"),
        (["inversion", "--n", "0"], "--n: expected at least 20 pictures, got 0"),
        (["edits", "--n", "-1"], "--n: expected at least 20 pictures, got -1"),
        (["edits", "--json", "."], "--json: expected a file"),
        (["inpainting", "--weights", "SCENES"], "holds a denoiser of scenes, expected a denoiser of digits"),
        (["sdedit", "--weights", "DIGITS"], "holds a denoiser of digits, expected a denoiser of scenes"),
        (["edits", "--weights", "missing.safetensors"], "no file missing.safetensors"),
    ],
)
def test_a_mistake_gets_one_line_before_any_work(arguments, says, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(digits.FOLDER, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    place = {name.upper(): str(weights / f"{name}.safetensors") for name in ("digits", "scenes")}
    given = [place.get(x, x) for x in arguments]
    if "--weights" not in given:
        given += ["--weights", place[of(arguments[0]).upper()]]
    assert cli.main(["evaluate", *given]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count("\n") == 1 and not captured.out
    assert list(tmp_path.iterdir()) == []


def test_help_names_each(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"evaluate {kind}" in shown for kind in ROOMS) and "PSNR, in dB" in shown
