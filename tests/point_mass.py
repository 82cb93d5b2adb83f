"""A goal environment that is small enough to train in within seconds, and rewards of all kinds for it."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_mimic import keys

NEAR = 0.15
N_STEPS = 10


class Sparse:
    """0 where the goal is near, -1 elsewhere: an object that can be pickled"""

    def __call__(self, achieved, desired, infos):
        return is_near(achieved, desired).astype(np.float32) - 1


class Dense:
    """Minus the distance"""

    def __call__(self, achieved, desired, infos):
        return -np.linalg.norm(achieved - desired, axis=-1)


class Costly(Sparse):
    """Reads the infos of steps"""

    def __call__(self, achieved, desired, infos):
        costs = infos["cost"] if isinstance(infos, dict) else np.array([info["cost"] for info in infos])
        return super().__call__(achieved, desired, infos) - costs


def is_near(achieved, desired):
    return np.linalg.norm(achieved - desired, axis=-1) < NEAR


class PointMass(gym.Env):
    """
    A point that moves by its actions, and is asked to be somewhere.

    :param reward: A function of achieved goals, desired goals and infos
    :param has_pictures: Whether to show what is achieved and desired as pictures, too: of one colour, which tells where
    :param render_mode: As SB3 asks for it
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, reward: Any = None, has_pictures: bool = False, render_mode: str | None = None):
        self.compute_reward = reward or Sparse()
        self.has_pictures = has_pictures
        self.render_mode = render_mode
        vector, picture = spaces.Box(-2, 2, (3,), np.float32), spaces.Box(0, 255, (4, 4, 3), np.uint8)
        pictures = dict.fromkeys(keys.IMAGE_KEYS, picture) if has_pictures else {}
        self.observation_space = spaces.Dict(dict.fromkeys(keys.STATE_KEYS, vector) | pictures)
        self.action_space = spaces.Box(-0.5, 0.5, (3,), np.float32)
        self.position = self.goal = np.zeros(3, np.float32)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.goal = self.np_random.uniform(-0.5, 0.5, (2, 3)).astype(np.float32)
        return self._observe(), {}

    def step(self, action):
        self.position = np.clip(self.position + 0.4 * np.asarray(action, np.float32), -1, 1)
        info = {"is_success": bool(is_near(self.position, self.goal)), "cost": float(np.abs(action).sum())}
        return self._observe(), float(self.compute_reward(self.position, self.goal, info)), False, False, info

    def demonstrate(self):
        return np.clip((self.goal - self.position) / 0.4, -0.5, 0.5)

    def _observe(self):
        shown = {keys.OBSERVATION: self.position, keys.ACHIEVED_GOAL: self.position, keys.DESIRED_GOAL: self.goal}
        if self.has_pictures:
            shown |= {keys.IMAGE: photograph(self.position), keys.DESIRED_IMAGE: photograph(self.goal)}
        return {key: value.copy() for key, value in shown.items()}


class WithMethods(PointMass):
    """Has methods in place of a reward that can be fetched, and says when a goal ends its episode"""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        del self.compute_reward

    def compute_reward(self, achieved, desired, infos):
        return Sparse()(achieved, desired, infos)

    def compute_terminated(self, achieved, desired, info):
        """Of one step alone, as some of gymnasium-robotics' do it"""
        return bool(np.linalg.norm(achieved - desired) < NEAR)


class WithSuccess(PointMass):
    """Is paid by the distance, and says itself what success is"""

    def __init__(self):
        super().__init__(Dense())

    def is_success(self, achieved, desired):
        return is_near(achieved, desired)


def photograph(position):
    """A picture of one colour"""
    return np.broadcast_to((position * 100 + 128).astype(np.uint8), (4, 4, 3))


def limited(**kwargs) -> gym.Env:
    return gym.wrappers.TimeLimit(PointMass(**kwargs), N_STEPS)
