"""Finds and loads trained agents, the shipped ones and a user's own."""

from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_mimic.errors import AgentNotFoundError
from sb3_mimic.imitation import Agent
from sb3_mimic.zoo import trained_agents_folder


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
    if (exp_id or 1) in runs or (exp_id == 0 and runs):
        return runs[exp_id or max(runs)]
    have = f"It has runs {sorted(runs)} of {env_id}." if runs else f"It has no finished run of {env_id}."
    raise AgentNotFoundError(
        f"No {algo} agent for {env_id}{f' with number {exp_id}' if exp_id else ''} in {root / algo}. {have}"
        f" Train one with: python -m rl_zoo3.train --algo {algo} --env {env_id} --gym-packages sb3_mimic, then pass -f logs."
    )


def load_agent(env_id: str, algo: str = "ppo", folder: str | None = None, exp_id: int = 0) -> Agent:
    """
    Load a trained agent with its observation statistics. Zips and statistics can run code: load only those you trust.

    :param env_id: What the agent was trained on
    :param algo: Name of its algorithm
    :param folder: Where runs of ``rl_zoo3.train`` lie; the shipped agents by default
    :param exp_id: Number of the run; the latest by default
    :return: The agent
    :raises AgentNotFoundError: When there is no such run, or it has no model
    """
    import gymnasium as gym
    from rl_zoo3 import ALGOS

    run = find_agent(env_id, algo, folder, exp_id)
    model: BaseAlgorithm = ALGOS[algo].load(run / f"{env_id}.zip", device="cpu")
    statistics = run / env_id / "vecnormalize.pkl"
    normalization = None
    if statistics.is_file():
        venv = DummyVecEnv([lambda: gym.make(env_id)])
        normalization = VecNormalize.load(str(statistics), venv)
        normalization.training = False
        venv.close()
    return Agent(model, normalization)
