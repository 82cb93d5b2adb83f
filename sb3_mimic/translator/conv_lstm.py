"""Defines a translator that remembers what it saw in earlier frames."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import create_mlp
from torch import nn

from sb3_mimic.extractors.conv_lstm import ConvLSTM
from sb3_mimic.extractors.layers import evaluated
from sb3_mimic.translator.base import Hidden
from sb3_mimic.translator.convnet import ConvNetTranslator, as_pixels

# Modules of the trunk's last convolution: itself, its norm, its activation, and what makes one row of all
N_LAST = 4
# From frame to frame little changes: this makes changes about as large as what is read
CHANGE_GAIN = 60.0
N_HEAD_FEATURES = 128


class ConvLSTMTranslator(ConvNetTranslator):
    """
    Reads videos. A :class:`ConvNetTranslator` reads each frame by itself; a convolutional LSTM over its maps remembers, and
    corrects that: what was hidden for a moment, and how fast things move. Laid over the maps are what was read, how that
    changed since the frame before, and how sure it is.

    Both learn at once, one after the other: the ConvNet from single frames, and from windows the rest. So a frame without
    any before it is read as a ConvNet reads it, from the start. The hidden state holds the LSTM's two and what was read last.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param state_dim: Size of what is read: the first numbers of a state; by default the whole ``achieved_goal``
    :param channels: Output channels of the convolutions, two at least; the LSTM sees those of the last but one
    :param net_arch: Sizes of the layers between convolutions and state
    :param hidden_size: Channels of the LSTM
    :param kernel_size: Size of its kernels, odd
    :raises ValueError: When there are fewer than two convolutions, or a size is not allowed
    """

    learns_frames_first: ClassVar[bool] = True

    def __init__(
        self,
        observation_space: spaces.Dict,
        state_dim: int | None = None,
        channels: Sequence[int] = (32, 64, 96, 128),
        net_arch: Sequence[int] = (256, 256),
        hidden_size: int = 64,
        kernel_size: int = 3,
    ):
        if len(channels) < 2:
            raise ValueError(f"channels must be those of two convolutions at least, got {list(channels)}")
        super().__init__(observation_space, state_dim, channels, net_arch)
        self.hidden_size, self.kernel_size = hidden_size, kernel_size
        self.memory = ConvLSTM(channels[-2] + 3 * self.state_dim, hidden_size, kernel_size, batch_first=True)
        with evaluated(self.trunk):
            maps = self.trunk[:-N_LAST](th.zeros(1, self.n_channels, self.height, self.width))
        n_features = hidden_size * maps.shape[2] * maps.shape[3]
        self.features = nn.Sequential(nn.Flatten(), *create_mlp(n_features, -1, [N_HEAD_FEATURES]))
        # What is corrected of states and of the logarithms of their scales: nothing, at first
        n_known = N_HEAD_FEATURES + 3 * self.state_dim
        self.correction = nn.Linear(n_known, self.state_dim)
        self.scale_correction = nn.Linear(n_known, self.state_dim)
        for layer in (self.correction, self.scale_correction):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.memory.to(memory_format=th.channels_last)  # type: ignore[call-overload]

    def get_constructor_parameters(self) -> dict[str, Any]:
        own = {"hidden_size": self.hidden_size, "kernel_size": self.kernel_size}
        return {**super().get_constructor_parameters(), **own}

    def forward(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, Hidden]:
        states, _, hidden = self.read(images, hidden)
        return states, hidden

    def read(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, th.Tensor | None, Hidden]:
        self.finish_learning()
        if self.training and images.shape[1] == 1 and hidden is None:
            return self._read_alone(images)
        n_steps = images.shape[1]
        with evaluated(self.trunk):
            maps = self.trunk[:-N_LAST](as_pixels(images))
            features = self.trunk[-N_LAST:](maps)
            read = self.head(features).unflatten(0, (-1, n_steps))
            scales = self.scale_head(features).view_as(read)
        state, last = (None, read[:, 0]) if hidden is None else hidden
        changes = read - th.cat((last[:, None], read[:, :-1]), dim=1)
        told = th.cat((read, CHANGE_GAIN * changes, scales), dim=2)
        laid_over = told[..., None, None].expand(-1, -1, -1, *maps.shape[2:])
        seen = th.cat((maps.unflatten(0, (-1, n_steps)), laid_over), dim=2)
        remembered, state = self.memory(seen, state)
        known = th.cat((self.features(remembered.flatten(0, 1)), told.flatten(0, 1)), dim=1)
        states = read + self.correction(known).view_as(read)
        corrected = self._scales(lambda: scales + self.scale_correction(known.detach()).view_as(read))
        return states, corrected, (state, read[:, -1])
