"""Moves the camera and the light from episode to episode."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.sight.photographer import DAYLIGHT, Light, camera_arrays
from sb3_mimic.envs.world.checks import checked_settings, is_number
from sb3_mimic.envs.world.view import Vector, View
from sb3_mimic.errors import EnvArgumentError
from sb3_mimic.pose import Part

FloatArray = npt.NDArray[np.floating]

#: How many numbers say where a camera is: three of its position, three of its direction, one of its field of view
N_CAMERA_PARAMETERS = 7
#: Names of the parts that say so in a vector
CAMERA_POSITION, CAMERA_DIRECTION, CAMERA_FOV = "camera_position", "camera_direction", "camera_fov"
# What does not change still needs a unit, in m, rad, or parts of the field of view
SMALLEST = 1e-6
# Beyond these the robot would hardly ever be in the picture
LARGEST = {"position": 10.0, "direction": 45.0, "roll": 180.0, "fov": 0.5, "light_angle": 90.0, "light_strength": 1.0}


@dataclass(frozen=True)
class Shot:
    """
    Tells how one picture is taken.

    :param camera: How the camera is moved, 7 numbers: to the right, up and ahead, in m; turned to the right and up, and
        rolled clockwise, in rad; and by which part its field of view is wider
    :param light: The light, or None where it stays
    """

    camera: tuple[float, ...]
    light: Light | None = None

    def run_state(self) -> dict[str, Any]:
        """Returns it as plain numbers."""
        light = self.light
        numbers = None if light is None else [*light.direction, light.strength, light.ambient]
        return {"camera": list(self.camera), "light": numbers}

    @classmethod
    def from_run_state(cls, state: Mapping[str, Any]) -> "Shot":
        """Returns what :meth:`run_state` was told of."""
        light = state["light"]
        return cls(tuple(state["camera"]), None if light is None else Light((light[0], light[1], light[2]), *light[3:]))


@dataclass(frozen=True)
class SceneRandomization:
    """
    Says how far camera and light are moved, evenly in both directions.

    :param position: How far the camera is moved along its own axes, to the right, up and ahead, in m; one number for all
    :param direction: How far it is turned, to a side as well as up or down, in deg
    :param roll: How far it is rolled about the direction in which it looks, in deg
    :param fov: By which part its field of view becomes wider or narrower
    :param light_angle: How far from straight above the light can be, in deg; 90 is anywhere on the upper side. None leaves
        the light as it is
    :param light_strength: Smallest and largest strength of the light; what it falls short of 1 comes from everywhere
    :raises EnvArgumentError: When a range is negative, not finite or too large
    """

    position: float | tuple[float, float, float] = 0.05
    direction: float = 5.0
    roll: float = 5.0
    fov: float = 0.05
    light_angle: float | None = 90.0
    light_strength: tuple[float, float] = (0.5, 0.9)

    def __post_init__(self) -> None:
        position, strength = self.position, self.light_strength
        # YAML has no tuples
        object.__setattr__(self, "position", tuple(position) if isinstance(position, Sequence) else (position,) * 3)
        object.__setattr__(self, "light_strength", tuple(strength) if isinstance(strength, Sequence) else (strength,))
        for name, limit in LARGEST.items():
            value = getattr(self, name)
            size = {"position": 3, "light_strength": 2}.get(name)
            numbers = value if isinstance(value, tuple) else (value,)
            if name == "light_angle" and value is None:
                continue
            if len(numbers) != (size or 1) or not all(is_number(number) and 0 <= number <= limit for number in numbers):
                allowed = f"{size or 'one'} number{'s' if size else ''} from 0 to {limit:g}"
                raise EnvArgumentError(f"{name} of a SceneRandomization must be {allowed}, got {value!r}.")
        if self.light_strength[0] > self.light_strength[1]:
            raise EnvArgumentError(
                f"light_strength of a SceneRandomization must be the smallest and the largest, got {self.light_strength}."
            )

    @classmethod
    def of(cls, settings: "SceneRandomization | Mapping[str, Any] | bool | None") -> "SceneRandomization | None":
        """
        Makes a randomisation out of what stands in YAML.

        :param settings: The randomisation or its arguments; True for its defaults; False or None for none
        :return: The randomisation, or None
        :raises EnvArgumentError: When an argument is unknown or has a value that is not allowed
        """
        return checked_settings(cls, settings, "scene_randomization")

    @cached_property
    def ranges(self) -> FloatArray:
        """Returns the largest magnitude of each parameter of the camera, shape (7,), in m, rad, and parts."""
        assert isinstance(self.position, tuple)
        angles = (self.direction, self.direction, self.roll)
        return np.maximum((*self.position, *map(math.radians, angles), self.fov), SMALLEST)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Returns the parts of a vector that say where the camera is, scaled to [-1, 1] by the ranges."""
        ranges = self.ranges.tolist()
        return (
            Part(CAMERA_POSITION, (1, 3), "m", scale=ranges[:3]),
            Part(CAMERA_DIRECTION, (3,), "rad", scale=ranges[3:6]),
            Part(CAMERA_FOV, (1,), scale=ranges[6:]),
        )

    def draw(self, rng: np.random.Generator, is_lit: bool = True) -> Shot:
        """
        Draws how a picture is taken.

        :param rng: Random numbers
        :param is_lit: Whether the light can be changed; as many random numbers are drawn where it cannot
        :return: Camera and light
        """
        numbers = rng.uniform(-1, 1, N_CAMERA_PARAMETERS) * self.ranges
        azimuth, height, part = rng.uniform(0, 1, 3).tolist()
        camera = tuple(numbers.tolist())
        if self.light_angle is None or not is_lit:
            return Shot(camera)
        # Evenly over the cap of a sphere
        z = 1 - height * (1 - math.cos(math.radians(self.light_angle)))
        across, turn = math.sqrt(max(1 - z * z, 0.0)), 2 * math.pi * azimuth
        low, high = self.light_strength
        strength = low + part * (high - low)
        brightest = DAYLIGHT.strength + DAYLIGHT.ambient
        return Shot(camera, Light((across * math.cos(turn), across * math.sin(turn), z), strength, brightest - strength))


def moved_view(view: View, parameters: Sequence[float] | FloatArray) -> View:
    """
    Moves a camera.

    :param view: Where the camera is
    :param parameters: See :class:`Shot`, shape (7,)
    :return: Where it is then; the same view where all parameters are 0
    :raises EnvArgumentError: When they are no 7 finite numbers, or leave no field of view
    """
    x, y, z, yaw, pitch, roll, wider = checked_parameters(parameters)
    if not any((x, y, z, yaw, pitch, roll, wider)):
        return view
    eyes, turns, _ = camera_arrays([view])
    right, up, ahead = turns[0]
    eye = eyes[0] + x * right + y * up + z * ahead
    side = math.cos(yaw) * right - math.sin(yaw) * ahead
    level = math.sin(yaw) * right + math.cos(yaw) * ahead
    looks = math.cos(pitch) * level + math.sin(pitch) * up
    above = math.cos(pitch) * up - math.sin(pitch) * level
    above = math.cos(roll) * above + math.sin(roll) * side
    target = eye + math.dist(view.eye, view.target) * looks
    return View(_plain(eye), _plain(target), _plain(above), view.fov * (1 + wider), view.width, view.height)


def checked_parameters(parameters: Any) -> tuple[float, ...]:
    """
    Checks the parameters of a camera.

    :param parameters: See :class:`Shot`
    :return: The parameters as plain numbers
    :raises EnvArgumentError: When they are no 7 finite numbers, or leave no field of view
    """
    try:
        numbers = np.asarray(parameters, np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (N_CAMERA_PARAMETERS,) or not np.isfinite(numbers).all() or numbers[-1] <= -1:
        raise EnvArgumentError(
            "A camera must be 7 finite numbers: how far it is moved to the right, up and ahead in m, turned to the right and"
            " up and rolled clockwise in rad, and by which part, above -1, its field of view is wider."
            f" Got {parameters!r}"
        )
    return tuple(numbers.tolist())


def _plain(vector: FloatArray) -> Vector:
    x, y, z = vector.tolist()
    return x, y, z
