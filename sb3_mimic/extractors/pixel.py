"""Extracts features from pictures alone."""

from collections.abc import Mapping, Sequence

import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import TensorDict

from sb3_mimic.extractors.layers import gains_of, magnified
from sb3_mimic.extractors.spaces import frame_channels, require_images
from sb3_mimic.extractors.translated import PoseReadingExtractor
from sb3_mimic.keys import LABELS

# A pose changes little from frame to frame: this makes velocities about as large as poses
VELOCITY_GAIN = 10.0


class PixelExtractor(PoseReadingExtractor):
    """
    Reads the state in every picture, and adds differences: for pictures of the agent itself, how the state changed since
    the earlier frames, where frames are stacked; for pictures of a goal, the difference to that goal.

    :param observation_space: Must hold the pictures, channels first
    :param state_dim: Size of what the translator reads
    :param labels: The key of the vector that is read in each picture, by the picture's key; those of
        ``sb3_mimic.keys`` by default. Pictures with the first one's vector show the agent itself, others its goal.
    :param n_channels: Channels of one frame; by default 3, or 1 where the picture has a single one
    :param magnification: How many times as large the difference to the goal is shown besides, a number or several, see
        :func:`~sb3_mimic.extractors.layers.magnified`
    :raises ValueError: When ``magnification`` is no positive number, nor a list of such
    :raises ObservationSpaceError: When a key is missing or no picture
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        state_dim: int,
        labels: Mapping[str, str] | None = None,
        n_channels: int | None = None,
        magnification: float | Sequence[float] = (),
    ):
        labels = dict(labels or LABELS)
        require_images(observation_space, tuple(labels), type(self).__name__)
        first = next(iter(labels))
        n_channels = frame_channels(observation_space[first], first, n_channels)
        windows = {
            key: (observation_space[key].shape or (0,))[0] // n_channels if label == labels[first] else 1
            for key, label in labels.items()
        }
        n_goals = sum(label != labels[first] for label in labels.values())
        gains = gains_of(magnification)
        n_states = sum(windows.values()) + n_goals * (1 + len(gains))
        super().__init__(observation_space, n_states * state_dim, tuple(labels), windows, state_dim, n_channels)
        self.gains = gains
        self.own = tuple(key for key, label in labels.items() if label == labels[first])

    def forward(self, observations: TensorDict) -> th.Tensor:
        features: list[th.Tensor] = []
        for key in self.keys:
            seen = self.read(key, observations[key])
            newest = seen[:, -1]
            features.append(newest)
            if key in self.own:
                features.append((VELOCITY_GAIN * (newest[:, None] - seen[:, :-1])).flatten(1))
            else:
                # The first picture shows the agent itself
                features.append(magnified(newest - features[0], self.gains))
        return th.cat(features, dim=1)
