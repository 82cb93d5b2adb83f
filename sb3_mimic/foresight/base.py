"""Defines the base class of predictors, which take frames and actions and return the frames to come."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from torch import nn

from sb3_mimic.errors import ForesightError
from sb3_mimic.extractors.layers import evaluated
from sb3_mimic.extractors.spaces import require_images
from sb3_mimic.keys import IMAGE

Frames = npt.NDArray[np.uint8]
Actions = npt.NDArray[np.floating]


class Lesson(NamedTuple):
    """
    Windows of a collection, to learn from.

    :param frames: In [0, 1], shape (batch, time, channels, height, width)
    :param actions: The action at time t leads from frame t to the next one, shape (batch, time - 1, action_dim)
    """

    frames: th.Tensor
    actions: th.Tensor


class VideoPredictor(nn.Module):
    """
    Foresees frames: it sees some that follow one another, is told which actions were taken between them and which ones are to
    come, and draws what will be seen.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param action_dim: How many numbers an action has
    :raises ObservationSpaceError: When there is no such picture
    """

    #: Frames that it needs to see
    n_context = 2

    def __init__(self, observation_space: spaces.Dict, action_dim: int):
        super().__init__()
        require_images(observation_space, (IMAGE,), type(self).__name__)
        shape = observation_space[IMAGE].shape
        assert shape is not None
        self.n_channels, self.height, self.width = shape
        self.action_dim = action_dim

    def foresee(self, frames: th.Tensor, actions: th.Tensor) -> th.Tensor:
        """
        Foresees frames.

        :param frames: Those so far, in [0, 1], shape (batch, n_seen, channels, height, width)
        :param actions: Those between them, and those to come, shape (batch, n_seen - 1 + n_steps, action_dim)
        :return: Frames to come, in [0, 1], shape (batch, n_steps, channels, height, width)
        """
        raise NotImplementedError

    def predict(self, frames: Frames, actions: Actions) -> Frames:
        """
        Foresees frames as an environment shows them.

        :param frames: Those so far, shape (..., n_seen, height, width, channels)
        :param actions: Those between them, and those to come, shape (..., n_seen - 1 + n_steps, action_dim)
        :return: Frames to come, shape (..., n_steps, height, width, channels)
        :raises ForesightError: When a shape or a type does not fit
        """
        seen, taken = self.checked(frames, actions)
        with evaluated(self):
            foreseen = self.foresee(seen, taken)
        drawn = (foreseen.clamp(0, 1) * 255).round().to(th.uint8).permute(0, 1, 3, 4, 2).cpu().numpy()
        return np.ascontiguousarray(drawn.reshape(*frames.shape[:-4], *drawn.shape[1:]))

    def checked(self, frames: Frames, actions: Actions) -> tuple[th.Tensor, th.Tensor]:
        """
        Returns frames and actions as :meth:`foresee` takes them.

        :param frames: As for :meth:`predict`
        :param actions: The same
        :raises ForesightError: When a shape or a type does not fit
        """
        shape = self.height, self.width, self.n_channels
        if frames.dtype != np.uint8 or frames.ndim < 4 or frames.shape[-3:] != shape:
            raise ForesightError(f"Frames must be uint8 of shape (..., n, {shape}), got {frames.dtype} of {frames.shape}.")
        n_seen = frames.shape[-4]
        if n_seen < self.n_context:
            raise ForesightError(f"{type(self).__name__} must see {self.n_context} frames at least, got {n_seen}.")
        if actions.ndim < 2 or actions.shape[:-2] != frames.shape[:-4] or actions.shape[-1] != self.action_dim:
            raise ForesightError(
                f"Actions must have shape {frames.shape[:-4]} + (n, {self.action_dim}) for frames of {frames.shape}, got"
                f" {actions.shape}."
            )
        if actions.shape[-2] < n_seen:
            raise ForesightError(
                f"Between {n_seen} frames there are {n_seen - 1} actions, and one more at least must be to come; got"
                f" {actions.shape[-2]}."
            )
        if not np.isfinite(actions).all():
            raise ForesightError("Actions must be finite numbers.")
        seen = th.from_numpy(np.ascontiguousarray(frames.reshape(-1, *frames.shape[-4:]))).permute(0, 1, 4, 2, 3)
        taken = th.from_numpy(np.ascontiguousarray(actions.reshape(-1, *actions.shape[-2:]), dtype=np.float32))
        return seen.float() / 255, taken

    def loss(self, lesson: Lesson, share_true: float) -> th.Tensor:
        """
        Returns what training makes small.

        :param lesson: Windows
        :param share_true: Which part of the frames behind those that it must see is shown to it, in place of its own
            predictions: 1 is teacher forcing, 0 free rollout
        """
        raise NotImplementedError

    def get_constructor_parameters(self) -> dict[str, Any]:
        """Returns the arguments that another one is made of, beside the observation space."""
        return {"action_dim": self.action_dim}


class StepwisePredictor(VideoPredictor):
    """
    Foresees one frame after another: what it draws is what it sees next. Subclasses define :meth:`step`.
    """

    def step(self, frame: th.Tensor, action: th.Tensor, state: Any) -> tuple[th.Tensor, Any]:
        """
        Foresees the next frame.

        :param frame: In [0, 1], shape (batch, channels, height, width)
        :param action: Shape (batch, action_dim)
        :param state: What was returned for the frame before; None for the first one
        :return: The next frame, and what is to be remembered
        """
        raise NotImplementedError

    def unroll(self, frames: th.Tensor, actions: th.Tensor, is_shown: th.Tensor) -> th.Tensor:
        """
        Goes through windows.

        :param frames: Those that may be shown, shape (batch, n, channels, height, width)
        :param actions: As many as there are to be foreseen, shape (batch, n_steps, action_dim)
        :param is_shown: Whether a frame is shown; what was foreseen is seen in place of others, shape (batch, n_steps)
        :return: What comes after each action, shape (batch, n_steps, channels, height, width)
        """
        foreseen: list[th.Tensor] = []
        state: Any = None
        for index, action in enumerate(actions.unbind(1)):
            if index >= frames.shape[1]:
                frame = foreseen[-1]
            elif not foreseen:
                frame = frames[:, 0]
            else:
                frame = th.where(is_shown[:, index, None, None, None], frames[:, index], foreseen[-1])
            following, state = self.step(frame, action, state)
            foreseen.append(following)
        return th.stack(foreseen, dim=1)

    def foresee(self, frames: th.Tensor, actions: th.Tensor) -> th.Tensor:
        is_shown = th.ones(actions.shape[:2], dtype=th.bool)
        return self.unroll(frames, actions, is_shown)[:, frames.shape[1] - 1 :]

    def loss(self, lesson: Lesson, share_true: float) -> th.Tensor:
        is_shown = th.rand(lesson.actions.shape[:2]) < share_true
        is_shown[:, : self.n_context] = True
        foreseen = self.unroll(lesson.frames[:, :-1], lesson.actions, is_shown)
        return nn.functional.mse_loss(foreseen, lesson.frames[:, 1:])
