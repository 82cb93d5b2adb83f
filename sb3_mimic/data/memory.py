"""Remembers a bounded number of windows of frames."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.data.dataset import Dataset


class Memory:
    """
    Keeps a mixture of windows from many rollouts. The frames of a single one resemble each other so much that a network
    trained on them alone forgets the others.

    :param capacity: How many windows to remember; each frame takes as many bytes as its pixels
    :raises ValueError: When capacity is below 1
    """

    def __init__(self, capacity: int):
        if capacity < 1:
            raise ValueError(f"A memory must hold at least one window, got capacity={capacity}")
        self.capacity = capacity
        self._windows: Dataset | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, windows: Dataset, rng: np.random.Generator) -> None:
        """
        Adds windows. Once the memory is full, each new window takes the place of a random old one.

        :param windows: What to remember
        :param rng: Chooses the windows that are replaced
        """
        n_free = min(self.capacity - self._size, len(windows))
        slots = np.concatenate(
            (np.arange(self._size, self._size + n_free), rng.integers(self.capacity, size=len(windows) - n_free))
        )
        self._write(slots, windows)
        self._size += n_free

    def run_state(self) -> dict[str, npt.NDArray[Any]]:
        """Returns all remembered windows, images as uint8."""
        if self._windows is None:
            return {name: np.empty((0,), np.uint8) for name in ("images", "states", "episode_starts")}
        windows = self._windows
        return {name: getattr(windows, name)[: self._size] for name in ("images", "states", "episode_starts")}

    def restore_run_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """
        Restores the remembered windows.

        :param state: What :meth:`run_state` gave
        :raises ValueError: When it holds more than the capacity
        """
        n = len(state["images"])
        if n > self.capacity:
            raise ValueError(f"A memory of {self.capacity} windows cannot hold {n}: raise memory_size")
        self._size, self._windows = n, None
        if n:
            # Runs of before windows had single frames
            is_windows = state["images"].ndim == 5
            windows = Dataset(**state) if is_windows else Dataset.of_pictures(state["images"], state["states"])
            self._write(np.arange(n), windows)

    def sample(self, n: int, rng: np.random.Generator) -> Dataset:
        """Returns a copy of n windows drawn at random, with replacement."""
        if self._windows is None:
            raise ValueError("This memory is empty: add windows before sampling")
        return self._windows[rng.integers(self._size, size=n)]

    def _write(self, slots: npt.NDArray[np.integer], windows: Dataset) -> None:
        if self._windows is None:
            self._windows = Dataset(
                np.empty((self.capacity, *windows.images.shape[1:]), np.uint8),
                np.empty((self.capacity, *windows.states.shape[1:]), np.float32),
                np.empty((self.capacity, *windows.episode_starts.shape[1:]), np.bool_),
            )
        mine = self._windows
        mine.images[slots], mine.states[slots] = windows.images, windows.states
        mine.episode_starts[slots] = windows.episode_starts
