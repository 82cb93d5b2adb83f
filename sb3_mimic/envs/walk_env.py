"""The environment of the walking humanoid: no goal to reach, every metre ahead pays."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sb3_mimic import keys
from sb3_mimic.envs import viewer as display
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.tasks.rewards import LIMIT, checked_weights
from sb3_mimic.envs.world.checks import checked_action
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.walker import FEET, JOINTS, Walker

Observation = dict[str, Any]
# What the terms of the reward are made of
Facts = Mapping[str, Any]
Term = Callable[[Facts], float]

# Joints are damped explicitly: longer steps would shake the light ones. Two of them make one decision.
TIMESTEP, STEPS_PER_DECISION = 1 / 100, 2
DT = TIMESTEP * STEPS_PER_DECISION
# Height of the trunk's centre of mass when standing, and below which the body has fallen, in m
STANDING_HEIGHT, FALLEN_HEIGHT = 1.34, 1.0
# Leaning further than this to any side is falling too, in rad
LARGEST_TILT = 1.0
# How far joints are off at the start, in rad, and how fast the body may move ahead, in m/s
START_NOISE, START_SPEED = 0.05, 0.4
# Time of two steps, one with each foot, in s: a clock that the walker may heed
STRIDE = 0.6755
# Velocities are shown in tenths of a rad/s. Whatever is beyond is clipped.
JOINT_VELOCITY_SCALE = 0.1
TRUNK_BOUND, JOINT_BOUND = 10.0, 5.0
BRISK_SPEED = 0.6
PICTURE_SIZE = 480
CAMERA_OFFSET, CAMERA_HEIGHT, FOV = (1.2, -3.2, 0.5), 0.9, 45.0


def progress(facts: Facts) -> float:
    """
    How fast the trunk moves ahead, in m/s, times how upright it is: falling forward is no progress.
    Beyond a brisk walk, faster is not better.
    """
    return min(float(facts["speed"]), BRISK_SPEED) * alive(facts)


def alive(facts: Facts) -> float:
    """How upright the body is: 1 when the trunk is as high as in standing, 0 when it has fallen"""
    share: float = (facts["height"] - FALLEN_HEIGHT) / (STANDING_HEIGHT - FALLEN_HEIGHT)
    return min(max(share, 0.0), 1.0)


def electricity(facts: Facts) -> float:
    """Mean power drawn by the motors: |fraction of the maximum torque x velocity|, in rad/s"""
    power: float = sum(abs(torque * velocity) for torque, velocity in zip(facts["action"], facts["qvel"], strict=True))
    return power / len(JOINTS)


def stall_torque(facts: Facts) -> float:
    """Mean squared fraction of the maximum torque: what a motor burns even when nothing moves"""
    squares: float = sum(torque * torque for torque in facts["action"])
    return squares / len(JOINTS)


def joints_at_limits(facts: Facts) -> float:
    """Number of joints that are at a limit"""
    return float(sum(abs(position) > LIMIT for position in facts["scaled_qpos"]))


WALK_TERMS: dict[str, Term] = {
    "progress": progress,
    "alive": alive,
    "electricity": electricity,
    "stall_torque": stall_torque,
    "joints_at_limits": joints_at_limits,
}
# To walk must pay several times what it pays to stand, or standing is all that is learnt
DEFAULT_REWARD = {"progress": 1.0, "alive": 0.2, "electricity": -0.02, "stall_torque": -0.02, "joints_at_limits": -0.01}


class WalkEnv(gym.Env[Observation, npt.NDArray[np.float32]]):
    """
    A humanoid that is to walk along the x axis, driven by torques. An episode ends when it falls.

    :param reward_weights: Weight of each reward term, by its name in ``WALK_TERMS``
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :raises ValueError: For an unknown term, a weight that is not finite, or an unknown render mode
    """

    metadata = {  # noqa: RUF012
        "render_modes": ["human", "rgb_array"],
        "render_fps": round(1 / DT),
    }

    def __init__(self, reward_weights: Mapping[str, float], render_mode: str | None = None):
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"Unknown render_mode '{render_mode}'. Known modes: {', '.join(self.metadata['render_modes'])}.")
        self.reward_weights = checked_weights(reward_weights, WALK_TERMS)
        self.render_mode = render_mode
        self.simulation = Simulation(TIMESTEP, n_substeps=1)
        self.walker = Walker(self.simulation)
        self._window: Walker | None = None
        if render_mode == "human":
            if display.has_display():
                self._window = Walker(Simulation(gui=True))
            else:
                display.warn_without_display()
        n_joints = len(JOINTS)
        high = [TRUNK_BOUND] * 11 + [JOINT_BOUND] * 2 * n_joints + [1.0] * len(FEET) + [1.0] * 2
        self._high = np.array(high, np.float32)
        self.observation_space = spaces.Dict({keys.OBSERVATION: spaces.Box(-self._high, self._high)})
        self.action_space = spaces.Box(-1.0, 1.0, (n_joints,), np.float32)
        self._terms = [(f"reward_{name}", WALK_TERMS[name], weight) for name, weight in self.reward_weights.items()]
        self._start, self._phase = 0.0, 0.0

    def __getstate__(self) -> dict[str, Any]:
        arguments = (self.reward_weights, self.render_mode)
        return {"arguments": arguments, "run": self.run_state(), "seed": self._np_random_seed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["arguments"])  # type: ignore[misc]
        self.restore_run_state(state["run"])
        self._np_random_seed = state["seed"]

    def run_state(self) -> dict[str, Any]:
        """:return: All that the future of a running episode depends on, as plain numbers"""
        return {
            "world": self.simulation.to_bytes(),
            "np_random": self.np_random.bit_generator.state,
            "start": self._start,
            "phase": self._phase,
        }

    def restore_run_state(self, state: dict[str, Any]) -> None:
        """:param state: What :meth:`run_state` gave, be it in another process: the episode goes on from there"""
        self.simulation.from_bytes(state["world"])
        self.walker.refresh()
        self.np_random.bit_generator.state = state["np_random"]
        self._start, self._phase = state["start"], state["phase"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """
        Stand up straight, every joint a little off, with a push ahead by chance. Who is moving must step or fall:
        without it, to stand still is all that is found out.

        :param seed: Seed of the random numbers
        :param options: Not used
        :return: Observation and info
        """
        super().reset(seed=seed)
        self.simulation.restore_initial()
        qpos = self.np_random.uniform(-START_NOISE, START_NOISE, len(JOINTS)).tolist()
        speed = self.np_random.uniform(0.0, START_SPEED)
        self.walker.place((0.0, 0.0, STANDING_HEIGHT), (0.0, 0.0, 0.0, 1.0), qpos, velocity=(speed, 0.0, 0.0))
        self._start, self._phase = self.walker.position[0], 0.0
        if self.render_mode == "human":
            self.render()
        return self._observe(self.walker.scaled_qpos()), {"distance": 0.0}

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """
        :param action: Fractions of the maximum torque, shape (n_joints,); clipped to [-1, 1]
        :return: Observation, reward, whether it has fallen, False (the time limit is not known here), and info
        :raises ValueError: When the action has another shape or is not finite; the episode can go on after it
        """
        fractions = checked_action(action, JOINTS)
        walker, before = self.walker, self.walker.position[0]
        walker.drive(fractions, STEPS_PER_DECISION)
        self._phase += 2 * math.pi * DT / STRIDE
        roll, pitch, _ = walker.tilt
        is_up = walker.position[2] > FALLEN_HEIGHT and max(abs(roll), abs(pitch)) < LARGEST_TILT
        scaled_qpos = walker.scaled_qpos()
        facts: Facts = {
            "speed": (walker.position[0] - before) / DT,
            "height": walker.position[2],
            "action": fractions,
            "qvel": walker.qvel,
            "scaled_qpos": scaled_qpos,
        }
        info: dict[str, Any] = {"distance": walker.position[0] - self._start}
        reward = 0.0
        for name, term, weight in self._terms:
            info[name] = weight * term(facts)
            reward += info[name]
        # Whatever is not finite in the body makes these so
        if not math.isfinite(sum(walker.qpos) + sum(walker.qvel) + sum(walker.position) + sum(walker.velocity)):
            raise FloatingPointError(f"The simulation broke down: joint angles {walker.qpos}. Reset the environment.")
        if self.render_mode == "human":
            self.render()
        return self._observe(scaled_qpos), reward, not is_up, False, info

    def render(self) -> npt.NDArray[np.uint8] | None:
        """:return: In mode ``"rgb_array"`` a picture from beside, shape (480, 480, 3); in mode ``"human"`` None"""
        x, y, _ = self.walker.position
        target = (x, y, CAMERA_HEIGHT)
        dx, dy, dz = CAMERA_OFFSET
        eye = (x + dx, y + dy, CAMERA_HEIGHT + dz)
        camera = Camera(eye, target, (0.0, 0.0, 1.0), FOV, PICTURE_SIZE, PICTURE_SIZE)
        if self.render_mode == "rgb_array":
            return camera.render(self.simulation)
        if self._window is not None:
            self._window.place(self.walker.position, self.walker.orientation, self.walker.qpos)
            camera.point_window(self._window.simulation)
            time.sleep(DT)
        return None

    def close(self) -> None:
        if self._window is not None:
            self._window.simulation.close()
            self._window = None
        self.simulation.close()

    def _observe(self, scaled_qpos: list[float]) -> Observation:
        walker = self.walker
        roll, pitch, yaw = walker.tilt
        observation = np.array(
            [
                walker.position[2] - STANDING_HEIGHT,
                math.cos(yaw),
                math.sin(yaw),
                roll,
                pitch,
                *walker.forward(walker.velocity),
                *walker.forward(walker.spin),
                *scaled_qpos,
                *(JOINT_VELOCITY_SCALE * velocity for velocity in walker.qvel),
                *walker.contacts,
                math.sin(self._phase),
                math.cos(self._phase),
            ],
            np.float32,
        )
        return {keys.OBSERVATION: np.minimum(np.maximum(observation, -self._high), self._high)}


def humanoid_walk(reward_weights: dict[str, float] | None = None, render_mode: str | None = None) -> WalkEnv:
    """
    The walking humanoid of ``pybullet_data``: 17 joints driven by torques, 42 kg.

    :param reward_weights: Weight of each reward term
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :return: The environment
    """
    return WalkEnv(DEFAULT_REWARD if reward_weights is None else reward_weights, render_mode)
