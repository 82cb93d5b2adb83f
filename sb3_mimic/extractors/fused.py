"""Feels the body's own state, and sees the goal: it cannot be read as numbers."""

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.type_aliases import TensorDict

from sb3_mimic import keys
from sb3_mimic.extractors.spaces import require_images, require_keys
from sb3_mimic.extractors.translated import PoseReadingExtractor


class FusedExtractor(PoseReadingExtractor):
    """
    The robot's own state and pose, the pose read in the picture of the target, and what is missing between them.
    The robot's own frame tells it nothing that it does not feel better; the translator learns from it.

    :param observation_space: Must hold ``observation``, ``achieved_goal`` and ``desired_image``, channels first
    :param state_dim: Size of what the translator reads
    :raises ValueError: When a key is missing or no picture
    """

    keys = (keys.OBSERVATION, keys.ACHIEVED_GOAL, keys.DESIRED_IMAGE)

    def __init__(self, observation_space: spaces.Dict, state_dim: int):
        require_keys(observation_space, self.keys, type(self).__name__)
        require_images(observation_space, (keys.DESIRED_IMAGE,), type(self).__name__)
        n_own = sum(get_flattened_obs_dim(observation_space[key]) for key in (keys.OBSERVATION, keys.ACHIEVED_GOAL))
        super().__init__(observation_space, n_own + 2 * state_dim, state_dim)

    def forward(self, observations: TensorDict) -> th.Tensor:
        pose = observations[keys.ACHIEVED_GOAL]
        target = self.read_newest(keys.DESIRED_IMAGE, observations[keys.DESIRED_IMAGE])
        return th.cat([observations[keys.OBSERVATION], pose, target, target - pose], dim=1)
