"""CIFAR-10: read from disk, from class folders or by download, never half-written; trained on, drawn, read and judged."""

import hashlib
import io
import json
import os
import pickle
import socket
import tarfile
import urllib.error

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from diffusion_tutorial import cli, files, pretrained, run
from diffusion_tutorial.data import cifar, digits
from diffusion_tutorial.models.classifier import PhotoClassifier
from diffusion_tutorial.subjects import cifar as room
from diffusion_tutorial.subjects import get, trainables

CIFAR = get("cifar")
ROOM = torchvision.datasets.cifar
FAST = ["--batch", 4, "--precision", "float32"]


@pytest.fixture(autouse=True)
def no_network_and_a_folder_of_its_own(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(run, "device", lambda: "cpu")
    (tmp_path / "data").mkdir()
    monkeypatch.setenv(digits.FOLDER, str(tmp_path / "data"))
    cifar._full.cache_clear()
    yield
    cifar._full.cache_clear()


def small_set() -> dict[str, bytes]:
    """Twenty training and forty test pictures under CIFAR-10's names."""
    rng, made = np.random.default_rng(0), {}
    for name, n in {**{f"data_batch_{i}": 4 for i in range(1, 6)}, "test_batch": 40}.items():
        labels = [int(name[-1] == "h") + i % 9 for i in range(n)]
        batch = {"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8), "labels": labels}
        made[name] = pickle.dumps(batch)
    made["batches.meta"] = pickle.dumps({"label_names": list(cifar.NAMES)})
    return made


def know(monkeypatch) -> None:
    """torchvision expects the sums of the small set."""
    sums = {name: hashlib.md5(data).hexdigest() for name, data in small_set().items()}
    known = ROOM.CIFAR10
    monkeypatch.setattr(known, "train_list", [[name, sums[name]] for name, _ in known.train_list])
    monkeypatch.setattr(known, "test_list", [[name, sums[name]] for name, _ in known.test_list])
    monkeypatch.setattr(known, "meta", {**known.meta, "md5": sums["batches.meta"]})


def place(at, monkeypatch) -> None:
    know(monkeypatch)
    (at / cifar.BATCHES).mkdir(parents=True)
    for name, data in small_set().items():
        (at / cifar.BATCHES / name).write_bytes(data)


def class_folders(at, n: int = 2, sets=("train", "test"), suffix: str = "jpg") -> None:
    rng = np.random.default_rng(1)
    for part in sets:
        for name in cifar.NAMES:
            (at / part / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                Image.fromarray(pixels).resize((32, 32)).save(at / part / name / f"{i:04d}.{suffix}")


def command(*arguments) -> None:
    assert cli.main([str(x) for x in arguments]) == 0


def refused(capsys, *arguments) -> str:
    capsys.readouterr()
    assert cli.main([str(x) for x in arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    return said.splitlines()[-1]


# Where the pictures come from


def test_it_is_read_from_the_folder_that_the_variable_names(tmp_path, monkeypatch):
    place(tmp_path / "data", monkeypatch)
    pixels, labels = cifar.full()
    assert pixels.shape == (20, 3, 32, 32) and pixels.dtype == torch.uint8 and labels.tolist() == [0, 1, 2, 3] * 5
    raw = pickle.loads(small_set()["data_batch_1"])["data"][1]
    assert (pixels[1].flatten().numpy() == raw).all()  # red, green, blue, each row by row
    assert len(cifar.full(train=False)[0]) == 40


@pytest.mark.parametrize("name, how", [("data_batch_3", "cut"), ("test_batch", "gone"), ("batches.meta", "cut")])
def test_a_damaged_or_missing_file_is_said_and_never_unpickled(name, how, tmp_path, monkeypatch):
    place(tmp_path / "data", monkeypatch)
    path = tmp_path / "data" / cifar.BATCHES / name
    path.unlink() if how == "gone" else path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(digits.DataUnavailable, match="missing or damaged; delete that folder"):
        cifar.full()


def offline(url, *args, **kwargs):
    raise urllib.error.URLError("Name or service not known")


def fetch(url, root, filename=None, md5=None):
    """What torchvision does with the archive, but for the network: it is there, and what is in it is unpacked."""
    archive = os.path.join(root, filename)
    with tarfile.open(archive, "w:gz") as packed:
        for name, data in small_set().items():
            about = tarfile.TarInfo(f"{cifar.BATCHES}/{name}")
            about.size = len(data)
            packed.addfile(about, io.BytesIO(data))
    ROOM_UNPACK(archive, root)


ROOM_UNPACK = torchvision.datasets.utils.extract_archive


def test_a_download_comes_whole_and_is_then_read_from_disk(tmp_path, monkeypatch):
    know(monkeypatch)
    monkeypatch.setattr(ROOM, "download_and_extract_archive", fetch)
    pixels, _ = cifar.full()
    assert os.listdir(tmp_path / "data") == [cifar.BATCHES]
    assert sorted(os.listdir(tmp_path / "data" / cifar.BATCHES)) == sorted(small_set())
    monkeypatch.setattr(ROOM, "download_and_extract_archive", offline)
    cifar._full.cache_clear()
    assert torch.equal(cifar.full()[0], pixels)


def test_the_archive_is_checked_against_its_sum(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        ROOM, "download_and_extract_archive", lambda url, root, **more: asked.update(more) or offline(url)
    )
    with pytest.raises(digits.DataUnavailable):
        cifar.full()
    assert asked["md5"] == ROOM.CIFAR10.tgz_md5 and len(asked["md5"]) == 32


def test_offline_there_is_one_clear_sentence_and_nothing_is_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ROOM, "download_and_extract_archive", offline)
    said = refused(capsys, "train", "cifar", "--budget", "1steps", "--out", tmp_path / "run")
    assert said.startswith("diffusion-tutorial: CIFAR-10 could not be downloaded (<urlopen error Name or service")
    assert digits.FOLDER in said and "--data" in said
    assert os.listdir(tmp_path / "data") == [] and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "problem",
    [OSError(28, "No space left"), RuntimeError("File not found or corrupted."), EOFError(), KeyboardInterrupt()],
)
def test_a_half_download_never_appears(problem, tmp_path, monkeypatch):
    def breaks_off(url, root, filename=None, md5=None):
        os.mkdir(os.path.join(root, cifar.BATCHES))
        with open(os.path.join(root, cifar.BATCHES, "data_batch_1"), "wb") as file:
            file.write(b"half a ba")
        raise problem

    monkeypatch.setattr(ROOM, "download_and_extract_archive", breaks_off)
    with pytest.raises(KeyboardInterrupt if isinstance(problem, KeyboardInterrupt) else digits.DataUnavailable):
        cifar.full()
    assert os.listdir(tmp_path / "data") == []


def test_a_mistyped_folder_is_named_and_never_made(tmp_path, monkeypatch):
    monkeypatch.setenv(digits.FOLDER, str(tmp_path / "dota"))
    with pytest.raises(digits.DataUnavailable, match="dota, which does not exist"):
        cifar.full()
    assert not (tmp_path / "dota").exists()


def test_class_folders_hold_the_same_with_the_labels_of_their_names(tmp_path):
    class_folders(tmp_path / "photos", suffix="png")
    found = cifar.of_folder(tmp_path / "photos")
    assert found.pixels.shape == (20, 3, 32, 32) and found.labels.tolist() == [i // 2 for i in range(20)]
    pixels = np.asarray(Image.open(tmp_path / "photos" / "train" / "dog" / "0001.png"))
    assert (found.pixels[11].permute(1, 2, 0).numpy() == pixels).all()  # 32 x 32 comes as it is
    direct = cifar.of_folder(tmp_path / "photos" / "train")
    assert torch.equal(direct.pixels, found.pixels)
    assert not torch.equal(cifar.of_folder(tmp_path / "photos", train=False).pixels, found.pixels)
    os.rename(tmp_path / "photos" / "train" / "dog", tmp_path / "photos" / "train" / "wolf")
    with pytest.raises(files.BadFile, match="expected the folders airplane, .*, got airplane, .* wolf"):
        cifar.of_folder(tmp_path / "photos")


# From the command line


def test_what_can_be_trained_is_listed():
    assert {"cifar", "cifar-classifier", "folder"} <= set(trainables())
    model = CIFAR.untrained(width=8)
    assert CIFAR.fits(model) and model.net.config == dict(channels=3, width=8, labels=10, size=32)


@pytest.fixture
def photos(tmp_path):
    class_folders(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def judge(photos, tmp_path, monkeypatch):
    """The weights of a judge that was trained for two steps; its network is a small one."""
    monkeypatch.setattr(room, "PhotoClassifier", lambda: PhotoClassifier(width=2))
    command("train", "cifar-classifier", "--data", photos, *FAST, "--budget", "2steps", "--out", tmp_path / "judge")
    return tmp_path / "judge" / "cifar_classifier.safetensors"


def test_it_is_trained_drawn_and_edited_and_the_card_tells_the_pictures_that_were_used(photos, tmp_path, capsys):
    out, weights = tmp_path / "run", tmp_path / "run" / "cifar.safetensors"
    command("train", "cifar", "--data", photos, "--width", 8, *FAST, "--budget", "2steps", "--out", out)
    assert "no cifar_classifier comes along" in capsys.readouterr().err
    text = (out / "cifar.json").read_text()
    card = json.loads(text)
    assert str(tmp_path) not in text and card["quality"] is None
    assert (
        card["data"].startswith("CIFAR-10 from the folder photos: 20 pictures (")
        and "compressed as JPEG" in card["data"]
    )
    assert card["command"].startswith("diffusion-tutorial train cifar --data photos --flip --width 8 ")

    command(
        "sample",
        "cifar",
        "--weights",
        weights,
        "--steps",
        1,
        "--n",
        2,
        "--labels",
        "dog,9",
        "--out",
        tmp_path / "x.npz",
    )
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["images"].shape == (2, 32, 32, 3) and arrays["labels"].tolist() == [5, 9]
    picture = photos / "train" / "dog" / "0000.jpg"
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[:, 16:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    rest = [picture, "--mask", tmp_path / "mask.png", "--weights", weights, "--out", tmp_path / "new.png"]
    command("inpaint", "cifar", *rest, "--label", "dog", "--method", "replace")
    command("edit", "cifar", *rest, "--label", "dog", "--to", "cat", "--strength", 0.1)
    new = np.asarray(Image.open(tmp_path / "new.png"))
    assert (new[:, :16] == np.asarray(Image.open(picture))[:, :16]).all()

    Image.fromarray(255 - mask).save(photos / "train" / "dog" / "more.png")
    said = refused(capsys, "train", "cifar", "--data", photos, "--width", 8, *FAST, "--budget", "3steps", "--out", out,
                   "--resume")  # fmt: skip
    assert "was started with contents 20 pictures (" in said and "not 21 pictures (" in said
    assert "none come along for cifar" in refused(capsys, "sample", "cifar", "--out", tmp_path / "y.png")


def test_it_trains_on_torchvisions_files_too(tmp_path, monkeypatch):
    place(tmp_path / "data", monkeypatch)
    command("train", "cifar", "--width", 8, *FAST, "--budget", "1steps", "--evaluate", 0, "--out", tmp_path / "run")
    card = json.loads((tmp_path / "run" / "cifar.json").read_text())
    assert card["data"] == "CIFAR-10, 20 training pictures" and "--data full --flip" in card["command"]


def test_a_judge_is_measured_on_the_test_pictures_and_reads_what_was_drawn(photos, judge, tmp_path, capsys):
    card = json.loads(judge.with_suffix(".json").read_text())
    assert card["quality"]["protocol"] == "20 CIFAR-10 test pictures" and 0 <= card["quality"]["accuracy"] <= 1
    assert isinstance(pretrained.read(judge), PhotoClassifier)
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels, labels=np.arange(40) % 10)
    np.savez(
        tmp_path / "real.npz", images=rng.integers(0, 256, (80, 32, 32, 3), dtype=np.uint8), labels=np.arange(80) % 10
    )
    told = tmp_path / "told.json"
    looked = ["evaluate", tmp_path / "x.npz", "--against", tmp_path / "real.npz", "--json", told]
    command(*looked, "--judge", judge)
    shown, found = capsys.readouterr().out, json.loads(told.read_text())
    assert "real photographs" in shown and "Frechet distance" in found["metrics"]
    read = pretrained.read(judge)(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1).argmax(1)
    share = (read == torch.arange(40) % 10).float().mean().item()
    assert found["metrics"]["read as its label"]["value"] == pytest.approx(share)
    assert found["protocol"]["judge"]["protocol"] == "20 CIFAR-10 test pictures"

    command(*looked)  # without a judge
    shown, found = capsys.readouterr(), json.loads(told.read_text())
    assert set(found["metrics"]) == {"distance to nearest", "share very near"} and "judge" not in found["protocol"]
    assert "no cifar_classifier comes along; train one by `diffusion-tutorial train cifar-classifier`" in shown.err
    assert "Frechet" not in shown.out
    assert "holds something else" in refused(capsys, *looked, "--judge", pretrained.path("digits"))


def test_a_painter_is_read_by_a_judge_that_there_is(photos, judge, tmp_path, monkeypatch, as_learner):
    subject, _ = CIFAR.judged_by(judge).given(CIFAR.settings | {"data": photos})
    monkeypatch.setattr(
        subject, "draw", lambda model, labels, *way: torch.linspace(-1, 1, 20 * 3072).view(20, 3, 32, 32)
    )
    quality = subject.measure(None, 20, tmp_path)["quality"]
    hits = subject.read_back(subject.draw(None, []), [i % 10 for i in range(20)])
    assert quality["label_accuracy"] == round(hits.float().mean().item(), 4) and "20 samples" in quality["protocol"]
    assert CIFAR.judge.file is None and get("cifar").photos_ is None  # the subject itself has stayed as it was


def test_the_judge_sees_pictures_shifted_and_mirrored(tmp_path):
    class_folders(tmp_path / "one", 1, suffix="png")
    judge, _ = CIFAR.judge.given(CIFAR.judge.settings | {"data": tmp_path / "one"})
    images, labels = judge.loss({}).batch(judge.new({}), 8, torch.Generator().manual_seed(0))
    plain = room._signed(judge.photos.pixels)[labels]
    assert images.shape == plain.shape and images.abs().max() <= 1
    assert not any(torch.equal(a, b) for a, b in zip(images, plain))
    torch.testing.assert_close(images.mean((1, 2, 3)), plain.mean((1, 2, 3)), atol=0.25, rtol=0)
