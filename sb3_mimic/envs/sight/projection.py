"""Where shapes are as a camera sees them, and which pixels they may cover: all that does not depend on the ray."""

import math

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.sight.scene import BOX, CYLINDER
from sb3_mimic.jit import jit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FAR = 1e30
# Columns of what is computed once for each shape: where it is and how it is turned, seen by the camera, its sizes, what
# does not depend on the ray, and the pixels that it may cover
ORIGIN, TURN, SIZE, AXIS, TERMS, PIXELS, N_COLUMNS = 0, 3, 12, 15, 18, 23, 27


@jit
def see(
    kinds: IntArray,
    links: IntArray,
    frames: FloatArray,
    sizes: FloatArray,
    where: FloatArray,
    eye: FloatArray,
    turn: FloatArray,
    tangent: float,
    height: int,
    width: int,
    shapes: FloatArray,
) -> None:
    """
    Computes, for each shape, all that does not depend on the ray: in the camera's frame x is right, y up, z ahead.

    :param kinds: This and the next three: see :class:`~sb3_mimic.envs.sight.scene.Scene`
    :param where: Where the links are, shape (n_links, 3, 4)
    :param eye: Where the camera is, shape (3,), in m
    :param turn: The camera's axes, right, up and ahead, as rows, shape (3, 3)
    :param tangent: Tangent of half of the vertical field of view
    :param height: Of the picture, in pixels
    :param width: Of the picture, in pixels
    :param shapes: By shape, the columns named above, shape (n_shapes, N_COLUMNS); written to
    """
    world, seen = np.empty((3, 4)), np.empty((3, 4))
    for k in range(len(kinds)):
        link, frame, shape = where[links[k]], frames[k], shapes[k]
        for row in range(3):
            for column in range(4):
                world[row, column] = (
                    link[row, 0] * frame[0, column] + link[row, 1] * frame[1, column] + link[row, 2] * frame[2, column]
                )
            world[row, 3] += link[row, 3] - eye[row]
        for row in range(3):
            for column in range(4):
                seen[row, column] = (
                    turn[row, 0] * world[0, column] + turn[row, 1] * world[1, column] + turn[row, 2] * world[2, column]
                )
            shape[ORIGIN + row] = seen[row, 3]
            for column in range(3):
                shape[TURN + 3 * row + column] = seen[row, column]
            shape[SIZE + row] = sizes[k, row]
        if kinds[k] == BOX:
            # Where the camera is in the box's own frame
            for column in range(3):
                total = 0.0
                for row in range(3):
                    total -= seen[row, column] * seen[row, 3]
                shape[TERMS + column] = total
            _cover_box(shape, seen, tangent, height, width)
            continue
        radius, half = sizes[k, 0], sizes[k, 1]
        ba2, ba_oa, oa2, ob2 = 0.0, 0.0, 0.0, 0.0
        for row in range(3):
            ba = 2.0 * half * seen[row, 2]
            oa = half * seen[row, 2] - seen[row, 3]
            shape[AXIS + row] = ba
            ba2 += ba * ba
            ba_oa += ba * oa
            oa2 += oa * oa
            ob2 += (oa - ba) * (oa - ba)
        shape[TERMS], shape[TERMS + 1], shape[TERMS + 2] = ba2, ba_oa, oa2
        shape[TERMS + 3] = ba2 * oa2 - ba_oa * ba_oa - radius * radius * ba2
        shape[TERMS + 4] = ob2
        # Around the corners of a cylinder
        around = radius if kinds[k] != CYLINDER else radius * 1.4142135623730951
        _cover_balls(shape, seen, half, around, tangent, height, width)


@jit
def _cover_balls(
    shape: FloatArray, seen: FloatArray, half: float, radius: float, tangent: float, height: int, width: int
) -> None:
    """Notes the pixels covered by two balls, half a length before and behind on the shape's z axis, and by what is between."""
    left, right, low, high = FAR, -FAR, FAR, -FAR
    for sign in (-1.0, 1.0):
        x, y = seen[0, 3] + sign * half * seen[0, 2], seen[1, 3] + sign * half * seen[1, 2]
        z = seen[2, 3] + sign * half * seen[2, 2]
        if z <= radius:
            # The camera is beside it or within
            left, right, low, high = -FAR, FAR, -FAR, FAR
            break
        # The tangents at the ball, in the plane of x and z and in that of y and z
        for axis in range(2):
            across = x if axis == 0 else y
            d2 = across * across + z * z - radius * radius
            t = radius * math.sqrt(d2)
            bottom = z * z - radius * radius
            first, second = (across * z - t) / bottom, (across * z + t) / bottom
            if axis == 0:
                left, right = min(left, first), max(right, second)
            else:
                low, high = min(low, first), max(high, second)
    _note_pixels(shape, left, right, low, high, tangent, height, width)


@jit
def _cover_box(shape: FloatArray, seen: FloatArray, tangent: float, height: int, width: int) -> None:
    """Notes the pixels that a box covers."""
    left, right, low, high = FAR, -FAR, FAR, -FAR
    for corner in range(8):
        a = shape[SIZE] if corner & 1 else -shape[SIZE]
        b = shape[SIZE + 1] if corner & 2 else -shape[SIZE + 1]
        c = shape[SIZE + 2] if corner & 4 else -shape[SIZE + 2]
        z = seen[2, 3] + a * seen[2, 0] + b * seen[2, 1] + c * seen[2, 2]
        if z <= 1e-6:
            left, right, low, high = -FAR, FAR, -FAR, FAR
            break
        x = (seen[0, 3] + a * seen[0, 0] + b * seen[0, 1] + c * seen[0, 2]) / z
        y = (seen[1, 3] + a * seen[1, 0] + b * seen[1, 1] + c * seen[1, 2]) / z
        left, right, low, high = min(left, x), max(right, x), min(low, y), max(high, y)
    _note_pixels(shape, left, right, low, high, tangent, height, width)


@jit
def _note_pixels(
    shape: FloatArray, left: float, right: float, low: float, high: float, tangent: float, height: int, width: int
) -> None:
    """Notes the columns and rows between slopes of rays, cut off at the edges of the picture."""
    scale = 0.5 * height / tangent
    shape[PIXELS] = max(0.0, math.floor(max(left * scale, -FAR) + 0.5 * width)) if left > -1e9 else 0.0
    shape[PIXELS + 1] = min(float(width), math.floor(right * scale + 0.5 * width) + 1.0) if right < 1e9 else float(width)
    shape[PIXELS + 2] = max(0.0, math.floor(0.5 * height - high * scale)) if high < 1e9 else 0.0
    shape[PIXELS + 3] = min(float(height), math.floor(0.5 * height - low * scale) + 1.0) if low > -1e9 else float(height)
