"""Trains by the entry of a trial, to see whether it gets the same score again."""

import argparse
from pathlib import Path

import torch as th
from optuna.trial import FrozenTrial
from rl_zoo3.exp_manager import ExperimentManager

from sb3_mimic.tuning.objective import Examination
from sb3_mimic.tuning.storage import RECORD


def retrain(trial: FrozenTrial, conf_file: Path, log_folder: Path) -> float:
    """
    Trains by a written entry, as ``rl_zoo3.train`` does.

    :param trial: The trial that it was written from
    :param conf_file: The YAML file
    :param log_folder: Where the run goes
    :return: The score of what was trained: that of the trial
    """
    # As trials are
    th.set_num_threads(1)
    record = trial.user_attrs[RECORD]
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
