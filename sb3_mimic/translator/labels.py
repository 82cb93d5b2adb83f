"""Finds the exact state in the pictures of an observation, whatever wrappers did to it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

from sb3_mimic.errors import LabelError
from sb3_mimic.pose import PoseLayout

Info = dict[str, Any]
Vectors = dict[str, npt.NDArray[np.float32]]


class Labels:
    """
    Follows what is to be read in the pictures of the present observation, step by step.

    A vector that is observed is taken from the observation as it was before ``VecNormalize``, and of stacked vectors the
    newest. One that is not observed is taken from the info that was returned together with the observation, under the
    same name: it belongs to that observation, however many steps a wrapper took in between.

    :param venv: The environments of the training
    :param names: Keys of the vectors
    :raises LabelError: When a vector is neither observed nor in the info
    """

    def __init__(self, venv: VecEnv, names: Iterable[str]):
        self.venv = venv
        self.names = tuple(dict.fromkeys(names))
        space = venv.get_attr("observation_space", indices=0)[0]
        own = space.spaces if isinstance(space, spaces.Dict) else {}
        assert isinstance(venv.observation_space, spaces.Dict)
        # The size of one vector; that of stacked ones is a multiple of it
        observed = [name for name in self.names if name in venv.observation_space.spaces]
        self._sizes = {name: int((own[name].shape or (0,))[-1]) for name in observed}
        self._normalization = unwrap_vec_normalize(venv)
        #: The vectors of the present observation, shape (n_envs, dim) each
        self.present: Vectors = {}
        #: Whether the present observation is an episode's first, shape (n_envs,)
        self.episode_starts = np.ones(venv.num_envs, bool)

    def begin(self, observation: Vectors, is_reset: bool) -> None:
        """
        Takes the labels of the observation that a training begins with.

        :param observation: As the algorithm gets it
        :param is_reset: Whether the environments were reset to make it
        """
        self.episode_starts = np.full(self.venv.num_envs, is_reset)
        infos = self.venv.unwrapped.reset_infos if is_reset else [{}] * self.venv.num_envs
        self.present = {name: self._vector(name, observation, infos) for name in self.names}

    def step(self, observation: Vectors, infos: Sequence[Info], dones: npt.NDArray[np.bool_]) -> None:
        """
        Goes on to the observation that a step returned.

        :param observation: As the algorithm gets it
        :param infos: What the step returned with it; those at an episode's end belong to its last observation
        :param dones: Whether an episode ended
        """
        if dones.any():
            resets = self.venv.unwrapped.reset_infos
            infos = [resets[index] if done else infos[index] for index, done in enumerate(dones)]
        self.episode_starts = dones.astype(bool)
        self.present = {name: self._vector(name, observation, infos) for name in self.names}

    def _vector(self, name: str, observation: Vectors, infos: Sequence[Info]) -> npt.NDArray[np.float32]:
        if name in self._sizes:
            normalization = self._normalization
            if normalization is not None and normalization.norm_obs and name in (normalization.norm_obs_keys or ()):
                original = normalization.get_original_obs()
                assert isinstance(original, dict)
                observation = original
            return observation[name][:, -self._sizes[name] :]
        if all(name in info for info in infos):
            return np.stack([info[name] for info in infos])
        # Of the present state: the observation's own, as long as no wrapper holds observations back
        if self.venv.has_attr(name):
            return np.stack(self.venv.get_attr(name))
        raise LabelError(
            f"The translator is to learn to read '{name}', which is neither in the observation"
            f" ({', '.join(self.venv.observation_space.spaces)}) nor in the info of reset and step."  # type: ignore[attr-defined]
            " Put it into one of them, or name another vector: policy_kwargs=dict(labels={picture: vector})."
        )


def check_size(key: str, size: int, layout: PoseLayout | None, state_dim: int, asked_for: int | None = None) -> None:
    """
    Checks that what a translator reads is all of a label, or the first parts of its layout.

    :param key: Name of the label
    :param size: How many numbers it has
    :param layout: What they mean, where that is known
    :param state_dim: How many numbers the translator reads
    :param asked_for: How many it was told to read: the first ones, where what they mean is not known
    :raises LabelError: When it reads others
    """
    if size == state_dim:
        return
    if layout is None and asked_for == state_dim < size:
        return
    try:
        if layout is None:
            raise ValueError(f"It has {size} numbers.")
        layout.leading(state_dim)
    except ValueError as error:
        allowed = [size] if layout is None else np.cumsum([part.size for part in layout]).tolist()
        raise LabelError(
            f"The translator reads {state_dim} numbers, which do not fit '{key}'. {error} Allowed are"
            f" {', '.join(map(str, allowed))}: policy_kwargs=dict(translator_kwargs=dict(state_dim={allowed[0]}))."
        ) from error
