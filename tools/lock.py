"""Resolve the dependencies again: writes requirements.lock and binder/requirements.txt.

    make lock                 keeps every version that still fits
    make lock UPGRADE=1       takes the newest

torch and torchvision are held by [tool.uv] in pyproject.toml. `make lock` fetches uv and says where the CPU builds are.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
BINDER = ROOT / "binder" / "requirements.txt"
ACCELERATOR = re.compile(r"(nvidia|cuda)-|triton\b")
LOCK_HEADER = """\
# Made by `make lock` from pyproject.toml; do not edit. For Python 3.11 to 3.13 on any system.
# What torch's CUDA build needs besides (nvidia-*, cuda-*, triton) is left out: that build's own metadata pins each of
# them exactly, and the CPU build must not fetch them.
"""
BINDER_HEADER = """\
# Made by `make lock`; do not edit. The lock's versions of what the lessons import, with torch's CPU build.
# JupyterLab itself comes with Binder's image.
"""


def resolve(*options: str, kept: str) -> list[str]:
    """Ask uv for one pinned version each of what pyproject.toml needs; `kept` are pins to prefer."""
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "pins.txt"
        pins.write_text(kept)
        uv = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--output-file", str(pins)]
        quiet = ["--quiet", "--no-header", "--no-annotate", "--python-version", "3.11"]
        subprocess.run(uv + quiet + list(options), cwd=ROOT, check=True)
        return [line for line in pins.read_text().splitlines() if not ACCELERATOR.match(line)]


def main() -> None:
    """Write both files."""
    cpu_builds = os.environ["TORCH_INDEX"]
    upgrade = "--upgrade" in sys.argv[1:]
    kept = LOCK.read_text() if LOCK.exists() and not upgrade else ""
    lock = "\n".join(resolve("--universal", "--extra", "dev", kept=kept)) + "\n"
    LOCK.write_text(LOCK_HEADER + lock)
    lines = resolve("--python-platform", "x86_64-unknown-linux-gnu", kept=lock)
    lines = [re.sub(r"^(torch|torchvision)==\S+", r"\g<0>+cpu", line) for line in lines]
    BINDER.write_text(BINDER_HEADER + f"--extra-index-url {cpu_builds}\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
