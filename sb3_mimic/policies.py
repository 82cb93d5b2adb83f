"""PPO policies with three kinds of eyes, each of which carries a translator."""

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule

from sb3_mimic import keys
from sb3_mimic.extractors.fused import FusedExtractor
from sb3_mimic.extractors.pixel import PixelExtractor
from sb3_mimic.extractors.state import StateExtractor
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.convnet import ConvNetTranslator


class StatePolicy(MultiInputActorCriticPolicy):
    """
    Acts on joint state and the goal vector. Pictures in the observation are for the translator alone.

    All arguments are those of SB3's ``MultiInputActorCriticPolicy``, with another
    features extractor and less exploration, and:

    :param translator_class: What reads poses out of pictures, where the observation has an ``image``
    :param translator_kwargs: Keyword arguments for it
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        features_extractor_class: type[BaseFeaturesExtractor] = StateExtractor,
        log_std_init: float = -0.7,
        translator_class: type[Translator] = ConvNetTranslator,
        translator_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        # _build() runs inside super().__init__()
        self.translator_class = translator_class
        self.translator_kwargs = translator_kwargs or {}
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=features_extractor_class,
            log_std_init=log_std_init,
            **kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        # Made after PPO's optimiser, and so not part of it
        self.translator: Translator | None = None
        assert isinstance(self.observation_space, spaces.Dict)
        if {keys.IMAGE, keys.ACHIEVED_GOAL} <= set(self.observation_space.spaces):
            self.translator = self.translator_class(self.observation_space, **self.translator_kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        parameters = super()._get_constructor_parameters()
        return {**parameters, "translator_class": self.translator_class, "translator_kwargs": self.translator_kwargs}

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


class PixelPolicy(StatePolicy):
    """Acts on the robot's own frame and the picture of the target. Arguments: see :class:`StatePolicy`."""

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        features_extractor_class: type[BaseFeaturesExtractor] = PixelExtractor,
        **kwargs: Any,
    ):
        super().__init__(
            observation_space, action_space, lr_schedule, features_extractor_class=features_extractor_class, **kwargs
        )


class FusedPolicy(StatePolicy):
    """Acts on the robot's own state, its frame and the picture of the target. Arguments: see :class:`StatePolicy`."""

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        features_extractor_class: type[BaseFeaturesExtractor] = FusedExtractor,
        **kwargs: Any,
    ):
        super().__init__(
            observation_space, action_space, lr_schedule, features_extractor_class=features_extractor_class, **kwargs
        )
