"""Windows for people, with copies of what they show: no simulation of an environment ever runs in one."""

import math

import numpy as np
import numpy.typing as npt
import pybullet as p

from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.compositing import GHOST_OPACITY
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.view import View
from sb3_mimic.envs.world.walker import Walker
from sb3_mimic.errors import ClosedEnvError, WindowError

# What PyBullet shows beside the sliders
PREVIEWS = p.COV_ENABLE_RGB_BUFFER_PREVIEW, p.COV_ENABLE_DEPTH_BUFFER_PREVIEW, p.COV_ENABLE_SEGMENTATION_MARK_PREVIEW


class RobotViewer:
    """
    A window with a robot, and its target as a ghost.

    :param robot: The robot to show
    :param camera: Where to look at it from
    :param gui: Whether to open the window; without, all else happens unseen
    """

    def __init__(self, robot: Robot, camera: Camera, gui: bool = True):
        self._simulation = Simulation(gui=gui)
        if gui:
            camera.point_window(self._simulation)
        self._ghost = robot.twin(self._simulation)
        self._ghost.fade(GHOST_OPACITY)
        self._robot = robot.twin(self._simulation)

    def show(self, qpos: npt.NDArray[np.floating], target: npt.NDArray[np.floating]) -> None:
        """
        Shows the robot and its target.

        :param qpos: Joint angles of the robot, shape (n_joints,), in rad
        :param target: Those of its ghost
        """
        self._robot.reset(qpos)
        self._ghost.reset(target)

    def close(self) -> None:
        self._simulation.close()


class PosingWindow:
    """
    A window with two robots opposite each other, and sliders that pose one of them.

    :param robot: One of their kind
    :param view: From where to look at them
    :param distance: How far apart they stand, in m: one at the origin, the other, which is posed, along the x-axis
    :raises WindowError: When there is a window already
    """

    def __init__(self, robot: Robot, view: View, distance: float):
        self._simulation = Simulation(gui=True)
        Camera(view.eye, view.target, view.up, view.fov, view.width, view.height).point_window(self._simulation)
        self._opposite, self._posed = robot.twin(self._simulation), robot.twin(self._simulation)
        self._posed.move((distance, 0.0, 0.0), math.pi)
        client, self._scale = self._simulation.client, robot.display_scale
        p.configureDebugVisualizer(p.COV_ENABLE_GUI, 1, physicsClientId=client)
        for preview in PREVIEWS:
            p.configureDebugVisualizer(preview, 0, physicsClientId=client)
        limits = zip(robot.joint_low * self._scale, robot.joint_high * self._scale, strict=True)
        self._sliders = [
            p.addUserDebugParameter(f"{name}, {'m' if unit == 'm' else 'deg'}", low, high, min(max(0.0, low), high), client)
            for name, unit, (low, high) in zip(robot.joint_names, robot.units, limits, strict=True)
        ]

    def qpos(self) -> npt.NDArray[np.float64]:
        """
        Returns the joint positions that the sliders tell, shape (n_joints,), in rad or m.

        :raises WindowError: When somebody has closed the window
        """
        try:
            client = self._simulation.client
            told = np.array([p.readUserDebugParameter(slider, physicsClientId=client) for slider in self._sliders])
        except (p.error, ClosedEnvError) as error:
            raise WindowError("The window was closed") from error
        return np.asarray(told / self._scale, np.float64)

    def show(self, posed: npt.NDArray[np.floating], opposite: npt.NDArray[np.floating]) -> None:
        """
        Shows both robots.

        :param posed: Joint positions of the one that is posed, shape (n_joints,), in rad or m
        :param opposite: Of the other
        """
        self._posed.reset(posed)
        self._opposite.reset(opposite)

    def close(self) -> None:
        self._simulation.close()


class WalkViewer:
    """A window that follows a walker."""

    def __init__(self) -> None:
        self._walker = Walker(Simulation(gui=True))

    def show(self, walker: Walker, camera: Camera) -> None:
        """
        Shows the walker.

        :param walker: Whom to show
        :param camera: Where to look at it from
        """
        self._walker.place(walker.position, walker.orientation, walker.qpos)
        camera.point_window(self._walker.simulation)

    def close(self) -> None:
        self._walker.simulation.close()
