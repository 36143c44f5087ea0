"""The command `diffusion-tutorial`: train, sample, evaluate, edit, and ask what this machine can do. From lesson 05 on.

A user's mistake is answered with one line and exit code 2, an interruption with 130; never with a traceback.
"""

import argparse
import io
import sys

from diffusion_tutorial import __version__
from diffusion_tutorial.cli import edit, evaluate, sample, train
from diffusion_tutorial.cli.common import UserError


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no mistake
    options = parser().parse_args(argv)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except (UserError, ImportError, OSError, ValueError, RuntimeError) as problem:
        message = " ".join(str(problem).split()) or type(problem).__name__
        print(f"diffusion-tutorial: {message}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The command line; `--help` of each part shows examples."""
    top = argparse.ArgumentParser(prog="diffusion-tutorial", description="Train and sample the tutorial's models.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for part in (train, sample, evaluate, edit):
        part.add(commands)
    doctor = commands.add_parser("doctor", help="what this machine has, what will be slow, what to do")
    doctor.set_defaults(run=_doctor)
    return top


def _doctor(options: argparse.Namespace) -> int:
    from diffusion_tutorial import doctor

    return doctor.report()
