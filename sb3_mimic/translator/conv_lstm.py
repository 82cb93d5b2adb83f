"""Defines a translator that remembers what it saw in earlier frames."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch as th
from gymnasium import spaces
from torch import nn

from sb3_mimic.extractors.conv_lstm import ConvLSTM
from sb3_mimic.extractors.layers import evaluated
from sb3_mimic.translator.base import Hidden
from sb3_mimic.translator.convnet import ConvNetTranslator, as_pixels

# What is believed now, how that changes from frame to frame, and the state of the cell
Belief = tuple[th.Tensor, th.Tensor, th.Tensor]
# From what is believed, its change, and the number of the frame to its change until that frame
Accelerate = Callable[[th.Tensor, th.Tensor, int], th.Tensor]
# From frame to frame little changes: these make surprises and changes about as large as what is read
SURPRISE_GAIN, CHANGE_GAIN = 10.0, 30.0
# Logarithms of scales lie around the middle of these
SCALE_RANGE = 3.0
# At first much of a surprise is believed, and a fourth of that goes into how things change
FIRST_TRUST, FIRST_CHANGE = 2.0, -1.0


class BeliefFilter(nn.Module):
    """
    Believes what is read in frames as far as it is to be trusted: it expects that things go on as they went, or as it is told
    that they do, and takes over a part of what surprises it. These gains are learnt, from how sure the reading is, how large
    the surprise, and what came before (as in KalmanNet, Revach et al., arXiv 2107.10043).

    :param state_dim: How many numbers are read
    :param n_features: What else is known of each frame
    :param hidden_size: Size of the recurrent cell that tells the gains
    """

    def __init__(self, state_dim: int, n_features: int, hidden_size: int):
        super().__init__()
        self.input = nn.Linear(5 * state_dim + n_features, hidden_size)
        self.cell = nn.GRUCell(hidden_size, hidden_size)
        self.trust = nn.Linear(hidden_size, state_dim)
        self.change = nn.Linear(hidden_size, state_dim)
        nn.init.constant_(self.trust.bias, FIRST_TRUST)
        nn.init.constant_(self.change.bias, FIRST_CHANGE)

    def forward(
        self,
        read: th.Tensor,
        scales: th.Tensor,
        features: th.Tensor,
        belief: Belief | None = None,
        accelerate: Accelerate | None = None,
    ) -> tuple[th.Tensor, Belief]:
        """
        Goes through frames that follow one another.

        :param read: What is read in each by itself, shape (batch, time, state_dim)
        :param scales: Logarithms of the scales of its errors, the same shape
        :param features: Shape (batch, time, n_features)
        :param belief: What was returned for the frames before; None at the beginning
        :param accelerate: Tells how the change changes, where that is known; it stays by default
        :return: What is believed, how it changes, and the cell's state, shape (batch, time, 2 * state_dim + hidden_size), and
            the belief at the end
        """
        if belief is None:
            nothing = read.new_zeros(len(read), self.cell.hidden_size)
            belief = read[:, 0], th.zeros_like(read[:, 0]), nothing
        (place, change, state), known = belief, []
        sure = scales / SCALE_RANGE + 1
        for step in range(read.shape[1]):
            if accelerate is not None:
                change = accelerate(place, change, step)
            expected = place + change
            surprise = read[:, step] - expected
            told = SURPRISE_GAIN * surprise, SURPRISE_GAIN * surprise.abs(), place, CHANGE_GAIN * change
            state = self.cell(th.relu(self.input(th.cat((sure[:, step], *told, features[:, step]), dim=1))), state)
            taken = th.sigmoid(self.trust(state)) * surprise
            place, change = expected + taken, change + th.sigmoid(self.change(state)) * taken
            known.append(th.cat((place, CHANGE_GAIN * change, state), dim=1))
        return th.stack(known, dim=1), (place, change, state)


class ConvLSTMTranslator(ConvNetTranslator):
    """
    Reads videos. A :class:`ConvNetTranslator` reads each frame by itself. A convolutional LSTM over its maps remembers what
    there was to be seen, and a :class:`BeliefFilter` what was read: it tells what was hidden for a moment, and how fast things
    move.

    Both learn at once, one after the other: the ConvNet from single frames, and from windows the rest. So a frame without
    any before it is read as a ConvNet reads it, from the start. The hidden state holds that of the LSTM and the belief.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param state_dim: Size of what is read: the first numbers of a state; by default the whole ``achieved_goal``
    :param channels: Output channels of the convolutions; the LSTM sees those of the last
    :param net_arch: Sizes of the layers between convolutions and state
    :param hidden_size: Channels of the LSTM
    :param kernel_size: Size of its kernels, odd
    :param belief_size: Size of the recurrent cell that tells what to believe
    :raises ValueError: When a size is not allowed
    """

    learns_frames_first: ClassVar[bool] = True

    def __init__(
        self,
        observation_space: spaces.Dict,
        state_dim: int | None = None,
        channels: Sequence[int] = (32, 64, 96, 128),
        net_arch: Sequence[int] = (256, 256),
        hidden_size: int = 16,
        kernel_size: int = 3,
        belief_size: int = 96,
    ):
        super().__init__(observation_space, state_dim, channels, net_arch)
        self.hidden_size, self.kernel_size, self.belief_size = hidden_size, kernel_size, belief_size
        self.memory = ConvLSTM(channels[-1], hidden_size, kernel_size, batch_first=True)
        with evaluated(self.trunk):
            maps = self.trunk[:-1](th.zeros(1, self.n_channels, self.height, self.width))
        self.belief = BeliefFilter(self.state_dim, hidden_size * maps.shape[2] * maps.shape[3], belief_size)
        # What is corrected of what is believed, and of the logarithms of scales: nothing, at first
        n_known = 2 * self.state_dim + belief_size
        self.correction = nn.Linear(n_known, self.state_dim)
        self.scale_correction = nn.Linear(n_known, self.state_dim)
        for layer in (self.correction, self.scale_correction):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.memory.to(memory_format=th.channels_last)  # type: ignore[call-overload]

    def get_constructor_parameters(self) -> dict[str, Any]:
        own = {"hidden_size": self.hidden_size, "kernel_size": self.kernel_size, "belief_size": self.belief_size}
        return {**super().get_constructor_parameters(), **own}

    def forward(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, Hidden]:
        states, _, hidden = self.read(images, hidden)
        return states, hidden

    def read(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, th.Tensor | None, Hidden]:
        self.finish_learning()
        if self.training and images.shape[1] == 1 and hidden is None:
            return self._read_alone(images)
        return self.remember(self.look(images), hidden)

    def look(self, images: th.Tensor) -> tuple[th.Tensor, ...]:
        n_steps = images.shape[1]
        with evaluated(self.trunk):
            # The last module makes one row of the maps
            maps = self.trunk[:-1](as_pixels(images))
            features = self.trunk[-1](maps)
            return tuple(each.unflatten(0, (-1, n_steps)) for each in (maps, self.head(features), self.scale_head(features)))

    def remember(self, seen: tuple[th.Tensor, ...], hidden: Hidden = None) -> tuple[th.Tensor, th.Tensor | None, Hidden]:
        maps, read, scales = seen
        state, belief = (None, None) if hidden is None else hidden
        remembered, state = self.memory(maps, state)
        known, belief = self.belief(read, scales, remembered.flatten(2), belief)
        states = known[..., : self.state_dim] + self.correction(known)
        corrected = self._scales(lambda: scales + self.scale_correction(known.detach()))
        return states, corrected, (state, belief)
