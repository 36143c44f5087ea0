import os
import subprocess
import sys

import pytest

from diffusion_tutorial import threads


@pytest.fixture
def bare(monkeypatch):
    for name in (threads.WAIT, threads.COUNT, "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    return monkeypatch


@pytest.mark.parametrize("text, cores", [("200000 100000", 2), ("150000 100000", 2), ("40000 100000", 1), ("max 100000", None), ("1600000 100000", None), ("what", None)])  # fmt: skip
def test_the_quota_of_a_container(text, cores, tmp_path, bare):
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert threads.quota(tmp_path) == cores


def test_the_quota_of_an_older_container(tmp_path, bare):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    for most, cores in (("-1", None), ("300000", 3)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(most + "\n")
        assert threads.quota(tmp_path) == cores
    assert threads.quota(tmp_path / "nothing here") is None


def test_threads_wait_passively_unless_somebody_has_said_otherwise(bare):
    bare.setattr(threads, "quota", lambda: 2)
    threads.settle()
    assert os.environ[threads.WAIT] == "PASSIVE" and os.environ[threads.COUNT] == "2"
    bare.setenv(threads.WAIT, "ACTIVE")
    bare.setenv(threads.COUNT, "5")
    threads.settle()
    assert os.environ[threads.WAIT] == "ACTIVE" and os.environ[threads.COUNT] == "5"
    bare.delenv(threads.WAIT)
    bare.setenv("GOMP_SPINCOUNT", "1000")
    threads.settle()
    assert threads.WAIT not in os.environ


def test_importing_the_package_settles_them_before_torch_is_there():
    script = "import sys, os, diffusion_tutorial; print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"
    clean = {k: v for k, v in os.environ.items() if k not in (threads.WAIT, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")}
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=clean)
    assert told.stdout.split() == ["PASSIVE", "False"]
