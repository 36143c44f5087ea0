"""Pages of the website that are generated: the list of lessons, references, model cards, and how to run it all at home."""

import html
import json
import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
import order
import times
from generated import seconds_of
from nbformat import NotebookNode
from order import HOME, PARTS, ROOT, TITLES

CARDS = ROOT / "diffusion_tutorial" / "pretrained"
NAME = r"[A-Z][\w-]+(?:(?:, | and | )(?:[A-Z][\w-]+|et al\.|la))*"
CITED = re.compile(rf"({NAME} \d{{4}}), \*([^*]+)\*[^\[]{{0,20}}\[arXiv (\d{{4}}\.\d{{4,5}})\]")
LINKED = re.compile(r"\[arXiv (\d{4}\.\d{4,5})\]")


def parts() -> Iterable[tuple[str, list[Path]]]:
    """The parts that have lessons, "Part 1 · The idea", each with its notebooks."""
    for i, (name, slugs) in enumerate(PARTS.items(), start=1):
        found = [path for path in order.lessons() if order.slug_of(path) in slugs]
        if found:
            yield f"Part {i} · {name}", found


def contents() -> str:
    """The table of contents, which Sphinx reads: the lessons part by part, and what to look things up in."""
    trees = [(name, [f"notebooks/{path.stem}" for path in paths]) for name, paths in parts()]
    trees += [("Look it up", ["docs/glossary", "references", "models", "Results <benchmarks/README>", "install"])]
    return "\n\n".join(
        f"```{{toctree}}\n:hidden:\n:caption: {name}\n\n" + "\n".join(pages) + "\n```" for name, pages in trees
    )


def lesson_list() -> str:
    """The lessons as the front page lists them: title, product and time to learn, as HTML."""
    sections = []
    for name, paths in parts():
        items = "\n".join(map(_item, paths))
        sections.append(f'<section class="part">\n<h3>{name}</h3>\n<ol>\n{items}\n</ol>\n</section>')
    return '<div class="parts">\n' + "\n".join(sections) + "\n</div>"


def _item(path: Path) -> str:
    notebook, slug = nbformat.read(path, as_version=4), order.slug_of(path)
    opening = " ".join(notebook.cells[0].source.split())
    found = re.search(r"\*\*You will make\*\* (.+?)\.? \*\*", opening)
    if found is None:
        raise ValueError(f"expected a first cell that says **You will make**, got: {opening[:200]}")
    minutes, _ = times.learning(notebook, seconds_of(notebook))
    return (
        f'<li value="{order.number(slug)}"><a href="notebooks/{path.stem}.html"><b>{html.escape(TITLES[slug])}</b>'
        f"<span>{html.escape(found[1])}</span><i>{minutes} min</i></a></li>"
    )


def citations(notebooks: dict[Path, NotebookNode]) -> dict[str, tuple[str, str, list[Path]]]:
    """Each paper that a lesson links on arXiv: its number, then who and when, its title, and the lessons that name it."""
    named: dict[str, tuple[str, str]] = {}
    used: dict[str, list[Path]] = {}
    for path, notebook in notebooks.items():
        text = " ".join(" ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown").split())
        for who, title, paper in CITED.findall(text):
            named.setdefault(paper, (who, title))
        for paper in dict.fromkeys(LINKED.findall(text)):
            used.setdefault(paper, []).append(path)
    unnamed = set(used) - set(named)
    if unnamed:
        raise ValueError(f"expected each paper once as: Author 2020, *Title*, [arXiv …]; missing for {sorted(unnamed)}")
    return {paper: (*named[paper], used[paper]) for paper in used}


def references(notebooks: dict[Path, NotebookNode]) -> str:
    """The page of references, as Markdown."""
    found = citations(notebooks)
    lines = []
    for paper, (who, title, paths) in sorted(found.items(), key=lambda item: item[1][0].lower()):
        lessons = ", ".join(f"[{TITLES[order.slug_of(path)]}](notebooks/{path.name})" for path in paths)
        lines.append(f"- {who}, *{title}*, [arXiv {paper}](https://arxiv.org/abs/{paper})  \n  {lessons}")
    head = (
        f"# References\n\nThe {len(lines)} papers that the lessons send you to, each with the lessons that do so.\n\n"
    )
    return head + "\n".join(lines) + "\n"


def models() -> str:
    """The page of model cards, as Markdown: what each shipped file of weights is, how it was made and how good it is."""
    cards = [_card(path) for path in sorted(CARDS.glob("*.json"))]
    head = (
        "# Model cards\n\nThe weights that come with the package, and all that was written down when they were made. "
        "Each was trained by the command that stands in its card.\n\n"
    )
    return head + "\n\n".join(cards) + "\n"


def _card(path: Path) -> str:
    card = json.loads(path.read_text())
    name, _, what = card["model"].partition(": ")
    rows = [f"| {key} | {value} |" for key, value in _flat(card) if key != "model"]
    return f"## {name}\n\n{what[:1].upper() + what[1:]}.\n\n| entry | value |\n| --- | --- |\n" + "\n".join(rows)


def _flat(card: dict, before: str = "") -> Iterable[tuple[str, str]]:
    """The entries of a card one by one, those within another as "quality, protocol"; short lists on one line."""
    for key, value in card.items():
        name = f"{before}{key.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}, ")
        elif key in ("command", "sha256", "file"):
            yield name, f"`{value}`"
        elif isinstance(value, int) and key != "seed":
            yield name, f"{value:,}"
        else:
            yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value).replace("|", "\\|")


def install() -> str:
    """The page that says how to run it all at home, as Markdown: two sections of README.md."""
    readme = (ROOT / "README.md").read_text()
    wanted = [re.search(rf"^## {name}\n.*?(?=^## |\Z)", readme, re.M | re.S) for name in ("Start", "The command")]
    if None in wanted:
        raise ValueError('expected README.md to have the sections "## Start" and "## The command"')
    return "# On your own machine\n\n" + "\n".join(found[0] for found in wanted if found)


def at_home(text: str, page: str, staged: set[str]) -> str:
    """Markdown whose links to files of the repository that are no pages here lead to the repository."""

    def lead(found: re.Match) -> str:
        target, _, anchor = found[2].partition("#")
        place = _resolved(page, target)
        if not target or "://" in target or place in staged:
            return found[0]
        whole = f"https://github.com/{HOME['repository']}/blob/{HOME['branch']}/{place}"
        return f"{found[1]}({whole}{'#' * bool(anchor)}{anchor})"

    return re.sub(r"(\])\(([^()\s]+)\)", lead, text)


def _resolved(page: str, target: str) -> str:
    """A relative link in a page as a path from the root."""
    return ((ROOT / page).parent / target).resolve().relative_to(ROOT).as_posix() if "://" not in target else target
