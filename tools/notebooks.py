"""Rebuild the lessons: run every notebook from a fresh kernel and save it, normalised, with its outputs.

    python tools/notebooks.py            all lessons
    python tools/notebooks.py 03 05      lessons 03 and 05
    python tools/notebooks.py --no-run   only refresh what is generated: badges, set-up lines, metadata

The notebooks themselves are the source. What is generated in them, from the [tool.lessons] table of pyproject.toml:
the launch badges, the lines of the set-up cell that fetch the package on Colab, and the measured time to run. The
lesson table of README.md is generated from their first cells, and its pictures get their whole address.
"""

import argparse
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
README = ROOT / "README.md"
HOME = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["lessons"]
SETUP = f"""# On Colab, fetch the package of these lessons; anywhere else these lines do nothing.
import sys

if "google.colab" in sys.modules:
    wanted = "git+https://github.com/{HOME["repository"]}@{HOME["branch"]} {HOME["colab"]}"
    get_ipython().run_line_magic("pip", "install --quiet --no-deps " + wanted)
# The lesson's own set-up
"""


def lessons(names: list[str] | None = None) -> list[Path]:
    """The notebooks in reading order; only those whose number is in `names`, if given."""
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    return [path for path in found if not names or path.name[:2] in names]


def badges(path: Path) -> str:
    """The Colab and Binder badges of a lesson, as one line of Markdown."""
    place, branch = HOME["repository"], HOME["branch"]
    file = f"notebooks/{path.name}"
    colab = f"https://colab.research.google.com/github/{place}/blob/{branch}/{file}"
    binder = f"https://mybinder.org/v2/gh/{place}/{branch}?urlpath=lab/tree/{file}"
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
        f"[![Launch on Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    )


def between(text: str, name: str, new: str) -> str:
    """Replace what stands between <!-- name --> and <!-- /name -->.

    Markdown is not read on a line that begins with a comment, so `new` begins and ends with a line break if it is Markdown.
    """
    pattern = rf"(<!-- {name} -->).*?(<!-- /{name} -->)"
    if not re.search(pattern, text, re.S):
        raise ValueError(f"there is no <!-- {name} --> … <!-- /{name} --> in: {text[:60]}")
    return re.sub(pattern, lambda m: m[1] + new + m[2], text, flags=re.S)


def refresh(notebook: NotebookNode, path: Path) -> None:
    """Write what is generated: the badges of the first cell, and the first lines of the set-up cell."""
    first = notebook.cells[0]
    first.source = between(first.source, "badges", f"\n{badges(path)}\n")
    setup = next(cell for cell in notebook.cells if cell.cell_type == "code")
    own = setup.source.partition("# The lesson's own set-up\n")[2] or setup.source
    setup.source = SETUP + own


def found(pattern: str, text: str) -> tuple[str, ...]:
    """The groups of a pattern's first match; a ValueError that shows the text if there is none."""
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"expected a first cell with {pattern}, got: {text[:200]}")
    return match.groups()


def row(path: Path) -> str:
    """A lesson's line in the table of README.md, read off its first cell."""
    first = " ".join(nbformat.read(path, as_version=4).cells[0].source.split())
    number, title = found(r"^# (\d+) · (.+?) <!-- badges -->", first)
    (product,) = found(r"\*\*You will make\*\* (.+?)\.? \*\*", first)
    learn, ran = found(r"\*\*Time\*\* (.+?) to learn · <!-- time -->(.*?)<!-- /time -->", first)
    return f"| {number} | [{title}](notebooks/{path.name}) | {product} | {learn} | {ran} | {badges(path)} |"


def table() -> str:
    """The lesson table of README.md."""
    head = "| | lesson | you will make | time to learn | time to run | open it at once |\n| --- | --- | --- | --- | --- | --- |"
    return "\n\n" + "\n".join([head, *map(row, lessons())]) + "\n\n"


def picture(path: str) -> str:
    """The whole address of a picture of this repository: on other pages than its own, `docs/x.png` alone leads nowhere."""
    return f"https://raw.githubusercontent.com/{HOME['repository']}/{HOME['branch']}/{path}"


def whole_addresses(text: str) -> str:
    """Markdown in which each picture from docs/ stands with its whole address, whichever it had before."""
    return re.sub(
        r"(!\[[^]]*\]\()(?:https://raw\.githubusercontent\.com/[^)]*?)?(docs/[^)]+)\)",
        lambda m: f"{m[1]}{picture(m[2])})",
        text,
    )


def run(notebook: NotebookNode, cwd: Path = NOTEBOOKS) -> float:
    """Run from a fresh kernel, keep the outputs in the notebook; returns the seconds that it took."""
    began = time.perf_counter()
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(cwd)}}, record_timing=False)
    client.execute()
    return time.perf_counter() - began


def rounded(seconds: float) -> str:
    """A measured time as the lessons state it: rounded up to 5 s, from a minute on to 10 s."""
    grain = 5 if seconds < 60 else 10
    return f"{-int(-seconds // grain) * grain} s"


def normalise(notebook: NotebookNode) -> None:
    """No timings, one kernelspec, only the widget state that a page needs; cells numbered from 1."""
    widgets = notebook.metadata.get("widgets")
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    if widgets:
        notebook.metadata["widgets"] = widgets
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr" or output.text.strip()]
    notebook.nbformat, notebook.nbformat_minor = 4, 5


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lesson", nargs="*", help="two digits each, for example 03; all lessons if none is given")
    parser.add_argument("--no-run", action="store_true", help="refresh what is generated, run nothing")
    options = parser.parse_args()
    for path in lessons(options.lesson):
        notebook = nbformat.read(path, as_version=4)
        refresh(notebook, path)
        seconds = None if options.no_run else run(notebook)
        if seconds is not None:
            notebook.cells[0].source = between(notebook.cells[0].source, "time", rounded(seconds))
        normalise(notebook)
        nbformat.write(notebook, path)
        subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", path], cwd=ROOT, check=True)
        if seconds is not None:
            print(f"{path.name}: {seconds:.1f} s, {path.stat().st_size / 1e6:.2f} MB")
    README.write_text(whole_addresses(between(README.read_text(), "lessons", table())))


if __name__ == "__main__":
    main()
