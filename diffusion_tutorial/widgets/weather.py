"""A matrix of probabilities that can be edited: change a number, the figure beneath is drawn again."""

from collections.abc import Callable

import ipywidgets
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from diffusion_tutorial.widgets.figure import LiveFigure

NAMES = ("sunny", "cloudy", "rainy")


def weather(P: Float[Tensor, "3 3"], draw: Callable[[Tensor], Figure], caption: str, alt: str) -> LiveFigure:
    """A grid of number fields that holds P, today down the side and tomorrow along the top, and draw(P) under it.

    A row that does not add up to 1 is rescaled for the figure, and a sentence under the grid says so; a row of zeros
    leaves the figure as it was. `draw` takes a matrix whose rows add up to 1 and returns a figure.
    """
    if P.shape != (len(NAMES), len(NAMES)):
        raise ValueError(f"expected a matrix with a row and a column for each of {list(NAMES)}, got {tuple(P.shape)}")
    fields = [[_field(NAMES[i], NAMES[j], value) for j, value in enumerate(row)] for i, row in enumerate(P.tolist())]
    again = ipywidgets.Button(description="Start again", tooltip="Put the first matrix back")
    live = LiveFigure([_grid(fields), again], caption, alt)
    busy = False

    def redraw(change: object = None) -> None:
        if busy:
            return
        typed = torch.tensor([[field.value for field in row] for row in fields], dtype=P.dtype)
        if (typed.sum(1) > 0).all():
            live.draw(lambda: draw(typed / typed.sum(1, keepdim=True)), done=row_note(typed))
        else:
            live.say(row_note(typed))

    def reset(button: object = None) -> None:
        nonlocal busy
        busy = True  # nine changes, one drawing
        for row, values in zip(fields, P.tolist()):
            for field, value in zip(row, values):
                field.value = round(value, 4)
        busy = False
        redraw()

    for field in sum(fields, []):
        field.observe(redraw, names="value")
    again.on_click(reset)
    redraw()
    return live


def row_note(typed: Float[Tensor, "3 3"]) -> str:
    """One sentence for each row that does not add up to 1; if there is none, that all is well."""
    notes = []
    for name, row in zip(NAMES, typed):
        total = row.sum().item()
        if total == 0:
            notes.append(f"The {name} row is all zeros, so a {name} day has no tomorrow: give it a number above 0.")
        elif abs(total - 1) > 1e-4:
            used = ", ".join(f"{x:.2f}" for x in (row / total).tolist())
            notes.append(f"The {name} row adds up to {total:.2f}, not 1: the figure uses {used} in its place.")
    return " ".join(notes) or "Every row adds up to 1."


def _field(today: str, tomorrow: str, value: float) -> ipywidgets.BoundedFloatText:
    """A field from 0 to 1. Its description takes no room, yet a screen reader reads it out with the number."""
    return ipywidgets.BoundedFloatText(
        value=round(value, 4),
        min=0,
        max=1,
        step=0.05,
        description=f"{today} today, {tomorrow} tomorrow",
        style={"description_width": "0px"},
        layout={"width": "auto", "min_width": "0"},
    )


def _grid(fields: list[list[ipywidgets.Widget]]) -> ipywidgets.GridBox:
    """The fields with the names of today's weather on the left and of tomorrow's on top."""
    heads = [ipywidgets.Label(name, layout={"padding": "0 0 0 14px"}) for name in NAMES]
    cells: list[ipywidgets.Widget] = [ipywidgets.Label("today \\ tomorrow"), *heads]
    for name, row in zip(NAMES, fields):
        cells += [ipywidgets.Label(name), *row]
    columns = f"max-content repeat({len(NAMES)}, minmax(3.5em, 7em))"
    return ipywidgets.GridBox(cells, layout={"grid_template_columns": columns, "max_width": "100%"})
