"""One worker's share of a study: seeded trials with a comparable score, none of which ends it."""

import argparse
import copy
import functools
import os
import platform
import time
import traceback
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, TrialPruned
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, sync_envs_normalization

from sb3_mimic import keys, studies
from sb3_mimic.envs.registration import POSE_IDS
from sb3_mimic.errors import StudyNotFoundError
from sb3_mimic.search import Entry, suggest
from sb3_mimic.translator.base import Translator

# Trials train with seeds below, and all are examined with the same poses, which belong to no other measure
EXAMINATION_SEED = 700_000
N_SEEDS = 400_000
# The same whatever reward a trial trains by. The distance tells those apart that never arrive
SCORED_REWARD = {"sparse": 1.0, "keypoint_distance": -1.0}
MEASURES = {
    True: "The score is minus the steps of an episode in which a key point is over 5 cm away, minus the sum of distances in m.",
    False: "The score is the mean return.",
}
# So many crashes in a row are no accident
MAX_FAILURES = 10
POLL = 5.0
# Nobody waits for another's trial for so many times as long as the longest took
PATIENCE = 5


def trial_seed(seed: int, number: int) -> int:
    """
    :param seed: Of the study: ``--seed``
    :param number: Of the trial
    :return: Seed of the trial, the same whichever worker runs it
    """
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0]) % N_SEEDS


class SeededSampler(BaseSampler):
    """
    Draws each trial's hyperparameters with a seed of its own: workers with the same seed would otherwise all draw the same.

    :param make: Makes the sampler for one trial, given its ``seed``
    :param seed: Of the study
    """

    def __init__(self, make: Callable[..., BaseSampler], seed: int):
        self._make, self._seed = make, seed
        self._sampler = self._seeded(0)

    def _seeded(self, number: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self._make(seed=trial_seed(self._seed, number))

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler = self._seeded(trial.number)
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, *args: Any) -> None:
        self._sampler.after_trial(study, trial, *args)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


class GoalFromPicture(gym.Wrapper[Any, Any, Any, Any]):
    """
    Puts what a translator reads in the picture of the target in place of the goal: so it counts how well it reads.

    :param env: Observes a goal and a picture of it
    :param examination: Knows the translator, once there is one
    """

    def __init__(self, env: gym.Env[Any, Any], examination: "Examination"):
        super().__init__(env)
        self._examination = examination
        self._read: Any = None

    def reset(self, **kwargs: Any) -> Any:
        observation, info = self.env.reset(**kwargs)
        translator = self._examination.translator
        self._read = None if translator is None else translator.predict(observation[keys.DESIRED_IMAGE])
        return self._seen(observation), info

    def step(self, action: Any) -> Any:
        observation, *rest = self.env.step(action)
        return self._seen(observation), *rest

    def _seen(self, observation: Any) -> Any:
        return observation if self._read is None else {**observation, keys.DESIRED_GOAL: self._read}


class Examination:
    """
    Scores a model: with the same poses and the same reward for every trial, whatever reward it was trained by.

    :param manager: The zoo's manager of the training
    """

    def __init__(self, manager: Any):
        self._manager = manager
        self.translator: Translator | None = None
        self.envs: VecEnv | None = None

    def make_envs(self, n_envs: int) -> VecEnv:
        """:return: Environments to examine in, wrapped as those of the training are"""
        manager = copy.copy(self._manager)
        vars(manager).pop("create_envs", None)
        manager.seed = EXAMINATION_SEED
        manager.vec_env_class = DummyVecEnv
        if manager.env_name.gym_id in POSE_IDS:
            manager.eval_env_kwargs = {**manager.eval_env_kwargs, "reward_weights": SCORED_REWARD}
            observed = gym.spec(manager.env_name.gym_id).kwargs.get("observation_keys", keys.STATE_KEYS + keys.IMAGE_KEYS)
            if {keys.DESIRED_GOAL, keys.DESIRED_IMAGE} <= set(observed):
                inner = manager.env_wrapper or (lambda env: env)
                manager.env_wrapper = lambda env: GoalFromPicture(inner(env), self)
        self.envs = manager.create_envs(n_envs, eval_env=True)
        return self.envs

    def attach(self, model: BaseAlgorithm) -> None:
        """:param model: The model to examine"""
        self.translator = getattr(model.policy, "translator", None)

    def ask_the_same_again(self) -> None:
        """Make the next evaluation start with the same poses as this one."""
        assert self.envs is not None
        self.envs.seed(EXAMINATION_SEED)

    def score(self, model: BaseAlgorithm) -> float:
        """:return: Mean return of the model over the examination's episodes"""
        assert self.envs is not None
        self.attach(model)
        if model.get_vec_normalize_env() is not None:
            training_envs = model.get_env()
            assert training_envs is not None
            sync_envs_normalization(training_envs, self.envs)
        self.ask_the_same_again()
        mean, _ = evaluate_policy(
            model, self.envs, self._manager.n_eval_episodes, deterministic=self._manager.deterministic_eval, warn=False
        )
        assert isinstance(mean, float)
        return float(mean)


class FinalScore(BaseCallback):
    """
    Examines the model that a trial ends with: the zoo's last evaluation comes before the last updates.

    :param examination: The examination
    :param seed: Of the trial
    """

    def __init__(self, examination: Examination, seed: int):
        super().__init__()
        self.examination, self.seed = examination, seed
        self.score = float("nan")

    def _init_callback(self) -> None:
        # The zoo gives the models of trials no seed, and other callbacks take theirs from the model
        self.model.seed = self.seed
        self.examination.attach(self.model)

    def _on_step(self) -> bool:
        self.examination.ask_the_same_again()
        return True

    def _on_training_end(self) -> None:
        if self.num_timesteps >= self.model._total_timesteps:
            self.score = self.examination.score(self.model)


class Worker:
    """
    What the zoo's manager lacks to run trials of ours.

    :param manager: The zoo's ``ExperimentManager``
    :param entry: Hyperparameters that are not tuned, as they stand in the YAML file
    :param storage: See :func:`sb3_mimic.studies.open_storage`; None to keep the study in memory
    """

    def __init__(self, manager: Any, entry: Entry, storage: str | None):
        self.manager, self.entry = manager, entry
        self.env_id = str(manager.env_name.gym_id)
        self.zoo = type(manager)
        self.n_failures = 0
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
        try:
            self.zoo.hyperparameters_optimization(self.manager)
        except ValueError:
            if self.study is not None:
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


def retrain(trial: FrozenTrial, conf_file: Path, log_folder: Path) -> float:
    """
    Train by a written entry, as ``rl_zoo3.train`` does.

    :param trial: The trial that it was written from
    :param conf_file: The YAML file
    :param log_folder: Where the run goes
    :return: The score of what was trained: that of the trial
    """
    from rl_zoo3.exp_manager import ExperimentManager

    from sb3_mimic.zoo import install

    install()
    record = trial.user_attrs[studies.RECORD]
    manager = ExperimentManager(
        argparse.Namespace(num_threads=-1),
        record["algo"],
        record["env"],
        str(log_folder),
        eval_freq=-1,
        n_eval_episodes=record["eval_episodes"],
        eval_env_kwargs=record["eval_env_kwargs"],
        seed=record["seed"],
        log_interval=-1,
        verbose=0,
        config=str(conf_file),
    )
    prepared = manager.setup_experiment()
    assert prepared is not None
    model, _ = prepared
    manager.learn(model)
    manager.save_trained_model(model)
    examination = Examination(manager)
    envs = examination.make_envs(record["n_eval_envs"])
    try:
        return examination.score(model)
    finally:
        envs.close()
