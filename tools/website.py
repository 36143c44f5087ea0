"""Build the website from what the notebooks saved: nothing is run. `make site` does so; it needs no network once npm has been.

    python tools/website.py               writes site/_build/html
    python tools/website.py --out FOLDER  writes FOLDER/html

`stage` writes the pages that Sphinx reads: the lessons (see `web_lessons`), what is generated (see `web_pages`), and what
site/ holds. What pages load besides, MathJax, comes from npm with the versions and checksums of site/package-lock.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import draw_weights
import nbformat
import web_lessons
import web_pages
from generated import launch
from order import ROOT, lessons

SITE = ROOT / "site"
MODULES, DRAW = SITE / "node_modules", SITE / "draw"
# What a page loads of MathJax: the program, its letters, and what it fetches for a rare command
MATHJAX = ("tex-chtml.js", "output/chtml/fonts", "input/tex/extensions")
COPIED = ("docs/*.png", "docs/glossary.md", "benchmarks/README.md")


def fetch() -> None:
    """Have npm install what site/package-lock.json pins, unless it lies there already; a RuntimeError if it cannot."""
    lock = json.loads((SITE / "package-lock.json").read_text())["packages"]
    if all(_version(SITE / name) == entry["version"] for name, entry in lock.items() if name):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("expected npm, which fetches MathJax, got none: install Node.js (https://nodejs.org) first")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=SITE).returncode:
        raise RuntimeError("npm ci did not finish: the first build needs the network; what npm said stands above")


def _version(folder: Path) -> str | None:
    """The version of an installed npm package; None if it is not there."""
    about = folder / "package.json"
    return json.loads(about.read_text())["version"] if about.exists() else None


def stage(source: Path) -> None:
    """Write the folder that Sphinx reads, afresh."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(SITE, source, ignore=shutil.ignore_patterns("node_modules", "_build", "package*.json", "draw"))
    static = source / "_static"
    (static / "figures").mkdir()
    for path in (path for pattern in COPIED for path in ROOT.glob(pattern)):
        (source / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, source / path.parent.name)
    notebooks = {path: nbformat.read(path, as_version=4) for path in lessons()}
    (source / "notebooks").mkdir()
    for path, notebook in notebooks.items():
        nbformat.write(web_lessons.page(notebook, path, static / "figures"), source / "notebooks" / path.name)
    (source / "references.md").write_text(web_pages.references(notebooks), encoding="utf-8")
    (source / "models.md").write_text(web_pages.models(), encoding="utf-8")
    (source / "install.md").write_text(web_pages.install(), encoding="utf-8")
    front(source / "index.md")
    settle(source)
    bring(static)


def front(index: Path) -> None:
    """Fill in what the front page leaves open: the doors, the drawing, the lessons, and the table of contents."""
    first = lessons()[0]
    colab, binder = launch(first)
    text = index.read_text(encoding="utf-8").replace("<!-- lessons -->", web_pages.lesson_list())
    for name, address in {"FIRST": f"notebooks/{first.stem}.html", "COLAB": colab, "BINDER": binder}.items():
        text = text.replace(f'href="{name}"', f'href="{address}"')
    if DRAW.is_dir():  # the picture is there until the drawing is, and where it cannot be
        text = text.replace("<!-- drawing -->", '<script type="module" src="draw/main.js"></script>\n\n<digit-drawer>')
        text = text.replace("<!-- /drawing -->", "</digit-drawer>")
    index.write_text(f"{text}\n{web_pages.contents()}\n", encoding="utf-8")


def settle(source: Path) -> None:
    """Links to files that are no pages here lead to the repository, and planned lessons are no links."""
    staged = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    for path in source.rglob("*.md"):
        text = web_lessons.without_planned(path.read_text(encoding="utf-8"))
        text = web_pages.at_home(text, path.relative_to(source).as_posix(), staged)
        path.write_text(text, encoding="utf-8")


def bring(static: Path) -> None:
    """Copy what pages load of MathJax."""
    for name in MATHJAX:
        origin, target = MODULES / "mathjax" / "es5" / name, static / "mathjax" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(origin, target) if origin.is_dir() else shutil.copy(origin, target)


def build(out: Path) -> Path:
    """Build the website in the folder `out`; returns the folder of its pages. Any warning of Sphinx's is an error."""
    fetch()
    source, pages = out / "source", out / "html"
    stage(source)
    shutil.rmtree(pages, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "-d", str(out / "doctrees")]
    path = {"PYTHONPATH": str(ROOT / "tools")}
    if subprocess.run([*command, str(source), str(pages)], env=os.environ | path).returncode:
        raise RuntimeError("Sphinx warned, or did not finish: what it said stands above")
    if DRAW.is_dir():
        shutil.copytree(
            DRAW, pages / "draw", ignore=shutil.ignore_patterns("index.html")
        )  # that page is for looking at it alone
        draw_weights.write(pages / "draw")
    return pages


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=SITE / "_build", help="folder to write to; site/_build if not given"
    )
    try:
        pages = build(parser.parse_args().out.resolve())
    except RuntimeError as problem:
        sys.exit(str(problem))
    size = sum(path.stat().st_size for path in pages.rglob("*") if path.is_file())
    print(f"{pages / 'index.html'}: {size / 1e6:.0f} MB in all")


if __name__ == "__main__":
    main()
