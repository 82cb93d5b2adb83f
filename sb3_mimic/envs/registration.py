"""Registers robots and tasks with Gymnasium, one id for each mode: a body or a task x what is observed and paid."""

import re
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from sb3_mimic import keys
from sb3_mimic.errors import BodyError

if TYPE_CHECKING:
    from sb3_mimic.envs.tasks.manipulation import ManipulationTask
    from sb3_mimic.envs.world.body import Body

MAX_EPISODE_STEPS = 100

# Bodies of ours, given as text: nothing is imported before an environment is made
_BODIES = {
    "MimicReacherPlane": "sb3_mimic.envs.bodies.reacher:REACHER_PLANE",
    "MimicReacher3D": "sb3_mimic.envs.bodies.reacher:REACHER_3D",
    "MimicReacher6D": "sb3_mimic.envs.bodies.reacher:REACHER_6D",
    "MimicHalfHumanoid": "sb3_mimic.envs.bodies.humanoid:HALF_HUMANOID",
    "MimicHumanoid": "sb3_mimic.envs.bodies.humanoid:HUMANOID",
}
# One id per observation mode: rl-zoo3 does not hand env_kwargs to the environment it evaluates in
_MODES: dict[str, dict[str, Any]] = {
    "": {},
    "State": {"observation_keys": keys.STATE_KEYS},
    "Pixels": {"observation_keys": keys.IMAGE_KEYS},
    "Fused": {"observation_keys": (keys.OBSERVATION, keys.ACHIEVED_GOAL, *keys.IMAGE_KEYS)},
    "Sparse": {"observation_keys": keys.STATE_KEYS, "reward_weights": {"sparse": 1.0}},
    "Wild": {"scene_randomization": True},
    "Moving": {
        "observation_keys": (*keys.STATE_KEYS, *keys.IMAGE_KEYS, keys.DESIRED_VELOCITY),
        "moving_goal": True,
        "view_velocity": True,
    },
}

# Things to do with an arm on a table, by their names in sb3_mimic.envs.tasks.manipulation
_TASKS = {f"Mimic{task}": task for task in ("Reach", "Push", "PickAndPlace", "Slide", "Stack")}
_TASK_MODES: dict[str, dict[str, Any]] = {
    "": {"observation_keys": keys.STATE_KEYS + keys.IMAGE_KEYS},
    "State": {"observation_keys": keys.STATE_KEYS},
    "Dense": {"observation_keys": keys.STATE_KEYS, "reward_weights": {"keypoint_distance": -1.0}},
}
TASK_STEPS = 50

POSE_IDS = tuple(f"{body}{mode}-v0" for body in _BODIES for mode in _MODES)
# It has no goals, and so no observation modes
WALK_ID, WALK_STEPS = "MimicHumanoidWalk-v0", 1000
TASK_IDS = tuple(f"{task}{mode}-v0" for task in _TASKS for mode in _TASK_MODES)
ENV_IDS = (*POSE_IDS, WALK_ID, *TASK_IDS)


def register_body(name: str, body: "Body | str", max_episode_steps: int = MAX_EPISODE_STEPS) -> tuple[str, ...]:
    """
    Registers a robot with Gymnasium: ``<name>-v0``, ``<name>State-v0``, ``<name>Pixels-v0``, ``<name>Fused-v0``,
    ``<name>Sparse-v0``, ``<name>Wild-v0`` and ``<name>Moving-v0``. To register the same body again does nothing.

    :param name: Letters, digits and underscores; first a letter
    :param body: What the robot is made of, or where that is found: ``"module:NAME"``
    :param max_episode_steps: Length of an episode
    :return: The ids
    :raises BodyError: When the name cannot be used, or stands for something else already
    """
    if not isinstance(body, str):
        from sb3_mimic.envs.world.body import Body

        if not isinstance(body, Body):
            raise BodyError(f"'{name}' needs a Body or the name of one, 'module:NAME', got a {type(body).__name__}.")
    modes = {f"{name}{mode}-v0": {"body": body, **arguments} for mode, arguments in _MODES.items()}
    return _register(name, modes, "sb3_mimic.envs.make:pose_env", max_episode_steps)


def register_task(name: str, task: "ManipulationTask | str", max_episode_steps: int = TASK_STEPS) -> tuple[str, ...]:
    """
    Registers something to do with an arm on a table: ``<name>-v0``, ``<name>State-v0`` and ``<name>Dense-v0``. To register
    the same task again does nothing.

    :param name: Letters, digits and underscores; first a letter
    :param task: What is asked for, or the name of one of ours
    :param max_episode_steps: Length of an episode
    :return: The ids
    :raises BodyError: When the name cannot be used, or stands for something else already
    """
    modes = {f"{name}{mode}-v0": {"task": task, **arguments} for mode, arguments in _TASK_MODES.items()}
    return _register(name, modes, "sb3_mimic.envs.manipulation:manipulation_env", max_episode_steps)


def _register(name: str, modes: dict[str, dict[str, Any]], entry_point: str, max_episode_steps: int) -> tuple[str, ...]:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise BodyError(
            f"A body's or a task's name must be letters, digits and underscores, first a letter, got {name!r}."
            " The mode and '-v0' are added to it."
        )
    if isinstance(max_episode_steps, bool) or not isinstance(max_episode_steps, int) or max_episode_steps < 1:
        raise BodyError(f"max_episode_steps of '{name}' must be a whole number of at least 1, got {max_episode_steps!r}.")
    taken = [env_id for env_id in modes if env_id in gym.registry]
    specs = [gym.registry[env_id] for env_id in taken]
    if len(taken) == len(modes) and all(
        (spec.kwargs, spec.max_episode_steps) == (modes[spec.id], max_episode_steps) for spec in specs
    ):
        return tuple(modes)
    if taken:
        raise BodyError(
            f"'{name}' cannot be registered: {', '.join(taken)} stands for something else. Choose another name,"
            " or take it out of gymnasium.registry first."
        )
    for env_id, kwargs in modes.items():
        gym.register(
            id=env_id,
            entry_point=entry_point,
            kwargs=kwargs,
            max_episode_steps=max_episode_steps,
            disable_env_checker=True,
        )
    return tuple(modes)


def register_envs() -> None:
    """Registers every id of ours."""
    for name, body in _BODIES.items():
        register_body(name, body)
    for name, task in _TASKS.items():
        register_task(name, task)
    if WALK_ID not in gym.registry:
        gym.register(
            id=WALK_ID,
            entry_point="sb3_mimic.envs.walk_env:WalkEnv",
            max_episode_steps=WALK_STEPS,
            disable_env_checker=True,
        )
