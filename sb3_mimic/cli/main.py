"""Builds the parser of the command line, runs commands, and reports their errors."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from sb3_mimic.cli import collecting, evaluating, filming, foreseeing, imitating, runs, sharing, translators, tuning
from sb3_mimic.cli.common import import_packages
from sb3_mimic.errors import MimicError

EXIT_BAD_INPUT = 2


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of ``sb3-mimic``."""
    parser = argparse.ArgumentParser(prog="sb3-mimic", description="Robots that take the pose in a picture.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('sb3_mimic')}")
    commands = parser.add_subparsers(dest="command", required=True)
    for group in (imitating, filming, evaluating, collecting, foreseeing, translators, runs, sharing, tuning):
        group.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Runs a command.

    :param arguments: Those of the command line by default
    :return: Exit code: 0, or 2 where something that was given is wrong
    """
    args = build_parser().parse_args(arguments)
    try:
        import_packages(getattr(args, "gym_packages", []))
        args.run(args)
    except (MimicError, OSError) as error:
        print(f"sb3-mimic: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0
