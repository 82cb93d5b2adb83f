"""Runs of rl-zoo3 that are continued from their last checkpoint, with their own arguments and hyperparameters."""

import ast
import math
import sys
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import CallbackList, CheckpointCallback, EvalCallback

from sb3_mimic.checkpoints.callback import BestStatisticsCallback, RunStateCallback
from sb3_mimic.checkpoints.files import checkpoints_in, how_to_continue
from sb3_mimic.checkpoints.state_file import fingerprint
from sb3_mimic.errors import AgentNotFoundError, DamagedAgentError, InterruptedRunError, RunStateError
from sb3_mimic.runs.arguments import read_arguments, read_hyperparameters
from sb3_mimic.runs.folders import environment_folder, last_whole

# Arguments of `rl_zoo3.train` that belong to one start of it alone
NOT_KEPT = {"trained_agent", "log_folder", "truncate_last_trajectory", "command", "saved_hyperparams"}
# Whose outcome lies in the run's config.yml
IN_CONFIG = {"conf_file", "hyperparams", "storage", "study_name", "trial_id"}
PATHS = {"tensorboard_log", "optimization_log_path"}


def make_resumable(manager: Any) -> None:
    """
    Hand our checkpoints the folder, the ``--save-freq`` and the ``-i`` of a run of rl-zoo3, and say how to go on where it
    breaks off.

    :param manager: The zoo's ``ExperimentManager``, before it has made callbacks or model
    """
    create_callbacks, load, learn = manager.create_callbacks, manager._load_pretrained_agent, manager.learn

    def create_callbacks_of_ours() -> None:
        save_freq = manager.save_freq
        create_callbacks()
        _adopt_callbacks(manager, save_freq)

    def load_or_explain(*args: Any) -> Any:
        try:
            fingerprint(Path(manager.trained_agent))
        except RunStateError as error:
            raise DamagedAgentError(f"{error} {_whole_ones_beside(Path(manager.trained_agent))}") from error
        return load(*args)

    def learn_or_explain(model: Any) -> None:
        try:
            learn(model)
        except (EOFError, ConnectionError) as error:
            raise InterruptedRunError(
                f"A worker of the vectorised environment has died ({error!r}), perhaps for want of memory."
                f" {how_to_continue(Path(manager.save_path))}"
            ) from error
        except Exception:
            print(f"The run broke off. {how_to_continue(Path(manager.save_path))}", file=sys.stderr)
            raise

    manager.create_callbacks = create_callbacks_of_ours
    manager._load_pretrained_agent = load_or_explain
    manager.learn = learn_or_explain


def _adopt_callbacks(manager: Any, save_freq: int) -> None:
    ours = next((each for each in manager.callbacks if isinstance(each, RunStateCallback)), None)
    if ours is None:
        return
    ours.save_path = ours.save_path or manager.save_path
    if save_freq > 0:
        ours.save_freq = save_freq
    if manager.continue_training:
        ours.resume_from = manager.trained_agent
    # First, so that whatever else starts with the training finds it as it was
    others = [each for each in manager.callbacks if each is not ours and not isinstance(each, CheckpointCallback)]
    manager.callbacks = [ours, *others]
    for each in others:
        if isinstance(each, EvalCallback) and manager.normalize:
            on_new_best = CallbackList([BestStatisticsCallback(manager.save_path)])
            if each.callback_on_new_best is not None:
                on_new_best.callbacks.insert(0, each.callback_on_new_best)
            on_new_best.parent = each
            each.callback_on_new_best = on_new_best


def _whole_ones_beside(damaged: Path) -> str:
    whole = [str(path) for path in checkpoints_in(damaged.parent) if path != damaged]
    return f"There are: {', '.join(whole)}." if whole else f"There is no other in {damaged.parent}."


def resume_arguments(path: Path) -> list[str]:
    """
    :param path: Folder of a run
    :return: Arguments for ``rl_zoo3.train`` that continue it from its last checkpoint: its own, with the hyperparameters
        that it has saved, and ``-i``
    :raises AgentNotFoundError: When there is no such run, or it has no checkpoint
    :raises DamagedAgentError: When what it was called with cannot be read, or not be given again
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
    """:return: What ``rl_zoo3.train`` evaluates to the value"""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    try:
        ast.literal_eval(repr(value))
    except (SyntaxError, ValueError) as error:
        raise DamagedAgentError(f"{name} of {run} holds {value!r}, which no command line can say.") from error
    return repr(value)


def _started_in(run: Path, saved: dict[str, Any]) -> Path:
    """:return: The folder that a run was started in: where its log folder, as it was given, leads to where it lies"""
    logs, given = run.parent.parent, Path(saved.get("log_folder") or "logs")
    n_parts = len(given.parts)
    if given.is_absolute() or ".." in given.parts or logs.parts[len(logs.parts) - n_parts :] != given.parts:
        return Path.cwd()
    return Path(*logs.parts[: len(logs.parts) - n_parts])
