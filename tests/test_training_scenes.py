"""Training on pictures made on the fly, told by captions: what "Type a sentence, get a picture" does, made small."""

import pytest
import torch
from torch import nn

from diffusion_tutorial import subjects
from diffusion_tutorial.data import scenes
from diffusion_tutorial.losses import Denoising, training_loss
from diffusion_tutorial.models.text import Tokenizer
from diffusion_tutorial.models.text_unet import TextUNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.schedules import cosine
from diffusion_tutorial.training import Training

TOKENIZER = Tokenizer(scenes.vocabulary())


def told(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Scenes and their captions, as the recipe has them."""
    images, _, captions = scenes.sample(n, generator, partial=0.1)
    return images, TOKENIZER(captions)


def painter() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(TextUNet(scenes.vocabulary(), width=8, dim=16), cosine(), "v")


def weights(run: Training) -> dict[str, torch.Tensor]:
    return {
        f"{of}.{k}": v.clone() for of, m in (("model", run.model), ("ema", run.ema)) for k, v in m.state_dict().items()
    }


def test_the_loss_falls_on_scenes_made_on_the_fly(as_learner):
    """Ten steps on twenty scenes: of others, too, the net knows a little more than the 0 that a new one answers."""
    g = torch.Generator().manual_seed(1)
    x0, cond = told(12, g)
    asked = x0, torch.arange(80, 1000, 80), torch.randn(x0.shape, generator=g)
    run = Training(painter(), Denoising(told, t_bias=1.0), steps=10, batch_size=2, lr=1e-2, amp=False)
    before = training_loss(run.model, *asked, cond).mean().item()
    reports = list(run)
    assert training_loss(run.model, *asked, cond).mean() < 0.99 * before
    assert all(r.losses.shape == (2,) and r.losses.isfinite().all() for r in reports)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    """The scenes and their captions come from the generator that the checkpoint keeps."""
    whole = Training(painter(), Denoising(told), steps=4, batch_size=2, amp=False)
    losses = [r.losses for r in whole]
    first = Training(painter(), Denoising(told), steps=4, batch_size=2, amp=False)
    for report in first:
        if report.step == 2:
            break
    first.save(tmp_path / "c.safetensors")
    second = Training(painter(), Denoising(told), steps=4, batch_size=2, amp=False, seed=99)
    next(iter(second))
    second.resume(tmp_path / "c.safetensors")
    assert all(torch.equal(a.losses, b) for a, b in zip(list(second), losses[2:], strict=True))
    one, two = weights(second), weights(whole)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


class Listener(nn.Module):
    """A network that remembers which captions it was shown."""

    def __init__(self):
        super().__init__()
        self.bias, self.seen = nn.Parameter(torch.zeros(())), []

    def forward(self, x_t, t, cond=None):
        self.seen.append(cond)
        return self.bias * x_t

    def null_like(self, cond):
        return TOKENIZER([""]).expand_as(cond)

    def __deepcopy__(self, memo):  # the average need not listen
        return Listener()


@pytest.mark.parametrize("drop", [0.0, 0.3, 1.0])
def test_captions_are_dropped_whole_at_their_rate(drop, monkeypatch, as_learner):
    drawn = []

    def noted(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        images, cond = told(n, generator)
        drawn.append(cond)
        return images, cond

    blank = torch.full((150, 3, 48, 48), -1.0)
    monkeypatch.setattr(scenes, "draw", lambda attributes, generator: blank)
    net = Listener()
    list(Training(Denoiser(net, cosine()), Denoising(noted, label_drop=drop), steps=4, batch_size=150))
    given, seen = torch.cat(drawn), torch.cat(net.seen)
    null = (seen == TOKENIZER([""])).all(1)
    assert torch.equal(seen[~null], given[~null]) and len(given.unique(dim=0)) > 400
    assert abs(null.float().mean().item() - drop) <= (0.06 if drop == 0.3 else 0)


def test_nothing_held_out_reaches_the_network(monkeypatch, as_learner):
    """By the subject's own source of pictures."""
    shown, ordinary = [], scenes.draw
    monkeypatch.setattr(scenes, "draw", lambda attributes, g: shown.append(attributes) or ordinary(attributes[:0], g))
    subject = subjects.get("scenes")
    _, tokens = subject.loss(subject.settings).draw(1000, torch.Generator().manual_seed(0))
    assert len(shown) == 1 and len(shown[0]) == len(tokens) == 1000 and not scenes.is_held_out(shown[0]).any()
    texts = [" ".join(TOKENIZER.decode(row)[1:]) for row in tokens]
    read = [scenes.read(text) for text in texts]
    assert all(scene in (None, tuple(row)) for scene, row in zip(read, shown[0].tolist()))
    assert 0.07 < read.count(None) / 1000 < 0.13  # the partial ones
