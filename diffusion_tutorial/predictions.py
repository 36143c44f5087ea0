"""Three ways to say the same guess: the noise eps, the picture x0, or the velocity v.

Derived in "Ask the question well".

Given x_t, any one of the three gives the other two, because x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps.
`Denoiser` turns a network that answers eps or v into the one thing that the rest of the package talks to.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from diffusion_tutorial.schedules import at, check, check_t


def x0_from_eps(
    x_t: Float[Tensor, "batch ..."],
    eps: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """x0_hat = (x_t - sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_bar_t)  (Ho et al. 2020, eq. 15).

    Near t = T the division blows a small error of eps_hat up; where alpha_bar_t is 0 it cannot be done at all.
    """
    a = at(alpha_bar, t, x_t, eps)
    if (a == 0).any():
        raise ValueError("x0 cannot be found from the noise where alpha_bar_t is 0: no signal is left in x_t")
    return (x_t - torch.sqrt(1 - a) * eps) / torch.sqrt(a)


def eps_from_x0(
    x_t: Float[Tensor, "batch ..."],
    x0: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """eps_hat = (x_t - sqrt(alpha_bar_t) x0_hat) / sqrt(1 - alpha_bar_t); there is no noise to find at t = 0."""
    a = at(alpha_bar, t, x_t, x0)
    if (a == 1).any():
        raise ValueError("eps cannot be found from the picture at t = 0: no noise has been added yet")
    return (x_t - torch.sqrt(a) * x0) / torch.sqrt(1 - a)


def v_from(
    x0: Float[Tensor, "batch ..."],
    eps: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x0  (Salimans & Ho 2022, arXiv 2202.00512, section 4)."""
    a = at(alpha_bar, t, x0, eps)
    return torch.sqrt(a) * eps - torch.sqrt(1 - a) * x0


def eps_from_v(
    x_t: Float[Tensor, "batch ..."],
    v: Float[Tensor, "batch ..."],
    t: Int[Tensor, "batch"],
    alpha_bar: Float[Tensor, "times"],
) -> Float[Tensor, "batch ..."]:
    """eps_hat = sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v_hat: a skip from x_t, and v scaled by the signal."""
    a = at(alpha_bar, t, x_t, v)
    return torch.sqrt(1 - a) * x_t + torch.sqrt(a) * v


class Denoiser(nn.Module):
    """model(x_t, t, cond) -> eps_hat, from a network whose raw output is read as "eps" or as "v".

    `alpha_bar` is the schedule that the network is trained for; it travels with the model. The network may run in a
    lower precision; eps_hat is always computed in float32.
    """

    def __init__(self, net: nn.Module, alpha_bar: Float[Tensor, "times"], output: str = "eps"):
        super().__init__()
        if output not in ("eps", "v"):
            raise ValueError(f'expected output "eps" or "v", got "{output}"')
        self.net, self.output = net, output
        self.alpha_bar = check(alpha_bar).double().cpu()  # no buffer: it stays where float64 exists

    def forward(
        self, x_t: Float[Tensor, "batch ..."], t: Int[Tensor, "batch"], cond: Tensor | None = None
    ) -> Float[Tensor, "batch ..."]:
        check_t(t, x_t, len(self.alpha_bar) - 1)
        out = self.net(x_t, t, cond).float()
        return out if self.output == "eps" else eps_from_v(x_t, out, t, self.alpha_bar)

    def null_like(self, cond: Tensor) -> Tensor:
        """What stands for "any picture" in the shape of `cond`: the null condition that the network was trained with."""
        return self.net.null_like(cond)
