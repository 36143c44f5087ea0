"""`diffusion-tutorial evaluate`: the floor, the protocol, the file of numbers, and one line for every bad file."""

import json
import pickle

import numpy as np
import pytest
import torch

from diffusion_tutorial import cli, files, pretrained, subjects
from diffusion_tutorial.data import digits
from diffusion_tutorial.evaluation import labelled as evaluation
from diffusion_tutorial.evaluation import real
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects.conditions import Asked

NAMES = list(evaluation.DECIMALS) + [
    evaluation.ACCURACY,
    evaluation.PRECISION,
    evaluation.RECALL,
    evaluation.NEAR_SHARE,
]

DIGITS = subjects.get("digits")


def write(path, images, labels):
    """As `sample digits` writes."""
    cli.sample.write(path, DIGITS, images, Asked(labels, [*range(len(labels))], len(labels)))


@pytest.fixture(autouse=True)
def no_full_set(tmp_path_factory, monkeypatch):
    monkeypatch.setenv(digits.FOLDER, str(tmp_path_factory.mktemp("empty")))


@pytest.fixture
def small(tmp_path):
    """A file of 200 real digits with labels, to measure against: halves of 100."""
    images, labels = digits.load()
    path = tmp_path / "real.npz"
    write(path, images[::25], labels[::25].tolist())
    return path


def told(out):
    return json.loads(out.read_text())


def test_real_digits_score_like_the_floor_and_copies_stand_out(tmp_path, capsys):
    against = real.reference(DIGITS, "sample")
    assert against.images.shape == against.others.shape == (2500, 1, 28, 28)
    path, out = tmp_path / "x.npz", tmp_path / "x.json"
    write(path, torch.cat([against.others[-270:], against.images[:30]]), [-1] * 270 + [0] * 30)
    assert cli.main(["evaluate", str(path), "--json", str(out)]) == 0
    found, protocol = told(out)["metrics"], told(out)["protocol"]
    assert set(found) == set(NAMES) and protocol["n"] == 300
    for name, x in found.items():
        assert x["interval_95"][0] <= x["value"] <= x["interval_95"][1], name
        assert x["real"]["interval_95"][0] <= x["real"]["value"] <= x["real"]["interval_95"][1], name
    assert 0.5 < found[evaluation.FRECHET]["ratio"] < 2 and 0.9 < found[evaluation.PRECISION]["ratio"] < 1.1
    assert found[evaluation.NEAR_SHARE]["value"] >= 0.1 > 0.02 > found[evaluation.NEAR_SHARE]["real"]["value"]
    shown = capsys.readouterr().out
    assert "against 2500 of the 5000 digits that come along" in shown and "real digits" in shown
    assert all(name in shown for name in NAMES) and "protocol: n 300" in shown and "99.43%" in shown


def test_noise_scores_badly_and_has_no_accuracy_without_labels(tmp_path, small, generator):
    path, out = tmp_path / "noise.npz", tmp_path / "x.json"
    pixels = torch.randint(256, (100, 28, 28), generator=generator, dtype=torch.uint8)
    np.savez(path, images=pixels.numpy())
    assert cli.main(["evaluate", str(path), "--against", str(small), "--json", str(out)]) == 0
    found = told(out)["metrics"]
    assert evaluation.ACCURACY not in found
    assert found[evaluation.FRECHET]["ratio"] > 10 and found[evaluation.PRECISION]["value"] < 0.1


def test_evaluate_draws_with_the_labels_of_the_floor(tmp_path, small, capsys):
    cli.main(["train", "digits", "--width", "8", "--evaluate", "0", "--budget", "1steps", "--out", str(tmp_path)])
    out, weights = tmp_path / "x.json", tmp_path / "digits.safetensors"
    arguments = ["evaluate", "--weights", str(weights), "--against", str(small), "--n", "40", "--json", str(out)]
    walk = ["--sampler", "heun", "--steps", "3", "--w", "2", "--seed", "5"]
    assert cli.main([*arguments, *walk]) == 0
    protocol, first = told(out)["protocol"], out.read_text()
    assert protocol["network_evaluations_per_sample"] == 10  # 2 x 3 - 1 looks, each at two guesses
    assert (protocol["sampler"], protocol["steps"], protocol["w"], protocol["seed"]) == ("heun", 3, 2.0, 5)
    assert cli.main([*arguments, *walk]) == 0 and out.read_text() == first
    against = real.reference(DIGITS, str(small))
    drawn, labels, each = evaluation.draw(DIGITS, pretrained.read(weights), 40, against, 0, Walk("dpm++", 2))
    assert torch.equal(labels, against.labels[:40]) and each == 2
    assert torch.equal(drawn, digits.to_signed(digits.to_pixels(drawn)))
    assert "network evaluations per sample 10" in capsys.readouterr().out


def test_a_reference_without_labels_has_no_floor_for_the_accuracy(tmp_path, small):
    with np.load(small) as arrays:
        np.savez(tmp_path / "bare.npz", images=arrays["images"])
    out = tmp_path / "x.json"
    arguments = ["evaluate", str(small), "--against", str(tmp_path / "bare.npz"), "--n", "50", "--json", str(out)]
    assert cli.main(arguments) == 0
    accuracy = told(out)["metrics"][evaluation.ACCURACY]
    assert accuracy["value"] > 0.9 and accuracy["real"] is None and accuracy["ratio"] is None


def test_reference_and_floor_are_apart_and_always_the_same(small):
    first, again = real.reference(DIGITS, str(small)), real.reference(DIGITS, str(small))
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    everything = real.read(DIGITS, small)[0]
    assert len(first.images) + len(first.others) == len(everything)
    assert torch.cat([first.images, first.others]).unique(dim=0).shape == everything.unique(dim=0).shape


def test_the_full_set_is_cut_into_a_floor_of_ten_thousand(monkeypatch):
    images, labels = torch.zeros(60_000, 1, 28, 28), torch.arange(60_000) % 10
    monkeypatch.setattr(digits, "load", lambda name: (images, labels))
    against = real.reference(DIGITS, "full")
    assert len(against.images) == 50_000 and len(against.others) == len(against.labels) == 10_000


IMAGES = np.zeros((30, 28, 28), np.uint8)
BAD = {
    "not a zip": (b"hello", "expected an .npz"),
    "pickle": (pickle.dumps([1]), "expected an .npz"),
    "empty": (b"", "expected an .npz"),
    "a zip cut short": (b"PK\x03\x04 and no more", "damaged"),
    "no images": (dict(pictures=IMAGES), "expected an .npz with an array `images`"),
    "pickled": (dict(images=np.array([{}] * 30, dtype=object)), "expected an .npz with an array `images`"),
    "floats": (dict(images=IMAGES.astype(float)), "uint8 N x 28 x 28, got float64 (30, 28, 28)"),
    "shape": (dict(images=IMAGES[:, :27]), "got uint8 (30, 27, 28)"),
    "no pictures": (dict(images=IMAGES[:0]), "at least 20 pictures, got 0"),
    "few": (dict(images=IMAGES[:19]), "at least 20 pictures, got 19"),
    "labels' length": (dict(images=IMAGES, labels=np.arange(5)), "each of 30 images, got int64 (5,)"),
    "labels' type": (dict(images=IMAGES, labels=np.zeros(30)), "each of 30 images, got float64 (30,)"),
    "labels' range": (dict(images=IMAGES, labels=np.arange(30)), "0..9, or -1 for none, got 0 to 29"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_line(name, tmp_path, capsys):
    content, says = BAD[name]
    path = tmp_path / "bad.npz"
    path.write_bytes(content) if isinstance(content, bytes) else np.savez(path, **content)
    with pytest.raises(files.BadFile):
        real.read(DIGITS, path)
    assert cli.main(["evaluate", str(path)]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and "bad.npz" in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_damage_within_a_file_gets_one_line(tmp_path, capsys):
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, images=np.random.default_rng(0).integers(256, size=(30, 28, 28)).astype(np.uint8))
    data = bytearray(path.read_bytes())
    data[5000:5100] = bytes(100)
    path.write_bytes(data)
    assert cli.main(["evaluate", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["faces"], "expected cifar, digits, inpainting, folder, scenes, sdedit, inversion, edits or a FILE.npz"),
        (["missing.npz"], "no file missing.npz"),
        (["missing.npz", "--seed", "1"], "--seed says how to draw"),
        (["missing.npz", "--weights", "w"], "--weights says how to draw"),
        (["--against", "imagenet"], "--against: expected full, sample or a FILE.npz, got imagenet"),
        (["--against", "missing.npz"], "no file missing.npz"),
        (["--json", "."], "--json: expected a file"),
        (
            ["--n", "2501"],
            "--n: expected 20 to 2500 pictures, with 2500 real ones for the floor, got 2501; against the full",
        ),
        (["--n", "0"], "got 0"),
        (["--steps", "0"], "--steps"),
    ],
)
def test_a_mistake_gets_one_line(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", *arguments]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_shows_examples_and_says_what_each_number_means(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", "--help"])
    shown = capsys.readouterr().out
    assert (
        ended.value.code == 0
        and "examples:" in shown
        and "never compare" in shown
        and "default: as the subject has it" in " ".join(shown.split())
    )
