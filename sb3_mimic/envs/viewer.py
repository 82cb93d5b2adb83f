"""Windows for people, with copies of what they show: no simulation of an environment ever runs in one."""

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.compositing import GHOST_OPACITY
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.walker import Walker


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
