"""Lists the runs that rl-zoo3 has written into a folder, of any algorithm and environment, damaged ones too."""

import json
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sb3_mimic.checkpoints.files import checkpoints_in, find_state, steps_of
from sb3_mimic.checkpoints.state_file import read_tree
from sb3_mimic.errors import AgentNotFoundError, DamagedAgentError, RunStateError
from sb3_mimic.runs.arguments import read_arguments, read_hyperparameters

# Any run of the zoo's holds one of these in its folder, even a run that was killed when it had just begun. A study leaves
# a folder with nothing but a monitor's file
MARKS = ("*/args.yml", "*.zip", "evaluations.npz")
#: What a damaged file of zipped or plain data may raise when it is read
DAMAGE = (OSError, EOFError, KeyError, MemoryError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Run:
    """
    A run of rl-zoo3.

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
    Finds all runs in a folder, and names what is damaged on the standard error stream.

    :param folder: Where ``rl_zoo3.train`` writes: ``logs`` by default
    :return: The runs, by algorithm and name
    :raises AgentNotFoundError: When there is none
    """
    paths = [path for path in sorted(folder.glob("*/*")) if path.is_dir() and any(_first(path, mark) for mark in MARKS)]
    if not paths:
        raise AgentNotFoundError(f"There is no run in {folder}. Train one, or pass the folder of your runs with -f.")
    return [read_run(path) for path in paths]


def _first(folder: Path, pattern: str) -> Path | None:
    return next(folder.glob(pattern), None)


def read_run(path: Path) -> Run:
    """
    Reads what is known about a run, and names what is damaged on the standard error stream.

    :param path: Folder of a run
    :return: The run
    """
    found = last_whole(path)
    tree = {} if found is None else read_tree(found[1])
    total = tree.get("total_timesteps") or _steps_asked_for(path)
    steps = _steps_saved(path) if found is None else tree.get("counters", {}).get("num_timesteps", 0)
    return Run(path, path.parent.name, steps, total, _best_return(path), found[0] if found else None)


def environment_folder(run: Path) -> str:
    """
    Finds the folder in a run that is named after its environment.

    :param run: Folder of a run
    :return: Its name
    :raises AgentNotFoundError: When there is none
    """
    arguments = _first(run, "*/args.yml")
    if arguments is None:
        raise AgentNotFoundError(f"{run} is not the folder of a run: there is no args.yml in it. See: sb3-mimic runs")
    return arguments.parent.name


def last_whole(run: Path) -> tuple[Path, Path] | None:
    """
    Finds the last checkpoint of a run that is not damaged, and names damaged ones on the standard error stream.

    :param run: Folder of a run
    :return: The checkpoint and the state beside it, or None
    """
    return next((found for found in map(_with_state, reversed(checkpoints_in(run))) if found is not None), None)


def _with_state(checkpoint: Path) -> tuple[Path, Path] | None:
    try:
        state = find_state(checkpoint)
    except RunStateError as error:
        _leave_out(str(error))
        return None
    return None if state is None else (checkpoint, state)


def _leave_out(what: str) -> None:
    print(f"Left out: {what}", file=sys.stderr)


def _steps_asked_for(run: Path) -> int | None:
    try:
        name = environment_folder(run)
        asked: Any = read_arguments(run, name)["n_timesteps"]
        if asked is None or asked <= 0:
            asked = read_hyperparameters(run, name).get("n_timesteps")
        return None if asked is None else int(asked)
    except (AgentNotFoundError, DamagedAgentError, TypeError, ValueError) as error:
        _leave_out(f"the arguments of {run}: {error}")
        return None


def _steps_saved(run: Path) -> int:
    """Returns the steps of a run without states, as SB3 writes them into its zips in plain JSON."""
    return max((_steps_in(path) for path in run.glob("*.zip")), default=0)


def _steps_in(path: Path) -> int:
    steps = steps_of(path)
    try:
        with zipfile.ZipFile(path) as file:
            return int(json.loads(file.read("data"))["num_timesteps"]) if steps is None else steps
    except (*DAMAGE, RecursionError) as error:
        _leave_out(f"{path} is not a whole checkpoint: {error!r}")
        return 0


def _best_return(run: Path) -> float | None:
    path = run / "evaluations.npz"
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return float(np.asarray(file["results"], float).mean(axis=1).max())
    except DAMAGE as error:
        _leave_out(f"{path} is damaged: {error!r}")
        return None
