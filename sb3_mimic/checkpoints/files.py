"""Checkpoints on disk: a zip of SB3's, and the state of its run beside it."""

import shutil
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_mimic.checkpoints.model_state import State
from sb3_mimic.checkpoints.state_file import SUFFIX, fingerprint, read_state, read_tree, state_file, write_state
from sb3_mimic.checkpoints.venv_state import set_normalization
from sb3_mimic.errors import RunStateError
from sb3_mimic.writing import written_whole


def write_checkpoint(model: BaseAlgorithm, state: State | None, path: Path) -> None:
    """
    Writes a model and the state of its run beside it. A kill at any moment leaves the old pair or the new one.

    :param model: What SB3 saves
    :param state: What belongs to it, or None to write the model alone
    :param path: A .zip
    :raises OSError: When there is no room; what was there before is still there
    :raises TypeError: When the state holds anything but plain data; what was there before is still there
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Found by its fingerprint, whatever its name, while the zip is already new and the old state not yet replaced
    new = path.with_suffix(f".new{SUFFIX}")
    with written_whole(path) as part:
        with part.open("wb") as file:
            model.save(file)
        if state is not None:
            with written_whole(new) as new_part:
                write_state(new_part, {"fingerprint": fingerprint(part), **state})
    if state is None:
        state_file(path).unlink(missing_ok=True)
    else:
        new.replace(state_file(path))


def find_state(checkpoint: Path) -> Path | None:
    """
    Finds the state of the run that belongs to a checkpoint.

    :param checkpoint: A .zip, a checkpoint or a copy of one under another name, such as the model at the end of a run
    :return: The file in its folder with the state that belongs to its weights
    :raises RunStateError: When the zip is damaged, or the state of the same name
    """
    wanted = fingerprint(checkpoint)
    own = state_file(checkpoint)
    if own.is_file() and read_tree(own).get("fingerprint") == wanted:
        return own
    return next((path for path in sorted(checkpoint.parent.glob(f"*{SUFFIX}")) if _belongs(path, wanted)), None)


def _belongs(path: Path, wanted: str) -> bool:
    try:
        tree = read_tree(path)
        return "algorithm" in tree and tree.get("fingerprint") == wanted
    except RunStateError:
        # A damaged state of some other checkpoint is no reason to stop
        return False


def restore_statistics(venv: VecEnv, model_path: Path) -> None:
    """
    Gives environments the running statistics that belong to a model.

    :param venv: Environments that a model is to be tried in
    :param model_path: Its zip; where its folder holds no state that belongs to it, nothing is changed
    """
    path = find_state(model_path)
    if path is not None:
        set_normalization(venv, read_state(path, "normalization")["normalization"])
        print(f"The running statistics are those of {model_path.name}")


def steps_of(checkpoint: Path) -> int | None:
    """Returns the number in a name like ``rl_model_1000_steps.zip``, or None where the name is another."""
    name = checkpoint.stem
    steps = name.removesuffix("_steps").rpartition("_")[2]
    return int(steps) if name.endswith("_steps") and steps.isascii() and steps.isdigit() else None


def checkpoints_in(run: Path) -> list[Path]:
    """Returns the checkpoints of a run that it can be continued from exactly, in the order of their steps."""
    found = [(steps_of(path) or 0, path) for path in run.glob("*_steps.zip") if steps_of(path) is not None]
    return [path for _, path in sorted(found) if state_file(path).is_file()]


def copy_best_model(source: Path, target: Path) -> None:
    """The best model so far, too, is part of the run that goes on."""
    best = source / "best_model.zip"
    for path in (best, state_file(best)):
        if path.is_file() and not (target / path.name).exists():
            with written_whole(target / path.name) as part:
                shutil.copyfile(path, part)


def how_to_continue(run: Path) -> str:
    """
    Says how a run can be continued.

    :param run: The folder of a run
    :return: What to do next, in words
    """
    checkpoints = checkpoints_in(run)
    if not checkpoints:
        return f"There is no checkpoint in {run} yet to continue from."
    return f"Its last checkpoint is {checkpoints[-1].name}. Continue with: sb3-mimic resume {run}"
