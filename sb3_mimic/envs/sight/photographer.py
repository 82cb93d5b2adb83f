"""Takes pictures of a robot: by following rays, or with PyBullet's renderer where it is made of meshes."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.models.urdf_file import UrdfFile
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.raycaster import NAME, draw
from sb3_mimic.envs.sight.scene import Scene
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.view import Vector, View
from sb3_mimic.errors import EnvArgumentError

FloatArray = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]

WHITE = (255.0, 255.0, 255.0)
N_RAYS = 16
# Rays of a pixel stand in no two rows or columns together: edges that are nearly upright or level are as smooth as others.
# About the golden section of their number, and coprime to it
_STEPS = {1: 1, 4: 3, 5: 3, 8: 5, 12: 7, 16: 9, 25: 16, 32: 19}


@dataclass(frozen=True)
class Light:
    """
    Lights a scene from one side, and a little from everywhere.

    :param direction: Towards the light
    :param strength: How much brighter what faces the light is than what faces away from it, of the colour's whole
    :param ambient: How bright what faces away from the light is
    """

    direction: Vector = (0.45, -0.35, 0.82)
    strength: float = 0.7
    ambient: float = 0.3

    def __post_init__(self) -> None:
        # Arrays and lists would not be hashable
        object.__setattr__(self, "direction", tuple(map(float, self.direction)))
        if not math.hypot(*self.direction) > 0 or min(self.strength, self.ambient) < 0:
            raise EnvArgumentError(
                f"A light needs a direction, and a strength and ambient light of at least 0, got {self.direction},"
                f" {self.strength} and {self.ambient}."
            )

    @property
    def vector(self) -> FloatArray:
        """Returns the direction to the light, as long as the light is strong, shape (3,)."""
        return self.strength * np.array(self.direction) / math.hypot(*self.direction)


DAYLIGHT = Light()


class Photographer(Protocol):
    """Takes pictures of one robot."""

    #: What draws, and which version of it
    name: str
    #: Whether the light can be changed
    can_light: bool

    def look(self, view: View | None = None, light: Light | None = None) -> Picture:
        """
        Takes a picture of the robot where it is.

        :param view: From where; by default from where the robot's own camera stands
        :param light: Another light
        :return: The picture, shape (height, width, 3)
        :raises EnvArgumentError: When the light cannot be changed
        """

    def photographs(
        self,
        qpos: npt.NDArray[np.floating],
        view: View | None = None,
        with_coverage: bool = False,
        light: Light | None = None,
    ) -> Picture:
        """
        Takes pictures of the robot in other poses; it stays where it is.

        :param qpos: Joint positions, shape (n_joints,) or (n, n_joints), in rad, or m for slides
        :param view: From where; by default from where the robot's own camera stands
        :param with_coverage: Whether to draw over black, with the coverage of each pixel, in [0, 255], as a fourth channel
        :param light: Another light
        :return: Pictures, shape (height, width, 3 or 4) or (n, height, width, 3 or 4)
        :raises EnvArgumentError: When qpos has another shape or is not finite, or the light cannot be changed
        """


def photographer_of(robot: Robot, camera: Camera, file: UrdfFile | None = None) -> Photographer:
    """
    Returns what can draw a robot: rays for capsules, spheres, cylinders and boxes, PyBullet's renderer for meshes.

    :param robot: The robot
    :param camera: Where pictures are taken from
    :param file: The robot's model, where that has been read already
    """
    scene = Scene.of(robot.body, file)
    return MeshPhotographer(robot, camera) if scene is None else RayCaster(robot, camera, scene)


class RayCaster:
    """
    Draws capsules, spheres, cylinders and boxes by following rays; needs no PyBullet.

    :param robot: Whose joint positions :meth:`look` asks for
    :param view: Where pictures are taken from
    :param scene: What is to be seen
    :param light: What lights it
    :param n_rays: Rays through each pixel in which different surfaces meet: 1, 4, 5, 8, 12, 16, 25 or 32
    """

    name = NAME
    can_light = True

    def __init__(self, robot: Robot, view: View, scene: Scene, light: Light = DAYLIGHT, n_rays: int = N_RAYS):
        self.robot, self.view, self.scene, self.light = robot, view, scene, light
        self._pattern = ray_pattern(n_rays)
        kinematics = scene.kinematics
        self._shapes = (
            kinematics.parents,
            kinematics.kinds,
            kinematics.driven,
            kinematics.places,
            kinematics.axes,
            scene.kinds,
            scene.links,
            scene.frames,
            scene.sizes,
            255.0 * scene.colors,
        )
        self._base = kinematics.places[:1]
        self._white = np.array(WHITE)

    def look(self, view: View | None = None, light: Light | None = None) -> Picture:
        return self._draw(self.robot.qpos[None], view, light, 3)[0]  # type: ignore[no-any-return]

    def photographs(
        self,
        qpos: npt.NDArray[np.floating],
        view: View | None = None,
        with_coverage: bool = False,
        light: Light | None = None,
    ) -> Picture:
        pictures = self._draw(checked_qpos(qpos, self.robot.n_joints), view, light, 4 if with_coverage else 3)
        return pictures[0] if np.ndim(qpos) == 1 else pictures

    def _draw(self, qpos: FloatArray, view: View | None, light: Light | None, n_channels: int) -> Picture:
        seen = self.view if view is None else view
        lamp = _one_light(self.light if light is None else light)
        out = np.empty((len(qpos), seen.height, seen.width, n_channels), np.uint8)
        draw(qpos, self._base, *self._shapes, *_one_camera(seen), *lamp, self._white, self._pattern, out)
        return out


class MeshPhotographer:
    """
    Draws whatever PyBullet can load, with its TinyRenderer.

    :param robot: Whom to draw
    :param camera: Where pictures are taken from
    """

    name = "tinyrenderer"
    can_light = False

    def __init__(self, robot: Robot, camera: Camera):
        self.robot, self.camera = robot, camera

    def look(self, view: View | None = None, light: Light | None = None) -> Picture:
        self._check_light(light)
        camera = self.camera if view is None else Camera.of(view)
        return camera.render(self.robot.simulation)

    def photographs(
        self,
        qpos: npt.NDArray[np.floating],
        view: View | None = None,
        with_coverage: bool = False,
        light: Light | None = None,
    ) -> Picture:
        self._check_light(light)
        poses = checked_qpos(qpos, self.robot.n_joints)
        camera = self.camera if view is None else Camera.of(view)
        simulation, pictures = self.robot.simulation, []
        with simulation.preserved():
            for pose in poses:
                self.robot.reset(pose)
                if with_coverage:
                    picture, mask = camera.render_with_mask(simulation)
                    pictures.append(np.dstack((picture * mask[..., None], np.where(mask, 255, 0).astype(np.uint8))))
                else:
                    pictures.append(camera.render(simulation))
        self.robot.resume()
        return pictures[0] if np.ndim(qpos) == 1 else np.stack(pictures)

    def _check_light(self, light: Light | None) -> None:
        if light is not None:
            raise EnvArgumentError("This robot is made of meshes, whose light cannot be changed: light=None.")


def checked_qpos(qpos: npt.NDArray[np.floating], n_joints: int) -> FloatArray:
    """
    Returns joint positions as an array of shape (n, n_joints).

    :raises EnvArgumentError: When they have another shape or are not finite
    """
    # In one order: compiled code is made anew for another
    poses = np.atleast_2d(np.asarray(qpos, np.float64, order="C"))
    if poses.ndim != 2 or poses.shape[1] != n_joints or not np.isfinite(poses).all():
        raise EnvArgumentError(
            f"qpos must be finite joint positions, shape ({n_joints},) or (n, {n_joints}), got shape {np.shape(qpos)}: {qpos}"
        )
    return poses


def camera_arrays(views: list[View]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """
    Returns views as compiled code wants them.

    :return: Where cameras are, shape (n, 3); their axes, right, up and ahead, as rows, shape (n, 3, 3); and the tangents of
        half of their vertical fields of view, shape (n,)
    """
    eyes = np.array([view.eye for view in views], np.float64)
    ahead = np.array([view.target for view in views], np.float64) - eyes
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    right = np.cross(ahead, np.array([view.up for view in views], np.float64))
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    turns = np.stack((right, np.cross(right, ahead), ahead), axis=1)
    return eyes, turns, np.tan(np.radians([view.fov for view in views]) / 2)


@lru_cache(maxsize=64)
def _one_camera(view: View) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns a view as compiled code wants it; most pictures are taken from where the last one was."""
    return camera_arrays([view])


@lru_cache(maxsize=64)
def _one_light(light: Light) -> tuple[FloatArray, FloatArray]:
    """Returns a light as compiled code wants it: its vector, shape (1, 3), and what comes from everywhere, shape (1,)."""
    return light.vector[None], np.array([light.ambient])


def ray_pattern(n_rays: int) -> FloatArray:
    """
    Returns where rays go through a pixel, shape (n_rays, 2), in (0, 1).

    :raises ValueError: When there is no pattern of so many rays
    """
    if n_rays not in _STEPS:
        raise ValueError(f"n_rays must be one of {', '.join(map(str, _STEPS))}, got {n_rays}")
    order = np.arange(n_rays)
    return np.stack((order + 0.5, (order * _STEPS[n_rays]) % n_rays + 0.5), axis=1) / n_rays
