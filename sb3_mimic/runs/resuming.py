"""Runs of rl-zoo3 that can be listed, and continued from their last checkpoint with their own arguments."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sb3_mimic.checkpoints.callback import checkpoints_in, find_state
from sb3_mimic.checkpoints.state_file import read_tree
from sb3_mimic.errors import AgentNotFoundError, RunStateError
from sb3_mimic.runs.arguments import read_arguments

# Arguments of `rl_zoo3.train` that belong to one start of it alone
NOT_KEPT = {"trained_agent", "log_folder", "truncate_last_trajectory", "command", "saved_hyperparams"}


@dataclass(frozen=True)
class Run:
    """
    :param path: Its folder
    :param algo: Name of its algorithm
    :param steps: Steps that it has trained, as far as they were saved
    :param total_steps: Steps that it was to train, or None where that is not known
    :param best_return: The best mean return of its evaluations, or None where there was none
    :param last_checkpoint: From which it can be continued exactly, or None
    """

    path: Path
    algo: str
    steps: int
    total_steps: int | None
    best_return: float | None
    last_checkpoint: Path | None


def find_runs(folder: Path) -> list[Run]:
    """
    :param folder: Where ``rl_zoo3.train`` writes: ``logs`` by default
    :return: All runs in it, by algorithm and name
    :raises AgentNotFoundError: When there is none
    """
    paths = sorted(path.parent.parent for path in folder.glob("*/*/*/args.yml"))
    if not paths:
        raise AgentNotFoundError(f"There is no run in {folder}. Train one, or pass the folder of your runs with -f.")
    return [read_run(path) for path in paths]


def read_run(path: Path) -> Run:
    """
    :param path: Folder of a run
    :return: What is known about it
    """
    found = _last_whole(path)
    steps, total = 0, None
    if found is not None:
        tree = read_tree(found[1])
        steps, total = tree["counters"]["num_timesteps"], tree["total_timesteps"]
    evaluations, best = path / "evaluations.npz", None
    if evaluations.is_file():
        with np.load(evaluations, allow_pickle=False) as file:
            best = float(file["results"].mean(axis=1).max())
    return Run(path, path.parent.name, steps, total, best, found[0] if found else None)


def resume_arguments(path: Path) -> list[str]:
    """
    :param path: Folder of a run
    :return: Arguments for ``rl_zoo3.train`` that continue it from its last checkpoint: its own, and ``-i``
    :raises AgentNotFoundError: When there is no such run, or it has no checkpoint
    """
    files = list(path.glob("*/args.yml"))
    if not files:
        raise AgentNotFoundError(f"{path} is not the folder of a run: there is no args.yml in it. See: sb3-mimic runs")
    found = _last_whole(path)
    if found is None:
        raise AgentNotFoundError(
            f"{path} has no whole checkpoint with a state beside it, so that there is nothing to continue."
            " Train with sb3_mimic.checkpoints.RunStateCallback in the YAML, and with a smaller --save-freq."
        )
    arguments: list[str] = []
    for name, value in read_arguments(path, files[0].parent.name).items():
        # Numbers below zero, empty texts and None are the zoo's ways to say that nothing was given
        if name in NOT_KEPT or value in (None, False, "", [], {}, -1):
            continue
        option = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(option)
        elif isinstance(value, dict):
            arguments += [option, *(f"{key}:{item!r}" for key, item in value.items())]
        elif isinstance(value, list):
            arguments += [option, *map(str, value)]
        else:
            arguments += [option, str(value)]
    return [*arguments, "--trained-agent", str(found[0]), "--log-folder", str(path.parent.parent)]


def _last_whole(run: Path) -> tuple[Path, Path] | None:
    """:return: The last checkpoint that is not damaged, and its state"""
    return next((found for found in map(_with_state, reversed(checkpoints_in(run))) if found is not None), None)


def _with_state(checkpoint: Path) -> tuple[Path, Path] | None:
    try:
        state = find_state(checkpoint)
    except RunStateError as error:
        print(f"Left out: {error}", file=sys.stderr)
        return None
    return None if state is None else (checkpoint, state)
