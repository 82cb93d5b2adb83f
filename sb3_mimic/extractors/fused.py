"""Sees the body's own state and pictures: the goal can only be seen, not read."""

from collections.abc import Sequence

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import TensorDict

from sb3_mimic import keys
from sb3_mimic.extractors.checks import require_keys
from sb3_mimic.extractors.pixel import PixelExtractor


class FusedExtractor(BaseFeaturesExtractor):
    """
    The robot's own state beside the features of a :class:`PixelExtractor`.

    :param observation_space: Must hold ``observation`` and all of ``sb3_mimic.keys.IMAGE_KEYS``, channels first
    :param pixel_features_dim: Number of features of the pictures
    :param channels: Output channels of the trunk's convolutions
    :raises ValueError: When a key is missing or no picture
    """

    keys = (keys.OBSERVATION, *keys.IMAGE_KEYS)

    def __init__(self, observation_space: spaces.Dict, pixel_features_dim: int = 192, channels: Sequence[int] = (32, 64, 64)):
        require_keys(observation_space, self.keys, type(self).__name__)
        n_state = get_flattened_obs_dim(observation_space[keys.OBSERVATION])
        super().__init__(observation_space, n_state + pixel_features_dim)
        self.pixels = PixelExtractor(observation_space, pixel_features_dim, channels)

    def forward(self, observations: TensorDict) -> th.Tensor:
        return th.cat([observations[keys.OBSERVATION], self.pixels(observations)], dim=1)
