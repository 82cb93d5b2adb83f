"""Extracts features from the robot's own state, and from pictures for what is not observed as numbers, such as the goal."""

from collections.abc import Mapping, Sequence

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.type_aliases import TensorDict

from sb3_mimic.extractors.layers import gains_of, magnified
from sb3_mimic.extractors.spaces import frame_channels, require_images, require_keys, vector_keys
from sb3_mimic.extractors.translated import PoseReadingExtractor
from sb3_mimic.keys import ACHIEVED_GOAL, DESIRED_IMAGE, LABELS, OBSERVATION


class FusedExtractor(PoseReadingExtractor):
    """
    Joins vectors, the states read in the newest frame of each picture whose vector is not among them, and, for pictures
    of a goal, the difference to that goal. A robot's own frame adds nothing to its own state, and is not read; the
    translator still learns from it.

    :param observation_space: Must hold the vectors, and the pictures, channels first
    :param state_dim: Size of what the translator reads
    :param labels: The key of the vector that is read in each picture, by the picture's key; those of
        ``sb3_mimic.keys`` by default
    :param n_channels: Channels of one frame; by default 3, or 1 where the picture has a single one
    :param keys: The vectors to act on; by default the robot's own, and all vectors where ``labels`` are given. Pictures
        whose vector is among them are not read, unless that is so of all
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
        keys: Sequence[str] | None = None,
        magnification: float | Sequence[float] = (),
    ):
        who = type(self).__name__
        if labels is None:
            labels = LABELS
            require_keys(observation_space, (OBSERVATION, ACHIEVED_GOAL, DESIRED_IMAGE), who)
            keys = keys or (OBSERVATION, ACHIEVED_GOAL)
        felt = tuple(vector_keys(observation_space) if keys is None else keys)
        seen = tuple(key for key, label in labels.items() if label not in felt) or tuple(labels)
        require_keys(observation_space, felt, who)
        require_images(observation_space, seen, who)
        n_channels = frame_channels(observation_space[seen[0]], seen[0], n_channels)
        own = next(iter(labels.values()))
        n_goals = sum(labels[key] != own for key in seen) if own in felt else 0
        gains = gains_of(magnification)
        n_felt = sum(get_flattened_obs_dim(observation_space[key]) for key in felt)
        n_features = n_felt + (len(seen) + n_goals * (1 + len(gains))) * state_dim
        super().__init__(observation_space, n_features, (*felt, *seen), dict.fromkeys(seen, 1), state_dim, n_channels)
        self.felt = felt
        self.goals = {key for key in seen if own in felt and labels[key] != own}
        self.own = own
        self.gains = gains

    def forward(self, observations: TensorDict) -> th.Tensor:
        features = [observations[key] for key in self.felt]
        for key in self.windows:
            newest = self.read(key, observations[key])[:, -1]
            features.append(newest)
            if key in self.goals:
                # Of stacked vectors the newest is the last
                features.append(magnified(newest - observations[self.own][:, -self.state_dim :], self.gains))
        return th.cat(features, dim=1)
