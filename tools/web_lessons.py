"""A lesson as a page of the website: what a notebook says and shows, in a form that reads well without Python behind it.

The notebook stays as it is; `page` makes another one of it, for Sphinx. There the launch links stand in place of the badges,
each figure is one <figure> whose picture is a file with an alt text, and a figure that needs a kernel shows the picture that
was saved of it and says how it comes to life.
"""

import base64
import copy
import hashlib
import html
import io
import re
from pathlib import Path

import order
import times
from generated import launch
from nbformat import NotebookNode, v4
from PIL import Image

VIEW = "application/vnd.jupyter.widget-view+json"
DETAILS = re.compile(r"<details>(?:(?!\n\n).)*?</details>", re.S)  # those that Markdown leaves as they are
TABLE = '<div style="overflow-x:auto"><table>'  # as page.Table begins
MOVABLE = TABLE.replace("<div", '<div tabindex="0" role="group" aria-label="table, can be moved sideways"')
INLINE = re.compile(r"(?<!\\)\$([^$]+)\$")


def page(notebook: NotebookNode, path: Path, pictures: Path) -> NotebookNode:
    """The lesson saved at `path` as a notebook for the website; its pictures are written into the folder `pictures`."""
    cells = copy.deepcopy(notebook.cells)
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = prose(cell.source, path)
        else:
            fold(cell)
            cell.outputs = outputs(cell.outputs, path, pictures)
    return v4.new_notebook(cells=cells, metadata={"kernelspec": notebook.metadata.kernelspec})


def prose(text: str, path: Path) -> str:
    """Markdown for the website: launch links for badges, no neighbours (each page has them), formulas in quizzes too."""
    text = re.sub(r"<!-- badges -->.*?<!-- /badges -->", lambda _: launch_line(path), text, flags=re.S)
    text = re.sub(r"\n*<!-- neighbours -->.*?<!-- /neighbours -->", "", text, flags=re.S)
    text = DETAILS.sub(lambda found: INLINE.sub(formula, found[0]), text)
    return without_planned(linked(text))


def formula(found: re.Match) -> str:
    """A formula within HTML, where Markdown does not look for any."""
    return f'<span class="math notranslate nohighlight">\\({html.escape(found[1], quote=False)}\\)</span>'


def linked(text: str) -> str:
    """HTML's links to notebooks lead to their pages; Markdown's are found by Sphinx itself."""
    return re.sub(r'(<a\b[^>]*\bhref=")([^":]+)\.ipynb\b', r"\1\2.html", text)


def without_planned(text: str) -> str:
    """The text in which a lesson that is still to be written is named and not linked."""
    planned = {order.file(slug) for slug in order.TITLES} - {path.name for path in order.lessons()}
    for name in sorted(planned):
        text = re.sub(rf"\[([^\]]+)\]\((?:[^()\s]*/)?{re.escape(name)}[^)]*\)", r"\1", text)
    return text


def launch_line(path: Path) -> str:
    """Where this lesson runs, as a paragraph of HTML."""
    return f'<p class="launch">Run this lesson: {ways(path)}</p>\n'


def ways(path: Path) -> str:
    """The three ways to run a lesson, as links."""
    colab, binder = launch(path)
    here = '<a href="../install.html">on your own machine</a>'
    return f'<a href="{colab}">in Colab</a>, <a href="{binder}">on Binder</a> or {here}'


def fold(cell: NotebookNode) -> None:
    """A cell that is folded in the notebook is folded here, under its title, which leaves the code."""
    first, _, rest = cell.source.partition("\n")
    if first.startswith(times.FOLDED):
        title = first.removeprefix(times.FOLDED).strip()
        cell.metadata["mystnb"] = {"code_prompt_show": title, "code_prompt_hide": title}
        cell.source = rest.lstrip("\n")


def outputs(saved: list[NotebookNode], path: Path, pictures: Path) -> list[NotebookNode]:
    """The outputs of a cell, the parts of each figure (picture, what makes it move, caption) joined to one."""
    done, parts = [], []
    for output in saved:
        data = output.get("data", {})
        if "image/png" in data:
            parts += [still(output, pictures)]
        elif VIEW in data:
            parts += [f'<p class="alive">Its controls run Python. Bring it to life {ways(path)}.</p>']
        elif (
            "text/html" in data and "<script>" in data["text/html"]
        ):  # it moves: the picture is for those without scripts
            parts = [f"<noscript>{''.join(parts)}</noscript>", linked(data["text/html"])]
        elif data.get("text/html", "").startswith(TABLE):
            done += [html_of(data["text/html"].replace(TABLE, MOVABLE, 1))]
        elif "text/html" in data:
            done += [figure([*parts, caption(data["text/html"])])]
            parts = []
        else:
            done += [output]
    return done + ([figure(parts)] if parts else [])


def figure(parts: list[str]) -> NotebookNode:
    """An output that is one figure of these parts."""
    joined = "\n".join(parts)
    return html_of(f'<figure class="shown">\n{joined}\n</figure>')


def html_of(text: str) -> NotebookNode:
    """An output that is this piece of HTML."""
    return v4.new_output("display_data", data={"text/html": text})


def caption(text: str) -> str:
    """The caption of a figure; what a screen reader should hear is the picture's own alt text here."""
    heard = r'<span role="img" aria-label="[^"]*"></span>'
    inside = re.fullmatch(rf"<div[^>]*>(?:{heard})?(.*)</div>", text.strip(), re.S)
    if inside is None:
        raise ValueError(f"expected a caption as page.Shown writes it, got: {text[:120]}")
    return f"<figcaption>{inside[1]}</figcaption>"


def still(output: NotebookNode, pictures: Path) -> str:
    """A saved picture as an <img>, its file written into the folder; one with words in it keeps its size on a phone."""
    look = output.metadata["image/png"]
    raw = base64.b64decode(output.data["image/png"])
    name = hashlib.sha256(raw).hexdigest()[:16] + ".png"
    if not (pictures / name).exists():
        (pictures / name).write_bytes(raw)
    width, height = Image.open(io.BytesIO(raw)).size
    tall, whole = round(height * look["width"] / width), look.get("unconfined")
    size = f'width="{look["width"]}" height="{tall}"' + (f' style="min-width:{look["width"]}px"' if whole else "")
    image = f'<img src="../_static/figures/{name}" alt="{html.escape(look["alt"])}" {size} loading="lazy">'
    sideways = ' whole" tabindex="0" role="group" aria-label="figure, can be moved sideways' if whole else ""
    return f'<div class="still{sideways}">{image}</div>'
