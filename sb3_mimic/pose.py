"""Describes state vectors: their named parts with units, and the errors between two vectors."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

# A pose is reached when its worst key point is closer than this (in m)
SUCCESS_DISTANCE = 0.05

#: Names of the parts of a robot's pose, and of things that it moves
JOINTS, POINTS, OBJECT = "joints", "points", "object"
# How fast joints move, and the speed that 1 stands for, in rad/s or m/s
VELOCITY, VELOCITY_SCALE = "velocity", math.pi
# Joints can be pushed a little beyond their limits, and further at high speed: scaled angles are clipped to this
JOINT_BOUND = 2.0
# Key points of arms and humanoids are nearer to the origin than this, in m
POINT_BOUND = 2.0

# The unit that an error is given in for people, and how many of it make one of the vector's own unit
_TOLD_IN: dict[str, tuple[str, float]] = {
    "rad": ("deg", math.degrees(1)),
    "m": ("cm", 100.0),
    "rad/s": ("deg_per_s", math.degrees(1)),
    "m/s": ("cm_per_s", 100.0),
}
_SINGULAR = {JOINTS: "joint", POINTS: "keypoint"}

FloatArray = npt.NDArray[np.floating]


def norm(vectors: FloatArray) -> FloatArray:
    """Returns the Euclidean norm along the last axis; several times faster on small arrays than numpy's."""
    return np.sqrt(np.vecdot(vectors, vectors))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Part:
    """
    A named part of a state vector. A number of it stands for ``offset + scale * number`` of its unit.

    :param name: Its name: ``joints``, ``points``, ``object``, ``velocity``, or any other
    :param shape: (n,) numbers, or (n, 3) points, whose errors are Euclidean distances
    :param unit: Of its values: ``rad``, ``m``, ``rad/s``, or none
    :param bound: The largest magnitude of a number in the vector; what is beyond is clipped
    :param scale: Values that one of the vector's numbers stands for, one for each; 1 by default
    :param offset: Values that zero stands for, one for each; 0 by default
    :param start: Where in the vector it begins; set by the layout that it is a part of
    :raises ValueError: When an entry is missing, not finite or not positive
    """

    name: str
    shape: tuple[int, ...]
    unit: str = ""
    bound: float = math.inf
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    start: int = 0

    def __post_init__(self) -> None:
        # JSON has no tuples
        for name in ("shape", "scale", "offset"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.shape) not in (1, 2) or min(self.shape) < 1:
            raise ValueError(f"The shape of part '{self.name}' must be (n,) or (n, n_coordinates), got {self.shape}")
        if not self.bound > 0:
            raise ValueError(f"The bound of part '{self.name}' must be positive, got {self.bound}")
        for name, values in {"scale": self.scale, "offset": self.offset}.items():
            if len(values) not in (0, self.size) or not all(math.isfinite(value) for value in values):
                raise ValueError(f"Part '{self.name}' needs {self.size} finite numbers as {name}, or none, got {values}")
        if any(value <= 0 for value in self.scale):
            raise ValueError(f"The scale of part '{self.name}' must be positive, got {self.scale}")

    # Read several times in every step of an environment
    @cached_property
    def size(self) -> int:
        """The number of entries that it takes in the vector."""
        return math.prod(self.shape)

    @property
    def slice(self) -> slice:
        """The place of it in the vector."""
        return slice(self.start, self.start + self.size)

    @property
    def measure(self) -> str:
        """The name of its error, with the unit that the error is given in, such as ``joint_error_deg``."""
        unit = _TOLD_IN.get(self.unit, (self.unit, 1.0))[0]
        return f"{_SINGULAR.get(self.name, self.name)}_error{f'_{unit}' if unit else ''}"

    def numbers(self, vector: FloatArray) -> FloatArray:
        """Returns its numbers as they stand in the vector, shape (..., size)."""
        return np.asarray(vector)[..., self.slice]

    def of(self, vector: FloatArray) -> FloatArray:
        """Returns its values in a vector, in its unit, shape (..., \\*shape)."""
        values = self.numbers(vector)
        if self.scale:
            values = values * np.array(self.scale)
        if self.offset:
            values = values + np.array(self.offset)
        return values.reshape(*values.shape[:-1], *self.shape)

    def distances(self, vector: FloatArray, other: FloatArray) -> FloatArray:
        """
        Returns how far the values of two vectors are apart: absolute differences of numbers, Euclidean distances of points.

        :param vector: Shape (..., dim)
        :param other: Shape (..., dim)
        :return: Shape (..., n), in its unit
        """
        difference = self.numbers(vector) - self.numbers(other)
        if self.scale:
            difference = difference * np.array(self.scale)
        if len(self.shape) == 1:
            return np.abs(difference)
        return norm(difference.reshape((*difference.shape[:-1], *self.shape)))

    def error(self, vector: FloatArray, other: FloatArray) -> FloatArray:
        """Returns the mean of the :meth:`distances`, shape (...,), in deg for angles and in cm for lengths."""
        return np.asarray(self.distances(vector, other).mean(axis=-1) * _TOLD_IN.get(self.unit, ("", 1.0))[1])


@dataclass(frozen=True)
class PoseLayout:
    """
    The layout of a state vector: its parts, one after the other.

    All methods accept any number of leading (batch) dimensions.

    :param parts: From the first to the last
    :raises ValueError: When there is none, or two have the same name
    """

    parts: tuple[Part, ...]
    #: Size of the vector
    dim: int = field(init=False)
    _by_name: dict[str, Part] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"A layout needs at least one part, each with a name of its own, got {names}")
        start, placed = 0, []
        for part in self.parts:
            placed.append(replace(part, start=start))
            start += part.size
        object.__setattr__(self, "parts", tuple(placed))
        object.__setattr__(self, "dim", start)
        object.__setattr__(self, "_by_name", {part.name: part for part in placed})

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __contains__(self, name: str) -> bool:
        return any(part.name == name for part in self.parts)

    def __getitem__(self, name: str) -> Part:
        """
        Returns the part with a name.

        :raises KeyError: When there is no such part; the message lists those that there are
        """
        part = self._by_name.get(name)
        if part is not None:
            return part
        raise KeyError(f"This state has no part '{name}'. Its parts: {', '.join(part.name for part in self.parts)}.")

    def joints(self, pose: FloatArray) -> FloatArray:
        """Returns the joint angles of a robot's pose, shape (..., n_joints), in rad."""
        return self[JOINTS].of(pose)

    def keypoints(self, pose: FloatArray) -> FloatArray:
        """Returns the key points of a robot's pose, shape (..., n_keypoints, 3), in m."""
        return self[POINTS].of(pose)

    @property
    def bounds(self) -> npt.NDArray[np.float32]:
        """The largest magnitude of each number, shape (dim,)."""
        return np.concatenate([np.full(part.size, part.bound, np.float32) for part in self.parts])

    def select(self, *names: str) -> "PoseLayout":
        """Returns the layout of a vector that holds these parts alone, in this order."""
        return PoseLayout(tuple(self[name] for name in names))

    def leading(self, dim: int) -> "PoseLayout":
        """
        Returns the layout of a vector that holds only the first parts.

        :param dim: Size of that vector
        :return: The layout
        :raises ValueError: When no first parts have that size together
        """
        for n_parts in range(1, len(self.parts) + 1):
            if sum(part.size for part in self.parts[:n_parts]) == dim:
                return PoseLayout(self.parts[:n_parts])
        sizes = ", ".join(f"{part.name} ({part.size})" for part in self.parts)
        raise ValueError(f"A state of {sizes} has no first parts with {dim} numbers together.")

    def take(self, vector: FloatArray, *names: str) -> FloatArray:
        """Returns the numbers of these parts out of a vector, in this order: a vector of ``select(*names)``."""
        return np.concatenate([self[name].numbers(vector) for name in names], axis=-1)

    def errors(self, vector: FloatArray, other: FloatArray) -> dict[str, FloatArray]:
        """Returns the error of each part under the name of its measure, such as ``joint_error_deg``, shape (...,)."""
        return {part.measure: part.error(vector, other) for part in self.parts}

    def to_json(self) -> list[dict[str, Any]]:
        """Returns the layout as plain data, which :meth:`from_json` reads."""
        return [
            {"name": part.name, "shape": list(part.shape), "unit": part.unit, "scale": list(part.scale),
             "offset": list(part.offset), "bound": part.bound if math.isfinite(part.bound) else None}
            for part in self.parts
        ]  # fmt: skip

    @classmethod
    def from_json(cls, parts: Sequence[dict[str, Any]]) -> "PoseLayout":
        """
        Makes a layout out of plain data.

        :param parts: What :meth:`to_json` gave
        :return: The layout
        :raises ValueError: When it is something else
        """
        try:
            read = [{**part, "bound": math.inf if part.get("bound") is None else float(part["bound"])} for part in parts]
            return cls(tuple(Part(**part) for part in read))
        except (AttributeError, TypeError) as error:
            raise ValueError(f"This is no layout of a state: {error}") from error


def robot_pose(
    joint_low: Sequence[float], joint_high: Sequence[float], n_keypoints: int, point_bound: float = POINT_BOUND
) -> PoseLayout:
    """
    Makes the layout of a robot's pose: ``joints``, scaled to [-1, 1] by their range, and ``points``, its key points.

    :param joint_low: Lower joint limits, in rad
    :param joint_high: Upper joint limits, in rad
    :param n_keypoints: Number of key points
    :param point_bound: How far from the origin a key point can be, in m
    :return: The layout
    :raises ValueError: When a limit is missing or not below the other, or there is no key point
    """
    if len(joint_low) != len(joint_high) or not len(joint_low):
        raise ValueError(f"joint_low and joint_high must have one entry per joint, got {joint_low}, {joint_high}")
    limits = list(zip(joint_low, joint_high, strict=True))
    if any(low >= high for low, high in limits):
        raise ValueError(f"Every lower joint limit must be below its upper one, got {joint_low}, {joint_high}")
    if n_keypoints < 1:
        raise ValueError(f"A pose needs at least one key point, got n_keypoints={n_keypoints}")
    half_range = tuple((high - low) / 2 for low, high in limits)
    middle = tuple((high + low) / 2 for low, high in limits)
    joints = Part(JOINTS, (len(limits),), "rad", JOINT_BOUND, half_range, middle)
    return PoseLayout((joints, Part(POINTS, (n_keypoints, 3), "m", point_bound)))
