"""Measures how well agents do; each measure is defined once, in :func:`evaluate` and :func:`evaluate_walk`."""

import importlib
import time
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sb3_mimic import keys
from sb3_mimic.agents.agent import Agent
from sb3_mimic.agents.environments import Goals, Replay, has_goals, layout_read, make_env, replay_of, spec_of, warn_of_renderer
from sb3_mimic.agents.imitation import follow, is_drawn
from sb3_mimic.agents.loading import load_agent
from sb3_mimic.agents.sight import measure_sight
from sb3_mimic.agents.statistics import FIRST_SEED, measure
from sb3_mimic.errors import InputError, UnsuitableEnvError
from sb3_mimic.pose import JOINTS, OBJECT, POINTS, SUCCESS_DISTANCE, VELOCITY, PoseLayout
from sb3_mimic.translator.training import torch_threads

FloatArray = npt.NDArray[np.floating]
Env = gym.Env[Any, Any]

STRICT_DISTANCE = 0.02
# The protocol of "held": so near, for so long, within so many steps
HELD_DISTANCE, HELD_STEPS, HELD_LIMIT = 0.1, 50, 300
N_READ_POSES = 1000
N_TIMED_DECISIONS = 200
# The argument by which goals of an environment move
MOVING_GOAL = "moving_goal"


def evaluate(agent: Agent, env: str | Env | None = None, n_episodes: int = 200, show_progress: bool = True) -> dict[str, Any]:
    """
    Measures a trained agent on episodes that it has never seen, with deterministic actions, in the environment that its
    run describes: with its arguments and its wrappers.

    - ``success``, ``success_2cm``: the largest distance of a key point, or of a thing that is moved, at the episode's last
      step is below 5 cm, 2 cm
    - ``held``: the L2 norm over all key points stays below 0.1 m for 50 consecutive steps, within 300
    - ``joint_error_deg``, ``keypoint_error_cm``: means over joints and key points, at the episode's last step
    - ``..._from_image``: the same where the agent gets only a picture of the target, and looks at what it reads again
    - ``..._from_image_read_once``: the same without looking again; those that only see their goal always act so
    - ``translator_joint_error_deg`` (median), ``translator_keypoint_error_cm`` (mean): on pictures of random poses
    - ``decision_ms``: median time of one decision from a picture, translator and policy, on one thread
    - ``sight``: how pictures are read, see :func:`~sb3_mimic.agents.sight.measure_sight`

    Where a state has other parts, their errors have the names that its ``pose_layout`` gives them. Without key points
    ``success`` is what the environment reports as ``is_success`` at the last step, and pictures are read once.

    An environment without goals is measured by ``return`` and by ``episode_steps``; one that reports how far it came, as
    the walking humanoid does, by what :func:`evaluate_walk` says.

    :param agent: The agent
    :param env: An id, with pictures or without; an environment, wrapped as in training; or None for what the agent was
        trained in
    :param n_episodes: Episodes per measure
    :param show_progress: Whether to show a progress bar
    :return: Each measure with its 95 % bootstrap interval
    :raises InputError: When n_episodes is below 2
    :raises UnknownEnvError: When no environment is registered under the id
    :raises UnreplayableRunError: When the environment of the training cannot be made
    :raises UnsuitableEnvError: When the agent does not fit the environment
    """
    if n_episodes < 2:
        raise InputError(f"An interval needs at least 2 episodes, got n_episodes={n_episodes}")
    made: list[Env] = [Replay(env, env.spec)] if isinstance(env, gym.Env) else [_make(agent, env)]
    if isinstance(env, gym.Env):
        agent.require_fit(env.observation_space, env.action_space)
        if getattr(env.unwrapped, MOVING_GOAL, None) is not None:
            raise UnsuitableEnvError(
                f"Whether poses are taken is asked of goals that stay, and those of {env} move. Make it with"
                f" {MOVING_GOAL}=False."
            )
        name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
    else:
        name = env or (agent.setting.env_id if agent.setting else "")
    results: dict[str, Any] = {"env": name, "episodes": n_episodes, "first_seed": FIRST_SEED}
    try:
        with torch_threads(1):
            if not has_goals(made[0]):
                if not isinstance(env, gym.Env):
                    made.append(make_env(agent, env, has_time_limit=True))
                return results | _measure_returns(agent, made[-1], name, n_episodes, show_progress)
            if not isinstance(env, gym.Env):
                made += _without_pictures(agent, env, made[0])
            return results | _measure_goals(agent, made[0], made[-1], name, n_episodes, show_progress)
    finally:
        # What was handed in goes on being its owner's
        for each in [] if isinstance(env, gym.Env) else made:
            each.close()


@dataclass(frozen=True)
class Examinee:
    """
    Names an agent that is to be measured, for whichever process does it.

    :param env_id: See :func:`~sb3_mimic.agents.loading.load_agent`
    :param algo: The same
    :param folder: The same
    :param exp_id: The same
    :param n_episodes: See :func:`evaluate`
    :param uses_target_network: Whether it acts by its target network
    :param packages: What is to be imported before the environment is known
    """

    env_id: str
    algo: str | None
    folder: str | None
    exp_id: int
    n_episodes: int
    uses_target_network: bool = False
    packages: tuple[str, ...] = ()


def examine(examinee: Examinee) -> dict[str, Any]:
    """
    Loads an agent and measures it, see :func:`evaluate`.

    :param examinee: The agent
    :return: Its measures
    """
    for package in examinee.packages:
        importlib.import_module(package)
    agent = load_agent(examinee.env_id, examinee.algo, examinee.folder, examinee.exp_id)
    if examinee.uses_target_network:
        agent.take_target_network()
    measures = evaluate(agent, examinee.env_id, examinee.n_episodes)
    return measures | ({"target_network": True} if examinee.uses_target_network else {})


def evaluate_walk(agent: Agent, n_episodes: int = 50, show_progress: bool = True) -> dict[str, Any]:
    """
    Measures a walking agent on episodes that it has never seen, with deterministic actions.

    - ``distance_m``: how far it came before it fell or time was up
    - ``upright_steps``: how long it stayed up
    - ``return``: the sum of its rewards

    :param agent: The agent
    :param n_episodes: Number of episodes
    :param show_progress: Whether to show a progress bar
    :return: Each measure with its 95 % bootstrap interval
    """
    return evaluate(agent, agent.setting.env_id if agent.setting else "MimicHumanoidWalk-v0", n_episodes, show_progress)


def _judged_by(layout: PoseLayout) -> str | None:
    """Returns the part of a goal whose largest distance is what success is about: key points, or things that are moved."""
    return next((name for name in (POINTS, OBJECT) if name in layout), None)


def _make(agent: Agent, env_id: str | None) -> Env:
    # Others need a renderer for their pictures
    is_seen = agent.has_translator or not agent.needed_keys.isdisjoint(keys.IMAGE_KEYS)
    how: dict[str, Any] = {"render_mode": "rgb_array"} if is_seen else {}
    setting = agent.setting
    name = env_id or (setting.env_id if setting else None)
    given = {**(spec_of(name).kwargs if name else {}), **(setting.env_kwargs if setting else {})}
    # Whether a pose is taken is asked of those that stay
    return make_env(agent, env_id, **how, **({MOVING_GOAL: False} if given.get(MOVING_GOAL) else {}))


def _without_pictures(agent: Agent, env_id: str | None, env: Env) -> list[Env]:
    """Makes the same environment without pictures, where there is one and the agent needs no more: no frame is drawn then."""
    setting = agent.setting
    is_offered = hasattr(env.unwrapped, "observation_keys") and not (setting and "observation_keys" in setting.env_kwargs)
    is_enough = agent.reads_goal and agent.needed_keys <= set(keys.STATE_KEYS) and not (setting and setting.env_wrapper)
    return [make_env(agent, env_id, observation_keys=keys.STATE_KEYS)] if is_offered and is_enough else []


class _Episode:
    """Follows one episode, step by step of the environment itself, and remembers what the measures need."""

    def __init__(self, goals: Goals, last_step: int):
        self.goals, self.layout, self.target, self.last_step = goals, goals.layout, goals.desired, last_step
        self.n_steps = self.n_held = 0
        self.is_held = False
        self.pose, self.info = goals.achieved, {}  # type: tuple[FloatArray, dict[str, Any]]

    @property
    def is_decided(self) -> bool:
        """Whether the steps still to come can no longer change any measure."""
        is_past = self.n_steps >= self.last_step
        return is_past and (self.n_steps >= HELD_LIMIT or self.is_held or POINTS not in self.layout)

    def record(self, info: dict[str, Any]) -> None:
        """
        Records one step.

        :param info: Info of the step
        """
        self.n_steps += 1
        pose = self.goals.achieved
        if POINTS in self.layout:
            distance = np.linalg.norm(self.layout[POINTS].distances(pose, self.target))
            self.n_held = self.n_held + 1 if distance < HELD_DISTANCE else 0
            self.is_held = self.is_held or (self.n_held >= HELD_STEPS and self.n_steps <= HELD_LIMIT)
        if self.n_steps <= self.last_step:
            self.pose, self.info = pose, info

    def measures(self) -> dict[str, float]:
        """Returns the measures of the episode as of its last step, by name."""
        found: dict[str, float] = {}
        if (points := _judged_by(self.layout)) is not None:
            worst = float(self.layout[points].distances(self.pose, self.target).max())
            found |= {"success": worst < SUCCESS_DISTANCE, "success_2cm": worst < STRICT_DISTANCE}
            if points == POINTS:
                found["held"] = self.is_held
        elif "is_success" in self.info:
            found["success"] = bool(self.info["is_success"])
        return found | {name: float(error) for name, error in self.layout.errors(self.pose, self.target).items()}


def _measure_goals(agent: Agent, env: Env, plain: Env, name: str, n_episodes: int, show_progress: bool) -> dict[str, Any]:
    """
    Measures an agent in an environment with goals.

    :param agent: The agent
    :param env: The environment with pictures, where the agent can use them
    :param plain: The same environment without pictures, where the agent needs none
    :param name: Name of the environment, for the progress bar
    :param n_episodes: Episodes per measure
    :param show_progress: Whether to show a progress bar
    :return: The measures
    """
    stages, shown = [""], getattr(env.observation_space, "spaces", {})
    can_look = agent.has_translator and keys.DESIRED_IMAGE in shown
    if can_look and agent.reads_goal:
        stages += ["_from_image", "_from_image_read_once"] if _judged_by(Goals.of(env).layout) else ["_from_image"]
    elif can_look and is_drawn(env, agent.translator):
        # One that only sees its goal always acts on a picture, but reads it once
        stages += ["_from_image"]
    results: dict[str, Any] = {}
    for stage in stages:
        seeds = range(FIRST_SEED, FIRST_SEED + n_episodes)
        bar = tqdm(seeds, desc=f"{name}{stage.replace('_', ' ')}", disable=not show_progress)
        episodes = [_run(agent, env, plain, seed, stage).measures() for seed in bar]
        results |= {f"{key}{stage}": measure(each[key] for each in episodes) for key in episodes[0]}
    if can_look:
        warn_of_renderer(agent, env)
        results |= _measure_translator(agent, env)
        if sight := measure_sight(agent, env, n_episodes, show_progress):
            results["sight"] = sight
    return results


def _run(agent: Agent, env: Env, plain: Env, seed: int, stage: str) -> _Episode:
    """
    Runs one episode.

    :param agent: The agent
    :param env: The environment with pictures, where the agent can use them
    :param plain: The same environment without pictures, where the agent needs none
    :param seed: Seed of the episode
    :param stage: "", "_from_image" or "_from_image_read_once"
    :return: The finished episode
    """
    is_refined = stage == "_from_image"
    picture = env.reset(seed=seed)[0][keys.DESIRED_IMAGE] if stage else None
    stepped = env if is_refined else plain
    observation, _ = stepped.reset(seed=seed)
    replay = replay_of(stepped)
    assert replay is not None
    limit = replay.spec.max_episode_steps if replay.spec is not None else None
    episode = _Episode(Goals.of(stepped), limit or HELD_LIMIT)
    replay.on_step = episode.record
    if picture is not None:
        for _ in follow(agent, stepped, observation, picture, max(HELD_LIMIT, episode.last_step), is_refined):
            if episode.is_decided:
                break
        return episode
    memory, is_over = None, False
    while not is_over and not episode.is_decided:
        action, memory = agent.act(observation, memory)
        observation, _, terminated, truncated, _ = stepped.step(action)
        is_over = terminated or truncated
    return episode


def _measure_returns(agent: Agent, env: Env, name: str, n_episodes: int, show_progress: bool) -> dict[str, Any]:
    episodes: list[dict[str, float]] = []
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + n_episodes), desc=name, disable=not show_progress):
        observation, _ = env.reset(seed=seed)
        is_over, n_steps, total, memory = False, 0, 0.0, None
        while not is_over:
            action, memory = agent.act(observation, memory)
            observation, reward, terminated, truncated, info = env.step(action)
            is_over, n_steps, total = terminated or truncated, n_steps + 1, total + float(reward)
        found: dict[str, float] = {"success": bool(info["is_success"])} if "is_success" in info else {}
        if "distance" in info:
            found |= {"distance_m": float(info["distance"]), "upright_steps": n_steps}
        else:
            found["episode_steps"] = n_steps
        episodes.append(found | {"return": total})
    return {key: measure(each[key] for each in episodes) for key in episodes[0]}


def _measure_translator(agent: Agent, env: Env) -> dict[str, Any]:
    translator, goals = agent.translator, Goals.of(env)
    layout = layout_read(env, translator.state_dim)
    read, true = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + N_READ_POSES):
        observation, _ = env.reset(seed=seed)
        read.append(translator.predict(observation[keys.DESIRED_IMAGE]))
        true.append(goals.desired if layout == goals.layout else env.get_wrapper_attr("desired_view"))
    poses, targets = np.array(read), np.array(true)
    durations = []
    for _ in range(N_TIMED_DECISIONS):
        start = time.perf_counter()
        if agent.reads_goal:
            observation[keys.DESIRED_GOAL] = translator.predict(observation[keys.DESIRED_IMAGE])[: goals.layout.dim]
        agent.act(observation)
        durations.append(1000 * (time.perf_counter() - start))
    results = {
        f"translator_{part.measure}": measure(part.error(poses, targets), np.median if part.name == JOINTS else np.mean)
        for part in layout.leading(translator.state_dim)
        # Which no single picture shows
        if part.name != VELOCITY
    }
    return results | {"decision_ms": measure(durations, np.median)}
