"""Trains a policy that only sees pictures, with eyes that learn in different ways, and compares what it reaches."""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize
from torch import nn

import sb3_mimic  # noqa: F401  # registers the environments
from sb3_mimic import keys
from sb3_mimic.extractors.layers import convolutional_trunk, n_trunk_features
from sb3_mimic.policies import PixelPolicy
from sb3_mimic.translator.callback import TranslatorCallback

ENV_ID = "MimicReacherPlanePixels-v0"
CHANNELS = (16, 32, 64, 128)
N_STACK = 2
# Neither seen in training nor in the final measures
FIRST_SEED = 500_000


class EndToEndExtractor(BaseFeaturesExtractor):
    """
    The usual way: one trunk for both pictures, trained by the reward.

    :param observation_space: Of stacked frames, channels first
    :param features_dim: Number of features for each picture and for their difference, together
    """

    keys = keys.IMAGE_KEYS

    def __init__(self, observation_space: spaces.Dict, features_dim: int = 96):
        super().__init__(observation_space, features_dim)
        shape = observation_space[keys.IMAGE].shape
        assert shape is not None
        trunk = convolutional_trunk(shape[0], CHANNELS)
        n_features = n_trunk_features(trunk, shape[1], shape[2], shape[0])
        self.trunk = nn.Sequential(trunk, nn.Linear(n_features, features_dim // 3), nn.Tanh())

    def forward(self, observations: TensorDict) -> th.Tensor:
        # One pass for both pictures: (2 * batch, C, H, W)
        own, target = self.trunk(th.cat([observations[key] for key in self.keys])).chunk(2)
        return th.cat([own, target, target - own], dim=1)


# How the eyes learn: arguments of the policy, and of the translator's training, or None without one
TRANSLATED = {"translator_kwargs": {"channels": CHANNELS}}
EYES: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "translator, half a cycle": (TRANSLATED, {"cycle": 0.5}),
    "translator, one cycle": (TRANSLATED, {"cycle": 1.0}),
    "end to end": ({"features_extractor_class": EndToEndExtractor, **TRANSLATED}, None),
}


def make_venv(n_envs: int, seed: int) -> VecEnv:
    """:return: Environments as in hyperparams/ppo.yml"""
    return VecFrameStack(VecNormalize(make_vec_env(ENV_ID, n_envs, seed=seed), norm_obs=False, gamma=0.9), N_STACK)


def measure_success(model: PPO, n_episodes: int) -> float:
    """:return: Part of the episodes whose last step is a success, with deterministic actions"""
    venv = make_venv(n_episodes, FIRST_SEED)
    observations = venv.reset()
    is_done = np.zeros(n_episodes, bool)
    while not is_done.all():
        actions, _ = model.predict(observations, deterministic=True)  # type: ignore[arg-type]
        observations, _, is_done, infos = venv.step(actions)
    venv.close()
    return float(np.mean([info["is_success"] for info in infos]))


def train(eyes: str, n_timesteps: int, seed: int, n_episodes: int) -> tuple[float, float]:
    """
    :param eyes: A name in EYES
    :param n_timesteps: Steps of the environment to train for
    :param seed: Of everything random
    :param n_episodes: Episodes to measure with
    :return: Success, and steps per second of the training
    """
    policy_kwargs, translator = EYES[eyes]
    venv = make_venv(16, seed)
    model = PPO(
        PixelPolicy, venv, learning_rate=LinearSchedule(1e-3, 0.0, 1.0), n_steps=128, batch_size=256, n_epochs=10,
        gamma=0.9, gae_lambda=0.9, seed=seed, device="cpu", policy_kwargs=policy_kwargs,
    )  # fmt: skip
    callback: BaseCallback | None = None if translator is None else TranslatorCallback(picture_freq=0, **translator)
    start = time.perf_counter()
    model.learn(n_timesteps, callback=callback)
    speed = model.num_timesteps / (time.perf_counter() - start)
    venv.close()
    return measure_success(model, n_episodes), speed


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eyes", description=__doc__)
    parser.add_argument("--timesteps", type=int, default=60_000, help="steps of each training (default: 60000)")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each kind (default: 2)")
    parser.add_argument("--episodes", type=int, default=50, help="episodes to measure with (default: 50)")
    args = parser.parse_args(arguments)
    th.set_num_threads(1)
    print(f"{ENV_ID}, {args.timesteps} steps, success in {args.episodes} episodes\n\n| eyes | success by seed | steps/s |")
    print("|---|---|---|")
    for eyes in EYES:
        results = [train(eyes, args.timesteps, seed, args.episodes) for seed in range(args.seeds)]
        successes = ", ".join(f"{success:.2f}" for success, _ in results)
        print(f"| {eyes} | {successes} | {np.median([speed for _, speed in results]):.0f} |", flush=True)


if __name__ == "__main__":
    main()
