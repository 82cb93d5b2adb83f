"""Shows a robot to people: on a floor, with its shadow, and what it is asked for as a ghost."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.models import urdf
from sb3_mimic.envs.models.kinematics import FIXED, Kinematics
from sb3_mimic.envs.models.urdf_file import UrdfFile
from sb3_mimic.envs.sight.compositing import (
    COLORS,
    OUTLINE,
    floor_to_picture,
    lay_ghost_over,
    lay_over,
    paint_floor,
    soften,
    to_bytes,
)
from sb3_mimic.envs.sight.photographer import DAYLIGHT, N_RAYS, WHITE, Light, camera_arrays, ray_pattern
from sb3_mimic.envs.sight.raycaster import draw
from sb3_mimic.envs.sight.scene import BOX, CYLINDER, Scene
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.view import Vector, View

FloatArray = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]
# Draws something from where a camera stands: colours times coverage, and coverage, shape (height, width, 4)
Layer = Callable[[View], Picture]

POST_COLOR = (0.86, 0.88, 0.91)
# Lengths, as parts of how far a robot reaches: what is left between its lowest pose and the floor, a tile, a shadow's blur
GAP, TILE, BLUR = 0.03, 0.25, 0.035
# Links of meshes stand out so far from their frames
MESH = 0.1
# Tiles have round edges: these times a power of ten, in m
ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)
# The light's own picture, and how many radii away it is: its rays are nearly parallel
SHADOW_SIZE, LIGHT_DISTANCE = 192, 60.0
N_POSES, MAX_CORNERS = 400, 7
# How thick a post is: as a part of what it carries, and at least, as a part of how far the robot reaches
POST_THICKNESS, THINNEST_POST = 0.5, 0.05


@dataclass(frozen=True)
class Stage:
    """
    A floor, and how much room there is on it.

    :param floor: Height of the floor, in m
    :param middle: The middle of all that is to be seen, in m
    :param radius: How far from there everything is, in m
    :param post: What carries the robot, where it does not stand on the floor
    """

    floor: float
    middle: Vector
    radius: float
    post: Scene | None = None

    @classmethod
    def of(cls, robot: Robot) -> "Stage":
        """
        Returns a stage on which a robot can take all of its poses: the floor is where the robot stands, or lower, where it
        can reach lower; then a post carries the robot.

        :param robot: The robot; it stays where it is
        """
        file = robot.body.read_model()
        scene = Scene.of(robot.body, file)
        kinematics = Kinematics(file, robot.body.joints, dict(robot.body.posture)) if scene is None else scene.kinematics
        low, high = robot.joint_low, robot.joint_high
        corners = itertools.islice(itertools.product((0.0, 1.0), repeat=robot.n_joints), 2**MAX_CORNERS)
        parts = np.vstack((np.random.default_rng(0).random((N_POSES, robot.n_joints)), list(corners)))
        bounds = [_bounds(kinematics, scene, low + part * (high - low)) for part in parts]
        lows, highs = np.stack([lower for lower, _ in bounds]), np.stack([upper for _, upper in bounds])
        is_still = _still(kinematics)[np.arange(len(kinematics.links)) if scene is None else scene.links]
        lowest, highest = lows.min(axis=(0, 1)), highs.max(axis=(0, 1))
        radius = float(np.linalg.norm(highest - lowest) / 2)
        floor = float(lows[:, ~is_still, 2].min()) - (MESH if scene is None else GAP) * radius
        x, y, z = ((lowest + highest) / 2).tolist()
        if not is_still.any():
            return cls(floor, (x, y, z), radius)
        base_low, base_high = lows[0, is_still].min(axis=0), highs[0, is_still].max(axis=0)
        bottom = float(base_low[2])
        if bottom <= floor + GAP * radius:
            return cls(bottom, (x, y, z), radius)
        thickness = max(POST_THICKNESS * float((base_high - base_low)[:2].min()) / 2, THINNEST_POST * radius)
        post_x, post_y = ((base_low + base_high) / 2)[:2].tolist()
        return cls(floor, (x, y, z), radius, _post(post_x, post_y, bottom, floor, thickness))

    def show(
        self, view: View, robot: Layer, ghost: Picture | None = None, light: Light = DAYLIGHT, is_before: bool = False
    ) -> Picture:
        """
        Draws the robot with its shadow on the floor.

        :param view: Where it is seen from
        :param robot: Draws the robot
        :param ghost: What it is asked for, drawn from there, shape (height, width, 4)
        :param light: What throws the shadow
        :param is_before: Whether the ghost is seen through all else, which would hide it
        :return: The picture, shape (height, width, 3)
        """
        lamp = self._lamp(light)
        shadow = robot(lamp)[..., 3] / 255
        post = None if self.post is None else layer_of(self.post, np.empty(0))
        if post is not None:
            shadow = np.maximum(shadow, post(lamp)[..., 3] / 255)
        canvas = np.empty((view.height, view.width, 3))
        eyes, turns, tangents = camera_arrays([view])
        floor = (self.floor, self._tile(), np.array(self.middle), self.radius)
        blurred = soften(shadow, round(BLUR / 2 * SHADOW_SIZE / 2))
        paint_floor(eyes[0], turns[0], tangents[0], *floor, blurred, floor_to_picture(lamp, self.floor), COLORS, canvas)
        if post is not None:
            lay_over(canvas, post(view))
        if ghost is not None and not is_before:
            lay_ghost_over(canvas, ghost, OUTLINE)
        lay_over(canvas, robot(view))
        if ghost is not None and is_before:
            lay_ghost_over(canvas, ghost, OUTLINE)
        return to_bytes(canvas)

    def _tile(self) -> float:
        """Returns the edge of a tile: a round length near to a part of the radius."""
        wanted = TILE * self.radius
        power: float = 10.0 ** math.floor(math.log10(wanted))
        return min((power * part for part in ROUND), key=lambda edge: abs(math.log(edge / wanted)))

    def _lamp(self, light: Light) -> View:
        """Returns the scene as the light sees it."""
        direction = np.array(light.direction) / math.hypot(*light.direction)
        x, y, z = (np.array(self.middle) + LIGHT_DISTANCE * self.radius * direction).tolist()
        up = (0.0, 1.0, 0.0) if abs(direction[1]) < 0.9 else (1.0, 0.0, 0.0)
        fov = 2 * math.degrees(math.atan((1 + 2 * BLUR) / LIGHT_DISTANCE))
        return View((x, y, z), self.middle, up, fov, SHADOW_SIZE, SHADOW_SIZE)


def layer_of(scene: Scene, qpos: npt.NDArray[np.floating], base: FloatArray | None = None) -> Layer:
    """
    Returns what draws a robot in one pose.

    :param scene: Its shapes
    :param qpos: Joint positions, shape (n_joints,), in rad, or m for slides
    :param base: Where its first link is, shape (3, 4); at the origin by default
    """
    kinematics = scene.kinematics
    place = kinematics.places[0] if base is None else base
    tree = kinematics.parents, kinematics.kinds, kinematics.driven, kinematics.places, kinematics.axes
    shapes = scene.kinds, scene.links, scene.frames, scene.sizes, 255.0 * scene.colors

    def layer(view: View) -> Picture:
        out = np.empty((1, view.height, view.width, 4), np.uint8)
        lamp = DAYLIGHT.vector[None], np.array([DAYLIGHT.ambient])
        poses = np.asarray(qpos, np.float64)[None]
        draw(poses, place[None], *tree, *shapes, *camera_arrays([view]), *lamp, np.array(WHITE), ray_pattern(N_RAYS), out)
        picture: Picture = out[0]
        return picture

    return layer


def _post(x: float, y: float, top: float, bottom: float, radius: float) -> Scene:
    """Returns what carries a robot above the floor."""
    look = urdf.cylinder(radius, top - bottom, (x, y, (top + bottom) / 2), POST_COLOR)
    file = UrdfFile(urdf.robot("post", look=look))
    return Scene(file, Kinematics(file, ()))


def _still(kinematics: Kinematics) -> npt.NDArray[np.bool_]:
    """Tells which links never move, shape (n_links,)."""
    is_still: npt.NDArray[np.bool_] = kinematics.kinds == FIXED
    for link in range(1, len(is_still)):
        is_still[link] &= is_still[kinematics.parents[link]]
    return is_still


def _bounds(kinematics: Kinematics, scene: Scene | None, qpos: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns the lowest and the highest coordinates of each shape, or of the frame of each link of meshes, shape (n, 3)."""
    where = kinematics.forward(qpos)
    if scene is None:
        frames = where[:, :, 3]
        return frames, frames
    places = where[scene.links]
    turns = places[:, :, :3] @ scene.frames[:, :, :3]
    centres = np.einsum("nij,nj->ni", places[:, :, :3], scene.frames[:, :, 3]) + places[:, :, 3]
    radius, half = scene.sizes[:, :1], scene.sizes[:, 1:2]
    along = np.abs(turns[:, :, 2])
    # How far a cylinder's ends, a capsule's balls and a box's corners stand out
    around = np.where(scene.kinds[:, None] == CYLINDER, radius * np.sqrt(np.maximum(1 - along**2, 0)), radius)
    extents = np.where(scene.kinds[:, None] == BOX, np.einsum("nij,nj->ni", np.abs(turns), scene.sizes), half * along + around)
    return centres - extents, centres + extents
