"""Defines frozen arrays of windows of frames, with the exact state in each frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Dataset:
    """
    Holds windows of frames that follow one another, with the state in each frame.

    :param images: Channels first, as the networks read them, uint8, shape (n, time, channels, height, width)
    :param states: The state in each frame, shape (n, time, state_dim)
    :param episode_starts: Whether an episode begins with a frame, shape (n, time)
    :raises ValueError: When the numbers of frames, states and starts differ
    """

    images: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float32]
    episode_starts: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.images.ndim != 5 or not self.images.shape[:2] == self.states.shape[:2] == self.episode_starts.shape:
            raise ValueError(
                "Every frame needs a state: images must have the shape (n, time, channels, height, width), states"
                " (n, time, state_dim) and episode_starts (n, time),"
                f" got {self.images.shape}, {self.states.shape} and {self.episode_starts.shape}"
            )

    @classmethod
    def of_pictures(cls, images: npt.NDArray[np.uint8], states: npt.NDArray[np.float32]) -> "Dataset":
        """
        Makes a window of each of several single pictures.

        :param images: Single pictures, shape (n, channels, height, width)
        :param states: The state in each, shape (n, state_dim)
        :return: A dataset of n windows of length 1
        """
        return cls(images[:, None], states[:, None], np.ones((len(images), 1), bool))

    @classmethod
    def concatenate(cls, datasets: Sequence["Dataset"]) -> "Dataset":
        """Joins the windows of several datasets, one after the other."""
        if len(datasets) == 1:
            return datasets[0]
        return cls(
            np.concatenate([each.images for each in datasets]),
            np.concatenate([each.states for each in datasets]),
            np.concatenate([each.episode_starts for each in datasets]),
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: npt.NDArray[np.integer]) -> "Dataset":
        """Returns a copy of some windows."""
        return Dataset(self.images[indices], self.states[indices], self.episode_starts[indices])

    def sample(self, n: int, rng: np.random.Generator) -> "Dataset":
        """Returns a copy of at most n windows, drawn without replacement."""
        return self[rng.choice(len(self), min(n, len(self)), replace=False)]
