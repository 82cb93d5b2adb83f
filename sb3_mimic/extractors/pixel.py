"""Sees pictures, and nothing else."""

from collections.abc import Sequence

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import TensorDict
from torch import nn

from sb3_mimic import keys
from sb3_mimic.extractors.checks import require_images
from sb3_mimic.extractors.layers import convolutional_trunk, n_trunk_features


class PixelExtractor(BaseFeaturesExtractor):
    """
    One convolutional trunk that looks at the robot's own frame and at the picture of the target.

    :param observation_space: Must hold all of ``sb3_mimic.keys.IMAGE_KEYS``, channels first
    :param features_dim: Number of features for each picture and for their difference, together
    :param channels: Output channels of the trunk's convolutions
    :raises ValueError: When a key is missing or no picture
    """

    keys = keys.IMAGE_KEYS

    def __init__(self, observation_space: spaces.Dict, features_dim: int = 192, channels: Sequence[int] = (32, 64, 64)):
        require_images(observation_space, self.keys, type(self).__name__)
        if features_dim <= 0 or features_dim % 3:
            raise ValueError(f"features_dim must be a positive multiple of 3 (own, target, difference), got {features_dim}")
        super().__init__(observation_space, features_dim)
        shape = observation_space[keys.IMAGE].shape
        assert shape is not None
        n_channels, height, width = shape
        trunk = convolutional_trunk(n_channels, channels)
        n_features = n_trunk_features(trunk, height, width, n_channels)
        self.trunk = nn.Sequential(trunk, nn.Linear(n_features, features_dim // 3), nn.Tanh())

    def forward(self, observations: TensorDict) -> th.Tensor:
        # One pass for both pictures: (2 * batch, C, H, W)
        own, target = self.trunk(th.cat([observations[key] for key in self.keys])).chunk(2)
        return th.cat([own, target, target - own], dim=1)
