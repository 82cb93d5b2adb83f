"""Goals: how the scene is put into a random reachable configuration, measured, and judged."""

import math
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.tasks.rewards import components, pose_parts, sparse
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.errors import EnvArgumentError
from sb3_mimic.pose import JOINT_BOUND, JOINTS, POINT_BOUND, POINTS, PoseLayout, robot_pose

# PyBullet lets no joint turn faster, in rad/s
MAX_VELOCITY = 100.0
# How much farther than it can reach by itself a robot may be pushed
REACH_RESERVE = 1.1


class Goal(Protocol):
    """A goal is a state of the scene, measured by the function that measures the present state."""

    #: What a goal means
    layout: PoseLayout
    #: What a goal and all else that a picture shows means: the goal comes first, the joints are among it
    scene_layout: PoseLayout
    #: The largest magnitude of each number that :meth:`observe` gives, shape (n,)
    bounds: npt.NDArray[np.float32]

    def randomise(self, rng: np.random.Generator) -> None:
        """Puts the scene into a random reachable configuration, at rest."""

    def begin(self, rng: np.random.Generator, desired: npt.NDArray[np.floating]) -> None:
        """Puts the scene into a random configuration that an episode starts from, at rest."""

    def place(self, goal: npt.NDArray[np.floating]) -> None:
        """Puts the scene into the given configuration, at rest."""

    def qpos_of(self, goal: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Returns the joint positions of that configuration, shape (n_joints,)."""

    def goal_of(self, qpos: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Returns the goal that joint positions fulfil, shape (goal_dim,), while the scene stays as it is."""

    def scene_of(self, goal: npt.NDArray[np.float32], qpos: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """
        Returns all that a picture shows.

        :param goal: What is fulfilled, shape (layout.dim,)
        :param qpos: The joint positions, shape (n_joints,)
        :return: A vector of the :attr:`scene_layout`
        """

    def observe(self) -> npt.NDArray[np.float32]:
        """Returns the state of the scene as a vector, shape (n,)."""

    def measure(self) -> npt.NDArray[np.float32]:
        """Returns the goal that the present scene fulfils, shape (goal_dim,)."""

    def is_success(self, achieved: npt.NDArray[np.floating], desired: npt.NDArray[np.floating]) -> Any:
        """Tells whether one fulfils the other: a truth value, or an array of them, shape (...,)."""


class PoseGoal:
    """
    A pose of the robot: its scaled joint angles and its key points.

    :param robot: The robot that is to take poses
    """

    def __init__(self, robot: Robot):
        self.robot = robot
        # Slides give way at their limits
        farthest = REACH_RESERVE * robot.reach
        bound = POINT_BOUND if farthest <= POINT_BOUND else farthest
        layout = robot_pose(robot.joint_low.tolist(), robot.joint_high.tolist(), len(robot.keypoints), bound)
        self.layout = PoseLayout((replace(layout[JOINTS], unit=robot.unit), layout[POINTS]))
        self.scene_layout = self.layout
        self._parts = pose_parts(self.layout)
        joints, points = self.layout[JOINTS], self.layout[POINTS]
        self._joints = list(zip(joints.offset, joints.scale, strict=True))
        bounds = [1.0] * 2 * joints.size + [MAX_VELOCITY] * joints.size + [points.bound] * points.size
        self.bounds = np.array(bounds, np.float32)

    def randomise(self, rng: np.random.Generator) -> None:
        """Puts the robot into a random pose, drawn evenly over the whole range of every joint."""
        self.robot.reset(rng.uniform(self.robot.joint_low, self.robot.joint_high))

    def begin(self, rng: np.random.Generator, desired: npt.NDArray[np.floating]) -> None:
        self.randomise(rng)

    def place(self, goal: npt.NDArray[np.floating]) -> None:
        """
        Puts the robot into a pose. Its joint angles count; those beyond their limits are clipped.

        :param goal: A pose, shape (layout.dim,)
        :raises EnvArgumentError: When the shape is wrong or a number is not finite
        """
        goal = np.asarray(goal, np.float64)
        if goal.shape != (self.layout.dim,) or not np.isfinite(goal).all():
            raise EnvArgumentError(
                f"A desired_goal must be {self.layout.dim} finite numbers: {self.layout[JOINTS].size} joint angles scaled to"
                f" [-1, 1] and {self.layout[POINTS].shape[0]} key points of 3 coordinates in m. Got shape {goal.shape}: {goal}"
            )
        self.robot.reset(np.clip(self.layout.joints(goal), self.robot.joint_low, self.robot.joint_high))

    def qpos_of(self, goal: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        return np.asarray(self.layout.joints(goal), np.float64)

    def goal_of(self, qpos: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        return self._vector(np.asarray(qpos).tolist(), self.robot.keypoints_of(qpos))

    def scene_of(self, goal: npt.NDArray[np.float32], qpos: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        return goal

    def observe(self) -> npt.NDArray[np.float32]:
        """Returns the robot's own state: cosines and sines of its angles, velocities, key points."""
        return self._state(self.robot.qpos, self.robot.qvel, self.robot.keypoints)

    def observation_of(self, qpos: npt.NDArray[np.floating], qvel: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """
        Returns what :meth:`observe` would give in another state, while the scene stays as it is.

        :param qpos: Joint positions, shape (n_joints,), in rad, or m for slides
        :param qvel: How fast they move, shape (n_joints,), in rad/s or m/s
        """
        return self._state(qpos, qvel, self.robot.keypoints_of(qpos))

    @staticmethod
    def _state(
        qpos: npt.NDArray[np.floating], qvel: npt.NDArray[np.floating], keypoints: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.float32]:
        # Plain numbers: several times faster than small arrays
        angles = qpos.tolist()
        return np.array(
            [*map(math.cos, angles), *map(math.sin, angles), *qvel.tolist(), *keypoints.ravel().tolist()], np.float32
        )

    def measure(self) -> npt.NDArray[np.float32]:
        return self._vector(self.robot.qpos.tolist(), self.robot.keypoints)

    def _vector(self, qpos: list[float], keypoints: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        # Plain numbers: several times faster than small arrays, and this runs at every step
        pairs = zip(qpos, self._joints, strict=True)
        scaled = [min(max((angle - middle) / half, -JOINT_BOUND), JOINT_BOUND) for angle, (middle, half) in pairs]
        return np.array(scaled + keypoints.ravel().tolist(), np.float32)

    def is_success(self, achieved: npt.NDArray[np.floating], desired: npt.NDArray[np.floating]) -> Any:
        """A pose is taken when every key point is within 5 cm of its target."""
        return sparse(self._parts, components(achieved), components(desired), {}) == 0
