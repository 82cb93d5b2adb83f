"""Defines the base class of translators, which take pictures and return states."""

from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from torch import nn

from sb3_mimic.extractors.layers import evaluated
from sb3_mimic.extractors.spaces import require_images, require_keys
from sb3_mimic.keys import ACHIEVED_GOAL, IMAGE
from sb3_mimic.translator.optimizer import adam_from_tensors, adam_to_tensors

Hidden = Any
States = npt.NDArray[np.float32]

# Under this prefix the optimiser's state stands among the weights
OPTIMIZER_PREFIX = "optimizer."
# Where it stood before, as a dict
_OLD_STATE = "_extra_state"


class Translator(nn.Module):
    """
    Reads the state (a vector) out of pictures. Subclasses make their layers in the constructor and define :meth:`forward`;
    those with more arguments than these two give them in :meth:`get_constructor_parameters` too.

    The optimiser's state is part of this module's state: it is saved and restored wherever the weights are, as tensors.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param state_dim: Size of what is read: the first numbers of a state; by default the whole ``achieved_goal``
    :raises ObservationSpaceError: When a key is missing or no picture
    """

    def __init__(self, observation_space: spaces.Dict, state_dim: int | None = None):
        super().__init__()
        who = type(self).__name__
        require_images(observation_space, (IMAGE,), who)
        if state_dim is None:
            require_keys(observation_space, (ACHIEVED_GOAL,), who)
            state_shape = observation_space[ACHIEVED_GOAL].shape
            assert state_shape is not None
            state_dim = int(state_shape[0])
        image_shape = observation_space[IMAGE].shape
        assert image_shape is not None
        self.n_channels, self.height, self.width = image_shape
        self.state_dim = state_dim
        self._optimizer: th.optim.Adam | None = None

    @property
    def optimizer(self) -> th.optim.Adam:
        """Returns the translator's own optimiser, made when it is first needed."""
        if self._optimizer is None:
            # Fused: the plain one loops over parameters in Python
            self._optimizer = th.optim.Adam(self.parameters(), fused=True)
        return self._optimizer

    def forward(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, Hidden]:
        """
        Reads the states in windows of frames.

        :param images: uint8 or float in [0, 255], shape (batch, time, channels, height, width)
        :param hidden: Hidden state of the call before; the caller keeps and detaches it. None at the start of an episode
        :return: States, shape (batch, time, state_dim), and the new hidden state; None where there is no memory
        """
        raise NotImplementedError

    @overload
    def predict(
        self, images: npt.NDArray[np.uint8], hidden: Hidden = None, return_hidden: Literal[False] = False
    ) -> States: ...

    @overload
    def predict(
        self, images: npt.NDArray[np.uint8], hidden: Hidden = None, *, return_hidden: Literal[True]
    ) -> tuple[States, Hidden]: ...

    def predict(
        self, images: npt.NDArray[np.uint8], hidden: Hidden = None, return_hidden: bool = False
    ) -> States | tuple[States, Hidden]:
        """
        Reads single pictures, or the next one of each of several videos.

        :param images: One picture or several, shape (..., height, width, channels)
        :param hidden: What was returned for the pictures before these; None for the first ones
        :param return_hidden: Whether to return the hidden state too, to be given with the next pictures
        :return: States, shape (..., state_dim); with ``return_hidden`` a pair of them and the hidden state
        :raises ValueError: When shape or type do not fit
        """
        shape = (self.height, self.width, self.n_channels)
        if images.dtype != np.uint8 or images.shape[-3:] != shape:
            raise ValueError(
                f"Pictures must be uint8 of shape (..., {', '.join(map(str, shape))}),"
                f" got {images.dtype} of shape {images.shape}"
            )
        # (..., H, W, C) -> (batch, time = 1, C, H, W)
        batch = th.from_numpy(images.reshape(-1, 1, *shape)).permute(0, 1, 4, 2, 3)
        with evaluated(self):
            states, hidden = self(batch.to(next(self.parameters()).device), hidden)
        result: States = states.cpu().numpy().reshape(*images.shape[:-3], self.state_dim)
        return (result, hidden) if return_hidden else result

    def get_constructor_parameters(self) -> dict[str, Any]:
        """Returns the keyword arguments, all plain data, that make another such translator of the same observation space."""
        return {"state_dim": self.state_dim}

    def weights(self) -> dict[str, th.Tensor]:
        """Returns parameters and buffers by name, without the optimiser's state."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith(OPTIMIZER_PREFIX)}

    def set_weights(self, weights: dict[str, th.Tensor]) -> None:
        """
        Replaces the weights, and resets the optimiser, whose state belongs to the old ones.

        :param weights: As :meth:`weights` gives them
        """
        self.load_state_dict(weights)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self._optimizer is not None:
            for name, value in adam_to_tensors(self._optimizer, self).items():
                destination[f"{prefix}{OPTIMIZER_PREFIX}{name}"] = value

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        own = prefix + OPTIMIZER_PREFIX
        saved = {name.removeprefix(own): state_dict.pop(name) for name in list(state_dict) if name.startswith(own)}
        old = state_dict.pop(prefix + _OLD_STATE, None)
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._optimizer = None
        if old is not None and old["optimizer"]["state"]:
            self.optimizer.load_state_dict(old["optimizer"])
        elif saved:
            wrong = adam_from_tensors(self.optimizer, self, saved)
            if wrong:
                # The last argument is the list that load_state_dict makes its error of
                args[-1].append(f"The optimiser's state does not fit the weights: {', '.join(wrong[:4])}.")
