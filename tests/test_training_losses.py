"""Any loss fits the one loop: a judge's, two players', an autoencoder's; and each step of it is AdamW's, by hand."""

import math

import pytest
import torch
from test_training import pictures
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from diffusion_tutorial.losses import Classification, shuffled
from diffusion_tutorial.training import Training, learning_rate


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def run(model: nn.Module, loss, steps: int, **options) -> Training:
    training = Training(model, loss, steps=steps, amp=False, **options)
    list(training)
    return training


# Judges


class Reader(nn.Module):
    """Labels of the bars, and whether they are even: one answer, or two."""

    def __init__(self, classes):
        super().__init__()
        torch.manual_seed(0)
        self.classes, self.head = classes, nn.Linear(64, sum(classes))

    def forward(self, x):
        answers = self.head(x.flatten(1)).split(self.classes, dim=1)
        return answers if len(self.classes) > 1 else answers[0]


def noisy(n, generator):
    x, labels = shuffled(*pictures())(n, generator)
    return x + 0.3 * torch.randn(x.shape, generator=generator), labels


def test_a_judge_learns_to_read():
    training = run(Reader([4]), Classification(noisy, label_smoothing=0.05), 60, batch_size=32, lr=1e-2)
    images, labels = noisy(200, torch.Generator().manual_seed(5))
    assert (training.ema(images).argmax(1) == labels).float().mean() > 0.98
    assert (Reader([4])(images).argmax(1) == labels).float().mean() < 0.6


def test_a_judge_with_several_answers_learns_all_of_them():
    def both(n, generator):
        x, labels = noisy(n, generator)
        return x, torch.stack([labels, labels % 2], 1)

    training = run(Reader([4, 2]), Classification(both), 60, batch_size=32, lr=1e-2)
    images, labels = both(200, torch.Generator().manual_seed(5))
    read = torch.stack([answer.argmax(1) for answer in training.ema(images)], 1)
    assert ((read == labels).float().mean(0) > 0.98).all()


class Says(nn.Module):
    """Always the same."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer


def test_the_loss_of_a_judge_by_hand():
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    once, twice = Says(logits), Says((logits, logits))
    loss = Classification(noisy)(once, torch.zeros(2, 1), labels)
    torch.testing.assert_close(loss, torch.tensor([math.log(1 + math.exp(-2)), math.log(2)]))
    smooth = Classification(noisy, label_smoothing=0.1)(once, torch.zeros(2, 1), labels)
    torch.testing.assert_close(smooth - loss, torch.tensor([0.05 * 2.0, 0.0]))  # 0.1 / 2 on the other, 2 further off
    two = Classification(noisy)(twice, torch.zeros(2, 1), labels[:, None].expand(2, 2))
    torch.testing.assert_close(two, 2 * loss)


# Two players


class Players(nn.Module):
    """A generator of numbers and who tells them from the real ones."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.generator = nn.Linear(1, 1)
        self.critic = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))


class Game:
    """Non-saturating GAN (Goodfellow et al. 2014): each player's term moves that player alone."""

    def batch(self, model, n, generator):
        return 2 + 0.5 * torch.randn(n, 1, generator=generator), torch.randn(n, 1, generator=generator)

    def __call__(self, model, x, z):
        fake = model.generator(z)
        told = F.softplus(-model.critic(x)) + F.softplus(model.critic(fake.detach()))
        frozen = {name: p.detach() for name, p in model.critic.named_parameters()}
        return (told + F.softplus(-functional_call(model.critic, frozen, fake))).squeeze(1)


def test_two_players_train_in_the_same_loop():
    training = run(Players(), Game(), 400, batch_size=64, lr=2e-2, ema_decay=0.9)
    fake = training.ema.generator(torch.randn(2000, 1, generator=torch.Generator().manual_seed(1)))
    assert abs(Players().generator(torch.zeros(1)).item() - 2) > 1  # where it began
    assert abs(fake.mean().item() - 2) < 0.4
    assert not same(training.model, training.ema)


@pytest.mark.parametrize("stop", [1, 7])
def test_a_game_goes_on_exactly(stop, tmp_path):
    def new():
        return Training(Players(), Game(), steps=12, batch_size=8, ema_decay=0.9, amp=False)

    whole, first, second = new(), new(), new()
    list(whole)
    for report in first:
        if report.step == stop:
            break
    first.save(tmp_path / "c.safetensors")
    second.resume(tmp_path / "c.safetensors")
    assert [report.step for report in second] == list(range(stop + 1, 13))
    assert same(second.model, whole.model) and same(second.ema, whole.ema)


# An autoencoder


class Reconstruction:
    """Mean squared error of what comes back."""

    def batch(self, model, n, generator):
        return (torch.randn(n, 2, generator=generator) @ torch.eye(2, 8).add(0.3),)

    def __call__(self, model, x):
        return (model(x) - x).square().mean(1)


def test_an_autoencoder_learns_to_give_back():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 8))
    reports = list(Training(model, Reconstruction(), steps=200, batch_size=32, lr=2e-2, amp=False))
    first, last = (torch.cat([r.losses for r in part]).mean() for part in (reports[:5], reports[-20:]))
    assert last < 0.05 * first and reports[0].batch[0].shape == (32, 8)


# The step itself


class Uneven:
    """A slope far above the length to which it is cut, then far below it, then between."""

    def __init__(self):
        self.scales = iter((100.0, 0.1, 1.0, 30.0))

    def batch(self, model, n, generator):
        return torch.randn(n, 3, generator=generator), torch.tensor(next(self.scales))

    def __call__(self, model, x, scale):
        return scale * (model(x).squeeze(1) - 1)


def test_a_step_is_adamws_with_the_slope_cut_to_length_1_as_written_by_hand():
    """Loshchilov & Hutter 2019, algorithm 2, with the betas and the weight decay that Training has by itself."""
    lr, beta1, beta2, decay, steps = 0.1, 0.9, 0.99, 0.01, 4
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    p = torch.cat([q.detach().flatten() for q in model.parameters()]).double()
    m, v, lengths = torch.zeros(4).double(), torch.zeros(4).double(), []
    for report in Training(model, Uneven(), steps=steps, batch_size=8, lr=lr, amp=False):
        x, scale = report.batch
        g = scale * torch.cat([x.mean(0), torch.ones(1)]).double()
        lengths.append(g.norm().item())
        g = g / g.norm().clamp(min=1)
        rate = lr * learning_rate((report.step - 1) / steps)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**report.step), v / (1 - beta2**report.step)
        p = p - rate * decay * p - rate * m_hat / (v_hat.sqrt() + 1e-8)
        now = torch.cat([q.detach().flatten() for q in model.parameters()]).double()
        torch.testing.assert_close(now, p, atol=2e-6, rtol=0)
    assert min(lengths) < 1 < max(lengths)


def test_betas_and_weight_decay_can_be_chosen():
    def weights(**options):
        torch.manual_seed(0)
        return run(nn.Linear(3, 1), Uneven(), 4, batch_size=8, lr=0.1, **options).model.weight.detach()

    usual = weights()
    assert torch.equal(usual, weights(betas=(0.9, 0.99), weight_decay=0.01))
    for options in (dict(betas=(0.8, 0.99)), dict(betas=(0.9, 0.95)), dict(weight_decay=0.1)):
        assert (usual - weights(**options)).abs().max() > 1e-5, options


def test_a_part_may_learn_slower():
    """AdamW's first step is lr times the sign of the slope, whatever its size: a quarter of it for the bias alone."""

    def moved(**options):
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        training = Training(model, Uneven(), steps=4, batch_size=8, lr=0.1, weight_decay=0, amp=False, **options)
        next(iter(training))
        return {name: p.detach() - before[name] for name, p in model.named_parameters()}

    usual, slower = moved(), moved(rates={"bias": 0.25})
    torch.testing.assert_close(slower["weight"], usual["weight"])
    torch.testing.assert_close(slower["bias"], 0.25 * usual["bias"])
    with pytest.raises(ValueError, match="expected shares of the learning rate above 0"):
        moved(rates={"bias": 0})
