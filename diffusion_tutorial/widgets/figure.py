"""Controls over a figure that is drawn again when one changes: the frame of `explore`, `prompt_box` and `weather`."""

import base64
import html
from collections.abc import Callable
from pathlib import Path

import anywidget
import ipywidgets
import traitlets
from matplotlib.figure import Figure

from diffusion_tutorial import page

FOLDER = Path(__file__).parent
SAVED = (FOLDER / "saved.js").read_text(encoding="utf-8")
VIEW = "application/vnd.jupyter.widget-view+json"
RUN_ME = "(Run this cell to use the controls.)"


class Picture(anywidget.AnyWidget):
    """A PNG that can be replaced; where it runs, the picture that was saved beside it is hidden."""

    _esm = SAVED + (FOLDER / "live.js").read_text(encoding="utf-8")
    _css = FOLDER / "live.css"
    src, alt = traitlets.Unicode().tag(sync=True), traitlets.Unicode().tag(sync=True)
    width, whole = traitlets.Int().tag(sync=True), traitlets.Bool(False).tag(sync=True)
    saved = traitlets.Int().tag(sync=True)  # the width of the saved picture, in its own pixels


class LiveFigure(ipywidgets.VBox):
    """Widgets above a figure; `redraw` puts a new figure there, and `say` a sentence between them.

    Where the page knows no widgets, the figure stands there as it was when it was put on the page, with its caption.
    """

    def __init__(self, controls: list[ipywidgets.Widget], caption: str, alt: str):
        self.note, self.picture = ipywidgets.HTML(), Picture()
        self.caption, self.alt = caption, alt
        self.png: bytes | None = None
        super().__init__([*controls, self.note, self.picture])

    def say(self, sentence: str) -> None:
        """A sentence over the figure, which a screen reader reads out."""
        self.note.value = f'<p role="status" style="margin:0;min-height:1.4em">{html.escape(sentence)}</p>'

    def draw(self, make: Callable[[], Figure], done: str | Callable[[], str] = "") -> None:
        """Show the figure that make() returns, say so while it works, and at the end what is `done`.

        If it raises, the figure stays as it was, and the error's sentence stands over it.
        """
        self.say("Drawing …")
        try:
            self.redraw(make())
        except ValueError as problem:
            self.say(f"{str(problem).rstrip('.')}." + (" The picture is still the one before." if self.png else ""))
            if not self.png:
                raise
        except Exception as problem:
            self.say(f"{type(problem).__name__}: {problem}")
            raise
        else:
            self.say(done if isinstance(done, str) else done())

    def redraw(self, figure: Figure) -> None:
        """Show this figure under the controls."""
        self.png = page.png(figure)
        width = page.page_width(self.png)
        with self.picture.hold_sync():
            self.picture.src = f"data:image/png;base64,{base64.b64encode(self.png).decode()}"
            self.picture.alt, self.picture.width = self.alt, width
            self.picture.whole = page.has_words(figure) and width > page.NARROW

    def shown(self) -> page.Shown:
        """What the page gets: the figure as it is now, these widgets, and the caption."""
        if self.png:
            self.picture.saved = page.own_width(self.png)
        return page.Shown(self.png, self.caption, self.alt, alive(self, self.picture), whole=self.picture.whole)

    def _ipython_display_(self, **options: object) -> None:
        self.shown()._ipython_display_()


def alive(widget: ipywidgets.Widget, any_widget: anywidget.AnyWidget) -> tuple[dict, dict]:
    """The output that is this widget; `any_widget`, in it or the same, knows what Colab wants beside it."""
    data, metadata = any_widget._repr_mimebundle_() or ({}, {})
    return {VIEW: data[VIEW] | {"model_id": widget.model_id}, "text/plain": RUN_ME}, metadata
