"""`diffusion-tutorial export`: a model for diffusers, or for ONNX Runtime."""

import argparse
import json
from pathlib import Path

from diffusion_tutorial import pretrained
from diffusion_tutorial.cli.common import denoiser, each_subject, settled, suited, weights
from diffusion_tutorial.export import folder, onnx

DIFFUSERS = {
    "cifar": """  diffusion-tutorial export diffusers cifar photographs --weights runs/cifar/cifar.safetensors
""",
    "folder": """  diffusion-tutorial export diffusers folder mine --weights runs/folder/folder.safetensors
""",
    "digits": """  diffusion-tutorial export diffusers digits digits-for-diffusers
      a folder that diffusers loads by itself: DiffusionPipeline.from_pretrained(DIR, trust_remote_code=True)
  diffusion-tutorial export diffusers digits jump --weights digits-jump
""",
    "scenes": """  diffusion-tutorial export diffusers scenes scenes-for-diffusers
      its README.md is a model card; huggingface-cli upload NAME/scenes scenes-for-diffusers publishes it as yours
""",
}
ONNX = {
    "cifar": """  diffusion-tutorial export onnx cifar cifar.onnx --weights runs/cifar/cifar.safetensors
""",
    "folder": """  diffusion-tutorial export onnx folder mine.onnx --weights runs/folder/folder.safetensors
""",
    "digits": """  diffusion-tutorial export onnx digits digits.onnx
      (x_t, t, cond) -> (x0_hat, eps_hat), a batch of any size; alpha_bar is in the file's metadata
""",
    "scenes": """  diffusion-tutorial export onnx scenes scenes.onnx
      cond are tokens; the words that they stand for are in the metadata too
""",
}


def add(commands: argparse._SubParsersAction) -> None:
    """`export diffusers` and `export onnx`, a part for each subject."""
    says = "a trained model for diffusers, or for ONNX Runtime"
    text = "examples:\n" + DIFFUSERS["digits"] + ONNX["digits"]
    raw = argparse.RawDescriptionHelpFormatter
    top = commands.add_parser("export", help=says, description=says, epilog=text, formatter_class=raw)
    formats = top.add_subparsers(metavar="FORMAT", required=True)
    for form, examples, where, what in (
        ("diffusers", DIFFUSERS, "dir", "a folder that diffusers loads, without this package"),
        ("onnx", ONNX, "file", "one file for ONNX Runtime"),
    ):
        parts = each_subject(formats, form, what, examples, _export, lambda subject: f"the denoiser of {subject.says}")
        for part in parts.values():
            metavar = "DIR" if where == "dir" else "FILE.onnx"
            part.add_argument("to", type=Path, metavar=metavar, help="where to; never over what is there already")
            weights(part)
            part.add_argument("--anew", action="store_true", help="replace what an earlier export wrote there")
            part.set_defaults(form=form)


def _export(options: argparse.Namespace) -> int:
    subject = settled(options, options.subject)
    model = denoiser(options, subject)
    write = folder.write if options.form == "diffusers" else onnx.write
    walk = suited(model, subject.quick)
    write(options.to, model, subject, walk, _card(options.weights or subject.name), options.anew)
    print(f"the denoiser of {subject.plural} for {options.form}: {options.to}")
    return 0


def _card(name: str) -> dict:
    """The model card of a shipped model, or that beside a file of weights; empty where there is none to be read."""
    if name in pretrained.SHIPPED:
        return pretrained.card(name)
    try:
        return json.loads(pretrained.path(name).with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
