"""Defines a predictor that moves what it sees: a convolutional LSTM with motion kernels."""

from typing import Any

import torch as th
from gymnasium import spaces
from torch import nn

from sb3_mimic.extractors.conv_lstm import ConvLSTM, State
from sb3_mimic.foresight.base import StepwisePredictor

# At first each kernel leaves pixels where they are
FIRST_MIDDLE = 4.0


class ConvLSTMPredictor(StepwisePredictor):
    """
    Foresees frames as in Finn, Goodfellow & Levine (arXiv 1605.07157) and Finn & Levine (arXiv 1610.00696): a convolutional
    LSTM with large kernels from state to state (Shi et al., arXiv 1506.04214) tells, from frame and action, kernels that move
    the pixels of the frame, and masks that say which pixel is moved by which of them, is taken from the first frame, or is
    painted anew.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param action_dim: How many numbers an action has
    :param hidden_size: Channels of the LSTM
    :param n_kernels: How many motions there may be in a frame
    :param kernel_size: Size of the kernels from state to state, odd
    :param motion_size: Size of the kernels that move pixels, odd: nothing moves further in a frame
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_dim: int,
        hidden_size: int = 24,
        n_kernels: int = 6,
        kernel_size: int = 5,
        motion_size: int = 5,
    ):
        super().__init__(observation_space, action_dim)
        self.hidden_size, self.n_kernels = hidden_size, n_kernels
        self.kernel_size, self.motion_size = kernel_size, motion_size
        self.encoder = nn.Sequential(
            nn.Conv2d(self.n_channels, 16, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(16, hidden_size, 3, stride=2, padding=1),
            nn.SiLU(),
        )
        self.memory = ConvLSTM(hidden_size + action_dim, hidden_size, kernel_size, batch_first=True)
        self.motion = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * hidden_size, n_kernels * motion_size**2),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(2 * hidden_size, 4 * 16, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(16, 4 * 16, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(16, n_kernels + 2 + self.n_channels, 3, padding=1),
        )
        with th.no_grad():
            bias = self.motion[-1].bias.view(n_kernels, motion_size, motion_size)  # type: ignore[operator]
            bias[:, motion_size // 2, motion_size // 2] += FIRST_MIDDLE

    def step(self, frame: th.Tensor, action: th.Tensor, state: Any) -> tuple[th.Tensor, tuple[State, th.Tensor]]:
        memory, first = (None, frame) if state is None else state
        maps = self.encoder(frame)
        tiled = action[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        remembered, memory = self.memory(th.cat((maps, tiled), dim=1)[:, None], memory)
        moved = self._moved(frame, self.motion(remembered[:, 0]))
        drawn = self.decoder(th.cat((remembered[:, 0], maps), dim=1))
        masks, painted = drawn[:, : -self.n_channels].softmax(dim=1), th.sigmoid(drawn[:, -self.n_channels :])
        layers = th.cat((moved, first[:, None], painted[:, None]), dim=1)
        return (masks[:, :, None] * layers).sum(dim=1), (memory, first)

    def _moved(self, frame: th.Tensor, kernels: th.Tensor) -> th.Tensor:
        """Returns a frame as each kernel moves it, shape (batch, n_kernels, channels, height, width)."""
        n, k = len(frame), self.motion_size
        weights = kernels.view(n, 1, self.n_kernels, k * k).softmax(dim=3)
        # What lies around each pixel; colours are moved alike
        around = nn.functional.unfold(frame, k, padding=k // 2).view(n, self.n_channels, k * k, -1)
        return (weights @ around).transpose(1, 2).reshape(n, self.n_kernels, self.n_channels, self.height, self.width)

    def get_constructor_parameters(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("hidden_size", "n_kernels", "kernel_size", "motion_size")}
        return {**super().get_constructor_parameters(), **own}
