"""A figure that moves by a script of its own: the frame of `scrubber` and `divider`."""

import hashlib
import html
import json

from diffusion_tutorial import page
from diffusion_tutorial.widgets.figure import SAVED

# What stands in the figure is made by the script: where scripts are taken away, nothing is left that could not work.
_PAGE = """<figure id="{id}" style="margin:0"><span role="img" aria-label="{alt}"></span></figure>
<script>(() => {{
{saved}  const facts = {facts};
  for (const root of document.querySelectorAll("[id='{id}']:not([data-begun])")) {{
    root.dataset.begun = "true";
    root.innerHTML = facts.inside;
    hideSaved(root, facts.saved);{run}
  }}
}})();</script>"""


def moving(kind: str, inside: str, run: str, facts: dict, picture: bytes, caption: str, alt: str) -> page.Shown:
    """A figure whose content is the HTML `inside`, made to move by the JavaScript `run`, which knows `root` and `facts`.

    picture: what pages show that run no scripts, a PNG.
    """
    facts = facts | {"inside": inside, "saved": page.own_width(picture)}
    text = json.dumps(facts).replace("<", "\\u003c")  # no word among the facts can end the script
    name = f"{kind}-{hashlib.sha256((caption + text).encode()).hexdigest()[:12]}"  # the same for the same figure
    data = {"text/html": _PAGE.format(id=name, alt=html.escape(alt), saved=SAVED, facts=text, run=run)}
    return page.Shown(picture, caption, alt, (data | {"text/plain": "(It moves where scripts may run.)"}, {}))
