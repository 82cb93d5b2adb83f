"""Pictures with their exact states: as frozen arrays, and as a memory of bounded size."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import DictRolloutBuffer

from sb3_mimic import keys
from sb3_mimic.extractors.spaces import COLORS


@dataclass(frozen=True)
class PoseDataset:
    """
    :param images: Channels first, as the networks read them, uint8, shape (n, channels, height, width)
    :param states: The pose in each picture, shape (n, state_dim)
    :raises ValueError: When the numbers of pictures and states differ
    """

    images: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if len(self.images) != len(self.states):
            raise ValueError(f"Every picture needs a state, got {len(self.images)} pictures and {len(self.states)} states")

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def from_rollout(
        cls,
        buffer: DictRolloutBuffer,
        achieved: npt.NDArray[np.float32],
        desired: npt.NDArray[np.float32] | None = None,
        min_change: float = 0.0,
    ) -> "PoseDataset":
        """
        Take the robot's own frames out of a full rollout buffer, but those where it merely stands still,
        and the photographs of its targets. Of stacked frames, the newest counts.

        :param buffer: Not yet flattened by a training step
        :param achieved: What is to be read in the own frames, shape (n_steps, n_envs, state_dim)
        :param desired: What is to be read in the pictures of the targets, shape (n_steps, n_envs, state_dim);
            without, these are left out
        :param min_change: How far a number of the pose must have moved since the last own frame that is taken
        :return: A copy, ordered by time
        """
        # (n_steps, n_envs, ...) -> (n, ...)
        seen = buffer.observations
        is_new = _differs_from_before(achieved, buffer.episode_starts, min_change)
        images, states = seen[keys.IMAGE][is_new][:, -COLORS:], achieved[is_new]
        if desired is not None and keys.DESIRED_IMAGE in seen:
            is_start = buffer.episode_starts.astype(bool)
            images = np.concatenate((images, seen[keys.DESIRED_IMAGE][is_start][:, -COLORS:]))
            states = np.concatenate((states, desired[is_start]))
        return cls(images, states)

    def sample(self, n: int, rng: np.random.Generator) -> "PoseDataset":
        """:return: A copy of at most n pictures, drawn without replacement"""
        indices = rng.choice(len(self), min(n, len(self)), replace=False)
        return PoseDataset(self.images[indices], self.states[indices])


class PoseMemory:
    """
    A mixture of frames from many rollouts. The frames of a single one resemble each other so much that a network
    trained on them alone forgets the others.

    :param capacity: How many frames to remember; each takes as many bytes as its pixels
    :raises ValueError: When capacity is below 1
    """

    def __init__(self, capacity: int):
        if capacity < 1:
            raise ValueError(f"A memory must hold at least one frame, got capacity={capacity}")
        self.capacity = capacity
        self._images = np.empty((0, 0), np.uint8)
        self._states = np.empty((0, 0), np.float32)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, frames: PoseDataset, rng: np.random.Generator) -> None:
        """
        :param frames: What to remember; once the memory is full, each new frame takes the place of a random old one
        :param rng: Chooses them
        """
        if not self._size:
            self._make_room(frames.images, frames.states)
        n_free = min(self.capacity - self._size, len(frames))
        slots = np.concatenate(
            (np.arange(self._size, self._size + n_free), rng.integers(self.capacity, size=len(frames) - n_free))
        )
        self._images[slots], self._states[slots] = frames.images, frames.states
        self._size += n_free

    def run_state(self) -> dict[str, npt.NDArray[Any]]:
        """:return: All that it remembers, images as uint8"""
        return {"images": self._images[: self._size], "states": self._states[: self._size]}

    def restore_run_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """
        :param state: What :meth:`run_state` gave
        :raises ValueError: When it holds more than the capacity
        """
        images, states = state["images"], state["states"]
        if len(images) > self.capacity:
            raise ValueError(f"A memory of {self.capacity} frames cannot hold {len(images)}: raise memory_size")
        self._size = 0
        if len(images):
            self._make_room(images, states)
            self._images[: len(images)], self._states[: len(states)] = images, states
            self._size = len(images)

    def _make_room(self, images: npt.NDArray[Any], states: npt.NDArray[Any]) -> None:
        self._images = np.empty((self.capacity, *images.shape[1:]), np.uint8)
        self._states = np.empty((self.capacity, *states.shape[1:]), np.float32)

    def sample(self, n: int, rng: np.random.Generator) -> PoseDataset:
        """:return: A copy of n frames drawn at random, with replacement"""
        indices = rng.integers(self._size, size=n)
        return PoseDataset(self._images[indices], self._states[indices])


def _differs_from_before(
    states: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.float32], min_change: float
) -> npt.NDArray[np.bool_]:
    """
    :param states: Shape (n_steps, n_envs, state_dim)
    :param episode_starts: Shape (n_steps, n_envs)
    :param min_change: How far one of the numbers must have moved
    :return: Whether each state differs enough from the last one of its environment that did, shape (n_steps, n_envs)
    """
    is_new = np.ones(states.shape[:2], bool)
    last = states[0].copy()
    for step in range(1, len(states)):
        is_new[step] = (np.abs(states[step] - last).max(axis=-1) > min_change) | (episode_starts[step] > 0)
        last[is_new[step]] = states[step][is_new[step]]
    return is_new
