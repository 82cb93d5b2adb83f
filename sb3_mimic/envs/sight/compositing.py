"""Composes pictures for people out of layers: a floor with a checker and shadows, a ghost over it, a robot over both."""

import math

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.sight.photographer import camera_arrays
from sb3_mimic.envs.world.view import View
from sb3_mimic.jit import jit

FloatArray = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]

GHOST_OPACITY = 0.5
# Of the ghost's own colours, the part that is left: the rest is white
GHOST_COLOR = 0.6
OUTLINE_OPACITY = 0.6
# How much of a ghost's outline is this colour: the rest is the ghost's own
OUTLINE = np.array((86.0, 104.0, 140.0))
# The floor's two tiles, and the sky
COLORS = np.array(((244.0, 246.0, 249.0), (220.0, 226.0, 235.0), (234.0, 238.0, 245.0)))
SHADOW = 0.38
# So many times as far from its middle as its radius, the floor begins to fade, and has gone
FADE_FROM, FADE_TO = 1.2, 5.0


@jit
def paint_floor(
    eye: FloatArray,
    turn: FloatArray,
    tangent: float,
    height: float,
    tile: float,
    middle: FloatArray,
    radius: float,
    shadow: FloatArray,
    to_shadow: FloatArray,
    colors: FloatArray,
    out: FloatArray,
) -> None:
    """
    Paints a level floor with a checker, which fades into the sky. Every pixel shows the mean of all that it covers.

    :param eye: Where the camera is, shape (3,), in m
    :param turn: The camera's axes, right, up and ahead, as rows, shape (3, 3)
    :param tangent: Of half of the vertical field of view
    :param height: Of the floor, in m
    :param tile: Edge of a tile, in m
    :param middle: Where the floor is seen best, shape (2 or 3,), in m
    :param radius: How far from there, in m
    :param shadow: How much light is kept off, as the light sees it, shape (n, n), in [0, 1]
    :param to_shadow: Takes a point of the floor (x, y, 1) to its column and row in there, times its third number, shape (3, 3)
    :param colors: Of the two tiles, and of the sky, shape (3, 3)
    :param out: The picture, shape (height, width, 3); written to
    """
    rows, columns = out.shape[0], out.shape[1]
    pixel = 2.0 * tangent / rows
    down = height - eye[2]
    right_x, right_y, right_z = turn[0, 0] * pixel, turn[0, 1] * pixel, turn[0, 2] * pixel
    up_x, up_y, up_z = turn[1, 0] * pixel, turn[1, 1] * pixel, turn[1, 2] * pixel
    for j in range(rows):
        v = (0.5 * rows - j - 0.5) * pixel
        for i in range(columns):
            u = (i + 0.5 - 0.5 * columns) * pixel
            x = turn[0, 0] * u + turn[1, 0] * v + turn[2, 0]
            y = turn[0, 1] * u + turn[1, 1] * v + turn[2, 1]
            z = turn[0, 2] * u + turn[1, 2] * v + turn[2, 2]
            fade, light, bright = 0.0, 0.0, 1.0
            if down < 0.0 and z < -1e-6:
                t = down / z
                px, py = eye[0] + t * x, eye[1] + t * y
                away2 = (px - middle[0]) ** 2 + (py - middle[1]) ** 2
                if away2 < (FADE_TO * radius) ** 2:
                    fade = 1.0
                    if away2 > (FADE_FROM * radius) ** 2:
                        part = (FADE_TO - math.sqrt(away2) / radius) / (FADE_TO - FADE_FROM)
                        fade = part * part * (3.0 - 2.0 * part)
                    # How much of the floor this pixel covers: how fast its point moves with the pixel
                    part = t / tile
                    sx, sy = x / z, y / z
                    wide = part * (abs(right_x - sx * right_z) + abs(up_x - sx * up_z))
                    deep = part * (abs(right_y - sy * right_z) + abs(up_y - sy * up_z))
                    light = 0.5 + 0.5 * _wave(px / tile, wide) * _wave(py / tile, deep)
                    bright = 1.0 - SHADOW * _seen(px, py, shadow, to_shadow)
            for channel in range(3):
                sky = colors[2, channel]
                floor = colors[1, channel] + light * (colors[0, channel] - colors[1, channel])
                out[j, i, channel] = sky + fade * (bright * floor - sky)


@jit
def _wave(x: float, width: float) -> float:
    """Returns the mean, over an interval of some width around x, of a wave that is 1 over one unit and -1 over the next."""
    low, high = x - 0.5 * width, x + 0.5 * width
    first = math.floor(low)
    if first == math.floor(high):
        return 1.0 if first % 2 == 0 else -1.0
    # The wave's integral is a row of triangles
    low, high = 0.5 * low, 0.5 * high
    return (abs(high - math.floor(high + 0.5)) - abs(low - math.floor(low + 0.5))) / (high - low)


@jit
def _seen(x: float, y: float, picture: FloatArray, to_picture: FloatArray) -> float:
    """Returns what a picture shows of a point, between its pixels; 0 beside it."""
    last = len(picture) - 1
    scale = to_picture[2, 0] * x + to_picture[2, 1] * y + to_picture[2, 2]
    column = (to_picture[0, 0] * x + to_picture[0, 1] * y + to_picture[0, 2]) / scale
    row = (to_picture[1, 0] * x + to_picture[1, 1] * y + to_picture[1, 2]) / scale
    if scale <= 0.0 or column < 0.0 or row < 0.0 or column >= last or row >= last:
        return 0.0
    i, j = int(column), int(row)
    a, b = column - i, row - j
    above = picture[j, i] + a * (picture[j, i + 1] - picture[j, i])
    below = picture[j + 1, i] + a * (picture[j + 1, i + 1] - picture[j + 1, i])
    return float(above + b * (below - above))


def floor_to_picture(view: View, height: float) -> FloatArray:
    """
    Returns the matrix that takes points of a level floor (x, y, 1) to where they are in a picture: column and row, from the
    middle of the first pixel on, times its third number, shape (3, 3).

    :param view: Where the picture was taken from
    :param height: Of the floor, in m
    """
    eyes, turns, tangents = camera_arrays([view])
    # In the camera's frame: right, up and ahead
    seen = turns[0] @ np.column_stack((np.eye(3)[:, :2], (0.0, 0.0, height) - eyes[0]))
    scale = view.height / 2 / tangents[0]
    columns, rows = scale * seen[0] + (view.width - 1) / 2 * seen[2], (view.height - 1) / 2 * seen[2] - scale * seen[1]
    return np.stack((columns, rows, seen[2]))


@jit
def lay_over(canvas: FloatArray, layer: Picture) -> None:
    """
    Lays a picture over another.

    :param canvas: Shape (height, width, 3); written to
    :param layer: Colours times coverage, and coverage, shape (height, width, 4)
    """
    for j in range(canvas.shape[0]):
        for i in range(canvas.shape[1]):
            if layer[j, i, 3] > 0:
                rest = 1.0 - layer[j, i, 3] / 255.0
                for channel in range(3):
                    canvas[j, i, channel] = rest * canvas[j, i, channel] + layer[j, i, channel]


@jit
def lay_ghost_over(canvas: FloatArray, layer: Picture, outline: FloatArray) -> None:
    """
    Lays a picture over another as a ghost: pale, translucent, with an outline.

    :param canvas: Shape (height, width, 3); written to
    :param layer: Colours times coverage, and coverage, shape (height, width, 4)
    :param outline: Colour of the outline, shape (3,)
    """
    height, width = canvas.shape[0], canvas.shape[1]
    for j in range(height):
        first, last = width, -1
        for row in range(max(j - 1, 0), min(j + 2, height)):
            for column in range(width):
                if layer[row, column, 3] > 0:
                    first, last = min(first, column), max(last, column)
        for i in range(max(first - 1, 0), min(last + 2, width)):
            least, most = 255, 0
            for row in range(max(j - 1, 0), min(j + 2, height)):
                for column in range(max(i - 1, 0), min(i + 2, width)):
                    least, most = min(least, layer[row, column, 3]), max(most, layer[row, column, 3])
            if most == 0:
                continue
            covered = layer[j, i, 3] / 255.0
            edge = OUTLINE_OPACITY * (most - least) / 255.0
            for channel in range(3):
                pale = GHOST_COLOR * layer[j, i, channel] + (1.0 - GHOST_COLOR) * 255.0 * covered
                under = (1.0 - GHOST_OPACITY * covered) * canvas[j, i, channel] + GHOST_OPACITY * pale
                canvas[j, i, channel] = (1.0 - edge) * under + edge * outline[channel]


@jit
def to_bytes(canvas: FloatArray) -> Picture:
    """
    Rounds a picture to whole numbers.

    :param canvas: Shape (height, width, 3)
    :return: The same within [0, 255]
    """
    out = np.empty(canvas.shape, np.uint8)
    for j in range(canvas.shape[0]):
        for i in range(canvas.shape[1]):
            for channel in range(3):
                out[j, i, channel] = int(min(max(canvas[j, i, channel], 0.0), 255.0) + 0.5)
    return out


@jit
def soften(picture: FloatArray, radius: int) -> FloatArray:
    """
    Blurs a picture twice, by the mean over squares.

    :param picture: Shape (n, n)
    :param radius: Half of a square's edge, in pixels
    :return: The blurred picture; beyond its edges there is nothing
    """
    size = len(picture)
    now = picture
    for _ in range(4):
        blurred = np.empty_like(now)
        for line in range(size):
            total = 0.0
            for at in range(-radius, size):
                if at + radius < size:
                    total += now[line, at + radius]
                if at - radius - 1 >= 0:
                    total -= now[line, at - radius - 1]
                if at >= 0:
                    # Turned over: rows and columns in turns
                    blurred[at, line] = total / (2 * radius + 1)
        now = blurred
    return now
