"""A package of a user's own, for --gym-packages: a hinge in plain Python, with goal pictures."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_mimic import keys
from sb3_mimic.envs.picture_goals import PictureGoals
from sb3_mimic.pose import Part, PoseLayout

ENV_ID = "OwnArm-v0"


class OwnArm(gym.Env):
    """A hinge whose action is its speed; every step also shakes it a little"""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, render_mode: str | None = None):
        self.render_mode, self.angle = render_mode, 0.0

    def reset(self, *, seed=None, options=None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.angle = self.np_random.uniform(-1, 1)
        return np.array([self.angle], np.float32), {}

    def step(self, action) -> tuple[Any, float, bool, bool, dict]:
        self.angle += 0.1 * float(action[0]) + 0.001 * self.np_random.normal()
        return np.array([self.angle], np.float32), -abs(self.angle), abs(self.angle) > 3, False, {}

    def render(self) -> np.ndarray:
        picture = np.full((128, 128, 3), 255, np.uint8)
        row, column = round(64 - 48 * math.sin(self.angle)), round(64 + 48 * math.cos(self.angle))
        picture[row - 8 : row + 8, column - 8 : column + 8] = (200, 0, 0)
        return picture


def set_angle(env: OwnArm, angle: float) -> None:
    env.angle = angle


def own_arm(render_mode: str | None = None, **kwargs: Any) -> PictureGoals:
    functions = {"measure": lambda env: [env.angle], "get_state": lambda env: env.angle, "set_state": set_angle}
    layout = PoseLayout((Part("joints", (1,), "rad"),))
    return PictureGoals(OwnArm(render_mode), **functions, **{"layout": layout, "tolerance": 0.1, **kwargs})


gym.register(ENV_ID, entry_point=own_arm, max_episode_steps=20, disable_env_checker=True)


class Grey(gym.ObservationWrapper):
    """Its pictures have one channel"""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        box = spaces.Box(0, 255, (64, 64, 1), np.uint8)
        own = env.observation_space.spaces
        self.observation_space = spaces.Dict({key: box if key in keys.IMAGE_KEYS else own[key] for key in own})

    def observation(self, observation: dict) -> dict:
        grey = {key: observation[key].mean(axis=2, keepdims=True).astype(np.uint8) for key in keys.IMAGE_KEYS}
        return {**observation, **grey}


GREY_ID = "OwnGreyArm-v0"
gym.register(GREY_ID, lambda **kwargs: Grey(own_arm(**kwargs)), max_episode_steps=20, disable_env_checker=True)
