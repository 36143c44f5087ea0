"""What a figure leaves on a page: for viewers that show little, and for pages without a kernel and without a network."""

import base64
import io
import re

import bleach
import pages
import pytest
import torch
from nbconvert import HTMLExporter
from PIL import Image

from diffusion_tutorial import page, plotting

CAPTION, ALT = "Figure 1. What to see.", "What is in it."
KINDS = list(pages.KINDS)


@pytest.fixture(scope="module")
def notebook():
    """The notebook of pages.py, run."""
    return pages.run()


def strict(output: dict) -> tuple[str, str]:
    """What a strict viewer shows of an output: the kind of its richest data, and that, with nothing left that could run."""
    data = output["data"]
    if "text/html" in data:
        allowed = {
            "tags": {"p", "b", "em", "div", "img"},
            "attributes": {"img": ["src", "alt"]},
            "protocols": {"https"},
        }
        bare = re.sub(r"<(script|style).*?</\1>", "", data["text/html"], flags=re.S)
        return "text/html", bleach.clean(bare, strip=True, **allowed)
    kind = next(kind for kind in ("image/png", "text/markdown", "text/plain") if kind in data)
    return kind, data[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_strict_viewer_sees_the_picture_and_the_caption(notebook, kind):
    """A forge: no scripts, no widgets, no pictures in HTML."""
    cell = notebook.cells[1 + KINDS.index(kind)]
    seen = [strict(output) for output in cell.outputs]
    (picture,) = (Image.open(io.BytesIO(base64.b64decode(shown))) for what, shown in seen if what == "image/png")
    assert picture.width > 300 and len(picture.convert("L").getcolors()) > 5
    caption = bleach.clean(pages.CAPTIONS[kind])
    text = "".join(shown for what, shown in seen if what != "image/png")
    assert text.count(caption) == 1 and "<img" not in text and "data:" not in text and "function" not in text
    assert text.replace(caption, "").replace("(Run this cell to use the controls.)", "").strip(" <>/div\n") == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_has_its_alt_text_beside_it(notebook, kind):
    cell = notebook.cells[1 + KINDS.index(kind)]
    (look,) = (output["metadata"]["image/png"] for output in cell.outputs if "image/png" in output["data"])
    alt = re.search(r'"([^"]+)"(, \w+=.*)?\)$', pages.KINDS[kind].replace(pages.CAPTIONS[kind], ""))[1]
    assert look["alt"].startswith(alt) and 100 < look["width"] < 1000


def test_an_exported_page_holds_every_picture_and_caption(notebook):
    html, _ = HTMLExporter().from_notebook_node(notebook)
    images = re.findall(r'<img[^>]+src="data:image/png;base64,([^"]+)"', html)
    saved = [output["data"].get("image/png") for cell in notebook.cells for output in cell.outputs]
    assert {picture.strip() for picture in filter(None, saved)} <= {picture.strip() for picture in images}
    for caption in pages.CAPTIONS.values():
        assert bleach.clean(caption) in html


def figure(words: bool = True, width: float = 8):
    """A figure, with something to read in it or not."""
    made, (ax,) = plotting.panels(width=width, height=1)
    ax.plot([0, 1], [0, 1])
    if not words:
        ax.axis("off")
    return made


def test_only_wide_figures_with_words_keep_their_size_on_a_narrow_page():
    def whole(figure):
        return plotting.show(figure, CAPTION, ALT).outputs()[0][1]["image/png"].get("unconfined", False)

    assert whole(figure()) and not whole(figure(words=False)) and not whole(figure(width=2))


def test_words_are_found_wherever_they_stand():
    pictures = torch.zeros(2, 1, 4, 4)
    assert not page.has_words(figure(words=False)) and not page.has_words(plotting.images(pictures))
    assert page.has_words(plotting.images(pictures, ["a", "b"])) and page.has_words(
        plotting.image_rows({"a": pictures})
    )
    for write in (
        lambda figure: figure.suptitle("title"),
        lambda figure: figure.axes[0].text(0, 0, "here"),
        lambda figure: figure.axes[0].plot([0], [0], label="line") and figure.axes[0].legend(),
    ):
        write(written := figure(words=False))
        assert page.has_words(written)


def test_a_heavy_picture_is_less_sharp_and_as_large_on_the_page():
    noise = torch.rand(60, 3, 90, 90, generator=torch.Generator().manual_seed(0)) * 2 - 1
    light, heavy = page.png(plotting.images(noise[:60] * 0 + 1, size=0.75)), page.png(plotting.images(noise, size=0.75))
    assert page.own_width(light) > 1.9 * page.own_width(heavy) and len(light) < page.HEAVY
    assert abs(page.page_width(light) - page.page_width(heavy)) <= 3


def test_stills_stand_in_rows_under_their_labels():
    cells = [(f"t = {i}", Image.new("RGB", (100, 60), (40 * i, 0, 0))) for i in range(5)]
    sheet = Image.open(io.BytesIO(page.stills(cells, columns=3))).convert("RGB")
    gap, head = 16, 36
    assert sheet.size == (3 * 100 + 2 * gap, 2 * (60 + head) + gap)
    for i in range(5):
        x, y = i % 3 * (100 + gap) + 50, i // 3 * (60 + head + gap)
        assert abs(sheet.getpixel((x, y + head + 30))[0] - 40 * i) < 4
        assert sheet.crop((x - 40, y, x + 40, y + head)).convert("L").getextrema()[0] < 100  # the label
    bare = Image.open(io.BytesIO(page.stills([("", cells[0][1])], columns=3)))
    assert bare.size == (100, 60)


def test_a_label_that_is_too_long_is_cut():
    cell = Image.new("RGB", (120, 60), "black")
    sheet = Image.open(io.BytesIO(page.stills([("many words " * 9, cell), ("b", cell)], columns=2))).convert("L")
    assert sheet.crop((121, 0, 135, 96)).getextrema()[0] == 255  # nothing runs into the gap


def test_a_figure_on_the_page_can_be_replaced(monkeypatch):
    sent = []
    monkeypatch.setattr(page, "display", lambda data, **options: sent.append((data, options)))
    first, second = (plotting.show(figure(width=w), CAPTION, ALT) for w in (4, 5))
    first._ipython_display_()
    first.update(second)
    (shown, place), _, (replaced, again) = sent
    assert place["display_id"] == again["display_id"] and again["update"] and "update" not in place
    assert shown != replaced == second.outputs()[0][0]


def test_something_that_moves_stands_between_the_picture_and_its_caption():
    moving = {"text/html": "<script></script>"}, {}
    shown = page.Shown(plotting.png(figure()), CAPTION, ALT, alive=moving)
    assert [list(data)[0] for data, _ in shown.outputs()] == ["image/png", "text/html", "text/html"]
    assert "role=" not in shown.outputs()[2][0]["text/html"]  # what moves says it itself
    assert page.Shown(None, CAPTION, ALT, alive=moving).outputs()[0] == moving


def test_a_table_is_text_and_html():
    shown = page.Table(["method", "read back"], [["A & B", "97 %"], ["C", 3]])
    assert repr(shown) == "method  read back\nA & B        97 %\nC               3"
    rows = re.findall("<tr>(.*?)</tr>", shown._repr_html_())
    assert [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows] == [
        ["method", "read back"],
        ["A &amp; B", "97 %"],
        ["C", "3"],
    ]
    assert shown._repr_html_().startswith('<div style="overflow-x:auto">')  # what is too wide moves in a box of its own


def test_a_table_names_the_row_that_does_not_fit():
    with pytest.raises(ValueError, match="expected 2 cells in every row, got 1: .'alone'."):
        page.Table(["a", "b"], [["c", "d"], ["alone"]])
