"""How Sphinx builds the website, from the pages that tools/website.py writes; nothing is run."""

import re

from order import HOME  # tools/, which tools/website.py puts on the path
from sphinx.application import Sphinx

project = "Diffusion models, from one dot of noise"
author = "the diffusion-tutorial authors"
copyright = "the diffusion-tutorial authors. Text and figures: CC BY 4.0; code: MIT"
language = "en"
extensions = ["myst_nb"]
exclude_patterns = ["_static"]
smartquotes = False

nb_execution_mode = "off"
nb_ipywidgets_js: dict = {}  # no page has a widget that needs a kernel's scripts
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
mathjax_path = "mathjax/tex-chtml.js"

html_theme = "sphinx_book_theme"
html_title = "Diffusion models"
html_favicon = html_logo = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_copy_source = html_show_sourcelink = html_use_index = False
html_sidebars = {"index": [], "**": ["sbt-sidebar-nav.html"]}
templates_path = ["_templates"]
html_context = {"default_mode": "auto"}
html_theme_options = {
    "repository_url": f"https://github.com/{HOME['repository']}",
    "repository_branch": HOME["branch"],
    "use_repository_button": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "launch_buttons": {
        "colab_url": "https://colab.research.google.com",
        "binderhub_url": "https://mybinder.org",
        "notebook_interface": "jupyterlab",
    },
    "logo": {"text": "Diffusion models"},
    "navbar_start": ["navbar-logo"],
    "navbar_persistent": ["search-button-field"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "home_page_in_toc": False,
    "show_toc_level": 2,
}


def heard(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """What a screen reader hears in a page: of a folded cell its title, and of an empty corner of a table no heading."""
    body = context.get("body", "").replace('<summary aria-label="Toggle hidden content">', "<summary>")
    context["body"] = re.sub(r"<th(?: [^>]*)?>(?:<p></p>)?</th>", "<td></td>", body)


def setup(app: Sphinx) -> None:
    """Have `heard` look at every page."""
    app.connect("html-page-context", heard)
