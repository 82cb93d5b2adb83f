"""Runs one worker's share of a study: trials that can be repeated. A failed trial does not end the study."""

import contextlib
import copy
import os
import platform
import sys
import time
import traceback
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import gymnasium as gym
import optuna
from optuna.exceptions import ExperimentalWarning, TrialPruned, UpdateFinishedTrialError
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState
from rl_zoo3.callbacks import TrialEvalCallback
from rl_zoo3.utils import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_mimic.errors import StudyNotFoundError
from sb3_mimic.tuning import storage as studies
from sb3_mimic.tuning.environment import REWARD_WEIGHTS, probe
from sb3_mimic.tuning.objective import MEASURES, Examination, FinalScore
from sb3_mimic.tuning.results import report
from sb3_mimic.tuning.sampler import make_sampler, trial_seed
from sb3_mimic.tuning.search_space import Entry, suggest

# So many crashes in a row are no accident
MAX_FAILURES = 10
POLL = 5.0
# Nobody waits for another's trial for so many times as long as the longest took
PATIENCE = 5
# Of these, and of no failed ones, a study has as many as --max-total-trials says
COUNTED = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.PRUNED)


class Worker:
    """
    Runs trials of a study for rl-zoo3.

    :param manager: The zoo's ``ExperimentManager``, ready to optimise
    :param entry: Hyperparameters that are not tuned, as they stand in the YAML file
    """

    def __init__(self, manager: Any, entry: Entry):
        self.manager = manager
        self.entry = {**entry, "env_kwargs": manager.env_kwargs} if manager.env_kwargs else entry
        self.env_id = str(manager.env_name.gym_id)
        self.offer = probe(self.env_id, manager.env_kwargs)
        is_fixed = REWARD_WEIGHTS in (gym.spec(self.env_id).kwargs | manager.env_kwargs)
        self.tunes_reward = self.offer.pays_for_joints and not is_fixed
        self.n_trials = self.n_failures = 0
        self.storage = None if manager.storage is None else studies.open_storage(manager.storage)
        self.study: optuna.Study = optuna.create_study(
            sampler=make_sampler(manager),
            pruner=manager._create_pruner(manager.pruner),
            storage=self.storage,
            study_name=manager.study_name,
            load_if_exists=True,
            direction="maximize",
        )
        # The last trial, from its end here to when the study has taken it
        self._handed_in: int | None = None

    def optimize(self) -> None:
        """
        Runs this worker's trials, and then those of workers that died meanwhile.

        :raises StudyNotFoundError: When the study is one of another id, algorithm or length: its scores mean other things
        :raises UnfinishedStudyError: When no trial came to its end
        """
        self._check_study()
        self.study.set_user_attr("command", self.study.user_attrs.get("command", " ".join(sys.orig_argv)))
        n_left = self.manager.n_trials
        with contextlib.suppress(KeyboardInterrupt):
            while n_left:
                self._run(n_left)
                n_left = self._wait_for_others()
        report(self.study, self.manager)

    def _run(self, n_trials: int) -> None:
        n_before = self.n_trials
        try:
            self._optimize(n_trials)
        except Exception:
            # What Optuna raises where a trial was ended by another differs: what became of the trial does not
            if self._handed_in is None or not self._trials()[self._handed_in].state.is_finished():
                raise
            self._handed_in = None
            print("This worker was silent for so long that its trial was given to another. It goes on.", flush=True)
            self._run(max(0, n_trials - (self.n_trials - n_before)))

    def _optimize(self, n_trials: int) -> None:
        total = self.manager.max_total_trials
        callbacks: list[Any] = [self._on_taken]
        if total is not None:
            if len(self.study.get_trials(deepcopy=False, states=COUNTED)) >= total:
                return
            callbacks.append(MaxTrialsCallback(total, states=COUNTED))
        self.study.optimize(
            self.objective,
            n_trials=n_trials if total is None else None,
            n_jobs=self.manager.n_jobs,
            callbacks=callbacks,
            # Callbacks and models hold each other
            gc_after_trial=True,
        )

    def _on_taken(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._handed_in = None

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _check_study(self) -> None:
        manager = self.manager
        ours = {"env": self.env_id, "algo": manager.algo, "n_timesteps": manager.n_timesteps}
        ours |= {"eval_episodes": manager.n_eval_episodes, "n_eval_envs": manager.n_eval_envs}
        theirs = self.study.user_attrs.get(studies.RECORD, ours)
        if theirs != ours:
            raise StudyNotFoundError(
                f"Study '{self.study.study_name}' is one of {theirs}, and cannot go on with {ours}."
                " Choose another --study-name."
            )
        self.study.set_user_attr(studies.RECORD, ours)

    def _wait_for_others(self) -> int:
        """
        Waits for other workers' trials, until those of dead workers are put back into the queue or none is running.

        :return: How many trials this worker put back
        """
        retry = getattr(self.storage, "heartbeat_stale_trial_callback", None)
        if retry is None:
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
            time.sleep(min(POLL, studies.heartbeat_interval()))
        return int(retry.n_queued - before)

    def _running(self) -> list[FrozenTrial]:
        """Returns the running trials of other workers, without those that take so long that their worker must be dead."""
        trials = self._trials()
        durations = [trial.duration.total_seconds() for trial in trials if trial.duration is not None]
        patience = PATIENCE * max(durations, default=0.0) + 2 * studies.GRACE * studies.heartbeat_interval()
        oldest = datetime.now() - timedelta(seconds=patience)
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        return [trial for trial in running if trial.datetime_start is not None and trial.datetime_start > oldest]

    def objective(self, trial: optuna.Trial) -> float:
        """
        Runs one trial. A crash is recorded as its failure, under ``user_attrs["error"]``, and does not end the study.

        :param trial: The trial
        :return: Its score, the higher the better; NaN where it crashed, which Optuna takes for a failure
        :raises TrialPruned: When the trial is not worth continuing
        :raises RuntimeError: When one trial after the other crashes
        """
        self.n_trials += 1
        self._handed_in = None
        score = float("nan")
        try:
            score = self._train(trial)
            self.n_failures = 0
        except TrialPruned:
            self.n_failures = 0
            self._handed_in = trial.number
            raise
        except UpdateFinishedTrialError:
            print(f"Trial {trial.number} was ended by another worker.", flush=True)
        except Exception as error:
            self._note_failure(trial, error)
        self._handed_in = trial.number
        return score

    def _note_failure(self, trial: optuna.Trial, error: Exception) -> None:
        self.n_failures += 1
        message = f"{type(error).__name__}: {error}"
        print("".join(traceback.format_exception(error)))
        print(f"Trial {trial.number} failed: {message}. The study goes on.", flush=True)
        with contextlib.suppress(UpdateFinishedTrialError):
            trial.set_user_attr("error", message)
        if self.n_failures >= MAX_FAILURES:
            raise RuntimeError(f"The last {MAX_FAILURES} trials of this worker all failed, the last with {message}") from error

    def _train(self, trial: optuna.Trial) -> float:
        manager = self.manager
        # A retried trial inherits its seed
        seed = trial.user_attrs.get(studies.RECORD, {}).get("seed", trial_seed(manager.seed, trial.number))
        entry = suggest(trial, self.entry, manager.n_timesteps, self.tunes_reward)

        # The zoo's own way from an entry to a training
        run = copy.copy(manager)
        run.seed = seed
        run.verbose = manager.verbose if manager.verbose > 1 else 0
        hyperparams, run.env_wrapper, callbacks, run.vec_env_wrapper = run._preprocess_hyperparams(copy.deepcopy(entry))

        record = {"env": self.env_id, "algo": manager.algo, "seed": seed, "entry": entry}
        record |= {"worker": f"{platform.node()}:{os.getpid()}"}
        record |= {"gym_packages": list(getattr(manager.args, "gym_packages", []))}
        record |= {"eval_episodes": manager.n_eval_episodes, "n_eval_envs": manager.n_eval_envs}
        record |= {"eval_env_kwargs": run.eval_env_kwargs, "measure": MEASURES[self.offer.is_scored_by_pose]}
        trial.set_user_attr(studies.RECORD, record)

        envs = run.create_envs(run.n_envs, no_log=True)
        examination = Examination(run)
        eval_envs = None
        try:
            model: BaseAlgorithm = ALGOS[run.algo](
                env=envs, tensorboard_log=None, seed=seed, verbose=run.verbose, device=run.device, **hyperparams
            )
            eval_envs = examination.make_envs(run.n_eval_envs)
            path = None if run.optimization_log_path is None else str(Path(run.optimization_log_path, f"trial_{trial.number}"))
            evaluation = TrialEvalCallback(
                eval_envs,
                trial,
                best_model_save_path=path,
                log_path=path,
                n_eval_episodes=run.n_eval_episodes,
                eval_freq=max(run.n_timesteps // run.n_evaluations // run.n_envs, 1),
                deterministic=run.deterministic_eval,
            )
            final_score = FinalScore(examination)
            model.learn(run.n_timesteps, callback=[final_score, *callbacks, evaluation])
        finally:
            envs.close()
            if eval_envs is not None:
                eval_envs.close()
        if evaluation.is_pruned:
            raise TrialPruned
        return final_score.score
