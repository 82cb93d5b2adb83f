"""Draws random numbers of trials, the same for the same study and trial, whichever worker runs it."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

# Trials train with seeds below: those above are for measures
N_SEEDS = 400_000


def trial_seed(seed: int, number: int) -> int:
    """
    Derives the seed of a trial, the same whichever worker runs it.

    :param seed: Seed of the study: ``--seed``
    :param number: Number of the trial
    :return: The seed
    """
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0]) % N_SEEDS


def make_sampler(manager: Any) -> BaseSampler:
    """
    Makes the sampler of a study.

    :param manager: The zoo's manager, which names the sampler
    :return: One that draws the same for the same trial, where that is possible
    """
    samplers: dict[str, Callable[..., BaseSampler]] = {
        "random": RandomSampler,
        "tpe": functools.partial(TPESampler, n_startup_trials=manager.n_startup_trials, multivariate=True),
    }
    if manager.n_jobs != 1:
        warnings.warn("Trials in threads share their random numbers: with --n-jobs they cannot be repeated. Start several"
                      " workers instead, with --n-jobs 1, on one --storage and --study-name.")  # fmt: skip
    if manager.n_jobs != 1 or manager.sampler not in samplers:
        return manager._create_sampler(manager.sampler)  # type: ignore[no-any-return]
    return SeededSampler(samplers[manager.sampler], manager.seed)


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
