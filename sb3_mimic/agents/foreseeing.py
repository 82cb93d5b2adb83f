"""Uses predictors with their environments: finds them, lets them draw, and compares what they foresee with what comes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic import keys
from sb3_mimic.agents.environments import layer_with
from sb3_mimic.data.collection import Policy
from sb3_mimic.errors import ForesightError, PredictorFileError
from sb3_mimic.foresight import PosePredictor, VideoPredictor, load_predictor
from sb3_mimic.pictures.drawing import caption, enlarge, labelled_grid
from sb3_mimic.runs.shipped import predictors_folder

Frames = npt.NDArray[np.uint8]

FILE = "predictor.safetensors"
# Frames that a predictor is shown, unless it is told otherwise
N_SEEN = 8
# How high pictures are drawn side by side, and in a strip, what lies between them, in pixels, and how many a strip has
SIDE, STRIP_SIDE, GAP, N_STRIP = 288, 96, 4, 10


@dataclass(frozen=True)
class Foreseen:
    """
    What came in an episode, and what was foreseen.

    :param seen: Frames that the predictor was shown, shape (n_seen, height, width, channels)
    :param true: Those that came, shape (n_steps, height, width, channels)
    :param predicted: Those that it foresaw, of the same shape
    """

    seen: Frames
    true: Frames
    predicted: Frames

    def psnr(self) -> npt.NDArray[np.float64]:
        """Returns the peak signal-to-noise ratio of each frame that was foreseen, shape (n_steps,), in dB."""
        return psnr(self.true, self.predicted)

    def side_by_side(self, index: int) -> Frames:
        """Returns the truth and what was foreseen of it after so many steps, for people, shape (height, width, 3)."""
        both = (("what came", self.true[index]), (f"foreseen {index + 1} steps ahead", self.predicted[index]))
        pictures = [caption(enlarge(picture, SIDE), told) for told, picture in both]
        gap = np.full((SIDE, GAP, 3), 255, np.uint8)
        return np.concatenate((pictures[0], gap, pictures[1]), axis=1)

    def strip(self) -> Frames:
        """Returns frames from left to right, what came above what was foreseen, shape (height, width, 3)."""
        chosen = np.unique(np.linspace(0, len(self.true) - 1, min(N_STRIP, len(self.true))).round().astype(int))
        every = {"came": self.true, "foreseen": self.predicted}
        rows = {name: [enlarge(frames[index], STRIP_SIDE) for index in chosen] for name, frames in every.items()}
        return labelled_grid(rows, [f"+{index + 1}" for index in chosen])


def psnr(true: Frames, predicted: Frames) -> npt.NDArray[np.float64]:
    """
    Returns the peak signal-to-noise ratio of pictures.

    :param true: Shape (..., height, width, channels)
    :param predicted: The same shape
    :return: Shape (...,), in dB; at most that of a picture of which no pixel is off by a level
    """
    error = np.square(true.astype(np.float64) - predicted).mean(axis=(-3, -2, -1))
    return np.asarray(10 * np.log10(255**2 / np.maximum(error, 1.0 / 12)))


def find_predictor(env_id: str, path: str | Path | None = None) -> VideoPredictor:
    """
    Loads a predictor.

    :param env_id: Id of the environment that it is for
    :param path: Its file; by default the one that is shipped for the environment
    :return: The predictor
    :raises PredictorFileError: When there is none, or the file is damaged
    :raises ForesightError: When it was trained on another environment
    """
    if path is None:
        path = predictors_folder() / env_id / FILE
        if not path.is_file():
            there = ", ".join(sorted(folder.name for folder in predictors_folder().glob("*/"))) or "none"
            raise PredictorFileError(
                f"No predictor is shipped for {env_id}; there are those for: {there}. Train one: sb3-mimic collect --env"
                f" {env_id} --steps 100000 --policy smooth -o data && sb3-mimic fit data --predictor pose -o fit"
            )
    predictor, origin = load_predictor(path)
    if origin.env_id != env_id:
        raise ForesightError(f"{path} was trained on {origin.env_id}, and not on {env_id}. Give --env {origin.env_id}.")
    return predictor


def let_draw(predictor: VideoPredictor, env: gym.Env[Any, Any]) -> None:
    """
    Lets an environment's camera draw what a predictor foresees, where it foresees poses.

    :param predictor: Changed in place
    :param env: The environment, which stays as it is
    :raises ForesightError: When the environment has other joints, or cannot be photographed in other poses
    """
    if not isinstance(predictor, PosePredictor):
        return
    layer = layer_with(env, "photographs")
    layout = getattr(env.unwrapped, "pose_layout", None)
    if layer is None or layout != predictor.layout:
        raise ForesightError(f"The predictor foresees poses of {predictor.layout}, and {env} cannot draw them.")
    predictor.draw = partial(_drawn, layer.photographs)


def _drawn(photographs: Callable[[npt.NDArray[np.floating]], Frames], qpos: npt.NDArray[np.floating]) -> Frames:
    return photographs(np.asarray(qpos, np.float64))


def foresee(
    env: gym.Env[Any, Any], predictor: VideoPredictor, policy: Policy, n_steps: int, seed: int = 0, n_seen: int = N_SEEN
) -> Foreseen:
    """
    Lets a predictor foresee what comes in an episode.

    :param env: The environment, with pictures; it is reset
    :param predictor: What foresees, see :func:`let_draw`
    :param policy: Chooses the actions, which the predictor is told
    :param n_steps: Steps to foresee
    :param seed: Of the episode and the policy
    :param n_seen: Frames that it is shown before
    :return: What came, and what was foreseen
    :raises ForesightError: When the episode is too short
    """
    observation, _ = env.reset(seed=seed)
    policy.begin(env, np.random.default_rng(seed))
    frames, actions = [observation[keys.IMAGE]], []
    for _ in range(n_seen - 1 + n_steps):
        actions.append(policy.act(observation))
        observation, _, terminated, truncated, _ = env.step(actions[-1])
        frames.append(observation[keys.IMAGE])
        if (terminated or truncated) and len(frames) < n_seen + n_steps:
            raise ForesightError(
                f"The episode ended after {len(actions)} steps: foresee fewer than {n_steps}, at most {len(frames) - n_seen}."
            )
    shown = np.stack(frames)
    predicted = predictor.predict(shown[:n_seen], np.stack(actions))
    return Foreseen(shown[:n_seen], shown[n_seen:], predicted)
