"""Two pictures laid over each other, and a line between them that moves, in plain HTML: no kernel, nothing to install."""

import html
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from diffusion_tutorial import page
from diffusion_tutorial.widgets.canvas import data_uri, enlarged
from diffusion_tutorial.widgets.moving import moving

_DIVIDER = """<div class="dt-divider" style="{card};width:{card_w}px"><div style="max-width:{w}px">
<div style="display:flex;justify-content:space-between"><span>{before}</span><span>{after}</span></div>
<div role="img" aria-label="{alt}" style="position:relative;line-height:0">
<img alt="" src="{after_uri}" style="width:100%;image-rendering:pixelated">
<img alt="" src="{before_uri}" style="position:absolute;left:0;top:0;width:100%;image-rendering:pixelated">
<div style="position:absolute;top:0;bottom:0;width:2px;background:#fff;box-shadow:2px 0 #222"></div></div>
<input type="range" min="0" max="100" value="50" step="1" aria-label="line between {before} and {after}" \
style="width:100%;height:44px;margin:0"></div></div>"""
_RUN = """
    const slider = root.querySelector("input"), [, over] = root.querySelectorAll("img"), line = over.nextElementSibling;
    const [before, after] = facts.names;
    slider.dataset.lmSuppressShortcuts = "true"; // the arrows move it, and not JupyterLab's cursor
    const go = () => {
      over.style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`;
      line.style.left = `calc(${slider.value}% - 2px)`;
      slider.setAttribute("aria-valuetext", `${slider.value} % ${before}, ${100 - slider.value} % ${after}`);
    };
    slider.addEventListener("input", go); go(); root.dataset.ready = "true";"""


def divider(
    before: Float[Tensor, "c h w"],
    after: Float[Tensor, "c h w"],
    caption: str,
    alt: str,
    scale: int = 6,
    names: Sequence[str] = ("before", "after"),
) -> page.Shown:
    """Two pictures over each other: `before` to the left of a line, `after` to its right, and a slider moves the line.

    before, after: (1 or 3, h, w) in [-1, 1] and of one size, shown `scale` times as large, or smaller where the page is narrow.
    names: what stands over the two. Where scripts are switched off, the pictures stand side by side.
    """
    if before.shape != after.shape:
        raise ValueError(f"expected two pictures of one shape, got {tuple(before.shape)} and {tuple(after.shape)}")
    left, right = (data_uri(enlarged(picture)) for picture in (before, after))
    w = before.shape[2] * scale
    inside = _DIVIDER.format(
        card=page.CARD,
        card_w=w + 16,
        w=w,
        alt=html.escape(alt),
        before=html.escape(names[0]),
        after=html.escape(names[1]),
        before_uri=left,
        after_uri=right,
    )
    both = [(name, enlarged(x, scale * page.SHARP)) for name, x in zip(names, (before, after))]
    return moving("divider", inside, _RUN, {"names": list(names)}, page.stills(both, columns=2), caption, alt)
