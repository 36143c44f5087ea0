"""The order of the lessons, from [tool.lessons] in pyproject.toml: numbers, titles, file names and links follow from it.

A lesson is known by its slug, the name of its file without the number: `dissolve_a_picture`.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
HOME = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["lessons"]
PARTS: dict[str, dict[str, str]] = HOME["parts"]
TITLES = {slug: title for part in PARTS.values() for slug, title in part.items()}
SLUGS = list(TITLES)
FILE = re.compile(rf"\b\d\d_({'|'.join(SLUGS)})\.ipynb")


def number(slug: str) -> int:
    """The number of a lesson: its place in the order."""
    return SLUGS.index(slug)


def file(slug: str) -> str:
    """The file name of a lesson: dissolve_a_picture is 04_dissolve_a_picture.ipynb."""
    return f"{number(slug):02d}_{slug}.ipynb"


def slug_of(path: Path) -> str:
    """The lesson that a notebook is, whatever number its name has; an error if the order does not know it."""
    slug = re.sub(r"^\d\d_", "", path.stem)
    if slug not in TITLES:
        raise ValueError(
            f"{path.name} is not in the order of the lessons: add {slug!r} to [tool.lessons] in pyproject.toml"
        )
    return slug


def lessons(names: list[str] | None = None) -> list[Path]:
    """The notebooks in reading order; only those whose number or slug is in `names`, if given."""
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    return [path for path in found if not names or {path.name[:2], path.stem[3:]} & set(names)]


def renumber(folder: Path = NOTEBOOKS) -> list[tuple[str, str]]:
    """Rename every notebook whose number is not its place in the order; returns the old and new names."""
    renamed = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        new = file(slug_of(path))
        if new != path.name:
            path.rename(folder / new)
            renamed.append((path.name, new))
    return renamed


def relinked(text: str) -> str:
    """The text with every file name of a lesson brought up to date: in links, badges and commands."""
    return FILE.sub(lambda match: file(match[1]), text)


def neighbours(path: Path) -> str:
    """Links to the lessons before and after, as one line of Markdown; planned lessons are passed over."""
    everything = lessons()
    place = everything.index(path)
    links = []
    if place > 0:
        links.append(f"[← {TITLES[slug_of(everything[place - 1])]}]({everything[place - 1].name})")
    if place + 1 < len(everything):
        links.append(f"[{TITLES[slug_of(everything[place + 1])]} →]({everything[place + 1].name})")
    return " · ".join(links)
