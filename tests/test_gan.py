"""The game of two players: its loss by hand, whose slope reaches whom, the players, and the commands around them."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from diffusion_tutorial import cli, pretrained, run, subjects
from diffusion_tutorial.losses import Game, game_loss, shuffled
from diffusion_tutorial.models.gan import Gan, PointGan
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.samplers import Walk

DIGITS = subjects.get("digits")


class Straight(nn.Module):
    """A critic whose slope is known: D(x) = w x, with |grad D|^2 = |w|^2 everywhere."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([3.0, -4.0]))

    def forward(self, x, cond):
        return x @ self.w


class Players(nn.Module):
    """A generator that shifts its static, and the straight critic."""

    def __init__(self):
        super().__init__()
        self.z, self.shift, self.critic = 2, nn.Parameter(torch.tensor([0.5, 0.25])), Straight()

    def generator(self, z, cond):
        return z + self.shift


@pytest.fixture
def pairs(generator):
    return torch.randn(6, 2, generator=generator), torch.randn(6, 2, generator=generator), torch.zeros(6).long()


def lively(model: nn.Module) -> nn.Module:
    """With no weight at zero, so that everything has an influence."""
    torch.manual_seed(3)
    for p in model.parameters():
        p.data += 0.05 * torch.randn(p.shape)
    return model.eval()


def slopes(loss: torch.Tensor, model: nn.Module) -> dict[str, torch.Tensor]:
    found = torch.autograd.grad(loss.sum(), list(model.parameters()), allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(model.named_parameters(), found)}


# The loss


def test_the_loss_of_a_pair_by_hand(pairs):
    """log(1 + e^u) + log(1 + e^-u), u = D(G(z)) - D(x), and for each penalty its weight times 3^2 + 4^2."""
    x, z, cond = pairs
    model = Players()
    u = ((z + model.shift - x) @ model.critic.w).detach().double()
    expected = torch.log(1 + u.exp()) + torch.log(1 + (-u).exp())
    for real, made in ((0.0, 0.0), (0.1, 0.0), (0.0, 0.3), (0.1, 0.3)):
        loss = game_loss(model, x, z, cond, real, made)
        torch.testing.assert_close(loss.double(), expected + 25 * (real + made), atol=1e-5, rtol=1e-5)


def test_the_slopes_by_hand_reach_their_own_player(pairs):
    """The critic's is that of softplus(u) and of 25 (real + made); the generator's that of softplus(-u), and no other."""
    x, z, cond = pairs
    model = Players()
    u = ((z + model.shift - x) @ model.critic.w).detach()
    found = slopes(game_loss(model, x, z, cond, real=0.1, made=0.3), model)
    critic = (u.sigmoid()[:, None] * (z + model.shift - x)).sum(0) + 6 * 2 * 0.4 * model.critic.w
    generator = -(-u).sigmoid().sum() * model.critic.w
    torch.testing.assert_close(found["critic.w"], critic.detach())
    torch.testing.assert_close(found["shift"], generator.detach())


@pytest.mark.parametrize("real, made", [(1.0, 0.0), (0.0, 1.0)])
def test_each_penalty_is_taken_on_its_own_pictures(real, made, generator):
    """D(x) = |x|^2 / 2 has the slope x, so the penalty is |x|^2 on real points, |G(z)|^2 on made ones."""
    model = Players()
    model.critic = Bowl()
    x, z = torch.randn(5, 2, generator=generator), torch.randn(5, 2, generator=generator)
    extra = game_loss(model, x, z, torch.zeros(5), real, made) - game_loss(model, x, z, torch.zeros(5), 0, 0)
    on = x if real else z + model.shift
    torch.testing.assert_close(extra, on.square().sum(1), atol=1e-5, rtol=1e-5)


class Bowl(nn.Module):
    def __init__(self):
        super().__init__()
        self.depth = nn.Parameter(torch.tensor(0.5))

    def forward(self, x, cond):
        return self.depth * x.square().sum(1)


@pytest.mark.parametrize("kind", ["pictures", "points"])
def test_the_penalties_move_the_critic_alone(kind, generator):
    model = lively(Gan(1, 8, 3, 8, z=4) if kind == "pictures" else PointGan(8))
    x = torch.randn(4, *((1, 8, 8) if kind == "pictures" else (2,)), generator=generator)
    z, cond = torch.randn(4, model.z, generator=generator), torch.tensor([0, 1, 2, 0])
    without, with_ = (slopes(game_loss(model, x, z, cond, weight, weight), model) for weight in (0.0, 2.0))
    for name, slope in without.items():
        if name.startswith("generator"):
            assert torch.equal(slope, with_[name]), name
        elif slope.ndim > 1:  # a bias behind the last bend changes no slope
            assert not torch.equal(slope, with_[name]), name


def test_every_parameter_is_moved(generator):
    model = lively(Gan(1, 8, 3, 8, z=4))
    x, z = torch.randn(6, 1, 8, 8, generator=generator), torch.randn(6, 4, generator=generator)
    found = slopes(game_loss(model, x, z, torch.arange(6) % 3, 0.1, 0.1), model)
    assert all(slope.abs().max() > 0 for slope in found.values())


def test_a_batch_is_pictures_static_and_labels(generator):
    images, labels = 2 * torch.rand(9, 1, 8, 8) - 1, torch.arange(9) % 3
    x, z, cond = Game(shuffled(images, labels)).batch(Gan(1, 8, 3, 8, z=4), 500, generator)
    assert all((image == images[labels == label]).all((1, 2, 3)).any() for image, label in zip(x[:20], cond))
    assert z.shape == (500, 4) and abs(z.mean()) < 0.1 and abs(z.std() - 1) < 0.1


@pytest.mark.parametrize("weights", [(-1.0, 0.0), (0.0, -0.1), (float("nan"), 0.0)])
def test_a_penalty_has_a_weight_from_0_on(weights):
    with pytest.raises(ValueError, match="expected weights of the penalties from 0 on, got real="):
        Game(lambda n, generator: None, *weights)


# The players


@pytest.mark.parametrize("width", [16, 32, 48])
def test_both_players_together_are_as_large_as_the_denoiser(width):
    gan, unet = (sum(p.numel() for p in net.parameters()) for net in (Gan(width=width), UNet(width=width)))
    assert 0.9 < gan / unet < 1.1


def test_a_picture_depends_on_its_own_static_and_label_alone(generator):
    model, z = lively(Gan(width=8)), torch.randn(4, 32, generator=generator)
    labels = torch.tensor([1, 1, 2, 3])
    drawn = model(z, labels)
    assert drawn.shape == (4, 1, 28, 28) and drawn.abs().max() <= 1
    torch.testing.assert_close(model(z[2:3], labels[2:3]), drawn[2:3])
    assert (model(z[:1], labels[2:3]) - drawn[:1]).abs().max() > 1e-3  # another label
    assert (model(z[1:2], labels[:1]) - drawn[:1]).abs().max() > 1e-3  # other static
    assert (model.critic(drawn[:1], labels[:1]) - model.critic(drawn[:1], labels[2:3])).abs() > 1e-4


@pytest.mark.parametrize("cond", [torch.tensor([0, 10]), torch.tensor([-1, 0]), torch.zeros(2), torch.tensor([1])])
def test_a_label_that_it_does_not_know_is_one_clear_error(cond):
    with pytest.raises(ValueError, match="expected (labels 0..9|a label for each of 2)"):
        Gan(width=8).check_cond(cond, 2)


@pytest.mark.parametrize("sizes", [dict(width=4), dict(width=12), dict(size=30), dict(size=0)])
def test_sizes_that_do_not_fold(sizes):
    with pytest.raises(ValueError, match="expected a side divisible by 4 and a width divisible by 8"):
        Gan(**sizes)


def test_it_comes_back_in_half_precision(tmp_path, generator):
    model, path = lively(Gan(width=8)), tmp_path / "gan.safetensors"
    pretrained.write(path, model)
    again, z = pretrained.read(path), torch.randn(3, 32, generator=generator)
    assert isinstance(again, Gan) and again.config == model.config and not again.training
    labels = torch.tensor([0, 5, 9])
    torch.testing.assert_close(again(z, labels), model(z, labels), atol=0.02, rtol=0.02)
    assert DIGITS.fits(again) and not DIGITS.fits(Gan(width=8, labels=3)) and not subjects.get("scenes").fits(again)


# Drawing


def test_picture_i_belongs_to_seed_and_i_whatever_else_is_drawn():
    model = lively(Gan(width=8))
    many = DIGITS.draw(model, [i % 10 for i in range(25)], seed=4)
    one = DIGITS.draw(model, [3], seed=4, pictures=[13])
    torch.testing.assert_close(one, many[13:14])
    parts = run.draw_at_once(model, torch.arange(25) % 10, 4, batch=7)
    torch.testing.assert_close(parts, many)
    assert (DIGITS.draw(model, [3], seed=5, pictures=[13]) - one).abs().max() > 1e-3


# The command


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small pair after six steps, and after as many with an interruption."""
    out = tmp_path_factory.mktemp("gan")
    small = ["train", "digits-gan", "--width", "8", "--batch", "4", "--evaluate", "0"]
    assert cli.main([*small, "--budget", "6steps", "--out", str(out / "whole")]) == 0
    for more in (["--budget", "3steps"], ["--budget", "6steps", "--resume"]):
        assert cli.main([*small, *more, "--out", str(out / "parts")]) == 0
    return out


def test_training_writes_weights_and_a_card_and_goes_on(trained):
    card = json.loads((trained / "whole" / "digits-gan.json").read_text())
    weights = trained / "whole" / "digits-gan.safetensors"
    assert (
        card["sha256"] == pretrained.sha256(weights) and card["steps"] == 6 and card["data"].startswith("5,000 MNIST")
    )
    assert card["command"].startswith("diffusion-tutorial train digits-gan --data sample --width 8 --batch 4 ")
    model, resumed = (pretrained.read(trained / way / "digits-gan.safetensors") for way in ("whole", "parts"))
    fresh = Gan(width=8)
    assert all(p.shape == q.shape for p, q in zip(model.parameters(), fresh.parameters()))
    changed = [not torch.equal(p, q) for p, q in zip(model.parameters(), resumed.parameters())]
    assert len(changed) > 20  # the learning rate of three steps of three is not that of three of six


def test_six_steps_in_one_go_and_with_a_stop_are_the_same(tmp_path):
    def new():
        with run.seeded(0):
            model = Gan(width=8)
        data = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(1)) * 2 - 1
        loss = Game(shuffled(data, torch.arange(20) % 10))
        recipe = dict(betas=(0.0, 0.99), rates={"generator": 0.5})
        return run.Training(model, loss, steps=6, batch_size=4, amp=False, **recipe)

    whole, first, second = new(), new(), new()
    list(whole)
    for report in first:
        if report.step == 2:
            break
    first.save(tmp_path / "c.safetensors")
    second.resume(tmp_path / "c.safetensors")
    list(second)
    for one, two in ((whole.model, second.model), (whole.ema, second.ema)):
        assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters()))


def test_sample_draws_with_it_in_one_call(trained, tmp_path):
    weights, out = trained / "whole" / "digits-gan.safetensors", tmp_path / "x.npz"
    arguments = ["sample", "digits", "--weights", str(weights), "--n", "12", "--labels", "7,1", "--seed", "3"]
    assert cli.main([*arguments, "--out", str(out)]) == 0
    with np.load(out) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    expected = DIGITS.draw(pretrained.read(weights), [7, 1] * 6, seed=3)
    assert (images == DIGITS.to_pixels(expected)).all() and labels.tolist() == [7, 1] * 6


def test_evaluate_measures_it_in_one_call_a_picture(trained, tmp_path):
    weights, told = trained / "whole" / "digits-gan.safetensors", tmp_path / "told.json"
    assert (
        cli.main(
            ["evaluate", "digits", "--weights", str(weights), "--n", "30", "--against", "sample", "--json", str(told)]
        )
        == 0
    )
    protocol = json.loads(told.read_text())["protocol"]
    assert protocol["network_evaluations_per_sample"] == 1 and "steps" not in protocol and "w" not in protocol


@pytest.mark.parametrize(
    "options, says",
    [
        (["--steps", "5"], "--steps: {} is a GAN, which draws in one call, without a walk; leave it out"),
        (["--sampler", "ddim"], "--sampler: {} is a GAN, which draws in one call"),
        (["--spacing", "karras"], "--spacing: {} is a GAN"),
        (["--w", "2"], "--w: {} is a GAN"),
        (["--w", "2", "--negative", "3"], "is a GAN"),
        (["--labels", "none"], "expected labels 0..9, got 10 to 10: a GAN draws no picture without one"),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else "",
)  # fmt: skip
def test_what_it_cannot_do_is_one_sentence(options, says, trained, tmp_path, capsys):
    weights = str(trained / "whole" / "digits-gan.safetensors")
    assert cli.main(["sample", "digits", "--weights", weights, "--out", str(tmp_path / "x.png"), *options]) == 2
    said = capsys.readouterr().err
    assert says.format(weights) in said and said.count("\n") == 1 and not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["inpaint", "digits", "a.png", "--mask", "m.png", "--label", "3"],
        ["edit", "digits", "a.png", "--label", "3", "--to", "8"],
    ],
    ids=lambda command: command[0],
)
def test_it_fills_in_nothing_and_changes_nothing(command, trained, tmp_path, capsys):
    weights = str(trained / "whole" / "digits-gan.safetensors")
    assert cli.main([*command, "--weights", weights, "--out", str(tmp_path / "new.png")]) == 2
    says = "is a GAN, which draws a whole picture in one call and cannot fill in or change one that is there"
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_an_evaluation_of_inpainting_refuses_it(trained, capsys):
    weights = str(trained / "whole" / "digits-gan.safetensors")
    assert cli.main(["evaluate", "inpainting", "--weights", weights]) == 2
    assert "cannot fill in or change one" in capsys.readouterr().err


def test_its_quality_is_that_of_its_drawings(monkeypatch, tmp_path, as_learner):
    from diffusion_tutorial.subjects.digits_gan import TRAINABLE

    def quality(model, asked, walk):
        assert asked == [i % 10 for i in range(30)] and isinstance(walk, Walk)
        return [0.5, 0.4, 0.6]

    monkeypatch.setattr(type(DIGITS), "quality", lambda self, *arguments: quality(*arguments))
    measured = TRAINABLE.measure(Gan(width=8), 30, tmp_path)["quality"]
    assert (
        measured["label_accuracy"] == 0.5
        and measured["interval_95"] == [0.4, 0.6]
        and TRAINABLE.measure(None, 0, tmp_path) == {}
    )
