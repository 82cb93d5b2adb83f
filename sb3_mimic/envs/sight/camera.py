"""A camera that photographs a simulation."""

import math
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pybullet as p

from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.view import View

# What is nearer or farther than this is not seen, in m. Cameras that stand very near or very far see nearer and farther.
NEAR, FAR = 0.05, 10.0
WINDOW_FOV = 60.0


@dataclass(frozen=True)
class Camera(View):
    """A view that can be photographed; its parameters are those of :class:`~sb3_mimic.envs.world.view.View`."""

    @classmethod
    def of(cls, view: View) -> "Camera":
        """Returns a camera with the view of another."""
        return view if isinstance(view, cls) else cls(*astuple(view))

    @cached_property
    def _matrices(self) -> tuple[list[float], list[float]]:
        view = p.computeViewMatrix(self.eye, self.target, self.up)
        distance = math.dist(self.eye, self.target)
        near, far = min(NEAR, distance / 10), max(FAR, 2 * distance)
        return list(view), list(p.computeProjectionMatrixFOV(self.fov, self.width / self.height, near, far))

    def render(self, simulation: Simulation) -> npt.NDArray[np.uint8]:
        """Returns the picture, shape (height, width, 3)."""
        rgba, _ = self._photograph(simulation, shadow=0, flags=p.ER_NO_SEGMENTATION_MASK)
        return self._without_alpha(rgba)

    def render_with_mask(self, simulation: Simulation) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Returns the picture with shadows, shape (height, width, 3), and where a body is in it, shape (height, width)."""
        rgba, bodies = self._photograph(simulation, shadow=1)
        return self._without_alpha(rgba), np.asarray(bodies).reshape(self.height, self.width) >= 0

    def _photograph(self, simulation: Simulation, **options: int) -> tuple[Any, Any]:
        """Returns PyBullet's pixels, with alpha, and its mask of bodies."""
        view, projection = self._matrices
        simulation.n_pictures += 1
        _, _, rgba, _, bodies = p.getCameraImage(
            self.width,
            self.height,
            view,
            projection,
            renderer=p.ER_TINY_RENDERER,  # bit-deterministic, and needs no display
            physicsClientId=simulation.client,
            **options,
        )
        return rgba, bodies

    def _without_alpha(self, rgba: Any) -> npt.NDArray[np.uint8]:
        # A PyBullet built without numpy hands out tuples
        pixels = np.asarray(rgba, np.uint8).reshape(self.height, self.width, 4)
        picture = np.empty((self.height, self.width, 3), np.uint8)
        for channel in range(3):
            # Three times faster than one copy of [..., :3]
            picture[..., channel] = pixels[..., channel]
        return picture

    def point_window(self, simulation: Simulation) -> None:
        """
        Lets a window look at the scene as this camera does.

        :param simulation: One with a window, which is to look at the same scene from the same side
        """
        distance = math.dist(self.eye, self.target)
        x, y, z = ((t - e) / distance for e, t in zip(self.eye, self.target, strict=True))
        p.resetDebugVisualizerCamera(
            # The window's field of view cannot be set: step back or forward instead
            cameraDistance=distance * math.tan(math.radians(self.fov / 2)) / math.tan(math.radians(WINDOW_FOV / 2)),
            cameraYaw=math.degrees(math.atan2(-x, y)) if math.hypot(x, y) > 1e-6 else 0.0,
            cameraPitch=max(-89.9, math.degrees(math.asin(z))),
            cameraTargetPosition=self.target,
            physicsClientId=simulation.client,
        )

    def project(self, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """
        Projects points into the picture.

        :param points: In the world, shape (n, 3), in m
        :return: Where they are in the picture, shape (n, 2): column and row, as fractions of its width and height
        """
        # OpenGL's matrices come column by column
        view, projection = (np.reshape(matrix, (4, 4)).T for matrix in self._matrices)
        clip = np.column_stack((points, np.ones(len(points)))) @ view.T @ projection.T
        normalized = clip[:, :2] / clip[:, 3:]
        return np.column_stack(((1 + normalized[:, 0]) / 2, (1 - normalized[:, 1]) / 2))
