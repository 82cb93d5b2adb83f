"""Lets agents learn in what a predictor foresees, as if it were the world."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sb3_mimic import keys
from sb3_mimic.errors import ForesightError, UnsuitableEnvError
from sb3_mimic.extractors.layers import evaluated
from sb3_mimic.foresight import PosePredictor
from sb3_mimic.pose import JOINTS

# How far beyond their limits joints may be dreamt, scaled
FARTHEST = 1.05


class DreamVecEnv(VecEnv):
    """
    Many robots that are only dreamt: a predictor tells how their joints move. Where episodes begin and what they ask for is
    drawn by the real environment, what they pay is computed by its reward; nothing that happens in them is simulated.

    :param env: The real environment: a robot that takes poses, with its state and its goal in the observation, without
        pictures. It is reset, and closed with this one
    :param predictor: Trained on steps of the same robot
    :param num_envs: How many are dreamt at once
    :param seed: Of the episodes
    :raises UnsuitableEnvError: When the environment is of another kind
    :raises ForesightError: When the predictor is of another robot
    """

    def __init__(self, env: gym.Env[Any, Any], predictor: PosePredictor, num_envs: int = 16, seed: int = 0):
        space = env.observation_space
        bare: Any = env.unwrapped
        goal: Any = getattr(bare, "goal", None)
        shown = set(space.spaces) if isinstance(space, spaces.Dict) else set()
        if shown != set(keys.STATE_KEYS) or not hasattr(goal, "observation_of") or env.spec is None:
            raise UnsuitableEnvError(
                f"Dreams need a robot that takes poses and shows {', '.join(keys.STATE_KEYS)}, such as MimicReacher3DState-v0,"
                f" and {env} shows {', '.join(sorted(shown)) or 'something else'}."
            )
        if bare.pose_layout != predictor.layout:
            raise ForesightError(f"The predictor foresees poses of {predictor.layout}, and {env} has others.")
        self._env, self._bare, self._goal, self._predictor = env, bare, goal, predictor
        self._joints = predictor.layout[JOINTS]
        self._fps = float(env.metadata["render_fps"])
        self._max_steps = env.spec.max_episode_steps or 0
        self._seed: int | None = seed
        super().__init__(num_envs, space, env.action_space)
        n_joints, dim = predictor.n_joints, predictor.layout.dim
        self._place, self._change = (np.zeros((num_envs, n_joints), np.float32) for _ in range(2))
        self._before = np.zeros((num_envs, predictor.action_dim), np.float32)
        self._achieved, self._desired = (np.zeros((num_envs, dim), np.float32) for _ in range(2))
        assert isinstance(space, spaces.Dict)
        self._states = np.zeros((num_envs, *(space[keys.OBSERVATION].shape or ())), np.float32)
        self._n_steps = np.zeros(num_envs, np.int64)
        self._returns = np.zeros(num_envs)
        self._actions = self._before

    def reset(self) -> VecEnvObs:
        for index in range(self.num_envs):
            self._begin(index)
        return self._observed()

    def step_async(self, actions: npt.NDArray[np.floating]) -> None:
        space = self.action_space
        assert isinstance(space, spaces.Box)
        self._actions = np.clip(np.asarray(actions, np.float32), space.low, space.high)

    def step_wait(self) -> VecEnvStepReturn:
        with evaluated(self._predictor):
            moving = (self._place, self._change, self._before, self._actions)
            change = self._predictor.dynamics(*map(th.from_numpy, moving)).numpy()
        place = np.clip(self._place + change, -FARTHEST, FARTHEST)
        self._place, self._change, self._before = place, place - self._place, self._actions.copy()
        qpos = self._joints.of(place.astype(np.float64))
        qvel = self._change.astype(np.float64) * np.array(self._joints.scale or 1.0) * self._fps
        previous, self._achieved = self._achieved, np.stack([self._goal.goal_of(each) for each in qpos])
        self._states = np.stack([self._goal.observation_of(*each) for each in zip(qpos, qvel, strict=True)])
        infos: list[dict[str, Any]] = [
            {"previous_achieved_goal": previous[i], "action": self._actions[i], "efforts": self._actions[i], "qvel": qvel[i]}
            for i in range(self.num_envs)
        ]
        rewards = np.asarray(self._bare.compute_reward(self._achieved, self._desired, infos), np.float32)
        success = np.asarray(self._goal.is_success(self._achieved, self._desired))
        self._n_steps += 1
        self._returns += rewards
        ended = self._n_steps >= self._max_steps if self._max_steps else np.zeros(self.num_envs, bool)
        observed = self._observed()
        for index, info in enumerate(infos):
            info["is_success"] = bool(success[index])
            info["TimeLimit.truncated"] = bool(ended[index])
        for index in np.flatnonzero(ended).tolist():
            infos[index]["terminal_observation"] = {key: value[index].copy() for key, value in observed.items()}
            infos[index]["episode"] = {"r": float(self._returns[index]), "l": int(self._n_steps[index]), "t": 0.0}
            self._begin(index)
        return self._observed() if ended.any() else observed, rewards, ended, infos

    def close(self) -> None:
        self._env.close()

    def _begin(self, index: int) -> None:
        """Begins an episode as the real environment would."""
        observation, _ = self._env.reset(seed=self._seed)
        self._seed = None
        self._achieved[index], self._desired[index] = observation[keys.ACHIEVED_GOAL], observation[keys.DESIRED_GOAL]
        self._states[index] = observation[keys.OBSERVATION]
        self._place[index] = self._joints.numbers(observation[keys.ACHIEVED_GOAL])
        self._change[index], self._before[index] = 0, 0
        self._n_steps[index], self._returns[index] = 0, 0

    def _observed(self) -> dict[str, npt.NDArray[Any]]:
        every = {keys.OBSERVATION: self._states, keys.ACHIEVED_GOAL: self._achieved, keys.DESIRED_GOAL: self._desired}
        return {key: every[key].copy() for key in self.observation_space.spaces}  # type: ignore[attr-defined]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        return [self._env.get_wrapper_attr(attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        raise NotImplementedError(f"Dreams share one environment: set its {attr_name} before it is given to them.")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        method = self._env.get_wrapper_attr(method_name)
        return [method(*method_args, **method_kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def render(self, mode: str | None = None) -> npt.NDArray[np.uint8] | None:
        """Draws the first of the robots, see :meth:`~sb3_mimic.envs.mimic_env.MimicEnv.photographs`."""
        picture: npt.NDArray[np.uint8] = self._bare.photographs(self._joints.of(self._place[0].astype(np.float64)))
        return picture

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        return list(self._bare.photographs(self._joints.of(self._place.astype(np.float64))))
