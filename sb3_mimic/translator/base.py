"""Defines the base class of translators, which take pictures and return states."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from torch import nn

from sb3_mimic.extractors.layers import evaluated
from sb3_mimic.extractors.spaces import require_images, require_keys
from sb3_mimic.keys import ACHIEVED_GOAL, IMAGE
from sb3_mimic.translator.background import Learning
from sb3_mimic.translator.optimizer import Muon, adam_from_tensors, adam_to_tensors, named_states

Hidden = Any
States = npt.NDArray[np.float32]
ResultT = TypeVar("ResultT")

# Of errors whose distribution is Laplace's, 90 % lie within this many times its scale
WITHIN_90 = float(np.log(10))

# Under this prefix the optimiser's state stands among the weights
OPTIMIZER_PREFIX = "optimizer."
# Where it stood before, as a dict
_OLD_STATE = "_extra_state"
# Under this name the renderer's name stands among the weights, as bytes
_RENDERER = "renderer"


class Translator(nn.Module):
    """
    Reads the state (a vector) out of pictures. Subclasses make their layers in the constructor and define :meth:`forward`;
    those with more arguments than these two give them in :meth:`get_constructor_parameters` too.

    The optimiser's state and the renderer's name are part of this module's state: they are saved and restored wherever the
    weights are, as tensors.

    It may learn in a thread: then a copy does, and whatever uses this module, saves it or changes its weights first waits
    for that copy and takes over what it has learnt.

    :param observation_space: Must hold ``image``: a single frame, uint8, channels first
    :param state_dim: Size of what is read: the first numbers of a state; by default the whole ``achieved_goal``
    :raises ObservationSpaceError: When a key is missing or no picture
    """

    #: How the names of those weights begin that files of before may lack
    newer_weights: ClassVar[tuple[str, ...]] = ()
    #: Whether it learns to read frames by themselves before it learns from windows of the same frames
    learns_frames_first: ClassVar[bool] = False

    def __init__(self, observation_space: spaces.Dict, state_dim: int | None = None):
        super().__init__()
        #: Name of what drew the pictures that it learnt from, where that is known
        self.renderer: str | None = None
        self._learning: Learning[Translator, Any] | None = None
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
        self._optimizer: Muon | None = None

    @property
    def optimizer(self) -> Muon:
        """Returns the translator's own optimiser, made when it is first needed."""
        self.finish_learning()
        if self._optimizer is None:
            self._optimizer = Muon(self.parameters())
        return self._optimizer

    def forward(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, Hidden]:
        """
        Reads the states in windows of frames.

        :param images: uint8 or float in [0, 255], shape (batch, time, channels, height, width)
        :param hidden: Hidden state of the call before; the caller keeps and detaches it. None at the start of an episode
        :return: States, shape (batch, time, state_dim), and the new hidden state; None where there is no memory
        """
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.finish_learning()
        return super().__call__(*args, **kwargs)

    def read(self, images: th.Tensor, hidden: Hidden = None) -> tuple[th.Tensor, th.Tensor | None, Hidden]:
        """
        Reads the states in windows of frames, and how far off they may be. Here, where nothing is known about that:
        :meth:`forward` and None.

        :param images: As for :meth:`forward`
        :param hidden: As for :meth:`forward`
        :return: States, shape (batch, time, state_dim); of the same shape the scale of a Laplace distribution of each
            number's error, in that number's own unit, or None; and the new hidden state. In training mode the scales are
            those that learn
        """
        states, hidden = self(images, hidden)
        return states, None, hidden

    def look(self, images: th.Tensor) -> tuple[th.Tensor, ...]:
        """
        Sees what there is in frames by themselves. Whoever learns to remember, see :meth:`remember`, looks once,
        and walks through time several times. For translators that learn frames first.

        :param images: As :meth:`forward` takes them
        :return: Shape (batch, time, ...) each, without gradients; the frames themselves by default
        """
        return (images,)

    def remember(self, seen: tuple[th.Tensor, ...], hidden: Hidden = None) -> tuple[th.Tensor, th.Tensor | None, Hidden]:
        """
        Reads what was seen in frames that follow one another.

        :param seen: What :meth:`look` returned
        :param hidden: See :meth:`forward`
        :return: What :meth:`read` returns
        """
        return self.read(seen[0], hidden)

    def begin_calibration(self) -> None:
        """Takes note that the scales, where there are any, have been learnt, so that :meth:`read` states them."""

    def calibrate(self, errors: States, scales: States) -> None:
        """
        Compares scales with errors in pictures that were not learnt from. Here, where there are none, nothing is done.

        :param errors: Absolute errors, shape (n, state_dim)
        :param scales: What :meth:`read` stated, in evaluation mode, for them
        """

    def begin_learning(self, learn: Callable[["Translator"], ResultT]) -> Learning["Translator", ResultT]:
        """
        Lets a copy of this translator learn in a thread. This one stays as it is until it is used, saved or changed, or
        :meth:`finish_learning` is called: then it takes over what the copy has learnt.

        :param learn: Trains the copy; nothing that it uses may be used elsewhere meanwhile
        :return: What is running
        """
        self.finish_learning()
        learning = Learning(learn, copy.deepcopy(self))
        self._learning = learning
        return learning

    def finish_learning(self) -> None:
        """
        Waits for what learns in a thread, and takes it over; does nothing where nothing does.

        :raises BaseException: What was raised in the thread; then the translator is left as it was
        """
        learning = self._learning
        if learning is None:
            return
        learning.wait()
        self._learning = None
        learning.result()
        try:
            self.load_state_dict(learning.learner.state_dict())
        except KeyboardInterrupt:
            # Half of it is taken over: begin anew, the next time
            self._learning = learning
            raise

    def __getstate__(self) -> dict[str, Any]:
        # For copies: threads cannot be copied
        self.finish_learning()
        return vars(self).copy()

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
        batch = self._batch_of(images)
        with evaluated(self):
            states, hidden = self(batch, hidden)
        result: States = states.cpu().numpy().reshape(*images.shape[:-3], self.state_dim)
        return (result, hidden) if return_hidden else result

    def predict_with_scales(self, images: npt.NDArray[np.uint8]) -> tuple[States, States | None]:
        """
        Reads single pictures, and how far off what is read may be.

        :param images: One picture or several, shape (..., height, width, channels)
        :return: States, shape (..., state_dim), and the scales of their errors as :meth:`read` gives them, or None
        :raises ValueError: When shape or type do not fit
        """
        batch, shape = self._batch_of(images), (*images.shape[:-3], self.state_dim)
        self.finish_learning()
        with evaluated(self):
            states, scales, _ = self.read(batch)
        return states.cpu().numpy().reshape(shape), None if scales is None else scales.cpu().numpy().reshape(shape)

    def read_next(self, image: npt.NDArray[np.uint8], hidden: Hidden = None) -> tuple[States, States | None, Hidden]:
        """
        Reads the next frame of a video, and how far off what is read may be.

        :param image: Shape (height, width, channels)
        :param hidden: What was returned for the frame before; None for the first one
        :return: The state, shape (state_dim,), the scales of its errors as :meth:`read` gives them, or None, and the new
            hidden state
        :raises ValueError: When shape or type do not fit
        """
        batch = self._batch_of(image)
        self.finish_learning()
        with evaluated(self):
            states, scales, hidden = self.read(batch, hidden)
        return states[0, 0].cpu().numpy(), None if scales is None else scales[0, 0].cpu().numpy(), hidden

    def _batch_of(self, images: npt.NDArray[np.uint8]) -> th.Tensor:
        """Returns checked pictures as :meth:`forward` takes them, with windows of one frame."""
        shape = (self.height, self.width, self.n_channels)
        if images.dtype != np.uint8 or images.shape[-3:] != shape:
            raise ValueError(
                f"Pictures must be uint8 of shape (..., {', '.join(map(str, shape))}),"
                f" got {images.dtype} of shape {images.shape}"
            )
        # (..., H, W, C) -> (batch, time = 1, C, H, W)
        batch = th.from_numpy(images.reshape(-1, 1, *shape)).permute(0, 1, 4, 2, 3)
        return batch.to(next(self.parameters()).device)

    def get_constructor_parameters(self) -> dict[str, Any]:
        """Returns the keyword arguments, all plain data, that make another such translator of the same observation space."""
        return {"state_dim": self.state_dim}

    def weights(self) -> dict[str, th.Tensor]:
        """Returns parameters and buffers by name, without the optimiser's state and the renderer's name."""
        others = (OPTIMIZER_PREFIX, _RENDERER)
        return {name: value for name, value in self.state_dict().items() if not name.startswith(others)}

    def set_weights(self, weights: dict[str, th.Tensor], renderer: str | None = None) -> None:
        """
        Replaces the weights, and resets the optimiser, whose state belongs to the old ones.

        :param weights: As :meth:`weights` gives them
        :param renderer: Name of what drew the pictures that they learnt from, where that is known
        """
        self.load_state_dict(weights)
        self.renderer = renderer

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self.finish_learning()
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.renderer is not None:
            destination[prefix + _RENDERER] = th.tensor(list(self.renderer.encode()), dtype=th.uint8)
        if self._optimizer is not None:
            for name, value in adam_to_tensors(self._optimizer, self).items():
                destination[f"{prefix}{OPTIMIZER_PREFIX}{name}"] = value

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        self.finish_learning()
        own = prefix + OPTIMIZER_PREFIX
        saved = {name.removeprefix(own): state_dict.pop(name) for name in list(state_dict) if name.startswith(own)}
        old = state_dict.pop(prefix + _OLD_STATE, None)
        if old is not None:
            saved = named_states(old["optimizer"]["state"], self)
        renderer = state_dict.pop(prefix + _RENDERER, None)
        self.renderer = None if renderer is None else bytes(renderer.tolist()).decode()
        newer = tuple(prefix + name for name in self.newer_weights)
        if newer and not any(name.startswith(newer) for name in state_dict):
            state_dict.update({prefix + name: value for name, value in self.fresh_weights().items()})
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._optimizer = None
        if saved:
            wrong = adam_from_tensors(self.optimizer, self, saved)
            if wrong:
                # The last argument is the list that load_state_dict makes its error of
                args[-1].append(f"The optimiser's state does not fit the weights: {', '.join(wrong[:4])}.")

    def fresh_weights(self) -> dict[str, th.Tensor]:
        """Returns what stands for the :attr:`newer_weights` where weights of before lack them, by name."""
        return {}
