"""How Sphinx builds the website, from the pages that tools/website.py writes; nothing is run."""

from order import HOME  # tools/, which tools/website.py puts on the path

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
html_copy_source = html_show_sourcelink = False
html_show_sphinx = False
html_sidebars = {"index": []}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "repository_url": f"https://github.com/{HOME['repository']}",
    "repository_branch": HOME["branch"],
    "use_repository_button": True,
    "use_download_button": False,
    "launch_buttons": {
        "colab_url": "https://colab.research.google.com",
        "binderhub_url": "https://mybinder.org",
        "notebook_interface": "jupyterlab",
    },
    "logo": {"text": "Diffusion models"},
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "home_page_in_toc": True,
    "show_toc_level": 2,
}
