"""What a step of training is shown, and what it minimises. The losses of denoisers by hand are in test_training.py."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from diffusion_tutorial.losses import Classification, Denoising, Loss, draw_times, drop_labels, training_loss
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.schedules import cosine


def draw(n, generator):
    """Pictures and labels that both come from the generator."""
    return torch.rand(n, 1, 8, 8, generator=generator) * 2 - 1, torch.randint(4, (n,), generator=generator)


@pytest.fixture(scope="module")
def model() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(UNet(1, 8, labels=4, size=8), cosine(), "v")


def test_both_are_losses():
    assert isinstance(Denoising(draw), Loss) and isinstance(Classification(draw), Loss)


def test_a_batch_is_a_function_of_the_generator(model):
    one, again, other = (Denoising(draw).batch(model, 6, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, again)) and not torch.equal(one[0], other[0])
    x0, t, eps, cond = one
    assert x0.shape == eps.shape == (6, 1, 8, 8) and t.shape == cond.shape == (6,)
    assert 1 <= t.min() and t.max() <= 1000
    assert torch.equal(Denoising(draw)(model, *one), training_loss(model, *one))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_conditions_is_dropped(model, share):
    cond = Denoising(draw, label_drop=share).batch(model, 4000, torch.Generator().manual_seed(1))[3]
    assert abs((cond == 4).double().mean().item() - share) < 0.03


@pytest.mark.parametrize("bias", [1.0, 2.0])
def test_times_lean_as_they_are_told(model, bias):
    t = Denoising(draw, t_bias=bias).batch(model, 4000, torch.Generator().manual_seed(1))[1]
    assert abs(t.double().mean().item() - 1000 * bias / (bias + 1)) < 25
    u = torch.rand(50, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert draw_times(u, 1000, bias).dtype == torch.int64


def test_captions_are_dropped_as_a_whole():
    cond, null = torch.arange(2, 14).view(3, 4), torch.tensor([1, 0, 0, 0])
    dropped = drop_labels(cond, torch.tensor([0.05, 0.5, 0.0]), 0.1, null)
    assert dropped.tolist() == [[1, 0, 0, 0], cond[1].tolist(), [1, 0, 0, 0]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classification_adds_up_what_is_read_from_each_list(smoothing, generator):
    class Judge(nn.Module):
        def forward(self, x):
            logits = x.flatten(1)
            return logits[:, :3], logits[:, 3:8]

    x, labels = torch.randn(4, 1, 2, 4, generator=generator), torch.tensor([[0, 4], [2, 0], [1, 3], [2, 2]])
    found = Classification(draw, smoothing)(Judge(), x, labels)
    terms = [
        F.cross_entropy(logits, y, label_smoothing=smoothing, reduction="none")
        for logits, y in zip(Judge()(x), labels.T)
    ]
    torch.testing.assert_close(found, terms[0] + terms[1])
    one = Classification(draw, smoothing)(nn.Flatten(), x, labels[:, 1])
    torch.testing.assert_close(
        one, F.cross_entropy(x.flatten(1), labels[:, 1], label_smoothing=smoothing, reduction="none")
    )


def test_bad_input(as_learner):
    for bad in (dict(label_drop=-0.1), dict(label_drop=1.1), dict(t_bias=0.0), dict(t_bias=float("nan"))):
        with pytest.raises(ValueError, match=r"label_drop in \[0, 1\] and t_bias > 0"):
            Denoising(draw, **bad)
