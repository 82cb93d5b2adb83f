"""What an arm is asked to do with things on a table: reach, push, pick and place, slide, stack."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.tasks.pose import MAX_VELOCITY
from sb3_mimic.envs.tasks.rewards import components, pose_parts, sparse
from sb3_mimic.envs.world.arm_control import ArmControl, ArmJoints, EndEffector
from sb3_mimic.envs.world.blocks import Block, Table
from sb3_mimic.envs.world.view import View
from sb3_mimic.envs.world.workbench import FARTHEST, N_FREEDOMS, Workbench
from sb3_mimic.errors import EnvArgumentError
from sb3_mimic.pose import JOINT_BOUND, JOINTS, OBJECT, POINTS, Part, PoseLayout

Vector = npt.NDArray[np.float32]
Point = tuple[float, float, float]

ORANGE, BLUE = (0.90, 0.42, 0.05), (0.10, 0.42, 0.75)
CUBE, PUCK = Block("cube", 0.04, ORANGE), Block("puck", 0.06, ORANGE, height=0.02, friction=0.1, is_round=True)
# Where the tip of the hand is at first
HOME: Point = (0.55, 0.0, 0.18)
# From the side that is across from the arm: the hand hides little of what it holds
EYE = View(eye=(1.22, -0.74, 0.95), target=(0.58, 0.0, 0.09), up=(0, 0, 1), fov=34.0)
PORTRAIT = View(eye=(1.62, -1.12, 0.92), target=(0.36, 0.02, 0.26), up=(0, 0, 1), fov=36.0)
FAR_EYE = View(eye=(1.70, -0.98, 1.10), target=(0.76, 0.0, 0.05), up=(0, 0, 1), fov=38.0)
# What is higher above the table than this is held by the hand, in m
HELD = 0.01
# Blocks are at least so many of their sizes apart
APART = 1.5
# What is near, in m
NEAR = 0.10
# Joints and blocks are looked for so far beyond where they usually go, in rad or m, and blocks up to so high, in m
ROOM, SKY = 0.1, 0.6
QUARTER = np.pi / 2


@dataclass(frozen=True)
class ManipulationTask:
    """
    Describes what is asked for, and where things are at first. Episodes never begin at their goal.

    :param blocks: What there is to be moved; where there is nothing, the tip of the hand is asked for
    :param grips: Whether the hand opens and closes
    :param low: Smallest x, y and z of goals, those of blocks above where they would lie, in m
    :param high: Largest
    :param share_in_air: How many of the goals of blocks are above the table
    :param start_low: Smallest x and y of blocks at the start, in m
    :param start_high: Largest
    :param is_stacked: Whether each block is asked for on top of the one before
    :param held_starts: In how many episodes the first block is in the hand at the start, a help in learning
    :param near_goals: In how many episodes the goal is near to where the first block is, a help in learning
    :param table: What they lie on
    :param camera: Where pictures are taken from
    :param portrait: Where people see it from
    :raises EnvArgumentError: When a share is no share
    """

    blocks: tuple[Block, ...] = (CUBE,)
    grips: bool = False
    low: Point = (0.45, -0.15, 0.0)
    high: Point = (0.75, 0.15, 0.0)
    share_in_air: float = 0.0
    start_low: tuple[float, float] = (0.45, -0.15)
    start_high: tuple[float, float] = (0.75, 0.15)
    is_stacked: bool = False
    held_starts: float = 0.0
    near_goals: float = 0.0
    table: Table = Table()  # noqa: RUF009 - frozen
    camera: View = EYE
    portrait: View = PORTRAIT

    def __post_init__(self) -> None:
        for name in ("share_in_air", "held_starts", "near_goals"):
            if not 0 <= getattr(self, name) <= 1:
                raise EnvArgumentError(f"{name} must be a share from 0 to 1, got {getattr(self, name)}.")
        if self.held_starts and not (self.grips and self.blocks):
            raise EnvArgumentError("held_starts needs a task with something to hold, and a hand that closes.")


TASKS = {
    "Reach": ManipulationTask(blocks=(), low=(0.45, -0.15, 0.03), high=(0.75, 0.15, 0.33)),
    "Push": ManipulationTask(),
    "PickAndPlace": ManipulationTask(grips=True, high=(0.75, 0.15, 0.20), share_in_air=0.5),
    "Slide": ManipulationTask(
        blocks=(PUCK,),
        low=(0.80, -0.15, 0.0),
        high=(1.10, 0.15, 0.0),
        start_low=(0.45, -0.10),
        start_high=(0.60, 0.10),
        table=Table(high=(1.50, 0.42)),
        camera=FAR_EYE,
        portrait=View(eye=(2.0, -1.5, 1.25), target=(0.55, 0.0, 0.15), up=(0, 0, 1), fov=38.0),
    ),
    "Stack": ManipulationTask(blocks=(CUBE, Block("second_cube", 0.04, BLUE)), grips=True, is_stacked=True),
}


class ManipulationGoal:
    """
    Where things on a table are to be, or the tip of the hand.

    :param bench: The robot and the things before it
    :param task: What is asked for
    """

    def __init__(self, bench: Workbench, task: ManipulationTask):
        self.bench, self.task = bench, task
        n = len(task.blocks)
        goal = Part(OBJECT, (n, 3), "m", FARTHEST) if n else Part(POINTS, (1, 3), "m", FARTHEST)
        self.layout = PoseLayout((goal,))
        self._parts = pose_parts(self.layout)
        self._shows_joints = isinstance(bench.body.control, ArmJoints)
        n_joints = bench.n_arm - 2 if self._shows_joints else 0
        bounds = [FARTHEST] * 3 + [MAX_VELOCITY] * 3 + [1.0] * task.grips + [FARTHEST] * n_joints + [MAX_VELOCITY] * n_joints
        bounds += ([FARTHEST] * 6 + [np.pi] * 3 + [MAX_VELOCITY] * 6) * n
        self.bounds = np.array(bounds, np.float32)
        control = bench.body.control
        assert isinstance(control, ArmControl)
        self._reaching = control.arm
        self._home = self._arm(HOME, 1.0 if task.grips else 0.0)
        self.scene_layout = PoseLayout((goal, self._joints_shown(control)))

    def randomise(self, rng: np.random.Generator) -> None:
        self.place(self._draw_goal(rng).ravel())

    def begin(self, rng: np.random.Generator, desired: npt.NDArray[np.floating]) -> None:
        """Puts the arm where it begins, and the blocks anywhere but at their goals."""
        if not self.task.blocks:
            self.bench.reset(np.array(self._home))
            return
        while True:
            points = self._draw_start(rng, desired)
            if not self.is_success(points.ravel(), desired):
                break
        arm = self._home
        if rng.random() < self.task.held_starts:
            points[0, 2] += rng.uniform(0.0, 0.1)
            arm = self._holding(points[0])
        self.bench.reset(self._scene(arm, points))

    def place(self, goal: npt.NDArray[np.floating]) -> None:
        """
        Puts things where they are asked for. What is in the air is held by the hand.

        :param goal: Shape (layout.dim,), in m
        :raises EnvArgumentError: When the shape is wrong or a number is not finite or beyond the bounds
        """
        goal = np.asarray(goal, np.float64)
        if goal.shape != (self.layout.dim,) or not np.isfinite(goal).all() or np.abs(goal).max() > FARTHEST:
            what = f"{len(self.task.blocks)} blocks" if self.task.blocks else "the tip of the hand"
            raise EnvArgumentError(
                f"A desired_goal must be {self.layout.dim} finite numbers, x, y and z of {what}, in m and at most {FARTHEST}."
                f" Got shape {goal.shape}: {goal}"
            )
        self.bench.reset(self.qpos_of(goal))

    def qpos_of(self, goal: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        points = np.reshape(np.asarray(goal, np.float64), (-1, 3))
        if not self.task.blocks:
            return np.array(self._arm(tuple(points[0].tolist()), 0.0))
        first = self.task.blocks[0]
        is_held = self.task.grips and points[0, 2] > first.half_height + HELD
        return self._scene(self._holding(points[0]) if is_held else self._home, points)

    def scene_of(self, goal: Vector, qpos: npt.NDArray[np.floating]) -> Vector:
        joints = self.scene_layout[JOINTS]
        scaled = np.asarray(qpos, np.float64).copy()
        # A cube looks the same after a quarter of a turn
        yaws = scaled[self.bench.n_arm + 3 :: N_FREEDOMS]
        yaws -= QUARTER * np.round(yaws / QUARTER)
        scaled = (scaled - np.array(joints.offset)) / np.array(joints.scale)
        return np.concatenate((goal, np.clip(scaled, -JOINT_BOUND, JOINT_BOUND))).astype(np.float32)

    def measure(self) -> Vector:
        return self._vector(self.bench.block_positions() if self.task.blocks else self.bench.keypoints[-1])

    def goal_of(self, qpos: npt.NDArray[np.floating]) -> Vector:
        qpos = np.asarray(qpos)
        has_blocks = len(self.task.blocks) > 0
        return self._vector(self.bench.blocks_of(qpos)[:, :3] if has_blocks else self.bench.keypoints_of(qpos)[-1])

    @staticmethod
    def _vector(points: npt.NDArray[np.floating]) -> Vector:
        bounded: Vector = np.clip(points.ravel(), -FARTHEST, FARTHEST).astype(np.float32)
        return bounded

    def is_success(self, achieved: npt.NDArray[np.floating], desired: npt.NDArray[np.floating]) -> Any:
        """A goal is met when every block, or the tip, is within 5 cm of where it is to be."""
        return sparse(self._parts, components(achieved), components(desired), {}) == 0

    def observe(self) -> Vector:
        """
        Returns the state: position and velocity of the tip; how far the fingers are open, from 0 to 1, where the hand grips;
        positions and velocities of the arm's joints, where these are driven; and of each block where it is, seen from the tip
        and from the robot's base, how it is turned (roll, pitch, yaw), and its velocities.
        """
        bench = self.bench
        x, y, z = bench.keypoints[-1].tolist()
        qpos = bench.qpos.tolist()
        n = bench.n_arm
        state = [x, y, z, *bench.tip_velocity]
        if self.task.grips:
            state.append((qpos[n - 2] + qpos[n - 1]) / self._widest)
        if self._shows_joints:
            state += qpos[: n - 2] + bench.qvel.tolist()[: n - 2]
        for index in range(len(self.task.blocks)):
            bx, by, bz, yaw, pitch, roll = qpos[n + N_FREEDOMS * index :][:N_FREEDOMS]
            state += (bx - x, by - y, bz - z, bx, by, bz, roll, pitch, yaw)
            state += bench.block_velocities[N_FREEDOMS * index :][:N_FREEDOMS]
        return np.clip(np.array(state, np.float32), -self.bounds, self.bounds)

    @property
    def _widest(self) -> float:
        """How far the fingers open together, in m"""
        return float(self.bench.joint_high[self.bench.n_arm - 2 : self.bench.n_arm].sum())

    def _joints_shown(self, control: ArmControl) -> Part:
        """Returns how joints and blocks are scaled where they are read in pictures: by how far they go in this task."""
        n, task = self.bench.n_arm, self.task
        low, high = self.bench.joint_low[:n].copy(), self.bench.joint_high[:n].copy()
        if isinstance(control, EndEffector):
            corners = np.linspace(control.low, control.high, 5).T
            poses = np.array([control.arm.joints(tip) for tip in itertools.product(*corners.tolist())])
            low[:-2], high[:-2] = poses.min(axis=0) - ROOM, poses.max(axis=0) + ROOM
        for _ in task.blocks:
            low = np.concatenate((low, (*task.table.low, -ROOM, -QUARTER / 2, -QUARTER, -QUARTER)))
            high = np.concatenate((high, (*task.table.high, SKY, QUARTER / 2, QUARTER, QUARTER)))
        return Part(
            JOINTS, (len(low),), "", JOINT_BOUND, tuple(((high - low) / 2).tolist()), tuple(((high + low) / 2).tolist())
        )

    def _arm(self, tip: Point, share: float) -> list[float]:
        """Returns the arm's joints and those of the fingers, which are open by a share."""
        low, high = (
            limits[self.bench.n_arm - 2 : self.bench.n_arm] for limits in (self.bench.joint_low, self.bench.joint_high)
        )
        return [*self._reaching.joints(tip), *(low + share * (high - low)).tolist()]

    def _holding(self, point: npt.NDArray[np.floating]) -> list[float]:
        """Returns the joints of a hand that holds the first block."""
        return self._arm(tuple(point.tolist()), self.task.blocks[0].size / self._widest)

    def _scene(self, arm: list[float], points: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        turned = np.hstack((points, np.zeros((len(points), N_FREEDOMS - 3))))
        return np.concatenate((arm, turned.ravel()))

    def _draw_goal(self, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        task = self.task
        point = rng.uniform(task.low, task.high)
        if not task.blocks:
            return point[None]
        lift = point[2] * (rng.random() < task.share_in_air)
        points = self._scattered(rng, task.low[:2], task.high[:2])
        points[0, 2] += lift
        if task.is_stacked:
            for index, (below, block) in enumerate(itertools.pairwise(task.blocks), 1):
                points[index] = points[index - 1] + (0.0, 0.0, below.half_height + block.half_height)
        return points

    def _draw_start(self, rng: np.random.Generator, desired: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        task = self.task
        points = self._scattered(rng, task.start_low, task.start_high)
        if rng.random() < task.near_goals:
            near = desired[:2] + rng.uniform(-NEAR, NEAR, 2)
            points[0, :2] = np.clip(near, task.start_low, task.start_high)
        return points

    def _scattered(self, rng: np.random.Generator, low: tuple[float, ...], high: tuple[float, ...]) -> npt.NDArray[np.float64]:
        """Draws where the blocks lie, none on another, shape (n_blocks, 3), in m."""
        points = np.array([(0.0, 0.0, block.half_height) for block in self.task.blocks])
        widest = max(block.size for block in self.task.blocks)
        for index in range(len(points)):
            while True:
                points[index, :2] = rng.uniform(low, high)
                if all(np.abs(points[index] - other)[:2].max() > APART * widest for other in points[:index]):
                    break
        return points
