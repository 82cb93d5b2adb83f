"""What a robot's environment can be asked beside its episode: photographs in other poses, poses, and from where it is seen."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.base_env import BaseEnv, WindowT
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.eye import Eye
from sb3_mimic.envs.sight.photographer import Light, Photographer, checked_qpos
from sb3_mimic.envs.sight.randomization import SceneRandomization
from sb3_mimic.envs.tasks.pose import Goal
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.view import View
from sb3_mimic.pose import VELOCITY, VELOCITY_SCALE, Part, PoseLayout


class PhotographedEnv(BaseEnv[WindowT]):
    """
    An environment of a robot that answers while its episode stays as it is.

    :param simulation: The world
    :param robot: The robot in it
    :param goal: What is asked for, and how it is measured
    :param camera: Where the robot is seen from
    :param photographer: Takes the pictures
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :param scene_randomization: How far camera and light are moved at each reset, or None
    :param view_velocity: Whether :attr:`achieved_view` and :attr:`desired_view` tell how fast joints move, too
    :raises EnvArgumentError: For another render mode
    """

    def __init__(
        self,
        simulation: Simulation,
        robot: Robot,
        goal: Goal,
        camera: Camera,
        photographer: Photographer,
        render_mode: str | None,
        scene_randomization: SceneRandomization | None,
        view_velocity: bool = False,
    ):
        super().__init__(simulation, render_mode)
        self.robot = robot
        self.goal = goal
        self.camera = camera
        self.photographer = photographer
        #: How far the camera is moved at each reset, or None
        self.camera_ranges = scene_randomization
        self.eye = Eye(robot, camera, photographer, scene_randomization)
        unit = f"{robot.unit}/s" if robot.unit else ""
        n_moving = len(robot.qvel)
        #: What is told of how fast joints move, or None where nothing is
        self.velocity = Part(VELOCITY, (n_moving,), unit, scale=(VELOCITY_SCALE,) * n_moving) if view_velocity else None
        self._achieved = goal.measure()
        self._desired = self._achieved
        # How fast the target moves, shape (n_joints,), in rad/s or m/s
        self._desired_qvel = np.zeros(n_moving)

    @property
    def pose_layout(self) -> PoseLayout:
        """What a pose vector means"""
        return self.goal.layout

    @property
    def renderer(self) -> str:
        """What draws the pictures, and which version of it"""
        return self.photographer.name

    def photographs(
        self,
        qpos: npt.NDArray[np.floating],
        view: View | None = None,
        with_coverage: bool = False,
        light: Light | None = None,
    ) -> npt.NDArray[np.uint8]:
        """
        Takes pictures of the robot in other poses, while the episode stays as it is.

        :param qpos: Joint positions, shape (n_joints,) or (n, n_joints), in rad, or m for slides
        :param view: From where; by default from where the robot is seen in its observations, as long as no camera moves
        :param with_coverage: Whether to draw over black, with the coverage of each pixel, in [0, 255], as a fourth channel
        :param light: Another light
        :return: Pictures, shape (height, width, 3 or 4) or (n, height, width, 3 or 4)
        :raises EnvArgumentError: When qpos has another shape or is not finite, or the light cannot be changed
        :raises ClosedEnvError: After :meth:`close`
        """
        self.simulation.check_open()
        return self.photographer.photographs(qpos, view, with_coverage, light)

    def desired_photograph(self, height: int, with_coverage: bool = False) -> npt.NDArray[np.uint8]:
        """
        Takes the picture of the pose asked for once more, of another size, by the camera and in the light of this episode.

        :param height: In pixels; the width follows
        :param with_coverage: See :meth:`photographs`
        :return: The picture, shape (height, width, 3 or 4)
        :raises BodyError: When it would be too small
        :raises ClosedEnvError: After :meth:`close`
        """
        self.simulation.check_open()
        return self.eye.target_photograph(self.goal.qpos_of(self._desired), height, with_coverage)

    def pose_of(self, qpos: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """
        Returns the pose vector of joint positions, while the episode stays as it is.

        :param qpos: Joint positions, shape (n_joints,), in rad, or m for slides
        :return: The pose, shape (goal_dim,)
        :raises EnvArgumentError: When qpos has another shape or is not finite
        :raises ClosedEnvError: After :meth:`close`
        """
        self.simulation.check_open()
        (pose,) = checked_qpos(np.ravel(qpos), self.robot.n_joints)
        return self.goal.goal_of(pose)

    @property
    def scene_layout(self) -> PoseLayout:
        """What a pose vector and all else that a picture shows means: a pose comes first, joints are among it"""
        return self.goal.scene_layout

    def scene_of(self, qpos: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """
        Returns all that a picture of joint positions shows, while the episode stays as it is.

        :param qpos: Joint positions, shape (n_joints,), in rad, or m for slides
        :return: A vector of :attr:`scene_layout`, the pose first
        :raises EnvArgumentError: When qpos has another shape or is not finite
        :raises ClosedEnvError: After :meth:`close`
        """
        return self.goal.scene_of(self.pose_of(qpos), qpos)

    @property
    def view_layout(self) -> PoseLayout | None:
        """
        What all that a picture shows means, after it where the camera is, where it moves, and last how fast joints move, where
        that is told; None where a pose is all of it
        """
        camera = () if self.camera_ranges is None else self.camera_ranges.parts
        velocity = () if self.velocity is None else (self.velocity,)
        layout = PoseLayout((*self.scene_layout.parts, *camera, *velocity))
        return None if layout == self.pose_layout else layout

    @property
    def achieved_view(self) -> npt.NDArray[np.float32]:
        """What the robot's own frame shows, a vector of :attr:`view_layout`: first its pose"""
        return self._view(self.goal.scene_of(self._achieved, self.robot.qpos), 0, self.robot.qvel)

    @property
    def desired_view(self) -> npt.NDArray[np.float32]:
        """The same of the picture of the target"""
        return self._view(self.goal.scene_of(self._desired, self.goal.qpos_of(self._desired)), 1, self._desired_qvel)

    def _view(self, scene: npt.NDArray[np.float32], shot: int, qvel: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        parts = [scene]
        if self.camera_ranges is not None:
            parts.append(self.eye.scaled[shot])
        if self.velocity is not None:
            parts.append((qvel / VELOCITY_SCALE).astype(np.float32))
        return np.concatenate(parts) if len(parts) > 1 else scene

    def camera_parameters(self, scaled: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """
        Converts what is read of a camera.

        :param scaled: The numbers of a vector of :attr:`view_layout` that follow the scene's, shape (..., 7)
        :return: How the camera is moved, shape (..., 7): to the right, up and ahead, in m; turned to the right and up, and
            rolled clockwise, in rad; and by which part its field of view is wider
        :raises EnvArgumentError: When the shape is another, or the camera stays
        """
        return self.eye.camera_parameters(scaled)

    def view_of(self, parameters: Sequence[float] | npt.NDArray[np.floating]) -> View:
        """
        Moves the camera.

        :param parameters: How, as :meth:`camera_parameters` gives it, shape (7,)
        :return: Where it is then
        :raises EnvArgumentError: When they are no 7 finite numbers, or leave no field of view
        """
        return self.eye.view_of(parameters)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints, in the order of a pose"""
        return self.robot.joint_names

    @property
    def achieved_goal(self) -> npt.NDArray[np.float32]:
        """The present pose, shape (goal_dim,), whether or not it is part of the observation"""
        return self._achieved.copy()

    @property
    def desired_goal(self) -> npt.NDArray[np.float32]:
        """The pose asked for, shape (goal_dim,), whether or not it is part of the observation"""
        return self._desired.copy()

    def draw_poses(self, picture: npt.NDArray[np.uint8], poses: dict[str, npt.NDArray[np.floating]]) -> npt.NDArray[np.uint8]:
        """
        Draws poses as lines over a picture of this environment's camera.

        :param picture: Shape (height, width, 3)
        :param poses: Vectors of the :attr:`scene_layout` by their names; where the camera moves, where it is follows
        :return: The picture enlarged, with the lines and a legend
        """
        return self.eye.draw_poses(picture, poses, self.scene_layout, self._limbs)

    def _limbs(self, pose: npt.NDArray[np.floating]) -> list[npt.NDArray[np.floating]]:
        """Returns the points along each line that stands for a pose, shape (n_points, 3) each, in m."""
        return self.robot.limbs(self.pose_layout.keypoints(pose))
