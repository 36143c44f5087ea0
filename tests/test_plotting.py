import base64
import io
import math
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from diffusion_tutorial import plotting
from diffusion_tutorial.page import Shown

X = torch.linspace(0, 1, 20)
PICTURES = torch.linspace(-1, 1, 5 * 16).reshape(5, 1, 4, 4)


def one(draw) -> Figure:
    """A figure with one panel that `draw` draws on, and what it returns is that panel."""
    figure, (ax,) = plotting.panels()
    assert draw(ax) is ax
    return figure


FIGURES = {
    "images": lambda: plotting.images(PICTURES),
    "images with titles": lambda: plotting.images(PICTURES, titles=range(5), columns=2),
    "colour images": lambda: plotting.images(PICTURES.expand(5, 3, 4, 4)),
    "image_rows": lambda: plotting.image_rows({"one": PICTURES, "two": PICTURES[:3]}, titles=list("abcde")),
    "curves": lambda: one(lambda ax: plotting.curves(ax, X, {f"line {i}": X * i for i in range(8)}, "t", "value", marks=True)),
    "histogram": lambda: one(lambda ax: plotting.histogram(ax, X, "x", density={"model": (X, X)}, span=(0, 2))),
    "bars": lambda: one(lambda ax: plotting.bars(ax, ["a", "b"], {"k": [1, 2], "l": X[:2]}, "n", errors={"k": [1, 1], "l": [0, 1]})),
    "matrix": lambda: one(lambda ax: plotting.matrix(ax, torch.eye(2) * 0.7 + 0.1, ["sun", "rain"])),
    "boxes": lambda: one(lambda ax: plotting.boxes(ax, X[:6].reshape(2, 3), chosen=torch.eye(2, 3) > 0)),
    "points": lambda: one(lambda ax: plotting.points(ax, torch.stack([X, X], 1), "cloud", span=2)),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_the_same_png_bytes_each_time(name):
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    first = plotting.png(figure)
    assert first == plotting.png(figure) == plotting.png(FIGURES[name]())
    picture = Image.open(io.BytesIO(first))
    assert picture.format == "PNG" and min(picture.size) > 20 and "Software" not in picture.info
    assert len(np.unique(np.asarray(picture.convert("L")))) > 5  # something was drawn
    others = [plotting.png(FIGURES[other]()) for other in list(FIGURES)[:2] if other != name]
    assert first not in others


def test_the_house_style_stays_in_its_house():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plotting.panels(2, 2)
    assert dict(matplotlib.rcParams) == before


def test_panels_gives_a_figure_of_the_asked_size():
    figure, axes = plotting.panels(3, 2, width=2.0, height=1.5)
    assert len(axes) == 6 and all(isinstance(ax, Axes) for ax in axes)
    assert tuple(figure.get_size_inches()) == (6.0, 3.0)


def shown(ax: Axes) -> np.ndarray:
    (image,) = ax.get_images()
    return np.asarray(image.get_array())


def test_images_are_black_at_minus_1_and_white_at_1():
    figure = plotting.images(PICTURES, titles=list("abcde"), columns=3)
    assert len(figure.axes) == 6 and [ax.get_title() for ax in figure.axes[:5]] == list("abcde")
    np.testing.assert_allclose(shown(figure.axes[0]), (PICTURES[0, 0].numpy() + 1) / 2, atol=1e-6)
    assert not figure.axes[5].get_images() and not figure.axes[5].axison
    beyond = plotting.images(PICTURES * 4)
    assert shown(beyond.axes[0]).min() == 0 and shown(beyond.axes[4]).max() == 1
    _, (ax,) = plotting.panels()
    np.testing.assert_allclose(
        shown(plotting.image(ax, PICTURES[0], -2, 2)), (PICTURES[0, 0].numpy() + 2) / 4, atol=1e-6
    )
    for image in (figure.axes[0].get_images()[0], beyond.axes[4].get_images()[0]):
        assert image.get_clim() == (0, 1)  # or each picture would be stretched on its own


def test_image_rows_align():
    figure = plotting.image_rows({"one": PICTURES, "two": PICTURES[:3]})
    assert len(figure.axes) == 10
    assert [len(ax.get_images()) for ax in figure.axes] == [1] * 8 + [0, 0]
    assert figure.axes[0].get_ylabel() == "one" and figure.axes[5].get_ylabel() == "two"
    np.testing.assert_array_equal(shown(figure.axes[1]), shown(figure.axes[6]))


def test_lines_differ_in_more_than_colour():
    figure, (ax,) = plotting.panels()
    plotting.curves(ax, X, {f"{i}": X + i for i in range(6)}, "t", "alpha_bar", marks=True)
    styles = [str(line.get_linestyle()) + str(line._dash_pattern) for line in ax.lines]
    assert (
        len(set(styles))
        == len({line.get_marker() for line in ax.lines})
        == len({line.get_color() for line in ax.lines})
        == 6
    )
    assert ax.get_xlabel() == "t" and ax.get_ylabel() == "alpha_bar"
    np.testing.assert_allclose(ax.lines[3].get_ydata(), X.numpy() + 3)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list("012345")


def test_one_line_needs_no_legend():
    figure, (ax,) = plotting.panels()
    plotting.curves(ax, X, {"only": X}, "t", "y")
    assert ax.get_legend() is None


def test_bars_differ_in_more_than_colour():
    figure, (ax,) = plotting.panels()
    plotting.bars(ax, ["a", "b"], {"k": [1, 2], "l": [3, 4]}, "n")
    assert [bar.get_height() for bar in ax.patches] == [1, 2, 3, 4]
    assert len({bar.get_hatch() for bar in ax.patches}) == 2
    lefts = [bar.get_x() for bar in ax.patches]
    assert lefts[0] + ax.patches[0].get_width() <= lefts[2] + 1e-9 and [t.get_text() for t in ax.get_xticklabels()] == [
        "a",
        "b",
    ]


def test_a_histogram_has_area_1():
    figure, (ax,) = plotting.panels()
    plotting.histogram(ax, torch.randn(500, 2, generator=torch.Generator().manual_seed(0)), "x", bins=20)
    assert sum(bar.get_height() * bar.get_width() for bar in ax.patches) == pytest.approx(1)


def test_a_matrix_has_its_numbers_written_in():
    figure, (ax,) = plotting.panels()
    plotting.matrix(ax, torch.tensor([[0.9, 0.1], [0.25, 0.75]]), ["sun", "rain"])
    assert [text.get_text() for text in ax.texts] == ["0.90", "0.10", "0.25", "0.75"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["sun", "rain"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["sun", "rain"]


def contrast(colour: str, behind: str) -> float:
    def luminance(hexadecimal: str) -> float:
        parts = [int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(colour), luminance(behind)))
    return (high + 0.05) / (low + 0.05)


def test_boxes_have_their_numbers_in_reading_order_and_chosen_ones_differ_in_more_than_colour():
    figure, (ax,) = plotting.panels()
    plotting.boxes(ax, torch.tensor([[1, -2.5], [3, 4]]), chosen=torch.tensor([[True, False], [True, True]]))
    assert {text.get_text(): text.get_position() for text in ax.texts} == {
        "1": (0.5, 0.5), "−2.5": (1.5, 0.5), "3": (0.5, 1.5), "4": (1.5, 1.5),
    }  # fmt: skip
    assert ax.get_ylim() == (2, 0) and ax.get_xlim() == (0, 2)  # row 0 is the top row
    lines = [box.get_linestyle() for box in ax.patches]
    assert lines[1] != lines[0] == lines[2] == lines[3]
    plotting.boxes(ax, torch.zeros(1, 3), at=(-2, 1))
    assert ax.get_ylim() == (2, -2) and ax.get_xlim() == (0, 4) and ax.texts[-1].get_position() == (3.5, -1.5)


def test_the_palette_can_be_seen_on_white():
    assert (
        len(set(plotting.COLOURS)) == len(plotting.COLOURS) == len(set(plotting.HATCHES)) == len(set(plotting.MARKERS))
    )
    assert all(contrast(colour, "#FFFFFF") > 2 for colour in plotting.COLOURS)


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_pictures_fill_the_column_unless_a_size_is_given():
    def width(figure):
        return figure.get_size_inches()[0]

    assert width(plotting.images(PICTURES)) == plotting.WIDTH == width(plotting.image_rows({"one": PICTURES}))
    assert width(plotting.images(PICTURES[:2])) == 2 * 1.8 and width(plotting.images(PICTURES, columns=2)) == 2 * 1.8
    assert width(plotting.images(PICTURES.repeat(4, 1, 1, 1), columns=20)) == 20 * 0.75
    assert width(plotting.images(PICTURES, size=0.5)) == 2.5 == width(plotting.image_rows({"": PICTURES}, size=0.5))


def test_show_gives_a_sharp_picture_and_a_caption_in_words():
    caption, alt = 'Figure 3.1. a < b & "c".', 'A "quoted" <b>alt</b> & more.'
    shown = plotting.show(FIGURES["curves"](), caption, alt)
    assert isinstance(shown, Shown)
    (picture, look), (words, _) = shown.outputs()
    assert base64.b64decode(picture["image/png"]) == plotting.png(FIGURES["curves"]())
    large = Image.open(io.BytesIO(base64.b64decode(picture["image/png"])))
    width = look["image/png"].pop("width")
    assert look == {"image/png": {"alt": alt}} and abs(large.width / 2 - width) <= 1 and large.width > 500
    page = Page(words["text/html"])
    assert page.text == words["text/plain"] == caption and dict(page.found)["span"] == {
        "role": "img",
        "aria-label": alt,
    }


def test_bad_input(as_learner):
    with pytest.raises(ValueError, match=r"got none: shape \(0, 1, 4, 4\)"):
        plotting.images(PICTURES[:0])
    for bad in (PICTURES[:, 0], PICTURES.expand(5, 2, 4, 4)):
        with pytest.raises(ValueError, match=r"a batch of pictures \(n, 1 or 3, h, w\), got one of shape"):
            plotting.images(bad)
    for numbers, chosen in ((X, None), (X[:4].reshape(2, 2), torch.ones(2, 1)), (X[None, None], None)):
        with pytest.raises(ValueError, match=r"expected a table \(h, w\) and a mark for each number, got shape"):
            plotting.boxes(plotting.panels()[1][0], numbers, chosen=chosen)
    assert math.isclose(contrast("#000000", "#FFFFFF"), 21)
