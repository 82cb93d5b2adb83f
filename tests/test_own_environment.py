"""Environments that know nothing of us: a picture and a vector under any names are enough."""

import os
import re
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from learning import SMALL
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from sb3_mimic.errors import ObservationSpaceError
from sb3_mimic.policies import FusedPolicy, PixelPolicy, StatePolicy
from sb3_mimic.translator.callback import TranslatorCallback

POLICIES = (StatePolicy, FusedPolicy, PixelPolicy)


class Dot(gym.Env):
    """A dot that is pushed about, seen by two cameras, one of them upside down"""

    def __init__(self, n_colors: int = 1, size: int = 48, is_told: bool = False):
        picture = spaces.Box(0, 255, (size, size, n_colors), np.uint8)
        vector = spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = spaces.Dict({"front": picture, "back": picture, "place": vector})
        if is_told:
            del self.observation_space.spaces["place"]
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.is_told = is_told

    def _observe(self):
        height, width, _ = self.observation_space["front"].shape
        row, column = ((self.place + 1) / 2 * (np.array([height, width]) - 8)).astype(int)
        front = np.full(self.observation_space["front"].shape, 255, np.uint8)
        front[row : row + 8, column : column + 8] = 0
        observation = {"front": front, "back": front[::-1].copy(), "place": self.place.copy()}
        info = {"place": observation.pop("place")} if self.is_told else {}
        return observation, info

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.n_steps = 0
        return self._observe()

    def step(self, action):
        self.place = np.clip(self.place + 0.1 * action, -1, 1).astype(np.float32)
        self.n_steps += 1
        observation, info = self._observe()
        return observation, -float(np.abs(self.place).sum()), False, self.n_steps >= 20, info


LABELS = {"front": "place", "back": "place"}


def train(policy, venv, labels, n_steps=512, frames_per_step=3, batch_size=32, **policy_kwargs):
    model = PPO(policy, venv, n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu",
                policy_kwargs={"labels": labels, **policy_kwargs})  # fmt: skip
    model.set_logger(configure(None, []))
    errors = []

    class Record(TranslatorCallback):
        def _record(self, lesson) -> None:
            super()._record(lesson)
            errors.append(self.logger.name_to_value["translator/state_error"])
            assert not [name for name in self.logger.name_to_value if "joint" in name or "pose" in name]

    return model.learn(n_steps, callback=Record(frames_per_step, batch_size=batch_size)), errors


@pytest.mark.parametrize("n_colors", [1, 3])
@pytest.mark.parametrize("policy", POLICIES)
def test_grey_or_colour_and_two_cameras(policy, n_colors):
    venv = make_vec_env(lambda: Dot(n_colors), 2, seed=0)
    model, errors = train(policy, venv, LABELS, translator_kwargs=SMALL)
    assert errors[-1] < errors[0], "it learns to read"
    translator = model.policy.translator
    assert (translator.n_channels, translator.state_dim) == (n_colors, 2)
    observation = model.env.reset()
    assert model.predict(observation, deterministic=True)[0].shape == (2, 2)
    if policy is PixelPolicy:
        # What is read in either picture, and nothing of the vector: cameras are no frames in time
        assert model.policy.features_extractor.windows == {"front": 1, "back": 1}
        assert model.policy.features_extractor.features_dim == 4
    venv.close()


@pytest.mark.parametrize("policy", POLICIES)
def test_stacked_grey_frames(policy):
    venv = VecFrameStack(VecNormalize(make_vec_env(Dot, 2, seed=0), norm_obs_keys=["place"]), 4)
    with pytest.raises(ObservationSpaceError, match="n_channels=1"):
        PPO(policy, venv, policy_kwargs={"labels": LABELS})
    model, _ = train(policy, venv, LABELS, 256, n_channels=1, translator_kwargs=SMALL)
    assert model.policy.translator.state_dim == 2
    venv.close()


def test_a_vector_in_the_info_alone():
    venv = make_vec_env(lambda: Dot(is_told=True), 2, seed=0)
    _, errors = train(PixelPolicy, venv, LABELS, translator_kwargs={**SMALL, "state_dim": 2})
    assert errors[-1] < errors[0]
    venv.close()


@pytest.mark.parametrize(
    ("is_lost", "said"), [(True, r"All \d+ pictures under 'front'.*of one colour.*SubprocVecEnv"), (False, None)]
)
def test_a_camera_that_draws_nothing_is_told(is_lost, said, recwarn):
    class Lost(Dot):
        def _observe(self):
            observation, info = super()._observe()
            observation["front"] *= not is_lost
            return observation, info

    venv = make_vec_env(Lost, 2, seed=0)
    train(StatePolicy, venv, {"front": "place"}, 256, translator_kwargs=SMALL)
    told = [str(each.message) for each in recwarn if "pictures under" in str(each.message)]
    # Once in two rollouts
    assert len(told) == is_lost
    assert not told or re.search(said, told[0])
    venv.close()


def test_pictures_of_two_sizes_are_refused():
    class Odd(Dot):
        def __init__(self):
            super().__init__()
            self.observation_space["back"] = spaces.Box(0, 255, (40, 40, 1), np.uint8)

    venv = make_vec_env(Odd, 1)
    with pytest.raises(ObservationSpaceError, match=r"'back'.*\(1, 40, 40\).*'front'.*\(1, 48, 48\)"):
        PPO(StatePolicy, venv, policy_kwargs={"labels": LABELS})
    venv.close()


# So that an arm is more than a few of 64 x 64 pixels
CLOSER = {
    "Pusher-v5": {
        "default_camera_config": {
            "trackbodyid": -1, "distance": 2.2, "lookat": np.array([0.4, -0.3, -0.2]), "elevation": -40.0, "azimuth": 120.0,
        }
    }
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "policy", "n_steps", "frames_per_step"),
    # Cosines and sines of two joints; the angles of the shoulder and of the elbow
    [
        *(("Reacher-v5", policy, 1536, 16) for policy in POLICIES if policy is not StatePolicy),
        ("Pusher-v5", StatePolicy, 4096, 16),
    ],
)
def test_mujoco_with_rendered_frames(env_id, policy, n_steps, frames_per_step, monkeypatch, free_opengl):
    """Gymnasium's own wrapper gives a picture and a vector; not a line of ours is in between"""
    monkeypatch.setenv("MUJOCO_GL", os.environ.get("MUJOCO_GL", "egl"))

    def make():
        env = gym.make(env_id, render_mode="rgb_array", width=64, height=64, **CLOSER.get(env_id, {}))
        # A graphics card would draw shadows in no time, a processor takes twenty times as long for them as for all else
        env.unwrapped.model.vis.quality.shadowsize = 0
        return gym.wrappers.AddRenderObservation(env, render_only=False, render_key="pixels", obs_key="state")

    venv = make_vec_env(make, 2, seed=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "All .* pictures under 'pixels'")
        model, errors = train(
            policy, venv, {"pixels": "state"}, n_steps, frames_per_step, 64, translator_kwargs={"state_dim": 4}
        )
    # Single rollouts vary with what happens to be seen in them
    before, *_, after = np.array_split(errors, 4)
    assert np.median(after) < 0.7 * np.median(before), errors
    assert model.predict(model.env.reset())[0].shape == (2, *model.action_space.shape)
    venv.close()
