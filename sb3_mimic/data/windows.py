"""Cuts consecutive steps of environments into windows of time."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.data.dataset import Dataset


def cut_windows(
    images: npt.NDArray[np.uint8],
    states: npt.NDArray[np.float32],
    episode_starts: npt.NDArray[np.bool_],
    length: int = 1,
    min_change: float = 0.0,
) -> Dataset:
    """
    Cuts windows that follow one another and do not overlap; what is too short for one, at the beginning, is left out.

    With a length of 1, where the order in time does not matter, frames in which hardly anything moved are left out.

    :param images: One frame for each step, shape (n_steps, n_envs, channels, height, width)
    :param states: What is to be read in them, shape (n_steps, n_envs, state_dim)
    :param episode_starts: Whether an episode begins with them, shape (n_steps, n_envs)
    :param length: Frames of a window
    :param min_change: With a length of 1, how far a number of the state must have moved since the last frame that is taken
    :return: A copy; windows of length 1 are ordered by time
    """
    if length == 1:
        is_new = differs_from_before(states, episode_starts, min_change)
        return Dataset(images[is_new][:, None], states[is_new][:, None], episode_starts[is_new][:, None])
    return Dataset(_cut(images, length), _cut(states, length), _cut(episode_starts, length))


def _cut(steps: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """Cuts steps of shape (n_steps, n_envs, ...) into windows of shape (n_windows * n_envs, length, ...), a copy."""
    n_windows = len(steps) // length
    newest = steps[len(steps) - n_windows * length :]
    windows = newest.reshape(n_windows, length, *steps.shape[1:]).swapaxes(1, 2)
    return windows.reshape(n_windows * steps.shape[1], length, *steps.shape[2:]).copy()


def differs_from_before(
    states: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_], min_change: float
) -> npt.NDArray[np.bool_]:
    """
    Marks the states that differ enough from the last marked one of their environment.

    :param states: Shape (n_steps, n_envs, state_dim)
    :param episode_starts: Shape (n_steps, n_envs); the first state of an episode is always marked
    :param min_change: How far one of the numbers must have moved
    :return: Whether each state is marked, shape (n_steps, n_envs)
    """
    is_new = np.ones(states.shape[:2], bool)
    last = states[0].copy()
    for step in range(1, len(states)):
        is_new[step] = (np.abs(states[step] - last).max(axis=-1) > min_change) | (episode_starts[step] > 0)
        last[is_new[step]] = states[step][is_new[step]]
    return is_new
