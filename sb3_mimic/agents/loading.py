"""Trained agents, the shipped ones and a user's own: how they are found, loaded, and act."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_mimic import keys
from sb3_mimic.envs.registration import ENV_IDS
from sb3_mimic.errors import AgentNotFoundError, DamagedAgentError, NoTranslatorError
from sb3_mimic.runs.shipped import trained_agents_folder
from sb3_mimic.translator.base import Translator


@dataclass
class Agent:
    """
    A trained model with the observation statistics that belong to it.

    :param model: What acts
    :param normalization: Statistics of its training, or None where it was trained without
    """

    model: BaseAlgorithm
    normalization: VecNormalize | None = None

    @property
    def translator(self) -> Translator:
        """
        What reads poses out of pictures

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
    def reads_goal(self) -> bool:
        """Whether it acts on a goal vector: one that only sees its goal needs nobody to read the picture for it"""
        return keys.DESIRED_GOAL in getattr(self.model.policy, "read_keys", ())

    def act(self, observation: dict[str, Any], memory: "Memory | None" = None) -> tuple[npt.NDArray[np.float32], "Memory"]:
        """
        :param observation: Of one environment, pictures with channels last
        :param memory: What the call before returned; None at the beginning of an episode
        :return: The deterministic action, shape (n_joints,), and what to remember for the next
        """
        # Policies of others read everything
        needed = set(getattr(self.model.policy, "read_keys", observation))
        if self.normalization is not None:
            needed |= set(self.normalization.norm_obs_keys or ())
        batch = {
            # (H, W, C) -> (1, C, H, W), as the model saw pictures in training
            key: observation[key].transpose(2, 0, 1)[None] if key in keys.IMAGE_KEYS else observation[key][None]
            for key in needed
        }
        if self.normalization is not None:
            batch = self.normalization.normalize_obs(batch)  # type: ignore[assignment]
        stacks = {key: self._stacked(key, value, memory) for key, value in batch.items()}
        is_start = np.array([memory is None])
        action, hidden = self.model.predict(stacks, None if memory is None else memory.hidden, is_start, deterministic=True)
        return np.asarray(action[0]), Memory(stacks, hidden)

    def _stacked(self, key: str, value: npt.NDArray[Any], memory: "Memory | None") -> npt.NDArray[Any]:
        """:return: As many of the last values as the model saw in training, zeros before the first, along axis 1"""
        space = self.model.observation_space
        assert isinstance(space, spaces.Dict)
        shape = space[key].shape
        assert shape is not None
        before = np.zeros((1, *shape), value.dtype) if memory is None else memory.stacks[key]
        return np.concatenate((before, value), axis=1)[:, -shape[0] :]


@dataclass(frozen=True)
class Memory:
    """
    What an agent remembers from one step to the next.

    :param stacks: The last observations, by key, shape (1, n_stack * n, ...)
    :param hidden: State of its LSTM, or None
    """

    stacks: dict[str, npt.NDArray[Any]]
    hidden: tuple[npt.NDArray[np.float32], ...] | None


def find_agent(env_id: str, algo: str = "ppo", folder: str | None = None, exp_id: int = 0) -> Path:
    """
    :param env_id: What the agent was trained on
    :param algo: Name of its algorithm
    :param folder: Where runs of ``rl_zoo3.train`` lie; the shipped agents by default
    :param exp_id: Number of the run; the latest by default
    :return: The run's folder
    :raises AgentNotFoundError: When there is no such run, or it has no model
    """
    root = trained_agents_folder() if folder is None else Path(folder)
    runs = {}
    for path in (root / algo).glob(f"{env_id}_*"):
        number = path.name.removeprefix(f"{env_id}_")
        if number.isdigit() and (path / f"{env_id}.zip").is_file():
            runs[int(number)] = path
    wanted = exp_id or max(runs, default=0)
    if wanted in runs:
        return runs[wanted]
    have = f"It has runs {sorted(runs)} of {env_id}." if runs else f"It has no finished run of {env_id}."
    raise AgentNotFoundError(
        f"No {algo} agent for {env_id}{f' with number {exp_id}' if exp_id else ''} in {root / algo}. {have}"
        f" Train one with: python -m rl_zoo3.train --algo {algo} --env {env_id} --gym-packages sb3_mimic, then pass -f logs."
    )


def find_agents(algo: str = "ppo", folder: str | None = None) -> list[str]:
    """
    :param algo: Name of an algorithm
    :param folder: Where runs of ``rl_zoo3.train`` lie; the shipped agents by default
    :return: The ids of all environments of ours that there is an agent for
    :raises AgentNotFoundError: When there is none
    """
    root = (trained_agents_folder() if folder is None else Path(folder)) / algo
    found = [env_id for env_id in ENV_IDS if list(root.glob(f"{env_id}_*/{env_id}.zip"))]
    if not found:
        raise AgentNotFoundError(f"There is no trained agent in {root}. Train one, then pass -f logs.")
    return found


def load_agent(env_id: str, algo: str = "ppo", folder: str | None = None, exp_id: int = 0) -> Agent:
    """
    Load a trained agent with its observation statistics. Zips and statistics can run code: load only those you trust.

    :param env_id: What the agent was trained on
    :param algo: Name of its algorithm
    :param folder: Where runs of ``rl_zoo3.train`` lie; the shipped agents by default
    :param exp_id: Number of the run; the latest by default
    :return: The agent
    :raises AgentNotFoundError: When there is no such run, or it has no model
    :raises DamagedAgentError: When a file of it is missing or damaged
    """
    import gymnasium as gym
    from rl_zoo3 import ALGOS

    run = find_agent(env_id, algo, folder, exp_id)
    statistics, config = run / env_id / "vecnormalize.pkl", run / env_id / "config.yml"
    if not statistics.is_file() and config.is_file() and "normalize" in config.read_text():
        raise DamagedAgentError(
            f"The agent was trained with normalised observations, but its statistics are missing: {statistics}."
            " Without them it would act at random. Put the file back."
        )
    normalization = None
    try:
        model: BaseAlgorithm = ALGOS[algo].load(run / f"{env_id}.zip", device="cpu")
        if statistics.is_file():
            venv = DummyVecEnv([lambda: gym.make(env_id)])
            normalization = VecNormalize.load(str(statistics), venv)
            normalization.training = False
            venv.close()
    except Exception as error:  # a damaged zip or pickle fails in many ways
        raise DamagedAgentError(f"The agent in {run} cannot be loaded, it may be truncated: {error!r}") from error
    return Agent(model, normalization)
