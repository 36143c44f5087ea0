"""Controls over a figure that is drawn again when one changes: the frame of `explore` and `weather`."""

from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from diffusion_tutorial import plotting


class LiveFigure(ipywidgets.VBox):
    """Widgets above a figure; `redraw` puts a new figure there.

    Where the page knows no widgets, as in a viewer on the web, the figure as last drawn is shown in their place.
    """

    def __init__(self, controls: list[ipywidgets.Widget], caption: str, alt: str):
        self.picture = ipywidgets.HTML()
        self.caption, self.alt = caption, alt
        super().__init__([*controls, self.picture])

    def redraw(self, figure: Figure) -> None:
        """Show this figure under the controls."""
        self.picture.value = plotting.figure_html(plotting.png(figure), self.caption, self.alt)

    def _repr_mimebundle_(self, **options: Any) -> dict:
        bundle = super()._repr_mimebundle_(**options)  # ipywidgets 8; 7 displays itself in another way
        return {**bundle, "text/html": self.picture.value, "text/plain": self.caption}
