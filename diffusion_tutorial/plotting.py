"""Figures only: one house style, colour-blind safe, readable on a dark page. Each function returns the figure it drew.

In a lesson, `show(figure, caption, alt)` puts a figure on the page with its number, caption and alt text.
"""

import base64
import html
import io
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from IPython.display import HTML
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

# Okabe & Ito's palette; colour is never the only difference, see the lists below it
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "//", "..", "xx", "\\\\", "--", "++")
STYLE = {
    "figure.facecolor": "white",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.8,
}
# of a <figure>, white on a dark page too, with its controls
CARD = "margin:0;padding:8px;background:#fff;color:#222;max-width:100%;display:inline-block;color-scheme:light"


def show(figure: Figure, caption: str, alt: str) -> HTML:
    """The figure as a page shows it: a white card with a caption under it and alt text for those who cannot see it.

    caption: "Figure 3.2. What to see"; plain text. alt: what a reader who cannot see the picture needs to know.
    """
    return HTML(figure_html(png(figure), caption, alt))


def figure_html(picture: bytes, caption: str, alt: str) -> str:
    """The HTML that `show` puts on the page, for a picture that is already a PNG."""
    source = base64.b64encode(picture).decode()
    return (
        f'<figure style="{CARD}">'
        f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}" style="max-width:100%;background:#fff">'
        f"{caption_html(caption)}</figure>"
    )


def caption_html(caption: str) -> str:
    """The caption of a <figure>, from plain text."""
    return f'<figcaption style="max-width:46em;font-size:90%">{html.escape(caption)}</figcaption>'


def png(figure: Figure) -> bytes:
    """The figure as a PNG file of at most 256 colours, which keeps pages small; the same bytes for the same figure."""
    return shrink(rendered(figure, dpi=90, tight=True))


def rendered(figure: Figure, dpi: int, tight: bool) -> Image.Image:
    """The figure as a picture; `tight` cuts the margins, without it figures of one size give pictures of one size."""
    canvas = io.BytesIO()
    for legend in filter(None, (ax.get_legend() for ax in figure.axes)):
        legend.set_frame_on(False)  # in the house style, whoever made it and when
    with warnings.catch_warnings():  # on a busy machine matplotlib warns that it takes its time to place a legend
        warnings.filterwarnings("ignore", message="Creating legend")
        if figure.get_layout_engine():
            figure.draw_without_rendering()  # find the layout once: a second search begins where this one ends, and moves
            figure.set_layout_engine("none")
        figure.savefig(canvas, format="png", dpi=dpi, bbox_inches="tight" if tight else None)
    return Image.open(canvas)


def shrink(picture: Image.Image, colours: int = 256) -> bytes:
    """A picture as the bytes of a PNG file: grey stays exact, colour keeps this many colours."""
    grey = picture.mode == "L"
    small = picture if grey else picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "png", optimize=True)
    return buffer.getvalue()


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
    size: float = 0.75,
) -> Figure:
    """A page of pictures, (n, c, h, w), grey or colour, with -1 black and 1 white, a title over each if given."""
    n = len(pictures)
    if n == 0:
        raise ValueError(f"expected pictures (n, c, h, w), got none: shape {tuple(pictures.shape)}")
    columns = columns or min(n, 10)
    figure, axes = panels(columns, -(-n // columns), size, size * (1.25 if titles is not None else 1))
    for i, ax in enumerate(axes):
        ax.axis("off")
        if i < n:
            image(ax, pictures[i])
            if titles is not None:
                ax.set_title(str(titles[i]), fontsize=9)
    return figure


def image_rows(rows: Mapping[str, Tensor], titles: Sequence[object] | None = None, size: float = 0.85) -> Figure:
    """Aligned rows of pictures, {row name: (n, c, h, w)}, a title over each column: what happens to each, side by side."""
    n = max(len(pictures) for pictures in rows.values())
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
