"""The eyes of policies that see their goal: pictures become poses through the policy's own translator."""

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_mimic.extractors.spaces import COLORS


class PoseReadingExtractor(BaseFeaturesExtractor):
    """
    Reads poses out of pictures with the policy's translator, which learns from exact labels in
    :class:`~sb3_mimic.translator.callback.TranslatorCallback`, and not from the reward: on a CPU,
    convolutions trained by the reward alone learn too slowly to be of use.

    Pictures that were read before are given as what was read: vectors in their place are left as they are.

    :param observation_space: What the environment offers
    :param features_dim: Number of features
    :param state_dim: Size of what the translator reads
    """

    def __init__(self, observation_space: spaces.Dict, features_dim: int, state_dim: int):
        super().__init__(observation_space, features_dim)
        self.state_dim = state_dim
        #: What was read last, by key, shape (batch, n_frames * state_dim)
        self.last_read: dict[str, th.Tensor] = {}

    def attach(self, translator: nn.Module) -> None:
        """:param translator: Belongs to the policy, and so is no part of this module's own parameters"""
        vars(self)["translator"] = translator

    def read_newest(self, key: str, pictures: th.Tensor) -> th.Tensor:
        """:return: What :meth:`read` reads in the newest frame alone, shape (batch, state_dim)"""
        return self.read(key, pictures[:, -COLORS:] if pictures.ndim > 2 else pictures)[:, -1]

    def read(self, key: str, pictures: th.Tensor) -> th.Tensor:
        """
        :param key: Under which the pictures stand in the observation
        :param pictures: Frames one after the other, pixels in [0, 255], shape (batch, n_frames * 3, height, width);
            or what was read in them, shape (batch, n_frames * state_dim)
        :return: What is read in each frame, shape (batch, n_frames, state_dim). A black frame, which stands for one
            before the episode's first, reads as the newest does.
        """
        if pictures.ndim == 2:
            return pictures.view(len(pictures), -1, self.state_dim)
        translator: Any = vars(self)["translator"]
        frames = pictures.reshape(len(pictures), -1, COLORS, *pictures.shape[2:])
        was_training = translator.training
        translator.eval()
        with th.no_grad():
            states: th.Tensor = translator(frames)[0]
        translator.train(was_training)
        if frames.shape[1] > 1:
            is_black = frames.flatten(2).amax(dim=2, keepdim=True) == 0
            states = th.where(is_black, states[:, -1:], states)
        self.last_read[key] = states.flatten(1)
        return states
