"""Sliders that call Python: move one, the figure is drawn again."""

from collections.abc import Callable, Sequence

import ipywidgets
from matplotlib.figure import Figure

from diffusion_tutorial.widgets.figure import LiveFigure

Control = tuple[float, float, float, float] | Sequence[str]


def explore(draw: Callable[..., Figure], caption: str, alt: str, **controls: Control) -> LiveFigure:
    """Show draw(**values) under one control per keyword, and draw it again whenever one is moved and let go.

    A control is a slider, (lowest, highest, step, first value), whole numbers if all four are, or a menu, a list of
    names whose first is chosen. draw: takes the values by keyword and returns a figure. While it works, the page says
    so; where it raises later than at first, the figure stays, and the error's sentence stands over it.
    """
    inputs = {name: _control(name, spec) for name, spec in controls.items()}
    live = LiveFigure(list(inputs.values()), caption, alt)

    def redraw(change: object = None) -> None:
        live.draw(lambda: draw(**{name: control.value for name, control in inputs.items()}))

    for control in inputs.values():
        control.observe(redraw, names="value")
    redraw()
    return live


def _control(name: str, spec: Control) -> ipywidgets.Widget:
    look = dict(
        description=name,
        style={"description_width": "initial"},
        layout={"width": "30em", "max_width": "calc(100% - 4px)"},
    )
    names = [x for x in spec if isinstance(x, str)]
    numbers = [x for x in spec if not isinstance(x, str)]
    if len(names) == len(spec) > 0:
        return ipywidgets.Dropdown(options=names, value=names[0], **look)
    if len(numbers) != len(spec) or len(spec) != 4:
        raise ValueError(f"expected {name} as (lowest, highest, step, first value) or a list of names, got {spec}")
    low, high, step, value = numbers
    if not (low <= value <= high and step > 0):
        raise ValueError(f"expected {name} to begin between its lowest and highest value, got {spec}")
    if all(isinstance(x, int) for x in spec):
        kind = ipywidgets.IntSlider
    else:
        kind, look["readout_format"] = ipywidgets.FloatSlider, f".{_decimals(step)}f"
    return kind(value=value, min=low, max=high, step=step, continuous_update=False, **look)


def _decimals(step: float) -> int:
    """How many decimals tell the stops of a slider apart: 2 for a step of 0.25, 3 for one of 0.005."""
    return max(1, len(f"{step:.6f}".rstrip("0").partition(".")[2]))
