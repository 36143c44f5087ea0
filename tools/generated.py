"""What is generated in a lesson: its title, badges, set-up lines, times, numbers and links, and how cells are folded.

Everything follows from [tool.lessons] in pyproject.toml (see `order`) and from the notebook itself (see `times`).
"""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import order
import times
from nbformat import NotebookNode

HOME = order.HOME
OWN = "# The lesson's own set-up\n"


def _setup() -> str:
    """The lines of the set-up cell that fetch the package and what Colab lacks, none of them long."""
    wanted = [f"git+https://github.com/{HOME['repository']}@{HOME['branch']}", *textwrap.wrap(HOME["colab"], 70)]
    first, *more = [f'    wanted {"+" if i else ""}= "{" " if i else ""}{line}"' for i, line in enumerate(wanted)]
    return "\n".join(
        [
            f"{times.FOLDED} Set-up: run me once",
            "import sys",
            "",
            'if "google.colab" in sys.modules:  # fetch the package of these lessons, and what Colab lacks',
            first,
            *more,
            '    get_ipython().run_line_magic("pip", "install --quiet --no-deps " + wanted)',
            "import diffusion_tutorial  # noqa: F401  (before torch: it settles how threads wait)",
            "",  # as ruff has it after an import
            OWN,
        ]
    )


SETUP = _setup()


def launch(path: Path) -> tuple[str, str]:
    """Where a lesson can be run without installing anything: its addresses in Colab and on Binder."""
    place, branch, file = HOME["repository"], HOME["branch"], f"notebooks/{path.name}"
    colab = f"https://colab.research.google.com/github/{place}/blob/{branch}/{file}"
    return colab, f"https://mybinder.org/v2/gh/{place}/{branch}?urlpath=lab/tree/{file}"


def badges(path: Path) -> str:
    """The Colab and Binder badges of a lesson, as one line of Markdown."""
    colab, binder = launch(path)
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
        f"[![Launch on Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    )


def between(text: str, name: str, new: str) -> str:
    """Replace what stands between <!-- name --> and <!-- /name -->, which have lines of their own."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    if not re.search(pattern, text, re.S):
        raise ValueError(f"expected lines <!-- {name} --> and <!-- /{name} -->, got none in the cell: {text[:60]}")
    return re.sub(pattern, lambda m: m[1] + new + "\n" + m[2], text, flags=re.S)


def seconds_of(notebook: NotebookNode) -> int:
    """The time to run that a first cell states, as it was measured; 0 if it never was."""
    found = re.search(r"\*\*Time to run:\*\* (\d+) s", notebook.cells[0].source)
    return int(found[1]) if found else 0


def times_line(notebook: NotebookNode, seconds: int) -> str:
    """The line of the first cell that says how long a lesson takes."""
    learn = times.sentence(*times.learning(notebook, seconds))
    run = f"{seconds} s on two CPU cores" if seconds else "not measured yet"
    return f"**Time to learn:** {learn}. **Time to run:** {run}."


def figures(text: str, number: int) -> str:
    """The text with "Figure 3.2" numbered by the lesson that it stands in, or by the lesson that it is a link to."""

    def anywhere(match: re.Match) -> str:
        target = order.FILE.search(match[0])
        return _figures(match[0], order.number(target[1]) if target else number)

    link = r"\[[^\]\n]*\]\([^)\n]*\)|<a [^>]*>.*?</a>"
    parts = re.split(f"({link})", text)
    parts[::2] = [_figures(part, number) for part in parts[::2]]
    parts[1::2] = [re.sub(link, anywhere, part) for part in parts[1::2]]
    return "".join(parts)


def _figures(text: str, number: int) -> str:
    several = r"\bFigures?\s\d+\.\d+(?:(?:, and|,| and| to| or)\s\d+\.\d+)*"
    return re.sub(several, lambda match: re.sub(r"\d+(?=\.\d)", str(number), match[0]), text)


def papers(markdown: str) -> str:
    """The text with every arXiv number as a link to the paper."""
    return re.sub(r"(?<!\[)\barXiv[\s:]+(\d{4}\.\d{4,5})\b", r"[arXiv \1](https://arxiv.org/abs/\1)", markdown)


def in_outputs(notebook: NotebookNode, change: Callable[[str], str]) -> None:
    """Change what the saved outputs say, and the state of the widgets among them."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = change(output.text)
            for kind, value in output.get("data", {}).items():
                if kind.startswith("text/"):
                    output.data[kind] = change(value)
    for saved in notebook.metadata.get("widgets", {}).values():
        for model in saved["state"].values():
            model["state"] = {key: change(v) if isinstance(v, str) else v for key, v in model["state"].items()}


def refresh(notebook: NotebookNode, path: Path, seconds: int | None = None) -> None:
    """Write everything that is generated; `seconds` if the notebook has just been run."""
    slug = order.slug_of(path)
    number = order.number(slug)
    seconds = seconds_of(notebook) if seconds is None else seconds
    for cell in notebook.cells:
        cell.source = figures(cell.source, number)
        if cell.cell_type == "markdown":
            cell.source = papers(order.relinked(cell.source))
    in_outputs(notebook, lambda text: figures(text, number))
    setup = next(cell for cell in notebook.cells if cell.cell_type == "code")
    setup.source = SETUP + (setup.source.partition(OWN)[2] or setup.source)
    first, last = notebook.cells[0], notebook.cells[-1]
    first.source = re.sub(r"\A#.*", f"# {number} · {order.TITLES[slug]}", first.source)
    first.source = between(first.source, "badges", badges(path))
    if "<!-- neighbours -->" not in last.source:
        last.source += "\n\n<!-- neighbours -->\n<!-- /neighbours -->"
    last.source = between(last.source, "neighbours", order.neighbours(path))
    first.source = between(first.source, "times", times_line(notebook, seconds))


def normalise(notebook: NotebookNode) -> None:
    """One kernelspec, only the widget state that a page needs, and of the cells' metadata only tags and folding."""
    widgets = notebook.metadata.get("widgets")
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    if widgets:
        notebook.metadata["widgets"] = widgets
    for cell in notebook.cells:
        cell.metadata = metadata(cell)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr" or output.text.strip()]
    notebook.nbformat, notebook.nbformat_minor = 4, 5


def metadata(cell: NotebookNode) -> NotebookNode:
    """A cell's tags; and if its first line begins with "# @title", what folds it in JupyterLab, in Colab and on a website."""
    tags = [tag for tag in cell.metadata.get("tags", []) if tag != "hide-input"]
    if cell.cell_type == "code" and cell.source.startswith(times.FOLDED):
        return NotebookNode(cellView="form", jupyter=NotebookNode(source_hidden=True), tags=[*tags, "hide-input"])
    return NotebookNode(tags=tags) if tags else NotebookNode()
