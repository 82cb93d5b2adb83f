"""Defines the commands ``runs``, ``resume`` and ``zoo``."""

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Adds the commands of this module to the parser's."""
    runs = commands.add_parser("runs", help="list trainings: steps, best return, last checkpoint")
    runs.add_argument("-f", "--folder", type=Path, default=Path("logs"), help="where they lie (default: logs)")
    runs.set_defaults(run=_runs)

    resume = commands.add_parser("resume", help="continue a training from its last checkpoint, with its own arguments")
    resume.add_argument("path", type=Path, metavar="RUN", help="its folder, such as logs/ppo/MimicReacher3D-v0_1")
    resume.add_argument("arguments", nargs=argparse.REMAINDER, help="more for rl_zoo3.train, such as -n 500000")
    resume.set_defaults(run=_resume)

    zoo = commands.add_parser("zoo", help="run a script of rl-zoo3 that knows no --gym-packages, such as record_video")
    zoo.add_argument("script", help="its name; a wrong one is answered with those that there are")
    zoo.add_argument("arguments", nargs=argparse.REMAINDER, help="are handed to it as they are")
    zoo.set_defaults(run=_zoo)


def _runs(args: argparse.Namespace) -> None:
    from sb3_mimic.runs.folders import find_runs

    print(f"{'run':44} {'steps':>11} {'of':>11} {'best return':>11}  last checkpoint")
    for run in find_runs(args.folder):
        total = "?" if run.total_steps is None else f"{run.total_steps:,}"
        best = "-" if run.best_return is None else f"{run.best_return:.2f}"
        last = "-" if run.last_checkpoint is None else run.last_checkpoint.name
        print(f"{f'{run.algo}/{run.path.name}':44} {run.steps:>11,} {total:>11} {best:>11}  {last}")


def _resume(args: argparse.Namespace) -> None:
    from sb3_mimic.runs.resuming import packages_of, resume_arguments
    from sb3_mimic.zoo.scripts import import_package, train

    packages, folders = packages_of(args.path)
    for package in packages:
        import_package(package, folders)
    train([*resume_arguments(args.path), *args.arguments])


def _zoo(args: argparse.Namespace) -> None:
    from sb3_mimic.zoo.scripts import run_zoo_script

    run_zoo_script(args.script, args.arguments)
