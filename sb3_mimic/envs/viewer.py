"""Pictures for people: the robot with its target as a translucent ghost, and a window that follows it."""

import os
import sys
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.world.body import Body
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.simulation import Simulation

GHOST_OPACITY = 0.35
LINE_COLORS = ("black", "magenta", "teal")
BACKGROUND = (233, 238, 245)


def compose(
    robot: npt.NDArray[np.uint8],
    robot_mask: npt.NDArray[np.bool_],
    ghost: npt.NDArray[np.uint8],
    ghost_mask: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint8]:
    """
    Lay a robot over its ghost over a plain background.

    :param robot: Picture of the robot, shape (height, width, 3)
    :param robot_mask: Where the robot is, shape (height, width)
    :param ghost: Picture of the target pose
    :param ghost_mask: Where the target pose is
    :return: The picture, shape (height, width, 3)
    """
    canvas = np.full(robot.shape, BACKGROUND, np.float64)
    canvas[ghost_mask] = GHOST_OPACITY * ghost[ghost_mask] + (1 - GHOST_OPACITY) * canvas[ghost_mask]
    canvas[robot_mask] = robot[robot_mask]
    return canvas.astype(np.uint8)


def downsample(picture: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    """Average blocks of pixels, which smooths the edges; shape (height, width, 3) becomes (height, width, 3) / factor."""
    height, width, channels = picture.shape
    blocks = picture.reshape(height // factor, factor, width // factor, factor, channels)
    return np.asarray(blocks.mean(axis=(1, 3)).round(), np.uint8)


def draw_lines(
    picture: npt.NDArray[np.uint8], lines: Mapping[str, Sequence[npt.NDArray[np.floating]]], size: int = 320
) -> npt.NDArray[np.uint8]:
    """
    Draw named groups of lines over a picture, with a legend.

    :param picture: Shape (height, width, 3)
    :param lines: By name: lines of (column, row) points, as fractions of width and height, shape (n, 2)
    :param size: Height and width of the result, in pixels
    :return: Shape (size, size, 3)
    """
    canvas = Image.fromarray(picture).resize((size, size), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(canvas)
    for row, ((name, group), color) in enumerate(zip(lines.items(), LINE_COLORS, strict=False)):
        for line in group:
            pen.line([(column * size, line_row * size) for column, line_row in line], fill=color, width=3)
        pen.text((8, 6 + 16 * row), name, fill=color, font_size=14)
    return np.asarray(canvas)


def has_display() -> bool:
    """Whether a window can be opened. PyBullet would end the whole process if it tried in vain."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Viewer:
    """
    A window with a copy of the robot, and its target as a ghost. The simulation itself never runs in it.

    :param body: The robot to show
    :param camera: Where to look at it from
    :param gui: Whether to open the window; without, all else happens unseen
    """

    def __init__(self, body: Body, camera: Camera, gui: bool = True):
        self._simulation = Simulation(gui=gui)
        if gui:
            camera.point_window(self._simulation)
        self._ghost = Robot(self._simulation, body)
        self._ghost.fade(GHOST_OPACITY)
        self._robot = Robot(self._simulation, body)

    def show(self, qpos: npt.NDArray[np.floating], target: npt.NDArray[np.floating]) -> None:
        """
        :param qpos: Joint angles of the robot, shape (n_joints,), in rad
        :param target: Those of its ghost
        """
        self._robot.reset(qpos)
        self._ghost.reset(target)

    def close(self) -> None:
        self._simulation.close()


def warn_without_display() -> None:
    warnings.warn(
        "There is no display (neither DISPLAY nor WAYLAND_DISPLAY is set): render_mode='human' shows nothing."
        " Use render_mode='rgb_array' for pictures.",
        UserWarning,
        stacklevel=2,
    )
