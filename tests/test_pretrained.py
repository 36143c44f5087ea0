import json
import shutil

import pytest
import torch
from test_files import DAMAGE, damaged

from diffusion_tutorial import files, metrics, pretrained
from diffusion_tutorial.data import digits
from diffusion_tutorial.models.classifier import Classifier
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import draw, times
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
    with pytest.raises(files.BadFile, match="of no file"):
        pretrained.load(name)
    path.write_bytes(data)
    pretrained.load(name)
    (shipped_copy / f"{name}.json").write_text("{")
    with pytest.raises(files.BadFile, match="model card"):
        pretrained.load(name)
    (shipped_copy / f"{name}.json").unlink()
    with pytest.raises(files.BadFile, match="model card"):
        pretrained.load(name)


def test_only_what_is_shipped_has_a_card():
    with pytest.raises(ValueError, match="digits, digit_classifier, got faces"):
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
    from diffusion_tutorial.training import simple_loss

    for t, most in ((50, 0.5), (300, 0.2), (700, 0.06), (950, 0.02)):
        eps = torch.randn(64, 1, 28, 28, generator=g)
        loss = simple_loss(model, images[pick], torch.full((64,), t), eps, model.alpha_bar, labels[pick])
        assert loss.mean() < most, t
