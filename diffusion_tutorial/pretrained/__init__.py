"""Trained weights that come with the package, each beside its model card, and the one way to write and read weights.

Weights are half-precision safetensors, checked against the SHA-256 in the card before they are read; nothing is ever
unpickled. The card (*.json) says on what data, how long and on which machine a model was trained, what was measured,
and the command that makes it again.
"""

import hashlib
import json
from pathlib import Path

from torch import nn

from diffusion_tutorial import files
from diffusion_tutorial.models.classifier import Classifier, PhotoClassifier, SceneClassifier
from diffusion_tutorial.models.gan import Gan
from diffusion_tutorial.models.text_unet import TextUNet
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser

FOLDER = Path(__file__).parent
SHIPPED = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
DENOISERS = {"denoiser": UNet, "text denoiser": TextUNet}
CLASSIFIERS = {"classifier": Classifier, "scene classifier": SceneClassifier, "photo classifier": PhotoClassifier}
NETWORKS = {**CLASSIFIERS, "gan": Gan}  # those that are a model by themselves


def card(name: str) -> dict:
    """The model card of a shipped model, one of SHIPPED."""
    if name not in SHIPPED:
        raise ValueError(f"expected one of the shipped models {', '.join(SHIPPED)}, got {name}")
    path = FOLDER / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise files.BadFile(f"expected the model card {path} ({problem}): install the package again") from problem


def load(name: str) -> nn.Module:
    """A shipped model, in float32 and evaluation mode: "digits", its student "digits-jump", "scenes", a judge for each, and a GAN.

    Raises files.BadFile if the weights are not the ones that the card was written for.
    """
    expected, file = card(name)["sha256"], path(name)
    if not file.exists():
        raise files.BadFile(f"there is no file {file}: install the package again")
    found = sha256(file)
    if found != expected:
        raise files.BadFile(f"{file} has the SHA-256 {found[:12]}…, its card says {expected[:12]}…: install it again")
    return read(file)


def path(name: str | Path) -> Path:
    """The file of weights that is meant: that of a shipped model, if it is the name of one, or this file."""
    return FOLDER / f"{name}.safetensors" if name in SHIPPED else Path(name)


def named(name: str | Path) -> nn.Module:
    """The model that is meant: a shipped one, if it is the name of one, or that in this file."""
    return load(str(name)) if name in SHIPPED else read(name)


def denoiser(name: str) -> Denoiser:
    """A shipped model that draws by walking back from static."""
    model = load(name)
    if not isinstance(model, Denoiser):
        raise ValueError(f"expected a denoiser, got {name}, a {type(model).__name__}")
    return model


def read(path: str | Path) -> nn.Module:
    """The model in a weights file that `write` wrote, in float32 and evaluation mode; files.BadFile if it is not one."""
    path = Path(path)
    if path.is_dir():
        raise files.BadFile(f"{path} is a folder; {_inside(path)}")
    tensors, about = files.read_tensors(path)
    if isinstance(about, dict) and about.get("kind") == "checkpoint":
        raise files.BadFile(
            f"{path} does not hold weights of this package: it is a checkpoint, to go on from; {_inside(path.parent, path)}"
        )
    try:
        if about["kind"] in DENOISERS:
            net, alpha_bar = DENOISERS[about["kind"]](**about["net"]), tensors.pop("alpha_bar")
            walk = about.get("walk")
            model = Denoiser(net, alpha_bar, about["output"], about.get("clip", 1.0), walk and (walk[0], walk[1]))
        else:
            model = NETWORKS[about["kind"]](**about["net"])
        model.load_state_dict({name: x.float() if x.is_floating_point() else x for name, x in tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as problem:
        raise files.BadFile(f"{path} does not hold weights of this package ({problem})") from problem
    return model.eval().requires_grad_(False)


def _inside(folder: Path, but: Path | None = None) -> str:
    """Which file was meant, where a folder is named, or a checkpoint in it."""
    found = sorted(
        path for path in folder.glob("*.safetensors") if path not in (but, folder / "checkpoint.safetensors")
    )
    where = "beside it" if but else "in it"
    if found:
        return f"name the weights {where}: {', '.join(map(str, found))}"
    return f"there are no weights {where}; they are written when a training ends"


def write(path: str | Path, model: nn.Module) -> str:
    """Write a denoiser, a classifier or a GAN with weights in half precision, whole; returns the file's SHA-256."""
    tensors = {k: x.half() if x.is_floating_point() else x for k, x in model.state_dict().items()}
    if isinstance(model, Denoiser):
        tensors["alpha_bar"] = model.alpha_bar
        about = {
            "kind": _kind(DENOISERS, model.net),
            "net": model.net.config,
            "output": model.output,
            "clip": model.clip,
        } | ({"walk": list(model.walk)} if model.walk else {})
    else:
        about = {"kind": _kind(NETWORKS, model), "net": model.config}
    files.write_tensors(path, tensors, about)
    return sha256(path)


def _kind(kinds: dict[str, type], model: nn.Module) -> str:
    for kind, cls in kinds.items():
        if isinstance(model, cls):
            return kind
    wanted = ", ".join(cls.__name__ for cls in kinds.values())
    raise ValueError(f"expected one of the networks of this package ({wanted}), got {type(model).__name__}")


def write_card(path: str | Path, about: dict) -> None:
    """Write a model card as indented JSON, whole."""
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    files.write_whole(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
