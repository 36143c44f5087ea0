import json
import shutil

import pytest
import torch
from test_files import DAMAGE, damaged
from test_models import lively

from diffusion_tutorial import files, metrics, pretrained
from diffusion_tutorial.data import digits, scenes
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.losses import simple_loss
from diffusion_tutorial.models.classifier import Classifier, SceneClassifier
from diffusion_tutorial.models.text_unet import TextUNet
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import DPMSolverPP, draw, times
from diffusion_tutorial.schedules import cosine, linear


def small_denoiser(output: str = "v") -> Denoiser:
    torch.manual_seed(1)
    model = Denoiser(UNet(1, 8, 3, size=8), linear(50), output)
    for p in model.parameters():
        p.data += 0.1 * torch.randn(p.shape)
    return model.eval()


# Writing and reading weights


@pytest.mark.parametrize("output", ["v", "eps"])
def test_a_denoiser_comes_back_in_half_precision(output, tmp_path, generator):
    model, path = small_denoiser(output), tmp_path / "model.safetensors"
    assert pretrained.write(path, model) == pretrained.sha256(path)
    again = pretrained.read(path)
    assert again.output == output and torch.equal(again.alpha_bar, linear(50)) and not again.training
    assert again.net.config == model.net.config
    for (name, p), q in zip(again.named_parameters(), model.parameters()):
        assert p.dtype == torch.float32 and not p.requires_grad
        assert torch.equal(p, q.half().float()), name
    x, t, cond = torch.randn(2, 1, 8, 8, generator=generator), torch.tensor([1, 50]), torch.tensor([0, 3])
    torch.testing.assert_close(again(x, t, cond), model(x, t, cond), atol=0.02, rtol=0.02)


def test_a_classifier_comes_back_with_its_statistics(tmp_path, generator):
    judge, path = Classifier(width=8), tmp_path / "judge.safetensors"
    judge(torch.randn(64, 1, 28, 28, generator=generator))  # in training mode: moves the running statistics
    pretrained.write(path, judge.eval())
    again, x = pretrained.read(path), torch.randn(5, 1, 28, 28, generator=generator)
    torch.testing.assert_close(again(x), judge(x), atol=0.01, rtol=0.01)
    assert isinstance(again, Classifier) and not again.training


def small_painter(words=("a", "cat", "moon")) -> Denoiser:
    torch.manual_seed(1)
    return lively(Denoiser(TextUNet(words, width=8, dim=16, size=16, length=6), linear(50), "v"))


def test_a_text_denoiser_keeps_its_words(tmp_path, generator):
    model, path = small_painter(), tmp_path / "model.safetensors"
    pretrained.write(path, model)
    again = pretrained.read(path)
    assert isinstance(again.net, TextUNet) and again.net.tokenizer.words == ("a", "cat", "moon")
    assert again.net.config == model.net.config and again.output == "v" and not again.training
    tokens = again.net.tokenizer(["a cat", "moon"])
    assert torch.equal(tokens, model.net.tokenizer(["a cat", "moon"]))
    for (name, p), q in zip(again.named_parameters(), model.parameters()):
        assert p.dtype == torch.float32 and not p.requires_grad and torch.equal(p, q.half().float()), name
    x, t = torch.randn(2, 3, 16, 16, generator=generator), torch.tensor([1, 50])
    torch.testing.assert_close(again(x, t, tokens), model(x, t, tokens), atol=0.05, rtol=0.05)


def test_a_judge_of_scenes_comes_back_with_its_statistics(tmp_path, generator):
    judge, path = SceneClassifier(8, (3, 4, 5)), tmp_path / "judge.safetensors"
    judge(torch.randn(16, 3, 48, 48, generator=generator))  # in training mode: moves the running statistics
    pretrained.write(path, judge.eval())
    again, x = pretrained.read(path), torch.randn(2, 3, 48, 48, generator=generator)
    assert isinstance(again, SceneClassifier) and not again.training and again.config == judge.config
    for one, two in zip(again(x), judge(x), strict=True):
        torch.testing.assert_close(one, two, atol=0.01, rtol=0.01)


def test_a_network_of_another_package_is_not_written(tmp_path):
    for model, wanted in (
        (torch.nn.Linear(1, 1), r"\(Classifier, SceneClassifier, PhotoClassifier, Gan\), got Linear"),
        (Denoiser(torch.nn.Linear(1, 1), linear(50)), r"\(UNet, TextUNet\), got Linear"),
    ):
        with pytest.raises(ValueError, match=f"expected one of the networks of this package {wanted}"):
            pretrained.write(tmp_path / "model.safetensors", model)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        dict(kind="denoiser"),
        dict(kind="scene classifier"),
        dict(net={"width": 8, "dim": 16, "size": 16, "length": 6}),
        dict(net={"words": ["a", "cat", "moon", "sun"], "width": 8, "dim": 16, "size": 16, "length": 6}),
        dict(net={"words": ["a", "cat", "cat"], "width": 8, "dim": 16, "size": 16, "length": 6}),
        dict(net={"words": ["a", "cat", "moon"], "width": 8, "dim": 16, "size": 12, "length": 6}),
    ],
)
def test_text_weights_that_do_not_fit_their_description_are_refused(change, tmp_path, as_learner):
    path = tmp_path / "model.safetensors"
    pretrained.write(path, small_painter())
    tensors, about = files.read_tensors(path)
    files.write_tensors(path, tensors, about | change)
    with pytest.raises(files.BadFile, match="does not hold weights of this package"):
        pretrained.read(path)


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_weights_are_refused(how, tmp_path):
    path = tmp_path / "model.safetensors"
    pretrained.write(path, small_denoiser())
    if how == "the description":
        path.write_bytes(path.read_bytes().replace(b"denoiser", b"demoiser", 1))
    else:
        damaged(path, how)
    with pytest.raises(files.BadFile) as problem:
        pretrained.read(path)
    assert str(path) in str(problem.value) and "\n" not in str(problem.value).split("(")[0]


@pytest.mark.parametrize(
    "change",
    [
        dict(kind="checkpoint"),
        dict(kind=None),
        dict(net={"depth": 3}),
        dict(net={"channels": 1, "width": 16, "labels": 3}),
        dict(net=None),
        dict(output="x0"),
    ],
)
def test_weights_that_do_not_fit_their_description_are_refused(change, tmp_path, as_learner):
    path = tmp_path / "model.safetensors"
    pretrained.write(path, small_denoiser())
    tensors, about = files.read_tensors(path)
    files.write_tensors(path, tensors, about | change)
    with pytest.raises(files.BadFile, match="does not hold weights of this package"):
        pretrained.read(path)


@pytest.mark.parametrize("name", ["alpha_bar", "net.stem.weight"])
def test_weights_with_a_part_missing_or_wrong_are_refused(name, tmp_path, as_learner):
    path = tmp_path / "model.safetensors"
    pretrained.write(path, small_denoiser())
    tensors, about = files.read_tensors(path)
    assert name in tensors
    for changed in ({k: v for k, v in tensors.items() if k != name}, tensors | {name: torch.zeros(3)}):
        files.write_tensors(path, changed, about)
        with pytest.raises(files.BadFile, match="does not hold weights of this package"):
            pretrained.read(path)


def test_nothing_is_ever_unpickled(tmp_path):
    marker = tmp_path / "executed"

    class Bomb:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    for save in (dict(), dict(_use_new_zipfile_serialization=False)):
        torch.save({"x": Bomb()}, tmp_path / "model.safetensors", **save)
        with pytest.raises(files.BadFile):
            pretrained.read(tmp_path / "model.safetensors")
    assert not marker.exists()


# What comes with the package


@pytest.fixture
def shipped_copy(name, tmp_path, monkeypatch):
    """The shipped files of the model `name`, copied to where a test may spoil them."""
    for ending in ("safetensors", "json"):
        shutil.copy(pretrained.FOLDER / f"{name}.{ending}", tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", pretrained.SHIPPED)
def test_the_card_belongs_to_the_weights(name):
    card = pretrained.card(name)
    path = pretrained.FOLDER / f"{name}.safetensors"
    assert card["sha256"] == pretrained.sha256(path)
    tensors, _ = files.read_tensors(path)
    floats = {k: v for k, v in tensors.items() if v.is_floating_point() and k != "alpha_bar"}
    assert floats and all(v.dtype == torch.float16 and v.isfinite().all() for v in floats.values())
    assert path.stat().st_size < 10e6


@pytest.mark.parametrize("name", pretrained.SHIPPED)
def test_the_card_says_what_a_reader_needs(name):
    card = json.dumps(pretrained.card(name)).lower()
    for word in ("sha256", "data", "seed", "steps", "seconds", "machine", "protocol", "diffusion-tutorial train"):
        assert word in card, word
    for leak in ("/work", "/root", "/home", "/tmp"):
        assert leak not in card


@pytest.mark.parametrize("name", pretrained.SHIPPED)
def test_a_changed_copy_is_refused(name, shipped_copy):
    path = shipped_copy / f"{name}.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(files.BadFile, match="SHA-256 .* its card says .*install it again"):
        pretrained.load(name)
    path.unlink()
    with pytest.raises(files.BadFile, match="there is no file .* install the package again"):
        pretrained.load(name)
    path.write_bytes(data)
    pretrained.load(name)
    (shipped_copy / f"{name}.json").write_text("{")
    with pytest.raises(files.BadFile, match="model card"):
        pretrained.load(name)
    (shipped_copy / f"{name}.json").unlink()
    with pytest.raises(files.BadFile, match="model card"):
        pretrained.load(name)


def test_weights_are_named_by_the_name_of_a_shipped_model_or_by_their_file(tmp_path):
    file = tmp_path / "own.safetensors"
    pretrained.write(file, small_denoiser())
    assert pretrained.path("digits") == pretrained.FOLDER / "digits.safetensors" and pretrained.path(file) == file
    assert pretrained.named("digits").net.config == pretrained.load("digits").net.config
    assert pretrained.named(str(file)).net.config == small_denoiser().net.config


def test_only_what_is_shipped_has_a_card():
    assert {"digit_classifier", "digits", "digits-jump", "scene_classifier", "scenes"} <= set(pretrained.SHIPPED)
    with pytest.raises(ValueError, match=f"{', '.join(pretrained.SHIPPED)}, got faces"):
        pretrained.card("faces")


def test_the_classifier_reads_the_sample():
    images, labels = digits.load()
    share, low, high = metrics.label_accuracy(pretrained.load("digit_classifier"), images, labels)
    assert share > 0.98 and low < share < high
    upside_down, _, _ = metrics.label_accuracy(
        pretrained.load("digit_classifier"), images.flip(2, 3)[::10], labels[::10]
    )
    assert upside_down < 0.7  # it does look


def test_the_digits_that_the_model_draws_are_read_back():
    """50 digits, five of each, in 40 ancestral steps: the classifier reads nearly all of them as what was asked for."""
    model = pretrained.load("digits")
    g, labels = torch.Generator().manual_seed(0), torch.arange(10).repeat(5)
    x_T = torch.randn(50, 1, 28, 28, generator=g)
    drawn = draw(model, x_T, times(40), model.alpha_bar, cond=labels, generator=g)
    assert drawn.shape == x_T.shape and drawn.min() >= -1 and drawn.max() <= 1
    share, _, _ = metrics.label_accuracy(pretrained.load("digit_classifier"), drawn, labels)
    assert share >= 0.85  # 50 digits only: the card has the number
    distance, _ = metrics.nearest(drawn, digits.load()[0])
    assert distance.median() > 0.1  # new digits, not copies of the 5,000
    apart, _ = metrics.nearest(drawn[labels == 3], drawn[labels == 3], k=2)
    assert apart[:, 1].min() > 0.1  # nor copies of each other


def test_the_digit_model_beats_a_guess_at_every_noise():
    model, (images, labels) = pretrained.load("digits"), digits.load()
    assert len(model.alpha_bar) == len(cosine()) and model.net.labels == 10
    g = torch.Generator().manual_seed(0)
    pick = torch.randint(5000, (64,), generator=g)
    for t, most in ((50, 0.5), (300, 0.2), (700, 0.06), (950, 0.02)):
        eps = torch.randn(64, 1, 28, 28, generator=g)
        loss = simple_loss(model, images[pick], torch.full((64,), t), eps, model.alpha_bar, labels[pick])
        assert loss.mean() < most, t


# The shipped model of scenes and its judge


def test_the_judge_reads_drawn_scenes_the_held_out_ones_too():
    judge, g = pretrained.load("scene_classifier"), torch.Generator().manual_seed(5)
    for held_out in (False, True):
        images, attributes, _ = scenes.sample(48, g, held_out)
        assert metrics.scene_read(judge, images, attributes).float().mean() > 0.95
    assert metrics.scene_read(judge, images.flip(2), attributes).float().mean() < 0.7  # it does look


def test_the_scenes_that_the_model_draws_are_read_back():
    """Six held-out prompts in eight guided steps: the judge reads most attributes back; by chance, one in fourteen."""
    model, g = pretrained.load("scenes"), torch.Generator().manual_seed(0)
    assert model.net.tokenizer.words == scenes.vocabulary() and len(model.alpha_bar) == len(cosine())
    asked = scenes.pick(6, g, held_out=True)
    cond = model.net.tokenizer([scenes.plain_caption(row) for row in asked])
    x_T = torch.randn(6, 3, 48, 48, generator=g)
    drawn = draw(guide(model, 4.0), x_T, times(8), model.alpha_bar, cond=cond, step=DPMSolverPP)
    assert drawn.abs().max() <= 1
    assert metrics.scene_read(pretrained.load("scene_classifier"), drawn, asked).float().mean() > 0.6
    assert torch.cdist(drawn.flatten(1), drawn.flatten(1)).add(1e9 * torch.eye(6)).min() > 8  # no two alike


def test_the_scene_model_beats_a_guess_and_knows_better_what_it_is_told():
    model, g = pretrained.load("scenes"), torch.Generator().manual_seed(0)
    images, _, captions = scenes.sample(16, g)
    cond, eps = model.net.tokenizer(captions), torch.randn(images.shape, generator=g)
    for t, most in ((50, 0.8), (300, 0.2), (700, 0.04), (950, 0.005)):
        losses = [
            simple_loss(model, images, torch.full((16,), t), eps, model.alpha_bar, told).mean()
            for told in (cond, cond.roll(1, 0))
        ]
        assert losses[0] < most and losses[0] < (1.0 if t < 500 else 0.9) * losses[1], (t, losses)
