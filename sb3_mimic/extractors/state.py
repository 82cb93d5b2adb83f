"""Sees joint state and goals, and no pictures."""

from collections.abc import Sequence

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import TensorDict
from torch import nn

from sb3_mimic import keys
from sb3_mimic.extractors.spaces import require_keys


class StateExtractor(BaseFeaturesExtractor):
    """
    An MLP on the state, the goals, and what is still missing between them.

    :param observation_space: Must hold all of ``sb3_mimic.keys.STATE_KEYS``
    :param net_arch: Sizes of the hidden layers that policy and value function share
    :param activation_fn: Activation after each of them
    :raises ValueError: When a key is missing
    """

    keys = keys.STATE_KEYS

    def __init__(
        self,
        observation_space: spaces.Dict,
        net_arch: Sequence[int] = (),
        activation_fn: type[nn.Module] = nn.Tanh,
    ):
        require_keys(observation_space, self.keys, type(self).__name__)
        n_inputs = sum(get_flattened_obs_dim(observation_space[key]) for key in self.keys)
        n_inputs += get_flattened_obs_dim(observation_space[keys.DESIRED_GOAL])
        super().__init__(observation_space, features_dim=net_arch[-1] if net_arch else n_inputs)
        self.mlp = nn.Sequential(*create_mlp(n_inputs, -1, list(net_arch), activation_fn))

    def forward(self, observations: TensorDict) -> th.Tensor:
        missing = observations[keys.DESIRED_GOAL] - observations[keys.ACHIEVED_GOAL]
        features: th.Tensor = self.mlp(th.cat([*(observations[key] for key in self.keys), missing], dim=1))
        return features
