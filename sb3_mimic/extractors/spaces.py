"""Checks that an observation space holds what an extractor needs, with clear errors where it does not."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first

from sb3_mimic.errors import ObservationSpaceError

# Channels of a coloured picture; a grey one has one
N_COLORS = 3


def require_keys(observation_space: spaces.Space[Any], required: Sequence[str], who: str) -> None:
    """
    Checks that an observation has keys.

    :param observation_space: What the environment offers
    :param required: The keys that are needed
    :param who: Name of the class that needs them, for the error
    :raises ObservationSpaceError: When a key is missing
    """
    if not isinstance(observation_space, spaces.Dict):
        raise ObservationSpaceError(
            f"{who} needs a Dict observation space with the keys {', '.join(required)}; got {observation_space}"
        )
    missing = [key for key in required if key not in observation_space.spaces]
    if missing:
        raise ObservationSpaceError(
            f"{who} reads {', '.join(required)}, but the observation space lacks {', '.join(missing)}."
            f" It has {', '.join(observation_space.spaces)}. Choose an environment id or a policy that fits the other,"
            " or name the keys of your own environment: policy_kwargs=dict(labels={picture: vector})."
        )


def require_images(observation_space: spaces.Dict, required: Sequence[str], who: str) -> None:
    """
    Checks that an observation has pictures.

    :param observation_space: What the environment offers
    :param required: Keys that must be pictures, channels first
    :param who: Name of the class that needs them, for the error
    :raises ObservationSpaceError: When a key is missing or no uint8 picture with channels first
    """
    require_keys(observation_space, required, who)
    for key in required:
        space = observation_space[key]
        if not (isinstance(space, spaces.Box) and is_image_space(space) and is_image_space_channels_first(space)):
            raise ObservationSpaceError(
                f"{who} needs '{key}' to be a uint8 picture with channels first, got {space}."
                " VecNormalize turns pictures into floats unless they are left out of norm_obs_keys;"
                " VecTransposeImage puts the channels first."
            )


def frame_channels(space: spaces.Space[Any], key: str, n_channels: int | None = None) -> int:
    """
    Returns the number of channels of one frame in a picture that may show several.

    :param space: Space of a picture with channels first
    :param key: Its key, for the error
    :param n_channels: Channels of one frame, where that is known
    :return: Channels of one frame: 1 of grey pictures, 3 of coloured ones
    :raises ObservationSpaceError: When the picture's channels are no multiple of ``n_channels``, or leave it open
    """
    assert space.shape is not None
    total = int(space.shape[0])
    if n_channels is None:
        if total != 1 and total % N_COLORS:
            raise ObservationSpaceError(
                f"'{key}' has {total} channels: neither one, nor a multiple of {N_COLORS}. Say how many one frame has:"
                " policy_kwargs=dict(n_channels=1) for grey frames that are stacked."
            )
        return 1 if total == 1 else N_COLORS
    if n_channels < 1 or total % n_channels:
        raise ObservationSpaceError(
            f"'{key}' has {total} channels, which is no multiple of n_channels={n_channels}, the channels of one frame."
        )
    return n_channels


def frame_space(space: spaces.Space[Any], n_channels: int) -> spaces.Box:
    """Returns the space of a single frame out of a picture with channels first."""
    assert space.shape is not None
    return spaces.Box(0, 255, (n_channels, *space.shape[1:]), np.uint8)


def vector_keys(observation_space: spaces.Dict) -> tuple[str, ...]:
    """Returns the keys of all vectors in an observation."""
    return tuple(
        key for key, space in observation_space.spaces.items() if isinstance(space, spaces.Box) and len(space.shape) == 1
    )
