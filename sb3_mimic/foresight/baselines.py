"""Defines predictors that others are compared with."""

from itertools import pairwise
from typing import Any

import torch as th
from gymnasium import spaces
from torch import nn

from sb3_mimic.foresight.base import Lesson, StepwisePredictor, VideoPredictor


class LastFrame(VideoPredictor):
    """Foresees that everything stays where it is."""

    n_context = 1

    def foresee(self, frames: th.Tensor, actions: th.Tensor) -> th.Tensor:
        n_steps = actions.shape[1] - frames.shape[1] + 1
        return frames[:, -1:].expand(-1, n_steps, -1, -1, -1)

    def loss(self, lesson: Lesson, share_true: float) -> th.Tensor:
        return th.zeros(())


class FeedForwardPredictor(StepwisePredictor):
    """
    Foresees the next frame from the last two and the action, by convolutions, without any other memory.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param action_dim: How many numbers an action has
    :param channels: Of its maps
    """

    def __init__(self, observation_space: spaces.Dict, action_dim: int, channels: int = 32):
        super().__init__(observation_space, action_dim)
        self.channels = channels
        self.encoder = nn.Sequential(
            nn.Conv2d(2 * self.n_channels, 16, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(16, channels, 3, stride=2, padding=1),
            nn.SiLU(),
        )
        self.middle = nn.Sequential(
            nn.Conv2d(channels + action_dim, channels, 5, padding=2),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 5, padding=2),
            nn.SiLU(),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(2 * channels, 64, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(16, 64, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(16, self.n_channels + 1, 3, padding=1),
        )

    def step(self, frame: th.Tensor, action: th.Tensor, state: Any) -> tuple[th.Tensor, th.Tensor]:
        before = frame if state is None else state
        maps = self.encoder(th.cat((before, frame), dim=1))
        tiled = action[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        drawn = self.decoder(th.cat((maps, self.middle(th.cat((maps, tiled), dim=1))), dim=1))
        mask = th.sigmoid(drawn[:, -1:])
        return mask * th.sigmoid(drawn[:, :-1]) + (1 - mask) * frame, frame

    def get_constructor_parameters(self) -> dict[str, Any]:
        return {**super().get_constructor_parameters(), "channels": self.channels}


class LSTMPredictor(StepwisePredictor):
    """
    Foresees the next frame by a plain LSTM over what a ConvNet makes of frames: nothing in it knows what lies beside what.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first, with sides that 16 divides
    :param action_dim: How many numbers an action has
    :param hidden_size: Of the LSTM
    """

    def __init__(self, observation_space: spaces.Dict, action_dim: int, hidden_size: int = 256):
        super().__init__(observation_space, action_dim)
        self.hidden_size = hidden_size
        widths = self.n_channels, 16, 32, 48, 64
        down: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            down += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.SiLU()]
        size = self.height // 16, self.width // 16
        n_features = widths[-1] * size[0] * size[1]
        self.encoder = nn.Sequential(*down, nn.Flatten())
        self.memory = nn.LSTMCell(n_features + action_dim, hidden_size)
        up: list[nn.Module] = [nn.Linear(hidden_size, n_features), nn.SiLU(), nn.Unflatten(1, (widths[-1], *size))]
        for n_in, n_out in zip(widths[:0:-1], (*widths[-2:0:-1], self.n_channels), strict=True):
            up += [nn.Conv2d(n_in, 4 * n_out, 3, padding=1), nn.PixelShuffle(2), nn.SiLU()]
        self.decoder = nn.Sequential(*up[:-1], nn.Sigmoid())

    def step(self, frame: th.Tensor, action: th.Tensor, state: Any) -> tuple[th.Tensor, tuple[th.Tensor, th.Tensor]]:
        hidden, cell = self.memory(th.cat((self.encoder(frame), action), dim=1), state)
        return self.decoder(hidden), (hidden, cell)

    def get_constructor_parameters(self) -> dict[str, Any]:
        return {**super().get_constructor_parameters(), "hidden_size": self.hidden_size}
