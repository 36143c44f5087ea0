"""Several processes train to the weights of one, go on as more or as fewer, and stop together; one of them writes and speaks."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_run import COSINE, SETTINGS, Rows
from test_training import pictures, tiny
from torch import nn

from diffusion_tutorial import cli, files, run, team
from diffusion_tutorial.losses import Denoising, shuffled
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.team import Team
from diffusion_tutorial.training import Training

STEPS = 6
UNEVEN = SETTINGS | {"batch": 5, "lr": 1e-3}  # of two processes one is shown three pictures and the other two


class Bars(Rows):
    """With 16 features, which GroupNorm takes in pairs; of 8 it would take each by itself, no bias would matter, and AdamW would blow
    up what is left of their slopes, rounding errors."""

    def new(self, settings: dict) -> nn.Module:
        torch.manual_seed(0)
        return Denoiser(UNet(1, 16, 4, size=8), COSINE, "v")


# One process imports torch and makes the others, that saves seconds for each; a line says which team to make.
TEAMS = """
import os, sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
import accelerate
import test_team
from test_team import Denoising, Training, pictures, shuffled, tiny

next(iter(Training(tiny(), Denoising(shuffled(*pictures())), steps=1)))  # torch imports some more at the first optimizer
print("ready", flush=True)
for line in sys.stdin:
    out, size, port, resume, who, when = line.split()
    children = []
    for rank in range(int(size)):
        child = os.fork()
        if not child:
            test_team.become(rank, size, port)
            os._exit(test_team.member(out, resume == "resume", rank == int(who), int(when)))
        children.append(child)
    print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children), flush=True)
"""


def become(rank: int, size: str, port: str) -> None:
    """What torchrun and accelerate launch tell a process."""
    run.device = lambda: "cpu"
    if int(size) > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}  # as torchrun has it
        if "lo" in (name for _, name in socket.if_nameindex()):
            os.environ["GLOO_SOCKET_IFNAME"] = "lo"


def member(out: str, resume: bool, is_told: bool, when: int) -> int:
    """Train, and be told to stop in the middle of step `when`; what is printed goes to a file for each. The exit code."""

    class Told(Denoising):
        left = when

        def __call__(self, *shown):
            self.left -= 1
            if is_told and not self.left:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().__call__(*shown)

    with open(f"{out}-says-{os.environ.get('RANK', 0)}", "a") as said:
        sys.stdout = sys.stderr = said
        try:
            with team.join("cpu").hushed():
                run.train(Bars(loss=Told), Path(out), UNEVEN, STEPS, None, resume)
            return 0
        except run.Ended:
            return 143
        finally:
            said.flush()


@pytest.fixture(scope="module")
def teams():
    script = TEAMS.format(tests=os.path.dirname(__file__))
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.stdin.close()
    process.wait(timeout=60)


def trained(teams, out: Path, size: int, resume: bool = False, told: tuple[int, int] = (-1, 0)) -> list[int]:
    """The exit codes of a team of this size; told: which of them is told to stop, and in which of its steps."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    teams.stdin.write(f"{out} {size} {port} {'resume' if resume else 'new'} {told[0]} {told[1]}\n")
    teams.stdin.flush()
    return [int(code) for code in teams.stdout.readline().split()]


@pytest.fixture(scope="module")
def alone(teams, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    assert trained(teams, out, 1) == [0]
    return out


def assert_same_weights(one: Path, two: Path) -> None:
    one, two = (files.read_tensors(out / "checkpoint.safetensors")[0] for out in (one, two))
    assert one.keys() == two.keys() and torch.equal(one["generator"], two["generator"])
    for name, x in one.items():
        if name.startswith(("model.", "average.")):
            torch.testing.assert_close(two[name], x, atol=1e-5, rtol=0, msg=lambda why, name=name: f"{name}: {why}")


def test_two_processes_train_to_the_weights_of_one_and_one_of_them_writes_and_speaks(teams, alone, tmp_path):
    out = tmp_path / "run"
    assert trained(teams, out, 2) == [0, 0]
    assert_same_weights(alone, out)
    began = Bars().new({}).state_dict()
    ended = files.read_tensors(out / "checkpoint.safetensors")[0]
    assert max((ended[f"model.{name}"] - x).abs().max() for name, x in began.items()) > 1e-3  # it has learned
    assert (
        sorted(os.listdir(out))
        == sorted(os.listdir(alone))
        == ["checkpoint.safetensors", "rows.json", "rows.safetensors"]
    )
    card = json.loads((out / "rows.json").read_text())
    assert card["processes"] == 2 and card["batch_size"] == 5 and card["steps"] == STEPS
    assert "processes" not in json.loads((alone / "rows.json").read_text())
    main, other = ((tmp_path / f"run-says-{rank}").read_text() for rank in (0, 1))
    assert main.count(f"weights and card in {out}: {STEPS} steps") == 1 and other == ""


def test_told_to_one_all_stop_with_a_checkpoint_and_go_on_as_fewer_or_as_more(teams, alone, tmp_path):
    out, steps = tmp_path / "run", []
    for size, told in ((2, (1, 1)), (1, (0, 2)), (2, (0, 1))):
        assert trained(teams, out, size, resume=bool(steps), told=told) == [143] * size
        steps.append(files.read_tensors(out / "checkpoint.safetensors")[1]["step"])
        assert os.listdir(out) == ["checkpoint.safetensors"]
    assert 1 <= steps[0] < steps[1] < steps[2] < STEPS
    assert trained(teams, out, 2, resume=True) == [0, 0]
    assert_same_weights(alone, out)
    says = (tmp_path / "run-says-0").read_text()
    assert [f"stopped at step {step}; the same command with --resume" in says for step in steps] == [True] * 3
    assert (tmp_path / "run-says-1").read_text() == ""


# Without others


class Two(Team):
    """One of two, without the other."""

    def __init__(self, rank: int):
        super().__init__()
        self.rank, self.size, self.main = rank, 2, rank == 0


@pytest.mark.parametrize("n", [2, 5, 8])
def test_the_shares_of_a_batch_make_the_batch(n):
    x, both = torch.randn(n, 3), [Two(0), Two(1)]
    assert torch.equal(torch.cat([one.share(x) for one in both]), x)
    assert [len(one.share(x)) / n for one in both] == [one.part(n) for one in both]
    assert Two(1).share(torch.tensor(3.0)) == 3 and Team().share(x) is x and Team().part(n) == 1


def test_what_would_not_train_to_the_same_weights_is_refused():
    def begin(model, n):
        Training(model, Denoising(shuffled(*pictures())), steps=1, batch_size=n, team=Two(0))

    begin(tiny(), 2)
    with pytest.raises(ValueError, match="a picture for each of 2 processes in a batch, got 1"):
        begin(tiny(), 1)
    with pytest.raises(ValueError, match="BatchNorm looks at the whole batch.*train this in one process"):
        begin(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), 4)


@pytest.mark.parametrize("rank", [0, 1])
def test_without_accelerate_there_is_one_clear_sentence(rank, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setattr(team, "join", team.join.__wrapped__)  # what an earlier test joined is remembered
    monkeypatch.setattr(run, "join", team.join)
    for name, value in {"WORLD_SIZE": "2", "RANK": str(rank)}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["train", "digits", "--budget", "1steps", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == (1 if rank == 0 else 0) and not (tmp_path / "run").exists()
    if rank == 0:
        assert "2 processes were started" in said and "pip install accelerate" in said


def test_alone_nothing_of_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "3")  # left over from something else
    assert team.place() == (0, 1) and team.join.__wrapped__("cpu").size == 1
