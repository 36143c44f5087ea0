"""What this machine has, what will be slow on it, and what to do about that: `diffusion-tutorial doctor`.

With `--json` it says so in one line, so that whoever looks after a room asks every machine and reads the answers side by side.
"""

import contextlib
import importlib.metadata
import io
import json
import math
import os
import platform
import shutil
import time
from typing import Any

import torch

from diffusion_tutorial import files, pretrained, run, samplers, subjects, threads
from diffusion_tutorial.losses import Denoising
from diffusion_tutorial.training import Training

ENOUGH = 300.0  # pictures a second of digit training: below it the lessons take longer than they say
REFERENCE = "two CPU cores"


def report(as_json: bool = False) -> int:
    """Print what was found, one line each, with advice where something is missing; 1 if a lesson would fail, else 0.

    as_json: print one line of JSON in place of all that.
    """
    with contextlib.redirect_stdout(io.StringIO()) if as_json else contextlib.nullcontext():
        found = examine()
    if as_json:
        print(json.dumps(found))
    return 1 if found["problems"] else 0


def examine() -> dict[str, Any]:
    """What was found, by name, printed on the way; a number is None where it could not be measured, and times are in seconds."""
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {platform.system()} {platform.machine()}")
    problems = [*_weights(), *(problem for subject in subjects.every().values() for problem in subject.check())]
    memory, disk = _memory()
    speed = {"digits_a_second": None, "seconds_to_draw": None} if problems else _speed()
    for problem in problems:
        print(f"PROBLEM  {problem}")
    print("This machine is ready for every lesson." if not problems else f"{len(problems)} to mend before you start.")
    return {
        "machine": platform.node(),
        "ready": not problems,
        "problems": problems,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "jupyterlab": _version("jupyterlab"),
        "threads": torch.get_num_threads(),
        "memory_gb": None if math.isnan(memory) else round(memory, 1),
        "disk_free_gb": round(disk, 1),
        **speed,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _weights() -> list[str]:
    try:
        for name in pretrained.SHIPPED:
            pretrained.load(name)
    except (files.BadFile, OSError) as problem:
        return [f"trained weights: {problem}"]
    print(f"weights  {', '.join(pretrained.SHIPPED)}: there, and they match their SHA-256")
    return []


def _memory() -> tuple[float, float]:
    free = shutil.disk_usage(".").free / 1e9
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, OSError, ValueError):  # not on Windows
        memory = float("nan")
    print(f"memory   {memory:.1f} GB, disk {free:.0f} GB free here; a lesson needs 1.5 GB of memory")
    return memory, free


def _speed() -> dict[str, float | None]:
    print(f"compute  CPU, {torch.get_num_threads()} threads of {os.cpu_count()} cores; no lesson needs a GPU")
    if (cores := threads.quota()) is not None:
        print(f"         this container may use {cores} of them, and torch takes as many")
    print("         measuring training speed ...", end="\r", flush=True)
    rate = images_per_second(5.0)
    print(f'         {rate:.0f} digits a second in training, network of "Build the network"     ')
    if rate < ENOUGH:
        print(
            f"         slow: the lessons state times for {REFERENCE}; here expect about {ENOUGH / rate:.1f} times as long. "
            "Close other programs; on a shared server, set OMP_NUM_THREADS to the cores that are yours."
        )
    seconds = seconds_to_draw()
    print(f'drawing  {seconds:.1f} s for the sixteen digits of "Start here"')
    if run.device() == "cuda":
        name = torch.cuda.get_device_name()
        print(f"GPU      {name}: the commands use it by themselves, the lessons run on the CPU")
    return {"digits_a_second": round(rate), "seconds_to_draw": round(seconds, 1)}


def seconds_to_draw() -> float:
    """How long the first cell of "Start here" takes: sixteen digits in 50 steps on the CPU."""
    model = pretrained.denoiser("digits")
    static = torch.randn(16, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    began = time.perf_counter()
    samplers.draw(model, static, samplers.times(50), model.alpha_bar, cond=torch.arange(16) % 10)
    return time.perf_counter() - began


def images_per_second(seconds: float) -> float:
    """Pictures a second in training the network of "Build the network" on the CPU, over this many seconds after a warm-up."""
    digits = subjects.get("digits")
    with contextlib.redirect_stderr(io.StringIO()):  # which digits a training takes is no news here
        draw = digits.draw_data(digits.settings)
    training = Training(digits.untrained(), Denoising(draw), steps=10**9)
    began, first = None, 0
    for step in training:
        now = time.perf_counter()
        if began is None and step.step == 3:
            began, first = now, step.step
        if began is not None and now - began > seconds:
            return (step.step - first) * training.batch_size / (now - began)
    raise AssertionError("the budget above never ends first")
