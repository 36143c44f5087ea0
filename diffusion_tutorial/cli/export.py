"""`diffusion-tutorial export`: a model for diffusers, or for ONNX Runtime."""

import argparse
import json
from pathlib import Path

from diffusion_tutorial import pretrained, subjects
from diffusion_tutorial.cli.common import command, denoiser, each_subject, shown, suited, weights
from diffusion_tutorial.export import folder, onnx


def add(commands: argparse._SubParsersAction) -> None:
    """`export diffusers` and `export onnx`, a part for each subject."""
    says = "a trained model for diffusers, or for ONNX Runtime"
    every = subjects.every().values()
    top = command(commands, "export", says, *shown(every, "diffusers"), *shown(every, "onnx"))
    formats = top.add_subparsers(metavar="FORMAT", required=True)
    for form, where, what in (
        ("diffusers", "DIR", "a folder that diffusers loads, without this package"),
        ("onnx", "FILE.onnx", "one file for ONNX Runtime"),
    ):
        parts = each_subject(formats, form, what, _export, lambda subject: f"the denoiser of {subject.says}")
        for part in parts.values():
            part.add_argument("to", type=Path, metavar=where, help="where to; never over what is there already")
            weights(part)
            part.add_argument("--anew", action="store_true", help="replace what an earlier export wrote there")
            part.set_defaults(form=form)


def _export(options: argparse.Namespace) -> int:
    model = denoiser(options, options.subject)
    subject = options.subject.of(model)
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
