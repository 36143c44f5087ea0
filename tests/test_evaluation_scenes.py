"""`diffusion-tutorial evaluate scenes`: painters whose quality is known, the interval of a difference, files, mistakes."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from diffusion_tutorial import cli, evaluation, files, metrics, pretrained, subjects
from diffusion_tutorial.data import scenes
from diffusion_tutorial.evaluation import drawn, likeness
from diffusion_tutorial.evaluation import labelled as labelled_room
from diffusion_tutorial.evaluation import scenes as scenes_room
from diffusion_tutorial.evaluation.common import Measured
from diffusion_tutorial.evaluation.scenes import ALL, DRAWN, PICTURES, PLAIN, REWORDED, ROWS, difference
from diffusion_tutorial.subjects.conditions import Asked

SCENES = subjects.get("scenes")
SUBJECT, THING, PLACE = 0, 1, 2
CLASSES = [len(table) for table in (scenes.SUBJECTS, scenes.THINGS, scenes.PLACES)]
HELD_OUT = {tuple(row) for row in scenes.combinations(True).tolist()}
CARD = {"quality": {"accuracy": 1.0, "protocol": "pictures that say what they show"}}


class Oracle(nn.Module):
    """Reads a scene from the colour of the first pixel, where `coded` wrote it; that colour is all its features."""

    def features(self, x):
        return x[:, :, 0, 0]

    def forward(self, x):
        assert len(x), "a judge cannot read no picture at all"
        read = ((x[:, :, 0, 0] + 1) * 127.5 / 10).round().long()
        return tuple(F.one_hot(row.clamp(0, n - 1), n).float() for row, n in zip(read.unbind(1), CLASSES))


def coded(attributes, generator=None):
    """Pictures for the Oracle in place of drawn scenes."""
    return (attributes * 10 / 127.5 - 1)[:, :, None, None].expand(-1, -1, scenes.SIZE, scenes.SIZE)


def asked_by(prompts):
    return torch.tensor([scenes.read(prompt) for prompt in prompts])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained painter."""
    path = tmp_path_factory.mktemp("weights") / "scenes.safetensors"
    pretrained.write(path, SCENES.untrained(width=8))
    return path


@pytest.fixture
def oracle(monkeypatch):
    """A judge that is never wrong, and scenes that it can read."""
    load, card = pretrained.load, pretrained.card
    monkeypatch.setattr(pretrained, "load", lambda name: Oracle() if name == "scene_classifier" else load(name))
    monkeypatch.setattr(pretrained, "card", lambda name: CARD if name == "scene_classifier" else card(name))
    monkeypatch.setattr(scenes, "draw", coded)


@pytest.fixture
def evaluate(weights, tmp_path, monkeypatch):
    """What `evaluate scenes ... --json` writes, with `paint(attributes, prompts, seed)` for a painter, if given."""

    def run(*options, paint=None):
        if paint:
            monkeypatch.setattr(
                SCENES, "draw", lambda model, prompts, seed, walk: paint(asked_by(prompts), prompts, seed)
            )
        out = tmp_path / "out.json"
        assert cli.main(["evaluate", "scenes", "--weights", str(weights), "--json", str(out), *map(str, options)]) == 0
        return json.loads(out.read_text())

    return run


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A small reference: most tests are not about it."""
    monkeypatch.setattr(likeness, "POOL", 324)


def moved(attributes, which):
    """The scenes with one attribute changed to the next of its kind."""
    other = attributes.clone()
    other[:, which] = (other[:, which] + 1) % CLASSES[which]
    return other


def test_a_painter_that_draws_what_is_asked_scores_as_the_ceiling_and_a_wrong_thing_is_noticed(evaluate, capsys):
    """Real scenes and the judge that comes along: plain prompts are obeyed, reworded ones get the thing wrong."""

    def paint(attributes, prompts, seed):
        plain = prompts == [scenes.plain_caption(row) for row in attributes]
        shown = attributes if plain else moved(attributes, THING)
        return scenes.draw(shown, torch.Generator().manual_seed(seed))

    found = evaluate("--n", 150, paint=paint)["metrics"]
    for row in ROWS:
        low, high = found[row][DRAWN]["interval_95"]
        assert found[row][DRAWN]["value"] > 0.9 and low <= found[row][PLAIN]["value"] <= high, row
    assert found["thing"][REWORDED]["value"] == found[ALL][REWORDED]["value"] == 0
    assert min(found[row][REWORDED]["value"] for row in ("subject", "place")) > 0.9
    assert f"judge {pretrained.card('scene_classifier')['quality']['accuracy']:.2%} right" in capsys.readouterr().out


def test_speckles_and_strange_colours_are_told_from_drawn_scenes(evaluate, capsys):
    """Plain prompts get scenes with a grain of 0.1, reworded ones clean scenes that are far too dark."""

    def paint(attributes, prompts, seed):
        generator = torch.Generator().manual_seed(seed)
        clean = scenes.draw(attributes, generator)
        speckled = clean + 0.1 * torch.randn(clean.shape, generator=generator)
        return speckled if prompts == [scenes.plain_caption(row) for row in attributes] else clean / 2 - 0.5

    found = evaluate("--n", 60, paint=paint)["likeness"]
    grain, distance = found["grain"], found["Frechet distance"]
    low, high = grain[DRAWN]["interval_95"]
    assert low < grain[DRAWN]["value"] < high and grain[DRAWN]["ratio"] == distance[DRAWN]["ratio"] == 1
    assert grain[PLAIN]["interval_95"][0] > high and grain[PLAIN]["ratio"] > 1.5
    assert grain[REWORDED]["value"] < grain[DRAWN]["value"]
    assert distance[REWORDED]["interval_95"][0] > distance[DRAWN]["interval_95"][1] and distance[REWORDED]["ratio"] > 2
    assert distance[PLAIN]["value"] > distance[DRAWN]["value"]
    shown = capsys.readouterr().out
    assert f"{grain[PLAIN]['value']:.4f}" in shown and f"{distance[REWORDED]['ratio']:.2f}" in shown


def test_drawn_scenes_are_as_near_as_drawn_scenes(evaluate, monkeypatch):
    """A painter that draws real scenes has ratios of about 1, whatever was asked for, and its interval says so."""
    monkeypatch.setattr(likeness, "POOL", 800)
    paint = lambda attributes, prompts, seed: scenes.draw(attributes, torch.Generator().manual_seed(seed))  # noqa: E731
    found = evaluate("--n", 200, paint=paint)
    for metric in found["likeness"].values():
        low, high = metric[PLAIN]["interval_95"]
        assert low < metric[DRAWN]["value"] < high and 0.7 < metric[PLAIN]["ratio"] < 1.4


def test_likeness_needs_pictures_for_an_interval(evaluate, oracle, capsys):
    assert evaluate("--n", 19, paint=lambda asked, *rest: coded(asked))["likeness"] == {}
    assert "no grain and no distance: they need at least 20 pictures" in capsys.readouterr().out
    flat = evaluate("--n", 20, paint=lambda asked, *rest: coded(asked))["likeness"]
    assert flat["grain"][PLAIN]["value"] < 1e-6
    assert flat["Frechet distance"][PLAIN]["value"] == flat["Frechet distance"][DRAWN]["value"]


def test_without_a_floor_there_is_no_ratio():
    found = {"grain": {PLAIN: Measured(0.1, 0.05, 0.15), DRAWN: Measured(0.0, 0.0, 0.0)}}
    assert likeness.numbers(found, DRAWN)["grain"][PLAIN] == {"value": 0.1, "interval_95": [0.05, 0.15], "ratio": None}
    assert likeness.table(found, DRAWN).splitlines()[-1].split() == ["times", "drawn", "-", "-"]


@pytest.mark.parametrize("which", [SUBJECT, THING, PLACE])
def test_one_wrong_attribute_gets_nothing_and_the_others_full_marks(which, evaluate, oracle, capsys):
    found = evaluate("--n", 324, paint=lambda attributes, prompts, seed: coded(moved(attributes, which)))
    for i, row in enumerate(ROWS):
        marks = (
            {PLAIN: 0.0, REWORDED: 0.0, DRAWN: 1.0} if i in (which, 3) else dict.fromkeys((PLAIN, REWORDED, DRAWN), 1)
        )
        assert {name: x["value"] for name, x in found["metrics"][row].items()} == marks
    instead = found["read_instead"]
    assert instead[DRAWN] == [] and sum(x["times"] for x in instead[PLAIN]) == 324
    table = (scenes.SUBJECTS, scenes.THINGS, scenes.PLACES)[which]
    following = {row.name: after.name for row, after in zip(table, (*table[1:], table[0]))}
    assert {x["asked"]: x["read"] for x in instead[PLAIN]} == following
    first = instead[PLAIN][0]
    shown = capsys.readouterr().out
    assert f"{first['asked']} read as {first['read']}, {first['times']} times" in shown
    assert "plain: 324 of 324 combinations are not read back every time" in shown and "     0.0 % of 1  a " in shown


def test_the_counts_add_up(evaluate, oracle, capsys):
    """A painter that shows every cat as a dog and every moon as Mars, asked for 400 pictures."""

    def paint(attributes, prompts, seed):
        shown = attributes.clone()
        shown[shown[:, SUBJECT] == 0, SUBJECT] = 1
        shown[shown[:, PLACE] == 0, PLACE] = 1
        return coded(shown)

    found = evaluate("--n", 400, paint=paint)
    rows, asked = found["combinations"], asked_by(row["caption"] for row in found["combinations"])
    samples = torch.tensor([row["samples"] for row in rows])
    wrong = (asked[:, [SUBJECT, PLACE]] == 0).any(1)
    assert len(rows) == 324 and {tuple(row) for row in asked.tolist()} == HELD_OUT
    assert samples.sum() == 400 and sorted(samples.unique().tolist()) == [1, 2]
    for name in (PLAIN, REWORDED):
        assert [row[name] for row in rows] == torch.where(wrong, 0, samples).tolist()
        assert sum(row[name] for row in rows) == round(400 * found["metrics"][ALL][name]["value"])
        cats, moons = (int(samples[asked[:, which] == 0].sum()) for which in (SUBJECT, PLACE))
        counts = {(x["asked"], x["read"]): x["times"] for x in found["read_instead"][name]}
        assert counts == {("cat", "dog"): cats, ("moon", "Mars"): moons}
        share, low, high = metrics.share(~wrong.repeat_interleave(samples))
        told = found["metrics"][ALL][name]
        assert told["value"] == pytest.approx(share) and told["interval_95"] == pytest.approx([low, high])
    assert [row[DRAWN] for row in rows] == samples.tolist()
    assert wrong[: int(wrong.sum())].all(), "those that fail come first"
    assert found["lost_by_rewording"]["value"] == 0
    protocol, shown = found["protocol"], capsys.readouterr().out
    assert protocol["n"] == 400 and protocol["samples_per_combination"] == "1 to 2" and protocol["held_out"] == 324
    assert f"plain: {int(wrong.sum())} of 324 combinations" in shown
    assert f"moon read as Mars, {moons} times" in shown and "reworded prompts lose 0.0 points" in shown
    assert all(row["caption"] in shown for row in rows[:5]) and rows[5]["caption"] not in shown


def test_only_held_out_combinations_are_asked_for_and_no_reworded_prompt_is_plain(evaluate, oracle):
    calls = []

    def paint(attributes, prompts, seed):
        calls.append((attributes, prompts, seed))
        return coded(attributes)

    assert evaluate("--n", 648, "--seed", 3, paint=paint)["protocol"]["samples_per_combination"] == 2
    (plain_asked, plain, static), (asked, reworded, other) = calls
    assert torch.equal(plain_asked, asked) and static == 3 != other
    assert {tuple(row) for row in asked[:324].tolist()} == {tuple(row) for row in asked[324:].tolist()} == HELD_OUT
    assert plain == [scenes.plain_caption(row) for row in asked]
    assert not any(a == b for a, b in zip(plain, reworded)) and len(set(reworded)) > 600


def test_wordings_and_static_follow_from_the_seed(evaluate, oracle):
    calls = []
    for seed in (3, 3, 4):
        evaluate("--n", 8, "--seed", seed, paint=lambda asked, *rest: calls.append(rest) or coded(asked))
    first, again, other = calls[:2], calls[2:4], calls[4:]
    assert first == again and first[1][0] != other[1][0]
    assert len({static for _, static in first + other}) == 4


def test_a_few_pictures_are_not_all_of_one_subject():
    assert len(drawn.held_out(20)[:, SUBJECT].unique()) > 5
    assert torch.equal(drawn.held_out(20), drawn.held_out(700)[:20])


def test_an_untrained_painter_and_its_protocol(evaluate, oracle, weights, capsys):
    first = evaluate("--n", 3, "--steps", 2)
    assert evaluate("--n", 3, "--steps", 2) == first
    protocol = first["protocol"]
    assert protocol["network_evaluations_per_sample"] == 4  # two steps, each with two guesses
    assert [protocol[name] for name in ("n", "sampler", "steps", "spacing", "w", "seed")] == [
        *(3, "dpm++", 2, "logsnr", 3.0, 0)
    ]
    assert protocol["weights"] == str(weights) and protocol["judge"] == CARD["quality"]
    assert "n 3; combinations 3; held out 3; samples per combination 1; weights" in capsys.readouterr().out
    walk = ["--sampler", "heun", "--steps", 3, "--w", 1, "--seed", 5]
    assert evaluate("--n", 3, *walk)["protocol"]["network_evaluations_per_sample"] == 5  # 2 x 3 - 1 looks


def test_pictures_are_rounded_and_cut_as_in_a_file_before_they_are_read(evaluate, oracle, monkeypatch):
    read, seen = metrics.scene_read, []
    monkeypatch.setattr(metrics, "scene_read", lambda judge, x, asked: seen.append(x) or read(judge, x, asked))
    monkeypatch.setattr(scenes, "draw", lambda attributes, generator: coded(attributes) + 0.3 / 127.5)
    evaluate("--n", 5, paint=lambda attributes, prompts, seed: coded(attributes) * 1.01 - 0.02)
    assert len(seen) == 3  # too few for likeness, which reads no other pictures
    for x in seen:
        levels = (x + 1) * 127.5
        assert (levels - levels.round()).abs().max() < 1e-3 and 0 <= levels.min() <= levels.max() <= 255


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17:873-890, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_the_interval_of_a_difference_is_newcombes(a, b, low, high):
    x, y = (Measured(right / n, *metrics.wilson(right, n)) for right, n in (a, b))
    d = difference(x, y)
    assert d.value == pytest.approx(x.value - y.value) and (d.low, d.high) == pytest.approx((low, high), abs=2e-4)
    assert difference(y, x) == pytest.approx((-d.value, -d.high, -d.low))


# Pictures in files


def write(path, images, prompts):
    """As `sample scenes` writes."""
    cli.sample.write(path, SCENES, images, Asked(prompts, [*range(len(prompts))], len(prompts)))


@pytest.fixture
def written(tmp_path, oracle):
    """A file of 30 scenes, 20 of them held out, and 3 pictures whose prompts leave something out; thing 1 shown as 2."""
    asked = torch.cat([scenes.combinations(True)[::17][:20], scenes.combinations(False)[::300][:10]])
    prompts = [scenes.plain_caption(row) for row in asked] + ["a cat on the moon", "", "a cat and a dog in space"]
    shown = torch.cat([asked, asked[:3]])
    shown[shown[:, THING] == 1, THING] = 2
    write(tmp_path / "mine.npz", coded(shown), prompts)
    return tmp_path / "mine.npz", asked


def test_pictures_of_a_file_are_read_by_their_prompts(written, tmp_path, capsys):
    (path, asked), out = written, tmp_path / "x.json"
    assert cli.main(["evaluate", str(path), "--json", str(out)]) == 0
    found, shown = json.loads(out.read_text()), capsys.readouterr().out
    right = (asked[:, THING] != 1).sum().item()
    assert 0 < right < 30 and found["metrics"][ALL][PICTURES]["value"] == found["metrics"]["thing"][PICTURES]["value"]
    assert found["metrics"][ALL][PICTURES]["value"] == pytest.approx(right / 30)
    assert found["metrics"][ALL][DRAWN]["value"] == 1 and found["lost_by_rewording"] is None
    protocol = found["protocol"]
    assert [protocol[name] for name in ("n", "combinations", "held_out", "pictures_in_file", "left_out")] == [
        *(30, 30, 20, 33, 3)
    ]
    assert "left out: 3 of 33 pictures, whose prompts name no full scene" in shown and "reworded" not in shown
    assert f"guitar read as top hat, {30 - right} times" in shown or right == 29
    cli.main(["evaluate", str(path), "--n", "7", "--json", str(out)])
    assert "7 of the 30 pictures in" in capsys.readouterr().out and json.loads(out.read_text())["protocol"]["n"] == 7


def test_where_nothing_fails_that_is_said(tmp_path, oracle, capsys):
    asked = scenes.combinations(False)[[5]]
    write(tmp_path / "one.npz", coded(asked), [scenes.plain_caption(asked[0])])
    assert cli.main(["evaluate", str(tmp_path / "one.npz")]) == 0
    assert "pictures: all 1 combinations are read back every time" in capsys.readouterr().out


IMAGES, PROMPTS = np.zeros((2, 48, 48, 3), np.uint8), np.array(["a cat in shades on the moon", "a dog"])
BAD = {
    "no prompts": (dict(images=IMAGES), "got uint8 (2, 48, 48, 3) without prompts"),
    "size": (dict(images=IMAGES[:, :32], prompts=PROMPTS), "got uint8 (2, 32, 48, 3) with prompts"),
    "floats": (dict(images=IMAGES / 1.0, prompts=PROMPTS), "uint8 N x 48 x 48 x 3 with prompts (scenes)"),
    "grey": (dict(images=IMAGES[..., 0], prompts=PROMPTS), "got uint8 (2, 48, 48) with prompts"),
    "a prompt too few": (dict(images=IMAGES, prompts=PROMPTS[:1]), "each of 2 images, got <U27 (1,)"),
    "numbers": (dict(images=IMAGES, prompts=np.arange(2)), "a string as prompt of each of 2 images, got int64"),
    "no scene": (dict(images=IMAGES, prompts=PROMPTS[[1, 1]]), "none of its 2 does"),
    "no images": (dict(prompts=PROMPTS), "expected an .npz with an array `images`"),
    "pickled": (dict(images=IMAGES, prompts=np.array([{}, {}])), "expected an .npz with an array `images`"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_line(name, tmp_path, capsys):
    content, says = BAD[name]
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises(files.BadFile):
        drawn.read(tmp_path / "bad.npz")
    assert cli.main(["evaluate", str(tmp_path / "bad.npz")]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and "bad.npz" in captured.err and captured.err.count("\n") == 1 and not captured.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["scenes", "--against", "sample"],
            "--against: scenes are not measured against a set of real pictures; leave it out",
        ),
        (
            ["FILE", "--against", "sample"],
            "--against: scenes are not measured against a set of real pictures; leave it out",
        ),
        (["FILE", "--w", "4"], "--w says how to draw"),
        (["FILE", "--n", "31"], "--n: expected 1 to 30 pictures, those whose prompt names a scene, got 31"),
        (["FILE", "--n", "0"], "got 0"),
        (["scenes", "--weights", "WEIGHTS", "--n", "0"], "--n: expected at least 1 picture, got 0"),
        (["scenes", "--weights", "missing.safetensors"], "no file missing.safetensors"),
        (["scenes", "--steps", "0"], "--steps"),
        (["scenes", "--w", "nan"], "--w: expected"),
        (["digits", "--weights", "WEIGHTS"], "--weights"),
    ],
)
def test_a_mistake_gets_one_line(arguments, says, weights, written, capsys):
    place = {"FILE": str(written[0]), "WEIGHTS": str(weights)}
    assert cli.main(["evaluate", *(place.get(x, x) for x in arguments)]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count("\n") == 1


def test_digits_are_no_scenes(tmp_path, capsys):
    pretrained.write(tmp_path / "digits.safetensors", subjects.get("digits").untrained(width=8))
    assert cli.main(["evaluate", "scenes", "--weights", str(tmp_path / "digits.safetensors")]) == 2
    assert "holds a denoiser of digits, expected a denoiser of scenes" in capsys.readouterr().err
    np.savez(tmp_path / "digits.npz", images=np.zeros((30, 28, 28), np.uint8))
    assert evaluation.of_file(tmp_path / "digits.npz") == "digits"


def test_the_guidance_scale_that_is_not_given_is_that_of_what_is_drawn(weights, monkeypatch, capsys):
    said = []
    for room in (labelled_room, scenes_room):
        report = lambda subject, model, name, n, **rest: said.append((n, rest["walk"].w)) or 0  # noqa: E731
        monkeypatch.setattr(room, "report_model", report)
    for arguments in (["digits"], ["digits", "--w", "2"], ["scenes"], ["scenes", "--w", "1"]):
        own = ["--weights", str(weights)] if arguments[0] == "scenes" else []
        assert cli.main(["evaluate", *arguments, *own]) == 0
    assert said == [(1000, 1.0), (1000, 2.0), (324, SCENES.quick.w), (324, 1.0)]
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    assert SCENES.quick.w == 3 and "(default: as the subject has it)" in " ".join(capsys.readouterr().out.split())
