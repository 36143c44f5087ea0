import json
import os
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from diffusion_tutorial import files


def test_write_whole_writes_and_replaces(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    files.write_whole(path, lambda aside: aside.write_text("one"))
    assert path.read_text() == "one"
    files.write_whole(str(path), lambda aside: aside.write_text("two"))
    assert path.read_text() == "two" and os.listdir(path.parent) == ["file.txt"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write(aside):
        aside.write_text("half of the n")
        assert path.read_text() == "old" and aside != path and aside.parent == path.parent and aside.suffix == ".txt"
        aside.write_text("new")

    files.write_whole(path, write)
    assert path.read_text() == "new"


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("no")])
@pytest.mark.parametrize("exists", [True, False])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path, problem, exists):
    path = tmp_path / "file.txt"
    if exists:
        path.write_text("old")

    def write(aside):
        aside.write_text("half")
        raise problem

    with pytest.raises(type(problem)):
        files.write_whole(path, write)
    assert os.listdir(tmp_path) == (["file.txt"] if exists else [])
    assert not exists or path.read_text() == "old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_what_was_there_and_nothing_else(tmp_path, step, monkeypatch):
    path = tmp_path / "weights.safetensors"
    files.write_tensors(path, {"x": torch.zeros(3)}, {"n": 1})

    def fail(*args, **kwargs):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="Input/output"):
        files.write_tensors(path, {"x": torch.ones(3)}, {"n": 2})
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["weights.safetensors"]
    assert files.read_tensors(path)[1] == {"n": 1}


def test_killed_in_the_middle_of_a_write_the_old_file_stays_whole(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    script = f"""
import os, signal
from diffusion_tutorial import files

def write(aside):
    aside.write_text("half of the n")
    os.kill(os.getpid(), signal.SIGKILL)

files.write_whole({str(path)!r}, write)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=120).returncode == -9
    assert path.read_text() == "old"
    aside = set(os.listdir(tmp_path)) - {"file.txt"}
    assert all(name.startswith(".") for name in aside)  # what the kill left is hidden, and never read
    files.write_whole(path, lambda aside: aside.write_text("new"))
    assert path.read_text() == "new" and aside <= set(os.listdir(tmp_path))  # it may be another process, still writing
    for name in aside:
        os.utime(tmp_path / name, (0, 0))
    files.write_whole(path, lambda aside: aside.write_text("newer"))
    assert os.listdir(tmp_path) == ["file.txt"] and aside  # what is old is swept up


def test_what_another_process_has_swept_up_meanwhile_is_no_problem(tmp_path, monkeypatch):
    gone = ".file.txt.abcdefgh.diffusion-tutorial-partial.txt"
    monkeypatch.setattr(os, "listdir", lambda folder: [gone])
    files.write_whole(tmp_path / "file.txt", lambda aside: aside.write_text("new"))
    assert (tmp_path / "file.txt").read_text() == "new"


@pytest.mark.parametrize("name", ["notes.png", "a*.png", "a**b.png", "[n].png", "?", ".png", "n.tar.gz", "x" * 250])
def test_nobody_elses_file_is_ever_deleted(tmp_path, name):
    foreign = [
        ".notes-backup.png",
        ".notes-abcdefgh.png",
        ".ab-abcdefgh.png",
        ".n-abcdefgh.png",
        ".a-z.png",
        "notes.txt",
    ]
    foreign += [".notes.png", ".notes.png.backup.png", ".notes.png.abcdefgh.partial.png", ".notes.png.~lock.png"]
    foreign += [".a.png.abcdefgh.diffusion-tutorial-partial.png", ".other.png.abcdefgh.diffusion-tutorial-partial.png"]
    for old in foreign:
        (tmp_path / old).write_text("somebody's")
        os.utime(tmp_path / old, (0, 0))
    ours = []

    def write(aside):
        ours.append(aside)
        aside.write_text("new")

    files.write_whole(tmp_path / name, write)
    assert set(os.listdir(tmp_path)) == {*foreign, name} and (tmp_path / name).read_text() == "new"
    assert ".diffusion-tutorial-partial" in ours[0].name and ours[0].name.endswith((tmp_path / name).suffix)
    ours[0].write_text("half")  # as a kill leaves it
    os.utime(ours[0], (0, 0))
    files.write_whole(tmp_path / name, write)
    assert set(os.listdir(tmp_path)) == {*foreign, name}


def test_a_folder_that_may_be_written_and_not_read_is_enough(tmp_path, monkeypatch):
    def closed(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", closed)
    files.write_whole(tmp_path / "file.txt", lambda aside: aside.write_text("new"))
    assert (tmp_path / "file.txt").read_text() == "new"


def test_the_umask_decides_who_may_read(tmp_path):
    old = os.umask(0o027)
    try:
        files.write_whole(tmp_path / "file", lambda aside: aside.write_text("x"))
        assert os.umask(0o027) == 0o027  # and is itself left alone
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
    "half": torch.ones(2, dtype=torch.float16),
    "bytes": torch.tensor([0, 255], dtype=torch.uint8),
    "number": torch.tensor(7),
    "empty": torch.zeros(0, 3),
}


def test_tensors_come_back_as_they_went(tmp_path):
    about = {"kind": "tést", "step": 3, "nested": {"list": [1, 2.5, None]}}
    files.write_tensors(tmp_path / "x.safetensors", TENSORS, about)
    tensors, found = files.read_tensors(tmp_path / "x.safetensors")
    assert found == about and tensors.keys() == TENSORS.keys()
    for name, x in TENSORS.items():
        assert torch.equal(tensors[name], x) and tensors[name].dtype == x.dtype


def test_equal_contents_make_equal_files(tmp_path):
    for name in ("a", "b", "c", "d"):
        files.write_tensors(tmp_path / name, TENSORS, {"kind": "test", "step": 3})
    assert len({(tmp_path / name).read_bytes() for name in ("a", "b", "c", "d")}) == 1


def damaged(path, how: str) -> None:
    """Spoil a good file, or put another in its place."""
    data = path.read_bytes()
    header = struct.unpack("<Q", data[:8])[0]
    if how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(data[:-1])
    elif how == "half":
        path.write_bytes(data[: len(data) // 2])
    elif how == "only a header":
        path.write_bytes(data[: 8 + header])
    elif how == "one bit of a number":
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    elif how == "the first number":
        path.write_bytes(data[: 8 + header] + bytes([data[8 + header] ^ 64]) + data[9 + header :])
    elif how == "the description":
        spoilt = data.replace(b'\\"step\\": ', b'\\"stop\\": ', 1)
        assert spoilt != data
        path.write_bytes(spoilt)
    elif how == "something appended":
        path.write_bytes(data + b"more")
    elif how == "huge header":
        path.write_bytes(struct.pack("<Q", 2**60) + data[8:])
    elif how == "text":
        path.write_text("these are not the weights that you are looking for\n" * 100)
    elif how == "a pickle":
        torch.save({"x": torch.zeros(3)}, path)
    elif how == "safetensors of someone else":
        save_file({"x": torch.zeros(3)}, path)
    elif how == "safetensors of someone else with a description":
        save_file({"x": torch.zeros(3)}, path, {"about": json.dumps({"kind": "checkpoint", "step": 1})})
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "missing":
        path.unlink()
    else:
        raise ValueError(how)


DAMAGE = [
    "empty", "truncated", "half", "only a header", "one bit of a number", "the first number", "the description",
    "something appended", "huge header", "text", "a pickle", "safetensors of someone else",
    "safetensors of someone else with a description", "a folder", "missing",
]  # fmt: skip


@pytest.mark.parametrize("how", DAMAGE)
def test_what_is_damaged_or_foreign_is_refused_by_name(tmp_path, how, as_learner):
    path = tmp_path / "x.safetensors"
    files.write_tensors(path, {"x": torch.rand(5, 5)}, {"step": 3})
    damaged(path, how)
    with pytest.raises(files.BadFile) as problem:
        files.read_tensors(path)
    message = str(problem.value)
    assert str(path) in message and "\n" not in message
    assert ("there is no file" if how == "missing" else "is damaged or not") in message


def test_every_single_bit_counts(tmp_path):
    path = tmp_path / "x.safetensors"
    files.write_tensors(path, {"x": torch.rand(3)}, {"step": 3})
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(files.BadFile):
            files.read_tensors(path)
