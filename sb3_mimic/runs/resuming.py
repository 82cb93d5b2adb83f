"""Continues runs of rl-zoo3 from their last checkpoint, with their own arguments and hyperparameters."""

import ast
import math
from pathlib import Path
from typing import Any

from sb3_mimic.errors import AgentNotFoundError, DamagedAgentError
from sb3_mimic.runs.arguments import read_arguments, read_hyperparameters
from sb3_mimic.runs.folders import environment_folder, last_whole

# Arguments of `rl_zoo3.train` that belong to one start of it alone
NOT_KEPT = {"trained_agent", "log_folder", "truncate_last_trajectory", "command", "saved_hyperparams"}
# Arguments whose outcome is in the run's config.yml
IN_CONFIG = {"conf_file", "hyperparams", "storage", "study_name", "trial_id"}
PATHS = {"tensorboard_log", "optimization_log_path"}


def resume_arguments(path: Path) -> list[str]:
    """
    Makes the arguments for ``rl_zoo3.train`` that continue a run from its last checkpoint.

    :param path: Folder of a run
    :return: The run's own arguments, with the hyperparameters that it has saved, and ``-i``
    :raises AgentNotFoundError: When there is no such run, or it has no checkpoint
    :raises DamagedAgentError: When its arguments cannot be read, or cannot be given on a command line
    """
    path = path.resolve()
    name = environment_folder(path)
    found = last_whole(path)
    if found is None:
        raise AgentNotFoundError(
            f"{path} has no whole checkpoint with a state beside it, so that there is nothing to continue."
            " Train with sb3_mimic.checkpoints.RunStateCallback in the YAML, and with a smaller --save-freq."
        )
    try:
        saved = read_arguments(path, name)
        read_hyperparameters(path, name, saved.get("gym_packages") or ())
        arguments = [part for option, value in saved.items() for part in _as_option(path, saved, option, value)]
    except DamagedAgentError as error:
        raise DamagedAgentError(
            f"{error} Or continue it by hand, with what it was called with: python -m rl_zoo3.train ... -i {found[0]}"
        ) from error
    config = path / name / "config.yml"
    return [*arguments, "--conf-file", str(config), "--trained-agent", str(found[0]), "--log-folder", str(path.parent.parent)]


def packages_of(path: Path) -> tuple[list[str], list[Path]]:
    """
    Finds the packages that a run was started with, and where they may lie.

    :param path: Folder of a run
    :return: Their names, and folders to look for them in: where the run was started, as far as that is known, and where
        the folder of its logs lies
    :raises AgentNotFoundError: When there is no such run
    :raises DamagedAgentError: When its arguments cannot be read
    """
    path = path.resolve()
    saved = read_arguments(path, environment_folder(path))
    names = [name for name in saved.get("gym_packages") or [] if isinstance(name, str)]
    return names, [_started_in(path, saved), path.parent.parent.parent]


def _as_option(run: Path, saved: dict[str, Any], name: str, value: Any) -> list[str]:
    if name in NOT_KEPT | IN_CONFIG or value is None or value is False or value in ("", [], {}):
        return []
    option = f"--{name.replace('_', '-')}"
    if value is True:
        return [option]
    if isinstance(value, dict):
        return [option, *(f"{key}:{_as_python(run, name, item)}" for key, item in value.items())]
    if isinstance(value, list):
        return [option, *map(str, value)]
    if not isinstance(value, str | int | float):
        raise DamagedAgentError(f"{name} of {run} is {value!r}, which no command line can say.")
    if name in PATHS:
        value = str(_started_in(run, saved) / str(value))
    # A number below zero looks like an option where it stands alone
    return [f"{option}={value}"]


def _as_python(run: Path, name: str, value: Any) -> str:
    """Returns the Python expression that ``rl_zoo3.train`` evaluates to the value."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    try:
        ast.literal_eval(repr(value))
    except (SyntaxError, ValueError) as error:
        raise DamagedAgentError(f"{name} of {run} holds {value!r}, which no command line can say.") from error
    return repr(value)


def _started_in(run: Path, saved: dict[str, Any]) -> Path:
    """Returns the folder that a run was started in: the one from which its log folder, as given, leads to where the run is."""
    logs, given = run.parent.parent, Path(saved.get("log_folder") or "logs")
    n_parts = len(given.parts)
    if given.is_absolute() or ".." in given.parts or logs.parts[len(logs.parts) - n_parts :] != given.parts:
        return Path.cwd()
    return Path(*logs.parts[: len(logs.parts) - n_parts])
