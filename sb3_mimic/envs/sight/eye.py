"""Sees a robot: with its own camera as that stands in an episode, with that of its target, and as people see both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.photographer import Photographer, RayCaster
from sb3_mimic.envs.sight.randomization import N_CAMERA_PARAMETERS, SceneRandomization, Shot, moved_view
from sb3_mimic.envs.sight.stage import Layer, Stage
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.view import View
from sb3_mimic.errors import EnvArgumentError
from sb3_mimic.pictures.drawing import draw_lines
from sb3_mimic.pictures.framing import shrink
from sb3_mimic.pose import PoseLayout

Picture = npt.NDArray[np.uint8]

SUPERSAMPLING = 2
UNMOVED = Shot((0.0,) * N_CAMERA_PARAMETERS)


class Eye:
    """
    Takes an episode's pictures of a robot and of its target.

    :param robot: The robot
    :param camera: Where it is seen from
    :param photographer: Takes the pictures
    :param ranges: How far camera and light are moved from episode to episode, or None
    """

    def __init__(self, robot: Robot, camera: Camera, photographer: Photographer, ranges: SceneRandomization | None = None):
        self.robot, self.camera, self.photographer, self.ranges = robot, camera, photographer, ranges
        #: Where people see the robot; made when they first look, where there is none
        self.stage: Stage | None = None
        #: From where people see it; by default from where it sees itself
        self.portrait: View = camera
        #: What is drawn for them of a target, seen through all else; all of the robot behind it by default
        self.ghost: Callable[[npt.NDArray[np.floating]], Layer] | None = None
        self._ghost: Picture | None = None
        self._use(UNMOVED, UNMOVED)

    def _use(self, own: Shot, target: Shot) -> None:
        #: How the robot itself, and its target, are seen in this episode
        self.own_shot, self.target_shot = own, target
        self.own_view, self.target_view = self.view_of(own.camera), self.view_of(target.camera)
        ranges = 1.0 if self.ranges is None else self.ranges.ranges
        #: How both cameras are moved, as it is to be read, shape (2, 7)
        self.scaled = (np.array((own.camera, target.camera)) / ranges).astype(np.float32)

    def draw_shots(self, rng: np.random.Generator, camera: tuple[float, ...] | None = None) -> None:
        """
        Draws how both pictures of the next episode are taken, where cameras move.

        :param rng: Random numbers
        :param camera: How both cameras are moved, whatever is drawn: what else is drawn does not depend on it
        """
        if self.ranges is not None:
            shots = [self.ranges.draw(rng, self.photographer.can_light) for _ in range(2)]
            self._use(*(shots if camera is None else [replace(shot, camera=camera) for shot in shots]))

    def look(self) -> Picture:
        """Takes the robot's own frame, shape (height, width, 3)."""
        return self.photographer.look(self.own_view, self.own_shot.light)

    def look_at_target(self) -> Picture:
        """Takes the picture of the target, whose pose the robot is in meanwhile, shape (height, width, 3)."""
        return self.photographer.look(self.target_view, self.target_shot.light)

    def target_photograph(
        self, qpos: npt.NDArray[np.floating], height: int | None = None, with_coverage: bool = False
    ) -> Picture:
        """
        Takes a picture of the target while the robot stays where it is.

        :param qpos: The target's joint positions, shape (n_joints,)
        :param height: In pixels; the width follows. By default that of the robot's own frames
        :param with_coverage: See :meth:`~sb3_mimic.envs.sight.photographer.Photographer.photographs`
        :return: The picture, shape (height, width, 3 or 4)
        :raises BodyError: When it would be too small
        """
        view = self.target_view
        if height is not None:
            view = replace(view, width=round(height * self.camera.width / self.camera.height), height=height)
        return self.photographer.photographs(qpos, view, with_coverage, self.target_shot.light)

    def camera_parameters(self, scaled: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """See :meth:`~sb3_mimic.envs.mimic_env.MimicEnv.camera_parameters`."""
        if self.ranges is None:
            raise EnvArgumentError("The camera of this environment stays. It moves with scene_randomization=True.")
        ranges, scaled = self.ranges.ranges, np.asarray(scaled, np.float64)
        if scaled.shape[-1:] != ranges.shape:
            raise EnvArgumentError(f"What is read of a camera are 7 numbers, shape (..., 7), got shape {scaled.shape}.")
        return scaled * ranges

    def view_of(self, parameters: Sequence[float] | npt.NDArray[np.floating]) -> View:
        """See :meth:`~sb3_mimic.envs.mimic_env.MimicEnv.view_of`."""
        return moved_view(self.camera, parameters)

    def run_state(self) -> dict[str, Any]:
        """Returns how both pictures of the episode are taken, where cameras move, as plain numbers."""
        return {} if self.ranges is None else {"shots": [self.own_shot.run_state(), self.target_shot.run_state()]}

    def restore_run_state(self, state: Mapping[str, Any]) -> None:
        """
        Goes on with an episode from an earlier state.

        :param state: What :meth:`run_state` gave, among others
        """
        if self.ranges is not None:
            self._use(*map(Shot.from_run_state, state["shots"]))

    def draw_poses(
        self,
        picture: Picture,
        poses: Mapping[str, npt.NDArray[np.floating]],
        layout: PoseLayout,
        limbs: Callable[[npt.NDArray[np.floating]], Sequence[npt.NDArray[np.floating]]],
    ) -> Picture:
        """
        Draws poses as lines over a picture, see :meth:`~sb3_mimic.envs.mimic_env.MimicEnv.draw_poses`.

        :param picture: Shape (height, width, 3)
        :param poses: Pose vectors by their names, where the camera moves followed by where it is
        :param layout: What a pose means
        :param limbs: Returns the points along each line that stands for a pose, shape (n_points, 3) each, in m
        """
        lines = {}
        for name, pose in poses.items():
            camera = self.camera
            if self.ranges is not None and len(pose) > layout.dim:
                moved = self.camera_parameters(pose[layout.dim :][:N_CAMERA_PARAMETERS])
                camera = Camera.of(self.view_of(moved))
            lines[name] = [camera.project(limb) for limb in limbs(pose)]
        return draw_lines(picture, lines)

    def forget_target(self) -> None:
        """Has the ghost that people see drawn anew: the target is another one."""
        self._ghost = None

    def show(self, target: npt.NDArray[np.floating], size: int) -> Picture:
        """
        Draws the robot on a stage with its target as a translucent ghost, for people.

        :param target: The target's joint positions, shape (n_joints,)
        :param size: Of the picture, in pixels
        :return: The picture, shape (size, size, 3)
        """
        view = replace(self.portrait, width=size, height=size)
        n_pictures = self.robot.simulation.n_pictures
        self.stage = self.stage or Stage.of(self.robot)
        if self._ghost is None:
            self._ghost = self._layer(target, view) if self.ghost is None else self.ghost(target)(view)
        robot, is_before = partial(self._layer, self.robot.qpos.copy()), self.ghost is not None
        picture = self.stage.show(view, robot, self._ghost, is_before=is_before)
        self.keep_rhythm(n_pictures)
        return picture

    def keep_rhythm(self, n_pictures: int) -> None:
        """Lets pictures go on from a number of them: every other one of TinyRenderer may be a shade off, now and then."""
        if (self.robot.simulation.n_pictures - n_pictures) % 2:
            self.photographer.look()

    def _layer(self, qpos: npt.NDArray[np.floating], view: View) -> Picture:
        """Draws the robot with its coverage, smoothly whatever draws it."""
        if isinstance(self.photographer, RayCaster):
            return self.photographer.photographs(qpos, view, with_coverage=True)
        larger = replace(view, width=SUPERSAMPLING * view.width, height=SUPERSAMPLING * view.height)
        return shrink(self.photographer.photographs(qpos, larger, with_coverage=True), view.width, view.height)
