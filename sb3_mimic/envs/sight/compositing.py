"""Composes pictures for people out of layers: a floor with a checker and shadows, a ghost over it, a robot over both."""

import math

import numpy as np
import numpy.typing as npt

from sb3_mimic.jit import jit

FloatArray = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]

GHOST_OPACITY = 0.5
# Of the ghost's own colours, the part that is left: the rest is white
GHOST_COLOR = 0.6
OUTLINE_OPACITY = 0.6
# How much of a ghost's outline is this colour: the rest is the ghost's own
OUTLINE = np.array((86.0, 104.0, 140.0))
# The floor's two tiles, the sky just above the floor and straight above
COLORS = np.array(((243.0, 245.0, 248.0), (221.0, 227.0, 235.0), (236.0, 240.0, 246.0), (214.0, 223.0, 235.0)))
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
    lamp: FloatArray,
    lamp_turn: FloatArray,
    lamp_tangent: float,
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
    :param shadow: How much light is kept off, as the lamp sees it, shape (n, n), in [0, 1]
    :param lamp: Where the lamp is, its axes, and the tangent of half of its field of view, as those of the camera
    :param colors: Of the two tiles, and of the sky, low and high, shape (4, 3)
    :param out: The picture, shape (height, width, 3); written to
    """
    rows, columns = out.shape[0], out.shape[1]
    pixel = 2.0 * tangent / rows
    size = len(shadow)
    for j in range(rows):
        v = (0.5 * rows - j - 0.5) * pixel
        for i in range(columns):
            u = (i + 0.5 - 0.5 * columns) * pixel
            x = turn[0, 0] * u + turn[1, 0] * v + turn[2, 0]
            y = turn[0, 1] * u + turn[1, 1] * v + turn[2, 1]
            z = turn[0, 2] * u + turn[1, 2] * v + turn[2, 2]
            high = min(max(1.5 * z / math.sqrt(x * x + y * y + z * z), 0.0), 1.0)
            red = colors[2, 0] + high * (colors[3, 0] - colors[2, 0])
            green = colors[2, 1] + high * (colors[3, 1] - colors[2, 1])
            blue = colors[2, 2] + high * (colors[3, 2] - colors[2, 2])
            # The rays through the next pixels to the right and below tell how much of the floor this one covers
            z_right, z_below = z + turn[0, 2] * pixel, z - turn[1, 2] * pixel
            if eye[2] > height and z < -1e-6 and z_right < -1e-6 and z_below < -1e-6:
                t = (height - eye[2]) / z
                px, py = eye[0] + t * x, eye[1] + t * y
                away = math.sqrt((px - middle[0]) ** 2 + (py - middle[1]) ** 2) / radius
                fade = min(max((away - FADE_FROM) / (FADE_TO - FADE_FROM), 0.0), 1.0)
                fade = 1.0 - fade * fade * (3.0 - 2.0 * fade)
                if fade > 0.0:
                    t_right, t_below = (height - eye[2]) / z_right, (height - eye[2]) / z_below
                    wide = abs(eye[0] + t_right * (x + turn[0, 0] * pixel) - px)
                    wide += abs(eye[0] + t_below * (x - turn[1, 0] * pixel) - px)
                    deep = abs(eye[1] + t_right * (y + turn[0, 1] * pixel) - py)
                    deep += abs(eye[1] + t_below * (y - turn[1, 1] * pixel) - py)
                    light = 0.5 + 0.5 * _wave(px / tile, wide / tile) * _wave(py / tile, deep / tile)
                    bright = 1.0 - SHADOW * _seen(px, py, height, shadow, size, lamp, lamp_turn, lamp_tangent)
                    red += fade * (bright * (colors[1, 0] + light * (colors[0, 0] - colors[1, 0])) - red)
                    green += fade * (bright * (colors[1, 1] + light * (colors[0, 1] - colors[1, 1])) - green)
                    blue += fade * (bright * (colors[1, 2] + light * (colors[0, 2] - colors[1, 2])) - blue)
            out[j, i, 0], out[j, i, 1], out[j, i, 2] = red, green, blue


@jit
def _wave(x: float, width: float) -> float:
    """Returns the mean, over an interval of some width around x, of a wave that is 1 over one unit and -1 over the next."""
    w = max(width, 1e-6)
    low, high = 0.5 * (x - 0.5 * w), 0.5 * (x + 0.5 * w)
    # The wave's integral is a row of triangles
    return (abs(high - math.floor(high + 0.5)) - abs(low - math.floor(low + 0.5))) / (high - low)


@jit
def _seen(
    x: float, y: float, z: float, picture: FloatArray, size: int, eye: FloatArray, turn: FloatArray, tangent: float
) -> float:
    """Returns what a picture shows of a point, between its pixels; 0 beside it."""
    dx, dy, dz = x - eye[0], y - eye[1], z - eye[2]
    ahead = turn[2, 0] * dx + turn[2, 1] * dy + turn[2, 2] * dz
    if ahead <= 0.0:
        return 0.0
    scale = 0.5 * size / (tangent * ahead)
    column = (turn[0, 0] * dx + turn[0, 1] * dy + turn[0, 2] * dz) * scale + 0.5 * size - 0.5
    row = -(turn[1, 0] * dx + turn[1, 1] * dy + turn[1, 2] * dz) * scale + 0.5 * size - 0.5
    if column < 0.0 or row < 0.0 or column >= size - 1 or row >= size - 1:
        return 0.0
    i, j = int(column), int(row)
    a, b = column - i, row - j
    above = picture[j, i] + a * (picture[j, i + 1] - picture[j, i])
    below = picture[j + 1, i] + a * (picture[j + 1, i + 1] - picture[j + 1, i])
    return float(above + b * (below - above))


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
        for i in range(width):
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
def soften(picture: FloatArray, radius: int) -> FloatArray:
    """
    Blurs a picture twice, by the mean over squares.

    :param picture: Shape (n, n)
    :param radius: Half of a square's edge, in pixels
    :return: The blurred picture; beyond its edges there is nothing
    """
    size = len(picture)
    now = picture
    for _turn in range(4):
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
