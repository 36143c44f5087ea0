"""The model card of an exported folder, as the hub reads it: YAML in front, then what a person wants to know, with an example.

Used in "Meet the professionals". What is said of the model is what its own card, a *.json, says; nothing else is claimed.
"""

import re
from typing import Any, cast

from diffusion_tutorial import __version__
from diffusion_tutorial.models.text_unet import TextUNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import Subject

HOME = "https://github.com/diffusion-tutorial/diffusion-tutorial"
FRONT = """---
license: {licence}
library_name: diffusers
pipeline_tag: {task}
tags:
- diffusers
- diffusion-tutorial
- {command}
---

# {title}

Made by [diffusion-tutorial]({home}) {version}, whose lessons build such a model from nothing.

## Draw with it

torch and diffusers are enough; nothing of diffusion-tutorial needs to be installed. The folder holds its network as source,
`unet/network.py`, and its pipeline, `pipeline.py`: read them, then say that you trust them. In place of `DIR` put this folder,
or its name on the hub.

```python
import torch
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("DIR", trust_remote_code=True)
images = pipe({prompts}, generator=torch.Generator().manual_seed(0)).images
images[0].save("first.png")
```

{usual} Another scheduler, here with fresh noise in each step:

```python
from diffusers import DDPMScheduler

pipe.scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
images = pipe({prompts}, num_inference_steps=100, guidance_scale={w:g}).images
```

{says} A number of steps should divide {T}: some schedulers of diffusers do not end at the picture otherwise.

## What it is

{facts}
"""
USUAL = "Without another word it takes {steps} {walk}, with guidance scale {w:g}."
WALKS = {"dpm++": "steps of DPM-Solver++(2M)", "jump": "step, a jump by DDIM"}
LABELS = "A prompt is a label, by name ({names}) or by number from 0 on; `None` is any picture."
WORDS = (
    "A prompt is a sentence of the {n} words that the model learned; another word is refused, and the nearest known ones "
    "are named. `negative_prompt` is moved away from."
)
FACTS = {"data": "Trained on", "licence": "Licence", "parameters": "Parameters", "steps": "Steps of training",
         "batch_size": "Pictures in a step", "machine": "Machine", "command": "Made by"}  # fmt: skip


def text(subject: Subject, model: Denoiser, walk: Walk, about: dict) -> str:
    """The README.md: from a model, how it is drawn with, and its json card (that of somebody's own weights may be empty)."""
    reads, condition = isinstance(model.net, TextUNet), cast(Any, subject.condition)
    names = [] if reads else list(condition.names)
    prompts = [condition.example] if reads else names[:3]
    return FRONT.format(
        licence=licence(about.get("licence", "")),
        task="text-to-image" if reads else "unconditional-image-generation",
        command=subject.command,
        title=about.get("model", subject.title),
        home=HOME,
        version=__version__,
        prompts=str(prompts).replace("'", '"'),
        usual=USUAL.format(steps=walk.steps, walk=WALKS[walk.sampler], w=walk.w),
        w=walk.w,
        says=WORDS.format(n=len(model.net.tokenizer.words)) if reads else LABELS.format(names=", ".join(names[:10])),
        T=len(model.alpha_bar) - 1,
        facts=facts(about),
    )


def licence(says: str) -> str:
    """The hub's name of the licence that a card names, "CC BY-SA 3.0" as cc-by-sa-3.0; "other" where it names none of these."""
    found = re.search(r"\bCC (BY(?:-SA)?) (\d\.\d)", says)
    return f"cc-{found[1].lower()}-{found[2]}" if found else "other"


def facts(about: dict) -> str:
    """A line for each thing that the json card says, and for what was measured with how."""
    lines = [f"- {says}: {_told(about[name])}" for name, says in FACTS.items() if name in about]
    quality = about.get("quality") or {}
    for name in ("label_accuracy", "accuracy"):
        if name in quality:
            low, high = quality["interval_95"]
            lines.append(
                f"- Read back as asked for: {quality[name]:.1%} (95 % interval {low:.1%} to {high:.1%}); {quality['protocol']}"
            )
    if "sha256" in about:
        lines.append(f"- SHA-256 of the weights that this was exported from: {about['sha256']}")
    return "\n".join(lines) or "No card came with these weights, so nothing is said about them here."


def _told(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
