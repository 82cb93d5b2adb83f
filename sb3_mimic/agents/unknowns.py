"""What is unknown of a picture: the joints of the robot in it, and, where they move, where camera and light stood."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.sight.photographer import DAYLIGHT, Light
from sb3_mimic.pose import JOINTS, PoseLayout

Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

# Position (3), direction (3), field of view (1)
N_CAMERA = 7
# The whole range of a camera's number is searched like this range of a joint, in rad
CAMERA_UNIT = 0.2
# Cameras may have been moved a little further than those that a translator has learnt from
CAMERA_LIMIT = 1.3
# The light is a vector towards it, as long as it is strong; what it falls short of 1 comes from everywhere. Its numbers are
# searched in this unit, up to a limit, and are so far from usual at first
N_LIGHT, LIGHT_UNIT, LIGHT_LIMIT, USUAL_LIGHT_SCALE = 3, 0.2, 1.5, 0.5
# Where a translator does not say how sure it is: how far off joints may be, in rad, and cameras, in parts of their range
USUAL_SCALE, USUAL_CAMERA_SCALE = 0.1, 0.4


class Unknowns:
    """
    What is to be found in a picture, as a vector: joint positions in rad (or m), seven numbers of the camera's, and three of
    the light's.

    :param env: Takes photographs
    :param layout: What a pose vector means
    :param estimate: What was read, shape (at least n_joints,): a pose, with or without the camera's numbers after it
    :param scales: How sure that is, in the same units, shape of the estimate; None where it is not known
    :param has_camera: Whether the camera's numbers are unknown too, and those of the light where the environment moves it
    """

    def __init__(
        self,
        env: Any,
        layout: PoseLayout,
        estimate: npt.NDArray[np.floating],
        scales: npt.NDArray[np.floating] | None,
        has_camera: bool,
    ):
        self.env, self.has_camera = env, has_camera
        joints = layout[JOINTS]
        half, middle = np.array(joints.scale or np.ones(joints.size)), np.array(joints.offset or np.zeros(joints.size))
        self.n_joints = joints.size
        self.low, self.high = middle - half, middle + half
        read = np.asarray(estimate, np.float64)
        self.estimate = middle + half * read[joints.slice]
        #: Scale of the estimate's errors, shape (n,)
        self.scales = np.full(joints.size, USUAL_SCALE) if scales is None else half * np.asarray(scales)[joints.slice]
        self.is_sure = scales is not None
        if has_camera:
            place = slice(layout.dim, layout.dim + N_CAMERA)
            is_read = len(read) >= layout.dim + N_CAMERA
            camera = read[place] if is_read else np.zeros(N_CAMERA)
            known = scales is not None and is_read
            doubt = np.asarray(scales)[place] if known else np.full(N_CAMERA, USUAL_CAMERA_SCALE)
            self._add(CAMERA_UNIT * camera, CAMERA_UNIT * np.asarray(doubt, np.float64), CAMERA_LIMIT * CAMERA_UNIT)
        can_light = getattr(getattr(env, "photographer", None), "can_light", False)
        self.has_light = has_camera and can_light and getattr(env.camera_ranges, "light_angle", None) is not None
        if self.has_light:
            scales_of_light = np.full(N_LIGHT, USUAL_LIGHT_SCALE * LIGHT_UNIT)
            self._add(LIGHT_UNIT * DAYLIGHT.vector, scales_of_light, LIGHT_LIMIT * LIGHT_UNIT)
        self.scales = np.maximum(self.scales, 1e-3)
        self.n_drawn = 0

    def _add(self, start: FloatArray, scales: FloatArray, limit: float) -> None:
        limits = np.full(len(start), limit)
        self.low, self.high = np.concatenate((self.low, -limits)), np.concatenate((self.high, limits))
        self.estimate, self.scales = np.concatenate((self.estimate, start)), np.concatenate((self.scales, scales))

    def expect(self, x: FloatArray, scales: FloatArray) -> None:
        """
        Takes something else than what was read for what is likely.

        :param x: The unknowns, shape (n,)
        :param scales: Scales of their errors, shape (n,)
        """
        self.estimate, self.scales = self.clipped(x), scales

    def clipped(self, x: FloatArray) -> FloatArray:
        """Returns unknowns within their limits."""
        return np.clip(x, self.low, self.high)

    def joints(self, x: FloatArray) -> FloatArray:
        """Returns the joint positions among the unknowns, shape (..., n_joints), in rad or m."""
        return x[..., : self.n_joints]

    def camera(self, x: FloatArray) -> FloatArray | None:
        """Returns the camera's numbers among the unknowns, scaled to [-1, 1], shape (7,); None where it does not move."""
        return x[self.n_joints :][:N_CAMERA] / CAMERA_UNIT if self.has_camera else None

    def view(self, x: FloatArray, width: int, height: int) -> Any:
        """
        Returns where the camera is.

        :param x: The unknowns, shape (n,)
        :param width: Of the picture, in pixels
        :param height: Of the picture, in pixels
        """
        view = self.env.camera
        if self.has_camera:
            view = self.env.view_of(self.env.camera_parameters(x[self.n_joints :][:N_CAMERA] / CAMERA_UNIT))
        return replace(view, width=width, height=height)

    def light(self, x: FloatArray) -> Light | None:
        """Returns the light among the unknowns, or None where it is the usual one."""
        if not self.has_light:
            return None
        towards = x[self.n_joints + N_CAMERA :] / LIGHT_UNIT
        strength = max(float(np.linalg.norm(towards)), 1e-3)
        a, b, c = towards.tolist() if strength > 1e-3 else (0.0, 0.0, 1.0)
        return Light((a, b, c), strength, max(1 - strength, 0.0))

    def draw(self, xs: FloatArray, width: int, height: int) -> Picture:
        """
        Draws the robot over nothing, with coverage.

        :param xs: Unknowns, shape (n, n_unknowns)
        :param width: Of the pictures, in pixels
        :param height: Of the pictures, in pixels
        :return: Shape (n, height, width, 4)
        """
        self.n_drawn += len(xs)
        if not self.has_camera:
            drawn: Picture = self.env.photographs(xs, self.view(xs[0], width, height), True)
            return drawn
        drawn = np.empty((len(xs), height, width, 4), np.uint8)
        cameras, groups = np.unique(xs[:, self.n_joints :], axis=0, return_inverse=True)
        for index in range(len(cameras)):
            places = np.flatnonzero(groups.ravel() == index)
            view = self.view(xs[places[0]], width, height)
            drawn[places] = self.env.photographs(self.joints(xs[places]), view, True, self.light(xs[places[0]]))
        return drawn

    def drawn_from(self, rng: np.random.Generator, found: FloatArray, n: int) -> FloatArray:
        """
        Returns poses that the picture may show: some near the estimate, some near what was found, some anywhere.

        :param rng: Random numbers
        :param found: What was found, shape (n_unknowns,)
        :param n: How many
        """
        centers = np.where(np.arange(n)[:, None] % 2 == 0, self.estimate, found)
        spread = np.maximum(2 * self.scales, 0.1) * rng.choice((0.5, 1.0, 2.0), (n, 1))
        poses = centers + spread * rng.laplace(size=centers.shape)
        # Of a pose that is nearly right often one or two joints are wrong
        is_kept = (rng.random(poses.shape) < 0.5) & (np.arange(n)[:, None] % 4 == 1)
        poses = np.where(is_kept, found, poses)
        anywhere = np.arange(n) % 4 == 3
        poses[anywhere, : self.n_joints] = rng.uniform(self.low, self.high, poses.shape)[anywhere, : self.n_joints]
        return self.clipped(poses)
