"""Exercises of "Build the network": the weights of a convolution, the folded picture. (The clock is in `training`.)"""

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion_tutorial.checks.core import Exercise


def conv_parameters(c_in: int, c_out: int, k: int) -> int:
    """c_out kernels, each with k x k weights for every channel that comes in, and one bias."""
    return (c_in * k * k + 1) * c_out


def fold(x: Tensor) -> Tensor:
    """(n, 1, h, w) to (n, 4, h/2, w/2): the pixels of each 2 x 2 square, in reading order, as four channels."""
    corners = [x[:, :, 0::2, 0::2], x[:, :, 0::2, 1::2], x[:, :, 1::2, 0::2], x[:, :, 1::2, 1::2]]
    return torch.cat(corners, dim=1)


def _corners(x: Tensor, order: list[tuple[int, int]]) -> Tensor:
    """The corners of the squares, (row, column), in another order."""
    return torch.cat([x[:, :, row::2, column::2] for row, column in order], dim=1)


def _quarters(x: Tensor) -> Tensor:
    """The picture cut into four quarters: top left, top right, bottom left, bottom right."""
    return torch.cat([part for half in x.chunk(2, dim=2) for part in half.chunk(2, dim=3)], dim=1)


Exercise(
    "conv_parameters",
    answer=conv_parameters,
    cases=[(1, 3, 3), (4, 32, 3), (64, 32, 1), (8, 24, 5)],
    mistakes={
        "The biases are missing: each kernel has one more number, which is added to its sum.": lambda c_in, c_out, k: (
            c_in * c_out * k * k
        ),
        "One bias is not enough: each of the c_out kernels has one of its own.": lambda c_in, c_out, k: (
            c_in * c_out * k * k + 1
        ),
        "The biases belong to the kernels, and there are c_out of them, not one for each channel that comes in.": (
            lambda c_in, c_out, k: (c_out * k * k + 1) * c_in
        ),
        "A window of k × k has k² places, not k.": lambda c_in, c_out, k: (c_in * k + 1) * c_out,
        "A kernel looks at all channels that come in, so it has k × k weights for each of them.": lambda c_in, c_out, k: (
            (k * k + 1) * c_out
        ),
        "That is one kernel. There is one for every channel that goes out.": lambda c_in, c_out, k: c_in * k * k + 1,
    },
    nudge="Draw one kernel for one channel, count its weights, and then ask how many of them there are.",
)

Exercise(
    "fold",
    answer=fold,
    cases=[
        (torch.arange(16.0).view(1, 1, 4, 4),),
        (torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(707)),),
    ],
    mistakes={
        "You cut the picture into its four quarters. Each channel should be the whole picture, made of every second pixel: "
        "x[:, :, 0::2, 0::2].": _quarters,
        "Top right and bottom left are swapped: along the row first, then down, as one reads.": lambda x: _corners(
            x, [(0, 0), (1, 0), (0, 1), (1, 1)]
        ),
        "view and reshape only cut the numbers in the order in which they lie: the first channel got the first rows. Pick "
        "every second pixel of every second row.": lambda x: x.reshape(len(x), 4, x.shape[2] // 2, x.shape[3] // 2),
        "You averaged each square, so three numbers of four are lost. Keep all four, as channels.": lambda x: (
            F.avg_pool2d(x, 2)
        ),
        "All four channels hold the top left pixel of each square: begin at 1 for the second column and the second row.": (
            lambda x: x[:, :, 0::2, 0::2].repeat(1, 4, 1, 1)
        ),
        "You laid the four along the batch. They are channels of one picture: dim=1.": lambda x: torch.cat(
            [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=0
        ),
    },
    nudge="Fold a picture of two rows and two columns by hand first.",
)
