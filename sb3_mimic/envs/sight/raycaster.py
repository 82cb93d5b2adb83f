"""Draws capsules, cylinders and boxes by following rays: exactly, smoothly, the same to the last bit in every process."""

import math

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.models.kinematics import forward
from sb3_mimic.envs.sight.projection import FAR, N_COLUMNS, PIXELS, see
from sb3_mimic.envs.sight.rays import brightness, hit, hit_one, is_level
from sb3_mimic.jit import jit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Name and version, by which a picture is known to come from here; to be raised whenever pictures change
NAME = "raycaster-1"

# Of a picture's pixel: nothing is there; of a shape: so many surfaces it may have, told apart where they meet
NOTHING, N_SURFACES = -1, 8


@jit
def draw(
    qpos: FloatArray,
    base: FloatArray,
    parents: IntArray,
    link_kinds: IntArray,
    driven: IntArray,
    places: FloatArray,
    axes: FloatArray,
    kinds: IntArray,
    links: IntArray,
    frames: FloatArray,
    sizes: FloatArray,
    colors: FloatArray,
    eyes: FloatArray,
    turns: FloatArray,
    tangents: FloatArray,
    lights: FloatArray,
    ambients: FloatArray,
    background: FloatArray,
    pattern: FloatArray,
    out: npt.NDArray[np.uint8],
) -> None:
    """
    Draws one picture for each of several poses.

    :param qpos: Joint positions, shape (n, n_joints), in rad or m
    :param base: Where the first link is, shape (n or 1, 3, 4)
    :param parents: This and the next four: see :class:`~sb3_mimic.envs.models.kinematics.Kinematics`
    :param kinds: This and the next four: see :class:`~sb3_mimic.envs.sight.scene.Scene`; colours in [0, 255]
    :param eyes: Where the camera is, shape (n or 1, 3), in m
    :param turns: The camera's axes, right, up and ahead, as rows, shape (n or 1, 3, 3)
    :param tangents: Tangent of half of the vertical field of view, shape (n or 1,)
    :param lights: Towards the light, of the light's strength, shape (n or 1, 3)
    :param ambients: Light from everywhere, shape (n or 1,)
    :param background: Red, green and blue, in [0, 255], shape (3,); not used where coverage is asked for
    :param pattern: Where in an edge's pixel rays go through, in [0, 1], shape (n_rays, 2)
    :param out: Pictures, shape (n, height, width, 3), or (..., 4): over black, with coverage; written to
    """
    n_links, n_shapes = len(parents), len(kinds)
    where = np.empty((n_links, 3, 4))
    shapes = np.empty((n_shapes, N_COLUMNS))
    height, width = out.shape[1], out.shape[2]
    depth, surfaces = np.empty((height + 1, width + 1)), np.empty((height + 1, width + 1), np.int64)
    light = np.empty(4)
    for index in range(len(out)):
        forward(parents, link_kinds, driven, places, axes, qpos[index], base[index if len(base) > 1 else 0], where)
        camera = index if len(eyes) > 1 else 0
        lamp = index if len(lights) > 1 else 0
        turn, tangent = turns[camera], tangents[camera]
        for row in range(3):
            light[row] = turn[row, 0] * lights[lamp, 0] + turn[row, 1] * lights[lamp, 1] + turn[row, 2] * lights[lamp, 2]
        light[3] = math.sqrt(light[0] ** 2 + light[1] ** 2 + light[2] ** 2)
        see(kinds, links, frames, sizes, where, eyes[camera], turn, tangent, height, width, shapes)
        _draw_one(kinds, shapes, colors, tangent, light, ambients[lamp], background, pattern, depth, surfaces, out[index])


@jit
def _draw_one(
    kinds: IntArray,
    shapes: FloatArray,
    colors: FloatArray,
    tangent: float,
    light: FloatArray,
    ambient: float,
    background: FloatArray,
    pattern: FloatArray,
    depth: FloatArray,
    surfaces: IntArray,
    out: npt.NDArray[np.uint8],
) -> None:
    """Draws a picture: one ray through the middle of each pixel, and several where different surfaces meet."""
    height, width, n_channels = out.shape
    has_coverage = n_channels == 4
    pixel = 2.0 * tangent / height
    _paint_background(background, out)
    x_first, x_last, y_first, y_last = _look_at_corners(kinds, shapes, height, width, pixel, depth, surfaces)
    n_rays = len(pattern)
    us, vs, ts, best = np.empty(n_rays), np.empty(n_rays), np.empty(n_rays), np.empty(n_rays)
    met, winners = np.empty(n_rays, np.int64), np.empty(n_rays, np.int64)
    # Of each shape in a pixel: how much of it it covers, and the middle of what it covers
    near = np.empty(4, np.int64)
    shares, across, down = np.empty(4), np.empty(4), np.empty(4)
    # A level surface has one colour all over, which is found once; then its coverage stands here, too
    tones = np.zeros((N_SURFACES * len(kinds), 4), np.uint8)
    for j in range(y_first, y_last):
        for i in range(x_first, x_last):
            own = surfaces[j, i]
            left, top = (i - 0.5 * width) * pixel, (0.5 * height - j) * pixel
            if surfaces[j, i + 1] == own and surfaces[j + 1, i] == own and surfaces[j + 1, i + 1] == own:
                if own == NOTHING:
                    continue
                if is_level(kinds[own // N_SURFACES], own % N_SURFACES):
                    if tones[own, 3] == 0:
                        _find_tone(kinds, shapes, own, colors, light, ambient, tones)
                    _paint(tones, own, out, j, i)
                    continue
                n_near = 1
                near[0], shares[0], across[0], down[0] = own // N_SURFACES, 1.0, 0.5, 0.5
            else:
                for ray in range(n_rays):
                    us[ray], vs[ray] = left + pattern[ray, 0] * pixel, top - pattern[ray, 1] * pixel
                n_near = _shapes_at(surfaces, j, i, near)
                _divide(kinds, shapes, us, vs, pattern, near, n_near, ts, met, best, winners, shares, across, down)
            red, green, blue, covered = 0.0, 0.0, 0.0, 0.0
            for index in range(n_near):
                if shares[index] == 0.0:
                    continue
                k = near[index]
                u, v = left + across[index] * pixel, top - down[index] * pixel
                t, surface = hit_one(kinds[k], shapes[k], u, v)
                bright = ambient
                if t < FAR:
                    bright = brightness(kinds[k], shapes[k], surface, t, u, v, light, ambient)
                red += shares[index] * min(bright * colors[k, 0], 255.0)
                green += shares[index] * min(bright * colors[k, 1], 255.0)
                blue += shares[index] * min(bright * colors[k, 2], 255.0)
                covered += shares[index]
            if has_coverage:
                out[j, i, 3] = int(255.0 * covered + 0.5)
            else:
                rest = 1.0 - covered
                red, green, blue = red + rest * background[0], green + rest * background[1], blue + rest * background[2]
            out[j, i, 0], out[j, i, 1], out[j, i, 2] = int(red + 0.5), int(green + 0.5), int(blue + 0.5)


@jit
def _paint_background(background: FloatArray, out: npt.NDArray[np.uint8]) -> None:
    if out.shape[2] == 4:
        out[:] = 0
    elif background[0] == background[1] == background[2]:
        # White, grey and black in one go
        out[:] = np.uint8(background[0] + 0.5)
    else:
        for channel in range(3):
            out[:, :, channel] = np.uint8(background[channel] + 0.5)


@jit
def _find_tone(
    kinds: IntArray,
    shapes: FloatArray,
    own: int,
    colors: FloatArray,
    light: FloatArray,
    ambient: float,
    tones: npt.NDArray[np.uint8],
) -> None:
    """Writes the colour of a level surface, and that it covers all of a pixel, into its row of tones."""
    k = own // N_SURFACES
    bright = brightness(kinds[k], shapes[k], own % N_SURFACES, 0.0, 0.0, 0.0, light, ambient)
    for channel in range(3):
        tones[own, channel] = int(min(bright * colors[k, channel], 255.0) + 0.5)
    tones[own, 3] = 255


@jit
def _paint(tones: npt.NDArray[np.uint8], own: int, out: npt.NDArray[np.uint8], j: int, i: int) -> None:
    for channel in range(out.shape[2]):
        out[j, i, channel] = tones[own, channel]


@jit
def _look_at_corners(
    kinds: IntArray,
    shapes: FloatArray,
    height: int,
    width: int,
    pixel: float,
    depth: FloatArray,
    surfaces: IntArray,
) -> tuple[int, int, int, int]:
    """
    Follows a ray through each corner of the pixels that shapes may cover.

    :return: The first column with such a pixel and the one after the last, and the rows
    """
    x_first, x_last, y_first, y_last = width, 0, height, 0
    for k in range(len(kinds)):
        box = shapes[k, PIXELS:]
        if box[0] < box[1] and box[2] < box[3]:
            x_first, x_last = min(x_first, int(box[0])), max(x_last, int(box[1]))
            y_first, y_last = min(y_first, int(box[2])), max(y_last, int(box[3]))
    for j in range(y_first, y_last + 1):
        for i in range(x_first, x_last + 1):
            depth[j, i] = FAR
            surfaces[j, i] = NOTHING
    us, vs, ts = np.empty(width + 1), np.empty(width + 1), np.empty(width + 1)
    met = np.empty(width + 1, np.int64)
    for k in range(len(kinds)):
        shape = shapes[k]
        first, end = int(shape[PIXELS]), int(shape[PIXELS + 1]) + 1
        for column in range(end - first):
            us[column] = (first + column - 0.5 * width) * pixel
        for j in range(int(shape[PIXELS + 2]), int(shape[PIXELS + 3]) + 1):
            vs[: end - first] = (0.5 * height - j) * pixel
            hit(kinds[k], shape, us, vs, end - first, ts, met)
            for column in range(end - first):
                is_nearer = ts[column] < depth[j, first + column]
                depth[j, first + column] = ts[column] if is_nearer else depth[j, first + column]
                surfaces[j, first + column] = k * N_SURFACES + met[column] if is_nearer else surfaces[j, first + column]
    return x_first, x_last, y_first, y_last


@jit
def _shapes_at(surfaces: IntArray, j: int, i: int, near: IntArray) -> int:
    """Writes the different shapes at the corners of a pixel into an array, and returns their number."""
    n_near = 0
    for corner in range(4):
        other = surfaces[j + corner // 2, i + corner % 2]
        if other == NOTHING:
            continue
        k = other // N_SURFACES
        is_new = True
        for index in range(n_near):
            if near[index] == k:
                is_new = False
        if is_new:
            near[n_near] = k
            n_near += 1
    return n_near


@jit
def _divide(
    kinds: IntArray,
    shapes: FloatArray,
    us: FloatArray,
    vs: FloatArray,
    pattern: FloatArray,
    near: IntArray,
    n_near: int,
    ts: FloatArray,
    met: IntArray,
    best: FloatArray,
    winners: IntArray,
    shares: FloatArray,
    across: FloatArray,
    down: FloatArray,
) -> None:
    """Divides a pixel among shapes: writes how much of it each covers, and the middle of what it covers."""
    n_rays = len(pattern)
    best[:] = FAR
    winners[:] = NOTHING
    for index in range(n_near):
        hit(kinds[near[index]], shapes[near[index]], us, vs, n_rays, ts, met)
        for ray in range(n_rays):
            is_nearer = ts[ray] < best[ray]
            best[ray] = ts[ray] if is_nearer else best[ray]
            winners[ray] = index if is_nearer else winners[ray]
    for index in range(n_near):
        n, x, y = 0.0, 0.0, 0.0
        for ray in range(n_rays):
            if winners[ray] == index:
                n, x, y = n + 1.0, x + pattern[ray, 0], y + pattern[ray, 1]
        shares[index], across[index], down[index] = n / n_rays, x / max(n, 1.0), y / max(n, 1.0)
