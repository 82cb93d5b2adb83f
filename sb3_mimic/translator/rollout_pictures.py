"""The pictures in a rollout buffer: read once more, put away while the policy trains, and made room for again."""

from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import get_obs_shape

from sb3_mimic.extractors.translated import PoseReadingExtractor
from sb3_mimic.translator.reading import read_rollout
from sb3_mimic.translator.training import torch_threads

Read = dict[str, npt.NDArray[np.float32]]


def read_again(policy: BasePolicy, buffer: DictRolloutBuffer, n_threads: int) -> Read:
    """
    Reads the pictures of a rollout as the policy did.

    :param policy: The policy
    :param buffer: The rollout
    :param n_threads: Threads for torch meanwhile
    :return: What was read, by the pictures' keys; nothing where the policy does not act on that
    """
    extractor = policy.features_extractor
    if not isinstance(extractor, PoseReadingExtractor):
        return {}
    with torch_threads(n_threads):
        return read_rollout(extractor, buffer.observations)


def replace_pictures(policy: BasePolicy, buffer: DictRolloutBuffer, read: Read) -> None:
    """
    Replaces a rollout buffer's pictures by what was read in them: PPO would copy and read them anew in every epoch.
    :func:`make_room_for_pictures` undoes it before the next rollout.

    :param policy: It names the keys that it reads in ``read_keys``
    :param buffer: Full; written to
    :param read: What :func:`read_again` gave
    """
    read_keys: Any = policy.read_keys
    assert isinstance(read_keys, tuple)
    buffer.observations = {key: value for key, value in buffer.observations.items() if key in read_keys} | read
    buffer.obs_shape = {**buffer.obs_shape, **{key: states.shape[2:] for key, states in read.items()}}


def make_room_for_pictures(buffer: DictRolloutBuffer) -> None:
    """Gives a rollout buffer room for pictures again, in place of what was read in them; written to."""
    shape = get_obs_shape(buffer.observation_space)
    if buffer.obs_shape != shape:
        assert isinstance(shape, dict)
        buffer.obs_shape = shape
        buffer.reset()
