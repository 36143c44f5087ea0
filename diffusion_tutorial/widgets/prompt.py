"""A field for a sentence: type one, press Enter, and the pictures are drawn; or with every letter, if they are quick."""

import contextlib
import textwrap
from collections.abc import Callable

import ipywidgets
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from diffusion_tutorial import plotting
from diffusion_tutorial.widgets.figure import LiveFigure

NO_WORDS = "No words: the model draws whatever it likes, and w has nothing to insist on."


def prompt_box(
    draw: Callable[[str, int, float], Float[Tensor, "n c h w"]],
    caption: str,
    alt: str,
    prompt: str = "",
    seed: int = 0,
    w: float | None = 3.0,
    understand: Callable[[str], tuple[list[str], list[str]]] | None = None,
    typing: bool = False,
) -> LiveFigure:
    """A text field, a seed and a guidance scale w over draw(prompt, seed, w); drawn again when one of them changes.

    draw: returns pictures in [-1, 1]. Where it raises a ValueError, for example models.text.UnknownWord, its sentence
    stands over the pictures, which stay as they were. understand: the tokenizer's, so that the box says what of the sentence
    is not taken as it was typed. w = None: there is no such scale, and draw gets 1. typing: draw with every letter, not only on
    Enter. What was asked for stands in the picture, so that it is also on a page without a kernel.
    """
    look = dict(style={"description_width": "initial"}, continuous_update=False)
    how = "type" if typing else "type a sentence, press Enter"
    text = ipywidgets.Text(prompt, placeholder=how, description="prompt", **look | {"continuous_update": typing})
    text.layout.width, text.layout.max_width = "40em", "calc(100% - 4px)"
    number = ipywidgets.BoundedIntText(seed, min=0, max=9999, description="seed", layout={"width": "9em"}, **look)
    scale = ipywidgets.FloatSlider(
        1.0 if w is None else w, min=0, max=12, step=0.5, readout_format=".1f", description="w", **look
    )
    beside = [number] if w is None else [number, scale]
    live = LiveFigure([text, ipywidgets.HBox(beside, layout={"flex_flow": "row wrap"})], caption, alt)

    def redraw(change: object = None) -> None:
        asked = " ".join(text.value.split())
        what = f"{asked or '(nothing)'}; seed {number.value}" + ("" if w is None else f", w = {scale.value:g}")
        heard: list[str] = []

        def make() -> Figure:
            words, notes = understand(asked) if understand else ([asked] if asked else [], [])
            heard.extend([f"{note[0].upper()}{note[1:]}." for note in notes] + ([] if words else [NO_WORDS]))
            figure = plotting.images(draw(asked, number.value, scale.value), size=1.3)
            figure.suptitle(textwrap.fill(what, 60).replace("$", r"\$"), fontsize=10)
            live.alt = f"{alt} Asked for: {what}."
            return figure

        live.draw(make, done=lambda: " ".join([f"Drawn: {what}.", *heard]))

    for control in (text, number, scale):
        control.observe(redraw, names="value")
    with contextlib.suppress(ValueError):  # its sentence is on the page
        redraw()
    return live
