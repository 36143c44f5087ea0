"""Interactive figures. They call plotting and the mathematics, never the other way round.

- `scrubber`: frames made beforehand under a slider: plain HTML, works on any page with scripts, no kernel.
- `divider`: two pictures over each other and a line between them that moves; needs no kernel either.
- `weather`: a matrix of probabilities in number fields, and a figure that is drawn again when one changes.
- `explore`: sliders that call Python and redraw a figure.
- `prompt_box`: a field for a sentence, and the pictures that a model draws of it.
- `brush`: paint a hole on a picture and have it filled.
- `sketchpad`: draw a digit or bring a photo of one, and see what a model makes of it.

Each leaves a picture and a caption behind for pages where it cannot run (see `page`).
"""

from diffusion_tutorial.widgets.brush import brush
from diffusion_tutorial.widgets.divider import divider
from diffusion_tutorial.widgets.explore import explore
from diffusion_tutorial.widgets.prompt import prompt_box
from diffusion_tutorial.widgets.scrubber import scrubber
from diffusion_tutorial.widgets.sketchpad import sketchpad
from diffusion_tutorial.widgets.weather import weather

__all__ = ["brush", "divider", "explore", "prompt_box", "scrubber", "sketchpad", "weather"]
