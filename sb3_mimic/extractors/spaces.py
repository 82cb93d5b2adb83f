"""Clear errors for observation spaces that an extractor cannot read."""

from collections.abc import Sequence
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first

# Channels of one frame; stacked frames have a multiple of it
COLORS = 3


def require_keys(observation_space: spaces.Space[Any], required: Sequence[str], who: str) -> None:
    """
    :param observation_space: What the environment offers
    :param required: What is needed
    :param who: Who needs it
    :raises ValueError: When a key is missing
    """
    if not isinstance(observation_space, spaces.Dict):
        raise ValueError(f"{who} needs a Dict observation space with the keys {', '.join(required)}; got {observation_space}")
    missing = [key for key in required if key not in observation_space.spaces]
    if missing:
        raise ValueError(
            f"{who} reads {', '.join(required)}, but the observation space lacks {', '.join(missing)}."
            f" It has {', '.join(observation_space.spaces)}. Choose an environment id or a policy that fits the other."
        )


def require_images(observation_space: spaces.Dict, required: Sequence[str], who: str) -> None:
    """
    :param observation_space: What the environment offers
    :param required: Keys that must be pictures, channels first
    :param who: Who needs them
    :raises ValueError: When a key is missing or no uint8 picture with channels first
    """
    require_keys(observation_space, required, who)
    for key in required:
        space = observation_space[key]
        is_picture = isinstance(space, spaces.Box) and is_image_space(space) and is_image_space_channels_first(space)
        if not is_picture or n_frames(space) * COLORS != (space.shape or (0,))[0]:
            raise ValueError(
                f"{who} needs '{key}' to be a uint8 picture with channels first, {COLORS} for each frame, got {space}."
                " VecNormalize turns pictures into floats unless they are left out of norm_obs_keys;"
                " VecTransposeImage puts the channels first."
            )


def n_frames(space: spaces.Space[Any]) -> int:
    """:return: How many frames are stacked in a picture with channels first"""
    assert space.shape is not None
    return int(space.shape[0]) // COLORS
