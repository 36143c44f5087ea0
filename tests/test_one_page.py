"""The whole idea on one page says the same as the package, line by line."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import one_page
from diffusion_tutorial.data import digits
from diffusion_tutorial.forward import q_sample
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.losses import draw_times, training_loss
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import ddim_step, draw, moment, times
from diffusion_tutorial.schedules import cosine

ROOT = Path(__file__).resolve().parent.parent


class Asked(nn.Module):
    """The page's network, as the package calls one; it remembers the last x_t that it was shown."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x_t, t, cond):
        self.x_t = x_t
        return self.net(x_t, t, cond)

    def null_like(self, cond):
        return torch.full_like(cond, one_page.ANY)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return one_page.Network().requires_grad_(False)


@pytest.fixture
def model(net):
    return Denoiser(Asked(net), cosine(), "v")


@pytest.fixture
def batch(generator):
    x0, eps = torch.rand(4, 1, 28, 28, generator=generator) * 2 - 1, torch.randn(4, 1, 28, 28, generator=generator)
    return x0, torch.tensor([1, 300, 700, 1000]), eps, torch.tensor([3, 1, 4, one_page.ANY])


def test_it_is_one_page():
    lines = (ROOT / "one_page.py").read_text().splitlines()
    assert len(lines) <= 100 and not any("diffusion_tutorial" in line for line in lines)


def test_the_schedule_is_the_package_s():
    torch.testing.assert_close(one_page.alpha_bar, cosine(), atol=1e-15, rtol=1e-9)


def test_the_loss_and_what_the_network_is_shown(net, model, batch, as_learner):
    x0, t, eps, label = batch
    mine = one_page.loss(net, x0, label, t, eps)
    torch.testing.assert_close(mine, training_loss(model, x0, t, eps, label).mean(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model.net.x_t, q_sample(x0, t, eps, model.alpha_bar))
    signal, noise = one_page.mix(t)
    torch.testing.assert_close(signal * x0 + noise * eps, model.net.x_t, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("t", "s"), [(1000, 980), (500, 480), (20, 0)])
@pytest.mark.parametrize("w", [1.0, 2.0])
def test_a_step_is_ddim_s_with_guidance(net, model, batch, t, s, w, as_learner):
    x_t, _, _, label = batch
    t_batch, s_batch = torch.full((4,), t), torch.full((4,), s)
    eps_hat = guide(model, w)(x_t, t_batch, label)
    if t < 1000:  # there eps_hat says too little of x0_hat in single precision; the walk below asks for both
        wanted = ddim_step(moment(x_t, eps_hat, t_batch, s_batch, model.alpha_bar))
        torch.testing.assert_close(one_page.step(net, x_t, t, s, label, w), wanted, atol=1e-5, rtol=1e-4)
    whole = draw(guide(model, w), x_t, [t, s], model.alpha_bar, cond=label, step=ddim_step)
    torch.testing.assert_close(one_page.step(net, x_t, t, s, label, w), whole, atol=1e-5, rtol=1e-5)


def test_its_walk_is_the_package_s(net, model, batch, as_learner):
    x, label = batch[2], batch[3]
    wanted = draw(guide(model, 2.0), x, times(50), model.alpha_bar, cond=label, step=ddim_step)
    for t in range(one_page.T, 0, -20):
        x = one_page.step(net, x, t, t - 20, label)
    torch.testing.assert_close(x, wanted, atol=3e-5, rtol=0)


def test_it_trains_on_the_package_s_digits_at_the_package_s_times(monkeypatch):
    shown, clock = [], iter(range(100))
    monkeypatch.setattr(one_page.time, "time", lambda: next(clock))
    monkeypatch.setattr(one_page, "loss", lambda net, *batch: shown.append(batch) or next(net.parameters()).sum())
    images, labels = digits.load("sample")
    pixels, names = (torch.tensor(array) for array in one_page.mnist_data())
    torch.testing.assert_close(pixels.float().view(-1, 1, 28, 28) / 127.5 - 1, images)
    assert torch.equal(names, labels)
    torch.manual_seed(5)
    one_page.train(one_page.Network(), images, labels, seconds=40)
    assert len(shown) == 40
    label, t = (torch.cat([batch[i] for batch in shown]) for i in (1, 2))
    assert (label == one_page.ANY).float().mean() == pytest.approx(0.1, abs=0.02)
    u = torch.linspace(0, 1, len(t), dtype=torch.float64)
    gap = (t.sort().values - draw_times(u, one_page.T, bias=1 / 0.8)).abs().max()  # Kolmogorov and Smirnov's, in steps
    assert t.min() >= 1 and t.max() <= one_page.T and gap < 60


def test_it_runs_and_writes_a_page(tmp_path):
    """With its minute cut to a moment."""
    text = (ROOT / "one_page.py").read_text()
    assert text.count("seconds=60)") == 1
    (tmp_path / "quick.py").write_text(
        text.replace("seconds=60)", "seconds=0.001)").replace("T, 0, -20)", "T, 0, -500)").replace("t - 20", "t - 500")
    )
    end = subprocess.run([sys.executable, "quick.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert end.returncode == 0 and "100%, loss" in end.stdout, end.stderr
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
