"""Nothing mixes devices or waits for one. torch's "meta" device stands in for a GPU: its tensors have a shape and no values,
so that a look at them raises by itself (.item(), bool(), tolist()), and so does mixing them with tensors on the CPU."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from diffusion_tutorial import editing, guidance, run, samplers, subjects
from diffusion_tutorial.evaluation import edits, inpainting, inversion, sdedit
from diffusion_tutorial.losses import Classification, Denoising, shuffled_pixels
from diffusion_tutorial.models.text_unet import attention_maps
from diffusion_tutorial.noise import Streams
from diffusion_tutorial.predictions import Within
from diffusion_tutorial.samplers import STEPS, Walk
from diffusion_tutorial.subjects import retouch
from diffusion_tutorial.training import LOOK_EVERY, Training

ASKED = {"digits": [3, 5], "scenes": ["a cat on the moon", "a dog in the city"]}
TIMES = samplers.times(2)
HOLE = torch.zeros(28, 28, dtype=torch.bool).index_fill_(0, torch.arange(9), True)


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """Mixed precision, which the networks switch off where it does not pay, does not know this device's name."""
    usual = torch.autocast
    monkeypatch.setattr(
        torch, "autocast", lambda device, *a, **b: nullcontext() if device == "meta" else usual(device, *a, **b)
    )


class NoDoubles(TorchDispatchMode):
    """A Mac's GPU has no float64; what is computed in it belongs on the CPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        doubles = [
            x for x in tree_leaves(made) if isinstance(x, torch.Tensor) and x.is_meta and x.dtype == torch.float64
        ]
        assert not doubles, f"{function} makes float64 on the device"
        return made


@pytest.fixture
def no_doubles():
    with NoDoubles():
        yield


@pytest.fixture(scope="module", params=ASKED)
def asked(request):
    """A model on the meta device, static there, and conditions on the CPU."""
    subject = subjects.get(request.param)
    model = subject.untrained(width=16).eval()
    cond = subject.condition.encode(model.net, ASKED[request.param])
    return model.to("meta"), torch.zeros(2, *subject.shape, device="meta"), cond


@pytest.fixture
def doors_open(monkeypatch):
    """The doors that have to look, patched: pictures are checked once as they come in, conditions on the CPU, two noises
    once for being opposite before any walk between them, and what was drawn is carried back to the CPU at the end. There
    is nothing to see or to carry on this device. Walks are short."""
    back = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: x if x.is_meta else back(x))
    monkeypatch.setattr(editing, "as_pictures", lambda x0: x0)
    monkeypatch.setattr(editing, "slerp", torch.lerp)
    monkeypatch.setattr(run, "device", lambda: "meta")
    for module, name in ((retouch, "STEPS"), (retouch, "EDIT_STEPS"), (sdedit, "STEPS")):
        monkeypatch.setattr(module, name, 3)
    monkeypatch.setattr(retouch, "METHODS", {"repaint": 2, "replace": 1})
    monkeypatch.setattr(inpainting, "WALKS", dict.fromkeys(inpainting.WALKS, (2, 2)))


def test_the_stand_in_does_what_this_file_needs():
    x = torch.ones(2, device="meta")
    for look in (
        lambda: x + torch.ones(2),
        lambda: bool((x > 0).all()),
        x.tolist,
        lambda: x[0].item(),
        lambda: x.cpu(),
    ):
        with pytest.raises((RuntimeError, NotImplementedError)):
            look()


@pytest.mark.usefixtures("no_doubles")
@pytest.mark.parametrize("name", STEPS)
def test_a_walk(name, asked):
    model, x_T, cond = asked
    guided = guidance.guide(model, 2.0, interval=(200, 800)), guidance.guide(model, 2.0, negative=cond[0])
    ways = [
        (guided[0], cond, Streams(0, [0, 1])),
        (Within(guided[1], None), cond, torch.Generator()),
        (model, None, None),
    ]
    for denoiser, given, generator in ways:
        walk = dict(cond=given, step=STEPS[name], generator=generator)
        for state in samplers.sample(denoiser, x_T, TIMES, model.alpha_bar, **walk):
            assert state.x.is_meta and state.x.shape == x_T.shape
    assert model(x_T, torch.tensor([1, 2]), cond.to("meta")).is_meta


def test_conditions_that_are_there_already(asked, doors_open):
    model, x_T, cond = asked
    guided = guidance.guide(model, 2.0, negative=cond[:1])  # on the CPU
    assert samplers.draw(guided, x_T, TIMES, model.alpha_bar, cond=cond.to("meta")).is_meta


def test_conditions_are_looked_at_once_and_on_the_cpu(asked, as_learner):
    model, x_T, cond = asked
    with pytest.raises(ValueError, match=r"expected (labels|tokens) 0\.\."):
        samplers.draw(model, x_T, TIMES, model.alpha_bar, cond=cond + 10_000)


def test_editing(asked, doors_open):
    model, x0, cond = asked
    hole, a = torch.zeros(x0.shape[2:], dtype=torch.bool), model.alpha_bar
    other = cond.flip(0)
    for step in STEPS.values():
        filled = editing.inpaint(model, x0, hole, TIMES, a, cond, step, resample=2, generator=Streams(0, [0, 1]))
        assert filled.is_meta
    assert editing.sdedit(model, x0, 0.5, a, cond, steps=4).is_meta
    assert all(x.is_meta for x in editing.invert(model, x0, TIMES, a, cond, refine=1))
    assert editing.edit(guidance.guide(model, 2.0), x0, cond, other, TIMES, a, mask=hole, forward=model).is_meta
    assert editing.where_to_edit(model, x0, cond, other, a, rounds=1).is_meta
    assert editing.interpolate(model, x0, x0, [0.5], TIMES, a, (cond, other))[0].is_meta


@pytest.mark.usefixtures("no_doubles")
@pytest.mark.parametrize("output", ["eps", "v"])
def test_what_is_minimised(asked, output):
    model, x_T, cond = asked
    loss = Denoising(lambda n, generator: (torch.zeros(n, *x_T.shape[1:]), cond.repeat(n // 2, *[1] * (cond.ndim - 1))))
    batch = loss.batch(model, 4, torch.Generator())
    assert all(x.is_cpu for x in batch)
    model.output, before = output, model.output
    try:
        losses = loss(model, *(x.to("meta") if x.is_floating_point() else x for x in batch))
    finally:
        model.output = before
    assert losses.is_meta and losses.shape == (4,)


@pytest.mark.usefixtures("no_doubles")
def test_training_between_two_looks(monkeypatch):
    """Pictures that live on the device, a batch that is drawn ahead: from one look at the losses to the next nothing waits."""
    usual = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *how, fused, **more: usual(*how, foreach=False, **more))
    model = subjects.get("cifar").untrained(width=8).to("meta")
    draw = shuffled_pixels(torch.zeros(8, 3, 32, 32, dtype=torch.uint8), torch.arange(8), flip=True).to("meta")
    training = Training(model, Denoising(draw), steps=100, batch_size=4, amp=False)
    for report in training:
        x0, t, eps, cond = report.batch
        assert x0.is_meta and report.losses.is_meta and t.is_cpu and eps.is_cpu and cond.is_cpu
        if report.step == LOOK_EVERY - 1:
            break
    with pytest.raises((RuntimeError, NotImplementedError)):
        next(iter(training))  # the look


@pytest.mark.usefixtures("no_doubles")
def test_what_a_judge_minimises():
    for name, labels in (("digits", torch.tensor([1, 2])), ("scenes", torch.tensor([[1, 2, 3], [4, 5, 6]]))):
        judge, shape = subjects.get(name).judge.load().to("meta"), subjects.get(name).shape
        losses = Classification(lambda n, generator: ...)(judge, torch.zeros(2, *shape, device="meta"), labels)
        assert losses.is_meta and losses.shape == (2,)


def test_attention_maps(asked):
    model, x_T, cond = asked
    if cond.ndim == 2:
        assert attention_maps(model.net, x_T, torch.tensor([1, 2], device="meta"), cond.to("meta")).is_meta


@pytest.mark.usefixtures("no_doubles")
@pytest.mark.parametrize("name", ASKED)
def test_drawing(name, doors_open):
    subject = subjects.get(name)
    drawn = subject.draw(subject.untrained(width=16), ASKED[name], 0, Walk("heun", 3, w=2.0))
    assert drawn.is_meta and drawn.shape == (2, *subject.shape)


def test_retouching(asked, doors_open):
    model, _, cond = asked
    x0 = torch.zeros(2, *model.net.shape)
    for method in retouch.METHODS:
        hole = torch.zeros(x0.shape[2:], dtype=torch.bool)
        assert retouch.fill(model, x0[:1], hole, cond[:1], method, 2.0, 0).is_meta
    assert retouch.find_mask(model, x0, cond, cond, Streams(0, [0, 1])).is_meta
    assert retouch.change(model, x0, cond, cond, x0[:, :1] > 0, 2.0).is_meta


def test_evaluations(asked, doors_open):
    model, x0, cond = asked
    if cond.ndim == 1:
        for way in inpainting.WALKS:
            assert inpainting.fill(model, x0, HOLE, way, 0).is_meta
        return
    scenes, x0 = torch.tensor([[0, 1, 2], [3, 4, 5]]), torch.zeros(2, *model.net.shape)
    assert sdedit.redraw(model, x0, scenes, 0.5, 0, 2.0).is_meta
    assert all(x.is_meta for x in inversion.there_and_back(model, x0, scenes, 3, 1, [1.0, 2.0]))
    task = edits.Task(0, scenes, scenes.flip(0), x0, x0[:, :1] > 0)
    for way in edits.EDITS:
        assert edits.edited(model, task, way, 0, 2.0).is_meta
