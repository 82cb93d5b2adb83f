"""Draws capsules, cylinders and boxes by following rays: exactly, smoothly, the same to the last bit in every process."""

import math

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.models.kinematics import forward
from sb3_mimic.envs.sight.scene import BOX, CYLINDER
from sb3_mimic.jit import jit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Name and version, by which a picture is known to come from here; to be raised whenever pictures change
NAME = "raycaster-1"

FAR = 1e30
# Of a picture's pixel: nothing is there; of a shape: so many surfaces it may have, told apart where they meet
NOTHING, N_SURFACES = -1, 8
# Columns of what is computed once for each shape: where it is and how it is turned, seen by the camera, its sizes, what
# does not depend on the ray, and the pixels that it may cover
_ORIGIN, _TURN, _SIZE, _AXIS, _TERMS, _PIXELS, N_COLUMNS = 0, 3, 12, 15, 18, 23, 27


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
        _see(kinds, links, frames, sizes, where, eyes[camera], turn, tangent, height, width, shapes)
        _draw_one(kinds, shapes, colors, tangent, light, ambients[lamp], background, pattern, depth, surfaces, out[index])


@jit
def _see(
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
    """Computes, for each shape, all that does not depend on the ray: in the camera's frame x is right, y up, z ahead."""
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
            shape[_ORIGIN + row] = seen[row, 3]
            for column in range(3):
                shape[_TURN + 3 * row + column] = seen[row, column]
            shape[_SIZE + row] = sizes[k, row]
        if kinds[k] == BOX:
            # Where the camera is in the box's own frame
            for column in range(3):
                total = 0.0
                for row in range(3):
                    total -= seen[row, column] * seen[row, 3]
                shape[_TERMS + column] = total
            _cover_box(shape, seen, tangent, height, width)
            continue
        radius, half = sizes[k, 0], sizes[k, 1]
        ba2, ba_oa, oa2, ob2 = 0.0, 0.0, 0.0, 0.0
        for row in range(3):
            ba = 2.0 * half * seen[row, 2]
            oa = half * seen[row, 2] - seen[row, 3]
            shape[_AXIS + row] = ba
            ba2 += ba * ba
            ba_oa += ba * oa
            oa2 += oa * oa
            ob2 += (oa - ba) * (oa - ba)
        shape[_TERMS], shape[_TERMS + 1], shape[_TERMS + 2] = ba2, ba_oa, oa2
        shape[_TERMS + 3] = ba2 * oa2 - ba_oa * ba_oa - radius * radius * ba2
        shape[_TERMS + 4] = ob2
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
        a = shape[_SIZE] if corner & 1 else -shape[_SIZE]
        b = shape[_SIZE + 1] if corner & 2 else -shape[_SIZE + 1]
        c = shape[_SIZE + 2] if corner & 4 else -shape[_SIZE + 2]
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
    shape[_PIXELS] = max(0.0, math.floor(max(left * scale, -FAR) + 0.5 * width)) if left > -1e9 else 0.0
    shape[_PIXELS + 1] = min(float(width), math.floor(right * scale + 0.5 * width) + 1.0) if right < 1e9 else float(width)
    shape[_PIXELS + 2] = max(0.0, math.floor(0.5 * height - high * scale)) if high < 1e9 else 0.0
    shape[_PIXELS + 3] = min(float(height), math.floor(0.5 * height - low * scale) + 1.0) if low > -1e9 else float(height)


@jit
def _hit(kind: int, shape: FloatArray, us: FloatArray, vs: FloatArray, n: int, ts: FloatArray, met: IntArray) -> None:
    """
    Follows the rays (u, v, 1) to a shape.

    :param us: This and vs: shape (at least n,)
    :param ts: How far each ray goes, in its own lengths, or FAR; written to
    :param met: The surface that each ray meets; written to
    """
    if kind == BOX:
        _hit_box(shape, us, vs, n, ts, met)
    elif kind == CYLINDER:
        _hit_cylinder(shape, us, vs, n, ts, met)
    elif shape[_TERMS] > 0.0:
        _hit_capsule(shape, us, vs, n, ts, met)
    else:
        _hit_sphere(shape, us, vs, n, ts, met)


# Loops without jumps, which the compiler turns into instructions that treat several rays at once


@jit
def _hit_sphere(shape: FloatArray, us: FloatArray, vs: FloatArray, n: int, ts: FloatArray, met: IntArray) -> None:
    x, y, z = shape[_ORIGIN], shape[_ORIGIN + 1], shape[_ORIGIN + 2]
    rest = x * x + y * y + z * z - shape[_SIZE] * shape[_SIZE]
    for ray in range(n):
        u, v = us[ray], vs[ray]
        d2, d_o = u * u + v * v + 1.0, x * u + y * v + z
        h = d_o * d_o - d2 * rest
        t = (d_o - math.sqrt(max(h, 0.0))) / d2
        ts[ray] = t if (h >= 0.0) & (t > 0.0) else FAR
        met[ray] = 0


@jit
def _hit_capsule(shape: FloatArray, us: FloatArray, vs: FloatArray, n: int, ts: FloatArray, met: IntArray) -> None:
    ax, ay, az = shape[_AXIS], shape[_AXIS + 1], shape[_AXIS + 2]
    # From the first end to the camera
    ox, oy, oz = 0.5 * ax - shape[_ORIGIN], 0.5 * ay - shape[_ORIGIN + 1], 0.5 * az - shape[_ORIGIN + 2]
    ba2, ba_oa, oa2, c, ob2 = shape[_TERMS], shape[_TERMS + 1], shape[_TERMS + 2], shape[_TERMS + 3], shape[_TERMS + 4]
    r2 = shape[_SIZE] * shape[_SIZE]
    for ray in range(n):
        u, v = us[ray], vs[ray]
        d2, d_oa, ba_d = u * u + v * v + 1.0, ox * u + oy * v + oz, ax * u + ay * v + az
        a, b = ba2 * d2 - ba_d * ba_d, ba2 * d_oa - ba_oa * ba_d
        h = b * b - a * c
        side = (-b - math.sqrt(max(h, 0.0))) / max(a, 1e-14)
        along = ba_oa + side * ba_d
        is_last = along >= ba2
        e_d, e2 = (d_oa - ba_d if is_last else d_oa), (ob2 if is_last else oa2)
        g = e_d * e_d - d2 * (e2 - r2)
        end = (-e_d - math.sqrt(max(g, 0.0))) / d2
        is_side = (along > 0.0) & (along < ba2)
        t = side if is_side else end
        is_met = (h >= 0.0) & (is_side | (g >= 0.0)) & (t > 0.0)
        ts[ray] = t if is_met else FAR
        met[ray] = 0


@jit
def _hit_cylinder(shape: FloatArray, us: FloatArray, vs: FloatArray, n: int, ts: FloatArray, met: IntArray) -> None:
    ax, ay, az = shape[_AXIS], shape[_AXIS + 1], shape[_AXIS + 2]
    ox, oy, oz = 0.5 * ax - shape[_ORIGIN], 0.5 * ay - shape[_ORIGIN + 1], 0.5 * az - shape[_ORIGIN + 2]
    ba2, ba_oa, c = shape[_TERMS], shape[_TERMS + 1], shape[_TERMS + 3]
    for ray in range(n):
        u, v = us[ray], vs[ray]
        d2, d_oa, ba_d = u * u + v * v + 1.0, ox * u + oy * v + oz, ax * u + ay * v + az
        a, b = ba2 * d2 - ba_d * ba_d, ba2 * d_oa - ba_oa * ba_d
        h = b * b - a * c
        root = math.sqrt(max(h, 0.0))
        side = (-b - root) / max(a, 1e-14)
        along = ba_oa + side * ba_d
        is_side = (h >= 0.0) & (along > 0.0) & (along < ba2)
        # The end that faces the camera
        is_last = ba_d < 0.0
        slope = ba_d if abs(ba_d) > 1e-14 else 1e-14
        flat = ((ba2 if is_last else 0.0) - ba_oa) / slope
        is_flat = abs(b + a * flat) < root
        t = side if is_side else flat
        ts[ray] = t if (is_side | is_flat) & (t > 0.0) else FAR
        met[ray] = 0 if is_side else (2 if is_last else 1)


@jit
def _hit_box(shape: FloatArray, us: FloatArray, vs: FloatArray, n: int, ts: FloatArray, met: IntArray) -> None:
    for ray in range(n):
        u, v = us[ray], vs[ray]
        first, last, surface = -FAR, FAR, 0
        for axis in range(3):
            o, half = shape[_TERMS + axis], shape[_SIZE + axis]
            d = shape[_TURN + axis] * u + shape[_TURN + 3 + axis] * v + shape[_TURN + 6 + axis]
            d = d if abs(d) > 1e-14 else 1e-14
            near, far = (-half - o) / d, (half - o) / d
            side = 2 * axis + (1 if near > far else 0)
            enter, leave = min(near, far), max(near, far)
            surface = side if enter > first else surface
            first, last = max(first, enter), min(last, leave)
        ts[ray] = first if (first <= last) & (first > 0.0) else FAR
        met[ray] = surface


@jit
def _brightness(
    kind: int, shape: FloatArray, surface: int, t: float, u: float, v: float, light: FloatArray, ambient: float
) -> float:
    """Returns how bright a point is: half of Lambert's cosine, so that what is turned away keeps its form."""
    if kind == BOX:
        axis = surface // 2
        sign = -1.0 if surface % 2 == 0 else 1.0
        x, y, z = sign * shape[_TURN + axis], sign * shape[_TURN + 3 + axis], sign * shape[_TURN + 6 + axis]
    else:
        ba2 = shape[_TERMS]
        x, y, z = t * u - shape[_ORIGIN], t * v - shape[_ORIGIN + 1], t - shape[_ORIGIN + 2]
        if kind == CYLINDER and surface > 0:
            sign = -1.0 if surface == 1 else 1.0
            length = math.sqrt(ba2)
            x, y, z = sign * shape[_AXIS] / length, sign * shape[_AXIS + 1] / length, sign * shape[_AXIS + 2] / length
        else:
            if ba2 > 0.0:
                part = (x * shape[_AXIS] + y * shape[_AXIS + 1] + z * shape[_AXIS + 2]) / ba2
                part = min(max(part, -0.5), 0.5)
                x, y, z = x - part * shape[_AXIS], y - part * shape[_AXIS + 1], z - part * shape[_AXIS + 2]
            radius = shape[_SIZE]
            x, y, z = x / radius, y / radius, z / radius
    brightness: float = ambient + 0.5 * (light[3] + x * light[0] + y * light[1] + z * light[2])
    return brightness


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
    if has_coverage:
        out[:] = 0
    else:
        for channel in range(3):
            out[:, :, channel] = np.uint8(background[channel] + 0.5)
    x_first, x_last, y_first, y_last = _look_at_corners(kinds, shapes, height, width, pixel, depth, surfaces)
    n_rays = len(pattern)
    us, vs, ts, best = np.empty(n_rays), np.empty(n_rays), np.empty(n_rays), np.empty(n_rays)
    met, winners = np.empty(n_rays, np.int64), np.empty(n_rays, np.int64)
    # Of each shape in a pixel: how much of it it covers, and the middle of what it covers
    near = np.empty(4, np.int64)
    shares, across, down = np.empty(4), np.empty(4), np.empty(4)
    for j in range(y_first, y_last):
        for i in range(x_first, x_last):
            own = surfaces[j, i]
            left, top = (i - 0.5 * width) * pixel, (0.5 * height - j) * pixel
            if surfaces[j, i + 1] == own and surfaces[j + 1, i] == own and surfaces[j + 1, i + 1] == own:
                if own == NOTHING:
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
                us[0], vs[0] = left + across[index] * pixel, top - down[index] * pixel
                _hit(kinds[k], shapes[k], us, vs, 1, ts, met)
                bright = ambient
                if ts[0] < FAR:
                    bright = _brightness(kinds[k], shapes[k], met[0], ts[0], us[0], vs[0], light, ambient)
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
        box = shapes[k, _PIXELS:]
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
        first, end = int(shape[_PIXELS]), int(shape[_PIXELS + 1]) + 1
        for column in range(end - first):
            us[column] = (first + column - 0.5 * width) * pixel
        for j in range(int(shape[_PIXELS + 2]), int(shape[_PIXELS + 3]) + 1):
            vs[: end - first] = (0.5 * height - j) * pixel
            _hit(kinds[k], shape, us, vs, end - first, ts, met)
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
        _hit(kinds[near[index]], shapes[near[index]], us, vs, n_rays, ts, met)
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
