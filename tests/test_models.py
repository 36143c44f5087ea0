import math

import pytest
import torch

from diffusion_tutorial.data import scenes
from diffusion_tutorial.models.classifier import Classifier, SceneClassifier
from diffusion_tutorial.models.unet import Attention, UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.schedules import cosine


def lively(net: torch.nn.Module) -> torch.nn.Module:
    """A new network answers 0 (its last layers start at 0); small random weights make it say something."""
    g = torch.Generator().manual_seed(3)
    for p in net.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=g)
    return net.eval()


@pytest.fixture(scope="module")
def net() -> UNet:
    return lively(UNet(channels=1, width=16, labels=10))


@pytest.mark.parametrize("channels, size", [(1, 28), (1, 32), (3, 8), (2, 4)])
def test_the_answer_has_the_shape_of_the_question(channels, size, generator):
    net = lively(UNet(channels, width=8, labels=3, size=size))
    x = torch.randn(2, channels, size, size, generator=generator)
    out = net(x, torch.tensor([1, 1000]), torch.tensor([0, 2]))
    assert out.shape == x.shape and out.isfinite().all()
    assert Denoiser(net, cosine(), "v")(x, torch.tensor([1, 1000])).shape == x.shape


def test_a_new_network_answers_zero(generator):
    out = UNet()(torch.randn(2, 1, 28, 28, generator=generator), torch.tensor([1, 2]))
    assert (out == 0).all()


def test_the_null_label_equals_no_condition(net, generator):
    x, t = torch.randn(3, 1, 28, 28, generator=generator), torch.tensor([5, 500, 1000])
    assert torch.equal(net(x, t, torch.full((3,), net.labels)), net(x, t, None))
    assert torch.equal(net(x, t), net(x, t, None))


def test_time_and_label_and_every_pixel_matter(net, generator):
    x, t, cond = torch.randn(1, 1, 28, 28, generator=generator), torch.tensor([500]), torch.tensor([3])
    out = net(x, t, cond)
    assert (net(x, t + 20, cond) - out).abs().max() > 1e-3
    for label in (0, 9, 10):
        assert (net(x, t, torch.tensor([label])) - out).abs().max() > 1e-3
    corner = x.clone()
    corner[0, 0, 0, 0] += 5
    assert (net(corner, t, cond) - out)[0, 0, 27, 27].abs() > 1e-7  # far away too


def test_pictures_of_a_batch_do_not_see_each_other(net, generator):
    x, t, cond = torch.randn(4, 1, 28, 28, generator=generator), torch.tensor([1, 300, 600, 1000]), torch.arange(4)
    together = net(x, t, cond)
    for i in range(4):
        one = slice(i, i + 1)
        torch.testing.assert_close(net(x[one], t[one], cond[one]), together[one], atol=1e-4, rtol=1e-4)


def test_its_configuration_makes_it_again(net, generator):
    again = UNet(**net.config)
    again.load_state_dict(net.state_dict())
    x, t = torch.randn(2, 1, 28, 28, generator=generator), torch.tensor([5, 500])
    assert torch.equal(again.eval()(x, t), net(x, t))


def test_gradients_reach_every_weight(generator):
    net = lively(UNet(width=8, labels=2, size=8)).train()
    net(
        torch.randn(3, 1, 8, 8, generator=generator), torch.tensor([1, 2, 3]), torch.tensor([0, 1, 2])
    ).square().sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None and p.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    "shape", [(2, 1, 27, 28), (2, 1, 28, 32), (2, 1, 32, 32), (2, 3, 28, 28), (2, 28, 28), (28, 28), (0, 1, 28, 28)]
)
def test_what_is_no_picture_is_refused(net, shape, as_learner):
    with pytest.raises(ValueError) as problem:
        net(torch.zeros(shape), torch.tensor([1, 2]))
    assert "(batch, 1, 28, 28)" in str(problem.value) and str(shape) in str(problem.value)


@pytest.mark.parametrize("size", [0, 2, 27, 30])
def test_a_size_that_cannot_be_halved_twice_is_refused(size, as_learner):
    with pytest.raises(ValueError, match=f"divisible by 4, got {size}"):
        UNet(size=size)


def test_the_sketch_is_the_label_s_own_and_starts_empty(generator):
    assert not UNet().sketch.weight.any()
    net = lively(UNet(width=8, labels=3, size=8))
    x, t = torch.randn(2, 1, 8, 8, generator=generator), torch.tensor([500, 500])
    before = net(x, t, torch.tensor([1, 2]))
    net.sketch.weight.data[1] += 1
    after = net(x, t, torch.tensor([1, 2]))
    assert not torch.allclose(before[0], after[0]) and torch.equal(before[1], after[1])


@pytest.mark.parametrize(
    "cond, message",
    [
        (torch.tensor([0, 11]), r"labels 0\.\.9, or 10 for none, got 0 to 11"),
        (torch.tensor([-1, 3]), r"got -1 to 3"),
        (torch.tensor([1]), r"each of 2 pictures, got \(1,\)"),
        (torch.tensor([1, 2, 3]), r"each of 2 pictures, got \(3,\)"),
        (torch.tensor([1.0, 2.0]), "whole number.*float32"),
    ],
)
def test_an_unknown_label_is_refused(net, cond, message, as_learner):
    with pytest.raises(ValueError, match=message):
        net(torch.zeros(2, 1, 28, 28), torch.tensor([1, 2]), cond)


def test_the_classifier_gives_logits_from_its_features(generator):
    judge = Classifier(width=8).eval()
    x = torch.rand(3, 1, 28, 28, generator=generator) * 2 - 1
    logits, features = judge(x), judge.features(x)
    assert logits.shape == (3, 10) and features.ndim == 2 and len(features) == 3
    torch.testing.assert_close(judge.head(features), logits)
    again = Classifier(**judge.config)
    again.load_state_dict(judge.state_dict())
    assert torch.equal(again.eval()(x), logits)


def test_the_judge_of_scenes_gives_logits_for_each_attribute(generator):
    judge = lively(SceneClassifier(width=8))
    x = torch.rand(3, 3, 48, 48, generator=generator) * 2 - 1
    logits, features = judge(x), judge.features(x)
    tables = (scenes.SUBJECTS, scenes.THINGS, scenes.PLACES)
    assert [part.shape for part in logits] == [(3, len(table)) for table in tables] and features.shape == (3, 24)
    torch.testing.assert_close(judge.head(features), torch.cat(logits, 1))
    again = SceneClassifier(**judge.config)
    again.load_state_dict(judge.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(again.eval()(x), logits))
    assert [part.shape for part in SceneClassifier(8, (2, 5, 3))(x)] == [(3, 2), (3, 5), (3, 3)]


def test_the_judge_of_scenes_looks_at_every_pixel_and_trains(generator):
    judge = lively(SceneClassifier(width=8))
    x = torch.rand(2, 3, 48, 48, generator=generator).requires_grad_()
    sum(part.square().sum() for part in judge(x)).backward()
    assert (x.grad.abs().amax(1) > 0).all()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in judge.parameters())


def test_attention_is_the_equation(generator):
    """x + W softmax(q k^T / sqrt(d)) v, head by head, place by place (Vaswani et al. 2017, eq. 1)."""
    block = lively(Attention(16, heads=2))
    x = torch.randn(3, 16, 2, 3, generator=generator)
    q, k, v = block.qkv(block.norm(x)).flatten(2).chunk(3, dim=1)  # (3, 16, 6) each: features, places
    mixed = []
    for head in range(2):
        qh, kh, vh = (y[:, 8 * head : 8 * head + 8] for y in (q, k, v))
        share = torch.softmax(torch.einsum("bdi,bdj->bij", qh, kh) / math.sqrt(8), dim=2)  # place i looks at every j
        mixed.append(torch.einsum("bij,bdj->bdi", share, vh))
    expected = x + block.out(torch.cat(mixed, 1).view_as(x))
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
    assert (block(x) - x).abs().max() > 0.01
