"""Puts two robots opposite each other: one sees the other in pictures alone, and mirrors it, left for right."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic.agents.agent import Agent
from sb3_mimic.agents.films import filmed
from sb3_mimic.agents.following import Followed, Follower, VideoReader
from sb3_mimic.agents.refinement import Reading
from sb3_mimic.envs.sight.scene import Scene
from sb3_mimic.envs.sight.stage import Layer, Stage, layer_of
from sb3_mimic.envs.world.view import View
from sb3_mimic.errors import UnsuitableEnvError
from sb3_mimic.pose import JOINTS

Picture = npt.NDArray[np.uint8]
Pose = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

# How far apart two robots stand, as a part of how far each reaches
APART = 2.1
# From how far people see them, as a part of that, and how much of it, in deg
DISTANCE, FOV = 1.65, 48.0
# What is left over of key points where joints are mirrored rightly, in m; and on how many poses that is tried
EXACT, N_TRIED = 1e-3, 8
# Across which of its planes a robot can be mirrored: signs of x, y and z
PLANES = ((1.0, -1.0, 1.0), (-1.0, 1.0, 1.0))
SIDES = ("left", "right")


@dataclass(frozen=True)
class MirrorImage:
    """
    Says how a robot mirrors another of its kind.

    :param order: Which joint each joint takes its position from, shape (n_joints,)
    :param signs: With which sign, shape (n_joints,)
    """

    order: npt.NDArray[np.int64]
    signs: FloatArray

    @classmethod
    def of(cls, env: gym.Env[Any, Any]) -> "MirrorImage":
        """
        Finds out how an environment's robot mirrors another: left joints stand for right ones, and key points are where those
        of the other are in a mirror.

        :param env: The environment
        :return: How
        :raises UnsuitableEnvError: When the robot cannot be photographed, or no such joints are found
        """
        robot = filmed(env).robot
        names, points = list(robot.joint_names), [keypoint.name for keypoint in robot.body.keypoints]
        order, pairs = _swapped(names), _swapped(points)
        rng = np.random.default_rng(0)
        poses = rng.uniform(robot.joint_low, robot.joint_high, (N_TRIED, len(names)))
        seen = np.stack([robot.keypoints_of(qpos) for qpos in poses])[:, pairs]
        for plane, signs in itertools.product(PLANES, itertools.product((1.0, -1.0), repeat=len(names))):
            mirrored = poses[:, order] * np.array(signs)
            is_within = (mirrored >= robot.joint_low - 1e-6) & (mirrored <= robot.joint_high + 1e-6)
            if not is_within.all():
                continue
            found = np.stack([robot.keypoints_of(qpos) for qpos in mirrored])
            if np.abs(found - seen * np.array(plane)).max() < EXACT:
                return cls(order, np.array(signs))
        raise UnsuitableEnvError(
            f"The robot of {_named(env)} has no mirror image: it is not the same on both sides. Joints of two sides must be"
            " named left_... and right_..., and turn as far."
        )

    def __call__(self, qpos: npt.NDArray[np.floating]) -> FloatArray:
        """Returns the mirrored joint positions, shape (..., n_joints)."""
        return np.asarray(np.asarray(qpos)[..., self.order] * self.signs)


class MirrorReader:
    """
    Reads the mirror image of the poses in a video.

    :param agent: Whose translator reads
    :param env: The environment
    :param refine: See :class:`~sb3_mimic.agents.following.VideoReader`
    :raises UnsuitableEnvError: When the environment's robot has no mirror image
    """

    def __init__(self, agent: Agent, env: gym.Env[Any, Any], refine: bool = True):
        self._reader, self._image, self._env = VideoReader(agent, env, refine), MirrorImage.of(env), filmed(env)

    def read(self, frame: Picture) -> tuple[Pose, Reading | None]:
        """
        Reads the next frame.

        :param frame: What the robot sees, shape (height, width, 3)
        :return: The pose that mirrors the one in it, shape (dim,), and what drawing it has told
        """
        pose, reading = self._reader.read(frame)
        qpos = self._image(self._env.pose_layout[JOINTS].of(pose))
        if reading is not None:
            # What is believed of it is of the mirrored pose, too
            mirrored = self._env.pose_of(qpos)
            reading = replace(reading, pose=mirrored, qpos=qpos, half_width=reading.half_width[self._image.order])
            return mirrored, reading
        return self._env.pose_of(qpos), None


@dataclass(frozen=True)
class Mirrored:
    """
    Describes one moment before the mirror.

    :param followed: What the mirroring robot read, and where it was
    :param seen: What it saw, shape (height, width, 3)
    :param driven: Joint positions of the robot opposite, shape (n_joints,), in rad or m
    :param taken: Its own, the same
    """

    followed: Followed
    seen: Picture
    driven: FloatArray
    taken: FloatArray


def mirror(agent: Agent, env: gym.Env[Any, Any], motion: Any, n_frames: int, fps: float) -> Iterator[Mirrored]:
    """
    Lets an agent mirror a robot that moves; it sees pictures alone.

    :param agent: The agent
    :param env: The environment, wrapped or not, with render_mode "rgb_array"
    :param motion: How the robot opposite moves: its ``qpos`` gives joint positions at a time, see
        :func:`~sb3_mimic.agents.films.motion_of` and :mod:`~sb3_mimic.agents.driving`
    :param n_frames: How many pictures it sees
    :param fps: How many in a second
    :return: One moment after the other
    :raises UnsuitableEnvError: When the robot cannot be photographed, or has no mirror image
    """
    bare, follower = filmed(env), Follower(agent, env, fps, MirrorReader(agent, env))
    joints = bare.pose_layout[JOINTS]
    for index in range(n_frames):
        # Not ahead of time: somebody may drive it
        qpos = motion.qpos(index / fps)
        frame = bare.photographs(qpos)
        followed = follower.see(frame)
        follower.go_on(followed.time + 1 / fps)
        yield Mirrored(followed, frame, qpos, np.asarray(joints.of(followed.taken), np.float64))


def mirror_each_other(
    agents: tuple[Agent, Agent], envs: tuple[gym.Env[Any, Any], gym.Env[Any, Any]], n_frames: int, fps: float
) -> Iterator[tuple[Mirrored, Mirrored]]:
    """
    Lets two agents mirror each other, from where their environments begin.

    :param agents: The agents
    :param envs: Their environments, of the same kind, with render_mode "rgb_array"
    :param n_frames: How many pictures each sees
    :param fps: How many in a second
    :return: One moment after the other, of both
    :raises UnsuitableEnvError: When a robot cannot be photographed, or has no mirror image
    """
    followers = [
        Follower(agent, env, fps, MirrorReader(agent, env), approach=0.0, seed=seed)
        for seed, (agent, env) in enumerate(zip(agents, envs, strict=True))
    ]
    bares = [filmed(env) for env in envs]
    for index in range(n_frames):
        places = [bare.robot.qpos.copy() for bare in bares]
        frames = [bare.photographs(qpos) for bare, qpos in zip(bares, places, strict=True)]
        moments = []
        for one, follower in enumerate(followers):
            followed = follower.see(frames[1 - one])
            moments.append(Mirrored(followed, frames[1 - one], places[1 - one], places[one]))
        for follower in followers:
            follower.go_on((index + 1) / fps)
        yield moments[0], moments[1]


class Spectator:
    """
    Draws two robots that stand opposite each other, as somebody beside them sees them.

    :param env: The environment of their kind
    :raises UnsuitableEnvError: When its robot is not drawn by rays
    """

    def __init__(self, env: gym.Env[Any, Any]):
        bare = filmed(env)
        scene = getattr(bare.photographer, "scene", None)
        if scene is None:
            raise UnsuitableEnvError(
                f"The robot of {_named(env)} is drawn by PyBullet, which shows one alone. Use a body without meshes."
            )
        self._scene: Scene = scene
        stage = bare.eye.stage or Stage.of(bare.robot)
        #: How far apart they stand, in m
        self.distance = distance = APART * bare.robot.reach
        # Half a turn, and some way ahead
        self._opposite = np.array([[-1.0, 0, 0, distance], [0, -1.0, 0, 0], [0, 0, 1.0, 0]])
        x, y, z = distance / 2, 0.0, stage.middle[2]
        self._stage = replace(stage, middle=(x, y, z), radius=stage.radius + distance / 2, post=None)
        self._post = stage.post
        far = DISTANCE * distance
        #: From where they are seen
        self.view = View((x - 0.08 * far, -far, z + 0.35 * far), (x, 0.0, z - 0.04 * far), (0.0, 0.0, 1.0), FOV)

    def __call__(self, qpos: npt.NDArray[np.floating], opposite: npt.NDArray[np.floating], size: int = 480) -> Picture:
        """
        Draws both.

        :param qpos: Joint positions of the one on the left, shape (n_joints,), in rad or m
        :param opposite: Of the one on the right
        :param size: Of the picture, in pixels
        :return: Shape (size, size, 3)
        """
        layers = [layer_of(self._scene, qpos), layer_of(self._scene, opposite, self._opposite)]
        if self._post is not None:
            nothing = np.empty(0)
            layers = [layer_of(self._post, nothing), layer_of(self._post, nothing, self._opposite), *layers]
        return self._stage.show(replace(self.view, width=size, height=size), _together(layers))


def _together(layers: list[Layer]) -> Layer:
    """Returns what draws several things that do not hide each other, later ones over earlier ones."""

    def layer(view: View) -> Picture:
        whole = np.zeros((view.height, view.width, 4))
        for each in layers:
            drawn = each(view).astype(np.float64)
            whole = drawn + whole * (1 - drawn[..., 3:] / 255)
        return np.clip(np.rint(whole), 0, 255).astype(np.uint8)

    return layer


def mirror_errors(env: gym.Env[Any, Any], moments: list[Mirrored], n_left_out: int = 0) -> dict[str, float]:
    """
    Says how well a robot mirrors the one opposite.

    :param env: The environment
    :param moments: What :func:`mirror` gave
    :param n_left_out: Moments at the beginning that do not count
    :return: ``joint_error_deg`` and ``keypoint_error_cm``, means
    """
    bare, image = filmed(env), MirrorImage.of(env)
    layout = bare.pose_layout
    counted = moments[n_left_out:]
    taken = np.array([bare.pose_of(each.taken) for each in counted])
    asked = np.array([bare.pose_of(image(each.driven)) for each in counted])
    return {name: float(np.mean(error)) for name, error in layout.errors(taken, asked).items()}


def _named(env: gym.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _swapped(names: list[str]) -> npt.NDArray[np.int64]:
    """Returns for each name the place of that on the other side: left for right; of what has no sides its own."""
    left, right = SIDES
    others = {name: name.replace(left, right) if left in name else name.replace(right, left) for name in names}
    return np.array([names.index(other) if (other := others[name]) in names else names.index(name) for name in names])
