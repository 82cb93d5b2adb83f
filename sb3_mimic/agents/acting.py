"""Lets a trained agent choose the actions while steps are collected."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_mimic.agents.agent import Agent, Memory
from sb3_mimic.agents.loading import load_agent


@dataclass
class AgentPolicy:
    """
    Acts as a trained agent does, without noise. What names the agent can be pickled; it is loaded where it is needed.

    :param env_id: See :func:`~sb3_mimic.agents.loading.load_agent`
    :param algo: The same
    :param folder: The same
    :param exp_id: The same
    """

    env_id: str
    algo: str | None = None
    folder: str | None = None
    exp_id: int = 0

    def __post_init__(self) -> None:
        self._agent: Agent | None = None
        self._memory: Memory | None = None

    def begin(self, env: gym.Env[Any, Any], rng: np.random.Generator) -> None:
        """Begins an episode, see :class:`~sb3_mimic.data.collection.Policy`."""
        if self._agent is None:
            self._agent = load_agent(self.env_id, self.algo, self.folder, self.exp_id)
            self._agent.require_fit(env.observation_space, env.action_space)
        self._memory = None

    def act(self, observation: Any) -> Any:
        """Returns the agent's action for an observation."""
        assert self._agent is not None
        action, self._memory = self._agent.act(observation, self._memory)
        return action
