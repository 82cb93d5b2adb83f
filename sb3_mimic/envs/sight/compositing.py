"""Puts pictures of one scene over each other."""

import numpy as np
import numpy.typing as npt

GHOST_OPACITY = 0.35
BACKGROUND = (233, 238, 245)


def compose(
    robot: npt.NDArray[np.uint8],
    robot_mask: npt.NDArray[np.bool_],
    ghost: npt.NDArray[np.uint8],
    ghost_mask: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint8]:
    """
    Lays a robot over its ghost over a plain background.

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
    """Averages blocks of pixels, which smooths the edges; shape (height, width, 3) becomes (height, width, 3) / factor."""
    height, width, channels = picture.shape
    blocks = picture.reshape(height // factor, factor, width // factor, factor, channels)
    return np.asarray(blocks.mean(axis=(1, 3)).round(), np.uint8)
