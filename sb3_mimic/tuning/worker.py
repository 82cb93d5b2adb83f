"""One worker's share of a study: trials that can be repeated, none of which ends it."""

import contextlib
import copy
import functools
import os
import platform
import time
import traceback
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, TrialPruned, UpdateFinishedTrialError
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from sb3_mimic.envs.registration import POSE_IDS
from sb3_mimic.errors import StudyNotFoundError
from sb3_mimic.tuning import storage as studies
from sb3_mimic.tuning.objective import MEASURES, Examination, FinalScore
from sb3_mimic.tuning.sampler import SeededSampler, trial_seed
from sb3_mimic.tuning.search_space import Entry, suggest

# So many crashes in a row are no accident
MAX_FAILURES = 10
POLL = 5.0
# What Optuna says of a trial that has ended without its worker, such as while the machine slept
TAKEN_AWAY = "Cannot tell a FAIL trial"
# Nobody waits for another's trial for so many times as long as the longest took
PATIENCE = 5


class Worker:
    """
    What the zoo's manager lacks to run trials of ours.

    :param manager: The zoo's ``ExperimentManager``
    :param entry: Hyperparameters that are not tuned, as they stand in the YAML file
    :param storage: See :func:`sb3_mimic.tuning.storage.open_storage`; None to keep the study in memory
    """

    def __init__(self, manager: Any, entry: Entry, storage: str | None):
        self.manager, self.entry = manager, entry
        self.env_id = str(manager.env_name.gym_id)
        self.zoo = type(manager)
        self.n_trials = self.n_failures = 0
        self.is_interrupted = False
        self.study: optuna.Study | None = None
        manager.objective = self.objective
        manager.hyperparameters_optimization = self.optimize
        if manager.n_jobs == 1:
            manager._create_sampler = self._create_sampler
        else:
            warnings.warn("Trials in threads share their random numbers: with --n-jobs they cannot be repeated. Start several"
                          " workers instead, with --n-jobs 1, on one --storage and --study-name.")  # fmt: skip
        if storage is not None:
            manager.storage = studies.open_storage(storage)

    def _create_sampler(self, name: str) -> BaseSampler:
        samplers: dict[str, Callable[..., BaseSampler]] = {
            "random": RandomSampler,
            "tpe": functools.partial(TPESampler, n_startup_trials=self.manager.n_startup_trials, multivariate=True),
        }
        if name not in samplers:
            return self.zoo._create_sampler(self.manager, name)  # type: ignore[no-any-return]
        return SeededSampler(samplers[name], self.manager.seed)

    def optimize(self) -> None:
        """
        The zoo's optimisation, and then the trials of workers that died meanwhile.

        :raises StudyNotFoundError: When the study is one of another id, algorithm or length: its scores mean other things
        :raises UnfinishedStudyError: When no trial came to its end
        """
        if self.manager.storage is not None and self.manager.study_name is not None:
            self._check_study()
        self._optimize()
        while not self.is_interrupted and (n_queued := self._wait_for_others()):
            self.manager.n_trials = n_queued
            self._optimize()

    def _optimize(self) -> None:
        n_before = self.n_trials
        try:
            self.zoo.hyperparameters_optimization(self.manager)
        except ValueError as error:
            if TAKEN_AWAY in str(error):
                print("This worker was silent for so long that its trial was given to another. It goes on.", flush=True)
                self.manager.n_trials = max(0, self.manager.n_trials - (self.n_trials - n_before))
                self._optimize()
                return
            if self.study is not None:
                # Says why, where no trial has finished
                studies.best_trial(self.study)
            raise

    def _check_study(self) -> None:
        manager = self.manager
        study = optuna.create_study(
            storage=manager.storage, study_name=manager.study_name, load_if_exists=True, direction="maximize"
        )
        ours = {"env": self.env_id, "algo": manager.algo, "n_timesteps": manager.n_timesteps}
        ours |= {"eval_episodes": manager.n_eval_episodes, "n_eval_envs": manager.n_eval_envs}
        theirs = study.user_attrs.get(studies.RECORD, ours)
        if theirs != ours:
            raise StudyNotFoundError(
                f"Study '{manager.study_name}' is one of {theirs}, and cannot go on with {ours}. Choose another --study-name."
            )
        study.set_user_attr(studies.RECORD, ours)

    def _wait_for_others(self) -> int:
        """:return: How many trials of dead workers this one put back into the queue, once there are some"""
        retry = getattr(self.manager.storage, "heartbeat_stale_trial_callback", None)
        if self.study is None or retry is None:
            return 0
        before = retry.n_queued
        is_told = False
        while others := self._running():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                optuna.storages.fail_stale_trials(self.study)
            if retry.n_queued > before:
                break
            if not is_told:
                numbers = ", ".join(str(trial.number) for trial in others)
                print(
                    f"Waiting for other workers' trials ({numbers}), should one of them die. Ctrl-C leaves them.", flush=True
                )
                is_told = True
            try:
                time.sleep(min(POLL, studies.heartbeat_interval()))
            except KeyboardInterrupt:
                break
        return int(retry.n_queued - before)

    def _running(self) -> list[FrozenTrial]:
        """:return: Trials of other workers, without those that take so long that they will never give a sign of life"""
        assert self.study is not None
        trials = self.study.get_trials(deepcopy=False)
        durations = [trial.duration.total_seconds() for trial in trials if trial.duration is not None]
        patience = PATIENCE * max(durations, default=0.0) + 2 * studies.GRACE * studies.heartbeat_interval()
        oldest = datetime.now() - timedelta(seconds=patience)
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        return [trial for trial in running if trial.datetime_start is not None and trial.datetime_start > oldest]

    def objective(self, trial: optuna.Trial) -> float:
        """
        One trial. A crash is recorded as its failure, under ``user_attrs["error"]``, and does not end the study.

        :param trial: The trial
        :return: Its score, the higher the better; NaN where it crashed, which Optuna takes for a failure
        :raises TrialPruned: When it is not worth going on with
        :raises RuntimeError: When one trial after the other crashes
        """
        self.study = trial.study
        self.n_trials += 1
        try:
            score = self._train(trial)
        except KeyboardInterrupt:
            self.is_interrupted = True
            raise
        except TrialPruned as pruned:
            # The zoo prunes what raises ValueError or AssertionError
            if pruned.__cause__ is None:
                self.n_failures = 0
                raise
            return self._failed(trial, pruned.__cause__)
        except Exception as error:
            return self._failed(trial, error)
        self.n_failures = 0
        return score

    def _failed(self, trial: optuna.Trial, error: BaseException) -> float:
        self.n_failures += 1
        message = f"{type(error).__name__}: {error}"
        print("".join(traceback.format_exception(error)))
        print(f"Trial {trial.number} failed: {message}. The study goes on.", flush=True)
        with contextlib.suppress(UpdateFinishedTrialError):
            trial.set_user_attr("error", message)
        if self.n_failures >= MAX_FAILURES:
            raise RuntimeError(f"The last {MAX_FAILURES} trials of this worker all failed, the last with {message}") from error
        return float("nan")

    def _train(self, trial: optuna.Trial) -> float:
        manager = self.manager
        # A retried trial inherits its seed
        seed = trial.user_attrs.get(studies.RECORD, {}).get("seed", trial_seed(manager.seed, trial.number))
        base = {**self.entry, "env_kwargs": manager.env_kwargs} if manager.env_kwargs else self.entry
        entry = suggest(trial, self.env_id, base, manager.n_timesteps, "reward_weights" not in manager.env_kwargs)
        record = {"env": self.env_id, "algo": manager.algo, "seed": seed, "entry": entry}
        record |= {"worker": f"{platform.node()}:{os.getpid()}"}
        record |= {"eval_episodes": manager.n_eval_episodes, "n_eval_envs": manager.n_eval_envs}
        record |= {"eval_env_kwargs": manager.eval_env_kwargs, "measure": MEASURES[self.env_id in POSE_IDS]}
        trial.set_user_attr(studies.RECORD, record)

        # The zoo's own way from an entry to a training
        run = copy.copy(manager)
        run.seed = seed
        run.verbose = manager.verbose if manager.verbose > 1 else 0
        hyperparams, run.env_wrapper, _, run.vec_env_wrapper = run._preprocess_hyperparams(copy.deepcopy(entry))
        run._hyperparams = hyperparams
        examination = Examination(run)
        final_score = FinalScore(examination, seed)
        callbacks = entry.get("callback") or []
        run.specified_callbacks = [final_score, *(callbacks if isinstance(callbacks, list) else [callbacks])]

        def create_envs(n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
            if eval_env:
                return examination.make_envs(n_envs)
            envs: VecEnv = self.zoo.create_envs(run, n_envs, no_log=no_log)
            # What the model, made next without a seed, begins with
            set_random_seed(seed)
            return envs

        run.create_envs = create_envs
        self.zoo.objective(run, trial)
        return final_score.score
