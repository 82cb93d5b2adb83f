"""Turns pictures into states with the policy's own translator, for policies that see their goal."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from sb3_mimic.extractors.layers import evaluated

# Of larger batches, which are those of minibatches, nothing is remembered
MAX_REMEMBERED = 64


class PoseReadingExtractor(BaseFeaturesExtractor):
    """
    Reads states out of pictures with the policy's translator, which learns from exact labels in
    :class:`~sb3_mimic.translator.callback.TranslatorCallback`, and not from the reward: on a CPU,
    convolutions trained by the reward alone learn too slowly to be of use.

    What it reads depends on the observation alone: a translator with memory goes through the frames that are stacked,
    from the oldest to the newest, and begins anew with each observation. Stack more frames to let it look further back; or act
    with :meth:`Agent.act <sb3_mimic.agents.Agent.act>`, which hands its memory on from step to step.

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
        #: Whether what is read in a frame depends on those before it
        self.has_memory = False
        #: What the newest frame of a picture is known to show, shape (state_dim,), by the picture's key: it is not read
        self.known: dict[str, th.Tensor] = {}
        # By key: the frames of the last call, and what was read in them
        self._last: dict[str, list[tuple[th.Tensor, th.Tensor]]] = {}
        self._last_version = -1

    def attach(self, translator: Any) -> None:
        """
        Attaches the policy's translator.

        :param translator: Belongs to the policy, and so is no part of this module's own parameters
        """
        vars(self)["translator"] = translator
        frame = th.zeros(1, 1, translator.n_channels, translator.height, translator.width, dtype=th.uint8)
        self.has_memory = self.translate(frame)[1] is not None

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
        known = self.known.get(key)
        if known is not None and n_read == 1:
            return known.expand(len(pictures), 1, -1)
        # No batch size becomes a number: what is traced or exported must take any
        frames = pictures[:, -n_read * self.n_channels :]
        frames = frames.reshape(-1, n_read, self.n_channels, *pictures.shape[2:])
        is_exported = th.jit.is_tracing() or th.compiler.is_compiling()  # type: ignore[attr-defined, no-untyped-call]
        # A batch of one is rounded in another way alone than with others
        if self.has_memory or is_exported or not 1 < len(frames) <= MAX_REMEMBERED:
            states: th.Tensor = self.translate(frames)[0]
        else:
            states = self._read_new(key, frames)
        if n_read > 1:
            is_black = frames.flatten(2).amax(dim=2, keepdim=True) == 0
            states = th.where(is_black, states[:, -1:], states)
        return states if known is None else th.cat((states[:, :-1], known.expand(len(states), 1, -1)), dim=1)

    def _read_new(self, key: str, frames: th.Tensor) -> th.Tensor:
        """
        Reads frame by frame, and reuses what the call before read in a frame that it had already: the picture of a
        goal stays for an episode, and of stacked frames all but one. Whole batches of one size are compared and read, so
        that what is read is the same to the last bit with and without reuse.

        :param key: Key of the frames in the observation
        :param frames: Shape (batch, n_read, n_channels, height, width)
        :return: States, shape (batch, n_read, state_dim)
        """
        translator: Any = vars(self)["translator"]
        # Grows whenever a tensor is written to
        version = sum(tensor._version for tensor in (*translator.parameters(), *translator.buffers()))
        if version != self._last_version:
            self._last, self._last_version = {}, version
        last, now = self._last.get(key, []), []
        for index in range(frames.shape[1]):
            frame = frames[:, index]
            # Where it was, and where it was before the newest pushed it on
            known = (states for pictures, states in (*last[index : index + 2],) if th.equal(pictures, frame))
            states = next(known, None)
            now.append((frame, self.translate(frames[:, index : index + 1])[0] if states is None else states))
        self._last[key] = now
        return th.cat([states for _, states in now], dim=1)

    def translate(self, frames: th.Tensor, hidden: Any = None) -> tuple[th.Tensor, Any]:
        """
        Runs the translator as it is now, without learning from it.

        :param frames: uint8 or float in [0, 255], shape (batch, time, n_channels, height, width)
        :param hidden: What was returned for the frames before these; None for the first ones
        :return: States, shape (batch, time, state_dim), and the translator's hidden state
        """
        translator: Any = vars(self)["translator"]
        with evaluated(translator):
            states, hidden = translator(frames.to(next(translator.parameters()).device), hidden)
        return states, hidden
