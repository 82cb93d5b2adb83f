"""Pictures with their exact states, as frozen arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import DictRolloutBuffer

from sb3_mimic import keys


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
    def from_rollout(cls, buffer: DictRolloutBuffer) -> "PoseDataset":
        """
        Look at a full rollout buffer as a data set, without copying it: the robot's own frames.

        :param buffer: Not yet flattened by a training step
        :return: A view of the buffer; it is valid until the next rollout begins
        """
        images, states = buffer.observations[keys.IMAGE], buffer.observations[keys.ACHIEVED_GOAL]
        # (n_steps, n_envs, ...) -> (n_steps * n_envs, ...)
        return cls(images.reshape(-1, *images.shape[2:]), states.reshape(-1, states.shape[-1]))

    def sample(self, n: int, rng: np.random.Generator) -> "PoseDataset":
        """:return: A copy of at most n pictures, drawn without replacement"""
        indices = rng.choice(len(self), min(n, len(self)), replace=False)
        return PoseDataset(self.images[indices], self.states[indices])
