"""A folder that diffusers loads, offline and without this package: weights, configuration, sources, a card.

Used in "Meet the professionals". DIR holds

    model_index.json  which class is which, and how to draw unless a call says otherwise
    pipeline.py       from static to pictures: export.hub.pipeline as it is
    unet/             network.py, the sources of our network; its sizes; its weights as safetensors in single precision
    scheduler/        the schedule: every beta_t
    README.md         a model card as the hub reads it

diffusers calls our step t its t - 1.
"""

import json
from pathlib import Path
from typing import Any

from diffusion_tutorial import __version__, files, samplers
from diffusion_tutorial.export import card, optional, source
from diffusion_tutorial.models.text_unet import TextUNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk
from diffusion_tutorial.schedules import beta_from
from diffusion_tutorial.subjects import Subject

PIPELINE, NETWORK = ("pipeline", "TutorialPipeline"), "network"  # files, without .py, and the class within
WRITTEN = {"README.md", "model_index.json", "pipeline.py", "scheduler", "unet"}
PREDICTS = {"eps": "epsilon", "v": "v_prediction"}


def write(path: Path, model: Denoiser, subject: Subject, walk: Walk, about: dict, anew: bool = False) -> None:
    """The folder, whole or not at all. `walk`: how its pictures are drawn unless a call says otherwise. about: the model's card.

    A ValueError if something is there already; with `anew` a folder that this function wrote is replaced, and no other.
    """
    if model.clip != 1:
        raise ValueError(f"expected a model of pictures in [-1, 1], got one of data cut to {model.clip}")
    refuse(path, anew)
    pipe, network = _pipeline(model, subject, walk)

    def put(aside: Path) -> None:
        pipe.save_pretrained(aside, safe_serialization=True)
        _name_sources(aside / "model_index.json", type(pipe.unet).__name__)
        (aside / "pipeline.py").write_text(source.read(type(pipe).__module__), encoding="utf-8")
        (aside / "unet" / f"{NETWORK}.py").write_text(source.alone(network, __version__), encoding="utf-8")
        (aside / "README.md").write_text(card.text(subject, model, walk, about), encoding="utf-8")

    files.write_whole_folder(path, put)


def refuse(path: Path, anew: bool) -> None:
    """A ValueError that says what is there already, unless it is nothing, or our own and to be replaced."""
    if path.resolve() == Path.cwd():
        raise ValueError(f"expected a folder to write anew, got the one that you are in, {path}")
    if path.exists() and not path.is_dir():
        raise ValueError(f"expected a folder to write, but {path} is a file")
    there = {found.name for found in path.iterdir()} if path.exists() else set()
    if not there:
        return
    if not anew:
        raise ValueError(f"there is something in {path} already: replace it by --anew, or name another folder")
    if others := sorted(there - WRITTEN):
        raise ValueError(f"--anew: {path} holds what no export wrote ({', '.join(others[:3])}): name another folder")


def schedule(model: Denoiser) -> dict[str, Any]:
    """The configuration that all of diffusers' schedulers understand: our alpha_bar, our range, our whole times."""
    return {
        "num_train_timesteps": len(model.alpha_bar) - 1,
        "trained_betas": beta_from(model.alpha_bar)[1:].tolist(),
        "prediction_type": PREDICTS[model.output],
        "timestep_spacing": "trailing",
        "clip_sample": True,
        "thresholding": True,  # up to sample_max_value it is the same as clip_sample, and DPM-Solver++ has no other
        "sample_max_value": 1.0,
    }


def _pipeline(model: Denoiser, subject: Subject, walk: Walk) -> tuple[Any, str]:
    """Our model as a pipeline of diffusers, and the module that its network is from."""
    diffusers = optional("diffusers", "accelerate")
    from diffusion_tutorial.export.hub import labels, pipeline, words

    once = walk.sampler == "jump" and walk.steps == 1
    if walk.sampler != "dpm++" and not once:
        raise ValueError(f"expected a walk by dpm++, or by one jump, got {walk.steps} of {walk.sampler}")
    times = samplers.times(walk.steps, len(model.alpha_bar) - 1, walk.spacing, model.alpha_bar)
    own = {"timesteps": [t - 1 for t in times[:-1]], "guidance_scale": walk.w}
    if isinstance(model.net, TextUNet):
        network = words.WordNetwork(model.net.config, own)
    else:
        network = labels.LabelNetwork(model.net.config, list(getattr(subject.condition, "names", ())), own)
    network.net.load_state_dict(model.net.state_dict())
    scheduler = getattr(diffusers, "DDIMScheduler" if once else "DPMSolverMultistepScheduler")
    pipe = pipeline.TutorialPipeline(network.eval(), scheduler.from_config(schedule(model)))
    return pipe, type(network).__module__


def _name_sources(index: Path, network: str) -> None:
    """In place of classes that are somewhere in an environment, those in the files of this folder."""
    told = json.loads(index.read_text(encoding="utf-8"))
    told |= {"_class_name": list(PIPELINE), "unet": [NETWORK, network]}
    index.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
