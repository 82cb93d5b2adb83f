"""Defines a translator that reads every picture by itself."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import create_mlp
from torch import nn

from sb3_mimic.extractors.layers import convolutional_trunk, n_trunk_features
from sb3_mimic.translator.base import WITHIN_90, Hidden, States, Translator

# What a number is off by, as far as an untrained network knows
FIRST_SCALE = 0.1
# Size of the layer between convolutions and scales
N_SCALE_FEATURES = 64
# How much of what new pictures say about the scales goes into their calibration, and how far that may go
CALIBRATION_RATE, CALIBRATION_LIMITS = 0.5, (1e-2, 1e2)


class ConvNetTranslator(Translator):
    """
    Reads a picture with a convolutional network. Its hidden state is None.

    With each number it gives the scale of its error (as in Kendall & Gal, arXiv 1703.04977). What the scales are learnt with
    goes into nothing else (as in Seitzer et al., arXiv 2203.09168): the states are read as well as without them.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param state_dim: Size of what is read: the first numbers of a pose; by default the whole ``achieved_goal``
    :param channels: Output channels of the convolutions
    :param net_arch: Sizes of the layers between convolutions and state. Two of them: angles are no linear function of where
        things are in a picture
    """

    newer_weights: ClassVar[tuple[str, ...]] = ("scale_head.", "calibration")

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
        self._n_features = n_features
        self.scale_head = _scale_head(n_features, self.state_dim)
        # What the scales are multiplied with: zero as long as none are known
        self.calibration: th.Tensor
        self.register_buffer("calibration", th.zeros(self.state_dim))
        # Channels last is faster on CPU
        self.to(memory_format=th.channels_last)  # type: ignore[call-overload]

    def get_constructor_parameters(self) -> dict[str, Any]:
        return {**super().get_constructor_parameters(), "channels": self.channels, "net_arch": self.net_arch}

    def forward(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, Hidden]:
        # Any batch size: what is traced or exported holds no number for it
        return self.head(self._features(images)).view(-1, images.shape[1], self.state_dim), None

    def read(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, th.Tensor | None, Hidden]:
        if type(self).forward is not ConvNetTranslator.forward:
            # That of a subclass, of whose layers nothing is known
            return super().read(images, hidden)
        self.finish_learning()
        return self._read_alone(images)

    def _read_alone(self, images: th.Tensor) -> tuple[th.Tensor, th.Tensor | None, Hidden]:
        """Reads each frame by itself, see :meth:`read`."""
        features = self._features(images)
        states = self.head(features).view(-1, images.shape[1], self.state_dim)
        return states, self._scales(lambda: self.scale_head(features.detach()).view_as(states)), None

    def calibrate(self, errors: States, scales: States) -> None:
        ratio = np.quantile(errors / scales, 0.9, axis=0) / WITHIN_90
        # A number that never changes is read without any error
        change = th.as_tensor(ratio, dtype=th.float32, device=self.calibration.device).clamp(*CALIBRATION_LIMITS)
        self.calibration.mul_(change**CALIBRATION_RATE).clamp_(*CALIBRATION_LIMITS)

    def begin_calibration(self) -> None:
        if not self.calibration.any():
            self.calibration.fill_(1.0)

    def fresh_weights(self) -> dict[str, th.Tensor]:
        head = _scale_head(self._n_features, self.state_dim).state_dict()
        return {"calibration": th.zeros(self.state_dim), **{f"scale_head.{name}": value for name, value in head.items()}}

    def _features(self, images: th.Tensor) -> th.Tensor:
        """Returns features of each frame, shape (batch * time, n_features)."""
        features: th.Tensor = self.trunk(as_pixels(images))
        return features

    def _scales(self, logarithms: Callable[[], th.Tensor]) -> th.Tensor | None:
        """
        Returns what is stated of scales, calibrated but in training; None where none have been learnt.

        :param logarithms: Computes their logarithms
        """
        if not self.training and not self.calibration.any():
            return None
        scales = logarithms().exp()
        return scales if self.training else scales * self.calibration


def as_pixels(images: th.Tensor) -> th.Tensor:
    """
    Turns windows of frames into what convolutions take.

    :param images: In [0, 255], shape (batch, time, channels, height, width)
    :return: In [0, 1], shape (batch * time, channels, height, width)
    """
    pixels = images.flatten(0, 1).to(th.float32, memory_format=th.channels_last)
    # A plain background is white: turned to zero, it weighs nothing
    return (255 - pixels).mul_(1 / 255)


def _scale_head(n_features: int, state_dim: int) -> nn.Sequential:
    """Makes layers that give the logarithm of a scale for each number. No random numbers of others are used up."""
    with th.random.fork_rng(devices=[]):
        head = nn.Sequential(*create_mlp(n_features, -1, [N_SCALE_FEATURES]), nn.Linear(N_SCALE_FEATURES, state_dim))
    *_, weight, bias = head.parameters()
    nn.init.zeros_(weight)
    nn.init.constant_(bias, math.log(FIRST_SCALE))
    return head
