"""Defines a bounded search space around an entry, every point of which is an entry for a YAML file."""

import copy
from typing import Any

from rl_zoo3.utils import get_class_by_name

from sb3_mimic.extractors.state import StateExtractor
from sb3_mimic.policies import RecurrentStatePolicy, StatePolicy
from sb3_mimic.tuning.environment import REWARD_WEIGHTS

#: Hyperparameters of one id, as rl-zoo3 reads them from a YAML file
Entry = dict[str, Any]

TRANSLATOR_CALLBACK = "sb3_mimic.translator.callback.TranslatorCallback"
# Frames of one rollout in memory: 8192 of 2 x 64 x 64 x 3 bytes are 192 MiB
MAX_ROLLOUT = 8192
NET_ARCHS: dict[str, list[int]] = {"tiny": [64], "small": [64, 64], "medium": [256, 256]}
# Only ratios count: the progress in joint space has weight one
PROGRESS = "joint_progress"


def suggest(trial: Any, entry: Entry, n_timesteps: int, tunes_reward: bool = True) -> Entry:
    """
    Draws hyperparameters for one trial. What the entry does not have is not drawn: no translator where none is trained, and
    nothing but PPO's own where the policy is SB3's.

    :param trial: An Optuna trial
    :param entry: Hyperparameters to start from; those that are not tuned stay
    :param n_timesteps: Steps of the trial
    :param tunes_reward: Whether to draw the weights of the reward's terms, which the environment then takes
    :return: A whole entry, plain data
    :raises TypeError: When the entry's ``policy_kwargs`` are text, which nothing can be added to
    """
    tuned = copy.deepcopy(entry) | _suggest_ppo(trial, entry, n_timesteps) | {"n_timesteps": n_timesteps}
    policy_kwargs = tuned.setdefault("policy_kwargs", {})
    if not isinstance(policy_kwargs, dict):
        raise TypeError(f"To be tuned, policy_kwargs must be a mapping in the YAML file, not text: {policy_kwargs!r}")
    net_arch = NET_ARCHS[trial.suggest_categorical("net_arch", list(NET_ARCHS))]
    policy_kwargs["net_arch"] = {"pi": list(net_arch), "vf": list(net_arch)}
    policy = get_class_by_name(entry["policy"]) if "." in entry["policy"] else None
    if policy is not None and issubclass(policy, StatePolicy | RecurrentStatePolicy):
        # Only our policies know it by name, and a YAML file holds no classes
        policy_kwargs["activation_fn"] = trial.suggest_categorical("activation_fn", ["tanh", "relu"])
        if issubclass(policy.default_features_extractor_class, StateExtractor):
            width = trial.suggest_categorical("extractor_width", [0, 64, 128, 256])
            _within(policy_kwargs, "features_extractor_kwargs")["net_arch"] = [width] if width else []
        elif "translator_class" not in policy_kwargs:
            # Its eyes are the translator
            width = trial.suggest_categorical("extractor_width", [8, 16, 24])
            _within(policy_kwargs, "translator_kwargs")["channels"] = [width, 2 * width, 4 * width, 8 * width]
    _suggest_translator(trial, tuned)
    if tunes_reward:
        _within(tuned, "env_kwargs")[REWARD_WEIGHTS] = _suggest_reward(trial)
    return tuned


def _within(outer: dict[str, Any], key: str) -> dict[str, Any]:
    """Returns the mapping inside another, made where there is none."""
    inner: dict[str, Any] = outer.setdefault(key, {})
    return inner


def _suggest_ppo(trial: Any, entry: Entry, n_timesteps: int) -> Entry:
    n_envs = entry.get("n_envs", 1)
    frames = min(MAX_ROLLOUT // entry.get("frame_stack", 1), n_timesteps)
    longest = min(10, max(4, (frames // n_envs).bit_length() - 1))
    n_steps = 2 ** trial.suggest_int("n_steps_pow", min(5, longest), longest)
    rate = trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True)
    # A schedule stays one
    is_linear = str(entry.get("learning_rate", "")).startswith("lin_")
    return {
        "n_steps": n_steps,
        "batch_size": min(2 ** trial.suggest_int("batch_size_pow", 6, 10), n_steps * n_envs),
        "gamma": 1 - trial.suggest_float("one_minus_gamma", 0.003, 0.2, log=True),
        "gae_lambda": 1 - trial.suggest_float("one_minus_gae_lambda", 0.003, 0.2, log=True),
        "learning_rate": f"lin_{rate}" if is_linear else rate,
        "ent_coef": trial.suggest_float("ent_coef", 1e-8, 0.01, log=True),
        "clip_range": trial.suggest_categorical("clip_range", [0.1, 0.2, 0.3, 0.4]),
        "n_epochs": trial.suggest_categorical("n_epochs", [5, 10, 20]),
        "max_grad_norm": trial.suggest_float("max_grad_norm", 0.3, 2),
    }


def _suggest_translator(trial: Any, tuned: Entry) -> None:
    """Draws the learning rate of every TranslatorCallback in an entry."""
    callbacks = tuned.get("callback") or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    for index, callback in enumerate(callbacks):
        name, arguments = next(iter(callback.items())) if isinstance(callback, dict) else (callback, {})
        if name == TRANSLATOR_CALLBACK:
            rate = trial.suggest_float("translator_learning_rate", 3e-4, 1e-2, log=True)
            callbacks[index] = {name: {**(arguments or {}), "learning_rate": rate}}
            tuned["callback"] = callbacks


def _suggest_reward(trial: Any) -> dict[str, float]:
    """
    Draws weights of the reward. Over an episode, the largest of each weighs about as much as the progress in joint space.
    """
    return {
        PROGRESS: 1.0,
        "keypoint_progress": trial.suggest_float("reward_keypoint_progress", 0.0, 4.0),
        "sparse": trial.suggest_float("reward_sparse", 0.0, 0.03),
        "electricity": -trial.suggest_float("reward_electricity", 1e-5, 1e-2, log=True),
        "stall_torque": -trial.suggest_float("reward_stall_torque", 1e-5, 1e-2, log=True),
    }
