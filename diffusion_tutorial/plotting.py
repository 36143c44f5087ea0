"""Figures only: one house style, colour-blind safe, readable on a dark page. Each function returns the figure it drew.

In a lesson, `show(figure, caption, alt)` puts a figure on the page with its number, caption and alt text.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from diffusion_tutorial.page import Shown, has_words, png

# Okabe & Ito's palette; colour is never the only difference, see the lists below it
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "//", "..", "xx", "\\\\", "--", "++")
STYLE: dict = {
    "figure.facecolor": "white",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.8,
}
WIDTH = 7.5  # of a page of pictures, in inches: the width of a column of text


def show(figure: Figure, caption: str, alt: str) -> Shown:
    """The figure as a page shows it: a picture, sharp on any screen, and its caption in words under it.

    caption: "Figure 3.2. What to see"; plain text. alt: what a reader who cannot see the picture needs to know. While something
    runs, `shown.update(show(…))` replaces the picture of a `shown` that is on the page already.
    """
    return Shown(png(figure), caption, alt, whole=has_words(figure))


def panels(columns: int = 1, rows: int = 1, width: float = 3.4, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """An empty figure in the house style and its axes, row by row; `width` and `height` of each panel in inches."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def images(
    pictures: Tensor,
    titles: Sequence[object] | None = None,
    columns: int | None = None,
    size: float | None = None,
) -> Figure:
    """A page of pictures, (n, c, h, w), grey or colour, with -1 black and 1 white, a title over each if given.

    size: of each picture in inches; without it, so large that a row fills the column of text, within reason.
    """
    n = len(pictures)
    if n == 0:
        raise ValueError(f"expected pictures (n, c, h, w), got none: shape {tuple(pictures.shape)}")
    columns = columns or min(n, 10)
    size = size or _fitting(columns)
    figure, axes = panels(columns, -(-n // columns), size, size * (1.25 if titles is not None else 1))
    for i, ax in enumerate(axes):
        ax.axis("off")
        if i < n:
            image(ax, pictures[i])
            if titles is not None:
                ax.set_title(str(titles[i]), fontsize=9)
    return figure


def image_rows(rows: Mapping[str, Tensor], titles: Sequence[object] | None = None, size: float | None = None) -> Figure:
    """Aligned rows of pictures, {row name: (n, c, h, w)}, a title over each column: what happens to each, side by side.

    size: of each picture in inches; without it, so large that a row fills the column of text, within reason.
    """
    n = max(len(pictures) for pictures in rows.values())
    size = size or _fitting(n)
    figure, axes = panels(n, len(rows), size, size * 1.08)
    for r, (name, pictures) in enumerate(rows.items()):
        for i, ax in enumerate(axes[r * n : (r + 1) * n]):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            if i < len(pictures):
                image(ax, pictures[i])
            if r == 0 and titles is not None and i < len(titles):
                ax.set_title(str(titles[i]), fontsize=9)
        axes[r * n].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return figure


def _fitting(columns: int) -> float:
    """The size of a picture of which so many fill the column of text: neither a stamp nor a poster."""
    return min(max(WIDTH / columns, 0.75), 1.8)


def image(ax: Axes, picture: Tensor, low: float = -1, high: float = 1) -> Axes:
    """One picture, (c, h, w), grey or colour, on these axes, with `low` black and `high` white."""
    if picture.ndim != 3 or picture.shape[0] not in (1, 3):
        raise ValueError(f"expected a batch of pictures (n, 1 or 3, h, w), got one of shape {tuple(picture.shape)}")
    pixels = ((picture.detach().cpu().float() - low) / (high - low)).clamp(0, 1)
    ax.imshow(pixels.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.grid(False)
    return ax


def curves(
    ax: Axes,
    x: Sequence[float] | Tensor,
    ys: Mapping[str, Sequence[float] | Tensor],
    xlabel: str,
    ylabel: str,
    marks: bool = False,
) -> Axes:
    """One line per entry of `ys`, each with its own colour and dashes (and markers), and a legend if there are several."""
    for i, (name, y) in enumerate(ys.items()):
        marker = MARKERS[i % 7] if marks else None
        ax.plot(_array(x), _array(y), color=COLOURS[i % 7], linestyle=DASHES[i % 7], marker=marker, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if len(ys) > 1:
        ax.legend()
    return ax


def histogram(
    ax: Axes,
    values: Tensor,
    xlabel: str,
    density: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    bins: int = 60,
    span: tuple[float, float] | None = None,
) -> Axes:
    """A histogram with area 1, and over it the curves of `density`, {name: (x, y)}."""
    ax.hist(_array(values).ravel(), bins=bins, range=span, density=True, color=COLOURS[5], label="measured")
    for i, (name, (x, y)) in enumerate((density or {}).items()):
        ax.plot(_array(x), _array(y), color=COLOURS[(i + 1) % 7], linestyle=DASHES[i % 7], label=name)
    ax.set(xlabel=xlabel, ylabel="density")
    if density:
        ax.legend()
    return ax


def bars(
    ax: Axes,
    names: Sequence[str],
    heights: Mapping[str, Sequence[float] | Tensor],
    ylabel: str,
    errors: Mapping[str, Sequence[float]] | None = None,
) -> Axes:
    """Groups of bars, one group per name and one bar per entry of `heights`, told apart by colour and hatching."""
    width = 0.8 / len(heights)
    for i, (name, values) in enumerate(heights.items()):
        place = np.arange(len(names)) + (i - (len(heights) - 1) / 2) * width
        ax.bar(
            place,
            _array(values),
            width,
            color=COLOURS[i % 7],
            hatch=HATCHES[i % 7],
            edgecolor="white",
            label=name,
            yerr=None if errors is None else errors[name],
        )
    ax.set_xticks(np.arange(len(names)), names)
    ax.set(ylabel=ylabel)
    ax.grid(False, axis="x")
    if len(heights) > 1:
        ax.legend()
    return ax


def matrix(ax: Axes, P: Tensor, names: Sequence[str]) -> Axes:
    """A matrix of probabilities, with a row and a column for each name, as a heat map with its numbers written in."""
    ax.imshow(_array(P), cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(_array(P)):
        for j, value in enumerate(row):
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.55 else "black")
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.grid(False)
    return ax


def points(
    ax: Axes, cloud: Tensor, title: str = "", colour: int = 0, span: float | None = None, size: float = 3
) -> Axes:
    """A cloud of 2-D points, (n, 2), on axes of equal scale."""
    xy = _array(cloud)
    ax.scatter(xy[:, 0], xy[:, 1], s=size, color=COLOURS[colour], alpha=0.5, linewidths=0)
    ax.set_aspect("equal")
    ax.set_title(title)
    if span is not None:
        ax.set(xlim=(-span, span), ylim=(-span, span))
    return ax


def boxes(
    ax: Axes, numbers: Tensor, at: tuple[float, float] = (0, 0), chosen: Tensor | None = None, colour: int = 0
) -> Axes:
    """A table of numbers, (h, w), each in a box of side 1, with its upper left corner at `at`, (down, across).

    chosen: which boxes are filled, (h, w), all of them if not given; the others are dashed, their numbers grey.
    """
    if numbers.ndim != 2 or chosen is not None and chosen.shape != numbers.shape:
        marks = "" if chosen is None else f", chosen of shape {tuple(chosen.shape)}"
        raise ValueError(f"expected a table (h, w) and a mark for each number, got shape {tuple(numbers.shape)}{marks}")
    for (i, j), value in np.ndenumerate(_array(numbers)):
        filled = chosen is None or bool(chosen[i, j])
        corner, face = (at[1] + j, at[0] + i), (COLOURS[colour], 0.25) if filled else "white"
        edge, line = (COLOURS[colour], "-") if filled else ("#999999", ":")
        ax.add_patch(
            Rectangle(corner, 1, 1, facecolor=face, edgecolor=edge, linestyle=line, linewidth=1.2, clip_on=False)
        )
        ink = "black" if filled else "#767676"
        ax.text(
            corner[0] + 0.5,
            corner[1] + 0.5,
            f"{value:g}".replace("-", "−"),
            ha="center",
            va="center",
            color=ink,
            fontsize=12,
        )
    bottom, right = max(ax.get_ylim()[0], at[0] + len(numbers)), max(ax.get_xlim()[1], at[1] + numbers.shape[1])
    ax.set(xlim=(min(ax.get_xlim()[0], at[1]), right), ylim=(bottom, min(ax.get_ylim()[1], at[0])), aspect="equal")
    ax.axis("off")
    return ax


def _array(values: Sequence[float] | Tensor) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
