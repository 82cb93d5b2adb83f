"""Makes the environments of an arm that moves things on a table."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic import keys
from sb3_mimic.envs.bodies.panda import PANDA, PANDA_MESH
from sb3_mimic.envs.mimic_env import MimicEnv
from sb3_mimic.envs.models import urdf
from sb3_mimic.envs.models.kinematics import Kinematics
from sb3_mimic.envs.models.urdf_file import UrdfFile
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.photographer import MeshPhotographer, RayCaster
from sb3_mimic.envs.sight.randomization import SceneRandomization
from sb3_mimic.envs.sight.scene import Scene
from sb3_mimic.envs.sight.stage import Layer, Stage, layer_of
from sb3_mimic.envs.tasks.demonstrations import demonstrate
from sb3_mimic.envs.tasks.manipulation import TASKS, ManipulationGoal, ManipulationTask
from sb3_mimic.envs.tasks.rewards import Reward
from sb3_mimic.envs.tasks.terms import Weights
from sb3_mimic.envs.world.arm_control import ArmJoints, EndEffector
from sb3_mimic.envs.world.blocks import Block, Table
from sb3_mimic.envs.world.reaching import DownwardArm
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.workbench import N_FREEDOMS, Workbench
from sb3_mimic.errors import EnvArgumentError
from sb3_mimic.pose import JOINTS

# 25 decisions a second; blocks are held by friction, which wants short steps
TIMESTEP, N_SUBSTEPS = 0.008, 5
MODELS = {"primitives": PANDA, "mesh": PANDA_MESH}
CONTROLS = {"end_effector": EndEffector, "joints": ArmJoints}
SPARSE = {"sparse": 1.0}
# Where the tip of the hand is asked for
MARK = Block("mark", 0.03, (0.10, 0.60, 0.45))
# Where people see it: the table's top lies on the floor
STAGE = Stage(floor=-Table().thickness, middle=(0.45, 0.0, 0.25), radius=0.8)


class Ghost:
    """
    Draws where things are asked for: the blocks alone, or a mark for the tip of the hand.

    :param task: What is asked for
    :param n_arm: Number of the robot's own joints
    """

    def __init__(self, task: ManipulationTask, n_arm: int):
        self.task, self.n_arm = task, n_arm
        marks = task.blocks or (MARK,)
        file = UrdfFile(urdf.robot("targets", *(mark.drawn("base") for mark in marks)))
        self._scene = Scene(file, Kinematics(file, [name for mark in marks for name in mark.joints]))

    def __call__(self, qpos: npt.NDArray[np.floating]) -> Layer:
        if self.task.blocks:
            return layer_of(self._scene, qpos[self.n_arm :])
        return layer_of(self._scene, np.array([*DownwardArm().tip(qpos.tolist()), 0.0, 0.0, 0.0]))


class ManipulationEnv(MimicEnv):
    """An arm that is asked, by a vector and by a picture, to bring things to where they shall be. See :class:`MimicEnv`."""

    goal: ManipulationGoal
    metadata = {**MimicEnv.metadata, "render_fps": round(1 / (TIMESTEP * N_SUBSTEPS))}  # noqa: RUF012

    @property
    def goal_in_qpos(self) -> tuple[int, ...] | None:
        """Where the numbers of a goal stand among joint positions; None where the tip of the hand is asked for"""
        blocks = range(len(self.goal.task.blocks))
        n_arm = self.goal.bench.n_arm
        return tuple(n_arm + N_FREEDOMS * index + axis for index in blocks for axis in range(3)) or None

    def _limbs(self, pose: npt.NDArray[np.floating]) -> list[npt.NDArray[np.floating]]:
        """Returns lines along the arm, and around the upper side of each block."""
        bench = self.goal.bench
        try:
            with self.simulation.preserved():
                bench.reset(self.scene_layout[JOINTS].of(pose))
                lines = bench.limbs(bench.keypoints)
                lines += bench.edges()
        finally:
            bench.resume()
        return lines

    def demonstrate(self) -> npt.NDArray[np.float32]:
        """
        Acts as a demonstrator would, from where things are; see :func:`~sb3_mimic.envs.tasks.demonstrations.demonstrate`.

        :return: An action, shape of the action space, for the next step
        :raises EnvArgumentError: When the joints are driven
        """
        return demonstrate(self.goal, self._desired)


def manipulation_env(
    task: ManipulationTask | str,
    observation_keys: tuple[str, ...] = keys.STATE_KEYS,
    reward_weights: Weights | None = None,
    control: str = "end_effector",
    model: str = "primitives",
    render_mode: str | None = None,
    scene_randomization: SceneRandomization | Mapping[str, Any] | bool | None = None,
    held_starts: float | None = None,
    near_goals: float | None = None,
) -> ManipulationEnv:
    """
    Makes an environment that asks Franka's Panda to move things on a table.

    :param task: What is asked for, or the name of one of ours
    :param observation_keys: Which keys of ``sb3_mimic.keys`` to expose
    :param reward_weights: See :class:`~sb3_mimic.envs.tasks.rewards.Reward`; by default 0 where the goal is met, -1 elsewhere
    :param control: ``"end_effector"``: an action is the way of the hand; ``"joints"``: those of the arm's joints
    :param model: ``"primitives"``: capsules and boxes, or ``"mesh"``: the robot's own looks, drawn thirty times slower
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :param scene_randomization: How far camera and light are moved at each reset, see :func:`~sb3_mimic.envs.make.pose_env`
    :param held_starts: In how many episodes the first block is in the hand at the start, a help in learning; the
        task's own by default
    :param near_goals: In how many episodes the goal is near to the first block, the same
    :return: The environment
    :raises EnvArgumentError: When an argument has a value that is not allowed
    """
    found = _chosen(TASKS, task, "task") if isinstance(task, str) else task
    helps = {"held_starts": held_starts, "near_goals": near_goals}
    found = replace(found, **{name: share for name, share in helps.items() if share is not None})
    body = replace(_chosen(MODELS, model, "model"), control=_chosen(CONTROLS, control, "control")(grips=found.grips))
    randomization = SceneRandomization.of(scene_randomization)
    simulation = Simulation(TIMESTEP, N_SUBSTEPS)
    bench = Workbench(simulation, body, found.blocks, found.table)
    goal = ManipulationGoal(bench, found)
    reward = Reward(SPARSE if reward_weights is None else reward_weights, goal.layout)
    camera = Camera.of(found.camera)
    photographer: RayCaster | MeshPhotographer = MeshPhotographer(bench, camera)
    if model == "primitives":
        file = bench.drawn_model()
        photographer = RayCaster(bench, camera, Scene(file, Kinematics(file, bench.joint_names)))
    shown = tuple(observation_keys)
    env = ManipulationEnv(simulation, bench, goal, reward, camera, photographer, shown, render_mode, randomization)
    env.eye.stage, env.eye.portrait, env.eye.ghost = STAGE, found.portrait, Ghost(found, bench.n_arm)
    return env


# Gymnasium asks the entry point which render modes there are, and so for rgb_array_list
manipulation_env.metadata = ManipulationEnv.metadata  # type: ignore[attr-defined]


def _chosen(known: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in known:
        raise EnvArgumentError(f"Unknown {what} {name!r}. Known: {', '.join(known)}.")
    return known[name]
