"""Measures how well an agent reads pictures: of its own camera, spoilt, larger, or of something else."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sb3_mimic import keys
from sb3_mimic.agents.agent import Agent
from sb3_mimic.agents.environments import Goals
from sb3_mimic.agents.imitation import read
from sb3_mimic.agents.refinement import can_refine
from sb3_mimic.agents.statistics import FIRST_SEED, measure
from sb3_mimic.pictures.corruptions import OTHER_PICTURES, READABLE, corrupt, other_picture
from sb3_mimic.pose import JOINTS

Picture = npt.NDArray[np.uint8]
Env = gym.Env[Any, Any]

# Of the agent's own camera, so many times as many pictures as of each other kind
OWN = 5
LARGE, LARGER = 256, 480
# What is asked of an environment beside what reading needs
NEEDED = ("desired_photograph", "camera_ranges", "joint_names")
# How far a camera is moved that moves at all, in m and deg, along and about directions drawn at random
MOVES = ((0.02, 2.0), (0.05, 5.0))
# Whose pictures are not to be taken for one's own
OTHER_ROBOTS = ("MimicReacher3D-v0", "MimicHumanoid-v0")


@dataclass(frozen=True)
class Shown:
    """
    Describes a picture that is to be read.

    :param picture: Shape (height, width, 3)
    :param pose: The true pose in it, shape (dim,), or None where there is none
    """

    picture: Picture
    pose: npt.NDArray[np.float32] | None = None


def measure_sight(agent: Agent, env: Env, n_poses: int = 200, show_progress: bool = True) -> dict[str, Any]:
    """
    Measures how well an agent reads pictures of unseen poses, by the name of what was done to them:

    - ``own camera`` (five times as many as of the others), ``256 px``, ``480 px``: photographs by the robot's own camera,
      of these sizes
    - what :data:`~sb3_mimic.pictures.corruptions.READABLE` names: the same, spoilt in one way
    - ``camera moved by ...``: where the camera moves, photographs by one that stands elsewhere
    - ``inverted``, ``another robot``, and what :data:`~sb3_mimic.pictures.corruptions.OTHER_PICTURES` names: what shows no
      pose of the robot

    For each: ``translator`` and ``refined``, the median joint error of the translator alone and after render and compare, or
    that of what is asked for where goals have no joints;
    ``within``, the share of joints whose error lies within what was stated to hold in 90 % of the cases; ``refused``, the
    share of pictures that were refused; and ``ms``, the median time of a reading on one thread.

    :param agent: Has a translator
    :param env: Its environment, which must be able to draw its robot in other poses
    :param n_poses: Pictures of each kind
    :param show_progress: Whether to show a progress bar
    :return: By kind: measures with their 95 % bootstrap intervals. Empty where the robot cannot be drawn in other poses
    """
    if not can_refine(env) or not all(hasattr(env.unwrapped, name) for name in NEEDED):
        return {}
    kinds = dict(_kinds(env, n_poses))
    bar = tqdm(kinds.items(), desc="reading pictures", disable=not show_progress)
    return {name: _measured(agent, env, pictures) for name, pictures in bar}


def _kinds(env: Env, n_poses: int) -> Iterator[tuple[str, Iterable[Shown]]]:
    base: Any = env.unwrapped
    view = base.camera
    yield "own camera", _photographs(env, OWN * n_poses)
    for size in (LARGE, LARGER):
        yield f"{size} px", _photographs(env, n_poses, size)
    for name in READABLE:
        yield name, _photographs(env, n_poses, spoil=name)
    if base.camera_ranges is not None:
        for metres, degrees in MOVES:
            yield f"camera moved by {100 * metres:.0f} cm and {degrees:.0f} deg", _moved(env, n_poses, metres, degrees)
    yield "inverted", (Shown(shown.picture) for shown in _photographs(env, n_poses, spoil="inverted"))
    yield "another robot", _other_robots(env, n_poses)
    for name in OTHER_PICTURES:
        yield name, (Shown(other_picture(name, FIRST_SEED + n, view.height, view.width)) for n in range(n_poses))


def _photographs(env: Env, n: int, height: int | None = None, spoil: str | None = None) -> Iterator[Shown]:
    base: Any = env.unwrapped
    for seed in range(FIRST_SEED, FIRST_SEED + n):
        env.reset(seed=seed)
        picture = base.desired_photograph(height or base.camera.height)
        if spoil is not None:
            coverage = base.desired_photograph(base.camera.height, with_coverage=True)[..., 3]
            picture = corrupt(picture, spoil, seed, coverage)
        yield Shown(picture, base.desired_goal)


def _moved(env: Env, n: int, metres: float, degrees: float) -> Iterator[Shown]:
    for seed in range(FIRST_SEED, FIRST_SEED + n):
        rng = np.random.default_rng(seed)
        way, axis = rng.normal(size=3), rng.normal(size=3)
        moved = (*(metres * way / np.linalg.norm(way)), *(np.radians(degrees) * axis / np.linalg.norm(axis)), 0.0)
        observation, _ = env.reset(seed=seed, options={"camera": np.array(moved)})
        yield Shown(observation[keys.DESIRED_IMAGE], Goals.of(env).desired)


def _other_robots(env: Env, n: int) -> Iterator[Shown]:
    base: Any = env.unwrapped
    size = {"width": base.camera.width, "height": base.camera.height}
    others: list[Any] = [gym.make(env_id).unwrapped for env_id in OTHER_ROBOTS]
    try:
        strangers = [other for other in others if other.joint_names != base.joint_names]
        for index in range(n):
            other = strangers[index % len(strangers)]
            other.reset(seed=FIRST_SEED + index)
            joints = other.pose_layout.joints(other.desired_goal)
            yield Shown(other.photographs(joints, replace(other.camera, **size)))
    finally:
        for other in others:
            other.close()


def _measured(agent: Agent, env: Env, pictures: Iterable[Shown]) -> dict[str, Any]:
    layout = Goals.of(env).layout
    part = layout[JOINTS] if JOINTS in layout else layout.parts[0]
    found: dict[str, list[Any]] = {name: [] for name in ("translator", "refined", "within", "refused", "ms")}
    for shown in pictures:
        start = time.perf_counter()
        reading = read(agent, env, shown.picture)
        found["ms"].append(1000 * (time.perf_counter() - start))
        found["refused"].append(not reading.is_readable)
        if shown.pose is not None:
            found["translator"].append(part.error(reading.estimate, shown.pose))
            found["refined"].append(part.error(reading.pose, shown.pose))
            if part.name == JOINTS:
                found["within"].append(np.mean(part.distances(reading.pose, shown.pose) <= reading.half_width))
    statistics: dict[str, Callable[..., Any]] = {"within": np.mean, "refused": np.mean}
    return {name: measure(values, statistics.get(name, np.median)) for name, values in found.items() if values}
