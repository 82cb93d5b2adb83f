"""Finds and loads trained agents, the shipped ones and a user's own."""

import ast
import pickle
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import yaml
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_mimic.agents.agent import Agent, Setting
from sb3_mimic.errors import AgentNotFoundError, DamagedAgentError
from sb3_mimic.runs.arguments import read_arguments, read_hyperparameters
from sb3_mimic.runs.shipped import hyperparams_file, trained_agents_folder

PPO, SAC = "ppo", "sac"
#: Who only acts remembers nothing: hindsight would need the environment, and any buffer its memory
NO_MEMORY: dict[str, Any] = {"replay_buffer_class": None, "replay_buffer_kwargs": {}, "buffer_size": 1}


def find_algo(env_id: str, folder: str | None = None) -> str:
    """
    Finds out by which algorithm there is an agent.

    :param env_id: Id of the environment that the agent was trained on
    :param folder: Where runs of ``rl_zoo3.train`` lie; the shipped agents by default
    :return: Name of the algorithm: ``ppo`` where that is one of several; where there is no agent, the one to train one by,
        ``sac`` where our hyperparameters for it name the id, and ``ppo`` otherwise
    :raises AgentNotFoundError: When there are several, and none by PPO
    """
    from rl_zoo3 import ALGOS

    root = _root(folder)
    found = [algo for algo in ALGOS if _runs(root / algo, env_id)]
    if PPO in found:
        return PPO
    if not found:
        return SAC if env_id in yaml.safe_load(hyperparams_file(SAC).read_text()) else PPO
    if len(found) == 1:
        return found[0]
    raise AgentNotFoundError(f"Several agents for {env_id} in {root}: by {', '.join(found)}. Choose one: --algo {found[0]}.")


def find_agent(env_id: str, algo: str | None = None, folder: str | None = None, exp_id: int = 0) -> Path:
    """
    Finds the folder of a trained agent.

    :param env_id: Id of the environment that the agent was trained on
    :param algo: Name of its algorithm; by default see :func:`find_algo`
    :param folder: Where runs of ``rl_zoo3.train`` lie; the shipped agents by default
    :param exp_id: Number of the run; the latest by default
    :return: The run's folder
    :raises AgentNotFoundError: When there is no such run, or it has no model
    """
    root, algo = _root(folder), algo or find_algo(env_id, folder)
    runs = _runs(root / algo, env_id)
    wanted = exp_id or max(runs, default=0)
    if wanted in runs:
        return runs[wanted]
    have = f"It has runs {sorted(runs)} of {env_id}." if runs else f"It has no finished run of {env_id}."
    raise AgentNotFoundError(
        f"No {algo} agent for {env_id}{f' with number {exp_id}' if exp_id else ''} in {root / algo}. {have}"
        f" Train one with: python -m rl_zoo3.train --algo {algo} --env {env_id} --gym-packages sb3_mimic, then pass -f logs."
    )


def find_agents(algo: str | None = None, folder: str | None = None) -> list[str]:
    """
    Lists the environments that there is a trained agent for.

    :param algo: Name of an algorithm; any by default
    :param folder: Where runs of ``rl_zoo3.train`` lie; the shipped agents by default
    :return: Ids of the environments: those registered, in their order, then others
    :raises AgentNotFoundError: When there is none
    """
    from rl_zoo3 import ALGOS

    root = _root(folder)
    names = set()
    for known_algo in [algo] if algo else ALGOS:
        files = [path for path in root.glob(f"{known_algo}/*_*/*.zip") if path.parent.name.rpartition("_")[0] == path.stem]
        names |= {path.stem for path in files}
    if not names:
        root /= algo or ""
        raise AgentNotFoundError(f"There is no trained agent in {root}. Train one, then pass -f logs.")
    known = [env_id for env_id in gym.registry if file_name(env_id) in names]
    return known + sorted(names - {file_name(env_id) for env_id in known})


def _root(folder: str | None) -> Path:
    return trained_agents_folder() if folder is None else Path(folder)


def _runs(folder: Path, env_id: str) -> dict[int, Path]:
    """Returns the folders of an algorithm's finished runs of an id, by their numbers."""
    runs, name = {}, file_name(env_id)
    for path in folder.glob(f"{name}_*"):
        number = path.name.removeprefix(f"{name}_")
        if number.isdigit() and (path / f"{name}.zip").is_file():
            runs[int(number)] = path
    return runs


def file_name(env_id: str) -> str:
    """Returns the name that the zoo gives files of an environment, whose id may have slashes, and a module before a colon."""
    return env_id.rpartition(":")[2].replace("/", "-")


def load_agent(env_id: str, algo: str | None = None, folder: str | None = None, exp_id: int = 0) -> Agent:
    """
    Loads a trained agent with its observation statistics. Zips and statistics can run code: load only those you trust.

    :param env_id: Id of the environment that the agent was trained on
    :param algo: Name of its algorithm; by default see :func:`find_algo`
    :param folder: Where runs of ``rl_zoo3.train`` lie; the shipped agents by default
    :param exp_id: Number of the run; the latest by default
    :return: The agent, which knows what it was trained in, where files of the zoo beside it say so
    :raises AgentNotFoundError: When there is no such run, or it has no model
    :raises DamagedAgentError: When a file of it is missing or damaged
    """
    from rl_zoo3 import ALGOS

    run, name = find_agent(env_id, algo, folder, exp_id), file_name(env_id)
    statistics = run / name / "vecnormalize.pkl"
    arguments = read_arguments(run, name) if (run / name / "args.yml").is_file() else {}
    # Whose names the run's files may use: what is imported already is trusted
    packages = [package for package in arguments.get("gym_packages") or [] if package in sys.modules]
    hyperparameters = read_hyperparameters(run, name, packages) if (run / name / "config.yml").is_file() else {}
    if not statistics.is_file() and normalizes_observations(hyperparameters.get("normalize")):
        raise DamagedAgentError(
            f"The agent was trained with normalised observations, but its statistics are missing: {statistics}."
            " Without them it would act at random. Put the file back."
        )
    setting = _setting(env_id, arguments, hyperparameters)
    algo = run.parent.name
    memory = NO_MEMORY if issubclass(ALGOS[algo], OffPolicyAlgorithm) else {}
    try:
        model: BaseAlgorithm = ALGOS[algo].load(run / f"{name}.zip", device="cpu", **memory)
        normalization = _load_statistics(statistics) if statistics.is_file() else None
    except Exception as error:  # a damaged zip or pickle fails in many ways
        raise DamagedAgentError(f"The agent in {run} cannot be loaded, it may be truncated: {error!r}") from error
    return Agent(model, normalization, setting)


def normalizes_observations(normalize: Any) -> bool:
    """
    Whether an agent was trained on normalised observations.

    :param normalize: What a run's hyperparameters say under that name: a truth value, arguments of ``VecNormalize``, or
        the text of such arguments
    """
    if isinstance(normalize, str):
        try:
            tree = ast.parse(normalize, mode="eval").body
            if isinstance(tree, ast.Call):
                normalize = {word.arg: ast.literal_eval(word.value) for word in tree.keywords}
            else:
                normalize = ast.literal_eval(tree)
        except (SyntaxError, ValueError):
            return True
    return bool(normalize.get("norm_obs", True)) if isinstance(normalize, dict) else bool(normalize)


def _setting(env_id: str, arguments: dict[str, Any], hyperparameters: dict[str, Any]) -> Setting:
    # As the zoo chooses them for an evaluation
    env_kwargs = arguments.get("eval_env_kwargs") or hyperparameters.get("env_kwargs") or arguments.get("env_kwargs") or {}
    if not isinstance(env_kwargs, dict):
        raise DamagedAgentError(f"The env_kwargs of this run of {env_id} must be names with values, got {env_kwargs!r}.")
    return Setting(env_id, env_kwargs, hyperparameters.get("env_wrapper"), hyperparameters.get("vec_env_wrapper"))


class _Spaces(gym.Env[Any, Any]):
    """Holds an environment's spaces and nothing else: statistics need an environment, and use no more of it."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]):
        self.observation_space, self.action_space = observation_space, action_space


def _load_statistics(path: Path) -> VecNormalize:
    """Loads statistics as ``VecNormalize.load`` does, without the environment that they belong to."""
    with path.open("rb") as file:
        normalization: VecNormalize = pickle.load(file)
    spaces_alone = _Spaces(normalization.observation_space, normalization.action_space)
    normalization.set_venv(DummyVecEnv([lambda: spaces_alone]))
    normalization.training = False
    return normalization
