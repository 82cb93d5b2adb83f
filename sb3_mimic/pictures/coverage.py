"""Tells a robot from the white background that it was photographed on, and puts another one behind it."""

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

WHITE = 255


def _around(values: Bytes, choose: np.ufunc) -> Bytes:
    """Chooses the least or the greatest of the 3 x 3 values around each, shape (..., height, width)."""
    rows = values.copy()
    choose(rows[..., 1:, :], values[..., :-1, :], out=rows[..., 1:, :])
    choose(rows[..., :-1, :], values[..., 1:, :], out=rows[..., :-1, :])
    # Widened by its borders, a picture is one line of numbers in which neighbours stand side by side: many times faster
    wide = np.empty((*values.shape[:-1], values.shape[-1] + 2), np.uint8)
    wide[..., 1:-1] = rows
    wide[..., 0], wide[..., -1] = rows[..., 0], rows[..., -1]
    line, around = wide.ravel(), np.empty_like(wide)
    middle = around.ravel()[1:-1]
    choose(line[:-2], line[1:-1], out=middle)
    choose(middle, line[2:], out=middle)
    return around[..., 1:-1]


def estimate_coverage(darkest: Bytes) -> Bytes:
    """
    Estimates how much of each pixel a robot covers that stands before white. A pixel beside a white one is taken for a
    mixture of white and of the darkest colour around it; all others are covered wholly, or white.

    :param darkest: The smallest channel of each pixel, shape (..., height, width)
    :return: Coverage in 0..255, shape (..., height, width)
    """
    darkest = np.ascontiguousarray(darkest)
    is_robot = darkest < WHITE
    coverage = is_robot.view(np.uint8) * np.uint8(255)
    edges = np.flatnonzero(is_robot & (_around(darkest, np.maximum) == WHITE))
    own, least = darkest.ravel()[edges], _around(darkest, np.minimum).ravel()[edges]
    coverage.ravel()[edges] = np.rint(255.0 * (WHITE - own) / (WHITE - least))
    return coverage


def replace_background(picture: Bytes, background: npt.NDArray[np.float64], coverage: Bytes | None = None) -> Bytes:
    """
    Puts another background behind a robot that was photographed on white.

    :param picture: Shape (height, width, channels), on white
    :param background: What broadcasts to the picture's shape, in 0..255
    :param coverage: How much of each pixel the robot covers, in 0..255, shape (height, width); estimated by default
    :return: A new picture
    """
    if coverage is None:
        coverage = estimate_coverage(picture.min(axis=-1))
    white = (255 - coverage)[..., None].astype(np.float64)
    # What the white background gave to the edges leaves with it
    robot = np.maximum(picture - white, 0.0)
    return np.clip(np.rint(robot + white / 255.0 * background), 0, 255).astype(np.uint8)
