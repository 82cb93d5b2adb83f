"""Replaces parts of rl-zoo3 by ours, where rl-zoo3 is in use."""

import importlib
import sys
import warnings

# What our subclass builds upon
METHODS = (
    "_preprocess_hyperparams",
    "create_callbacks",
    "create_envs",
    "hyperparameters_optimization",
    "learn",
    "load_trial",
    "read_hyperparameters",
    "setup_experiment",
)
#: Every name of rl-zoo3 that is replaced: the module it is made in, those that have it from there (a script that runs is
#: ``__main__``), and what takes its place
REPLACED = (
    ("rl_zoo3.exp_manager", "ExperimentManager", "sb3_mimic.zoo.manager", "MimicZooManager"),
    ("rl_zoo3.utils", "get_model_path", "sb3_mimic.zoo.replay", "REPLAY.get_model_path"),
    ("rl_zoo3.utils", "create_test_env", "sb3_mimic.zoo.replay", "REPLAY.create_test_env"),
    ("rl_zoo3.load_from_hub", "download_from_hub", "sb3_mimic.zoo.replay", "REPLAY.download_from_hub"),
)
HOLDERS = ("rl_zoo3", "rl_zoo3.enjoy", "rl_zoo3.record_video", "rl_zoo3.train", "__main__")


def install() -> None:
    """
    Gives a running rl-zoo3 our hyperparameters, exact resuming, our studies, and our trained agents. Does
    nothing where rl-zoo3 is not in use, or the second time. In a script of your own, import rl-zoo3 first, or call this.
    """
    zoo = sys.modules.get("rl_zoo3.exp_manager")
    if zoo is None:
        return
    missing = [name for name in METHODS if not hasattr(getattr(zoo, "ExperimentManager", None), name)]
    if missing:
        from sb3_mimic.runs.shipped import hyperparams_file

        warnings.warn(
            f"This version of rl-zoo3 is not known to sb3_mimic: its ExperimentManager has no {', '.join(missing)}. It does"
            f" not get our hyperparameters. Pass them yourself: --conf-file {hyperparams_file('ppo')}",
            UserWarning,
            stacklevel=2,
        )
        return
    for home, name, ours, path in REPLACED:
        replacement = importlib.import_module(ours)
        for attribute in path.split("."):
            replacement = getattr(replacement, attribute)
        original = getattr(importlib.import_module(home), name)
        for holder in (home, *HOLDERS):
            module = sys.modules.get(holder)
            # Whoever has something else of that name keeps it
            if module is not None and getattr(module, name, None) is original:
                setattr(module, name, replacement)
