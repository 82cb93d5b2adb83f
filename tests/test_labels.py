"""Labels are the exact state of the observation that they belong to, whatever wrappers did to it."""

import gymnasium as gym
import numpy as np
import pytest
from learning import ENV_ID, SMALL
from rl_zoo3.wrappers import FrameSkip
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv, VecFrameStack, VecNormalize

from sb3_mimic import keys
from sb3_mimic.errors import LabelError
from sb3_mimic.policies import FusedPolicy, PixelPolicy, StatePolicy
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.translator.labels import Labels

GOALS = (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL)
IDS = (ENV_ID, "MimicReacherPlaneFused-v0", "MimicReacherPlanePixels-v0")


class ShortFrameSkip(FrameSkip):
    """rl-zoo3's, with a short time limit inside of it, so that episodes end in the middle of a step too"""

    def __init__(self, env: gym.Env):
        super().__init__(gym.wrappers.TimeLimit(env, 10), skip=4)


def stacked(venv):
    return VecFrameStack(venv, 2)


def normalized(venv):
    vectors = [key for key, space in venv.observation_space.spaces.items() if space.dtype != np.uint8]
    return VecNormalize(venv, norm_obs_keys=vectors)


LAYERS = {
    "plain": [],
    "goals normalized": [normalized],
    "normalized, then stacked": [normalized, stacked],
    "stacked, then normalized": [stacked, normalized],
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("env_id", IDS)
def test_labels_are_the_present_state(env_id, layers):
    venv = make_vec_env(env_id, 2, seed=0, wrapper_class=ShortFrameSkip)
    inner = venv.envs
    for layer in layers:
        venv = layer(venv)
    labels = Labels(venv, GOALS)
    labels.begin(venv.reset(), True)
    n_starts = 0
    for _ in range(12):
        n_starts += labels.episode_starts.sum()
        for name in GOALS:
            true = [env.get_wrapper_attr(name) for env in inner]
            np.testing.assert_array_equal(labels.present[name], true, err_msg=name)
        observation, _, dones, infos = venv.step(np.stack([venv.action_space.sample() for _ in inner]))
        labels.step(observation, infos, dones)
    assert n_starts >= 6
    venv.close()


@pytest.mark.slow
def test_labels_come_out_of_other_processes():
    venv = make_vec_env("sb3_mimic:MimicReacherPlanePixels-v0", 2, seed=0, vec_env_cls=SubprocVecEnv)
    labels = Labels(venv, GOALS)
    labels.begin(venv.reset(), True)
    for _ in range(3):
        np.testing.assert_array_equal(labels.present[keys.ACHIEVED_GOAL], venv.get_attr(keys.ACHIEVED_GOAL))
        observation, _, dones, infos = venv.step(np.ones((2, 2), np.float32))
        labels.step(observation, infos, dones)
    venv.close()


class Told(gym.Wrapper):
    """Tells an unobserved pose in the info alone"""

    def reset(self, **kwargs):
        observation, info = self.env.reset(**kwargs)
        return observation, info | {"achieved_goal": np.zeros(8, np.float32)}

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, info | {"achieved_goal": np.ones(8, np.float32)}


def test_the_info_of_an_observation_goes_before_what_the_environment_says_later():
    venv = make_vec_env("MimicReacherPlanePixels-v0", 1, seed=0, wrapper_class=Told)
    labels = Labels(venv, GOALS)
    labels.begin(venv.reset(), True)
    told = []
    for _ in range(venv.envs[0].spec.max_episode_steps + 1):
        observation, _, dones, infos = venv.step(np.ones((1, 2), np.float32))
        labels.step(observation, infos, dones)
        told.append((bool(dones[0]), labels.present[keys.ACHIEVED_GOAL][0, 0]))
    assert set(told) == {(False, 1.0), (True, 0.0)}, "after an episode's end, that of the reset"
    venv.close()


@pytest.mark.parametrize(("policy", "env_id"), [(StatePolicy, IDS[0]), (FusedPolicy, IDS[1]), (PixelPolicy, IDS[2])])
def test_training_frames_and_labels_belong_together(policy, env_id, make_model):
    """Photographs of the labels are the frames: with normalised goals, stacked frames and a frame skip at once"""
    kept = []

    class Keep(TranslatorCallback):
        def _measure(self, translator, windows, layout):
            kept.append(windows)
            return super()._measure(translator, windows, layout)

    vectors = [
        key for key in (keys.OBSERVATION, *GOALS) if policy is StatePolicy or (policy is FusedPolicy and key != GOALS[1])
    ]
    policy_kwargs = {"translator_kwargs": SMALL | {"state_dim": 8}}
    model = make_model(policy, env_id, 2, 2, ShortFrameSkip, vectors, n_steps=16, batch_size=32, policy_kwargs=policy_kwargs)
    model.learn(96, callback=Keep(min_change=1e-6))
    assert model.policy.translator.state_dim == 8
    env, n_compared = gym.make(ENV_ID), 0
    for windows in kept:
        for picture, state in zip(windows.images[:, 0], windows.states[:, 0], strict=True):
            photograph = env.reset(options={"desired_goal": state})[0][keys.DESIRED_IMAGE].transpose(2, 0, 1)
            if np.abs(state[:2]).max() > 1:
                # Joints that gave way at their limits cannot be asked for
                continue
            n_compared += 1
            # Labels are rounded to 32 bits
            assert np.abs(photograph.astype(int) - picture).mean() < 0.1
    assert n_compared > 50
    env.close()


def test_a_translator_that_reads_another_number_is_refused(make_model):
    kwargs = {"translator_kwargs": SMALL | {"state_dim": 5}}
    with pytest.raises(LabelError, match=r"reads 5 numbers.*no first parts with 5.*Allowed are 2, 8.*state_dim=2"):
        make_model(PixelPolicy, policy_kwargs=kwargs).learn(128, callback=TranslatorCallback())
    fitting = {"translator_kwargs": SMALL | {"state_dim": 8}}
    make_model(PixelPolicy, n_steps=16, batch_size=32, policy_kwargs=fitting).learn(32, callback=TranslatorCallback())


def test_a_vector_that_nobody_tells_is_named(make_model):
    model = make_model(policy_kwargs={"labels": {keys.IMAGE: "posture"}, "translator_kwargs": SMALL})
    with pytest.raises(LabelError, match=r"'posture'.*neither in the observation.*nor in the info.*labels="):
        model.learn(64, callback=TranslatorCallback())
