"""A canvas to draw on, and what a function makes of the drawing: the frame of `brush` and `sketchpad`.

`canvas.js` draws it in the browser. The two sides share what is tagged `sync`: the browser writes `pixels` and raises `busy`;
Python answers with `says` and `shown` and lowers `busy` again.
"""

import base64
import html
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import anywidget
import traitlets
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from diffusion_tutorial import page
from diffusion_tutorial.widgets.figure import SAVED, alive

ROW, CELLS = "display:flex;gap:8px;align-items:center;margin-bottom:4px", "display:flex;flex-wrap:wrap;gap:4px"
FOLDER = Path(__file__).parent
SIDE = 168  # of each picture on a page that knows no widgets, about
MOST = 4  # pictures of each row of an answer that a page shows which knows no widgets
SHARED = SAVED + (FOLDER / "canvas.js").read_text(encoding="utf-8")  # before the script of each kind of canvas


class Canvas(anywidget.AnyWidget):
    """A canvas of `width` x `height` pixels shown `scale` times as large, a button, and beside it what `answer` returned.

    A kind of canvas says what `drawing()` makes of its pixels, how it `looks()` without a kernel, and the sentences
    EMPTY and WORKING. Where the page knows no widgets, the figure stands there as it was when it was put on the page.
    """

    _css = FOLDER / "canvas.css"
    EMPTY = WORKING = ""
    caption, alt = traitlets.Unicode(), traitlets.Unicode().tag(sync=True)
    width, height = traitlets.Int().tag(sync=True), traitlets.Int().tag(sync=True)
    scale = traitlets.Int().tag(sync=True)
    pixels = traitlets.List(traitlets.Int()).tag(sync=True)  # row by row; 0 is where nothing is drawn
    busy = traitlets.Bool(False).tag(sync=True)
    says, shown = traitlets.Unicode().tag(sync=True), traitlets.Unicode().tag(sync=True)
    saved = traitlets.Int().tag(sync=True)  # the width of the picture for pages that know no widgets

    def __init__(self, answer: Callable[[Tensor], Tensor | Mapping[str, Tensor]], **values: object):
        super().__init__(**values)
        self.answer = answer
        self.answered: Mapping[str, Tensor] = {}
        self.observe(self._ask, names="busy")
        self.busy = any(self.pixels)  # what is there at the start is answered at once

    def drawing(self) -> Tensor:
        """What the pixels mean: the tensor that `answer` takes."""
        raise NotImplementedError

    def looks(self, zoom: int) -> Image.Image:
        """The canvas as a picture, `zoom` times as large."""
        raise NotImplementedError

    def _ask(self, change: object) -> None:
        """Show what `answer` makes of the drawing; if it raises a ValueError, its sentence in place of the pictures."""
        if not self.busy:
            return
        says = "Stopped."
        try:
            if any(self.pixels):
                self.says = self.WORKING
                rows = as_rows(self.answer(self.drawing()))
                self.shown, self.answered = pictures_html(rows, self.scale), rows
            says = "Done." if any(self.pixels) else self.EMPTY
        except ValueError as problem:
            self.shown, self.answered, says = "", {}, f"{str(problem).rstrip('.')}."
        except Exception as problem:
            says = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            self.says, self.busy = says, False

    def still(self) -> bytes:
        """The canvas, and after it the first pictures that were answered: a PNG for pages that know no widgets."""
        zoom = max(1, SIDE // self.width) * page.SHARP
        answered = [(name, enlarged(x, zoom)) for name, row in self.answered.items() for x in row[:MOST]]
        return page.stills([("drawn here", self.looks(zoom)), *answered], columns=MOST + 1)

    def _ipython_display_(self, **options: object) -> None:
        still = self.still()
        self.saved = page.own_width(still)
        page.Shown(still, self.caption, self.alt, alive(self, self))._ipython_display_()


def as_rows(answer: Float[Tensor, "n c h w"] | Mapping[str, Float[Tensor, "n c h w"]]) -> Mapping[str, Tensor]:
    """Rows of pictures, {name: (n, c, h, w)}, of rows or of one row without a name; a ValueError if it is none."""
    rows = answer if isinstance(answer, Mapping) else {"": answer}
    for row in rows.values():
        if row.ndim != 4 or not len(row):
            raise ValueError(f"expected pictures (n, 1 or 3, h, w) to show, got shape {tuple(row.shape)}")
    return rows


def pictures_html(rows: Mapping[str, Float[Tensor, "n c h w"]], scale: int) -> str:
    """Rows of pictures, {name: (n, c, h, w)}: one picture `scale` times as large, more of them half as large."""
    zoom = scale if all(len(row) == 1 for row in rows.values()) else max(1, scale // 2)
    lines = []
    for name, row in rows.items():
        label = f'<span style="flex:0 0 6em">{html.escape(name)}</span>' if name else ""
        images = [
            picture_html(enlarged(picture, zoom), f"{name or 'answer'}, {i} of {len(row)}")
            for i, picture in enumerate(row, start=1)
        ]
        lines.append(f'<div style="{ROW}">{label}<div style="{CELLS}">{"".join(images)}</div></div>')
    return "".join(lines)


def picture_html(picture: Image.Image, alt: str) -> str:
    """An <img> that holds the picture, exact to the pixel."""
    style = "image-rendering:pixelated;max-width:100%;outline:1px solid #ccc"
    return f'<img alt="{html.escape(alt)}" src="{data_uri(picture)}" style="{style}">'


def data_uri(picture: Image.Image) -> str:
    """The picture as a PNG in the text of a link; no colour is lost."""
    buffer = io.BytesIO()
    picture.save(buffer, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def enlarged(picture: Float[Tensor, "c h w"], zoom: int = 1) -> Image.Image:
    """A picture in [-1, 1], grey or colour, with each pixel a square of zoom x zoom; a ValueError if it is none."""
    if picture.ndim != 3 or picture.shape[0] not in (1, 3) or not picture.isfinite().all():
        raise ValueError(f"expected a finite picture (1 or 3, h, w), got shape {tuple(picture.shape)} or a NaN in it")
    pixels = picture.detach().cpu().float().add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0).squeeze(-1)
    image = Image.fromarray(pixels.numpy())
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
