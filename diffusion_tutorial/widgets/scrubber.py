"""A film under a slider, in plain HTML: no kernel, no extension, nothing to install."""

import base64
import html
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from diffusion_tutorial import page
from diffusion_tutorial.widgets.canvas import enlarged
from diffusion_tutorial.widgets.moving import moving

DPI, SHARP = 80, 1.5  # of a figure in a film, on the page; and how sharp, for films are heavy
_FILM = """<div class="dt-film" style="{card};width:{card_w}px">
<div {scrolls}style="overflow-x:auto"><canvas role="img" aria-label="{alt}" width="{w}" height="{h}" style="display:block;\
width:100%;min-width:{least}px;max-width:{page_w}px;height:auto;image-rendering:{rendering}"></canvas></div>
<label style="display:flex;flex-wrap:wrap;gap:0 .6em;align-items:center">{name}
<input type="range" min="0" max="{last}" value="{start}" step="1" aria-label="{name}" \
style="flex:1 1 10em;min-width:0;height:44px;margin:0">
<output style="flex:0 1 auto;min-width:6em"></output></label></div>"""
_RUN = """
    const canvas = root.querySelector("canvas"), slider = root.querySelector("input"), out = root.querySelector("output");
    for (const moved of [slider, canvas.parentElement]) moved.dataset.lmSuppressShortcuts = "true"; // the arrows move them, and not JupyterLab's cursor
    const sheet = new Image(), { width: w, height: h } = canvas, { labels, columns } = facts;
    const go = () => {
      const i = +slider.value;
      canvas.getContext("2d").drawImage(sheet, (i % columns) * w, Math.floor(i / columns) * h, w, h, 0, 0, w, h);
      out.textContent = labels[i];
      slider.setAttribute("aria-valuetext", labels[i]);
    };
    sheet.onload = () => { slider.addEventListener("input", go); go(); root.dataset.ready = "true"; };
    sheet.src = facts.sheet;"""


def scrubber(
    frames: Sequence[Figure] | Tensor,
    labels: Sequence[object],
    caption: str,
    alt: str,
    name: str = "t",
    start: int = 0,
    scale: int = 6,
    columns: int | None = None,
) -> page.Shown:
    """Frames under a slider called `name`, with `labels[i]` beside it at frame i, beginning at frame `start`.

    frames: figures of equal size, or pictures (n, c, h, w) in [-1, 1], shown `scale` times as large. Where the page is narrow,
    they are smaller, except figures with words in them, which are moved sideways. All frames travel in one picture of `columns` frames a row. A reader without scripts sees some of them, from the
    first to the last, in a picture.
    """
    if not len(frames) or not 0 <= start < len(frames):
        raise ValueError(f"expected frames and a start among them, got {len(frames)} frames and start = {start}")
    if len(frames) != len(labels):
        raise ValueError(f"expected one label for each of the {len(frames)} frames, got {len(labels)}")
    if isinstance(frames, Tensor) and (
        frames.ndim != 4 or frames.shape[1] not in (1, 3) or not frames.isfinite().all()
    ):
        raise ValueError(f"expected finite pictures (n, 1 or 3, h, w), got shape {tuple(frames.shape)} or a NaN in it")
    pixels, dpi = isinstance(frames, Tensor), int(DPI * SHARP)
    cells = [
        enlarged(f) if isinstance(f, Tensor) else page.rendered(f, dpi, tight=False).convert("RGB") for f in frames
    ]
    if len({c.size for c in cells}) > 1:
        raise ValueError(f"expected frames of one size, got {sorted({c.size for c in cells})} pixels")
    w, h = cells[0].size
    page_w = w * scale if pixels else round(w / SHARP)
    columns = columns or min(len(cells), 10 if pixels else 4)
    sheet = page.shrink(_sheet(cells, columns), colours=128 if pixels else 64)
    whole = not pixels and page_w > page.NARROW and any(map(page.has_words, frames))
    names = [str(label) for label in labels]
    film = _FILM.format(
        card=page.CARD,
        card_w=max(page_w, 360) + 16,
        page_w=page_w,
        least=page_w if whole else 0,
        scrolls='class="dt-whole" tabindex="0" ' if whole else "",
        w=w,
        h=h,
        alt=html.escape(alt),
        name=html.escape(name),
        last=len(cells) - 1,
        start=start,
        rendering="pixelated" if pixels else "auto",
    )
    facts = {
        "labels": names,
        "columns": columns,
        "sheet": f"data:image/png;base64,{base64.b64encode(sheet).decode()}",
    }
    return moving("film", film, _RUN, facts, _stills(cells, names, pixels), caption, alt)


def _sheet(cells: list[Image.Image], columns: int) -> Image.Image:
    """All frames in one picture, row by row."""
    w, h = cells[0].size
    sheet = Image.new(cells[0].mode, (w * columns, h * -(-len(cells) // columns)), "white")
    for i, cell in enumerate(cells):
        sheet.paste(cell, ((i % columns) * w, i // columns * h))
    return sheet


def _stills(cells: list[Image.Image], labels: list[str], pixels: bool) -> bytes:
    """Some frames in a picture, from the first to the last: four pictures in a row, or figures in rows as wide as text."""
    columns = 4 if pixels else 2 if cells[0].width <= 340 * SHARP else 1
    chosen = torch.linspace(0, len(cells) - 1, min(len(cells), {4: 4, 2: 4, 1: 3}[columns])).round().int().tolist()
    zoom = max(1, 112 * page.SHARP // cells[0].width) if pixels else 1
    large = [cells[i].resize((cells[i].width * zoom, cells[i].height * zoom), Image.Resampling.NEAREST) for i in chosen]
    return page.stills(list(zip([labels[i] for i in chosen], large)), columns, page.SHARP if pixels else SHARP)
