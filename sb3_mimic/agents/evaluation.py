"""The measures of success, each with one meaning."""

import time
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sb3_mimic import keys
from sb3_mimic.agents.imitation import follow
from sb3_mimic.agents.loading import Agent
from sb3_mimic.envs.mimic_env import MimicEnv
from sb3_mimic.envs.registration import WALK_ID
from sb3_mimic.pose import JOINTS, POINTS, SUCCESS_DISTANCE
from sb3_mimic.translator.training import torch_threads

FloatArray = npt.NDArray[np.floating]

# Training seeds its environments with small numbers: seeds from here on are never trained on
FIRST_SEED = 1_000_000
STRICT_DISTANCE = 0.02
# The protocol of "held": so near, for so long, within so many steps
HELD_DISTANCE, HELD_STEPS, HELD_LIMIT = 0.1, 50, 300
N_READ_POSES = 1000
N_TIMED_DECISIONS = 200
N_BOOTSTRAP = 2000


def bootstrap_interval(values: Iterable[float], statistic: Any = np.mean) -> tuple[float, float]:
    """
    :param values: One per episode
    :param statistic: Function of (resamples, n) along the last axis
    :return: Bounds of the 95 % bootstrap interval of the statistic
    """
    sample = np.asarray(list(values), np.float64)
    resampled = np.random.default_rng(0).choice(sample, (N_BOOTSTRAP, len(sample)))
    low, high = np.percentile(statistic(resampled, axis=-1), [2.5, 97.5])
    return float(low), float(high)


def _measure(values: Iterable[float], statistic: Any = np.mean) -> dict[str, Any]:
    values = np.asarray(list(values), np.float64)
    return {"value": float(statistic(values)), "interval": bootstrap_interval(values, statistic), "n": len(values)}


class _Episode:
    """Follows one episode and remembers what counts."""

    def __init__(self, env: MimicEnv, target: FloatArray):
        self.layout, self.target = env.pose_layout, target
        self.n_steps = self.n_held = 0
        self.is_held = False

    def record(self, pose: FloatArray, last_step: int) -> None:
        self.n_steps += 1
        distances = self.layout[POINTS].distances(pose, self.target)
        self.n_held = self.n_held + 1 if np.linalg.norm(distances) < HELD_DISTANCE else 0
        self.is_held = self.is_held or self.n_held >= HELD_STEPS
        if self.n_steps == last_step:
            self.worst = float(distances.max())
            self.joint_error = float(self.layout[JOINTS].error(pose, self.target))
            self.keypoint_error = float(self.layout[POINTS].error(pose, self.target))


def evaluate(agent: Agent, env_id: str, n_episodes: int = 200, show_progress: bool = True) -> dict[str, Any]:
    """
    Measure a trained agent on episodes that it has never seen, with deterministic actions.

    - ``success``, ``success_2cm``: the largest key-point distance at the episode's last step is below 5 cm, 2 cm
    - ``held``: the L2 norm over all key points stays below 0.1 m for 50 consecutive steps, within 300
    - ``joint_error_deg``, ``keypoint_error_cm``: means over joints and key points, at the episode's last step
    - ``..._from_image``: the same where the agent gets only a picture of the target; those that see their goal always do
    - ``..._from_image_read_once``: the same without reading the picture better as the robot comes near
    - ``translator_joint_error_deg`` (median), ``translator_keypoint_error_cm`` (mean): on pictures of random poses
    - ``decision_ms``: median time of one decision from a picture, translator and policy, on one thread

    For the walking humanoid see :func:`evaluate_walk`.

    :param agent: The agent
    :param env_id: Its environment, with pictures or without
    :param n_episodes: Episodes per measure
    :param show_progress: Whether to show a progress bar
    :return: Each measure with its 95 % bootstrap interval
    :raises ValueError: When n_episodes is below 2
    """
    if n_episodes < 2:
        raise ValueError(f"An interval needs at least 2 episodes, got n_episodes={n_episodes}")
    if env_id == WALK_ID:
        return evaluate_walk(agent, n_episodes, show_progress)
    env = gym.make(env_id, max_episode_steps=HELD_LIMIT)
    # Who acts on numbers needs no frame drawn at every step
    plain = gym.make(env_id, max_episode_steps=HELD_LIMIT, observation_keys=keys.STATE_KEYS) if agent.reads_goal else env
    last_step = gym.spec(env_id).max_episode_steps
    assert last_step is not None
    has_translator = getattr(agent.model.policy, "translator", None) is not None
    # One that only sees its goal always acts on a picture
    stages = ["", "_from_image", "_from_image_read_once"] if has_translator and agent.reads_goal else [""]
    results: dict[str, Any] = {"env": env_id, "episodes": n_episodes, "first_seed": FIRST_SEED}
    try:
        with torch_threads(1):
            for stage in stages:
                seeds = tqdm(
                    range(FIRST_SEED, FIRST_SEED + n_episodes),
                    desc=f"{env_id}{stage.replace('_', ' ')}",
                    disable=not show_progress,
                )
                episodes = [_run(agent, env, plain, seed, last_step, stage) for seed in seeds]
                results[f"success{stage}"] = _measure(episode.worst < SUCCESS_DISTANCE for episode in episodes)
                results[f"success_2cm{stage}"] = _measure(episode.worst < STRICT_DISTANCE for episode in episodes)
                results[f"held{stage}"] = _measure(episode.is_held for episode in episodes)
                results[f"joint_error_deg{stage}"] = _measure(episode.joint_error for episode in episodes)
                results[f"keypoint_error_cm{stage}"] = _measure(episode.keypoint_error for episode in episodes)
            if has_translator:
                results |= _measure_translator(agent, env)
    finally:
        env.close()
        plain.close()
    return results


def evaluate_walk(agent: Agent, n_episodes: int = 50, show_progress: bool = True) -> dict[str, Any]:
    """
    Measure a walking agent on episodes that it has never seen, with deterministic actions.

    - ``distance_m``: how far it came before it fell or time was up
    - ``upright_steps``: how long it stayed up
    - ``return``: the sum of its rewards

    :param agent: The agent
    :param n_episodes: Number of episodes
    :param show_progress: Whether to show a progress bar
    :return: Each measure with its 95 % bootstrap interval
    """
    env = gym.make(WALK_ID)
    episodes = []
    try:
        with torch_threads(1):
            for seed in tqdm(range(FIRST_SEED, FIRST_SEED + n_episodes), desc=WALK_ID, disable=not show_progress):
                observation, _ = env.reset(seed=seed)
                is_over, n_steps, total, memory = False, 0, 0.0, None
                while not is_over:
                    action, memory = agent.act(observation, memory)
                    observation, reward, has_fallen, is_late, info = env.step(action)
                    is_over, n_steps, total = has_fallen or is_late, n_steps + 1, total + float(reward)
                episodes.append((info["distance"], n_steps, total))
    finally:
        env.close()
    measures = zip(("distance_m", "upright_steps", "return"), zip(*episodes, strict=True), strict=True)
    results: dict[str, Any] = {"env": WALK_ID, "episodes": n_episodes, "first_seed": FIRST_SEED}
    return results | {name: _measure(values) for name, values in measures}


def _run(agent: Agent, env: gym.Env[Any, Any], plain: gym.Env[Any, Any], seed: int, last_step: int, stage: str) -> _Episode:
    """
    :param agent: The agent
    :param env: With pictures, where the agent can use them
    :param plain: The same without, where it needs none
    :param seed: Of the episode
    :param last_step: Number of the step at which success is judged
    :param stage: "", "_from_image" or "_from_image_read_once"
    :return: What became of the episode
    """
    is_refined = stage == "_from_image"
    picture = env.reset(seed=seed)[0][keys.DESIRED_IMAGE] if stage else None
    stepped = env if is_refined else plain
    observation, _ = stepped.reset(seed=seed)
    mimic_env = stepped.unwrapped
    assert isinstance(mimic_env, MimicEnv)
    episode = _Episode(mimic_env, mimic_env.desired_goal)
    if picture is not None:
        for _ in follow(agent, stepped, observation, picture, HELD_LIMIT, is_refined):
            episode.record(mimic_env.achieved_goal, last_step)
            if episode.is_held and episode.n_steps >= last_step:
                break
        return episode
    memory = None
    while episode.n_steps < HELD_LIMIT and not (episode.is_held and episode.n_steps >= last_step):
        action, memory = agent.act(observation, memory)
        observation = stepped.step(action)[0]
        episode.record(mimic_env.achieved_goal, last_step)
    return episode


def _measure_translator(agent: Agent, env: gym.Env[Any, Any]) -> dict[str, Any]:
    translator = agent.translator
    mimic_env = env.unwrapped
    assert isinstance(mimic_env, MimicEnv)
    layout = mimic_env.pose_layout
    read, true = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + N_READ_POSES):
        observation, _ = env.reset(seed=seed)
        read.append(translator.predict(observation[keys.DESIRED_IMAGE]))
        true.append(mimic_env.desired_goal)
    poses, targets = np.array(read), np.array(true)
    durations = []
    for _ in range(N_TIMED_DECISIONS):
        start = time.perf_counter()
        if agent.reads_goal:
            observation[keys.DESIRED_GOAL] = translator.predict(observation[keys.DESIRED_IMAGE])
        agent.act(observation)
        durations.append(1000 * (time.perf_counter() - start))
    results = {
        "translator_joint_error_deg": _measure(layout[JOINTS].error(poses, targets), np.median),
        "decision_ms": _measure(durations, np.median),
    }
    if translator.state_dim == layout.dim:
        results["translator_keypoint_error_cm"] = _measure(layout[POINTS].error(poses, targets))
    return results
