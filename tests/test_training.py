import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from test_files import DAMAGE, damaged
from torch import nn

from diffusion_tutorial import files, losses, pretrained, training
from diffusion_tutorial.forward import q_sample
from diffusion_tutorial.losses import Denoising, draw_times, drop_labels, shuffled, simple_loss, training_loss
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser, v_from
from diffusion_tutorial.schedules import cosine
from diffusion_tutorial.training import Training, learning_rate

ALPHA_BAR = cosine()


def pictures(n: int = 40, side: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """A tiny problem: label k has its bright bar in row k."""
    labels = torch.arange(n) % 4
    images = torch.full((n, 1, side, side), -1.0)
    for image, label in zip(images, labels):
        image[0, 2 * label : 2 * label + 2] = 1.0
    return images, labels


def tiny(output: str = "v", width: int = 8, labels: int = 4) -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(UNet(1, width, labels, size=8), ALPHA_BAR, output)


def trained(steps: int, **options) -> Training:
    options = dict(batch_size=16) | options
    run = Training(tiny(), Denoising(shuffled(*pictures())), steps=steps, **options)
    for _ in run:
        pass
    return run


def weights(run: Training) -> dict[str, torch.Tensor]:
    state = {f"model.{k}": v.clone() for k, v in run.model.state_dict().items()}
    return state | {f"ema.{k}": v.clone() for k, v in run.ema.state_dict().items()}


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


# The losses


def test_simple_loss_by_hand(generator):
    x0, eps = torch.randn(2, 3, 1, 4, 4, generator=generator)
    t = torch.tensor([1, 500, 1000])
    asked = []

    def denoiser(x_t, t, cond=None):
        asked.append((x_t, t, cond))
        return eps + torch.tensor([0.0, 1.0, -2.0])[:, None, None, None]

    cond = torch.tensor([1, 2, 3])
    torch.testing.assert_close(simple_loss(denoiser, x0, t, eps, ALPHA_BAR, cond), torch.tensor([0.0, 1.0, 4.0]))
    torch.testing.assert_close(asked[0][0], q_sample(x0, t, eps, ALPHA_BAR))
    assert asked[0][2] is cond


@pytest.mark.parametrize("output", ["eps", "v"])
def test_training_loss_is_simple_loss_with_the_weight_of_its_output(output, generator):
    x0, eps = torch.randn(2, 4, 1, 8, 8, generator=generator)
    t, cond = torch.tensor([1, 100, 500, 900]), torch.tensor([0, 1, 2, 4])
    model = tiny(output)
    for p in model.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=generator)
    loss = training_loss(model, x0, t, eps, cond)
    simple = simple_loss(model, x0, t, eps, ALPHA_BAR, cond)
    expected = simple if output == "eps" else simple / ALPHA_BAR[t].float()
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-5)
    assert loss.shape == (4,)


def test_a_network_that_answers_v_exactly_has_no_loss(generator):
    x0, eps = torch.randn(2, 3, 1, 4, 4, generator=generator)
    t = torch.tensor([1, 500, 1000])

    class Perfect(nn.Module):
        def forward(self, x_t, t, cond=None):
            return v_from(x0, eps, t, ALPHA_BAR)

    assert training_loss(Denoiser(Perfect(), ALPHA_BAR, "v"), x0, t, eps).max() < 1e-10


# The loop


@pytest.mark.parametrize("output, bias", [("v", 2.0), ("eps", 1.0)])
def test_the_loss_falls_on_a_tiny_problem(output, bias):
    reports = list(Training(tiny(output), Denoising(shuffled(*pictures()), bias), steps=100, batch_size=32, lr=3e-3))
    first, last = (torch.cat([r.losses for r in part]).mean().item() for part in (reports[:10], reports[-30:]))
    assert last < 0.65 * first  # (without learning it stays at 1)
    assert all(r.losses.shape == r.batch[1].shape == (32,) and r.losses.isfinite().all() for r in reports)
    t = torch.cat([r.batch[1] for r in reports])
    assert 1 <= t.min() < 50 and 990 < t.max() <= 1000
    assert abs(t.double().mean().item() - 1000 * bias / (bias + 1)) < 25


def test_what_was_learned_depends_on_the_label():
    """After 150 steps, x0_hat from pure noise shows the bar of the label that was asked for."""
    run = Training(tiny(), Denoising(shuffled(*pictures())), steps=150, batch_size=32, lr=4e-3, ema_decay=0.95)
    for _ in run:
        pass
    noise = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(8) % 4
    with torch.no_grad():
        v = run.ema.net(noise, torch.full((8,), 1000), labels)  # at t = T, v is -x0
    rows = -v[:, 0].mean(2).view(8, 4, 2).mean(2)
    assert (rows.argmax(1) == labels).all()


def test_a_budget_in_steps_is_exact():
    for steps in (1, 7):
        reports = list(Training(tiny(), Denoising(shuffled(*pictures())), steps=steps, batch_size=2))
        assert [r.step for r in reports] == list(range(1, steps + 1))
        assert [r.progress for r in reports] == pytest.approx([i / steps for i in range(1, steps + 1)])
        assert all(a.seconds < b.seconds for a, b in zip(reports, reports[1:]))


def test_a_used_up_budget_does_no_more():
    run = trained(3)
    before = weights(run)
    assert list(run) == [] and same(before, weights(run)) and run.step == 3


def test_a_budget_in_seconds_stops(monkeypatch):
    """With a clock of our own: 0.25 s a step, and what the reader of the reports does in between is not counted."""
    now = [0.0]

    def clock():
        now[0] += 0.25
        return now[0]

    monkeypatch.setattr(training.time, "perf_counter", clock)
    reports = []
    for report in Training(tiny(), Denoising(shuffled(*pictures())), seconds=2, batch_size=2):
        now[0] += 100
        reports.append(report)
    assert len(reports) == 8 and reports[-1].seconds == 2 and reports[-1].progress == 1
    assert [r.progress for r in reports] == [i / 8 for i in range(1, 9)]


def test_a_budget_in_seconds_stops_by_the_real_clock():
    reports = list(Training(tiny(), Denoising(shuffled(*pictures())), seconds=0.5, batch_size=2))
    assert 0.5 <= reports[-1].seconds < 5 and reports[-2].seconds < 0.5


def test_the_ema_equals_a_hand_written_average():
    run = Training(tiny(), Denoising(shuffled(*pictures())), steps=30, batch_size=4, lr=1e-2, ema_decay=0.7)
    average = None
    for report in run:
        new = {name: p.detach().clone() for name, p in run.model.named_parameters()}
        n = report.step - 1  # updates before this one
        d = min(0.7, (1 + n) / (10 + n))
        average = new if average is None else {k: d * average[k] + (1 - d) * new[k] for k in new}
    ema = dict(run.ema.named_parameters())
    assert ema.keys() == average.keys()
    for name, value in average.items():
        torch.testing.assert_close(ema[name].detach(), value, atol=1e-6, rtol=1e-5)
    assert any((ema[k] - p).abs().max() > 1e-3 for k, p in run.model.named_parameters())  # it lags behind


def test_the_average_can_be_trained_on():
    assert all(p.requires_grad for p in trained(1).ema.parameters())


def test_the_learning_rate_climbs_then_falls():
    rates = [learning_rate(i / 1000) for i in range(1001)]
    top = max(range(1001), key=rates.__getitem__)
    assert 0 < rates[0] < 0.01 and 30 <= top <= 70 and rates[top] > 0.9 and rates[1000] == 0
    assert all(a < b for a, b in zip(rates[:top], rates[1 : top + 1])) and all(
        a > b for a, b in zip(rates[top:-1], rates[top + 1 :])
    )


def test_the_network_sees_the_learning_rate_of_its_progress(monkeypatch):
    monkeypatch.setattr(training, "learning_rate", lambda progress, warm_up: 0.0)
    run = Training(tiny(), Denoising(shuffled(*pictures())), steps=3, batch_size=2)
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    list(run)
    assert same(before, run.model.state_dict())


def test_the_same_seed_gives_the_same_weights():
    assert same(weights(trained(5)), weights(trained(5)))
    assert not same(weights(trained(5)), weights(trained(5, seed=1)))


def test_shuffled_draws_any_of_the_pictures_each_with_its_label(generator):
    images = torch.rand(30, 1, 4, 4, generator=generator) - 0.9
    labels = torch.arange(30)
    draw, state = shuffled(images, labels), generator.get_state()
    x0, cond = draw(500, generator)  # more than there are: one may come twice
    assert torch.equal(x0, images[cond]) and cond.dtype == torch.int64
    assert cond.unique().tolist() == list(range(30)) and cond.bincount().max() < 40  # 17 on average
    generator.set_state(state)
    assert torch.equal(draw(500, generator)[1], cond) and not torch.equal(draw(500, generator)[1], cond)


def test_labels_are_dropped_below_the_share():
    cond, u = torch.tensor([3, 1, 4, 1]), torch.tensor([0.0, 0.1, 0.3, 0.99])
    for share, kept in ((0.0, [3, 1, 4, 1]), (0.1, [9, 1, 4, 1]), (0.31, [9, 9, 9, 1]), (1.0, [9, 9, 9, 9])):
        assert drop_labels(cond, u, share, 9).tolist() == kept
        assert drop_labels(cond, u, share, torch.full((4,), 9)).tolist() == kept
    assert cond.tolist() == [3, 1, 4, 1]


def test_a_caption_is_dropped_whole_or_not_at_all():
    cond, null = torch.arange(12).view(3, 4) + 10, torch.tensor([1, 0, 0, 0])
    for given in (null, null.expand(3, 4)):
        dropped = drop_labels(cond, torch.tensor([0.5, 0.05, 0.9]), 0.1, given)
        assert torch.equal(dropped, torch.stack([cond[0], null, cond[2]]))
    assert drop_labels(cond, torch.zeros(3), 0.0, null).tolist() == cond.tolist()


class Listener(nn.Module):
    """A network that remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.labels, self.bias, self.seen = 4, nn.Parameter(torch.zeros(())), []

    def forward(self, x_t, t, cond=None):
        self.seen.append((x_t.detach(), t, cond))
        return self.bias * x_t

    def null_like(self, cond):
        return torch.full_like(cond, self.labels)

    def __deepcopy__(self, memo):  # the average need not listen
        return Listener()


def test_labels_are_dropped_at_their_rate_and_belong_to_their_pictures():
    images, labels = pictures()
    for drop in (0.0, 0.25, 1.0):
        net = Listener()
        loss = Denoising(shuffled(images, labels), t_bias=1.0, label_drop=drop)
        run = Training(Denoiser(net, ALPHA_BAR), loss, steps=40, batch_size=100)
        list(run)
        cond = torch.cat([cond for _, _, cond in net.seen])
        assert abs((cond == 4).double().mean().item() - drop) <= (0.03 if drop == 0.25 else 0)
        x_t, t = torch.cat([x for x, _, _ in net.seen]), torch.cat([t for _, t, _ in net.seen])
        clear = (t < 150) & (cond < 4)  # where the picture can still be made out, it shows its label
        rows = x_t[clear, 0].mean(2).view(-1, 4, 2).mean(2)
        assert (rows.argmax(1) == cond[clear]).all() and (clear.sum() > 100 or drop == 1)


def test_mixed_precision_trains_and_stays_close():
    exact, mixed = (
        list(Training(tiny(), Denoising(shuffled(*pictures())), steps=10, batch_size=16, amp=amp))
        for amp in (False, True)
    )
    losses = [torch.stack([r.losses.mean() for r in run]) for run in (exact, mixed)]
    torch.testing.assert_close(losses[0], losses[1], rtol=0.1, atol=0.02)
    assert not torch.equal(losses[0], losses[1])


# Checkpoints


@pytest.mark.parametrize("stop", [0, 1, 5, 11, 12])
def test_resume_continues_exactly(stop, tmp_path):
    whole = Training(tiny(), Denoising(shuffled(*pictures())), steps=12, batch_size=8)
    losses = [r.losses for r in whole]
    first = Training(tiny(), Denoising(shuffled(*pictures())), steps=12, batch_size=8)
    for report in first if stop else ():
        if report.step == stop:
            break
    first.save(tmp_path / "c.safetensors")

    second = Training(tiny(), Denoising(shuffled(*pictures())), steps=12, batch_size=8, seed=99)
    for p in second.model.parameters():
        p.data += 1  # nothing of where it began may count
    for _ in zip(range(3), second):
        pass
    second.resume(tmp_path / "c.safetensors")
    assert second.step == stop
    reports = list(second)
    assert [r.step for r in reports] == list(range(stop + 1, 13))
    assert all(torch.equal(r.losses, losses[r.step - 1]) for r in reports)
    assert same(weights(second), weights(whole))
    assert second.seconds > first.seconds or stop == 12


@pytest.mark.parametrize("where", ["draw", "training_loss"])
def test_stopped_in_the_middle_of_a_step_it_begins_that_step_again(where, tmp_path, monkeypatch):
    """Ctrl-C nearly always comes in the middle of a step: nothing of it may count, not even its random numbers."""
    ordinary = shuffled(*pictures())

    def fails(*args):
        ordinary(8, first.generator) if where == "draw" else None
        raise KeyboardInterrupt

    first = Training(tiny(), Denoising(ordinary), steps=6, batch_size=8)
    for _ in zip(range(3), first):
        pass
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(*((first.loss, "draw") if where == "draw" else (losses, "training_loss")), fails)
        next(iter(first))
    first.save(tmp_path / "c.safetensors")
    second = Training(tiny(), Denoising(ordinary), steps=6, batch_size=8)
    second.resume(tmp_path / "c.safetensors")
    for run in (first, second):  # in the same notebook, or from the checkpoint
        assert run.step == 3
        list(run)
        assert same(weights(run), weights(trained(6, batch_size=8)))


@pytest.mark.parametrize("before", [0, 3])
def test_ctrl_c_in_the_middle_of_an_update_waits_for_its_end(before, tmp_path, monkeypatch):
    """Weights moved, average not yet, step not counted: there the interrupt must not get through."""
    first = Training(tiny(), Denoising(shuffled(*pictures())), steps=6, batch_size=8)
    for _ in zip(range(before), first):
        pass
    update = training.update_average

    def pressed(*how):
        signal.raise_signal(signal.SIGINT)
        update(*how)

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without it
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training, "update_average", pressed)
            next(iter(first))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)
    assert first.step == before + 1
    first.save(tmp_path / "c.safetensors")
    second = Training(tiny(), Denoising(shuffled(*pictures())), steps=6, batch_size=8)
    second.resume(tmp_path / "c.safetensors")
    for run in (first, second):
        list(run)
        assert same(weights(run), weights(trained(6, batch_size=8)))


def test_a_checkpoint_keeps_the_seconds(tmp_path):
    first = Training(tiny(), Denoising(shuffled(*pictures())), seconds=1000, batch_size=2)
    next(iter(first))
    first.save(tmp_path / "c.safetensors")
    second = Training(tiny(), Denoising(shuffled(*pictures())), seconds=1000, batch_size=2)
    second.resume(tmp_path / "c.safetensors")
    assert (second.step, second.seconds, second.progress) == (1, first.seconds, first.progress)


def test_saving_changes_nothing(tmp_path):
    run = Training(tiny(), Denoising(shuffled(*pictures())), steps=5, batch_size=16)
    for report in run:
        run.save(tmp_path / f"{report.step}.safetensors")
    assert same(weights(run), weights(trained(5)))


def assert_unmoved_by(run: Training, path, message: str) -> None:
    """resume(path) raises one BadFile that names the file, and `run` then goes on as if nothing had happened."""
    before, step, state = weights(run), run.step, run.generator.get_state()
    moments = [s["exp_avg"].clone() for s in run.optimizer.state_dict()["state"].values()]
    with pytest.raises(files.BadFile, match=message) as problem:
        run.resume(path)
    assert str(path) in str(problem.value) and "\n" not in str(problem.value)
    assert same(before, weights(run)) and run.step == step and torch.equal(run.generator.get_state(), state)
    after = [s["exp_avg"] for s in run.optimizer.state_dict()["state"].values()]
    assert len(moments) == len(after) > 0 and all(torch.equal(a, b) for a, b in zip(moments, after))


@pytest.fixture
def two_steps_in() -> Training:
    run = Training(tiny(), Denoising(shuffled(*pictures())), steps=4, batch_size=16)
    for _ in zip(range(2), run):
        pass
    return run


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_is_refused_and_changes_nothing(how, two_steps_in, tmp_path):
    path = tmp_path / "c.safetensors"
    two_steps_in.save(path)
    next(iter(two_steps_in))
    damaged(path, how)
    assert_unmoved_by(two_steps_in, path, "there is no file" if how == "missing" else "is damaged or not")
    list(two_steps_in)
    assert same(weights(two_steps_in), weights(trained(4)))


def test_a_checkpoint_of_something_else_is_refused_and_changes_nothing(two_steps_in, tmp_path):
    path = tmp_path / "c.safetensors"
    for other in (tiny(width=16), tiny(labels=5), Denoiser(UNet(3, 8, 4, size=8), ALPHA_BAR)):
        images = -torch.ones(4, other.net.config["channels"], 8, 8)
        run = Training(other, Denoising(shuffled(images, torch.arange(4))), steps=2, batch_size=2)
        list(run)
        run.save(path)
        assert_unmoved_by(two_steps_in, path, "another network")
    pretrained.write(path, two_steps_in.ema)
    assert_unmoved_by(two_steps_in, path, "not a checkpoint")


@pytest.mark.parametrize("lost", ["generator", "average.net.stem.weight", "optimizer.0.exp_avg", "optimizer.1.step"])
def test_a_checkpoint_with_a_part_missing_is_refused_and_changes_nothing(lost, two_steps_in, tmp_path):
    path = tmp_path / "c.safetensors"
    two_steps_in.save(path)
    tensors, about = files.read_tensors(path)
    for name in (lost, lost + "_", *[k for k in tensors if k.startswith("model.")][:1]):
        changed = {k: v for k, v in tensors.items() if k != name}
        changed |= {name: torch.zeros(3)} if name.endswith("_") else {}
        files.write_tensors(path, changed, about)
        assert_unmoved_by(two_steps_in, path, "checkpoint of another network")


def test_a_failing_save_keeps_the_old_checkpoint(two_steps_in, tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    two_steps_in.save(path)
    old = path.read_bytes()
    next(iter(two_steps_in))

    def no_space(self, data):
        with open(self, "wb") as f:
            f.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", no_space)
    with pytest.raises(OSError, match="No space left"):
        two_steps_in.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == old and os.listdir(tmp_path) == ["c.safetensors"]


# Killed for real. One process imports torch, then makes a child for every run (that saves seconds a run); each child
# trains, saves a checkpoint after every step, says so, and is killed with SIGKILL somewhere between or during the two.
RUNS = """
import os, sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_training import Denoising, Training, files, pictures, shuffled, tiny, weights

def run(folder):
    path = os.path.join(folder, "checkpoint.safetensors")
    run = Training(tiny(), Denoising(shuffled(*pictures())), steps={steps}, batch_size=8)
    if os.path.exists(path):
        run.resume(path)
    print("begin", run.step, flush=True)
    for report in run:
        print("step", report.step, flush=True)
        run.save(path)
        print("saved", report.step, flush=True)
    files.write_tensors(os.path.join(folder, "weights.safetensors"), weights(run), {{}})

next(iter(Training(tiny(), Denoising(shuffled(*pictures())), steps=1, batch_size=8)))  # torch imports some more at the first optimizer
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        run(line.strip())
        os._exit(0)
    print("child", child, flush=True)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
STEPS = 30


@pytest.fixture(scope="module")
def runs():
    script = RUNS.format(tests=os.path.dirname(__file__), steps=STEPS)
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.stdin.close()
    process.wait(timeout=60)


def run_until(runs, folder, stop_after: str | None, wait: float = 0.0) -> tuple[int, int]:
    """Run (on) in `folder`; kill `wait` seconds after it says `stop_after`. Returns its exit code and first step."""
    runs.stdin.write(f"{folder}\n")
    runs.stdin.flush()
    child = begin = None
    while line := runs.stdout.readline().split():
        if line[0] == "child":
            child = int(line[1])
        elif line[0] == "begin":
            begin = int(line[1])
        elif line[0] == "ended":
            return int(line[1]), begin
        if " ".join(line) == stop_after:
            time.sleep(wait)
            os.kill(child, signal.SIGKILL)
    raise AssertionError("the process that makes the children is gone")


def test_killed_at_random_moments_and_resumed_the_weights_are_the_same_bit_for_bit(runs, tmp_path):
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    calm.mkdir()
    wild.mkdir()
    assert run_until(runs, calm, None) == (0, 0)

    chance = random.Random()  # other moments each time; what must come out is the same
    moments = [("begin 0", 0.0)]
    for i, step in enumerate(sorted(chance.sample(range(1, STEPS), 7))):
        moments.append((("step", "saved")[i % 2] + f" {step}", chance.uniform(0, 0.02)))
    kills, begins = 0, []
    for moment in moments:
        code, begin = run_until(runs, wild, *moment)
        begins.append(begin)
        kills += code == -signal.SIGKILL
        path = wild / "checkpoint.safetensors"
        assert code in (0, -signal.SIGKILL) and (not path.exists() or files.read_tensors(path)[1]["step"] >= 0)
    code, begin = run_until(runs, wild, None)
    begins.append(begin)
    assert code == 0 and kills >= 6, (kills, moments)
    assert begins == sorted(begins) and begins[-1] > 0  # it went on, and did not start again
    one, two = (files.read_tensors(folder / "weights.safetensors")[0] for folder in (calm, wild))
    assert same(one, two), moments


# Bad input


@pytest.mark.parametrize(
    "budget", [{}, dict(steps=1, seconds=1), dict(steps=0), dict(seconds=0), dict(steps=-1), dict(seconds=-2.0),
               dict(steps=2.5), dict(seconds=torch.inf), dict(seconds=torch.nan)],
)  # fmt: skip
def test_a_budget_that_is_none_is_refused(budget, as_learner):
    with pytest.raises(ValueError, match="a budget above 0 in steps or in seconds, got steps="):
        Training(tiny(), Denoising(shuffled(*pictures())), **budget)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(images=pictures()[0] * 1.5), r"pictures in \[-1, 1\], got -1.5 to 1.5"),
        (dict(images=pictures()[0] * torch.nan), r"pictures in \[-1, 1\], got nan"),
        (dict(images=(pictures()[0] + 1) * 127.5), "got 0 to 255"),
        (dict(images=pictures()[0][:, 0]), r"\(n, c, h, w\) and a label for each, got shapes \(40, 8, 8\)"),
        (dict(images=pictures()[0][:0], labels=pictures()[1][:0]), r"got shapes \(0, 1, 8, 8\)"),
        (dict(labels=pictures()[1][:-1]), r"a label for each, got shapes \(40, 1, 8, 8\) and \(39,\)"),
        (dict(labels=pictures()[1] + 2), r"labels 0\.\.3, or 4 for none, got \d to 5"),
        (dict(labels=pictures()[1] - 1), r"labels 0\.\.3, or 4 for none, got -1 to \d"),
        (dict(labels=pictures()[1].float()), r"expected a whole number for each label, got torch.float32"),
        (dict(batch_size=0), "batch_size=0"),
        (dict(label_drop=1.5), "label_drop=1.5"),
        (dict(ema_decay=1.0), "ema_decay=1.0"),
        (dict(lr=-1.0), "lr=-1.0"),
        (dict(t_bias=0.0), "t_bias=0.0"),
    ],
)
def test_bad_input(change, message, as_learner):
    images, labels = pictures()
    data, loss, options = dict(images=images, labels=labels), dict(t_bias=2.0, label_drop=0.1), dict(steps=1)
    for name, value in change.items():
        next(part for part in (data, loss, options) if name in part or part is options)[name] = value
    with pytest.raises(ValueError, match=message):
        next(iter(Training(tiny(), Denoising(shuffled(**data), **loss), **options)))


@pytest.mark.parametrize("bias", [1.0, 2.0, 3.0])
def test_times_are_drawn_with_the_density_that_the_docstring_states(bias, generator):
    u = torch.rand(200_000, generator=generator, dtype=torch.float64)
    t = draw_times(u, 10, bias)
    expected = torch.arange(11, dtype=torch.float64).div(10).pow(bias).diff()  # P(t = k) = (k/T)^bias - ((k-1)/T)^bias
    torch.testing.assert_close(t.bincount(minlength=11)[1:] / len(u), expected, atol=4e-3, rtol=0, check_dtype=False)
    assert draw_times(torch.tensor([0.0, 1 - 1e-16], dtype=torch.float64), 10, bias).tolist() == [1, 10]
