"""Settle Jupyter in this Python environment: trust the lessons, no news pop-up, no update check, quiet kernels.

    python tools/settle.py

What it sets lies in the environment itself (sys.prefix), nothing in the user's own settings. That the notebooks are
trusted is written where `jupyter trust` writes it.
"""

import json
import sys
from pathlib import Path

import nbformat
from nbformat.sign import NotebookNotary

ROOT = Path(__file__).resolve().parent.parent
LAB = Path("etc/jupyter/labconfig/page_config.json")
KERNEL = Path("etc/ipython/ipython_kernel_config.py")


def no_news(prefix: Path) -> None:
    """Turn off the part of JupyterLab that asks about news and looks for updates."""
    path = prefix / LAB
    config = json.loads(path.read_text()) if path.exists() else {}
    config.setdefault("disabledExtensions", {})["@jupyterlab/apputils-extension:announcements"] = True
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=2) + "\n")


def quiet_kernels(prefix: Path) -> None:
    """Keep a kernel's greetings out of the logs; its errors stay."""
    path = prefix / KERNEL
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('c = get_config()  # noqa: F821\nc.IPKernelApp.log_level = "ERROR"\n')


def trust(notebooks: Path) -> None:
    """Sign the lessons, so that their saved figures and sliders show before anything is run."""
    notary = NotebookNotary()
    for path in sorted(notebooks.glob("*.ipynb")):
        notary.sign(nbformat.read(path, as_version=4))


if __name__ == "__main__":
    no_news(Path(sys.prefix))
    quiet_kernels(Path(sys.prefix))
    trust(ROOT / "notebooks")
