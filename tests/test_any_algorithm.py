"""Whatever the algorithm and the environment: who is killed at a checkpoint and goes on ends as if nothing had been."""

import copy
import warnings
from collections import deque
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation, NormalizeObservation, RecordEpisodeStatistics
from rl_zoo3.wrappers import DelayedRewardWrapper, FrameSkip, HistoryWrapper
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, RecurrentPPO
from sb3_contrib.common.wrappers import TimeFeatureWrapper
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3, HerReplayBuffer
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_mimic.checkpoints import RunStateCallback
from sb3_mimic.checkpoints.buffer_state import capture_dicts, restore_dicts
from sb3_mimic.checkpoints.env_state import capture_env, restore_env
from sb3_mimic.checkpoints.plain import Recorder, Restorer
from sb3_mimic.checkpoints.state_file import read_state, state_file

NET = {"net_arch": [16]}
ON_POLICY = {"n_steps": 20, "policy_kwargs": NET}
OFF_POLICY = {"learning_starts": 20, "batch_size": 16, "buffer_size": 90, "policy_kwargs": NET}
HER = {**OFF_POLICY, "learning_starts": 60, "buffer_size": 500, "replay_buffer_class": HerReplayBuffer}
NOISE = OrnsteinUhlenbeckActionNoise(np.zeros(1), np.full(1, 0.3))
MEMORY = {"optimize_memory_usage": True, "handle_timeout_termination": False}


def short(env_id: str, steps: int = 30) -> gym.Env:
    """Episodes end now and then while a test runs"""
    return gym.make(env_id, max_episode_steps=steps)


def plain(env_id: str, n_envs: int = 2, wrap=lambda env: env, vec_env_cls=DummyVecEnv):
    return make_vec_env(lambda: wrap(short(env_id)), n_envs=n_envs, seed=3, vec_env_cls=vec_env_cls)


CARTPOLE, PENDULUM = partial(plain, "CartPole-v1"), partial(plain, "Pendulum-v1")
SPARSE = partial(plain, "MimicReacher3DSparse-v0")
STATE = partial(plain, "MimicReacher3DState-v0")


def layers() -> VecFrameStack:
    venv = DummyVecEnv([partial(short, "Pendulum-v1")] * 2)
    venv.seed(3)
    return VecFrameStack(VecNormalize(VecMonitor(venv)), n_stack=2)


ALGORITHMS = {
    "PPO": (PPO, "MlpPolicy", CARTPOLE, {**ON_POLICY, "batch_size": 20}),
    "PPO with gSDE": (PPO, "MlpPolicy", PENDULUM, {**ON_POLICY, "batch_size": 20, "use_sde": True}),
    "A2C": (A2C, "MlpPolicy", CARTPOLE, ON_POLICY),
    "A2C, layers": (A2C, "MlpPolicy", layers, ON_POLICY),
    "TRPO": (TRPO, "MlpPolicy", PENDULUM, {**ON_POLICY, "batch_size": 20}),
    "RecurrentPPO": (RecurrentPPO, "MlpLstmPolicy", CARTPOLE, {**ON_POLICY, "batch_size": 20}),
    "SAC": (SAC, "MlpPolicy", PENDULUM, OFF_POLICY),
    "SAC with gSDE": (SAC, "MlpPolicy", PENDULUM, {**OFF_POLICY, "use_sde": True, "train_freq": 10}),
    "SAC, n steps": (SAC, "MlpPolicy", PENDULUM, {**OFF_POLICY, "replay_buffer_class": NStepReplayBuffer}),
    "SAC on MuJoCo": (SAC, "MlpPolicy", partial(plain, "Pusher-v5"), OFF_POLICY),
    "CrossQ": (CrossQ, "MlpPolicy", PENDULUM, OFF_POLICY),
    "TD3": (TD3, "MlpPolicy", PENDULUM, {**OFF_POLICY, "action_noise": NOISE}),
    "DDPG": (DDPG, "MlpPolicy", partial(PENDULUM, 1), {**OFF_POLICY, "action_noise": NOISE}),
    "DQN": (DQN, "MlpPolicy", CARTPOLE, {**OFF_POLICY, "target_update_interval": 30, "exploration_fraction": 0.9}),
    "DQN, in little memory": (DQN, "MlpPolicy", partial(CARTPOLE, 1), {**OFF_POLICY, "optimize_memory_usage": True}),
    "QRDQN": (QRDQN, "MlpPolicy", CARTPOLE, {**OFF_POLICY, "policy_kwargs": {**NET, "n_quantiles": 5}}),
    "TQC, HER": (TQC, "MultiInputPolicy", SPARSE, {**HER, "replay_buffer_kwargs": {"goal_selection_strategy": "future"}}),
    "SAC, HER, normalised": (SAC, "MultiInputPolicy", lambda: VecNormalize(SPARSE(), norm_obs_keys=["observation"]), HER),
    "TQC, HER with infos": (TQC, "MultiInputPolicy", STATE, {**HER, "replay_buffer_kwargs": {"copy_info_dict": True}}),
}


def make(kind: str):
    algorithm, policy, make_venv, kwargs = ALGORITHMS[kind]
    if kwargs.get("optimize_memory_usage"):
        kwargs = {**kwargs, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
    # SB3 adds to policy_kwargs
    return algorithm(policy, make_venv(), seed=3, device="cpu", **copy.deepcopy(kwargs))


def weights(model) -> list[np.ndarray]:
    values = [*model.policy.state_dict().values(), *(getattr(model, "log_ent_coef", None),)]
    return [value.detach().numpy().copy() for value in values if isinstance(value, th.Tensor)]


def train(model, n_steps: int = 240, **kwargs):
    model.learn(n_steps, callback=CallbackList([RunStateCallback(verbose=0, **kwargs), *kwargs.pop("others", ())]))
    model.get_env().close()
    return weights(model)


def assert_goes_on(make_model, folder: Path) -> None:
    """Three trainings: one left alone, and one that ends in its middle and goes on in another model"""
    expected = train(make_model(), save_path=str(folder), save_freq=120)
    checkpoint = folder / "rl_model_120_steps.zip"
    model = make_model()
    model.set_parameters(checkpoint)
    continued = train(model, resume_from=str(checkpoint))
    for ours, theirs in zip(continued, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_goes_on_bit_by_bit(kind, tmp_path):
    assert_goes_on(partial(make, kind), tmp_path)
