"""Sees pictures, and nothing else."""

import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import TensorDict

from sb3_mimic import keys
from sb3_mimic.extractors.spaces import n_frames, require_images
from sb3_mimic.extractors.translated import PoseReadingExtractor

# A pose changes little from frame to frame: this makes velocities about as large as poses
VELOCITY_GAIN = 10.0


class PixelExtractor(PoseReadingExtractor):
    """
    The poses read in the robot's own frame and in the picture of the target, what is missing between them, and, where
    frames are stacked, how the own pose changed since the earlier ones.

    :param observation_space: Must hold all of ``sb3_mimic.keys.IMAGE_KEYS``, channels first
    :param state_dim: Size of what the translator reads
    :raises ValueError: When a key is missing or no picture
    """

    keys = keys.IMAGE_KEYS

    def __init__(self, observation_space: spaces.Dict, state_dim: int):
        require_images(observation_space, self.keys, type(self).__name__)
        super().__init__(observation_space, (2 + n_frames(observation_space[keys.IMAGE])) * state_dim, state_dim)

    def forward(self, observations: TensorDict) -> th.Tensor:
        seen = self.read(keys.IMAGE, observations[keys.IMAGE])
        own, earlier = seen[:, -1], seen[:, :-1]
        target = self.read_newest(keys.DESIRED_IMAGE, observations[keys.DESIRED_IMAGE])
        velocities = VELOCITY_GAIN * (own[:, None] - earlier)
        return th.cat([own, velocities.flatten(1), target, target - own], dim=1)
