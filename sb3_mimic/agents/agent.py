"""Defines a trained agent and how it acts on the observations of one environment."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from sb3_mimic import keys
from sb3_mimic.errors import NoTargetNetworkError, NoTranslatorError, UnsuitableEnvError
from sb3_mimic.extractors.translated import PoseReadingExtractor
from sb3_mimic.translator.base import Hidden, Translator

# Under this key stands an observation that is one array
WHOLE = ""


@dataclass(frozen=True)
class Setting:
    """
    Describes what a run was trained in, as the run's own files say.

    :param env_id: Id of its environment
    :param env_kwargs: Arguments of the environment
    :param env_wrapper: Wrappers around it, as in the zoo's YAML: dotted names, with or without arguments
    :param vec_env_wrapper: Wrappers around the vectorised environment
    """

    env_id: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    env_wrapper: Any = None
    vec_env_wrapper: Any = None


@dataclass(frozen=True)
class Arrangement:
    """
    Describes how values of one environment become what a model saw in training.

    :param is_transposed: Whether the channels of pictures are moved to the front
    :param axis: Axis of a batch along which frames are stacked; None where nothing can be stacked
    :param size: Size of what the model saw, along that axis
    """

    is_transposed: bool
    axis: int | None
    size: int

    @classmethod
    def between(cls, shown: tuple[int, ...], seen: tuple[int, ...]) -> "Arrangement | None":
        """
        Finds how values of one shape become values of another.

        :param shown: Shape of what an environment shows
        :param seen: Shape of what the model saw
        :return: The arrangement, or None where there is none
        """
        if not shown or not seen:
            return cls(False, None, 0) if shown == seen else None
        # VecTransposeImage after VecFrameStack, or none of both
        if len(shown) == 3 and seen[1:] == shown[:2] and seen[0] % shown[2] == 0:
            return cls(True, 1, seen[0])
        if seen[1:] == shown[1:] and seen[0] % shown[0] == 0:
            return cls(False, 1, seen[0])
        if seen[:-1] == shown[:-1] and seen[-1] % shown[-1] == 0:
            return cls(False, -1, seen[-1])
        return None


@dataclass
class Agent:
    """
    Acts with a trained model and the observation statistics that belong to it.

    :param model: The trained model
    :param normalization: Statistics of its training, or None where it was trained without
    :param setting: What it was trained in, where that is known
    """

    model: BaseAlgorithm
    normalization: VecNormalize | None = None
    setting: Setting | None = None

    @property
    def translator(self) -> Translator:
        """
        Returns the translator, which reads poses out of pictures.

        :raises NoTranslatorError: When the agent was trained without one
        """
        translator = getattr(self.model.policy, "translator", None)
        if not isinstance(translator, Translator):
            raise NoTranslatorError(
                f"The agent's policy ({type(self.model.policy).__name__}) has no translator and cannot read pictures."
                " Train it on an id with pictures, such as MimicReacher3D-v0."
            )
        return translator

    @property
    def has_translator(self) -> bool:
        """Whether the agent can read pictures."""
        return isinstance(getattr(self.model.policy, "translator", None), Translator)

    @property
    def reads_goal(self) -> bool:
        """Whether the agent acts on a goal vector. An agent that only sees its goal reads the picture itself."""
        return keys.DESIRED_GOAL in getattr(self.model.policy, "read_keys", ())

    @property
    def seen_spaces(self) -> dict[str, gym.Space[Any]]:
        """Returns the spaces that the model saw in training, by key; under :data:`WHOLE` where it was one array."""
        space = self.model.observation_space
        return dict(space.spaces) if isinstance(space, spaces.Dict) else {WHOLE: space}

    @property
    def needed_keys(self) -> frozenset[str]:
        """Returns the keys of an observation that the agent needs: those its policy reads, and those its statistics are of."""
        # Policies of others read everything
        needed = set(getattr(self.model.policy, "read_keys", self.seen_spaces))
        if self.normalization is not None and self.normalization.norm_obs and WHOLE not in self.seen_spaces:
            needed |= set(self.normalization.norm_obs_keys or ())
        return frozenset(needed)

    def take_target_network(self) -> None:
        """
        Gives the actor the weights of its target network, which moves more slowly: the paper on hindsight acts so when it
        measures. From then on the agent acts so in whatever it does.

        :raises NoTargetNetworkError: When the algorithm keeps none
        """
        actor, target = (getattr(self.model.policy, name, None) for name in ("actor", "actor_target"))
        if not isinstance(actor, th.nn.Module) or not isinstance(target, th.nn.Module):
            raise NoTargetNetworkError(
                f"{type(self.model).__name__} keeps no target network of its actor; DDPG and TD3 do. Leave --target-network"
                " out."
            )
        actor.load_state_dict(target.state_dict())

    def require_fit(self, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
        """
        Checks that the agent can act in an environment.

        :param observation_space: Observation space of the environment
        :param action_space: Action space of the environment
        :raises UnsuitableEnvError: When something that the agent reads is missing or has another shape
        """
        shown = dict(observation_space.spaces) if isinstance(observation_space, spaces.Dict) else {WHOLE: observation_space}
        for key in sorted(self.needed_keys):
            name = f"the key '{key}'" if key else "one array"
            if key not in shown:
                have = "one array" if WHOLE in shown else f"the keys {', '.join(shown)}"
                raise UnsuitableEnvError(
                    f"The agent acts on {name}, and the environment shows {have}. Use the id that the agent was trained on."
                )
            there, seen = shown[key].shape or (), self.seen_spaces[key].shape or ()
            if Arrangement.between(there, seen) is None:
                raise UnsuitableEnvError(
                    f"The agent was trained on {name} of shape {seen}, and the environment shows it with shape {there}."
                    " Use the id, the arguments and the wrappers that the agent was trained with."
                )
        if self.model.action_space.shape != action_space.shape:
            raise UnsuitableEnvError(
                f"The agent's actions have shape {self.model.action_space.shape}, and those of the environment"
                f" {action_space.shape}. Use the id that the agent was trained on."
            )

    def act(
        self, observation: Any, memory: "Memory | None" = None, shown_goal: npt.NDArray[np.floating] | None = None
    ) -> tuple[npt.NDArray[Any], "Memory"]:
        """
        Chooses an action.

        :param observation: Observation of one environment: a dictionary or one array, pictures as the environment shows them
        :param memory: What the call before returned; None at the beginning of an episode
        :param shown_goal: What the picture of the goal shows, where more is known of it than the agent's own translator
            reads, shape (state_dim,): an agent that only sees its goal acts on it
        :return: The deterministic action, shape (n_actions,), and what to remember for the next
        """
        shown = observation if isinstance(observation, dict) else {WHOLE: observation}
        batch: dict[str, npt.NDArray[Any]] = {key: np.asarray(shown[key])[None] for key in self.needed_keys}
        if self.normalization is not None:
            normalized = self.normalization.normalize_obs(batch.get(WHOLE, batch))
            batch = normalized if isinstance(normalized, dict) else {WHOLE: normalized}
        stacks = {key: self._stacked(key, value, memory) for key, value in batch.items()}
        is_start = np.array([memory is None])
        known, read = self._read_on(stacks, memory)
        if shown_goal is not None:
            known[keys.DESIRED_IMAGE] = th.as_tensor(shown_goal, dtype=th.float32, device=self.model.device)
        with self._knowing(known):
            action, hidden = self.model.predict(
                stacks.get(WHOLE, stacks),
                None if memory is None else memory.hidden,
                is_start,
                deterministic=True,
            )
        return np.asarray(action[0]), Memory(stacks, hidden, read)

    @cached_property
    def _readers(self) -> list[PoseReadingExtractor]:
        """The modules of the policy that read pictures"""
        return [module for module in self.model.policy.modules() if isinstance(module, PoseReadingExtractor)]

    def _read_on(
        self, stacks: Mapping[str, npt.NDArray[Any]], memory: "Memory | None"
    ) -> tuple[dict[str, th.Tensor], dict[str, Hidden]]:
        """
        Lets a translator with memory read the newest frames, as what follows all those of the episode before.

        :param stacks: What the model sees, by key
        :param memory: What the call before returned
        :return: What is read, shape (state_dim,), and what the translator remembers, both by the key of the picture; nothing
            where nothing acts on what such a translator reads
        """
        reader = next((reader for reader in self._readers if reader.has_memory), None)
        known: dict[str, th.Tensor] = {}
        read: dict[str, Hidden] = {}
        if reader is None:
            return known, read
        for key in reader.windows:
            newest = th.from_numpy(np.ascontiguousarray(stacks[key][:, None, -reader.n_channels :]))
            states, read[key] = reader.translate(newest, None if memory is None else memory.read[key])
            known[key] = states[0, 0]
        return known, read

    @contextmanager
    def _knowing(self, known: Mapping[str, th.Tensor]) -> Iterator[None]:
        """Lets the policy know inside the block what the newest frames show, by the key of the picture."""
        readers = self._readers if known else []
        try:
            for reader in readers:
                reader.known.update(known)
            yield
        finally:
            for reader in readers:
                reader.known.clear()

    def _stacked(self, key: str, value: npt.NDArray[Any], memory: "Memory | None") -> npt.NDArray[Any]:
        """Returns as many of the last values as the model saw in training, with zeros before the first."""
        seen = self.seen_spaces[key].shape or ()
        arrangement = Arrangement.between(value.shape[1:], seen)
        if arrangement is None:
            raise UnsuitableEnvError(
                f"The agent was trained on '{key}' of shape {seen}, got shape {value.shape[1:]}."
                " Use the environment that it was trained on."
            )
        if arrangement.is_transposed:
            value = value.transpose(0, 3, 1, 2)
        if arrangement.axis is None:
            return value
        before = np.zeros((1, *seen), value.dtype) if memory is None else memory.stacks[key]
        stack = np.concatenate((before, value), axis=arrangement.axis)
        return stack[:, -arrangement.size :] if arrangement.axis == 1 else stack[..., -arrangement.size :]


@dataclass(frozen=True)
class Memory:
    """
    Holds what an agent remembers from one step to the next.

    :param stacks: The last observations, by key, shape (1, n_stack * n, ...)
    :param hidden: State of its LSTM, or None
    :param read: What a translator with memory remembers of the pictures that the agent acts on, by their key
    """

    stacks: dict[str, npt.NDArray[Any]]
    hidden: tuple[npt.NDArray[np.float32], ...] | None
    read: Mapping[str, Hidden] = field(default_factory=dict)
