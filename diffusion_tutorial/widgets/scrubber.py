"""A film under a slider, in plain HTML: no kernel, no extension, nothing to install."""

import base64
import html
import json
from collections.abc import Sequence

from IPython.display import HTML
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from diffusion_tutorial import plotting
from diffusion_tutorial.widgets.canvas import enlarged, identity

_PAGE = """<figure id="{id}" style="{card}">
<img alt="{alt}" src="data:image/png;base64,{sprite}" style="max-width:100%;background:#fff">
<div class="dt-film" hidden="hidden"><div role="img" aria-label="{alt}" style="width:{w}px;height:{h}px;max-width:100%;\
background-repeat:no-repeat;background-size:{total_w}px {total_h}px;image-rendering:{rendering}"></div>
<label style="display:flex;gap:.6em;align-items:center;max-width:{w}px;min-width:24em">{name}
<input type="range" min="0" max="{last}" value="{start}" step="1" aria-label="{name}" style="flex:1">
<output style="min-width:6em"></output></label></div>
{caption}</figure>
<script>(() => {{
  for (const root of document.querySelectorAll("[id='{id}']:not([data-ready])")) {{
    root.dataset.ready = "true";
    const labels = {labels};
    const film = root.querySelector(".dt-film"), sheet = root.querySelector("img");
    const frame = film.firstElementChild, slider = film.querySelector("input"), out = film.querySelector("output");
    slider.dataset.lmSuppressShortcuts = "true"; // the arrows move it, and not JupyterLab's cursor
    const go = () => {{
      const i = +slider.value, x = (i % {columns}) * {w}, y = Math.floor(i / {columns}) * {h};
      frame.style.backgroundPosition = `-${{x}}px -${{y}}px`; out.textContent = labels[i];
      slider.setAttribute("aria-valuetext", labels[i]);
    }};
    frame.style.backgroundImage = `url(${{sheet.src}})`;
    slider.addEventListener("input", go); go(); film.hidden = false; sheet.style.display = "none";
  }}
}})();</script>"""


def scrubber(
    frames: Sequence[Figure] | Tensor,
    labels: Sequence[object],
    caption: str,
    alt: str,
    name: str = "t",
    start: int = 0,
    scale: int = 6,
    columns: int | None = None,
) -> HTML:
    """Frames under a slider called `name`, with `labels[i]` beside it at frame i, beginning at frame `start`.

    frames: figures of equal size, or pictures (n, c, h, w) in [-1, 1], shown `scale` times as large. All frames travel
    in one picture of `columns` frames a row, which is also what a reader without scripts sees.
    """
    if not len(frames) or not 0 <= start < len(frames):
        raise ValueError(f"expected frames and a start among them, got {len(frames)} frames and start = {start}")
    if len(frames) != len(labels):
        raise ValueError(f"expected one label for each of the {len(frames)} frames, got {len(labels)}")
    pixels = isinstance(frames, Tensor)
    cells = _cells(frames)
    zoom = scale if pixels else 1
    columns = columns or min(len(cells), 10 if pixels else 4)
    if len({c.size for c in cells}) > 1:
        raise ValueError(f"expected frames of one size, got {sorted({c.size for c in cells})} pixels")
    w, h = cells[0].size
    sheet = Image.new(cells[0].mode, (w * columns, h * -(-len(cells) // columns)), "white")
    for i, cell in enumerate(cells):
        sheet.paste(cell, ((i % columns) * w, i // columns * h))
    sprite = base64.b64encode(plotting.shrink(sheet, colours=128 if pixels else 64)).decode()
    return HTML(
        _PAGE.format(
            id=identity("film", caption, sprite),
            card=plotting.CARD,
            alt=html.escape(alt),
            caption=plotting.caption_html(caption),
            name=html.escape(name),
            sprite=sprite,
            rendering="pixelated" if pixels else "auto",
            w=w * zoom,
            h=h * zoom,
            total_w=sheet.width * zoom,
            total_h=sheet.height * zoom,
            columns=columns,
            last=len(cells) - 1,
            start=start,
            labels=json.dumps([str(label) for label in labels]).replace("<", "\\u003c"),
        )
    )


def _cells(frames: Sequence[Figure] | Tensor) -> list[Image.Image]:
    """Each frame as a picture, pixel for pixel; a ValueError if the frames are pictures of another kind or not finite."""
    if not isinstance(frames, Tensor):
        return [plotting.rendered(figure, 80, tight=False).convert("RGB") for figure in frames]
    if frames.ndim != 4 or frames.shape[1] not in (1, 3) or not frames.isfinite().all():
        raise ValueError(f"expected finite pictures (n, 1 or 3, h, w), got shape {tuple(frames.shape)} or a NaN in it")
    return [enlarged(picture) for picture in frames]
