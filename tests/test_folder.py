"""Pictures of one's own: read as a person would expect, trained on, drawn, and looked through for copies."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion_tutorial import cli, files, pictures, pretrained, run
from diffusion_tutorial.data import folder
from diffusion_tutorial.evaluation import copies
from diffusion_tutorial.subjects import every, get

RED, GREEN, BLUE = (220, 30, 20), (20, 200, 40), (30, 20, 210)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setattr(run, "device", lambda: "cpu")


def plain(colour, size=(64, 64), mode="RGB") -> Image.Image:
    image = Image.new("RGB", size, colour)
    return image.quantize(4) if mode == "P" else image.convert(mode)


def halves(left, right, size=(64, 64)) -> Image.Image:
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def noisy(path, seed: int, size: int = 40) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize((size, size)).save(path)


def close(pixels, colour, within: int = 4) -> bool:
    return np.abs(np.asarray(pixels, dtype=int) - colour).max() <= within


# One picture


def square(path, side: int = 32):
    return pictures.read_square(path, side)


@pytest.mark.parametrize(
    "mode, suffix", [("RGB", "png"), ("P", "gif"), ("RGBA", "png"), ("CMYK", "tif"), ("RGB", "bmp")]
)
def test_a_colour_is_the_same_in_every_kind_of_file(mode, suffix, tmp_path):
    plain(RED, mode=mode).save(tmp_path / f"one.{suffix}")
    pixels, notes = square(tmp_path / f"one.{suffix}")
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8 and close(pixels, RED)
    assert any("CMYK" in note for note in notes) == (mode == "CMYK")


def test_the_middle_is_taken_and_areas_are_averaged(tmp_path):
    wide = Image.new("RGB", (192, 64), BLUE)
    wide.paste(RED, (64, 0, 128, 64))
    wide.save(tmp_path / "wide.png")
    assert close(square(tmp_path / "wide.png")[0], RED, 0)
    wide.rotate(90, expand=True).save(tmp_path / "long.png")
    assert close(square(tmp_path / "long.png")[0], RED, 0)
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(200)
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
    assert close(square(tmp_path / "board.png")[0], 100, 1)


def test_a_photo_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what is left in the file is up
    halves(RED, BLUE).save(tmp_path / "turned.png", exif=exif)
    pixels, notes = square(tmp_path / "turned.png")
    assert close(pixels[:15], RED) and close(pixels[17:], BLUE) and "upright" in notes[0]


def test_what_is_transparent_is_white_and_lends_no_colour(tmp_path):
    pixels = np.zeros((64, 64, 4), dtype=np.uint8)
    pixels[..., :3] = GREEN  # under the transparent part, too
    pixels[:, ::2, :3], pixels[:, ::2, 3] = RED, 255
    Image.fromarray(pixels).save(tmp_path / "alpha.png")
    seen, notes = square(tmp_path / "alpha.png")
    assert close(seen, (np.array(RED) + 255) / 2) and any("transparent is seen as white" in note for note in notes)


def test_sixteen_bits_and_one_bit_are_read_by_their_range(tmp_path):
    Image.fromarray(np.full((64, 64), 32896, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert close(square(tmp_path / "deep.png")[0], 128, 1)
    Image.fromarray(np.eye(64, dtype=bool)).save(tmp_path / "bits.png")
    seen, _ = square(tmp_path / "bits.png")
    assert close(seen[0, 0], 128, 1) and close(seen[0, -1], 0, 0)


def test_of_what_moves_the_first_picture_is_taken(tmp_path):
    plain(RED).save(tmp_path / "film.gif", save_all=True, append_images=[plain(BLUE), plain(GREEN)])
    pixels, notes = square(tmp_path / "film.gif")
    assert close(pixels, RED) and "first of its 3" in notes[0]


def test_a_small_picture_is_enlarged_and_a_tiny_one_refused(tmp_path):
    plain(RED, (20, 30)).save(tmp_path / "small.png")
    pixels, notes = square(tmp_path / "small.png")
    assert close(pixels, RED) and pixels.shape == (32, 32, 3) and "enlarged" in notes[0]
    plain(RED, (100, 15)).save(tmp_path / "tiny.png")
    with pytest.raises(files.BadFile, match="expected at least 16 pixels a side, got 100 x 15"):
        square(tmp_path / "tiny.png")


# A folder


@pytest.fixture
def mess(tmp_path):
    """Two classes among everything else that lies in people's folders."""
    here = tmp_path / "holiday"
    for i in range(3):
        noisy(here / "cats" / f"{i}.png", i)
        noisy(here / "dogs" / "old" / f"{i}.jpg", 10 + i)
    shutil.copy(here / "cats" / "0.png", here / "cats" / "copy of 0.png")
    whole = (here / "dogs" / "old" / "0.jpg").read_bytes()
    (here / "dogs" / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    (here / "notes.txt").write_text("no picture")
    (here / "cats" / "phone.HEIC").write_bytes(b"ftypheic")
    (here / "cats" / "empty.png").write_bytes(b"")
    plain(RED, (4, 4)).save(here / "dogs" / "icon.png")
    Image.new("RGBA", (64, 64)).save(here / "dogs" / "nothing.png")
    (here / "dogs" / "gone.png").symlink_to(here / "nowhere.png")
    for debris in (".DS_Store", "Thumbs.db", "__MACOSX/x.png", ".hidden/y.png"):
        (here / debris).parent.mkdir(exist_ok=True)
        (here / debris).write_bytes(b"x")
    return here


def test_what_can_be_read_is_read_and_the_rest_is_named_with_a_reason(mess):
    found = folder.load(mess, 32)
    assert found.classes == ("cats", "dogs") and found.sizes == {"cats": 3, "dogs": 3}
    assert found.files == tuple(f"cats/{i}.png" for i in range(3)) + tuple(f"dogs/old/{i}.jpg" for i in range(3))
    assert found.pixels.shape == (6, 3, 32, 32) and found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    reasons = {
        "notes.txt": "no picture",
        "cats/phone.HEIC": "heic",
        "cats/empty.png": "no picture",
        "cats/copy of 0.png": "the same file as cats/0.png",
        "dogs/broken.jpg": "truncated",
        "dogs/icon.png": "got 4 x 4",
        "dogs/nothing.png": "transparent",
        "dogs/gone.png": "a link to nothing",
    }
    assert set(found.left_out) == set(reasons)
    for name, why in reasons.items():
        assert why in found.left_out[name].lower() and str(mess.parent) not in found.left_out[name]
    first = torch.from_numpy(square(mess / "cats" / "0.png")[0]).permute(2, 0, 1)
    assert torch.equal(found.pixels[0], first)


def test_a_flat_folder_has_no_classes_and_a_mixed_one_says_so(tmp_path):
    for i in range(3):
        noisy(tmp_path / "flat" / f"{i}.png", i)
    found = folder.load(tmp_path / "flat", 32)
    assert found.classes == () and found.labels.tolist() == [0, 0, 0] and found.done == {}
    noisy(tmp_path / "flat" / "more" / "4.png", 4)
    mixed = folder.load(tmp_path / "flat", 32)
    assert mixed.classes == () and [(x, n) for x, n in mixed.done.items() if "without a label" in x][0][1] == 4


def test_the_contents_are_the_same_wherever_the_folder_is_and_change_with_any_picture(mess, tmp_path):
    here = folder.load(mess, 32)
    shutil.copytree(mess, tmp_path / "elsewhere" / "renamed", symlinks=True)
    there = folder.load(tmp_path / "elsewhere" / "renamed", 32)
    assert there.contents == here.contents and there.contents.startswith("6 pictures (")
    shutil.move(tmp_path / "elsewhere" / "renamed" / "cats" / "1.png", tmp_path / "elsewhere" / "renamed" / "dogs")
    moved = folder.load(tmp_path / "elsewhere" / "renamed", 32)
    noisy(mess / "cats" / "1.png", 99)
    changed = folder.load(mess, 32)
    assert len({here.contents, moved.contents, changed.contents}) == 3


@pytest.mark.parametrize("n, held", [(3, 0), (4, 1), (30, 7), (60, 10), (200, 20)])
def test_some_pictures_are_held_out_by_their_contents(n, held):
    marks = tuple(f"{i * 7919 % 1009:04d}" for i in range(n))
    labels, pixels = torch.zeros(n, dtype=torch.int64), torch.zeros(n, 3, 32, 32, dtype=torch.uint8)
    made = folder.Pictures("x", pixels, labels, (), marks, marks, {}, {})
    learned, apart = folder.split(made)
    assert len(apart) == held and sorted([*learned.tolist(), *apart.tolist()]) == list(range(n))
    turned = made._replace(marks=marks[::-1])
    assert {turned.marks[i] for i in folder.split(turned)[1].tolist()} == {marks[i] for i in apart.tolist()}


def test_a_folder_without_pictures_gets_one_sentence(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.txt").write_text("a")
    for path, says in (
        (tmp_path / "nowhere", "but there is no "),
        (tmp_path / "x" / "a.txt", "is a file"),
        (tmp_path / "x", "found none that can be read among 1 files .a.txt: no picture"),
    ):
        with pytest.raises(files.BadFile, match=says):
            folder.load(path, 32)
    noisy(tmp_path / "set" / "train" / "cats" / "1.png", 1)
    with pytest.raises(files.BadFile, match="sets and not classes; name one, as .*set/train"):
        folder.load(tmp_path / "set", 32)


# From the command line

FAST = ["--width", 8, "--batch", 4, "--precision", "float32"]


def command(*arguments) -> None:
    assert cli.main([str(x) for x in arguments]) == 0


def refused(capsys, *arguments) -> str:
    capsys.readouterr()
    assert cli.main([str(x) for x in arguments]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of two classes and a model of 48 pixels that was trained on it for two steps."""
    top = tmp_path_factory.mktemp("trained")
    for i in range(6):
        noisy(top / "my pictures" / ("cats" if i % 2 else "dogs") / f"{i}.png", i)
    (top / "my pictures" / "read me.txt").write_text("no picture")
    command("train", "folder", top / "my pictures", "--size", 48, "--flip", *FAST, "--budget", "2steps", "--evaluate", 4,
            "--out", top / "run")  # fmt: skip
    return top


def test_the_card_says_what_was_read_and_not_where(trained):
    text = (trained / "run" / "folder.json").read_text()
    card = json.loads(text)
    assert str(trained) not in text
    assert "the folder my pictures: 6 pictures (" in card["data"] and "2 classes (cats 3, dogs 3)" in card["data"]
    assert "5 to learn from, 1 held out" in card["data"]
    assert card["left_out"]["files"] == 1 and "no picture" in card["left_out"]["named"]["read me.txt"]
    assert card["command"].startswith("diffusion-tutorial train folder 'my pictures' --size 48 --flip --width 8 ")
    assert "contents" not in card["command"] and card["copies"]["protocol"].endswith("of 1 held-out pictures")
    about = files.read_tensors(trained / "run" / "checkpoint.safetensors")[1]
    assert str(trained) not in json.dumps(about) and about["settings"]["contents"].startswith("6 pictures (")
    page = Image.open(trained / "run" / "folder_copies.png")
    assert page.size == (2 * (8 * 49 + 1), 2 * (49 + 1))  # four pairs


def test_few_pictures_are_said_to_be_few(trained, capsys):
    get("folder").given(get("folder").settings | {"pictures": trained / "my pictures"})
    said = capsys.readouterr().err
    assert "6 pictures are few: expect copies" in said and "left out, 1: read me.txt (no picture" in said


def test_a_run_goes_on_and_a_changed_folder_is_refused(trained, tmp_path, capsys):
    shutil.copytree(trained / "my pictures", tmp_path / "renamed")
    whole = ["train", "folder", tmp_path / "renamed", *FAST, "--evaluate", 0]
    command(*whole, "--budget", "3steps", "--out", tmp_path / "whole")
    command(*whole, "--budget", "1steps", "--out", tmp_path / "part")
    started = files.read_tensors(tmp_path / "part" / "checkpoint.safetensors")
    assert started[1]["step"] == 1
    command(*whole, "--budget", "2steps", "--out", tmp_path / "part", "--resume")
    noisy(tmp_path / "renamed" / "cats" / "new.png", 50)
    said = refused(capsys, *whole, "--budget", "3steps", "--out", tmp_path / "part", "--resume")
    assert "was started with contents 6 pictures (" in said and "not 7 pictures (" in said


def test_resuming_gives_the_weights_of_one_go(trained, tmp_path, monkeypatch):
    """Stopped in the middle of a budget of three steps, and gone on with from another place."""
    shutil.copytree(trained / "my pictures", tmp_path / "moved")
    rest = [*FAST, "--evaluate", 0, "--budget", "3steps", "--flip", "--out"]
    command("train", "folder", trained / "my pictures", *rest, tmp_path / "one")
    usual, steps = run.Training._gradients, []

    def stop(self):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return usual(self)

    monkeypatch.setattr(run.Training, "_gradients", stop)
    assert cli.main(["train", "folder", str(trained / "my pictures"), *map(str, rest), str(tmp_path / "two")]) == 130
    monkeypatch.setattr(run.Training, "_gradients", usual)
    command("train", "folder", tmp_path / "moved", *rest, tmp_path / "two", "--resume")
    one, two = (files.read_tensors(tmp_path / x / "folder.safetensors")[0] for x in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_weights_say_what_the_classes_are_called(trained, tmp_path, capsys):
    weights = trained / "run" / "folder.safetensors"
    model = pretrained.read(weights)
    assert model.net.names == ("cats", "dogs") and model.net.shape == (3, 48, 48)
    assert {name for name, subject in every().items() if subject.fits(model)} == {"folder"}
    drawing = ["sample", "folder", "--weights", weights, "--steps", 1, "--n", 3, "--out"]
    command(*drawing, tmp_path / "x.npz", "--labels", "dogs,0")
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["images"].shape == (3, 48, 48, 3) and arrays["classes"].tolist() == ["dogs", "cats", "dogs"]
    command(*drawing, tmp_path / "any.npz", "--labels", "none")
    with np.load(tmp_path / "any.npz") as arrays:
        assert arrays["classes"].tolist() == ["", "", ""]
    said = refused(capsys, *drawing, tmp_path / "y.npz", "--labels", "birds")
    assert "--labels: expected classes with commas between, as cats,dogs, or balanced, or none; got birds" in said
    assert "train folder PICTURES" in refused(capsys, "sample", "folder", "--out", tmp_path / "y.npz")


def test_its_pictures_are_edited_and_looked_through_for_copies(trained, tmp_path, capsys):
    weights, told = trained / "run" / "folder.safetensors", tmp_path / "told.json"
    picture = trained / "my pictures" / "cats" / "1.png"
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[:, 20:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    rest = [picture, "--mask", tmp_path / "mask.png", "--weights", weights, "--out", tmp_path / "new.png"]
    command("inpaint", "folder", *rest, "--label", "cats", "--method", "replace")
    old, new = np.asarray(Image.open(picture)), np.asarray(Image.open(tmp_path / "new.png"))
    assert (new[:, :20] == old[:, :20]).all() and (new[:, 20:] != old[:, 20:]).any()
    command("edit", "folder", *rest, "--label", "cats", "--to", "dogs", "--strength", 0.1)
    command("sample", "folder", "--weights", weights, "--steps", 1, "--n", 4, "--out", tmp_path / "x.npz")
    capsys.readouterr()
    for what in (["folder", "--weights", weights, "--n", 4, "--steps", 1], [tmp_path / "x.npz"]):
        command("evaluate", *what, "--against", trained / "my pictures", "--json", told)
        found = json.loads(told.read_text())
        assert 0 <= found["metrics"]["copies"]["share"] <= 1 and found["protocol"]["held_out"] == 1
        assert "copies among 4 samples" in capsys.readouterr().out
    assert "--against: expected the folder" in refused(capsys, "evaluate", "folder", "--weights", weights)
    assert "--judge: no judge" in refused(capsys, "evaluate", "folder", "--weights", weights, "--judge", "x")


def test_a_model_of_one_class_has_nothing_to_change_into(tmp_path, capsys):
    for i in range(4):
        noisy(tmp_path / "flat" / f"{i}.png", i)
    command(
        "train", "folder", tmp_path / "flat", *FAST, "--budget", "1steps", "--evaluate", 0, "--out", tmp_path / "run"
    )
    weights = tmp_path / "run" / "folder.safetensors"
    assert pretrained.read(weights).net.names == ("picture",)
    command("sample", "folder", "--weights", weights, "--steps", 1, "--n", 2, "--out", tmp_path / "x.png")
    said = refused(capsys, "edit", "folder", tmp_path / "flat" / "0.png", "--weights", weights, "--label", "picture",
                   "--to", "picture", "--out", tmp_path / "y.png")  # fmt: skip
    assert "nothing to change into" in said


# Copies


def toy(n: int, seed: int) -> torch.Tensor:
    """Coarse coloured patterns, none like another."""
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (255 * torch.nn.functional.interpolate(coarse, scale_factor=8)).to(torch.uint8)


def test_a_learner_by_heart_is_found_out_and_neither_new_pictures_nor_blurs_are():
    training, held_out = toy(60, 1), toy(40, 2)
    grain = torch.randint(-6, 7, (20, 3, 32, 32), generator=torch.Generator().manual_seed(3))
    by_heart = (training[:20].int() + grain).clamp(0, 255).to(torch.uint8)
    found = copies.find(by_heart, training, held_out)
    assert found.share.value == 1 and found.samples.place.tolist() == list(range(20))
    assert copies.find(by_heart.flip(-1), training, held_out).share.value == 1
    assert copies.find(toy(40, 4), training, held_out).share.value <= 0.1
    blurs = training[:40].float().view(20, 2, 3, 32, 32).mean(1).mul(0.2).add(0.8 * 127.5).to(torch.uint8)
    close_by = copies.find(blurs, training, held_out)
    assert close_by.share.value == 0
    assert close_by.samples.distance.quantile(0.5) < close_by.held.distance.quantile(0.5)  # which alone would mislead
    half = torch.cat([by_heart[:10], toy(10, 5)])
    assert 0.5 <= copies.find(half, training, held_out).share.value <= 0.6


def test_nearest_pictures_are_those_of_the_definition(monkeypatch):
    monkeypatch.setattr(copies, "PART", 7)
    monkeypatch.setattr(copies, "NEAREST", 5)
    x, among = toy(3, 6), toy(30, 7)
    found = copies.near(x, among)
    for i in range(3):
        both = [
            ((side.float() - among.float()) / 127.5).square().mean((1, 2, 3)).sqrt() for side in (x[i], x[i].flip(-1))
        ]
        d, places = torch.minimum(*both).sort()
        assert found.place[i] == places[0]
        torch.testing.assert_close(found.distance[i], d[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(found.r[i], d[0] / d[1:5].mean(), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="at least 3"):
        copies.near(x, among[:2])


def test_a_model_that_learned_three_pictures_by_heart_gets_that_in_its_card(tmp_path, monkeypatch):
    """The model is a stand-in that draws its training pictures; what is measured goes the way of a training."""
    for i in range(16):
        noisy(tmp_path / "flat" / f"{i}.png", i, size=32)
    subject, _ = get("folder").given(get("folder").settings | {"pictures": tmp_path / "flat"})
    learned, _ = folder.split(subject.read)
    remembered = subject.read.pixels[learned[:3]].repeat(4, 1, 1, 1)
    monkeypatch.setattr(copies, "draw", lambda *_: remembered)
    told = subject.measure(None, 12, tmp_path)["copies"]
    assert told["share"] == 1.0 and told["median_r"]["samples"] < 0.01 < told["usual_r"]
    page = np.asarray(Image.open(tmp_path / "folder_copies.png"))
    left, right = page[2:66, 2:66], page[2:66, 68:132]
    assert (left == right).all() and left.std() > 10
