"""Follows a video of a moving robot: reads each frame, and lets a trained agent do the same at the same time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic import keys
from sb3_mimic.agents.agent import Agent
from sb3_mimic.agents.environments import Goals
from sb3_mimic.agents.imitation import (
    PICTURE_SIZE,
    as_seen,
    is_drawn,
    require_imitation,
    sees_itself,
    square,
    understood,
    unreadable,
)
from sb3_mimic.agents.refinement import Reading, Tracker
from sb3_mimic.errors import InputError, UnreadablePictureError
from sb3_mimic.pictures import caption, enlarge
from sb3_mimic.pictures.framing import of_aspect
from sb3_mimic.pose import JOINTS, POINTS, VELOCITY_SCALE

Picture = npt.NDArray[np.uint8]
Pose = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

# How far ahead of what it sees an agent aims, in s: agents that have learnt to take poses that stay come so much too late
LEAD = 1 / 30
# For so long an agent may come near to where a video begins, in s
APPROACH = 1.0
# How much the newest change counts in how fast something moves: each frame is read a little wrong
SPEED_SHARE = 0.6
# What moves faster, in rad/s or m/s, has not moved: the video was cut
FASTEST = 10.0
# Lags that are looked for, in s
LARGEST_LAG, LAG_STEP = 0.3, 0.001


@dataclass(frozen=True)
class Followed:
    """
    Describes one frame of a video, and what became of it.

    :param index: Its number, from 0
    :param time: When it is shown, in s from the first one
    :param read: The pose read in it, shape (dim,); that of the frame before where nothing can be read
    :param taken: The pose that the robot is in when it is shown, shape (dim,)
    :param is_readable: Whether it looks like a picture of the robot
    :param half_width: How sure each joint is: 90 % lie within so much, in rad or m; None where nothing says so
    """

    index: int
    time: float
    read: Pose
    taken: Pose
    is_readable: bool = True
    half_width: FloatArray | None = None


class Reader(Protocol):
    """Reads the poses in a video, frame by frame."""

    def read(self, frame: Picture) -> tuple[Pose, Reading | None]:
        """
        Reads the next frame.

        :param frame: Shape (height, width, 3), of any size
        :return: The pose, shape (dim,), and what drawing it has told; None where that is not done
        """


class VideoReader:
    """
    Reads the poses in a video, frame by frame: the translator hands on what it remembers, and each look at what it has read
    begins where the last frames lead.

    :param agent: Whose translator reads
    :param env: The environment
    :param refine: Whether to look again at what is read, by drawing it, where that can be done
    """

    def __init__(self, agent: Agent, env: gym.Env[Any, Any], refine: bool = True):
        self._translator, self._goals = agent.translator, Goals.of(env)
        self._tracker = Tracker(env) if refine and is_drawn(env, agent.translator) else None
        self._hidden: Any = None
        self._aspect = self._translator.width / self._translator.height

    def read(self, frame: Picture) -> tuple[Pose, Reading | None]:
        """
        Reads the next frame.

        :param frame: Shape (height, width, 3), of any size
        :return: The pose, shape (dim,), and what drawing it has told; None where that is not done
        """
        picture, _ = of_aspect(frame, self._aspect)
        shown = as_seen(self._translator, picture)
        estimate, scales, self._hidden = self._translator.read_next(shown, self._hidden)
        dim = self._goals.layout.dim
        if self._tracker is None:
            return np.pad(estimate[:dim], (0, max(0, dim - len(estimate)))), None
        reading = self._tracker.read(picture, estimate, scales)
        return reading.pose[:dim], reading


class _Course:
    """Knows where a goal is between frames: it goes on as it went."""

    def __init__(self, env: gym.Env[Any, Any], goals: Goals):
        self._bare: Any = env.unwrapped
        self._layout = goals.layout
        self._has_joints = JOINTS in goals.layout and hasattr(self._bare, "pose_of")
        self._place: FloatArray | None = None
        #: Of each joint, or of each number of a goal without joints, in a second
        self.speed: FloatArray = np.zeros(0)

    def add(self, pose: Pose, seconds: float) -> None:
        """
        Notes where it is now.

        :param pose: Shape (dim,)
        :param seconds: Since the last time
        """
        place = np.asarray(self._layout[JOINTS].of(pose) if self._has_joints else pose, np.float64)
        newest = np.zeros_like(place) if self._place is None else (place - self._place) / seconds
        is_cut = self._place is None or bool(np.abs(newest).max() > FASTEST)
        self.speed = np.zeros_like(place) if is_cut else self.speed + SPEED_SHARE * (newest - self.speed)
        self._place = place

    def stop(self) -> None:
        """Lets it stay where it was last."""
        self.speed = np.zeros_like(self.speed)

    def at(self, seconds: float) -> Pose:
        """Returns the pose so many seconds after the last one, shape (dim,)."""
        assert self._place is not None
        place = self._place + seconds * self.speed
        if not self._has_joints:
            return place.astype(np.float32)
        joints = self._layout[JOINTS]
        half, middle = np.array(joints.scale or 1.0), np.array(joints.offset or 0.0)
        return np.asarray(self._bare.pose_of(np.clip(place, middle - half, middle + half)), np.float32)


def follow_video(
    agent: Agent,
    env: gym.Env[Any, Any],
    frames: Iterable[Picture],
    fps: float,
    lead: float = LEAD,
    refine: bool = True,
    force: bool = False,
    on_frame: Callable[[Picture], None] | None = None,
    reader: Reader | None = None,
) -> Iterator[Followed]:
    """
    Lets an agent do what a robot in a video does, at the same time: while a frame is shown, it goes to where that frame and
    those before it lead. It may come near to the first one before the video goes on.

    :param agent: The agent
    :param env: The environment, wrapped or not, with render_mode "rgb_array"
    :param frames: The frames, of any size, shape (height, width, 3); one at a time is kept
    :param fps: Frames per second
    :param lead: How far ahead of what it sees it aims, in s
    :param refine: Whether to look again at what the translator reads, see :class:`VideoReader`
    :param force: Whether to go on where the first frame does not look like a picture of the robot; later ones that do not are
        passed over
    :param on_frame: Is handed the frame beside the robot, shape (480, 960, 3), once for each frame
    :param reader: What reads the frames; by default a :class:`VideoReader`
    :return: One frame after the other, as they are followed
    :raises NoTranslatorError: When the agent cannot read pictures
    :raises UnsuitableEnvError: When the environment has no goals or cannot be rendered, or the agent does not fit it
    :raises InputError: When fps or lead are not allowed, or a frame has another type
    :raises UnreadablePictureError: When the first frame does not look like a picture of the robot
    """
    reader = VideoReader(agent, env, refine) if reader is None else reader
    follower = Follower(agent, env, fps, reader, lead, force)
    for frame in frames:
        followed = follower.see(frame)
        follower.go_on(followed.time + 1 / fps)
        if on_frame is not None:
            left = caption(enlarge(follower.framed(frame), PICTURE_SIZE), "video")
            on_frame(np.hstack((left, caption(square(env.render()), "robot"))))
        yield followed


class Follower:
    """
    Lets an agent go after what it sees, frame by frame.

    :param agent: The agent
    :param env: The environment, wrapped or not, with render_mode "rgb_array"
    :param fps: Frames per second
    :param reader: What reads them
    :param lead: How far ahead of what it sees it aims, in s
    :param force: Whether to go on where the first frame does not look like a picture of the robot
    :param approach: For so long it may come near to the first frame before the next one, in s
    :param seed: Of where the robot begins
    :raises InputError: When fps or lead are not allowed
    """

    def __init__(
        self,
        agent: Agent,
        env: gym.Env[Any, Any],
        fps: float,
        reader: Reader,
        lead: float = LEAD,
        force: bool = False,
        approach: float = APPROACH,
        seed: int = 0,
    ):
        if not 0 < fps < np.inf or not np.isfinite(lead):
            raise InputError(f"fps must be positive and lead finite, got {fps} and {lead}.")
        self._goals = require_imitation(agent, env)
        self._agent, self._env, self._fps, self._reader, self._lead, self._force = agent, env, fps, reader, lead, force
        self._course = _Course(env, self._goals)
        self._dt = 1 / env.metadata["render_fps"]
        self._observation, _ = env.reset(seed=seed)
        self._memory: Any = None
        self._clock, self._seen_at, self._n_seen = -approach, 0.0, 0
        self._pose = np.zeros(self._goals.layout.dim, np.float32)

    def framed(self, frame: Picture) -> Picture:
        """Returns a frame with the width and height of the robot's own pictures, relative to each other."""
        return of_aspect(frame, self._agent.translator.width / self._agent.translator.height)[0]

    def see(self, frame: Picture) -> Followed:
        """
        Reads the next frame.

        :param frame: Shape (height, width, 3), of any size
        :return: What was read, and where the robot is when it is shown
        :raises UnreadablePictureError: When the first frame does not look like a picture of the robot
        """
        index = self._n_seen
        read, reading = self._reader.read(frame)
        is_readable = reading is None or reading.is_readable
        if is_readable or index == 0:
            if reading is not None and not is_readable and not self._force:
                raise UnreadablePictureError(unreadable(self._env, "The first frame", reading, "force=True"))
            self._pose = read
            self._course.add(read, 1 / self._fps)
        else:
            self._course.stop()
        frame = as_seen(self._agent.translator, self.framed(frame))
        # What was read may be another pose than the frame shows, as in a mirror: eyes are shown that one
        known, self._shown = (None, frame) if reading is None else understood(self._agent, self._env, reading, frame)
        can_be_told = known is not None and not self._agent.reads_goal and not sees_itself(self._agent)
        self._known = known[: self._agent.translator.state_dim] if known is not None and can_be_told else None
        self._goals.ask_for(self._pose, self._shown if keys.DESIRED_IMAGE in self._observation else None)
        self._seen_at, self._n_seen = index / self._fps, index + 1
        # Before the first one the clock stands below 0, and nothing is known to move
        self.go_on(self._seen_at)
        half_width = None if reading is None else reading.half_width
        return Followed(index, self._seen_at, self._pose, self._goals.achieved, is_readable, half_width)

    def go_on(self, end: float) -> None:
        """
        Acts for a while.

        :param end: Until when, in s
        """
        while self._clock < end - self._dt / 2:
            asked = self._course.at(self._clock - self._seen_at + self._lead)
            seen = {**self._observation, keys.DESIRED_GOAL: asked, keys.DESIRED_IMAGE: self._shown}
            if keys.DESIRED_VELOCITY in self._observation:
                seen[keys.DESIRED_VELOCITY] = (self._course.speed / VELOCITY_SCALE).astype(np.float32)
            action, self._memory = self._agent.act(seen, self._memory, self._known)
            self._observation, _, terminated, truncated, _ = self._env.step(action)
            if terminated or truncated:
                raise InputError(
                    f"The episode ended {self._clock:.1f} s into the video. Make the environment without a time limit."
                )
            self._clock += self._dt


def tracking_errors(
    env: gym.Env[Any, Any], followed: Sequence[Followed], true: Sequence[Pose] | None = None
) -> dict[str, float]:
    """
    Says how well a video was followed: the mean error of each part of a pose, and how late the robot was.

    :param env: The environment
    :param followed: All frames
    :param true: The pose in each frame, where that is known; by default those that were read
    :return: Such as ``joint_error_deg``, ``keypoint_error_cm``, and ``lag_ms``
    """
    layout = Goals.of(env).layout
    taken = np.array([each.taken for each in followed])
    asked = np.array([each.read for each in followed] if true is None else true)
    errors = {name: float(np.mean(error)) for name, error in layout.errors(taken, asked).items()}
    part = layout[JOINTS] if JOINTS in layout else layout[POINTS] if POINTS in layout else layout.parts[0]
    times = np.array([each.time for each in followed])
    return {**errors, "lag_ms": 1000 * _lag(times, part.numbers(taken), part.numbers(asked))}


def _lag(times: FloatArray, taken: npt.NDArray[np.floating], asked: npt.NDArray[np.floating]) -> float:
    """Returns after how many seconds what was asked for is most like what was taken; 0 where nothing moves."""
    if len(times) < 2 or np.ptp(asked, axis=0).max() < 1e-3:
        return 0.0
    inside = (times >= times[0] + LARGEST_LAG) & (times <= times[-1] - LARGEST_LAG)
    if not inside.any():
        return 0.0
    lags = np.arange(-LARGEST_LAG, LARGEST_LAG + LAG_STEP, LAG_STEP)

    def distance(lag: float) -> float:
        earlier = [np.interp(times[inside] - lag, times, numbers) for numbers in asked.T]
        return float(np.abs(np.array(earlier).T - taken[inside]).mean())

    return float(lags[int(np.argmin([distance(lag) for lag in lags]))])
