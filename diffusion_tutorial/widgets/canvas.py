"""A canvas to draw on, and what a function makes of the drawing: the frame of `brush` and `sketchpad`.

`canvas.js` draws it in the browser. The two sides share what is tagged `sync`: the browser writes `pixels` and raises `busy`;
Python answers with `says` and `shown` and lowers `busy` again.
"""

import base64
import hashlib
import html
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from diffusion_tutorial import plotting

PAIR = "display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start"
ROW, CELLS = "display:flex;gap:8px;align-items:center;margin-bottom:4px", "display:flex;flex-wrap:wrap;gap:4px"
FOLDER = Path(__file__).parent


class Canvas(anywidget.AnyWidget):
    """A canvas of `width` x `height` pixels shown `scale` times as large, a button, and beside it what `answer` returned.

    A kind of canvas says what `drawing()` makes of its pixels, how it `looks()` without a kernel, and the sentences
    EMPTY and WORKING. Where the page knows no widgets, the figure as last drawn is shown in its place.
    """

    _css = FOLDER / "canvas.css"
    EMPTY = WORKING = ""
    caption, alt = traitlets.Unicode().tag(sync=True), traitlets.Unicode().tag(sync=True)
    width, height = traitlets.Int().tag(sync=True), traitlets.Int().tag(sync=True)
    scale = traitlets.Int().tag(sync=True)
    pixels = traitlets.List(traitlets.Int()).tag(sync=True)  # row by row; 0 is where nothing is drawn
    busy = traitlets.Bool(False).tag(sync=True)
    says, shown = traitlets.Unicode().tag(sync=True), traitlets.Unicode().tag(sync=True)

    def __init__(self, answer: Callable[[Tensor], Tensor | Mapping[str, Tensor]], **values: object):
        super().__init__(**values)
        self.answer = answer
        self.observe(self._ask, names="busy")
        self.busy = any(self.pixels)  # what is there at the start is answered at once

    def drawing(self) -> Tensor:
        """What the pixels mean: the tensor that `answer` takes."""
        raise NotImplementedError

    def looks(self) -> Image.Image:
        """The canvas as a picture, `scale` times as large."""
        raise NotImplementedError

    def _ask(self, change: object) -> None:
        """Show what `answer` makes of the drawing; if it raises a ValueError, its sentence in place of the pictures."""
        if not self.busy:
            return
        says = "Stopped."
        try:
            if any(self.pixels):
                self.says = self.WORKING
                self.shown = pictures_html(self.answer(self.drawing()), self.scale)
            says = "Done." if any(self.pixels) else self.EMPTY
        except ValueError as problem:
            self.shown, says = "", f"{str(problem).rstrip('.')}."
        except Exception as problem:
            says = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            self.says, self.busy = says, False

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict] | None:
        shown = super()._repr_mimebundle_(**options)  # ipywidgets 8; 7 displays itself in another way
        if shown is None:
            return None
        bundle, metadata = shown
        page = (
            f'<figure style="{plotting.CARD}"><div style="{PAIR}">{picture_html(self.looks(), self.alt)}'
            f'<div style="flex:1 1 20em">{self.shown}</div></div>{plotting.caption_html(self.caption)}</figure>'
        )
        return {**bundle, "text/html": page, "text/plain": self.caption}, metadata


def pictures_html(rows: Float[Tensor, "n c h w"] | Mapping[str, Float[Tensor, "n c h w"]], scale: int) -> str:
    """Rows of pictures, {name: (n, c, h, w)} or one row without a name: one picture `scale` times as large, more, half."""
    rows = rows if isinstance(rows, Mapping) else {"": rows}
    zoom = scale if all(len(row) == 1 for row in rows.values()) else max(1, scale // 2)
    lines = []
    for name, row in rows.items():
        if row.ndim != 4 or not len(row):
            raise ValueError(f"expected pictures (n, 1 or 3, h, w) to show, got shape {tuple(row.shape)}")
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


def identity(kind: str, *contents: str) -> str:
    """An id on the page for a figure of a kind: another for other contents, always the same for the same."""
    return f"{kind}-{hashlib.sha256(''.join(contents).encode()).hexdigest()[:12]}"


def enlarged(picture: Float[Tensor, "c h w"], zoom: int = 1) -> Image.Image:
    """A picture in [-1, 1], grey or colour, with each pixel a square of zoom x zoom; a ValueError if it is none."""
    if picture.ndim != 3 or picture.shape[0] not in (1, 3) or not picture.isfinite().all():
        raise ValueError(f"expected a finite picture (1 or 3, h, w), got shape {tuple(picture.shape)} or a NaN in it")
    pixels = picture.detach().cpu().float().add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0).squeeze(-1)
    image = Image.fromarray(pixels.numpy())
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
