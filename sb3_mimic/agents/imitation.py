"""Shows a trained agent pictures of poses, and lets it take them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic import keys
from sb3_mimic.agents.agent import Agent
from sb3_mimic.agents.environments import KEEP_POSE, Goals, layout_read, replay_of
from sb3_mimic.errors import InputError, UnsuitableEnvError
from sb3_mimic.pictures import caption, enlarge
from sb3_mimic.pose import POINTS, PoseLayout
from sb3_mimic.translator.base import Translator

Picture = npt.NDArray[np.uint8]
Pose = npt.NDArray[np.float32]
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


def follow(
    agent: Agent, env: gym.Env[Any, Any], observation: Observation, picture: Picture, n_steps: int, refine: bool = True
) -> Iterator[Step]:
    """
    Lets an agent take the pose in a picture.

    :param agent: The agent
    :param env: The environment, in an episode
    :param observation: The last one of that episode. Its goal is not looked at.
    :param picture: Picture of the target, shape (height, width, 3)
    :param n_steps: At most this many; fewer when the episode ends before
    :param refine: Whether to read the picture better the nearer the robot comes, or only once
    :return: The outcome of each step
    :raises NoTranslatorError: When the agent cannot read pictures
    :raises UnsuitableEnvError: When the environment has no goals, or the agent does not fit it
    """
    reader = PictureReader(agent.translator, picture, Goals.of(env).layout)
    memory = None
    for _ in range(n_steps):
        if refine and agent.reads_goal and keys.IMAGE in observation and keys.ACHIEVED_GOAL in observation:
            reader.refine(observation[keys.IMAGE], observation[keys.ACHIEVED_GOAL])
        estimate = reader.estimate
        seen = {**observation, keys.DESIRED_GOAL: estimate, keys.DESIRED_IMAGE: picture}
        action, memory = agent.act(seen, memory)
        observation, _, terminated, truncated, _ = env.step(action)
        yield Step(observation, estimate, terminated or truncated)
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
    """

    estimate: Pose
    taken: Pose
    frames: list[Picture] = field(default_factory=list)


def imitate(
    agent: Agent,
    env: gym.Env[Any, Any],
    pictures: Sequence[Picture],
    n_steps: int = 100,
    frame_every: int = 2,
    on_frame: Callable[[Picture], None] | None = None,
) -> Iterator[Imitation]:
    """
    Lets an agent take the pose in each picture in turn, each from where the one before ended.

    :param agent: The agent
    :param env: The environment, wrapped or not, with render_mode "rgb_array"
    :param pictures: The targets, of the size of the environment's own
    :param n_steps: Control steps for each picture
    :param frame_every: Control steps between two frames
    :param on_frame: Is handed each frame as it comes, for example ``AnimationWriter.write``; without it a picture's
        frames are kept in memory until the next picture's turn
    :return: One imitation after the other, as they happen
    :raises NoTranslatorError: When the agent cannot read pictures
    :raises UnsuitableEnvError: When the environment has no goals or cannot be rendered, or the agent does not fit it
    :raises InputError: When a picture has another size or type than those of the environment
    """
    goals, translator = require_imitation(agent, env), agent.translator
    for index, picture in enumerate(pictures):
        _require_picture(picture, (translator.height, translator.width, translator.n_channels), index)
    observation, _ = env.reset(seed=0)
    for picture in pictures:
        read = translator.predict(picture)[: goals.layout.dim]
        # Angles are all that is asked for
        observation = _ask_for(env, goals, np.pad(read, (0, goals.layout.dim - len(read))), picture, observation)
        estimate = goals.desired if len(read) < goals.layout.dim else read
        left = caption(enlarge(picture, PICTURE_SIZE), "picture")
        frames: list[Picture] = []
        for index, step in enumerate(follow(agent, env, observation, picture, n_steps)):
            observation = step.observation
            if index % frame_every == 0 or index == n_steps - 1 or step.is_over:
                frame = np.hstack((left, caption(_square(env.render()), "robot")))
                if on_frame is None:
                    frames.append(frame)
                else:
                    on_frame(frame)
        yield Imitation(estimate, goals.achieved, frames)
        if step.is_over:
            observation, _ = env.reset()


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
    return goals


def _require_picture(picture: Picture, shape: tuple[int, int, int], index: int) -> None:
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape != shape:
        got = f"{picture.dtype} of shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
        raise InputError(
            f"Picture {index} must be a uint8 array of shape {shape}, got {got}. Files are read so by:"
            f" sb3_mimic.pictures.read_picture(path, width={shape[1]}, height={shape[0]})"
        )


def _ask_for(env: gym.Env[Any, Any], goals: Goals, desired: Pose, picture: Picture, observation: Observation) -> Observation:
    """Changes the goal, and returns the observation as all wrappers then show it."""
    if replay_of(env) is not None:
        return env.reset(options={KEEP_POSE: True, "desired_goal": desired, "desired_image": picture})[0]  # type: ignore[no-any-return]
    shown = goals.ask_for(desired, picture)
    if env is env.unwrapped:
        return shown
    # Of all that wrappers have made of the observation, only the goal has changed
    return {**observation, **{key: shown[key] for key in (keys.DESIRED_GOAL, keys.DESIRED_IMAGE) if key in shown}}


def _square(picture: Any) -> Picture:
    """Scales what an environment has rendered to the height of the picture beside it."""
    return picture if picture.shape[0] == PICTURE_SIZE else enlarge(picture, PICTURE_SIZE)
