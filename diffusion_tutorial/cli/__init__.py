"""The command `diffusion-tutorial`: train, sample, evaluate, edit, export, and ask what this machine can do.

From "Learn to guess the noise" on.

A user's mistake is answered with one line and exit code 2, an interruption with 130 (143 where the machine was taken
away); never with a traceback.
"""

import argparse
import io
import sys
from collections.abc import Sequence

from diffusion_tutorial import __version__, doctor, run, team
from diffusion_tutorial.cli import edit, evaluate, export, sample, train
from diffusion_tutorial.cli.common import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no mistake
    options = parser().parse_args(argv)
    try:
        return options.run(options)
    except KeyboardInterrupt as why:
        if team.place()[0] == 0:
            print("\ninterrupted", file=sys.stderr)
        return 143 if isinstance(why, run.Ended) else 130
    except (UserError, ImportError, OSError, ValueError, RuntimeError) as problem:
        message = " ".join(str(problem).split()) or type(problem).__name__
        if team.place()[0] == 0 or isinstance(
            problem, (OSError, RuntimeError)
        ):  # other mistakes are the same in every process
            print(f"diffusion-tutorial: {message}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The command line; `--help` of each part shows examples."""
    top = argparse.ArgumentParser(prog="diffusion-tutorial", description="Train and sample the tutorial's models.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for part in (train, sample, evaluate, edit, export):
        part.add(commands)
    says = "what this machine has, what will be slow, what to do"
    examine = commands.add_parser("doctor", help=says, description=says)
    examine.add_argument("--json", action="store_true", help="in one line, to compare the machines of a room")
    examine.set_defaults(run=lambda options: doctor.report(options.json))
    return top
