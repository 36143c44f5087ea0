"""`diffusion-tutorial train`: a subject's denoiser, or a judge."""

import argparse
import re
from pathlib import Path
from typing import Any

from diffusion_tutorial import run, subjects
from diffusion_tutorial.cli.common import UserError, _seed, check_folder, command, shown
from diffusion_tutorial.subjects import Trainable
from diffusion_tutorial.team import join

OPTIONS: dict[str, dict[str, Any]] = {  # of settings that several have, by name; what else there is says its own
    "width": dict(type=int, help="features of the U-Net, a multiple of 8 (%(default)s)"),
    "flip": dict(action=argparse.BooleanOptionalAction, help="mirror each picture half of the time (%(default)s)"),
    "start": dict(metavar="NAME|FILE", help="begin with these weights, of a shipped model or in a file (none)"),
    "predict": dict(choices=["v", "eps"], help="what the network's output means (%(default)s)"),
    "batch": dict(type=int, metavar="N", help="pictures in a step (%(default)s)"),
    "lr": dict(type=float, help="learning rate at its highest (%(default)s)"),
    "t_bias": dict(type=float, help="1 draws every t equally often, 2 noisy ones more, 0.5 faint ones (%(default)s)"),
    "seed": dict(type=_seed, help="the same seed and steps give the same weights, on a CPU (%(default)s)"),
    "precision": dict(
        choices=["auto", "float32", "bfloat16", "float16"],
        help="of the network's arithmetic; auto: bfloat16 where the hardware has it, float16 on older GPUs (%(default)s)",
    ),
}


def add(commands: argparse._SubParsersAction) -> None:
    """A part for each of what can be trained, with the options that its settings have."""
    every = subjects.trainables()
    group = command(commands, "train", "train a model", *shown(every.values(), "train"))
    models = group.add_subparsers(metavar="MODEL", required=True)
    for name, what in every.items():
        says = what.says if isinstance(what, subjects.Subject) is False else f"the denoiser of {what.says}"
        part = command(models, name, says, *shown([what], "train"), run=_train, what=what)
        part.add_argument("--budget", default="120s", help="seconds of training, 120s (default), or steps, 2000steps")
        folder = f"runs/{name}"
        part.add_argument("--out", type=Path, default=Path(folder), metavar="DIR", help=f"folder for it ({folder})")
        part.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
        part.add_argument("--anew", action="store_true", help="begin anew, though there is a run in --out: replace it")
        for setting, value in what.settings.items():
            _add_setting(part, what, setting, value)
        part.add_argument("--compile", action="store_true", help="hand the network to torch.compile")
        says = "print how much memory it needs, by calculation, and train nothing"
        part.add_argument("--plan", action="store_true", help=says)
        if what.evaluate:
            judged = "samples drawn and measured at the end (%(default)s)"
            part.add_argument("--evaluate", type=int, default=what.evaluate, metavar="N", help=judged)


def _add_setting(part: argparse.ArgumentParser, what: Trainable, setting: str, value: Any) -> None:
    how = (OPTIONS | what.options)[setting]
    if setting in what.positions:
        part.add_argument(setting, **how)
    else:
        part.add_argument(f"--{setting.replace('_', '-')}", default=value, **how)


def _train(options: argparse.Namespace) -> int:
    what: Trainable = options.what
    steps, seconds = _budget(options.budget)
    settings = {name: getattr(options, name) for name in what.settings}
    evaluate = getattr(options, "evaluate", 0)
    if settings.get("width", 8) < 8 or settings.get("width", 8) % 8:
        raise UserError(f"--width: expected a multiple of 8, got {settings['width']}")
    if evaluate < 0:
        raise UserError(f"--evaluate: expected a number of samples, 0 or more, got {evaluate}")
    if options.resume and options.anew:
        raise UserError("--anew: with --resume it makes no sense; expected one of the two")
    check_folder(options.out)
    if options.resume and not (options.out / "checkpoint.safetensors").exists():
        raise UserError(
            f"--resume: there is no checkpoint in {options.out}; start without --resume, or name the folder by --out"
        )
    way = dict(resume=options.resume, anew=options.anew, compile=options.compile, evaluate=evaluate)
    if not (options.resume or options.anew or options.plan):
        run.refuse_what_is_there(options.out, what.name)  # before a folder is read, or a set is fetched
    team = join(run.device())
    with team.hushed():
        with team.first():
            what, settings = what.given(settings)
        if options.plan:
            run.plan(what, settings)
        else:
            run.train(what, options.out, settings, steps, seconds, **way)
    return 0


def _budget(text: str) -> tuple[int | None, float | None]:
    """ "2000steps" as (2000, None), "120s" as (None, 120.0)."""
    number, unit = re.fullmatch(r"([0-9.]*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    try:
        if unit == "steps" and int(number) > 0:
            return int(number), None
        if unit == "s" and float(number) > 0:
            return None, float(number)
    except ValueError:
        pass
    raise UserError(f"--budget: expected seconds as 120s or steps as 2000steps, got {text}")
