r"""Markdown of the lessons as HTML that stands outside a notebook: formulas in \( \) and \[ \], links that lead somewhere.

Pages carry MathJax beside them, out of tools/slides/package-lock.json, so that nothing is fetched while they are read.
"""

import html
import re
import shutil
import subprocess
from pathlib import Path

import order
from nbconvert.filters.markdown import markdown2html

BROWSER = order.ROOT / "tools" / "slides"
ONLINE = f"https://github.com/{order.HOME['repository']}/blob/{order.HOME['branch']}"
CODE = re.compile(r"(<pre.*?</pre>|<code.*?</code>)", re.S)
MATHJAX = """\
<script>window.MathJax = { tex: { inlineMath: [["\\\\(", "\\\\)"]], displayMath: [["\\\\[", "\\\\]"]] }, options: { enableMenu: false } };</script>
<script defer src="vendor/mathjax/tex-svg-full.js"></script>"""
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="page.css">
{mathjax}
<body>
{body}
</body>
</html>
"""


def rendered(markdown: str, link: str = ONLINE + "/notebooks/{stem}.ipynb") -> str:
    """The Markdown as HTML. link: where a lesson is to be found, by its `stem`, such as 04_dissolve_a_picture."""
    text = re.sub(r'<a class="anchor-link".*?</a>', "", markdown2html(markdown).strip())
    parts = CODE.split(text)
    parts[::2] = [formulas(part) for part in parts[::2]]
    text = re.sub(r'href="\.\./(docs/[\w./]+)"', rf'href="{ONLINE}/\1"', "".join(parts))
    return re.sub(r'href="(\d\d_\w+)\.ipynb(#[^"]*)?"', lambda m: f'href="{link.format(stem=m[1])}"', text)


def formulas(text: str) -> str:
    r"""$$ and $ as \[ \] and \( \), which no price is mistaken for, and which learning platforms know."""
    text = re.sub(r"\$\$(.+?)\$\$", lambda m: rf"\[{m[1]}\]", text, flags=re.S)
    return re.sub(r"\$(.+?)\$", lambda m: rf"\({m[1]}\)", text, flags=re.S)


def inline(markdown: str, link: str = ONLINE + "/notebooks/{stem}.ipynb") -> str:
    """The same of a few words or a sentence: no paragraph around it, and a number with a full stop begins no list."""
    text = rendered(re.sub(r"\A(\d+)\.", r"\1\\.", markdown), link)
    return re.sub(r"\A<p>(.*)</p>\Z", r"\1", text, flags=re.S)


def page(title: str, body: str) -> str:
    """A whole page."""
    return PAGE.format(title=html.escape(title), body=body, mathjax=MATHJAX)


def vendor(out: Path, *wanted: str) -> None:
    """Put reveal.js or MathJax, as locked, into out/vendor; npm fetches them once."""
    installed = BROWSER / "node_modules"
    if not all((installed / name).is_dir() for name in ("mathjax", "reveal.js")):
        if not shutil.which("npm"):
            raise SystemExit(
                "npm, which comes with Node.js, is needed once for reveal.js and MathJax; it is not installed."
            )
        if subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=BROWSER).returncode:
            raise SystemExit("npm ci did not finish: reveal.js and MathJax are fetched once, which takes the network.")
    pieces = {
        "mathjax": {"mathjax/es5/tex-svg-full.js": "mathjax/tex-svg-full.js"},
        "reveal": {
            f"reveal.js/{name}": f"reveal/{Path(name).name}"
            for name in ("dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")
        },
    }
    for name in wanted:
        for source, to in pieces[name].items():
            (out / "vendor" / to).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(installed / source, out / "vendor" / to)
