"""The subjects: how they draw and are judged, and that a new one is one new file."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from test_models import lively
from torch import nn

from diffusion_tutorial import cli, metrics, pretrained, run, subjects
from diffusion_tutorial.data import scenes
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.models.classifier import SceneClassifier
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import scenes as scenes_room

DIGITS, SCENES = subjects.get("digits"), subjects.get("scenes")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setattr(run, "device", lambda: "cpu")


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


# Drawing


def test_scenes_are_drawn_as_they_were_asked_for():
    model, walk = lively(SCENES.untrained(width=8)), Walk("dpm++", 2, "karras", 3.0)
    prompts = ["a cat on the moon", "", "a robot"]
    drawn = SCENES.draw(model, prompts, 2, walk, negative="a dog")
    tokenizer = model.net.tokenizer
    guided = guide(model, 3.0, negative=tokenizer(["a dog"]))
    by_hand = run.draw(guided, model.alpha_bar, tokenizer(prompts), (3, 48, 48), walk, 2)
    assert torch.equal(drawn, by_hand) and drawn.shape == (3, 3, 48, 48)
    plain = SCENES.draw(model, prompts, 2, walk)
    assert (plain - drawn).abs().amax((1, 2, 3)).min() > 1e-3  # the empty prompt, too, goes away from the dog


def test_an_untrained_model_is_the_same_for_the_same_seed_and_leaves_the_global_one_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, again, other = (SCENES.untrained(width=8, predict="eps", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(one, again) and not same(one, other)
    assert one.output == "eps" and one.net.tokenizer.words == scenes.vocabulary()


def test_each_subject_knows_its_own_models():
    models = {"digits": DIGITS.untrained(width=8), "scenes": SCENES.untrained(width=8), "judge": SceneClassifier()}
    for name, subject in (("digits", DIGITS), ("scenes", SCENES)):
        assert {of for of, model in models.items() if subject.fits(model)} == {name}


@pytest.mark.parametrize("subject", [DIGITS, SCENES], ids=lambda subject: subject.name)
def test_pixels_go_to_files_and_back(subject, generator):
    pixels = torch.randint(256, (3, *subject.pixel_shape), generator=generator, dtype=torch.uint8).numpy()
    images = subject.from_pixels(pixels)
    assert images.shape == (3, *subject.shape) and images.min() >= -1 and images.max() <= 1
    assert (subject.to_pixels(images) == pixels).all()


def test_a_subject_that_there_is_not_gets_the_names_of_those_that_there_are():
    with pytest.raises(ValueError, match="one of the subjects cifar, digits, folder, scenes, got faces"):
        subjects.get("faces")


# How good


@pytest.mark.parametrize("n, each", [(500, "50"), (5, "0 or 1"), (12, "1 or 2")])
def test_a_card_tells_how_many_of_each_digit_were_drawn(n, each, monkeypatch, tmp_path, as_learner):
    monkeypatch.setattr(DIGITS, "draw", lambda model, labels, *way: torch.zeros(n, 1, 28, 28))
    monkeypatch.setattr(DIGITS, "read_back", lambda images, asked: torch.arange(n) % 2 == 0)
    quality = DIGITS.measure(None, n, tmp_path)
    assert set(quality) == {"quality", "guidance"} and quality["quality"]["label_accuracy"] == round(
        (n + 1) // 2 / n, 4
    )
    for part in quality.values():
        assert f"{n} samples, {each} of each digit" in part["protocol"]


class Judge(nn.Module):
    """Reads a scene from the first pixel of each colour, where `write` put it."""

    def forward(self, images):
        read = (images[:, :, 0, 0] * 20 + 20).round().long()
        return tuple(nn.functional.one_hot(read[:, i], n).float() for i, n in enumerate((18, 18, 10)))


def write(attributes: torch.Tensor) -> torch.Tensor:
    return (attributes / 20 - 1)[:, :, None, None].repeat(1, 1, 48, 48)


@pytest.mark.parametrize("n", [30, 324, 400])
def test_a_painter_is_judged_on_held_out_combinations(n, monkeypatch, tmp_path, as_learner):
    asked = []

    def draw(model, prompts, seed, walk):
        asked.extend(prompts)
        attributes = torch.tensor([scenes.read(prompt) for prompt in prompts])
        attributes[:3, 2] = (attributes[:3, 2] + 1) % 10  # three places wrong
        return write(attributes)

    monkeypatch.setattr(SCENES, "draw", draw)
    monkeypatch.setattr(pretrained, "load", {"scene_classifier": Judge()}.get)
    quality = SCENES.measure(None, n, tmp_path)["quality"]
    read = torch.tensor([scenes.read(prompt) for prompt in asked])
    assert len(read) == n and scenes.is_held_out(read).all() and len(read.unique(dim=0)) == min(n, 324)
    assert asked == [scenes.plain_caption(row) for row in read]
    low, high = metrics.wilson(n - 3, n)
    assert quality["accuracy"] == round((n - 3) / n, 4) and quality["interval_95"] == [round(low, 4), round(high, 4)]
    assert f"{n} pictures of held-out combinations" in quality["protocol"]


def test_the_judge_is_judged_on_all_combinations_and_on_each_attribute(monkeypatch, tmp_path, as_learner):
    drawn = []

    def draw(attributes, generator):
        drawn.append(attributes)
        wrong = attributes.clone()
        wrong[0, 1] = (wrong[0, 1] + 1) % 18  # one thing wrong in each part
        return write(wrong)

    monkeypatch.setattr(scenes, "draw", draw)
    monkeypatch.setattr(scenes_room, "REAL", 1200)
    quality = SCENES.judge.measure(Judge(), 0, tmp_path)["quality"]
    asked = torch.cat(drawn)
    assert len(asked) == 1200 and len(drawn) == 3 and 0.05 < scenes.is_held_out(asked).float().mean() < 0.15
    assert quality["accuracy"] == 1197 / 1200 and quality["subject_thing_place"] == [1.0, round(1197 / 1200, 4), 1.0]
    assert quality["protocol"].startswith("1,200 drawn scenes, all combinations")


def test_the_judge_of_scenes_learns_and_is_the_same_for_the_same_seed(tmp_path, monkeypatch):
    """Weights and card belong together; what is written is what was measured."""
    made_up = {"quality": {"accuracy": 0.5, "protocol": "one that is made up"}}
    monkeypatch.setattr(SCENES.judge, "measure", lambda model, n, out: made_up)
    monkeypatch.setattr(scenes_room, "SceneClassifier", lambda: SceneClassifier(width=8))
    for out, seed in (("one", 3), ("again", 3), ("other", 4)):
        run.train(SCENES.judge, tmp_path / out, SCENES.judge.settings | {"batch": 4, "seed": seed}, 2, None)
    one, again, other = (
        pretrained.read(tmp_path / out / "scene_classifier.safetensors") for out in ("one", "again", "other")
    )
    assert isinstance(one, SceneClassifier) and same(one, again) and not same(one, other)
    card = json.loads((tmp_path / "one" / "scene_classifier.json").read_text())
    assert card["sha256"] == pretrained.sha256(tmp_path / "one" / "scene_classifier.safetensors")
    assert card["steps"] == 2 and card["batch_size"] == 4 and card["quality"]["accuracy"] == 0.5
    assert card["licence"] == scenes.ATTRIBUTION


# A new subject is a new file

TOY = '''
"""Toys: a bright half of 8 x 8 pixels, left or right."""

import torch
from torch import nn

from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects.base import Evaluation, Judge, Subject
from diffusion_tutorial.subjects.conditions import Labels


def toys(n, generator, contrast=0.8):
    labels = torch.randint(2, (n,), generator=generator)
    images = torch.full((n, 1, 8, 8), -contrast)
    images[labels == 0, :, :, :4] = images[labels == 1, :, :, 4:] = contrast
    return (images + 0.1 * torch.randn(images.shape, generator=generator)).clamp(-1, 1), labels


class Eye(nn.Module):
    """The brightness of left and right half: the features, and the logits too."""

    def features(self, images):
        return torch.stack([images[..., :4].mean((1, 2, 3)), images[..., 4:].mean((1, 2, 3))], 1)

    def forward(self, images):
        return 5 * self.features(images)


class ToyJudge(Judge):
    name = command = "toy_judge"
    says, title, licence = "the judge of toys", "toy_judge: two means", "none"

    def load(self):
        return Eye()

    def card(self):
        return {"quality": {"accuracy": 1.0, "protocol": "toys"}}


class Toy(Subject):
    name = command = "toy"
    says, plural, title, licence = "toys, by their bright half", "toys", "toy: half and half", "none"
    shape, condition, judge = (1, 8, 8), Labels(["left", "right"], "half"), ToyJudge()
    settings = dict(contrast=0.8, width=8, predict="v", batch=16, lr=1e-2, t_bias=1.0, seed=0, precision="float32")
    options = {"contrast": dict(type=float, help="of the halves (%(default)s)")}
    walk = quick = Walk("dpm++", 6)
    evaluate, scale = 20, 3
    evaluations = {"toy": Evaluation("labelled", 40, against=True)}
    examples = {"sample": "  diffusion-tutorial sample toy --labels left --out left.png\\n"}

    def draw_data(self, settings):
        return lambda n, generator: toys(n, generator, settings["contrast"])

    def network(self, settings):
        return UNet(1, settings["width"], 2, size=8)

    def data(self, settings):
        return "toys drawn on the fly"

    def real(self, which=None):
        return *toys(200, torch.Generator().manual_seed(1)), "toys"

    def read_back(self, images, asked):
        return self.judge.load()(images).argmax(1) == torch.tensor(asked)

    def measure(self, model, n, out):
        return {"read_back": self.quality(model, [i % 2 for i in range(n)], self.quick)[0]} if n else {}


SUBJECT = Toy()
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The package with one file more."""
    folder = tmp_path / "more subjects"
    folder.mkdir()
    (folder / "toy.py").write_text(TOY)
    monkeypatch.setattr(subjects, "__path__", [*subjects.__path__, str(folder)])
    yield tmp_path
    sys.modules.pop("diffusion_tutorial.subjects.toy", None)


def command(*arguments) -> None:
    assert cli.main([str(x) for x in arguments]) == 0


def test_a_new_subject_is_trained_drawn_judged_and_edited_from_the_command_line_by_one_file(toy, capsys):
    weights, drawn, told = toy / "run" / "toy.safetensors", toy / "toys.npz", toy / "told.json"
    command("train", "toy", "--budget", "120steps", "--contrast", 0.7, "--out", toy / "run")
    card = json.loads((toy / "run" / "toy.json").read_text())
    assert card["read_back"] > 0.8 and card["data"] == "toys drawn on the fly" and "--contrast 0.7 " in card["command"]

    command("sample", "toy", "--weights", weights, "--n", 40, "--labels", "left,1", "--out", drawn)
    assert "40 toys in" in capsys.readouterr().out
    with np.load(drawn) as arrays:
        images, labels = arrays["images"].astype(float), arrays["labels"]
    assert images.shape == (40, 8, 8) and labels.tolist() == [0, 1] * 20
    assert ((images[:, :, :4].mean((1, 2)) > images[:, :, 4:].mean((1, 2))) == (labels == 0)).mean() > 0.8
    command("sample", "toy", "--weights", weights, "--n", 3, "--out", toy / "page.png")
    assert Image.open(toy / "page.png").size == (3 * (9 * 3 + 1), 3 * (9 + 1))

    for what, more in (("toy", ["--weights", weights, "--n", 20]), (drawn, [])):
        command("evaluate", what, *more, "--json", told)
        found = json.loads(told.read_text())
        assert found["metrics"]["read as its label"]["value"] > 0.8 and "200 toys" in found["protocol"]["reference"]

    Image.fromarray(images[0].astype(np.uint8)).save(toy / "one.png")
    Image.fromarray(np.uint8([[0] * 4 + [255] * 4] * 8)).save(toy / "mask.png")
    picture = [toy / "one.png", "--mask", toy / "mask.png", "--weights", weights, "--out", toy / "new.png"]
    command("inpaint", "toy", *picture, "--label", "left", "--method", "replace")
    command("edit", "toy", *picture, "--label", "left", "--to", "right", "--strength", 0.1)
    assert (np.asarray(Image.open(toy / "new.png"))[:, :4] == images[0, :, :4]).all()


def test_a_new_subjects_mistakes_get_one_line(toy, capsys):
    weights = str(toy / "toy.safetensors")
    pretrained.write(weights, subjects.get("toy").untrained())
    for arguments, says in (
        (["sample", "toy", "--out", "x.png"], "none come along for toy; train them by `diffusion-tutorial train toy`"),
        (
            ["sample", "toy", "--labels", "up", "--weights", weights, "--out", "x.png"],
            "--labels: expected halfs with commas between, as left,",
        ),
        (["evaluate", "toy", "--w", "nan"], "--w"),
    ):
        assert cli.main(arguments) == 2
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1


def test_a_new_subject_shows_its_own_examples(toy, capsys):
    for arguments in (["sample", "--help"], ["sample", "toy", "--help"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
        assert "sample toy --labels left" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["sample", "evaluate"])
def test_weights_are_read_once(what, toy, monkeypatch):
    weights, read = toy / "toy.safetensors", []
    pretrained.write(weights, subjects.get("toy").untrained())
    once = pretrained.read
    monkeypatch.setattr(pretrained, "read", lambda path: read.append(path) or once(path))
    out = ["--out", toy / "page.png"] if what == "sample" else []
    command(what, "toy", "--weights", weights, "--n", 20, *out)
    assert read == [str(weights)]


def test_without_the_file_there_is_no_such_subject(capsys):
    assert "toy" not in subjects.every()
    with pytest.raises(SystemExit):
        cli.main(["train", "toy"])
    assert "invalid choice: 'toy'" in capsys.readouterr().err
