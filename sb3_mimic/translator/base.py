"""What every translator does: pictures in, states out."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from torch import nn

from sb3_mimic import keys
from sb3_mimic.extractors.spaces import COLORS, require_images, require_keys

Hidden = Any


class Translator(nn.Module):
    """
    Reads the state (a pose vector) out of pictures. Subclasses define :meth:`forward`, and
    call :meth:`_set_up_optimizer` at the end of their constructor.

    The optimiser's state is part of this module's state: it is saved and restored wherever the weights are.

    :param observation_space: Must hold ``image`` (uint8, channels first); of stacked frames one is read at a time
    :param state_dim: Size of what is read: the first numbers of a pose; by default the whole ``achieved_goal``
    :raises ValueError: When a key is missing or no picture
    """

    def __init__(self, observation_space: spaces.Dict, state_dim: int | None = None):
        super().__init__()
        who = type(self).__name__
        require_images(observation_space, (keys.IMAGE,), who)
        if state_dim is None:
            require_keys(observation_space, (keys.ACHIEVED_GOAL,), who)
            state_shape = observation_space[keys.ACHIEVED_GOAL].shape
            assert state_shape is not None
            state_dim = int(state_shape[0])
        image_shape = observation_space[keys.IMAGE].shape
        assert image_shape is not None
        self.n_channels, (self.height, self.width) = COLORS, image_shape[1:]
        self.state_dim = state_dim

    def _set_up_optimizer(self) -> None:
        # Fused: the plain one loops over parameters in Python
        self.optimizer = th.optim.Adam(self.parameters(), fused=True)

    def forward(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, Hidden]:
        """
        :param images: uint8, shape (batch, time, channels, height, width)
        :param hidden: Hidden state of the call before; the caller keeps and detaches it
        :return: States, shape (batch, time, state_dim), and the new hidden state
        """
        raise NotImplementedError

    def predict(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """
        Read single pictures.

        :param images: One picture or several, shape (..., height, width, channels)
        :return: States, shape (..., state_dim)
        :raises ValueError: When shape or type do not fit
        """
        shape = (self.height, self.width, self.n_channels)
        if images.dtype != np.uint8 or images.shape[-3:] != shape:
            raise ValueError(
                f"Pictures must be uint8 of shape (..., {', '.join(map(str, shape))}),"
                f" got {images.dtype} of shape {images.shape}"
            )
        was_training = self.training
        self.eval()
        # (..., H, W, C) -> (batch, time = 1, C, H, W)
        batch = th.from_numpy(images.reshape(-1, 1, *shape)).permute(0, 1, 4, 2, 3)
        with th.no_grad():
            states, _ = self(batch.to(next(self.parameters()).device))
        self.train(was_training)
        result: npt.NDArray[np.float32] = states.cpu().numpy().reshape(*images.shape[:-3], self.state_dim)
        return result

    def get_constructor_parameters(self) -> dict[str, Any]:
        """:return: Keyword arguments, all plain data, that make another such translator of the same observation space"""
        return {"state_dim": self.state_dim}

    def weights(self) -> dict[str, th.Tensor]:
        """:return: Parameters and buffers by name, without the optimiser's state"""
        return {name: value for name, value in self.state_dict().items() if isinstance(value, th.Tensor)}

    def set_weights(self, weights: dict[str, th.Tensor]) -> None:
        """
        Take over weights, and begin anew with the optimiser, whose state belongs to those before.

        :param weights: As :meth:`weights` gives them
        """
        self._set_up_optimizer()
        self.load_state_dict({**self.state_dict(), **weights})

    def get_extra_state(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
