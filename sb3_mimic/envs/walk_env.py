"""The environment of the walking humanoid: no goal to reach, every metre ahead pays."""

import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sb3_mimic import keys
from sb3_mimic.envs.base_env import PICTURE_SIZE, BaseEnv, Observation
from sb3_mimic.envs.models.kinematics import Kinematics
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.scene import Scene
from sb3_mimic.envs.sight.stage import Stage, layer_of
from sb3_mimic.envs.tasks.terms import Weights
from sb3_mimic.envs.tasks.walk import DEFAULT_REWARD, FALLEN_HEIGHT, STANDING_HEIGHT, WalkReward
from sb3_mimic.envs.viewer import WalkViewer
from sb3_mimic.envs.world.checks import checked_action
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.walker import FEET, JOINTS, Walker
from sb3_mimic.errors import BrokenSimulationError

# Joints are damped explicitly: longer steps would shake the light ones. Two of them make one decision.
TIMESTEP, STEPS_PER_DECISION = 1 / 100, 2
DT = TIMESTEP * STEPS_PER_DECISION
# Leaning further than this to any side is falling too, in rad
LARGEST_TILT = 1.0
# How far joints are off at the start, in rad, and how fast the body may move ahead, in m/s
START_NOISE, START_SPEED = 0.05, 0.4
# Time of two steps, one with each foot, in s: a clock that the walker may heed
STRIDE = 0.6755
# Velocities are shown in tenths of a rad/s. Whatever is beyond is clipped.
JOINT_VELOCITY_SCALE = 0.1
TRUNK_BOUND, JOINT_BOUND = 10.0, 5.0
CAMERA_OFFSET, CAMERA_HEIGHT, FOV = (1.2, -3.2, 0.5), 0.9, 45.0
# No part of the walker is farther from there, in m
EXTENT = 1.5


@cache
def _scene() -> Scene:
    """Returns what is to be seen of the walker."""
    model = Walker.model()
    return Scene(model, Kinematics(model, tuple(JOINTS)))


class WalkEnv(BaseEnv[WalkViewer]):
    """
    The walking humanoid of ``pybullet_data``, 17 joints driven by torques, 42 kg, that is to walk along the x axis.
    An episode ends when it falls.

    :param reward_weights: See :class:`~sb3_mimic.envs.tasks.walk.WalkReward`
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :raises EnvArgumentError: For an unknown term, a weight that is not finite, or an unknown render mode
    """

    metadata = {**BaseEnv.metadata, "render_fps": round(1 / DT)}  # noqa: RUF012

    def __init__(self, reward_weights: Weights | None = None, render_mode: str | None = None):
        self.reward = WalkReward(DEFAULT_REWARD if reward_weights is None else reward_weights)
        super().__init__(Simulation(TIMESTEP, n_substeps=1), render_mode)
        self.walker = Walker(self.simulation)
        n_joints = len(JOINTS)
        high = [TRUNK_BOUND] * 11 + [JOINT_BOUND] * 2 * n_joints + [1.0] * len(FEET) + [1.0] * 2
        self._high = np.array(high, np.float32)
        self.observation_space = spaces.Dict({keys.OBSERVATION: spaces.Box(-self._high, self._high)})
        self.action_space = spaces.Box(-1.0, 1.0, (n_joints,), np.float32)
        self._start, self._phase = 0.0, 0.0

    def run_state(self) -> dict[str, Any]:
        """Returns all that the future of a running episode depends on, as plain numbers."""
        return {
            "world": self.simulation.to_bytes(),
            "np_random": self.np_random.bit_generator.state,
            "start": self._start,
            "phase": self._phase,
        }

    def restore_run_state(self, state: dict[str, Any]) -> None:
        """
        Goes on with an episode from an earlier state.

        :param state: What :meth:`run_state` gave, be it in another process: the episode goes on from there
        """
        self.simulation.from_bytes(state["world"])
        self.walker.refresh()
        self.np_random.bit_generator.state = state["np_random"]
        self._start, self._phase = state["start"], state["phase"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """
        Stands up straight, every joint a little off, with a push ahead by chance. Who is moving must step or fall:
        without it, to stand still is all that is found out.

        :param seed: Seed of the random numbers
        :param options: Not used
        :return: Observation and info
        """
        self._restart(seed)
        qpos = self.np_random.uniform(-START_NOISE, START_NOISE, len(JOINTS)).tolist()
        speed = self.np_random.uniform(0.0, START_SPEED)
        self.walker.place((0.0, 0.0, STANDING_HEIGHT), (0.0, 0.0, 0.0, 1.0), qpos, velocity=(speed, 0.0, 0.0))
        self._start, self._phase = self.walker.position[0], 0.0
        if self.render_mode == "human":
            self.render()
        return self._observe(self.walker.scaled_qpos()), {"distance": 0.0}

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """
        Acts, and lets the world move on.

        :param action: Fractions of the maximum torque, shape (n_joints,); clipped to [-1, 1]
        :return: Observation, reward, whether it has fallen, False (the time limit is not known here), and info
        :raises EnvArgumentError: When the action has another shape or is not finite; the episode can go on after it
        :raises BrokenSimulationError: When the physics gave numbers that are not finite
        """
        fractions = checked_action(action, JOINTS)
        walker, before = self.walker, self.walker.position[0]
        walker.drive(fractions, STEPS_PER_DECISION)
        self._phase += 2 * math.pi * DT / STRIDE
        roll, pitch, _ = walker.tilt
        is_up = walker.position[2] > FALLEN_HEIGHT and max(abs(roll), abs(pitch)) < LARGEST_TILT
        scaled_qpos = walker.scaled_qpos()
        facts: dict[str, Any] = {
            "speed": (walker.position[0] - before) / DT,
            "height": walker.position[2],
            "action": fractions,
            "qvel": walker.qvel,
            "scaled_qpos": scaled_qpos,
            "distance": walker.position[0] - self._start,
        }
        for name in self.reward.asks:
            if name not in facts:
                facts[name] = self._observe(scaled_qpos)[name] if name == keys.OBSERVATION else getattr(walker, name)
        terms = self.reward.terms(facts)
        reward = sum(terms.values())
        info: dict[str, Any] = {"distance": facts["distance"], **terms}
        # Whatever is not finite in the body makes these so
        if not math.isfinite(reward + sum(walker.qpos) + sum(walker.qvel) + sum(walker.position) + sum(walker.velocity)):
            raise BrokenSimulationError(f"The simulation broke down: joint angles {walker.qpos}. Reset the environment.")
        if self.render_mode == "human":
            self.render()
        return self._observe(scaled_qpos), reward, not is_up, False, info

    def _load(self) -> None:
        self.walker.load()

    def _camera(self) -> Camera:
        """Returns a camera beside the walker, wherever it is."""
        x, y, _ = self.walker.position
        dx, dy, dz = CAMERA_OFFSET
        eye = (x + dx, y + dy, CAMERA_HEIGHT + dz)
        return Camera(eye, (x, y, CAMERA_HEIGHT), (0.0, 0.0, 1.0), FOV, PICTURE_SIZE, PICTURE_SIZE)

    def _picture(self) -> npt.NDArray[np.uint8]:
        """Returns the walker from beside, shape (480, 480, 3)."""
        x, y, _ = self.walker.position
        stage = Stage(floor=0.0, middle=(x, y, CAMERA_HEIGHT), radius=EXTENT)
        return stage.show(self._camera(), layer_of(_scene(), np.array(self.walker.qpos), self.walker.base))

    def _open_window(self) -> WalkViewer:
        return WalkViewer()

    def _show(self, window: WalkViewer) -> None:
        window.show(self.walker, self._camera())

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
