"""Put beside site/draw/main.js what it draws with: the weights of two shipped models, and what their cards say of them.

    python tools/draw_weights.py             writes into site/draw/
    python tools/draw_weights.py FOLDER      or into this folder, which holds a copy of site/draw/

The weights are the package's own files, byte for byte, so the page cannot drift from it; git ignores the copies.
"""

import argparse
import json
import shutil
from pathlib import Path

from diffusion_tutorial import files, pretrained

FOLDER = Path(__file__).resolve().parent.parent / "site" / "draw"
MODELS = ("digits", "digits-jump")  # in the order in which the page fetches them


def write(folder: Path = FOLDER) -> list[Path]:
    """Copy the weights into the folder and write models.js beside them; returns the files' paths."""
    if not folder.is_dir():
        raise files.BadFile(f"expected a folder with a copy of site/draw/, got {folder}")
    copied = [Path(shutil.copyfile(pretrained.path(name), folder / f"{name}.safetensors")) for name in MODELS]
    cards = [card(name) for name in MODELS]
    text = f"// Written by tools/draw_weights.py from the model cards.\nexport const cards = {json.dumps(cards, indent=2)};\n"
    models = folder / "models.js"
    files.write_whole(models, lambda aside: aside.write_text(text, encoding="utf-8"))
    return [*copied, models]


def card(name: str) -> dict:
    """What the page says of a model, from its card."""
    full = pretrained.card(name)
    return {"name": name, "sha256": full["sha256"], "parameters": full["parameters"], "licence": full["licence"]}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    try:
        for path in write(parser.parse_args().folder):
            print(path)
    except (files.BadFile, OSError) as problem:
        raise SystemExit(f"draw_weights.py: {problem}") from None


if __name__ == "__main__":
    main()
