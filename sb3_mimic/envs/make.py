"""Makes an environment out of a body."""

import importlib
from collections.abc import Mapping
from typing import Any

from sb3_mimic import keys
from sb3_mimic.envs.mimic_env import MimicEnv
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.fitting import fitted_view
from sb3_mimic.envs.sight.photographer import photographer_of
from sb3_mimic.envs.sight.randomization import SceneRandomization
from sb3_mimic.envs.tasks.motion import MovingGoal
from sb3_mimic.envs.tasks.pose import PoseGoal
from sb3_mimic.envs.tasks.rewards import Reward
from sb3_mimic.envs.tasks.terms import Weights
from sb3_mimic.envs.world.body import Body
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.errors import BodyError

EVERY_KEY = keys.STATE_KEYS + keys.IMAGE_KEYS

# Progress towards the pose is what is paid for; the costs are small enough not to make the robot lazy
DEFAULT_REWARD = {"joint_progress": 1.0, "electricity": -0.0005, "stall_torque": -0.0005}


def pose_env(
    body: Body | str,
    observation_keys: tuple[str, ...] = EVERY_KEY,
    reward_weights: Weights | None = None,
    gravity: float | None = None,
    render_mode: str | None = None,
    scene_randomization: SceneRandomization | Mapping[str, Any] | bool | None = None,
    moving_goal: MovingGoal | Mapping[str, Any] | bool | None = None,
    view_velocity: bool = False,
) -> MimicEnv:
    """
    Makes an environment that asks a robot for poses.

    :param body: What the robot is made of, or where that is found: ``"module:NAME"``
    :param observation_keys: Which keys of ``sb3_mimic.keys`` to expose
    :param reward_weights: See :class:`~sb3_mimic.envs.tasks.rewards.Reward`
    :param gravity: Downward acceleration, in m/s^2; the body's own by default
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :param scene_randomization: How far camera and light are moved at each reset: a
        :class:`~sb3_mimic.envs.sight.randomization.SceneRandomization` or its arguments, or True for its defaults. By
        default they stay where they are. The light of a body made of meshes always does.
    :param moving_goal: How targets move while an episode goes on: a :class:`~sb3_mimic.envs.tasks.motion.MovingGoal` or its
        arguments, or True for its defaults. By default they stay
    :param view_velocity: Whether ``info["achieved_view"]`` and ``info["desired_view"]``, which translators learn to read, tell
        how fast joints move
    :return: The environment
    :raises BodyError: When there is no such body, or it cannot be built as it is described
    :raises EnvArgumentError: When an argument has a value that is not allowed
    """
    body, randomization, moving = find_body(body), SceneRandomization.of(scene_randomization), MovingGoal.of(moving_goal)
    simulation = Simulation(gravity=body.gravity if gravity is None else gravity)
    robot = Robot(simulation, body)
    goal = PoseGoal(robot)
    reward = Reward(DEFAULT_REWARD if reward_weights is None else reward_weights, goal.layout)
    camera = Camera.of(fitted_view(robot) if body.camera is None else body.camera)
    photographer = photographer_of(robot, camera)
    shown = tuple(observation_keys)
    how = (shown, render_mode, randomization, moving, view_velocity)
    return MimicEnv(simulation, robot, goal, reward, camera, photographer, *how)


# Gymnasium asks the entry point which render modes there are, and so for rgb_array_list
pose_env.metadata = MimicEnv.metadata  # type: ignore[attr-defined]


def find_body(body: Body | str) -> Body:
    """
    Finds a body by its name.

    :param body: A body, or where it is found: ``"module:NAME"``
    :return: The body
    :raises BodyError: When there is none
    """
    if isinstance(body, str):
        module, _, name = body.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise BodyError(f"There is no body '{body}': {error}. Name it as 'module:NAME'.") from error
    else:
        found = body
    if not isinstance(found, Body):
        raise BodyError(f"{body!r} is no body, but a {type(found).__name__}. Make one with Body(...) or Body.from_urdf(...).")
    return found
