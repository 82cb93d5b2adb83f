"""Finds a view from where a robot is seen whatever its pose."""

import itertools
import math

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.view import View

FOV = 60.0
# Where the camera stands, seen from the robot: before it, to its right and above it
DIRECTION = (0.8, -0.6, 0.5)
# The part of the picture's half that known poses take up: others may be a little larger
FILLED = 0.85
# A robot whose depth is less than this part of its extent moves in a plane
FLAT = 0.02
N_POSES, MAX_CORNERS = 400, 7


def fitted_view(robot: Robot) -> View:
    """
    Looks at poses with every joint somewhere or at a limit, and steps back until all of them are in the picture.
    A robot that moves in a plane is seen from straight before that plane.

    :param robot: The robot; it is where it was afterwards
    :return: The view
    """
    start, rng = robot.qpos, np.random.default_rng(0)
    low, high = robot.joint_low, robot.joint_high
    corners = itertools.islice(itertools.product((0.0, 1.0), repeat=robot.n_joints), 2**MAX_CORNERS)
    parts = np.vstack((rng.random((N_POSES, robot.n_joints)), list(corners), np.full(robot.n_joints, 0.5)))
    points: list[npt.NDArray[np.floating]] = [np.zeros((1, 3))]
    for part in parts:
        robot.reset(low + part * (high - low))
        points += [robot.keypoints, robot.link_positions()]
    robot.reset(start)
    cloud = np.vstack(points)
    middle = (cloud.min(axis=0) + cloud.max(axis=0)) / 2
    _, extents, axes = np.linalg.svd(cloud - cloud.mean(axis=0), full_matrices=False)
    ahead = np.array(DIRECTION) / np.linalg.norm(DIRECTION)
    if extents[2] < FLAT * extents[0]:
        ahead = axes[2] * (1.0 if axes[2] @ ahead >= 0 else -1.0)
    up = np.array((0.0, 1.0, 0.0) if abs(ahead[2]) > 0.99 else (0.0, 0.0, 1.0))
    right = np.cross(up, ahead) / np.linalg.norm(np.cross(up, ahead))
    above = np.cross(ahead, right)
    # Move sideways until the robot is in the middle, then back until the outermost points are in the picture
    across = np.stack(((cloud - middle) @ right, (cloud - middle) @ above))
    shift = (across.min(axis=1) + across.max(axis=1)) / 2
    target = middle + shift[0] * right + shift[1] * above
    outward = np.abs(across - shift[:, None]).max(axis=0)
    distance = float((outward / (FILLED * math.tan(math.radians(FOV / 2))) + (cloud - target) @ ahead).max())
    eye = target + distance * ahead
    return View(_plain(eye), _plain(target), _plain(up), FOV)


def _plain(vector: npt.NDArray[np.floating]) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z
