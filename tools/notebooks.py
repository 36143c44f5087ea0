"""Rebuild the lessons: run every notebook from a fresh kernel and save it, normalised, with its outputs.

    python tools/notebooks.py                            all lessons
    python tools/notebooks.py 04 why_not_one_jump        two of them, by number or by name
    python tools/notebooks.py --no-run                   only write what is generated

The notebooks themselves are the source. What is generated in them is in `generated`, and where their order stands, in
`order`: files whose number is not their place are renamed first. The lesson table of README.md is read off their first cells,
its pictures get their whole address, and docs/glossary.md follows the files' names.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import order
import times
from generated import HOME, SETUP, badges, between, metadata, normalise, refresh, seconds_of
from nbclient import NotebookClient
from nbformat import NotebookNode
from order import NOTEBOOKS, ROOT, lessons

__all__ = ["HOME", "SETUP", "badges", "between", "lessons", "metadata", "normalise", "refresh", "row", "table"]
README, GLOSSARY = ROOT / "README.md", ROOT / "docs" / "glossary.md"
HEAD = "| | lesson | you will make | time to learn | time to run | open it at once |\n| --- | --- | --- | --- | --- | --- |"


def found(pattern: str, text: str) -> tuple[str, ...]:
    """The groups of a pattern's first match; a ValueError that shows the text if there is none."""
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"expected a first cell with {pattern}, got: {text[:200]}")
    return match.groups()


def row(path: Path) -> str:
    """A lesson's line in the table of README.md, read off its first cell."""
    notebook = nbformat.read(path, as_version=4)
    slug, seconds = order.slug_of(path), seconds_of(notebook)
    (product,) = found(r"\*\*You will make\*\* (.+?)\.? \*\*", " ".join(notebook.cells[0].source.split()))
    main, optional = times.learning(notebook, seconds)
    learn = f"{main} minutes" + (f" (+ {optional} optional)" if optional else "")
    title = f"[{order.TITLES[slug]}](notebooks/{path.name})"
    return f"| {order.number(slug)} | {title} | {product} | {learn} | {seconds} s | {badges(path)} |"


def table() -> str:
    """The lesson tables of README.md, one for each part that has lessons."""
    parts = []
    for i, (part, slugs) in enumerate(order.PARTS.items(), start=1):
        rows = [row(path) for path in lessons() if order.slug_of(path) in slugs]
        if rows:
            parts.append("\n".join([f"### Part {i} · {part}\n", HEAD, *rows]))
    return "\n" + "\n\n".join(parts) + "\n"


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


def rebuild(path: Path, run_it: bool) -> None:
    """Run a lesson if asked to, write what is generated in it, and save it normalised."""
    notebook = nbformat.read(path, as_version=4)
    refresh(notebook, path)
    seconds = run(notebook) if run_it else None
    if seconds is not None:
        refresh(notebook, path, times.rounded(seconds))
    normalise(notebook)
    nbformat.write(notebook, path)
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", path], cwd=ROOT, check=True)
    if seconds is not None:
        print(f"{path.name}: {seconds:.1f} s, {path.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lesson", nargs="*", help="numbers or names, for example 04; all lessons if none is given")
    parser.add_argument("--no-run", action="store_true", help="write what is generated, run nothing")
    options = parser.parse_args()
    renamed = order.renumber()
    for old, new in renamed:
        print(f"{old} is now {new}")
    chosen = lessons(options.lesson)
    for path in lessons() if renamed else chosen:
        rebuild(path, run_it=path in chosen and not options.no_run)
    README.write_text(whole_addresses(between(order.relinked(README.read_text()), "lessons", table())))
    GLOSSARY.write_text(order.relinked(GLOSSARY.read_text()))


if __name__ == "__main__":
    main()
