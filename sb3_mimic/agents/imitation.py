"""Shows a trained agent pictures of poses, and lets it take them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from PIL import Image

from sb3_mimic import keys
from sb3_mimic.agents.agent import Agent
from sb3_mimic.agents.environments import KEEP_POSE, Goals, layout_read, replay_of, warn_of_renderer
from sb3_mimic.agents.refinement import Reading, can_refine, refine, stated_width
from sb3_mimic.errors import InputError, UnreadablePictureError, UnsuitableEnvError
from sb3_mimic.pictures import caption, enlarge
from sb3_mimic.pictures.framing import shrink
from sb3_mimic.pose import JOINTS, POINTS, PoseLayout
from sb3_mimic.translator.base import Translator

Picture = npt.NDArray[np.uint8]
Pose = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.floating]
Observation = dict[str, Any]

# Height of the picture and of the robot beside it, in pixels
PICTURE_SIZE = 480

# From here on the robot is near enough to its target to learn from how it misreads itself (L2 over all key points, in m)
REFINING_DISTANCE = 0.1
# Corrections are taken over bit by bit, and none that moves a key point further than this (in m) is believed
CORRECTION_RATE, LARGEST_CORRECTION = 0.2, 0.04


class PictureReader:
    """
    Reads the target pose from a picture, and better the nearer the robot comes to it.

    A translator errs in much the same way on pictures that look alike. Near the target, the robot compares its own
    frame, as the translator reads it, with where its joints really are, and takes that error off the target's
    estimate: visual servoing with a learnt sensor. Nothing but the two pictures and the robot's own state is used.

    :param translator: Reads pictures
    :param picture: The target, shape (height, width, 3)
    :param layout: What a pose vector means
    """

    def __init__(self, translator: Translator, picture: Picture, layout: PoseLayout):
        self.translator = translator
        self.layout = layout
        # Where the camera is may be read beside the pose
        self.first_estimate: Pose = translator.predict(picture)[: layout.dim]
        self.estimate = self.first_estimate

    def refine(self, own_picture: Picture, own_pose: Pose) -> None:
        """
        Corrects :attr:`estimate`, where the robot is near enough for that. A state without key points, or of which only
        a part is read, is left as it was read.

        :param own_picture: The robot's own frame, shape (height, width, 3)
        :param own_pose: Its pose at that moment, shape (dim,)
        """
        if POINTS not in self.layout or len(self.estimate) != self.layout.dim:
            return
        if np.linalg.norm(self.layout[POINTS].distances(own_pose, self.estimate)) >= REFINING_DISTANCE:
            return
        misreading = self.translator.predict(own_picture)[: self.layout.dim] - own_pose
        corrected = self.first_estimate - misreading
        if self.layout[POINTS].distances(corrected, self.first_estimate).max() <= LARGEST_CORRECTION:
            self.estimate = self.estimate + CORRECTION_RATE * (corrected - self.estimate)


@dataclass(frozen=True)
class Step:
    """
    Describes the outcome of one step towards the pose in a picture.

    :param observation: The observation after the step
    :param estimate: The present estimate of the target pose, shape (dim,)
    :param is_over: Whether the episode ended with it
    """

    observation: Observation
    estimate: Pose
    is_over: bool = False


def read(agent: Agent, env: gym.Env[Any, Any], picture: Picture) -> Reading:
    """
    Reads the pose in a picture with an agent's translator, and better by drawing it.

    :param agent: The agent
    :param env: The environment; its episode stays as it is
    :param picture: Of any size, shape (height, width, 3)
    :return: The pose, and how sure it is
    :raises NoTranslatorError: When the agent cannot read pictures
    :raises UnsuitableEnvError: When the environment cannot be photographed in other poses
    :raises InputError: When the picture has another type, or another ratio of width and height than the environment's own
    """
    estimate, scales = agent.translator.predict_with_scales(as_seen(agent.translator, picture))
    return refine(env, picture, estimate, scales)


def follow(
    agent: Agent,
    env: gym.Env[Any, Any],
    observation: Observation,
    picture: Picture,
    n_steps: int,
    refine: bool = True,
    estimate: Pose | None = None,
) -> Iterator[Step]:
    """
    Lets an agent take the pose in a picture.

    :param agent: The agent
    :param env: The environment, in an episode
    :param observation: The last one of that episode. Its goal is not looked at.
    :param picture: Picture of the target, of any size, shape (height, width, 3)
    :param n_steps: At most this many; fewer when the episode ends before
    :param refine: Whether to look again at what the translator reads: by drawing it, or, where the environment cannot be
        photographed in other poses, the nearer the robot comes
    :param estimate: What was read already, shape (dim,), or with the numbers of the camera after it
    :return: The outcome of each step
    :raises NoTranslatorError: When the agent cannot read pictures
    :raises UnsuitableEnvError: When the environment has no goals, or the agent does not fit it
    :raises InputError: When the picture has another type, or another ratio of width and height than the environment's own
    """
    translator, layout = agent.translator, Goals.of(env).layout
    shown = as_seen(translator, picture)
    if estimate is None and refine and is_drawn(env, translator):
        estimate, shown = understood(agent, env, read(agent, env, picture), shown)
    # One that only sees its goal is told what it would see, where that is all that it reads
    can_be_told = not agent.reads_goal and not sees_itself(agent)
    is_told = can_be_told and estimate is not None and len(estimate) >= translator.state_dim
    reader = PictureReader(translator, shown, layout) if estimate is None else None
    memory = None
    for _ in range(n_steps):
        if reader is not None:
            if refine and agent.reads_goal and keys.IMAGE in observation and keys.ACHIEVED_GOAL in observation:
                reader.refine(observation[keys.IMAGE], observation[keys.ACHIEVED_GOAL])
            estimate = reader.estimate
        assert estimate is not None
        seen = {**observation, keys.DESIRED_GOAL: estimate[: layout.dim], keys.DESIRED_IMAGE: shown}
        action, memory = agent.act(seen, memory, estimate[: translator.state_dim] if is_told else None)
        observation, _, terminated, truncated, _ = env.step(action)
        yield Step(observation, estimate[: layout.dim], terminated or truncated)
        if terminated or truncated:
            return


@dataclass(frozen=True)
class Imitation:
    """
    Describes how one picture was imitated.

    :param estimate: The pose read from the picture, shape (dim,): where only joint angles were read, with the key
        points that belong to them
    :param taken: The pose taken in the end, shape (dim,)
    :param frames: The picture beside the robot, shape (480, 960, 3) each; none where they were handed on
    :param index: Which of the pictures it was, from 0
    :param half_width: How sure each joint is, or each number of a goal without joints: 90 % lie within so much, shape (n,), in
        rad or m; None where nothing says so
    :param reading: What drawing the pose has told; None where that was not done
    """

    estimate: Pose
    taken: Pose
    frames: list[Picture] = field(default_factory=list)
    index: int = 0
    half_width: npt.NDArray[np.floating] | None = None
    reading: Reading | None = None


def imitate(
    agent: Agent,
    env: gym.Env[Any, Any],
    pictures: Sequence[Picture],
    n_steps: int = 100,
    frame_every: int = 2,
    on_frame: Callable[[Picture], None] | None = None,
    refine: bool = True,
    force: bool = False,
    on_unreadable: Callable[[int, Reading], None] | None = None,
) -> Iterator[Imitation]:
    """
    Lets an agent take the pose in each picture in turn, each from where the one before ended.

    :param agent: The agent
    :param env: The environment, wrapped or not, with render_mode "rgb_array"
    :param pictures: The targets, of any size, with the ratio of width and height of the environment's own
    :param n_steps: Control steps for each picture
    :param frame_every: Control steps between two frames
    :param on_frame: Is handed each frame as it comes, for example ``AnimationWriter.write``; without it a picture's
        frames are kept in memory until the next picture's turn
    :param refine: Whether to look again at what the translator reads, see :func:`follow`
    :param force: Whether to act on pictures that do not look like ones of the robot
    :param on_unreadable: Is handed the number of each such picture and what was read in it, and the next one follows; without
        it such a picture is an error
    :return: One imitation after the other, as they happen
    :raises NoTranslatorError: When the agent cannot read pictures
    :raises UnsuitableEnvError: When the environment has no goals or cannot be rendered, or the agent does not fit it
    :raises InputError: When a picture has another type, or another ratio of width and height than the environment's own
    :raises UnreadablePictureError: When a picture does not look like one of the robot
    """
    goals, translator = require_imitation(agent, env), agent.translator
    shown = [as_seen(translator, picture, index) for index, picture in enumerate(pictures)]
    drawn = refine and is_drawn(env, translator)
    observation, _ = env.reset(seed=0)
    for number, (picture, small) in enumerate(zip(pictures, shown, strict=True)):
        reading, half_width = None, None
        if drawn:
            reading = read(agent, env, picture)
            pose, half_width = reading.pose[: goals.layout.dim], _width_of_goal(env, goals, reading.half_width)
            if not reading.is_readable and not force:
                if on_unreadable is None:
                    raise UnreadablePictureError(unreadable(env, f"Picture {number}", reading, "force=True"))
                on_unreadable(number, reading)
                continue
        else:
            pose, scales = translator.predict_with_scales(small)
            pose = pose[: goals.layout.dim]
            if scales is not None and JOINTS in goals.layout:
                half_width = stated_width(goals.layout, scales)
        # Angles are all that is asked for
        asked = _as_asked(goals, picture, small)
        observation = _ask_for(env, goals, np.pad(pose, (0, goals.layout.dim - len(pose))), asked, observation)
        estimate = goals.desired if len(pose) < goals.layout.dim else pose
        left = caption(enlarge(picture, PICTURE_SIZE), "picture")
        frames: list[Picture] = []
        known = None
        if reading is not None:
            known, small = understood(agent, env, reading, small)
        for index, step in enumerate(follow(agent, env, observation, small, n_steps, refine and not drawn, known)):
            observation = step.observation
            if index % frame_every == 0 or index == n_steps - 1 or step.is_over:
                frame = np.hstack((left, caption(square(env.render()), "robot")))
                if on_frame is None:
                    frames.append(frame)
                else:
                    on_frame(frame)
        yield Imitation(estimate, goals.achieved, frames, number, half_width, reading)
        if step.is_over:
            observation, _ = env.reset()


def is_drawn(env: gym.Env[Any, Any], translator: Translator) -> bool:
    """
    Says whether what a translator reads can be drawn, and compared with the pictures that it reads.

    :param env: The environment
    :param translator: The translator
    """
    return translator.n_channels == 3 and can_refine(env)


def unreadable(env: gym.Env[Any, Any], name: str, reading: Reading, cure: str) -> str:
    """
    Says why a picture is not acted on.

    :param env: The environment
    :param name: What the picture is called
    :param reading: What was read in it
    :param cure: What acts on it all the same
    :return: The sentence
    """
    robot = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
    return f"{name} does not look like a picture of {robot}: {reading.reason}; {cure} acts on it all the same."


def side_by_side(picture: Picture, reading: Reading) -> Picture:
    """
    Puts a picture beside what was read in it, as it was drawn.

    :param picture: Shape (height, width, 3)
    :param reading: What was read in it
    :return: Shape (480, width, 3)
    """
    pictures = {"picture": picture, "as it was read": reading.drawn}
    return np.hstack([caption(enlarge(each, PICTURE_SIZE), name) for name, each in pictures.items()])


def require_imitation(agent: Agent, env: gym.Env[Any, Any]) -> Goals:
    """
    Checks that an agent can imitate pictures in an environment, before anything moves.

    :param agent: The agent
    :param env: The environment
    :return: The environment's goals
    :raises NoTranslatorError: When the agent cannot read pictures
    :raises UnsuitableEnvError: When the environment has no goals or cannot be rendered, or the agent does not fit it
    """
    goals, translator = Goals.of(env), agent.translator
    if env.render_mode != "rgb_array":
        raise UnsuitableEnvError(
            f"To see what it does, imitation needs an environment with render_mode 'rgb_array', got {env.render_mode!r}."
            " Make it with: gym.make(ID, render_mode='rgb_array')"
        )
    agent.require_fit(env.observation_space, env.action_space)
    layout_read(env, translator.state_dim)
    warn_of_renderer(agent, env)
    return goals


def _width_of_goal(env: gym.Env[Any, Any], goals: Goals, half_width: FloatArray) -> FloatArray | None:
    """Returns how sure the numbers of a goal are, where they are joints, or among what moves in a picture as joints do."""
    if JOINTS in goals.layout:
        return half_width
    places = getattr(env.unwrapped, "goal_in_qpos", None)
    return None if places is None else half_width[list(places)]


def sees_itself(agent: Agent) -> bool:
    """Whether an agent reads its own pose and its goal with one eye: it misreads both alike, and so nearly not at all."""
    return not agent.reads_goal and keys.IMAGE in agent.needed_keys


def understood(agent: Agent, env: gym.Env[Any, Any], reading: Reading, picture: Picture) -> tuple[Pose | None, Picture]:
    """
    Decides what an agent makes of a picture that was read by drawing.

    :param agent: The agent
    :param env: The environment
    :param reading: What was read
    :param picture: The picture, as the agent's translator takes it
    :return: What it is to know, and the picture it is to see. What is no picture of the robot is left to the eyes of one that
        sees its goal; one that sees itself too is shown what was read as its eye knows it best
    """
    if not agent.reads_goal and not reading.is_readable:
        return None, picture
    return reading.view, env.unwrapped.photographs(reading.qpos) if sees_itself(agent) else picture  # type: ignore[attr-defined]


def as_seen(translator: Translator, picture: Picture, index: int = 0) -> Picture:
    """Returns a picture in the size in which a translator reads it, and in grey where that is what it reads."""
    shape = translator.height, translator.width, translator.n_channels
    is_picture = isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3
    if is_picture and (translator.n_channels, picture.shape[2]) == (1, 3):
        picture = np.asarray(Image.fromarray(picture).convert("L"))[..., None]
    height, width, n_channels = picture.shape if is_picture else (0, 0, 0)
    # A pixel more or less
    fits = abs(width * shape[0] - height * shape[1]) <= max(shape[:2]) and n_channels == shape[2] and min(height, width) > 0
    if not fits:
        got = f"{picture.dtype} of shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
        raise InputError(
            f"Picture {index} must be a uint8 array of shape {shape}, or larger with the same ratio of width and height, got"
            f" {got}. Files are read so by: sb3_mimic.pictures.read_full_picture(path, aspect={shape[1] / shape[0]:g})"
        )
    return shrink(picture, shape[1], shape[0])


def _as_asked(goals: Goals, picture: Picture, shown: Picture) -> Picture:
    """Returns a picture as the environment's own are, which a wrapper may make grey for the translator."""
    own = getattr(goals.layers["ask_for"].observation_space, "spaces", {}).get(keys.DESIRED_IMAGE)
    if own is None or own.shape == shown.shape or own.shape[2] != picture.shape[2]:
        return shown
    return shrink(picture, own.shape[1], own.shape[0])


def _ask_for(env: gym.Env[Any, Any], goals: Goals, desired: Pose, picture: Picture, observation: Observation) -> Observation:
    """Changes the goal, and returns the observation as all wrappers then show it."""
    if replay_of(env) is not None:
        return env.reset(options={KEEP_POSE: True, "desired_goal": desired, "desired_image": picture})[0]  # type: ignore[no-any-return]
    shown = goals.ask_for(desired, picture)
    if env is env.unwrapped:
        return shown
    # Of all that wrappers have made of the observation, only the goal has changed
    return {**observation, **{key: shown[key] for key in (keys.DESIRED_GOAL, keys.DESIRED_IMAGE) if key in shown}}


def square(picture: Any) -> Picture:
    """Scales what an environment has rendered to the height of the picture beside it."""
    return picture if picture.shape[0] == PICTURE_SIZE else enlarge(picture, PICTURE_SIZE)
