"""Follows rays to capsules, spheres, cylinders and boxes, and says how bright they are where they are met."""

import math

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.sight.projection import AXIS, FAR, ORIGIN, SIZE, TERMS, TURN
from sb3_mimic.envs.sight.scene import BOX, CYLINDER
from sb3_mimic.jit import jit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@jit
def hit(kind: int, shape: FloatArray, us: FloatArray, vs: FloatArray, n: int, ts: FloatArray, met: IntArray) -> None:
    """
    Follows the rays (u, v, 1) to a shape.

    :param kind: Of the shape
    :param shape: See :func:`~sb3_mimic.envs.sight.projection.see`
    :param us: This and vs: shape (at least n,)
    :param ts: How far each ray goes, in its own lengths, or FAR; written to
    :param met: The surface that each ray meets; written to
    """
    # Loops without jumps, which the compiler turns into instructions that treat several rays at once
    if kind == BOX:
        for ray in range(n):
            ts[ray], met[ray] = _hit_box(shape, us[ray], vs[ray])
    elif kind == CYLINDER:
        for ray in range(n):
            ts[ray], met[ray] = _hit_cylinder(shape, us[ray], vs[ray])
    elif shape[TERMS] > 0.0:
        for ray in range(n):
            ts[ray], met[ray] = _hit_capsule(shape, us[ray], vs[ray])
    else:
        for ray in range(n):
            ts[ray], met[ray] = _hit_sphere(shape, us[ray], vs[ray])


@jit
def hit_one(kind: int, shape: FloatArray, u: float, v: float) -> tuple[float, int]:
    """Follows one ray as :func:`hit` does, and returns how far it goes and which surface it meets."""
    if kind == BOX:
        return _hit_box(shape, u, v)
    if kind == CYLINDER:
        return _hit_cylinder(shape, u, v)
    if shape[TERMS] > 0.0:
        return _hit_capsule(shape, u, v)
    return _hit_sphere(shape, u, v)


@jit
def _hit_sphere(shape: FloatArray, u: float, v: float) -> tuple[float, int]:
    x, y, z = shape[ORIGIN], shape[ORIGIN + 1], shape[ORIGIN + 2]
    rest = x * x + y * y + z * z - shape[SIZE] * shape[SIZE]
    d2, d_o = u * u + v * v + 1.0, x * u + y * v + z
    h = d_o * d_o - d2 * rest
    t = (d_o - math.sqrt(max(h, 0.0))) / d2
    return t if (h >= 0.0) & (t > 0.0) else FAR, 0


@jit
def _hit_capsule(shape: FloatArray, u: float, v: float) -> tuple[float, int]:
    ax, ay, az = shape[AXIS], shape[AXIS + 1], shape[AXIS + 2]
    # From the first end to the camera
    ox, oy, oz = 0.5 * ax - shape[ORIGIN], 0.5 * ay - shape[ORIGIN + 1], 0.5 * az - shape[ORIGIN + 2]
    ba2, ba_oa, oa2, c, ob2 = shape[TERMS], shape[TERMS + 1], shape[TERMS + 2], shape[TERMS + 3], shape[TERMS + 4]
    r2 = shape[SIZE] * shape[SIZE]
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
    return t if is_met else FAR, 0


@jit
def _hit_cylinder(shape: FloatArray, u: float, v: float) -> tuple[float, int]:
    ax, ay, az = shape[AXIS], shape[AXIS + 1], shape[AXIS + 2]
    ox, oy, oz = 0.5 * ax - shape[ORIGIN], 0.5 * ay - shape[ORIGIN + 1], 0.5 * az - shape[ORIGIN + 2]
    ba2, ba_oa, c = shape[TERMS], shape[TERMS + 1], shape[TERMS + 3]
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
    return t if (is_side | is_flat) & (t > 0.0) else FAR, 0 if is_side else (2 if is_last else 1)


@jit
def _hit_box(shape: FloatArray, u: float, v: float) -> tuple[float, int]:
    first, last, surface = -FAR, FAR, 0
    for axis in range(3):
        o, half = shape[TERMS + axis], shape[SIZE + axis]
        d = shape[TURN + axis] * u + shape[TURN + 3 + axis] * v + shape[TURN + 6 + axis]
        d = d if abs(d) > 1e-14 else 1e-14
        near, far = (-half - o) / d, (half - o) / d
        side = 2 * axis + (1 if near > far else 0)
        enter, leave = min(near, far), max(near, far)
        surface = side if enter > first else surface
        first, last = max(first, enter), min(last, leave)
    return first if (first <= last) & (first > 0.0) else FAR, surface


@jit
def is_level(kind: int, surface: int) -> bool:
    """Whether a surface faces one way all over, and so is equally bright all over."""
    return kind == BOX or (kind == CYLINDER and surface > 0)


@jit
def brightness(
    kind: int, shape: FloatArray, surface: int, t: float, u: float, v: float, light: FloatArray, ambient: float
) -> float:
    """Returns how bright a point is: half of Lambert's cosine, so that what is turned away keeps its form."""
    if kind == BOX:
        axis = surface // 2
        sign = -1.0 if surface % 2 == 0 else 1.0
        x, y, z = sign * shape[TURN + axis], sign * shape[TURN + 3 + axis], sign * shape[TURN + 6 + axis]
    else:
        ba2 = shape[TERMS]
        x, y, z = t * u - shape[ORIGIN], t * v - shape[ORIGIN + 1], t - shape[ORIGIN + 2]
        if kind == CYLINDER and surface > 0:
            sign = -1.0 if surface == 1 else 1.0
            length = math.sqrt(ba2)
            x, y, z = sign * shape[AXIS] / length, sign * shape[AXIS + 1] / length, sign * shape[AXIS + 2] / length
        else:
            if ba2 > 0.0:
                part = (x * shape[AXIS] + y * shape[AXIS + 1] + z * shape[AXIS + 2]) / ba2
                part = min(max(part, -0.5), 0.5)
                x, y, z = x - part * shape[AXIS], y - part * shape[AXIS + 1], z - part * shape[AXIS + 2]
            radius = shape[SIZE]
            x, y, z = x / radius, y / radius, z / radius
    brightness: float = ambient + 0.5 * (light[3] + x * light[0] + y * light[1] + z * light[2])
    return brightness
