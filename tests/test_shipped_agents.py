"""
The shipped agents act as they did when they were shipped, whatever was rebuilt around them.

``python tests/test_shipped_agents.py`` writes the record anew; do that only where an agent has been trained anew.
"""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from rl_zoo3 import ALGOS
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize, VecTransposeImage

import sb3_mimic  # noqa: F401  # registers the environments
from sb3_mimic.agents.loading import find_agent, find_agents, load_agent

RECORD = Path(__file__).parent / "data" / "shipped_actions.npz"
N_OBSERVATIONS, N_STEPS, SEED = 8, 20, 5


def fixed_observations(space: spaces.Dict) -> dict[str, np.ndarray]:
    """Observations that depend on nothing but their shapes"""
    rng = np.random.default_rng(SEED)
    return {
        key: rng.integers(0, 256, (N_OBSERVATIONS, *box.shape)).astype(np.uint8)
        if box.dtype == np.uint8
        else rng.uniform(-1, 1, (N_OBSERVATIONS, *box.shape)).astype(np.float32)
        for key, box in sorted(space.spaces.items())
    }


def actions_of(env_id: str) -> dict[str, np.ndarray]:
    """Actions on fixed observations by SB3 alone, and those of an episode by our own loading, with what it earned"""
    th.set_num_threads(1)
    run = find_agent(env_id)
    venv = DummyVecEnv([lambda: gym.make(env_id)])
    algorithm = ALGOS[run.parent.name]
    # Hindsight asks the environment for rewards
    memory = {"env": VecTransposeImage(venv), "buffer_size": 1} if issubclass(algorithm, OffPolicyAlgorithm) else {}
    model = algorithm.load(run / f"{env_id}.zip", device="cpu", **memory)
    observations = fixed_observations(model.observation_space)
    statistics = run / env_id / "vecnormalize.pkl"
    fixed = VecNormalize.load(str(statistics), venv).normalize_obs(observations) if statistics.is_file() else observations
    venv.close()
    agent, env = load_agent(env_id), gym.make(env_id)
    observation, memory = env.reset(seed=SEED)[0], None
    actions, rewards = [], []
    for _ in range(N_STEPS):
        action, memory = agent.act(observation, memory)
        observation, reward, *_ = env.step(action)
        actions.append(action)
        rewards.append(reward)
    env.close()
    return {"fixed": model.predict(fixed, deterministic=True)[0], "episode": np.array(actions), "rewards": np.array(rewards)}


def platform() -> str:
    """What the last bit depends on: torch's libraries choose other code on another processor"""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = {line.partition(":")[2].strip() for line in lines if line.startswith(("model", "cpu family", "stepping"))}
    return f"torch {th.__version__} {th.backends.cpu.get_cpu_capability()} {' '.join(sorted(models))}"


@pytest.mark.parametrize("env_id", find_agents())
def test_shipped_agents_act_as_ever(env_id):
    with np.load(RECORD) as record:
        for name, value in actions_of(env_id).items():
            expected = record[f"{env_id}/{name}"]
            if str(record["platform"]) == platform():
                np.testing.assert_array_equal(value, expected, err_msg=name)
            else:
                np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4, err_msg=name)


if __name__ == "__main__":
    found = {f"{env_id}/{name}": value for env_id in find_agents() for name, value in actions_of(env_id).items()}
    np.savez_compressed(RECORD, platform=platform(), **found)
    print(f"Wrote {RECORD}: {len(found)} arrays, {platform()}")
