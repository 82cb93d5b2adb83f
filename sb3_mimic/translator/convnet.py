"""Defines a translator that reads every picture by itself."""

from collections.abc import Sequence
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import create_mlp
from torch import nn

from sb3_mimic.extractors.layers import convolutional_trunk, n_trunk_features
from sb3_mimic.translator.base import Hidden, Translator


class ConvNetTranslator(Translator):
    """
    Reads a picture with a convolutional network. Its hidden state is None.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param state_dim: Size of what is read: the first numbers of a pose; by default the whole ``achieved_goal``
    :param channels: Output channels of the convolutions
    :param net_arch: Sizes of the layers between convolutions and state. Two of them: angles are no linear function of where
        things are in a picture
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        state_dim: int | None = None,
        channels: Sequence[int] = (32, 64, 96, 128),
        net_arch: Sequence[int] = (256, 256),
    ):
        super().__init__(observation_space, state_dim)
        self.channels, self.net_arch = list(channels), list(net_arch)
        self.trunk = convolutional_trunk(self.n_channels, channels)
        n_features = n_trunk_features(self.trunk, self.height, self.width, self.n_channels)
        self.head = nn.Sequential(*create_mlp(n_features, self.state_dim, self.net_arch))
        # Channels last is faster on CPU
        self.to(memory_format=th.channels_last)  # type: ignore[call-overload]

    def get_constructor_parameters(self) -> dict[str, Any]:
        return {**super().get_constructor_parameters(), "channels": self.channels, "net_arch": self.net_arch}

    def forward(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, Hidden]:
        # A plain background is white: turned to zero, it weighs nothing
        pixels = images.flatten(0, 1).float().contiguous(memory_format=th.channels_last)
        ink = pixels.div(255).neg_().add_(1)
        states = self.head(self.trunk(ink))
        # Any batch size: what is traced or exported holds no number for it
        return states.view(-1, images.shape[1], self.state_dim), None
