"""A notebook with every kind of figure, for the tests that look at pages: made and run here, in a kernel of its own."""

import nbformat
from nbclient import NotebookClient

SETUP = """\
import torch
from diffusion_tutorial import plotting, widgets
from diffusion_tutorial.data import digits

def fill(mask):
    return torch.stack([torch.where(mask, -x[0], x[0])] * 2)

def bar(height=3, **ignored):
    figure, axes = plotting.panels(2, width=3.6, height=2.4)
    for ax in axes:
        ax.bar(range(4), [height, 2, 1, 3])
        ax.set(ylim=(0, 10), ylabel="height of the bar")
    return figure

x, labels = digits.load()
x, P = x[::500].contiguous(), torch.full((3, 3), 1 / 3)"""
KINDS = {
    "chart": 'plotting.show(bar(), "Figure 1. Two charts, a < b.", "Bars.")',
    "pictures": 'plotting.show(plotting.images(x[:4]), "Figure 2. Four digits.", "A row of digits.")',
    "film": 'widgets.scrubber(x[:, :, :, 2:-2].repeat(1, 1, 2, 4), [f"t = {i}, a label of many words" for i in range(10)], "Figure 3. A film.", "Digits.")',
    "film of charts": 'widgets.scrubber([bar(i) for i in range(5)], range(5), "Figure 4. A film of charts.", "A bar grows.")',
    "divider": 'widgets.divider(x[1], -x[1], "Figure 5. Two pictures.", "A digit and its negative.", scale=16)',
    "weather": 'widgets.weather(P, lambda P: bar(P[0, 0]), "Figure 6. The weather.", "Bars of weather.")',
    "explore": 'widgets.explore(bar, "Figure 7. A slider.", "A bar.", height=(0, 9, 1, 3))',
    "prompt": 'widgets.prompt_box(lambda *asked: x[:4], "Figure 8. A sentence.", "Four digits.", prompt="a cat")',
    "brush": 'widgets.brush(x[1], fill, "Figure 9. A hole.", "A digit to paint on.", mask=torch.arange(28)[:, None].expand(28, 28) > 13, scale=16)',
    "sketchpad": 'widgets.sketchpad(lambda x0: {"yours": x0[None]}, "Figure 10. A pad.", "A pad.", start=x[2])',
}  # fmt: skip
CAPTIONS = {kind: source.split('"Figure ')[1].split('"')[0] for kind, source in KINDS.items()}
CAPTIONS = {kind: f"Figure {rest}" for kind, rest in CAPTIONS.items()}


def made() -> nbformat.NotebookNode:
    """The notebook, not run."""
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, *KINDS.values())]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def run() -> nbformat.NotebookNode:
    """The notebook with its outputs, as a lesson is saved."""
    notebook = made()
    NotebookClient(notebook, timeout=120).execute()
    return notebook
