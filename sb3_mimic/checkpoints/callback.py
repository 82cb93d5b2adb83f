"""Checkpoints that a run goes on from as if it had never stopped."""

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, ProgressBarCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_mimic.checkpoints.files import checkpoints_in, copy_best_model, find_state, how_to_continue, write_checkpoint
from sb3_mimic.checkpoints.model_state import State, capture, every_callback, restore, restore_random
from sb3_mimic.checkpoints.state_file import SUFFIX, fingerprint, read_state, state_file, write_state
from sb3_mimic.checkpoints.venv_state import normalization_of, set_normalization
from sb3_mimic.writing import written_whole

# What an environment can do about it
HOW_TO_KEEP = "An environment or wrapper may offer run_state() and restore_run_state(state), of numbers and arrays."


class RunStateCallback(BaseCallback):
    """
    Writes checkpoints with the state of the run beside them, and picks a run up from one. In a YAML of rl-zoo3
    it needs no arguments: it takes the zoo's folder and ``--save-freq``, replaces the zoo's own checkpoints, and with
    ``-i <checkpoint>.zip`` trains the rest of the budget.

    A run that is killed at a checkpoint and continued ends with the same weights, bit by bit, as one that was not,
    on one thread of a CPU, with any algorithm and any environment that is made of numbers, arrays and random states.
    What cannot be taken down is told by name when the training begins. It must come before the other callbacks.

    :param save_path: Where to write; nothing is written where it is None, as in trials of a study
    :param save_freq: Steps (of all environments together) between two checkpoints; they are taken between rollouts
    :param name_prefix: Of the files
    :param resume_from: A checkpoint whose weights the model already has
    :param verbose: 0 to say nothing of what goes as it should
    """

    def __init__(
        self,
        save_path: str | None = None,
        save_freq: int = 100_000,
        name_prefix: str = "rl_model",
        resume_from: str | None = None,
        verbose: int = 1,
    ):
        super().__init__(verbose)
        if save_freq < 1:
            raise ValueError(f"save_freq must be at least 1 step, got {save_freq}")
        self.save_path = save_path
        self.save_freq = save_freq
        self.name_prefix = name_prefix
        self.resume_from = resume_from
        self.last_saved = 0
        self._pending: State | None = None
        self._told: set[str] = set()
        self._is_collecting = False
        self._old_handler: Any = None

    def _on_training_start(self) -> None:
        self._old_handler = _stop_cleanly_when_terminated()
        if self.save_path is not None:
            self._tell_what_is_missing()
        if self.resume_from is None:
            return
        checkpoint = Path(self.resume_from)
        path = find_state(checkpoint)
        total = self.locals["total_timesteps"]
        state = {} if path is None else read_state(path)
        if path is None or "algorithm" not in state:
            # Beside the best model there are its statistics alone
            venv = self.model.get_env()
            assert venv is not None
            set_normalization(venv, state.get("normalization"))
            self._warn_of_missing_state(checkpoint, venv)
            return
        if self.save_path is not None:
            with _goes_on(f"The best model so far could not be copied to {self.save_path}"):
                copy_best_model(checkpoint.parent, Path(self.save_path))
        differences = restore(self.model, self.locals["callback"], state)
        self._pending = state
        self.last_saved = self.num_timesteps = self.model.num_timesteps
        if differences:
            warnings.warn(
                f"The run goes on from {path.name}, but not bit by bit: {'; '.join(differences)}.", UserWarning, stacklevel=2
            )
        if self.verbose:
            before = state["total_timesteps"]
            print(f"Continuing {checkpoint} at step {self.num_timesteps} of {total}.")
            if total != before:
                print(f"It was a run of {before} steps: what is annealed follows the new length from here on.")
            if total <= self.num_timesteps:
                print(f"Nothing is left to train. For more, give more steps than {self.num_timesteps}: -n <steps>")

    def _on_rollout_start(self) -> None:
        self._is_collecting = True
        if self._pending is not None:
            restore_random(self.model, self._pending)
            self._pending = None
        elif self.num_timesteps // self.save_freq > self.last_saved // self.save_freq:
            self._save()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._is_collecting = False

    def _on_training_end(self) -> None:
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None
        is_complete = not self._is_collecting and self.num_timesteps >= self.locals["total_timesteps"]
        if not is_complete:
            # Of a run that is stopped, the zoo ends the first callback alone; an open progress bar breaks at exit
            for each in every_callback(self.locals["callback"]):
                if isinstance(each, ProgressBarCallback):
                    each.on_training_end()
        if self.save_path is None:
            return
        if is_complete:
            if self.num_timesteps > self.last_saved:
                self._save()
        elif self.verbose:
            print(f"Stopped at step {self.num_timesteps}. {how_to_continue(Path(self.save_path))}")

    def run_state(self) -> State:
        """Returns nothing: what it knows follows from the checkpoint."""
        return {}

    def restore_run_state(self, state: State) -> None:
        """
        Goes on from an earlier state.

        :param state: What :meth:`run_state` gave
        """

    def _tell_what_is_missing(self) -> None:
        state = self._capture()
        if state is not None and state["missing"]:
            self._told = set(state["missing"])
            warnings.warn(
                f"A run that is continued will not be the same bit by bit. This cannot be kept: {'; '.join(state['missing'])}."
                f" {HOW_TO_KEEP}",
                UserWarning,
                stacklevel=2,
            )

    def _capture(self) -> State | None:
        """Returns the state of the run, or None where something raised an error, which is told."""
        try:
            return capture(self.model, self.locals["callback"])
        except Exception as error:
            # Whatever another's code raises: no training ends for the sake of its checkpoints
            warnings.warn(
                f"The state of the run at step {self.num_timesteps} could not be taken down ({error!r}). Without it, a run"
                " that is continued takes weights and optimisers alone.",
                UserWarning,
                stacklevel=2,
            )
            return None

    def _save(self) -> None:
        if self.save_path is None:
            return
        path = Path(self.save_path) / f"{self.name_prefix}_{self.num_timesteps}_steps.zip"
        self.last_saved = self.num_timesteps
        state = self._capture()
        if state is not None and (new := [each for each in state["missing"] if each not in self._told]):
            self._told |= set(new)
            warnings.warn(
                f"In the checkpoint at step {self.num_timesteps} is missing: {'; '.join(new)}.", UserWarning, stacklevel=2
            )
        with _goes_on(f"The checkpoint at step {self.num_timesteps} could not be written"):
            try:
                write_checkpoint(self.model, state, path)
            except OSError:
                raise
            except Exception as error:
                warnings.warn(f"The state of {path.name} could not be written ({error!r}).", UserWarning, stacklevel=2)
                write_checkpoint(self.model, None, path)

    def _warn_of_missing_state(self, checkpoint: Path, venv: VecEnv) -> None:
        normalization = normalization_of(venv)
        statistics = ""
        if normalization is not None:
            # Nothing but the first observations of all environments; goals that share statistics count twice
            is_fresh = all(each["count"] < 2 * venv.num_envs + 1 for each in normalization["obs_rms"].values())
            statistics = " statistics of observations too, so that it will act at random at first;" if is_fresh else ""
        others = checkpoints_in(checkpoint.parent)
        cure = f" It can be continued exactly from {others[-1]}." if others else ""
        warnings.warn(
            f"Beside {checkpoint} there is no state of its run (*{SUFFIX}). Only weights and optimisers are taken from it."
            f" Steps, schedules, random numbers, episodes, the translator's memory of frames and best results start anew;"
            f"{statistics} all {self.locals['total_timesteps']} steps will be trained.{cure}",
            UserWarning,
            stacklevel=2,
        )


class BestStatisticsCallback(BaseCallback):
    """
    Keeps the running statistics that belong to ``best_model.zip`` beside it. To be called by ``EvalCallback`` after it
    has saved that.

    :param save_path: The folder of ``best_model.zip``
    """

    def __init__(self, save_path: str):
        super().__init__()
        self.save_path = Path(save_path)

    def _on_step(self) -> bool:
        best = self.save_path / "best_model.zip"
        venv = self.model.get_env()
        assert venv is not None
        with _goes_on(f"The statistics beside {best} could not be written"), written_whole(state_file(best)) as part:
            state = {"fingerprint": fingerprint(best), "normalization": normalization_of(venv)}
            write_state(part, state)
        return True


@contextmanager
def _goes_on(what: str) -> Iterator[None]:
    """No training ends for the sake of its files: tell what could not be done, and why."""
    try:
        yield
    except Exception as error:
        warnings.warn(f"{what}: {error}. Training goes on.", UserWarning, stacklevel=4)


def _stop_cleanly_when_terminated() -> Any:
    """Returns the handler of SIGTERM that was there before, or None where nothing was changed."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return None

    def stop(number: int, frame: Any) -> None:
        # As Ctrl-C does it: the zoo saves what is there, and ends
        raise KeyboardInterrupt("terminated")

    return signal.signal(signal.SIGTERM, stop)
