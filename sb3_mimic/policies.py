"""PPO policies with three kinds of eyes, each of which carries a translator, with and without memory."""

from typing import Any

import torch as th
from gymnasium import spaces
from sb3_contrib.common.recurrent.policies import RecurrentMultiInputActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from sb3_mimic import keys
from sb3_mimic.extractors.fused import FusedExtractor
from sb3_mimic.extractors.pixel import PixelExtractor
from sb3_mimic.extractors.state import StateExtractor
from sb3_mimic.extractors.translated import PoseReadingExtractor
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.convnet import ConvNetTranslator

#: Activation functions that can be asked for by name: a YAML file holds no classes
ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "leaky_relu": nn.LeakyReLU}


def _activation(activation_fn: type[nn.Module] | str) -> type[nn.Module]:
    """:return: The class of a name, or the class itself"""
    if not isinstance(activation_fn, str):
        return activation_fn
    if activation_fn not in ACTIVATIONS:
        raise ValueError(f"Unknown activation_fn '{activation_fn}'. Known names: {', '.join(ACTIVATIONS)}; or give a class.")
    return ACTIVATIONS[activation_fn]


def _state_dim(observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> int:
    """:return: Size of what a translator reads: the pose where it is observed to learn from, else its joint angles"""
    assert isinstance(observation_space, spaces.Dict)
    shape = observation_space.spaces.get(keys.ACHIEVED_GOAL, action_space).shape
    assert shape is not None
    return int(shape[0])


class _TranslatorPolicy(ActorCriticPolicy):
    """What all policies here have in common; to be mixed into one of SB3's."""

    #: What the policy looks with, unless told otherwise: a default that survives ``-optimize``
    default_features_extractor_class: type[BaseFeaturesExtractor]

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        log_std_init: float = -0.7,
        activation_fn: type[nn.Module] | str = nn.Tanh,
        translator_class: type[Translator] = ConvNetTranslator,
        translator_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        extractor_class = features_extractor_class or self.default_features_extractor_class
        extractor_kwargs = dict(features_extractor_kwargs or {})
        state_dim = _state_dim(observation_space, action_space)
        if issubclass(extractor_class, PoseReadingExtractor):
            extractor_kwargs.setdefault("state_dim", state_dim)
            # What was read in a picture stands in its place, and must not be divided by 255
            kwargs["normalize_images"] = False
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=extractor_class,
            features_extractor_kwargs=extractor_kwargs,
            log_std_init=log_std_init,
            activation_fn=_activation(activation_fn),
            **kwargs,
        )
        self.translator_class = translator_class
        self.translator_kwargs = translator_kwargs or {}
        #: What was read in pictures when actions were last chosen in a rollout, by key, shape (n_envs, n_frames * state_dim)
        self.read_in_rollout: dict[str, th.Tensor] = {}
        # Made after PPO's optimiser, and so not part of it
        self.translator: Translator | None = None
        if keys.IMAGE in observation_space.spaces:
            self.translator = translator_class(observation_space, state_dim, **self.translator_kwargs)
            for extractor in (self.pi_features_extractor, self.vf_features_extractor):
                if isinstance(extractor, PoseReadingExtractor):
                    extractor.attach(self.translator)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        parameters = super()._get_constructor_parameters()
        return {**parameters, "translator_class": self.translator_class, "translator_kwargs": self.translator_kwargs}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Choose actions in a rollout; arguments and return values are those of SB3's policies."""
        chosen = super().forward(*args, **kwargs)
        # Evaluations, which go another way, must not be taken for it
        self.read_in_rollout = dict(getattr(self.features_extractor, "last_read", {}))
        return chosen

    @property
    def read_keys(self) -> tuple[str, ...]:
        """Keys of the observation that policy and value function look at"""
        assert isinstance(self.observation_space, spaces.Dict)
        return tuple(getattr(self.features_extractor, "keys", self.observation_space.spaces))

    def extract_features(  # type: ignore[override]  # as in SB3's own ActorCriticPolicy
        self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor | None = None
    ) -> th.Tensor | tuple[th.Tensor, th.Tensor]:
        # SB3 would turn every picture into floats, read or not
        assert isinstance(obs, dict)
        return super().extract_features({key: obs[key] for key in self.read_keys}, features_extractor)


class StatePolicy(_TranslatorPolicy, MultiInputActorCriticPolicy):
    """
    Acts on joint state and the goal vector. Pictures in the observation are for the translator alone.

    All arguments are those of SB3's ``MultiInputActorCriticPolicy``, with another
    features extractor and less exploration, and:

    :param activation_fn: Its class, or its name: ``tanh``, ``relu``, ``elu`` or ``leaky_relu``
    :param translator_class: What reads poses out of pictures, where the observation has an ``image``
    :param translator_kwargs: Keyword arguments for it
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


class RecurrentStatePolicy(_TranslatorPolicy, RecurrentMultiInputActorCriticPolicy):
    """
    :class:`StatePolicy` with an LSTM, for ``RecurrentPPO``. Arguments: those of sb3-contrib's
    ``RecurrentMultiInputActorCriticPolicy``, with a smaller LSTM, for the actor alone,
    and ``translator_class`` and ``translator_kwargs``.
    """

    default_features_extractor_class: type[BaseFeaturesExtractor] = StateExtractor

    def __init__(self, *args: Any, lstm_hidden_size: int = 64, enable_critic_lstm: bool = False, **kwargs: Any):
        super().__init__(*args, lstm_hidden_size=lstm_hidden_size, enable_critic_lstm=enable_critic_lstm, **kwargs)


class RecurrentPixelPolicy(RecurrentStatePolicy):
    """:class:`PixelPolicy` with an LSTM, which sees motion without stacked frames."""

    default_features_extractor_class = PixelExtractor


class RecurrentFusedPolicy(RecurrentStatePolicy):
    """:class:`FusedPolicy` with an LSTM."""

    default_features_extractor_class = FusedExtractor
