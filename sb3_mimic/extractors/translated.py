"""The eyes of policies that see their goal: pictures become states through the policy's own translator."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn


class PoseReadingExtractor(BaseFeaturesExtractor):
    """
    Reads states out of pictures with the policy's translator, which learns from exact labels in
    :class:`~sb3_mimic.translator.callback.TranslatorCallback`, and not from the reward: on a CPU,
    convolutions trained by the reward alone learn too slowly to be of use.

    What it reads depends on the observation alone: a translator with memory goes through the frames that are stacked,
    from the oldest to the newest, and begins anew with each observation. Stack more frames to let it look further back.

    Pictures that were read before are given as what was read: vectors in their place are left as they are.

    :param observation_space: What the environment offers
    :param features_dim: Number of features
    :param keys: Vectors and pictures that it looks at
    :param windows: How many of the newest frames it reads in each picture, by the picture's key
    :param state_dim: Size of what the translator reads
    :param n_channels: Channels of one frame
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        features_dim: int,
        keys: Sequence[str],
        windows: Mapping[str, int],
        state_dim: int,
        n_channels: int,
    ):
        super().__init__(observation_space, features_dim)
        self.keys = tuple(keys)
        self.windows = dict(windows)
        self.state_dim = state_dim
        self.n_channels = n_channels

    def attach(self, translator: nn.Module) -> None:
        """:param translator: Belongs to the policy, and so is no part of this module's own parameters"""
        vars(self)["translator"] = translator

    def read(self, key: str, pictures: th.Tensor) -> th.Tensor:
        """
        Reads the newest frames of pictures.

        :param key: Under which the pictures stand in the observation
        :param pictures: Frames one after the other, pixels in [0, 255], shape (batch, n_frames * n_channels, height, width);
            or what was read in them, shape (batch, n_read * state_dim)
        :return: What is read in each of the newest ``windows[key]`` frames, shape (batch, n_read, state_dim). A black
            frame, which stands for one before the episode's first, reads as the newest does.
        """
        n_read = self.windows[key]
        if pictures.ndim == 2:
            return pictures.view(-1, n_read, self.state_dim)
        # No batch size becomes a number: what is traced or exported must take any
        frames = pictures[:, -n_read * self.n_channels :]
        frames = frames.reshape(-1, n_read, self.n_channels, *pictures.shape[2:])
        translator: Any = vars(self)["translator"]
        was_training = translator.training
        translator.eval()
        with th.no_grad():
            states: th.Tensor = translator(frames)[0]
        translator.train(was_training)
        if n_read > 1:
            is_black = frames.flatten(2).amax(dim=2, keepdim=True) == 0
            states = th.where(is_black, states[:, -1:], states)
        return states
