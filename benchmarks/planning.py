"""
Lets a robot come to goals in pictures: by plans made in what is foreseen, beside a trained agent, one that learnt in dreams,
and random actions. What is in ``benchmarks/planning.jsonl`` is not done again.

    python -m benchmarks.planning --env MimicReacherPlane-v0
    python -m benchmarks.planning --env MimicReacherPlane-v0 --only plans-pose ppo --episodes 200
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
import yaml
from rl_zoo3.utils import get_class_by_name, linear_schedule
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

import sb3_mimic  # noqa: F401  # registers the environments
from benchmarks.study import DOCS, REPOSITORY, machine, read
from sb3_mimic import keys
from sb3_mimic.agents import load_agent
from sb3_mimic.agents.dreaming import DreamVecEnv
from sb3_mimic.agents.foreseeing import find_predictor, let_draw
from sb3_mimic.agents.statistics import FIRST_SEED, bootstrap_interval
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.foresight import PosePredictor, load_predictor
from sb3_mimic.foresight.planning import PlanningPolicy, PlanSettings
from sb3_mimic.runs.shipped import hyperparams_file, trained_agents_folder
from sb3_mimic.translator.training import torch_threads

RESULTS = REPOSITORY / "benchmarks" / "planning.jsonl"
PREDICTORS = REPOSITORY / "logs" / "foresight"
# Where every plan takes a network over frames, fewer are tried
FRAMES = {"horizon": 5, "n_samples": 24, "n_elites": 4, "n_iterations": 2}

# Acts on an observation; what it returned before is given with the next one of the same episode
Act = Callable[[dict[str, Any], Any], tuple[Any, Any]]

TITLES = {
    "plans-pose": "plans in foreseen poses, cost in poses",
    "plans-pixels": "the same, cost in pixels of the drawn poses",
    "plans-both": "the same, cost in both",
    "plans-convlstm": "plans in frames foreseen by ConvLSTM, cost in pixels",
    "plans-convlstm-pose": "the same, cost in poses read in them",
    "ppo": "PPO and translator, the shipped agent, goal read with render and compare",
    "dream": "PPO that learnt in dreams alone, goals told",
    "real": "PPO that learnt in the real one for as many steps, goals told",
    "random": "random actions",
}


def planner(env: gym.Env[Any, Any], env_id: str, how: str) -> Act:
    """:return: What plans"""
    _, kind, *rest = how.split("-")
    if kind == "convlstm":
        predictor, _ = load_predictor(PREDICTORS / env_id / "convlstm-free.safetensors")
        settings = PlanSettings(cost="pose" if rest else "pixels", **FRAMES)  # type: ignore[arg-type]
    else:
        predictor, settings = find_predictor(env_id), PlanSettings(cost=kind)  # type: ignore[arg-type]
    let_draw(predictor, env)
    policy = PlanningPolicy(predictor, env.action_space, settings, load_agent(env_id).translator)
    return lambda observation, state: policy.predict(observation, state)


def learner(env_id: str, is_dream: bool, n_timesteps: int | None) -> Act:
    """:return: What has learnt from states, now"""
    state_id = env_id.replace("-v0", "State-v0")
    entry = yaml.safe_load(hyperparams_file("ppo").read_text())[state_id]
    n_timesteps, n_envs = n_timesteps or int(float(entry.pop("n_timesteps"))), entry.pop("n_envs")
    for name in ("n_timesteps", "callback"):
        entry.pop(name, None)
    entry["learning_rate"] = linear_schedule(entry["learning_rate"].removeprefix("lin_"))
    policy, normalize = get_class_by_name(entry.pop("policy")), entry.pop("normalize")
    predictor = find_predictor(env_id)
    assert isinstance(predictor, PosePredictor)
    venv = DreamVecEnv(gym.make(state_id), predictor, n_envs) if is_dream else make_vec_env(state_id, n_envs, seed=0)
    normalized = VecNormalize(venv, gamma=entry["gamma"], **normalize)
    model = PPO(policy, normalized, seed=0, device="cpu", **entry)
    model.learn(n_timesteps)
    normalized.training = False

    def act(observation: dict[str, Any], state: Any) -> tuple[Any, Any]:
        batch = {key: observation[key][None] for key in keys.STATE_KEYS}
        actions, _ = model.predict(normalized.normalize_obs(batch), deterministic=True)  # type: ignore[arg-type]
        return actions[0], None

    return act


def actor(env: gym.Env[Any, Any], env_id: str, how: str, n_timesteps: int | None) -> Act:
    """:return: What acts"""
    if how.startswith("plans"):
        return planner(env, env_id, how)
    if how == "random":
        env.action_space.seed(0)
        return lambda observation, state: (env.action_space.sample(), None)
    return learner(env_id, how == "dream", n_timesteps)


def tried(env_id: str, how: str, n_episodes: int, n_timesteps: int | None) -> dict[str, Any]:
    """:return: What came of it"""
    start = time.process_time()
    if how == "ppo":
        # What ``sb3-mimic evaluate`` has found on the same seeds
        measures = json.loads((trained_agents_folder() / "ppo" / f"{env_id}_1" / "measures.json").read_text())
        if measures["episodes"] != n_episodes:
            raise ValueError(f"The shipped agent was measured in {measures['episodes']} episodes, and not in {n_episodes}.")
        success, interval = measures["success_from_image"]["value"], measures["success_from_image"]["interval"]
        return {"success": success, "interval": interval, "ms": measures["decision_ms"]["value"]}
    with closing(gym.make(env_id)) as env:
        act = actor(env, env_id, how, n_timesteps)
        learnt = time.process_time() - start
        successes, times = [], []
        for episode in range(n_episodes):
            observation, info = env.reset(seed=FIRST_SEED + episode)
            state, is_over = None, False
            while not is_over:
                begun = time.perf_counter()
                action, state = act(observation, state)
                times.append(time.perf_counter() - begun)
                observation, _, terminated, truncated, info = env.step(action)
                is_over = terminated or truncated
            successes.append(bool(info["is_success"]))
    told: dict[str, Any] = {"success": float(np.mean(successes)), "interval": bootstrap_interval(successes)}
    told["ms"] = 1000 * float(np.median(times))
    return told | ({"learnt_s": learnt} if how in ("dream", "real") else {})


def table(env_id: str) -> str:
    """:return: The table of an environment"""
    rows = ["| | reached (5 cm) | episodes | a decision, ms | learnt in, s |", "|---|---|---|---|---|"]
    records = [record for record in read(RESULTS) if record["env_id"] == env_id]
    for how, title in TITLES.items():
        for record in (record for record in records if record["how"] == how):
            low, high = record["interval"]
            cells = [f"{record['success']:.3f} [{low:.3f}, {high:.3f}]", str(record["n_episodes"]), f"{record['ms']:.1f}"]
            rows.append(f"| {title} | {' | '.join(cells)} | {record.get('learnt_s', float('nan')):.0f} |".replace("nan", "-"))
    return "\n".join([*rows, "", f"`{env_id}`, seeds from {FIRST_SEED:,}, one thread. {records[-1]['machine']}"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Try what has not been tried, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--env", default="MimicReacherPlane-v0", help="default: %(default)s")
    parser.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES), help="default: all")
    parser.add_argument("--episodes", type=int, default=200, help="of each (default: %(default)s)")
    parser.add_argument("--timesteps", type=int, help="of those that learn now (default: those of the entry)")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page lies")
    args = parser.parse_args(arguments)
    th.manual_seed(0)
    done = {(record["env_id"], record["how"]) for record in read(RESULTS)}
    for how in args.only:
        if (args.env, how) in done:
            continue
        with torch_threads(1):
            record = {"env_id": args.env, "how": how, "n_episodes": args.episodes}
            record |= tried(args.env, how, args.episodes, args.timesteps) | {"machine": machine()}
        with RESULTS.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{TITLES[how]}: {record['success']:.3f}, {record['ms']:.1f} ms", flush=True)
    found = table(args.env)
    write_between_marks(args.docs / "foresight.md", f"{args.env} plans", found)
    print(found)


if __name__ == "__main__":
    main()
