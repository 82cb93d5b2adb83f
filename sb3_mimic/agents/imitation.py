"""Show a trained agent pictures of poses, and it takes them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic import keys
from sb3_mimic.agents.loading import Agent
from sb3_mimic.envs.mimic_env import PICTURE_SIZE, MimicEnv, Observation
from sb3_mimic.pictures.files import caption, enlarge
from sb3_mimic.pose import POINTS, PoseLayout
from sb3_mimic.translator.base import Translator

Picture = npt.NDArray[np.uint8]
Pose = npt.NDArray[np.float32]

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
        self.first_estimate: Pose = translator.predict(picture)
        self.estimate = self.first_estimate

    def refine(self, own_picture: Picture, own_pose: Pose) -> None:
        """
        Correct :attr:`estimate`, where the robot is near enough for that.

        :param own_picture: The robot's own frame, shape (height, width, 3)
        :param own_pose: Its pose at that moment, shape (dim,)
        """
        if np.linalg.norm(self.layout[POINTS].distances(own_pose, self.estimate)) >= REFINING_DISTANCE:
            return
        misreading = self.translator.predict(own_picture) - own_pose
        corrected = self.first_estimate - misreading
        if self.layout[POINTS].distances(corrected, self.first_estimate).max() <= LARGEST_CORRECTION:
            self.estimate = self.estimate + CORRECTION_RATE * (corrected - self.estimate)


@dataclass(frozen=True)
class Step:
    """
    What came of one step towards the pose in a picture.

    :param observation: After the step
    :param estimate: The present estimate of the target pose, shape (dim,)
    """

    observation: Observation
    estimate: Pose


def follow(
    agent: Agent, env: gym.Env[Any, Any], observation: Observation, picture: Picture, n_steps: int, refine: bool = True
) -> Iterator[Step]:
    """
    Take the pose in a picture.

    :param agent: What acts
    :param env: In an episode
    :param observation: The last one of that episode. Its goal is not looked at.
    :param picture: Of the target, shape (height, width, 3)
    :param n_steps: At most this many; fewer when the episode ends before
    :param refine: Whether to read the picture better the nearer the robot comes, or only once
    :return: What came of each step
    """
    assert isinstance(env.unwrapped, MimicEnv)
    reader = PictureReader(agent.translator, picture, env.unwrapped.pose_layout)
    memory = None
    for _ in range(n_steps):
        if refine and agent.reads_goal:
            reader.refine(observation[keys.IMAGE], observation[keys.ACHIEVED_GOAL])
        estimate = reader.estimate
        seen = {**observation, keys.DESIRED_GOAL: estimate, keys.DESIRED_IMAGE: picture}
        action, memory = agent.act(seen, memory)
        observation, _, terminated, truncated, _ = env.step(action)
        yield Step(observation, estimate)
        if terminated or truncated:
            return


@dataclass(frozen=True)
class Imitation:
    """
    How one picture was imitated.

    :param estimate: The pose read from the picture, shape (dim,): where only joint angles were read, with the key
        points that belong to them
    :param taken: The pose taken in the end, shape (dim,)
    :param frames: The picture beside the robot, shape (480, 960, 3) each
    """

    estimate: Pose
    taken: Pose
    frames: list[Picture]


def imitate(
    agent: Agent, env: MimicEnv, pictures: Sequence[Picture], n_steps: int = 100, frame_every: int = 2
) -> Iterator[Imitation]:
    """
    Take the pose in each picture in turn, each from where the one before ended.

    :param agent: What acts
    :param env: With render_mode "rgb_array"
    :param pictures: The targets, of the size of the environment's camera
    :param n_steps: Control steps for each picture
    :param frame_every: Control steps between two frames
    :return: One imitation after the other, as they happen
    :raises NoTranslatorError: When the agent cannot read pictures
    """
    translator = agent.translator
    env.reset(seed=0)
    for picture in pictures:
        read = translator.predict(picture)
        # Angles are all that is asked for
        observation = env.ask_for(np.pad(read, (0, env.pose_layout.dim - len(read))), picture)
        estimate = env.desired_goal if len(read) < env.pose_layout.dim else read
        left = enlarge(picture, PICTURE_SIZE)
        frames = []
        for index, step in enumerate(follow(agent, env, observation, picture, n_steps)):
            observation = step.observation
            if index % frame_every == 0 or index == n_steps - 1:
                right = env.render()
                assert right is not None
                frames.append(np.hstack((caption(left, "picture"), caption(right, "robot"))))
        yield Imitation(estimate, env.achieved_goal, frames)
