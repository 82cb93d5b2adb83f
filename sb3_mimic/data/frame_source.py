"""Takes the frames that a translator learns from out of a rollout buffer or a replay buffer."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import DictReplayBuffer, DictRolloutBuffer

from sb3_mimic.data.dataset import Dataset
from sb3_mimic.data.windows import cut_windows

FloatArray = npt.NDArray[np.float32]


class FrameSource(Protocol):
    """
    Hands over windows of the frames that a buffer has got since it was last asked, with states and episode starts.

    The frames are read from the buffer, where it holds them. The states in them are added step by step, because a buffer may
    hold them normalised, or not at all.
    """

    @property
    def n_new(self) -> int:
        """Returns the number of steps of all environments since the last windows."""

    def add(
        self, states: Mapping[str, FloatArray], episode_starts: npt.NDArray[np.bool_], observation: Mapping[str, Any]
    ) -> None:
        """
        Notes the states that belong to the observation which the buffer stores in this step.

        :param states: Vectors by their keys, shape (n_envs, dim) each
        :param episode_starts: Whether an episode begins with the observation, shape (n_envs,)
        :param observation: That observation, pictures with their channels first, shape (n_envs, ...) each
        """

    def take(self, length: int, min_change: float) -> Dataset:
        """
        Takes windows of the new frames.

        :param length: Frames of a window
        :param min_change: See :func:`~sb3_mimic.data.windows.cut_windows`
        :return: The windows, a copy
        """

    def run_state(self) -> dict[str, Any]:
        """Returns what was noted and not yet taken, as plain arrays."""

    def restore_run_state(self, state: dict[str, Any]) -> None:
        """
        Restores what was noted and not yet taken.

        :param state: What :meth:`run_state` gave
        """


class _BufferFrames:
    """
    Takes frames out of a buffer's observations. The newest is at the position before the one that is written next.

    :param buffer: A buffer of Dict observations
    :param labels: The key of the vector that is to be read in each picture, by the picture's key
    :param n_channels: Channels of one frame; of stacked frames the newest counts
    :param state_dim: How many of a vector's first numbers are read
    """

    def __init__(
        self, buffer: DictRolloutBuffer | DictReplayBuffer, labels: Mapping[str, str], n_channels: int, state_dim: int
    ):
        self.buffer = buffer
        self.labels = dict(labels)
        self.n_channels = n_channels
        self.state_dim = state_dim
        # A replay buffer forgets its oldest
        self._states: dict[str, deque[FloatArray]] = {
            key: deque(maxlen=buffer.buffer_size) for key in dict.fromkeys(labels.values())
        }
        self._starts: deque[npt.NDArray[np.bool_]] = deque(maxlen=buffer.buffer_size)

    @property
    def n_new(self) -> int:
        return len(self._starts) * self.buffer.n_envs

    def add(
        self, states: Mapping[str, FloatArray], episode_starts: npt.NDArray[np.bool_], observation: Mapping[str, Any]
    ) -> None:
        for key, noted in self._states.items():
            noted.append(np.asarray(states[key][:, : self.state_dim], np.float32))
        self._starts.append(np.asarray(episode_starts, bool))

    def take(self, length: int, min_change: float) -> Dataset:
        starts = np.stack(self._starts)
        own = next(iter(self.labels.values()))
        parts = []
        for picture, key in self.labels.items():
            windows = cut_windows(self._frames(picture, len(starts)), np.stack(self._states[key]), starts, length, min_change)
            if length == 1 and key != own and not starts[0].all():
                # A goal that was there before is not new; without an episode's start the first step comes first
                is_old = np.zeros(len(windows), bool)
                is_old[: self.buffer.n_envs] = ~starts[0]
                windows = windows[np.flatnonzero(~is_old)]
            parts.append(windows)
        self._forget()
        return Dataset.concatenate(parts)

    def _frames(self, picture: str, n_steps: int) -> npt.NDArray[np.uint8]:
        """Returns the newest pictures of a key, shape (n_steps, n_envs, n_channels, height, width)."""
        # The buffer's next place comes after the newest
        places = (self.buffer.pos - n_steps + np.arange(n_steps)) % self.buffer.buffer_size
        frames = self.buffer.observations[picture][:, :, -self.n_channels :]
        # A full rollout is all there is: cut_windows copies what it takes
        found: npt.NDArray[np.uint8] = frames if n_steps == len(frames) and not places[0] else frames[places]
        return found

    def run_state(self) -> dict[str, Any]:
        if not self._starts:
            return {}
        return {"states": {key: np.stack(noted) for key, noted in self._states.items()}, "starts": np.stack(self._starts)}

    def restore_run_state(self, state: dict[str, Any]) -> None:
        self._forget()
        if state:
            for key, noted in self._states.items():
                noted.extend(state["states"][key])
            self._starts.extend(state["starts"])

    def _forget(self) -> None:
        for noted in self._states.values():
            noted.clear()
        self._starts.clear()


class RolloutFrames(_BufferFrames):
    """Takes the frames of a rollout buffer. It must be full, and not yet flattened by a training step, when they are taken."""


class ReplayFrames(_BufferFrames):
    """Takes the newest frames of a replay buffer, as many as it still holds."""


class ObservedFrames(_BufferFrames):
    """Takes the newest frames out of the observations themselves, where the buffer does not hold pictures."""

    def __init__(self, buffer: DictReplayBuffer, labels: Mapping[str, str], n_channels: int, state_dim: int):
        super().__init__(buffer, labels, n_channels, state_dim)
        self._pictures: dict[str, deque[npt.NDArray[np.uint8]]] = {key: deque(maxlen=buffer.buffer_size) for key in labels}

    def add(
        self, states: Mapping[str, FloatArray], episode_starts: npt.NDArray[np.bool_], observation: Mapping[str, Any]
    ) -> None:
        super().add(states, episode_starts, observation)
        for key, noted in self._pictures.items():
            noted.append(np.array(observation[key][:, -self.n_channels :]))

    def _frames(self, picture: str, n_steps: int) -> npt.NDArray[np.uint8]:
        return np.stack(self._pictures[picture])

    def run_state(self) -> dict[str, Any]:
        state = super().run_state()
        return state and {**state, "pictures": {key: np.stack(noted) for key, noted in self._pictures.items()}}

    def restore_run_state(self, state: dict[str, Any]) -> None:
        super().restore_run_state(state)
        for key, noted in self._pictures.items():
            noted.extend(state["pictures"][key] if state else ())

    def _forget(self) -> None:
        super()._forget()
        for noted in self._pictures.values():
            noted.clear()
