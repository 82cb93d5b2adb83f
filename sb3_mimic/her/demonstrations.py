"""Fills the first steps of a replay buffer with what a script does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_mimic.errors import InputError, UnsuitableEnvError

DEMONSTRATE = "demonstrate"
# Steps that are demonstrated where nothing else is said
N_STEPS = 10_000
# What a class has that a model is given for a while
IS_SCRIPTED = "_is_scripted"

Actions = npt.NDArray[np.floating[Any]]


class DemonstrationCallback(BaseCallback):
    """
    Lets a script of the environment act for the first steps of a training, with noise, so that the replay buffer begins with
    successes (Nair et al., https://arxiv.org/abs/1709.10089). These steps count as steps of the training; whatever else
    watches it sees them as any others. With ``learning_starts`` below ``n_steps`` the agent already learns from them.

    The environment offers ``demonstrate()``, which returns an action for its present state, shape (action_dim,).

    :param n_steps: Steps of all environments together that are demonstrated
    :param noise: Standard deviation of what is added to each action, where actions go from -1 to 1
    :param verbose: 0 to say nothing
    :raises InputError: When a setting is not allowed
    """

    def __init__(self, n_steps: int = N_STEPS, noise: float = 0.2, verbose: int = 1):
        super().__init__(verbose)
        if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
            raise InputError(f"n_steps must be a whole number above 0, got {n_steps!r}. Leave the callback out for none.")
        if not 0 <= noise < np.inf:
            raise InputError(f"noise must be a finite number from 0 on, got {noise!r}.")
        self.n_steps = n_steps
        self.noise = noise

    def _init_callback(self) -> None:
        if not isinstance(self.model, OffPolicyAlgorithm) or not isinstance(self.model.action_space, spaces.Box):
            raise UnsuitableEnvError(
                f"Demonstrations go into a replay buffer, with actions that are vectors; {type(self.model).__name__} on"
                f" {self.model.action_space} has not both. Leave DemonstrationCallback out."
            )
        if not self.training_env.has_attr(DEMONSTRATE):
            raise UnsuitableEnvError(
                f"DemonstrationCallback asks the environment for {DEMONSTRATE}() -> action, shape"
                f" {self.model.action_space.shape}, and it has none. Use one of the manipulation ids, add a wrapper with that"
                " method, or leave the callback out."
            )

    def _on_training_start(self) -> None:
        assert isinstance(self.model, OffPolicyAlgorithm)
        if self.model.num_timesteps >= self.n_steps:
            return
        if self.verbose:
            print(f"A script acts for the first {self.n_steps} steps of {self.model._total_timesteps}.")
        _let_act(self.model, self)

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps >= self.n_steps:
            _let_act_itself(self.model)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        _let_act_itself(self.model)

    def demonstrated(self, model: OffPolicyAlgorithm) -> tuple[Actions, Actions]:
        """
        Asks the environments for actions.

        :param model: The model, which knows how actions are scaled
        :return: Actions, and what is stored of them, scaled to [-1, 1], shape (n_envs, action_dim) each
        :raises UnsuitableEnvError: When the script's actions have another shape
        """
        asked = np.stack(self.training_env.env_method(DEMONSTRATE))
        if asked.shape[1:] != model.action_space.shape:
            raise UnsuitableEnvError(
                f"{DEMONSTRATE}() must return an action of shape {model.action_space.shape}, and returned one of shape"
                f" {asked.shape[1:]}."
            )
        noise = self.noise * np.random.standard_normal(asked.shape)
        scaled = np.clip(model.policy.scale_action(asked) + noise, -1, 1).astype(np.float32)
        return np.asarray(model.policy.unscale_action(scaled)), scaled


def _let_act(model: OffPolicyAlgorithm, script: DemonstrationCallback) -> None:
    """Lets a script act in place of a model. The model gets another class: an attribute of its own would go into every zip."""
    _let_act_itself(model)
    own = type(model)

    def sample_action(
        self: OffPolicyAlgorithm, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[Actions, Actions]:
        if self.num_timesteps < script.n_steps:
            return script.demonstrated(self)
        return own._sample_action(self, learning_starts, action_noise, n_envs)

    names = {"_sample_action": sample_action, IS_SCRIPTED: True, "__module__": own.__module__}
    model.__class__ = type(own.__name__, (own,), names)


def _let_act_itself(model: BaseAlgorithm) -> None:
    if getattr(model, IS_SCRIPTED, False):
        model.__class__ = type(model).__bases__[0]


def n_demonstrated(hyperparameters: Mapping[str, Any]) -> int:
    """
    Reads how much was demonstrated to an agent.

    :param hyperparameters: What it was trained with, as in an entry of a YAML file of rl-zoo3
    :return: Number of steps, 0 where there is no :class:`DemonstrationCallback`
    """
    callbacks = hyperparameters.get("callback") or []
    for callback in callbacks if isinstance(callbacks, list) else [callbacks]:
        named = callback if isinstance(callback, dict) else {callback: None}
        for name, arguments in named.items():
            if name.rpartition(".")[2] == DemonstrationCallback.__name__:
                return int((arguments or {}).get("n_steps", N_STEPS))
    return 0
