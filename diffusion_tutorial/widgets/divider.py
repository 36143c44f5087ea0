"""Two pictures laid over each other, and a line between them that moves, in plain HTML: no kernel, nothing to install."""

import html
import json
from collections.abc import Sequence

from IPython.display import HTML
from jaxtyping import Float
from torch import Tensor

from diffusion_tutorial import plotting
from diffusion_tutorial.widgets.canvas import PAIR, data_uri, enlarged, identity

_PAGE = """<figure id="{id}" style="{card}">
<div class="dt-two" role="group" aria-label="{alt}" style="{pair}">
<div>{before}<br><img alt="{before}: {alt}" src="{before_uri}" style="{size}"></div>
<div>{after}<br><img alt="{after}: {alt}" src="{after_uri}" style="{size}"></div></div>
<div class="dt-divider" hidden="hidden"><div style="display:flex;justify-content:space-between;{width}">\
<span>{before}</span><span>{after}</span></div>
<div role="img" aria-label="{alt}" style="position:relative;{size}"><div style="position:absolute;inset:0;\
background-size:{w}px {h}px;image-rendering:pixelated"></div><div style="position:absolute;top:0;bottom:0;left:0;\
background-size:{w}px {h}px;image-rendering:pixelated;border-right:2px solid #fff;box-shadow:2px 0 #222"></div></div>
<input type="range" min="0" max="100" value="50" step="1" aria-label="line between {before} and {after}" \
style="{width};margin:4px 0"></div>
{caption}</figure>
<script>(() => {{
  for (const root of document.querySelectorAll("[id='{id}']:not([data-ready])")) {{
    root.dataset.ready = "true";
    const [two, both] = root.querySelectorAll(".dt-two, .dt-divider"), slider = both.querySelector("input");
    const [over, under] = two.querySelectorAll("img"), [below, above] = both.querySelector("[role=img]").children;
    const [before, after] = {names};
    slider.dataset.lmSuppressShortcuts = "true"; // the arrows move it, and not JupyterLab's cursor
    below.style.backgroundImage = `url(${{under.src}})`; above.style.backgroundImage = `url(${{over.src}})`;
    const go = () => {{
      above.style.width = `calc(${{slider.value}}% - 1px)`;
      slider.setAttribute("aria-valuetext", `${{slider.value}} % ${{before}}, ${{100 - slider.value}} % ${{after}}`);
    }};
    slider.addEventListener("input", go); go(); both.hidden = false; two.style.display = "none";
  }}
}})();</script>"""


def divider(
    before: Float[Tensor, "c h w"],
    after: Float[Tensor, "c h w"],
    caption: str,
    alt: str,
    scale: int = 6,
    names: Sequence[str] = ("before", "after"),
) -> HTML:
    """Two pictures over each other: `before` to the left of a line, `after` to its right, and a slider moves the line.

    before, after: (1 or 3, h, w) in [-1, 1] and of one size, shown `scale` times as large. names: what stands over the
    two. Where scripts are switched off, the pictures stand side by side.
    """
    if before.shape != after.shape:
        raise ValueError(f"expected two pictures of one shape, got {tuple(before.shape)} and {tuple(after.shape)}")
    uris = [data_uri(enlarged(picture)) for picture in (before, after)]
    left, right = names
    h, w = (side * scale for side in before.shape[1:])
    return HTML(
        _PAGE.format(
            id=identity("divider", caption, *uris),
            card=plotting.CARD,
            pair=PAIR,
            alt=html.escape(alt),
            caption=plotting.caption_html(caption),
            before=html.escape(left),
            after=html.escape(right),
            before_uri=uris[0],
            after_uri=uris[1],
            names=json.dumps([left, right]).replace("<", "\\u003c"),
            w=w,
            h=h,
            width=f"width:{w}px;max-width:100%",
            size=f"width:{w}px;height:{h}px;image-rendering:pixelated",
        )
    )
