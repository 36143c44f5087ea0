"""A denoiser as one file for ONNX Runtime, in a browser or anywhere else without Python. Used in "Meet the professionals".

(x_t, t, cond) -> (x0_hat, eps_hat), all of a batch of any size: x_t float32 (batch, channels, height, width), t int64 (batch,),
cond int64 as the network takes it, (batch,) labels or (batch, length) tokens. The answers are not cut to [-1, 1]: a sampler
does that. What it needs besides stands in the file's metadata, as JSON: `metadata` says what.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffusion_tutorial import files
from diffusion_tutorial.export import optional
from diffusion_tutorial.models.text import PAD, START
from diffusion_tutorial.models.text_unet import TextUNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.subjects import Subject


class Guesses(nn.Module):
    """x0_hat and eps_hat from one look, with the square roots of alpha_bar as tables: single precision loses nothing then."""

    signal: Tensor
    noise: Tensor

    def __init__(self, model: Denoiser):
        super().__init__()
        self.net, self.output = model.net, model.output
        self.register_buffer("signal", model.alpha_bar.sqrt().float())
        self.register_buffer("noise", (1 - model.alpha_bar).sqrt().float())

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        """As `predictions.Denoiser.guess`, see there for the equations."""
        answer = self.net(x_t, t, cond)
        signal, noise = (table[t].view(-1, 1, 1, 1) for table in (self.signal, self.noise))
        if self.output == "v":
            return signal * x_t - noise * answer, noise * x_t + signal * answer
        return (x_t - noise * answer) / signal, answer


def write(path: Path, model: Denoiser, subject: Subject, walk: Walk, about: dict, anew: bool = False) -> None:
    """The file, whole or not at all; a ValueError if there is one already, unless it is to be replaced, `anew`."""
    if path.suffix.lower() != ".onnx":
        raise ValueError(f"expected a name that ends in .onnx, got {path}")
    if path.is_dir() or (path.exists() and not anew):
        raise ValueError(
            f"there is {'a folder' if path.is_dir() else 'a file'} {path} already: name another file, or replace it by --anew"
        )
    onnx = optional("onnx", "onnxscript")
    optional("onnxscript", "onnx")
    traced = _traced(model)
    for name, value in metadata(model, subject, walk, about).items():
        entry = traced.metadata_props.add()
        entry.key, entry.value = name, json.dumps(value, ensure_ascii=False)
    onnx.checker.check_model(traced)
    files.write_whole(path, lambda aside: onnx.save(traced, str(aside)))


def metadata(model: Denoiser, subject: Subject, walk: Walk, about: dict) -> dict[str, Any]:
    """What a sampler and a page need to know: alpha_bar for t = 0..T, the range, the usual walk, what a condition is."""
    condition: Any = subject.condition
    told: dict[str, Any] = {
        "model": about.get("model", subject.title),
        "licence": about.get("licence", subject.licence),
        "alpha_bar": model.alpha_bar.tolist(),
        "clip": model.clip,
        "walk": {"sampler": walk.sampler, "steps": walk.steps, "spacing": walk.spacing, "w": walk.w},
    }
    if isinstance(model.net, TextUNet):
        tokens = {"pad": PAD, "start": START, "first_word": START + 1, "length": model.net.tokenizer.length}
        return told | {"words": list(model.net.tokenizer.words), "tokens": tokens}
    return told | {"labels": list(condition.names), "any": model.net.labels}


def _traced(model: Denoiser) -> Any:
    """The graph, with a batch of any size."""
    model, net = model.cpu().eval(), model.net
    told = (2, net.tokenizer.length) if isinstance(net, TextUNet) else (2,)
    cond = net.null_like(torch.zeros(told, dtype=torch.int64))
    batch = torch.export.Dim("batch")
    with _without_fastpath(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "# The axis name")  # that three inputs share their first axis is meant
        program: Any = torch.onnx.export(
            Guesses(model).eval(),
            (torch.zeros(2, *net.shape), torch.ones(2, dtype=torch.int64), cond),
            input_names=["x_t", "t", "cond"],
            output_names=["x0_hat", "eps_hat"],
            dynamic_shapes={name: {0: batch} for name in ("x_t", "t", "cond")},
            external_data=False,
            verbose=False,
        )
    return program.model_proto


@contextmanager
def _without_fastpath() -> Iterator[None]:
    """Within the `with`, torch computes attention step by step, and not by one fused operation that ONNX does not know."""
    usual = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(usual)
