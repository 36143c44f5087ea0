"""16 bits where they pay, slopes that are scaled up in float16, batches that are drawn ahead, pictures that live on a GPU."""

import re
import shlex
import threading
from pathlib import Path

import pytest
import torch
from test_run import SETTINGS, train
from test_training import ALPHA_BAR, Denoising, pictures, same, shuffled, tiny, trained, weights
from torch import nn

from diffusion_tutorial import cli, files, hardware, memory, run, subjects
from diffusion_tutorial.hardware import Ahead
from diffusion_tutorial.losses import shuffled_pixels
from diffusion_tutorial.training import Diverged, Training

# float16 and its scaler


class Slope:
    """A loss whose slope is as steep as one says, whatever the weights are."""

    def __init__(self, steep: float):
        self.steep = steep

    def batch(self, model, n, generator):
        return (1 + torch.randn(n, 3, generator=generator),)

    def __call__(self, model, x):
        return model(x).squeeze(1).float() * self.steep


def line(steep: float, amp, steps: int = 6) -> Training:
    torch.manual_seed(0)
    return Training(nn.Linear(3, 1), Slope(steep), steps=steps, batch_size=8, amp=amp)


def means(training: Training) -> torch.Tensor:
    """The optimizer's averages of the slopes."""
    state = training.optimizer.state_dict()["state"]
    return torch.cat([state[i]["exp_avg"].flatten() for i in sorted(state)])


@pytest.mark.parametrize("steep, cut", [(0.1, False), (0.7, True)])
def test_slopes_are_scaled_down_before_they_are_cut(steep, cut):
    """The scale is 65536: cut to length 1 with it, a slope would be nothing after it."""
    exact, mixed = line(steep, False), line(steep, torch.float16)
    assert mixed.scaler.get_scale() == 65536
    next(iter(exact)), next(iter(mixed))
    torch.testing.assert_close(means(mixed), means(exact), rtol=5e-3, atol=1e-6)
    length = means(exact).norm() / 0.1  # of the slope that AdamW was given
    assert length == pytest.approx(1, rel=1e-3) if cut else 0 < length < 0.9


def test_a_slope_that_does_not_fit_moves_nothing_and_halves_the_scale():
    training = line(2.5, torch.float16)  # 65536 * 2.5 is beyond float16, and so is half of it
    before = weights(training)
    found = [(training.scaler.get_scale(), same(weights(training), before)) for _ in training]
    assert found[:3] == [(32768, True), (16384, True), (16384, False)] and found[-1] == (16384, False)
    assert training.optimizer.state_dict()["state"][0]["step"] == 4


def test_slopes_that_never_fit_are_a_training_that_runs_away():
    with pytest.raises(Diverged, match="not finite at step 18"):
        list(line(1e6, torch.float16, steps=100))
    with pytest.raises(Diverged, match="not finite at step 1,"):
        list(line(float("inf"), torch.float16))


@pytest.mark.parametrize("stop", [1, 4])
def test_the_scale_belongs_to_the_checkpoint(stop, tmp_path):
    whole, first, second = (line(2.5, torch.float16) for _ in range(3))
    list(whole)
    for _ in zip(range(stop), first):
        pass
    first.save(tmp_path / "c.safetensors")
    next(iter(second))
    second.resume(tmp_path / "c.safetensors")
    assert second.scaler.state_dict() == first.scaler.state_dict() != line(2.5, torch.float16).scaler.state_dict()
    list(second)
    assert second.scaler.state_dict() == whole.scaler.state_dict() and same(weights(second), weights(whole))
    with pytest.raises(files.BadFile, match="or of another precision"):
        line(2.5, False).resume(tmp_path / "c.safetensors")


def test_a_network_trains_in_float16_and_stays_close(tmp_path):
    exact, mixed = (
        torch.stack([r.losses.mean() for r in Training(tiny(), Denoising(shuffled(*pictures())), steps=8, amp=amp)])
        for amp in (False, torch.float16)
    )
    torch.testing.assert_close(mixed, exact, rtol=0.1, atol=0.02)
    assert not torch.equal(mixed, exact)


def test_which_precision_is_the_devices_own(tmp_path, monkeypatch):
    for has, expected in ((True, "bfloat16"), (False, "float16")):  # a new GPU, and one that only pretends
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        monkeypatch.setattr(run, "device", lambda: "cuda")
        assert run._precision("auto") == expected
        assert hardware.half(torch.device("cuda")) == getattr(torch, expected)
    monkeypatch.setattr(run, "device", lambda: "mps")
    assert run._precision("auto") == "float32" and hardware.half(torch.device("mps")) is None
    monkeypatch.setattr(run, "device", lambda: "cpu")
    assert train(tmp_path, steps=2, settings=SETTINGS | {"precision": "float16"})["precision"] == "float16"
    assert "scaler.scale" in files.read_tensors(tmp_path / "checkpoint.safetensors")[0]


def test_a_scaler_need_not_wait_to_learn_whether_slopes_fit():
    assert line(1.0, torch.float16).optimizer._step_supports_amp_scaling  # the optimizer finds out on the device


def test_accelerate_launch_may_ask_for_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    assert run.device() == "cuda"
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert run.device() == "cpu"


def test_a_mac_with_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert run.device() == "mps"


# Batches that are drawn ahead


def numbers(generator):
    return (torch.randn(3, generator=generator),)


def test_what_is_drawn_ahead_is_what_would_be_drawn():
    ahead, one, two = Ahead(numbers), torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    begin = one.get_state()
    for _ in range(5):
        assert torch.equal(ahead(one)[0], numbers(two)[0]) and torch.equal(one.get_state(), two.get_state())
    one.set_state(begin)  # as after an interruption, or from a checkpoint
    assert torch.equal(ahead(one)[0], numbers(torch.Generator().manual_seed(1))[0])


def test_the_next_batch_is_drawn_before_it_is_asked_for():
    drawn = threading.Semaphore(0)

    def draw(generator):
        drawn.release()
        return numbers(generator)

    Ahead(draw)(torch.Generator())
    assert drawn.acquire(timeout=60) and drawn.acquire(timeout=60)


def test_a_problem_of_the_thread_is_one_of_the_training():
    def fails(generator):
        raise OSError("the pictures are gone")

    with pytest.raises(OSError, match="the pictures are gone"):
        Ahead(fails)(torch.Generator())


def test_a_training_that_draws_ahead_is_the_same_and_goes_on_exactly(tmp_path):
    def new():
        training = Training(tiny(), Denoising(shuffled(*pictures())), steps=5, batch_size=16)
        training.batch = Ahead(training._batch)
        return training

    first, second = new(), new()
    for _ in zip(range(2), first):
        pass
    first.save(tmp_path / "c.safetensors")
    second.resume(tmp_path / "c.safetensors")
    for training in (first, second):
        list(training)
        assert same(weights(training), weights(trained(5)))


# Pictures that live on a GPU, and what a training needs beside them


@pytest.mark.parametrize("flip", [False, True])
def test_pictures_that_live_elsewhere_are_the_same(flip):
    pixels, labels = torch.randint(256, (9, 3, 4, 4), dtype=torch.uint8), torch.arange(9)
    here = shuffled_pixels(pixels, labels, flip)(5, torch.Generator().manual_seed(1))
    draw = shuffled_pixels(pixels, labels, flip).to("meta")
    there = draw(5, torch.Generator().manual_seed(1))
    assert there[0].is_meta and there[0].shape == here[0].shape and there[0].dtype == here[0].dtype
    assert there[1].is_cpu and torch.equal(there[1], here[1]) and draw.nbytes == 9 * 3 * 4 * 4


class Sum:
    """Keeps nothing of its own."""

    def batch(self, model, n, generator):
        return (torch.randn(n, 4, generator=generator),)

    def __call__(self, model, x):
        return model(x).squeeze(1)


def test_what_is_kept_is_counted_by_hand():
    model = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 1))
    assert memory.kept(model, Sum(), 3) == 4 * 3 * (
        4 + 8
    )  # what goes in, and what both sigmoid and the last layer keep
    found = memory.plan(model, Sum(), 10)
    W = 4 * (4 * 8 + 8 + 8 + 1)
    assert found == (W, W, 2 * W, W, 480, 0) and found.total == 5 * W + 480


def test_what_a_network_keeps_grows_with_the_batch_by_as_much_a_picture():
    loss, model = Denoising(shuffled(*pictures())), tiny()
    found = memory.plan(model, loss, 7)
    assert found.activations == memory.kept(model, loss, 7) and found.pictures == 40 * 64 * 4
    assert len(model.alpha_bar) == len(ALPHA_BAR) and all(p.grad is None for p in model.parameters())


def test_pictures_stay_on_the_cpu_where_they_do_not_fit():
    plan = memory.Plan(100, 100, 200, 100, 500, 700)
    assert memory.fits(plan, 1950) and not memory.fits(plan, 1949)  # 1.25 * 1000 + 700


@pytest.mark.parametrize("room", [0, 10**9])
def test_pictures_move_where_there_is_room(room, tmp_path, monkeypatch):
    moved, usual = [], shuffled(*pictures())
    monkeypatch.setattr(hardware, "free", lambda device: room)
    monkeypatch.setattr(type(usual), "to", lambda self, device: moved.append((self, device)))
    train(tmp_path, steps=1, loss=lambda draw, bias: Denoising(usual, bias))
    assert moved == ([(usual, torch.device("cpu"))] if room else [])


def test_the_plan_of_a_training_is_printed_and_nothing_is_trained(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    assert cli.main(["train", "digits", "--width", "8", "--batch", "4", "--plan", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "for 4 pictures a step" in said and not out.exists()
    rows = dict(line.rsplit(None, 2)[:2] for line in said.splitlines()[1:])
    assert float(rows["pictures"]) == round(5000 * 28 * 28 * 4 / 1e6, 1)
    parts = [float(rows[name]) for name in ("weights", "slopes", "adam", "average", "activations")]
    assert float(rows["total, without pictures"]) == pytest.approx(sum(parts), abs=0.3) and min(parts) > 0


PAGE = (Path(__file__).parent.parent / "docs" / "gpu.md").read_text()
RECIPES = re.findall("^diffusion-tutorial (train cifar --width .*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipes_of_the_page_need_what_it_says(recipe):
    options, cifar = cli.parser().parse_args(shlex.split(recipe)), subjects.get("cifar")
    model = cifar.untrained(width=options.width)
    draw = shuffled_pixels(torch.zeros(50_000, 3, 32, 32, dtype=torch.uint8), torch.arange(50_000) % 10)
    found = memory.plan(model, Denoising(draw), options.batch)
    assert len(RECIPES) == 2 and f"{sum(p.numel() for p in model.parameters()):,}" in PAGE
    rows = [line.split("|")[2 + RECIPES.index(recipe)] for line in PAGE.splitlines() if line.count(" MB |") == 2]
    assert [row.strip() for row in rows] == [
        f"{size / 1e6:,.1f} MB" for size in (*found[:5], found.total, found.pictures)
    ]
