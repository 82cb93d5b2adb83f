"""Defines policies on states, pictures or both, each with a translator: for PPO, with and without memory, SAC and TQC."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch as th
from gymnasium import spaces
from sb3_contrib.common.recurrent.policies import RecurrentMultiInputActorCriticPolicy
from sb3_contrib.tqc import policies as tqc
from stable_baselines3.common.policies import (
    ActorCriticPolicy,
    BaseModel,
    BasePolicy,
    ContinuousCritic,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.sac import policies as sac
from torch import nn

from sb3_mimic import keys
from sb3_mimic.errors import ObservationSpaceError
from sb3_mimic.extractors.fused import FusedExtractor
from sb3_mimic.extractors.pixel import PixelExtractor
from sb3_mimic.extractors.spaces import frame_channels, frame_space, require_images
from sb3_mimic.extractors.state import StateExtractor
from sb3_mimic.extractors.translated import PoseReadingExtractor
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.files import find_class

#: Activation functions that can be asked for by name: a YAML file holds no classes
ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "leaky_relu": nn.LeakyReLU}


def _activation(activation_fn: type[nn.Module] | str) -> type[nn.Module]:
    """Returns the class of an activation function, given its name or the class itself."""
    if not isinstance(activation_fn, str):
        return activation_fn
    if activation_fn not in ACTIVATIONS:
        raise ValueError(f"Unknown activation_fn '{activation_fn}'. Known names: {', '.join(ACTIVATIONS)}; or give a class.")
    return ACTIVATIONS[activation_fn]


def _state_dim(observation_space: spaces.Dict, action_space: spaces.Space[Any], label: str, n_frames: int) -> int:
    """
    Returns the size of what a translator reads, unless its arguments say it; ``TranslatorCallback`` checks it.

    :param observation_space: What the environment offers
    :param action_space: For old agents that act on pictures alone: they read one angle for each action
    :param label: The key of the vector that is read in pictures
    :param n_frames: How many observations are stacked
    """
    if label not in observation_space.spaces:
        return get_action_dim(action_space)
    shape = observation_space[label].shape
    assert shape is not None
    size = int(shape[0])
    return size if size % n_frames else size // n_frames


def _require_one_size(observation_space: spaces.Dict, pictures: Iterable[str], first: str) -> None:
    """Checks that one translator can read all pictures; they may stack different numbers of frames."""
    sizes = {key: observation_space[key].shape or () for key in pictures}
    for key, size in sizes.items():
        if size[1:] != sizes[first][1:]:
            raise ObservationSpaceError(
                f"One translator reads all pictures, but '{key}' has the shape {size} and '{first}' {sizes[first]}."
                " Give them one size, or leave one out of labels."
            )


def _selected(observation: PyTorchObs, features_extractor: BaseFeaturesExtractor) -> PyTorchObs:
    """Returns the parts of an observation that the extractor reads: SB3 would turn every picture into floats, read or not."""
    assert isinstance(observation, dict)
    read_keys = getattr(features_extractor, "keys", observation)
    return {key: observation[key] for key in read_keys}


class _TranslatorPolicy(BasePolicy):
    """Gives a policy of SB3 a translator; all policies here are mixed with it."""

    #: What the policy looks with, unless told otherwise: a default that survives ``-optimize``
    default_features_extractor_class: type[BaseFeaturesExtractor]
    default_activation_fn: type[nn.Module] = nn.Tanh

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        activation_fn: type[nn.Module] | str | None = None,
        labels: Mapping[str, str] | None = None,
        n_channels: int | None = None,
        translator_class: type[Translator] | str = ConvNetTranslator,
        translator_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        who = type(self).__name__
        extractor_class = features_extractor_class or self.default_features_extractor_class
        extractor_kwargs = dict(features_extractor_kwargs or {})
        translator_kwargs = dict(translator_kwargs or {})
        reader = find_class(translator_class) if isinstance(translator_class, str) else translator_class
        # Plain data, which a zip can hold
        own_labels = None if labels is None else dict(labels)
        every_label = own_labels or {key: label for key, label in keys.LABELS.items() if key in observation_space.spaces}
        arguments: dict[str, Any] = {}
        if every_label:
            require_images(observation_space, tuple(every_label), who)
            first = next(iter(every_label))
            frame = frame_space(observation_space[first], frame_channels(observation_space[first], first, n_channels))
            _require_one_size(observation_space, every_label, first)
            n_frames = (observation_space[first].shape or (0,))[0] // frame.shape[0]
            arguments["state_dim"] = _state_dim(observation_space, action_space, every_label[first], n_frames)
            arguments |= {name: value for name, value in translator_kwargs.items() if name == "state_dim"}
        if issubclass(extractor_class, PoseReadingExtractor):
            extractor_kwargs = {"labels": own_labels, "n_channels": n_channels, **arguments, **extractor_kwargs}
            # What was read in a picture stands in its place, and must not be divided by 255
            kwargs["normalize_images"] = False
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=extractor_class,
            features_extractor_kwargs=extractor_kwargs,
            activation_fn=_activation(activation_fn or self.default_activation_fn),
            **kwargs,
        )
        self._translator_arguments = {
            "labels": own_labels,
            "n_channels": n_channels,
            "translator_class": reader,
            "translator_kwargs": translator_kwargs,
        }
        self.translator_kwargs = translator_kwargs
        #: The key of the vector that is to be read in each picture, by the picture's key
        self.labels = every_label
        # Made after the algorithm's optimisers, and so not part of them
        self.translator: Translator | None = None
        if every_label:
            picture = spaces.Dict({keys.IMAGE: frame})
            self.translator = reader(picture, **{**arguments, **translator_kwargs})
            for module in self.modules():
                if isinstance(module, PoseReadingExtractor):
                    module.attach(self.translator)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self._translator_arguments}


class _OnPolicy(_TranslatorPolicy, ActorCriticPolicy):
    """Implements what the policies for PPO and RecurrentPPO share."""

    def __init__(self, *args: Any, log_std_init: float = -0.7, **kwargs: Any):
        super().__init__(*args, log_std_init=log_std_init, **kwargs)

    @property
    def read_keys(self) -> tuple[str, ...]:
        """Returns the keys of the observation that policy and value function read."""
        assert isinstance(self.observation_space, spaces.Dict)
        return tuple(getattr(self.features_extractor, "keys", self.observation_space.spaces))

    def extract_features(  # type: ignore[override]  # as in SB3's own ActorCriticPolicy
        self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor | None = None
    ) -> th.Tensor | tuple[th.Tensor, th.Tensor]:
        return super().extract_features(_selected(obs, self.features_extractor), features_extractor)

    # These two of SB3 go past the one above

    def get_distribution(self, obs: PyTorchObs, *args: Any, **kwargs: Any) -> Any:
        """Returns the distribution of actions; arguments and return values are those of SB3's policies."""
        return super().get_distribution(_selected(obs, self.pi_features_extractor), *args, **kwargs)

    def predict_values(self, obs: PyTorchObs, *args: Any, **kwargs: Any) -> th.Tensor:
        """Estimates values; arguments and return values are those of SB3's policies."""
        return super().predict_values(_selected(obs, self.vf_features_extractor), *args, **kwargs)


class StatePolicy(_OnPolicy, MultiInputActorCriticPolicy):
    """
    Acts on joint state and the goal vector; without a goal, on all vectors. Pictures are for the translator alone.

    All arguments are those of SB3's ``MultiInputActorCriticPolicy``, with another
    features extractor and less exploration, and:

    :param activation_fn: Its class, or its name: ``tanh``, ``relu``, ``elu`` or ``leaky_relu``
    :param labels: The key of the vector that is to be read in each picture, by the picture's key; by default
        ``achieved_goal`` in ``image`` and ``desired_goal`` in ``desired_image``. All are read by one translator: pictures
        of one size. Those with the first one's vector show the agent itself, from another side
    :param n_channels: Channels of one frame, where frames are stacked and grey; by default 3, or 1 of a single channel
    :param translator_class: What reads vectors out of pictures, where the observation has one, or its name: ``convnet``,
        ``convlstm``, or that of your own, ``package.module.Name``
    :param translator_kwargs: Keyword arguments for it; ``state_dim`` where the vector is not observed, or not all is read
    """

    default_features_extractor_class: type[BaseFeaturesExtractor] = StateExtractor


class PixelPolicy(StatePolicy):
    """
    Acts on what its translator reads in the robot's own frames and in the picture of the target.
    Train it with ``TranslatorCallback``. Arguments: see :class:`StatePolicy`.
    """

    default_features_extractor_class = PixelExtractor


class FusedPolicy(StatePolicy):
    """
    Acts on the robot's own state and on what its translator reads in the picture of the target.
    Train it with ``TranslatorCallback``. Arguments: see :class:`StatePolicy`.
    """

    default_features_extractor_class = FusedExtractor


class RecurrentStatePolicy(_OnPolicy, RecurrentMultiInputActorCriticPolicy):
    """
    Adds an LSTM to :class:`StatePolicy`, for ``RecurrentPPO``. Arguments: those of sb3-contrib's
    ``RecurrentMultiInputActorCriticPolicy``, with a smaller LSTM, for the actor alone, and those of :class:`StatePolicy`.
    """

    default_features_extractor_class: type[BaseFeaturesExtractor] = StateExtractor

    def __init__(self, *args: Any, lstm_hidden_size: int = 64, enable_critic_lstm: bool = False, **kwargs: Any):
        super().__init__(*args, lstm_hidden_size=lstm_hidden_size, enable_critic_lstm=enable_critic_lstm, **kwargs)


class RecurrentPixelPolicy(RecurrentStatePolicy):
    """Adds an LSTM to :class:`PixelPolicy`, which sees motion without stacked frames."""

    default_features_extractor_class = PixelExtractor


class RecurrentFusedPolicy(RecurrentStatePolicy):
    """Adds an LSTM to :class:`FusedPolicy`."""

    default_features_extractor_class = FusedExtractor


class _SelectiveModel(BaseModel):
    """Reads only the parts of an observation that its extractor reads; to be mixed into SB3's actors and critics."""

    def extract_features(self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor) -> th.Tensor:
        return super().extract_features(_selected(obs, features_extractor), features_extractor)


class _SACActor(_SelectiveModel, sac.Actor):
    pass


class _SACCritic(_SelectiveModel, ContinuousCritic):
    pass


class _TQCActor(_SelectiveModel, tqc.Actor):
    pass


class _TQCCritic(_SelectiveModel, tqc.Critic):
    pass


class StateSACPolicy(_TranslatorPolicy, sac.MultiInputPolicy):
    """
    Adapts :class:`StatePolicy` to SAC. Arguments: those of SB3's ``MultiInputPolicy``, with another features extractor, and
    those of :class:`StatePolicy`. Its translator learns from the newest frames in the replay buffer.
    """

    default_features_extractor_class: type[BaseFeaturesExtractor] = StateExtractor
    default_activation_fn = nn.ReLU

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> sac.Actor:
        return _SACActor(**self._update_features_extractor(self.actor_kwargs, features_extractor)).to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        return _SACCritic(**self._update_features_extractor(self.critic_kwargs, features_extractor)).to(self.device)


class PixelSACPolicy(StateSACPolicy):
    """Adapts :class:`PixelPolicy` to SAC. Every gradient step reads the pictures of a whole batch anew."""

    default_features_extractor_class = PixelExtractor


class FusedSACPolicy(StateSACPolicy):
    """Adapts :class:`FusedPolicy` to SAC. Every gradient step reads the pictures of a whole batch anew."""

    default_features_extractor_class = FusedExtractor


class StateTQCPolicy(_TranslatorPolicy, tqc.MultiInputPolicy):
    """
    Adapts :class:`StatePolicy` to TQC. Arguments: those of sb3-contrib's ``MultiInputPolicy``, with another features
    extractor, and those of :class:`StatePolicy`. Its translator learns from the newest frames in the replay buffer.
    """

    default_features_extractor_class: type[BaseFeaturesExtractor] = StateExtractor
    default_activation_fn = nn.ReLU

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> tqc.Actor:
        return _TQCActor(**self._update_features_extractor(self.actor_kwargs, features_extractor)).to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> tqc.Critic:
        return _TQCCritic(**self._update_features_extractor(self.critic_kwargs, features_extractor)).to(self.device)


class PixelTQCPolicy(StateTQCPolicy):
    """Adapts :class:`PixelPolicy` to TQC. Every gradient step reads the pictures of a whole batch anew."""

    default_features_extractor_class = PixelExtractor


class FusedTQCPolicy(StateTQCPolicy):
    """Adapts :class:`FusedPolicy` to TQC. Every gradient step reads the pictures of a whole batch anew."""

    default_features_extractor_class = FusedExtractor
