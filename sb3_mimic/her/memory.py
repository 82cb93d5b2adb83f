"""How much memory a replay buffer takes, known before it is made."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim

from sb3_mimic.errors import BufferSizeError

# Of a reward, two flags, where an episode starts and how long it is
OTHERS = 3 * 4 + 2 * 8
# What a container may use, on Linux
LIMIT_FILE = Path("/sys/fs/cgroup/memory.max")


def bytes_per_transition(observation_space: spaces.Dict, action_space: spaces.Space[Any], copy_info_dict: bool = False) -> int:
    """
    Computes the memory that a transition takes in a :class:`~sb3_mimic.her.her_replay_buffer.HerReplayBuffer`.

    :param observation_space: Observation space; an observation is stored before and after each action
    :param action_space: Action space
    :param copy_info_dict: Whether a place for an info is needed; what is in it comes on top
    :return: Bytes
    """
    observed = sum(_size_of(space) * np.dtype(space.dtype).itemsize for space in observation_space.spaces.values())
    # SB3 stores actions of doubles as floats
    action = min(np.dtype(action_space.dtype).itemsize, 8 if isinstance(action_space, spaces.Discrete) else 4)
    return 2 * observed + get_action_dim(action_space) * action + OTHERS + 8 * copy_info_dict


def require_memory(
    buffer_size: int, n_envs: int, observation_space: spaces.Dict, action_space: spaces.Space[Any], copy_info_dict: bool
) -> None:
    """
    Checks that a replay buffer fits into the memory of the machine, or of the container that this runs in.

    :param buffer_size: Its size
    :param n_envs: Number of environments
    :param observation_space: Observation space
    :param action_space: Action space
    :param copy_info_dict: Whether infos are stored
    :raises BufferSizeError: When it is larger than that
    """
    each, limit = bytes_per_transition(observation_space, action_space, copy_info_dict), machine_memory()
    n_bytes = max(buffer_size // n_envs, 1) * n_envs * each
    if n_bytes > limit:
        raise BufferSizeError(
            f"buffer_size={buffer_size} takes {n_bytes} bytes ({n_bytes / 2**30:.1f} GiB), {each} for each transition, and"
            f" this machine has {limit:.0f}. Use at most buffer_size={limit // each:.0f}, better half of that."
        )


def machine_memory() -> float:
    """Returns the bytes of memory that can be had at most; infinity where that is not known."""
    limits = [math.inf]
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if LIMIT_FILE.is_file() and (text := LIMIT_FILE.read_text().strip()).isdigit():
        limits.append(int(text))
    return min(limits)


def _size_of(space: spaces.Space[Any]) -> int:
    return int(np.prod(space.shape or (1,)))
