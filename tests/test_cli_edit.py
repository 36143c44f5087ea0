"""The commands `inpaint` and `edit`: known pixels come back as they were, and a user's mistake gets one line."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion_tutorial import cli, pretrained, subjects
from diffusion_tutorial.subjects import retouch


def lively(model):
    g = torch.Generator().manual_seed(3)
    for p in model.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=g)
    return model


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Small networks with random weights."""
    folder = tmp_path_factory.mktemp("weights")
    pretrained.write(folder / "digits.safetensors", lively(subjects.get("digits").untrained(width=8)))
    pretrained.write(folder / "scenes.safetensors", lively(subjects.get("scenes").untrained(width=8)))
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pictures and masks: grey 28, grey 56, colour 48 and colour 96 pixels wide; white where to fill."""
    monkeypatch.setattr(retouch, "STEPS", 4)
    monkeypatch.setattr(retouch, "METHODS", {"repaint": 2, "replace": 1})
    g = np.random.default_rng(0)
    for name, shape in (("small", (28, 28)), ("large", (56, 56)), ("scene", (48, 48, 3)), ("wide", (96, 96, 3))):
        Image.fromarray(g.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / f"{name}.png")
        mask = np.zeros(shape[:2], dtype=np.uint8)
        mask[: shape[0] // 2] = 255
        Image.fromarray(mask).save(tmp_path / f"{name}-mask.png")
    return tmp_path


def run(folder, weights, what, model, name, *more, mask=True):
    out = folder / "new" / "out.png"
    masks = ["--mask", folder / f"{name}-mask.png"] if mask else []
    arguments = [what, model, folder / f"{name}.png", *masks, "--weights", weights / f"{model}.safetensors", *more]
    code = cli.main([str(x) for x in (*arguments, "--out", out)])
    return code, np.array(Image.open(out)) if out.exists() else None


def picture(folder, name):
    return np.array(Image.open(folder / f"{name}.png"))


@pytest.mark.parametrize("method", ["repaint", "replace"])
@pytest.mark.parametrize(
    "model, name", [("digits", "small"), ("digits", "large"), ("scenes", "scene"), ("scenes", "wide")]
)
def test_inpaint_keeps_the_size_and_every_known_pixel(folder, weights, model, name, method):
    old = picture(folder, name)
    code, new = run(folder, weights, "inpaint", model, name, "--method", method)
    assert code == 0 and new.shape == old.shape and new.dtype == np.uint8
    half = len(old) // 2
    assert (new[half:] == old[half:]).all() and (new[:half] != old[:half]).mean() > 0.5


def test_label_prompt_seed_and_method_matter(folder, weights):
    def fill(model, name, *more):
        return run(folder, weights, "inpaint", model, name, *more)[1]

    first = fill("digits", "small", "--label", "3")
    assert (fill("digits", "small", "--label", "3") == first).all()
    for other in (["--label", "4"], ["--label", "3", "--seed", "1"], ["--label", "3", "--method", "replace"]):
        assert (fill("digits", "small", *other) != first).any()
    first = fill("scenes", "scene", "--prompt", "a cat on the moon")
    assert (fill("scenes", "scene", "--prompt", "a dog on the moon") != first).any()
    assert (fill("scenes", "scene") != first).any()


@pytest.mark.parametrize("name", ["scene", "wide"])
def test_edit_changes_the_picture_and_with_a_mask_only_there(folder, weights, name):
    words = ["--prompt", "a cat on the moon", "--to", "a dog on the moon"]
    old = picture(folder, name)
    code, masked = run(folder, weights, "edit", "scenes", name, *words)
    half = len(old) // 2
    assert code == 0 and masked.shape == old.shape
    assert (masked[half:] == old[half:]).all() and (masked[:half] != old[:half]).any()
    code, everywhere = run(folder, weights, "edit", "scenes", name, *words, mask=False)
    assert code == 0 and (everywhere[half:] != old[half:]).any()
    weak = run(folder, weights, "edit", "scenes", name, *words, "--strength", "0.01", "--w", "1", mask=False)[1]
    if name == "scene":
        assert np.abs(weak.astype(int) - old).mean() < np.abs(everywhere.astype(int) - old).mean()


def test_a_picture_with_a_see_through_part_keeps_it_where_nothing_is_filled(folder, weights, capsys):
    rgba = np.zeros((48, 48, 4), dtype=np.uint8)
    rgba[24:36] = (10, 20, 30, 255)
    Image.fromarray(rgba).save(folder / "scene.png")
    new = run(folder, weights, "inpaint", "scenes", "scene")[1]
    assert (new[24:] == rgba[24:]).all() and (new[:24, :, 3] == 255).all()
    assert "scene.png: what is transparent is seen as white" in capsys.readouterr().err


def test_ink_on_paper_is_said_and_kept(folder, weights, capsys):
    paper = np.full((28, 28), 250, dtype=np.uint8)
    paper[4:24, 13:15] = 20
    Image.fromarray(paper).save(folder / "small.png")
    code, new = run(folder, weights, "inpaint", "digits", "small")
    assert code == 0 and (new[14:] == paper[14:]).all()
    assert "small.png: dark ink on light paper" in capsys.readouterr().err


def test_a_digit_in_colour_keeps_its_colours_outside_the_hole(folder, weights):
    old = picture(folder, "wide")
    new = run(folder, weights, "inpaint", "digits", "wide")[1]
    assert (new[48:] == old[48:]).all() and (new[:48, :, 0] == new[:48, :, 1]).all()


MISTAKES = [
    (["inpaint", "digits", "none.png", "--mask", "small-mask.png"], "there is no file"),
    (["inpaint", "digits", "small.png", "--mask", "none.png"], "there is no file"),
    (["inpaint", "digits", "text.png", "--mask", "small-mask.png"], "expected a picture"),
    (["inpaint", "digits", "oblong.png", "--mask", "small-mask.png"], "expected a square picture, got 20 x 10"),
    (["inpaint", "digits", "small.png", "--mask", "large-mask.png"], "of the picture's size, 28 x 28, got 56 x 56"),
    (["inpaint", "digits", "small.png", "--mask", "black.png"], "the mask has no white"),
    (["inpaint", "digits", "deep.tiff", "--mask", "small-mask.png"], "at most 16 bits, 0 to 65535, .*got 0 to 65536"),
    (["inpaint", "digits", "small.png", "--mask", "small-mask.png", "--label", "10"], "a digit from 0 to 9, got 10"),
    (
        ["inpaint", "digits", "small.png", "--mask", "small-mask.png", "--method", "magic"],
        "repaint or replace, got magic",
    ),
    (["inpaint", "scenes", "scene.png", "--mask", "scene-mask.png", "--prompt", "a catt"], "--prompt: .*catt.* cat"),
    (["edit", "scenes", "scene.png", "--prompt", "a cat", "--to", "a dogg"], "--to: .*dogg.* dog"),
    (["edit", "scenes", "scene.png", "--prompt", "a cat", "--to", "a dog", "--strength", "0"], "--strength: .*got 0"),
    (["edit", "scenes", "scene.png", "--prompt", "a cat", "--to", "a dog", "--strength", "2"], "--strength: .*got 2"),
    (["edit", "scenes", "scene.png", "--prompt", "a cat", "--to", "a dog", "--w", "nan"], "--w: .*got nan"),
]


@pytest.mark.parametrize("arguments, message", MISTAKES)
def test_a_mistake_gets_one_line_and_no_file(folder, weights, arguments, message, monkeypatch, capsys, as_learner):
    (folder / "text.png").write_text("not a picture")
    Image.new("L", (20, 10)).save(folder / "oblong.png")
    Image.new("L", (28, 28)).save(folder / "black.png")
    Image.fromarray(np.array([[0, 65536]] * 2, dtype=np.int32)).save(folder / "deep.tiff")
    monkeypatch.chdir(folder)
    code = cli.main([*arguments, "--weights", str(weights / f"{arguments[1]}.safetensors"), "--out", "out.png"])
    said = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and len(said) == 1 and not (folder / "out.png").exists()
    import re

    assert re.search(message, said[0]), said[0]


@pytest.mark.parametrize(
    "out, message",
    [
        ("out.jpg", "--out: expected a name that ends in .png, got out.jpg; a JPEG changes"),
        (".", "ends in .png"),
        ("is.png", "--out: expected a file, but is.png is a folder"),
    ],
)
def test_an_out_that_cannot_be_is_refused_first(folder, weights, out, message, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "is.png").mkdir()
    assert cli.main(["inpaint", "digits", "small.png", "--mask", "small-mask.png", "--out", out]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a**b.png", "[x].PNG"])
def test_any_name_that_ends_in_png_will_do(folder, weights, name):
    (folder / ".a-old.png").write_text("somebody's")
    arguments = ["inpaint", "digits", folder / "small.png", "--mask", folder / "small-mask.png"]
    more = ["--weights", weights / "digits.safetensors", "--out", folder / name]
    assert cli.main([str(x) for x in (*arguments, *more)]) == 0
    assert Image.open(folder / name).format == "PNG" and (folder / ".a-old.png").exists()


@pytest.mark.parametrize(
    "what", [["inpaint"], ["inpaint", "digits"], ["inpaint", "scenes"], ["edit"], ["edit", "scenes"]]
)
def test_help_has_examples(what, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*what, "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and f"diffusion-tutorial {what[0]}" in said and "examples:" in said
