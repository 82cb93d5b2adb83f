"""Drives robots that others mirror: an agent does, or somebody with sliders in a window."""

import time as clock
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic import keys
from sb3_mimic.agents.agent import Agent
from sb3_mimic.agents.films import filmed
from sb3_mimic.agents.imitation import require_imitation
from sb3_mimic.agents.mirroring import Spectator
from sb3_mimic.errors import InputError, UnsuitableEnvError

FloatArray = npt.NDArray[np.float64]

# For so long an agent is asked for the same pose, in s
EACH_POSE = 1.5


class AgentMotion:
    """
    A motion that an agent makes: it takes one random pose after another. It goes on as it is asked for, and never back.

    :param agent: The agent
    :param env: An environment of its own, with render_mode "rgb_array"
    :param seed: Of the poses
    :param seconds: For how long it is asked for each pose, in s
    :raises NoTranslatorError: When the agent has no translator
    :raises UnsuitableEnvError: When the environment's robot cannot be photographed, or the agent does not fit it
    """

    def __init__(self, agent: Agent, env: gym.Env[Any, Any], seed: int = 0, seconds: float = EACH_POSE):
        self._bare, self._goals = filmed(env), require_imitation(agent, env)
        self._agent, self._env, self._seconds = agent, env, seconds
        self._rng, self._dt = np.random.default_rng(seed), 1 / env.metadata["render_fps"]
        self._observation, _ = env.reset(seed=seed)
        self._asked: dict[str, Any] = {}
        self._memory: Any = None
        self._n_steps, self._n_poses = 0, 0

    def qpos(self, time: float | npt.NDArray[np.floating]) -> FloatArray:
        """
        Goes on, and tells where the joints are.

        :param time: In s, a number or rising ones, shape (n,)
        :return: Shape (n_joints,) or (n, n_joints), in rad or m
        :raises InputError: When it has gone on beyond that already
        """
        if np.ndim(time):
            return np.stack([self.qpos(float(each)) for each in np.asarray(time)])
        n_steps = round(float(time) / self._dt)
        if n_steps < self._n_steps:
            raise InputError(f"An agent that drives goes on, and not back from {self._n_steps * self._dt:g} s to {time:g} s.")
        while self._n_steps < n_steps:
            self._step()
        return np.array(self._bare.robot.qpos, np.float64)

    def _step(self) -> None:
        if self._n_steps * self._dt >= self._n_poses * self._seconds:
            qpos = self._rng.uniform(self._bare.robot.joint_low, self._bare.robot.joint_high)
            picture = self._bare.photographs(qpos) if keys.DESIRED_IMAGE in self._observation else None
            self._asked = {keys.DESIRED_GOAL: self._bare.pose_of(qpos), keys.DESIRED_IMAGE: picture}
            self._goals.ask_for(self._asked[keys.DESIRED_GOAL], picture)
            self._n_poses += 1
        action, self._memory = self._agent.act({**self._observation, **self._asked}, self._memory)
        self._observation, _, terminated, truncated, _ = self._env.step(action)
        if terminated or truncated:
            raise InputError("The episode ended while the agent drove. Make the environment without a time limit.")
        self._n_steps += 1


class SliderMotion:
    """
    A motion that somebody makes with sliders, one for each joint, in a window that shows two robots opposite each other. It
    goes on as time does.

    :param env: The environment of their kind
    :raises UnsuitableEnvError: When its robot cannot be photographed, or not beside another
    :raises WindowError: When there is no display, or another window in this process
    """

    def __init__(self, env: gym.Env[Any, Any]):
        bare, spectator = filmed(env), Spectator(env)
        if not hasattr(bare, "posing_window"):
            raise UnsuitableEnvError(f"{bare} opens no window with sliders. Choose another motion.")
        self._window = bare.posing_window(spectator.view, spectator.distance)
        self._start = clock.monotonic()

    def qpos(self, time: float) -> FloatArray:
        """
        Waits until it is that late, and tells where the sliders are.

        :param time: In s since the window was opened
        :return: Joint positions, shape (n_joints,), in rad or m
        :raises WindowError: When somebody has closed the window
        """
        clock.sleep(max(0.0, self._start + time - clock.monotonic()))
        qpos: FloatArray = self._window.qpos()
        return qpos

    def show(self, driven: npt.NDArray[np.floating], opposite: npt.NDArray[np.floating]) -> None:
        """
        Shows both robots.

        :param driven: Joint positions of the one that is driven, shape (n_joints,), in rad or m
        :param opposite: Of the one opposite
        """
        self._window.show(driven, opposite)

    def close(self) -> None:
        self._window.close()
