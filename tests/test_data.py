import gzip
import hashlib
import os
import socket
import urllib.error

import numpy as np
import pytest
import torch
import torchvision

from diffusion_tutorial import cli, subjects
from diffusion_tutorial.data import digits
from diffusion_tutorial.evaluation import real

DIGITS = subjects.get("digits")


@pytest.fixture(autouse=True)
def no_network_and_a_folder_of_its_own(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise AssertionError("a test tried to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv(digits.FOLDER, str(tmp_path / "data"))
    (tmp_path / "data").mkdir()


def idx(array: np.ndarray) -> bytes:
    """An array of uint8 as MNIST's files hold it: magic number, sizes, bytes."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def small_set() -> dict[str, np.ndarray]:
    """Twelve training and eight test pictures under MNIST's names."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (20, 28, 28), dtype=np.uint8)
    labels = (np.arange(20) % 10).astype(np.uint8)
    parts = [pixels[:12], labels[:12], pixels[12:], labels[12:]]
    return dict(zip(digits.MD5, parts))


def place(folder, monkeypatch) -> None:
    """Put the small set where the full one would be, with its own MD5 sums."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, array in small_set().items():
        (raw / name).write_bytes(idx(array))
    know(monkeypatch)


def know(monkeypatch) -> None:
    sums = {name: hashlib.md5(idx(array)).hexdigest() for name, array in small_set().items()}
    monkeypatch.setattr(digits, "MD5", sums)


def one_sentence(problem: BaseException) -> str:
    text = str(problem)
    assert "\n" not in text and text.endswith(".") and text[0].isupper() and len(text) < 400, text
    return text


# The sample


def test_the_sample_is_5000_digits_500_of_each():
    images, labels = digits.load()
    assert images.shape == (5000, 1, 28, 28) and images.dtype == torch.float32
    assert labels.shape == (5000,) and labels.dtype == torch.int64
    assert torch.bincount(labels).tolist() == [500] * 10
    assert images.min() == -1 and images.max() == 1 and -0.8 < images.mean() < -0.6
    assert len(images.flatten(1).unique(dim=0)) > 4990


def test_the_sample_is_the_right_way_up():
    """A 1 is a tall stroke in the middle; a 0 has a hole there; a 7 is heavier at the top than at the bottom."""
    images, labels = digits.load()
    mean = [images[labels == k].mean(0)[0] for k in range(10)]
    assert mean[1][14, 12:16].mean() > 0.3 > mean[0][14, 12:16].mean()
    assert mean[7][6:12].mean() > mean[7][17:23].mean() + 0.05
    tall = images[labels == 1][:, 0] > 0
    assert tall.any(2).sum(1).float().mean() > tall.any(1).sum(1).float().mean() + 5


def test_what_load_returns_is_ones_own():
    images, labels = digits.load()
    images.fill_(0)
    labels.fill_(0)
    again, labels_again = digits.load()
    assert again.max() == 1 and labels_again.max() == 9


@pytest.mark.parametrize("name, train", [("mnist", True), ("", True), ("sample", False), ("Full", False)])
def test_an_unknown_set_is_refused(name, train):
    with pytest.raises(ValueError, match=f'expected the data set .*"full".*, got "{name}"'):
        digits.load(name, train)


def test_pixels_survive_the_round_trip():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(49).reshape(16, 28, 28)
    signed = digits.to_signed(pixels)
    assert signed.shape == (16, 1, 28, 28) and signed.min() == -1 and signed.max() == 1
    assert torch.equal(digits.to_pixels(signed), pixels)
    assert digits.to_signed(
        torch.tensor([[[0, 255, 51]]], dtype=torch.uint8).expand(1, 28, 3).repeat(1, 1, 10)[..., :28]
    )[0, 0, 0, :3].tolist() == pytest.approx([-1, 1, -0.6])


def test_to_pixels_rounds_and_cuts_off():
    values = torch.tensor([-3.0, -1.0, -1 + 0.9 / 127.5, 1.0, 7.0])
    images = torch.zeros(1, 1, 28, 28)
    images[0, 0, 0, :5] = values
    assert digits.to_pixels(images)[0, 0, :5].tolist() == [0, 0, 1, 255, 255]


# The full set, from a folder


def test_the_full_set_is_read_from_the_folder_that_the_variable_names(tmp_path, monkeypatch):
    place(tmp_path / "data", monkeypatch)
    known = list(small_set().values())
    for train, pixels, labels in [(True, *known[:2]), (False, *known[2:])]:
        images, found = digits.load("full", train)
        assert np.array_equal(digits.to_pixels(images).numpy(), pixels) and np.array_equal(found.numpy(), labels)
        assert found.dtype == torch.int64
    assert digits.load_or_sample()[2] == "full"


def test_another_folder_is_another_set(tmp_path, monkeypatch):
    place(tmp_path / "data", monkeypatch)
    digits.load("full")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv(digits.FOLDER, str(tmp_path / "elsewhere"))
    monkeypatch.setattr(digits, "_download", lambda root: (_ for _ in ()).throw(digits.DataUnavailable("No.")))
    with pytest.raises(digits.DataUnavailable):
        digits.load("full")


@pytest.mark.parametrize("name", digits.MD5)
@pytest.mark.parametrize("how", ["changed", "truncated", "empty", "missing"])
def test_a_damaged_or_missing_file_is_named(name, how, tmp_path, monkeypatch):
    place(tmp_path / "data", monkeypatch)
    path = tmp_path / "data" / "MNIST" / "raw" / name
    data = path.read_bytes()
    path.write_bytes({"changed": data[:-1] + bytes([data[-1] ^ 1]), "truncated": data[:-1]}.get(how, b""))
    if how == "missing":
        path.unlink()
    with pytest.raises(digits.DataUnavailable) as problem:
        digits.load("full")
    sentence = one_sentence(problem.value)
    assert name in sentence and str(path.parent) in sentence and "missing or damaged" in sentence


def test_the_known_sums_are_those_of_mnist():
    """Written down once more, from torchvision's list of archives: 60,000 and 10,000 pictures and labels."""
    assert list(digits.MD5) == [name.removesuffix(".gz") for name, _ in torchvision.datasets.MNIST.resources]
    assert all(len(md5) == 32 for md5 in digits.MD5.values()) and len(set(digits.MD5.values())) == 4


def test_without_the_variable_the_folder_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(digits.FOLDER)
    assert digits.folder() == tmp_path / ".cache" / "diffusion-tutorial"
    monkeypatch.setenv(digits.FOLDER, "")
    assert digits.folder() == tmp_path / ".cache" / "diffusion-tutorial"
    monkeypatch.setenv(digits.FOLDER, "~/mine")
    assert digits.folder() == tmp_path / "mine"


# The full set, by download (torchvision's own code runs; only the fetching of an archive is replaced)

MNIST = torchvision.datasets.mnist


def offline(url, *args, **kwargs):
    raise urllib.error.URLError("Name or service not known")


def fetch(url, download_root, extract_root=None, filename=None, remove_finished=False, md5=None):
    """What torchvision does for one archive: the .gz and the file in it."""
    name = filename.removesuffix(".gz")
    data = idx(small_set()[name])
    with open(os.path.join(download_root, filename), "wb") as f:
        f.write(gzip.compress(data))
    with open(os.path.join(download_root, name), "wb") as f:
        f.write(data)


def test_a_download_comes_whole_and_is_then_read_from_disk(tmp_path, monkeypatch, capsys):
    know(monkeypatch)
    monkeypatch.setattr(MNIST, "download_and_extract_archive", fetch)
    images, labels = digits.load("full")
    assert images.shape == (12, 1, 28, 28) and labels.tolist() == [i % 10 for i in range(12)]
    raw = tmp_path / "data" / "MNIST" / "raw"
    assert sorted(os.listdir(raw)) == sorted(digits.MD5) and os.listdir(tmp_path / "data") == ["MNIST"]

    monkeypatch.setattr(MNIST, "download_and_extract_archive", offline)
    digits._full.cache_clear()
    assert torch.equal(digits.load("full")[0], images)


def test_without_a_network_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(MNIST, "download_and_extract_archive", offline)
    with pytest.raises(digits.DataUnavailable) as problem:
        digits.load("full")
    sentence = one_sentence(problem.value)
    assert "could not be downloaded" in sentence and digits.FOLDER in sentence and "MNIST/raw" in sentence
    assert not (tmp_path / "data" / "MNIST").exists() and os.listdir(tmp_path / "data") == []


def test_without_a_network_there_is_the_sample(monkeypatch, capsys):
    monkeypatch.setattr(MNIST, "download_and_extract_archive", offline)
    images, labels, name = digits.load_or_sample("full")
    assert name == "sample" and len(images) == len(labels) == 5000
    said = capsys.readouterr().err.strip().splitlines()
    assert sum("could not be downloaded" in line for line in said) == 1 and "5,000 digits" in said[-1]
    assert not any("Traceback" in line for line in said)
    assert digits.load_or_sample("sample")[2] == "sample" and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "problem", [OSError(), OSError(28, "No space left on device"), RuntimeError("File not found or corrupted.\nmore"),
                urllib.error.HTTPError("http://x", 503, "Service Unavailable", {}, None), ConnectionResetError(104, "reset")],
)  # fmt: skip
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_half_download_never_appears(problem, after, tmp_path, monkeypatch):
    calls = []

    def breaks_off(url, download_root, *args, filename=None, **kwargs):
        calls.append(filename)
        if len(calls) > after:
            with open(os.path.join(download_root, filename), "wb") as f:
                f.write(b"half an archi")
            raise problem
        fetch(url, download_root, filename=filename)

    monkeypatch.setattr(MNIST, "download_and_extract_archive", breaks_off)
    with pytest.raises(digits.DataUnavailable) as unavailable:
        digits.load("full")
    one_sentence(unavailable.value)
    assert len(calls) > after and os.listdir(tmp_path / "data") == []


def test_an_interrupted_download_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(url, download_root, *args, filename=None, **kwargs):
        fetch(url, download_root, filename=filename)
        raise KeyboardInterrupt

    monkeypatch.setattr(MNIST, "download_and_extract_archive", interrupt)
    with pytest.raises(KeyboardInterrupt):
        digits.load("full")
    assert os.listdir(tmp_path / "data") == []


def test_a_folder_that_cannot_be_made_gives_one_sentence(tmp_path, monkeypatch):
    (tmp_path / ".cache").write_text("a file where the folder should be")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(digits.FOLDER)
    monkeypatch.setattr(MNIST, "download_and_extract_archive", offline)
    with pytest.raises(digits.DataUnavailable) as problem:
        digits.load("full")
    one_sentence(problem.value)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("network", [offline, fetch])
@pytest.mark.parametrize(("name", "says"), [("dota/mnist", "does not exist"), ("file", "is no folder")])
def test_a_mistyped_folder_is_named_and_never_made(name, says, network, train, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("a file where the folder should be")
    know(monkeypatch)
    monkeypatch.setattr(MNIST, "download_and_extract_archive", network)
    monkeypatch.setenv(digits.FOLDER, str(tmp_path / name))
    sentence = f"{digits.FOLDER} names {tmp_path / name}, which {says}."
    with pytest.raises(digits.DataUnavailable) as problem:
        digits.load("full", train)
    assert one_sentence(problem.value) == sentence == digits.misnamed() and not digits.full_is_there()
    assert digits.load_or_sample("full")[2] == "sample"
    assert capsys.readouterr().err == f"{sentence} Going on with the 5,000 digits that come with the package.\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "file"]


def test_a_folder_that_is_there_is_not_misnamed(tmp_path, monkeypatch):
    assert digits.misnamed() is None
    for name in ("", None):  # the user's cache may still be made
        monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
        monkeypatch.setenv(digits.FOLDER, name) if name is not None else monkeypatch.delenv(digits.FOLDER)
        assert digits.misnamed() is None


# The command: who asks for the full set by name gets it, or an error


@pytest.mark.parametrize("model", ["digits", "classifier"])
@pytest.mark.parametrize("mistyped", [True, False])
def test_training_on_the_full_set_by_name_does_not_go_on_with_another(model, mistyped, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(MNIST, "download_and_extract_archive", offline)
    if mistyped:
        monkeypatch.setenv(digits.FOLDER, str(tmp_path / "dota"))
    arguments = ["train", model, "--data", "full", "--budget", "1steps", "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    expected = f"{tmp_path / 'dota'}, which does not exist" if mistyped else "could not be downloaded"
    assert said.startswith("diffusion-tutorial: ") and said.count("\n") == 1 and expected in said
    assert [p.name for p in tmp_path.iterdir()] == ["data"] and os.listdir(tmp_path / "data") == []


def test_measuring_against_the_full_set_by_name_does_not_go_on_with_another(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(digits.FOLDER, str(tmp_path / "dota"))
    with pytest.raises(digits.DataUnavailable, match="does not exist"):
        real.reference(DIGITS, "full")
    assert (
        "that come along" in real.reference(DIGITS).name and "which does not exist. Going on" in capsys.readouterr().err
    )


def test_the_doctor_names_a_mistyped_folder(tmp_path, monkeypatch, capsys):
    assert DIGITS.check() == [] and "not there; optional" in capsys.readouterr().out
    monkeypatch.setenv(digits.FOLDER, str(tmp_path / "dota"))
    assert DIGITS.check() == [] and f"not there; {digits.misnamed()[:-1]}\n" in capsys.readouterr().out
