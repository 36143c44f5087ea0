"""Build the source distribution and, from what it holds, the wheel. `make dist` does so when their test has passed.

    python tools/dist.py                   writes both to dist/
    python tools/dist.py --tag v1.2.3      first makes sure that this is the tag of what is built

Needs no network: both are built by the setuptools of this environment, in a copy, so that nothing is left in the tree.
"""

import argparse
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASK = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(out: Path) -> tuple[Path, Path]:
    """Write both into the folder `out`, which is made if need be; returns the paths of source distribution and wheel."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        clean = copy(Path(folder) / "clean")
        source = out / ask(clean, "build_sdist", out)
        return source, out / ask(unpack(source, Path(folder)), "build_wheel", out)


def copy(to: Path) -> Path:
    """The tree without what git ignores: a build takes in whatever an earlier one left behind."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    return Path(shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(".git", *ignored)))


def unpack(source: Path, to: Path) -> Path:
    """Unpack a source distribution in the folder `to`; returns the one folder that it holds."""
    with tarfile.open(source) as archive:
        archive.extractall(to, filter="data")
    return to / source.name.removesuffix(".tar.gz")


def ask(tree: Path, what: str, out: Path) -> str:
    """Have setuptools build in `tree`, "build_sdist" or "build_wheel"; returns the name of the file that it wrote."""
    command = [sys.executable, "-c", ASK, what, str(out.resolve())]
    result = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{what} did not finish:\n{result.stdout}{result.stderr}")
    return result.stdout.split()[-1]


def check(tag: str, version: str, changes: str) -> None:
    """A ValueError unless the tag is v and the version, and the changelog's newest section is that version's."""
    if tag != f"v{version}":
        raise ValueError(f"expected the tag v{version}, that of diffusion_tutorial.__version__, got {tag}")
    newest = re.search(r"^## (.+)$", changes, re.M)
    if newest is None or newest[1] != version:
        raise ValueError(
            f"expected CHANGELOG.md to begin with ## {version}, got {newest[0] if newest else 'no section'}"
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tag", help="refuse to build unless this is v and the version, and the changelog has it on top"
    )
    options = parser.parse_args()
    if options.tag:
        version = runpy.run_path(str(ROOT / "diffusion_tutorial" / "__init__.py"))["__version__"]
        try:
            check(options.tag, version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
        except ValueError as problem:
            sys.exit(str(problem))
    for path in build(ROOT / "dist"):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
