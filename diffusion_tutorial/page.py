"""Figures on a page: a picture that every viewer shows, what makes it move where scripts run, and a caption in words.

Viewers differ: JupyterLab runs scripts and widgets, an exported page has no kernel, and a forge takes scripts and pictures out
of HTML. So a figure is never HTML alone. It is an image/png output; then, if it can move, an output that hides that picture
as soon as it runs; then its caption.
"""

import base64
import html
import io
import uuid
import warnings
from collections.abc import Iterable, Sequence

from IPython.display import display
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

DPI = 90  # of a figure on the page, in the page's own pixels
SHARP = 2  # pixels of a picture to one of the page's, along each side: for screens of high density
HEAVY = 32_000  # bytes: a picture that has more, such as one full of noise, is less sharp, so that pages stay small
NARROW = 340  # of the page's pixels: as wide as a picture can be on a telephone
# what stands around something that moves: white on a dark page too, with its controls
CARD = "margin:0;padding:8px;background:#fff;color:#222;max-width:100%;box-sizing:border-box;color-scheme:light"


class Shown:
    """A figure as the outputs of a cell: a picture, perhaps what makes it move, and a caption.

    picture: a PNG that says how sharp it is, see `shrink`; None if there is nothing to see yet. alive: the data and
    metadata of an output for pages that can run it. whole: at least as large as it was drawn, on a narrow page too, where it is
    moved sideways: for figures with words in them, which nobody could read when they are small.
    """

    def __init__(
        self, picture: bytes | None, caption: str, alt: str, alive: tuple[dict, dict] | None = None, whole: bool = False
    ):
        self.picture, self.caption, self.alt, self.alive, self.whole = picture, caption, alt, alive, whole
        self.place = uuid.uuid4().hex

    def outputs(self) -> list[tuple[dict, dict]]:
        """The data and the metadata of each output, in their order on the page."""
        return [*([self._picture()] if self.picture else []), *([self.alive] if self.alive else []), self._caption()]

    def update(self, other: "Shown") -> None:
        """Put the picture of another figure in the place of this one, where it is shown."""
        data, metadata = other._picture()
        display(data, raw=True, metadata=metadata, display_id=self.place, update=True)

    def _ipython_display_(self) -> None:
        for data, metadata in self.outputs():
            place = {"display_id": self.place} if "image/png" in data else {}
            display(data, raw=True, metadata=metadata, **place)

    def _picture(self) -> tuple[dict, dict]:
        assert self.picture is not None
        width = page_width(self.picture)
        look = {"width": width, "alt": self.alt} | ({"unconfined": True} if self.whole and width > NARROW else {})
        return {"image/png": base64.b64encode(self.picture).decode(), "text/plain": self.alt}, {"image/png": look}

    def _caption(self) -> tuple[dict, dict]:
        """JupyterLab gives no alt text to a picture, so it stands here, where it is heard and not seen."""
        heard = "" if self.alive else f'<span role="img" aria-label="{html.escape(self.alt)}"></span>'
        words = f'<div style="max-width:46em;font-size:90%">{heard}{html.escape(self.caption)}</div>'
        return {"text/html": words, "text/plain": self.caption}, {}


class Table:
    """Rows of words and numbers as the value of a cell: a table, which a narrow page moves sideways; plain text elsewhere.

    heads: a name for each column; rows: as many cells each, made text by `str`. Numbers stand under each other at their right.
    """

    def __init__(self, heads: Sequence[object], rows: Iterable[Sequence[object]]):
        self.rows = [[str(cell) for cell in row] for row in (heads, *rows)]
        odd = [row for row in self.rows if len(row) != len(heads)]
        if odd:
            raise ValueError(f"expected {len(heads)} cells in every row, got {len(odd[0])}: {odd[0]}")

    def __repr__(self) -> str:
        first, *others = (max(map(len, column)) for column in zip(*self.rows))
        lines = [[row[0].ljust(first), *map(str.rjust, row[1:], others)] for row in self.rows]
        return "\n".join("  ".join(line).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        heads, *rows = [[html.escape(cell) for cell in row] for row in self.rows]
        lines = ["".join(f'<th scope="col">{cell}</th>' for cell in heads)]
        lines += [f'<th scope="row">{first}</th>' + "".join(f"<td>{x}</td>" for x in row) for first, *row in rows]
        table = "".join(f"<tr>{line}</tr>" for line in lines)
        return f'<div style="overflow-x:auto"><table>{table}</table></div>'


def own_width(picture: bytes) -> int:
    """How many pixels wide a PNG is."""
    return Image.open(io.BytesIO(picture)).width


def page_width(picture: bytes) -> int:
    """How wide a PNG is on the page, in the page's own pixels."""
    image = Image.open(io.BytesIO(picture))
    return round(image.width * DPI / image.info["dpi"][0])


def png(figure: Figure) -> bytes:
    """The figure as a PNG file of at most 256 colours; the same bytes for the same figure. As sharp as it is not HEAVY."""
    for sharp in (SHARP, 1.5, 1):
        picture = shrink(rendered(figure, dpi=int(DPI * sharp), tight=True), sharp=sharp)
        if len(picture) <= HEAVY:
            break
    return picture


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


def shrink(picture: Image.Image, colours: int = 256, sharp: float = 1) -> bytes:
    """A picture as the bytes of a PNG file: grey stays exact, colour keeps this many colours.

    sharp: so many of its pixels to one of the page's, along each side; the file says so as its resolution.
    """
    grey = picture.mode == "L"
    small = picture if grey else picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "png", optimize=True, dpi=(DPI * sharp, DPI * sharp))
    return buffer.getvalue()


def has_words(figure: Figure) -> bool:
    """Whether there is anything to read in a figure: a title, a name of an axis, a number at a tick, a legend."""

    def readable(ax: Axes) -> bool:
        ticks = [*ax.get_xticks(), *ax.get_yticks()] if ax.axison else []
        words = [ax.get_title(), *([ax.get_xlabel(), ax.get_ylabel()] if ax.axison else [])]
        return bool(len(ticks) or any(words) or ax.texts or ax.get_legend())

    return bool(figure.get_suptitle() or figure.texts or any(map(readable, figure.axes)))


def stills(cells: Sequence[tuple[object, Image.Image]], columns: int, sharp: float = SHARP) -> bytes:
    """Pictures of one size in rows, (label, picture) each, the label over it: a PNG, `sharp` as in `shrink`."""
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 11 * sharp)
    gap, head = int(8 * sharp), int(18 * sharp) if any(str(label) for label, _ in cells) else 0
    labels = [_short(str(label), font, picture.width) for label, picture in cells]
    w, h = (max(picture.size[side] for _, picture in cells) for side in (0, 1))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (min(columns, len(cells)) * (w + gap) - gap, rows * (h + head + gap) - gap), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (label, (_, picture)) in enumerate(zip(labels, cells)):
        x, y = i % columns * (w + gap), i // columns * (h + head + gap)
        draw.text((x + w / 2, y + head / 2), label, fill="#222", font=font, anchor="mm")
        sheet.paste(picture, (x, y + head))
    return shrink(sheet, colours=128, sharp=sharp)


def _short(label: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """As much of a label as fits over a picture of this width."""
    line = " ".join(label.split())
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
