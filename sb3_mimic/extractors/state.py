"""Extracts features from joint state and goals, without pictures."""

from collections.abc import Sequence

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import TensorDict
from torch import nn

from sb3_mimic.errors import ObservationSpaceError
from sb3_mimic.extractors.layers import gains_of, magnified
from sb3_mimic.extractors.spaces import require_keys, vector_keys
from sb3_mimic.keys import ACHIEVED_GOAL, DESIRED_GOAL, DESIRED_IMAGE, DESIRED_VELOCITY, STATE_KEYS


class StateExtractor(BaseFeaturesExtractor):
    """
    Applies an MLP to vectors and, where there are goals, to the difference between goal and state.

    :param observation_space: Where it has a goal, it must hold all of ``sb3_mimic.keys.STATE_KEYS``; else any vector
    :param net_arch: Sizes of the hidden layers that policy and value function share
    :param activation_fn: Activation after each of them
    :param keys: Which vectors to act on; by default ``STATE_KEYS`` and, where goals move, how fast they do; and all vectors
        where there is no goal
    :param magnification: How many times as large the difference to the goal is shown besides, a number or several, see
        :func:`~sb3_mimic.extractors.layers.magnified`
    :raises ValueError: When ``magnification`` is no positive number, nor a list of such
    :raises ObservationSpaceError: When a key is missing, or there is no vector
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        net_arch: Sequence[int] = (),
        activation_fn: type[nn.Module] = nn.Tanh,
        keys: Sequence[str] | None = None,
        magnification: float | Sequence[float] = (),
    ):
        who = type(self).__name__
        require_keys(observation_space, keys or (), who)
        if keys is None:
            keys = vector_keys(observation_space)
            if {ACHIEVED_GOAL, DESIRED_GOAL, DESIRED_IMAGE} & set(observation_space.spaces) or not keys:
                # How fast goals move, where they do
                keys = STATE_KEYS + tuple(key for key in (DESIRED_VELOCITY,) if key in observation_space.spaces)
        require_keys(observation_space, keys, who)
        not_vectors = set(keys) - set(vector_keys(observation_space))
        if not_vectors or not keys:
            raise ObservationSpaceError(f"{who} acts on vectors, and {', '.join(sorted(not_vectors)) or 'no key'} is none.")
        n_inputs = sum(get_flattened_obs_dim(observation_space[key]) for key in keys)
        has_goal = {ACHIEVED_GOAL, DESIRED_GOAL} <= set(keys)
        gains = gains_of(magnification)
        if has_goal:
            n_inputs += get_flattened_obs_dim(observation_space[DESIRED_GOAL]) * (1 + len(gains))
        super().__init__(observation_space, features_dim=net_arch[-1] if net_arch else n_inputs)
        #: Keys of the observation that it looks at
        self.keys = tuple(keys)
        self.has_goal = has_goal
        self.gains = gains
        self.mlp = nn.Sequential(*create_mlp(n_inputs, -1, list(net_arch), activation_fn))

    def forward(self, observations: TensorDict) -> th.Tensor:
        inputs = [observations[key] for key in self.keys]
        if self.has_goal:
            inputs.append(magnified(observations[DESIRED_GOAL] - observations[ACHIEVED_GOAL], self.gains))
        features: th.Tensor = self.mlp(th.cat(inputs, dim=1))
        return features
