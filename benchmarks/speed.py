"""Measures environment steps per second beside other libraries' robots, and what unread pictures cost PPO's update."""

import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

import sb3_mimic  # noqa: F401  # registers the environments
from sb3_mimic.envs.world.display import why_no_display
from sb3_mimic.policies import StatePolicy
from sb3_mimic.translator.callback import TranslatorCallback

SIZE = 64
WARM_UP_STEPS, WARM_UP_SECONDS = 200, 1.0
PACKAGES = ("pybullet", "gymnasium", "torch", "stable_baselines3", "pybullet_envs_gymnasium", "panda-gym", "mujoco")
OURS = ("MimicReacher3D", "MimicReacherPlane", "MimicReacher6D", "MimicHumanoid")
PEERS = ("ReacherBulletEnv-v0", "PandaReach-v3", "Reacher-v5")
WALKER, WALKING_PEER = "MimicHumanoidWalk-v0", "HumanoidBulletEnv-v0"
# What an arm does with things on a table, here and in panda-gym
TASKS = {f"Mimic{task}": f"Panda{task}-v3" for task in ("Reach", "Push", "PickAndPlace", "Slide", "Stack")}
# Ours, and what it is compared with
RIVALS = [(ours, peer) for ours in OURS for peer in PEERS] + [(WALKER, WALKING_PEER), *TASKS.items()]


class Runner:
    """
    Takes random steps in an environment, in blocks that go on where the last one ended.

    :param env: The environment
    :param draw: Whether to call ``render()`` after every step
    """

    def __init__(self, env: gym.Env[Any, Any], draw: bool = False):
        self.env = env
        self.draw = draw
        env.action_space.seed(0)
        self.actions = cycle([env.action_space.sample() for _ in range(1000)])
        env.reset(seed=0)
        self.run(WARM_UP_STEPS, WARM_UP_SECONDS)

    def run(self, n_steps: int, seconds: float) -> float:
        """
        :param n_steps: Stop after so many steps
        :param seconds: Or after so long
        :return: Steps per second, resets included
        """
        start = time.perf_counter()
        for n_done, action in enumerate(self.actions, 1):
            _, _, terminated, truncated, _ = self.env.step(action)
            if self.draw:
                self.env.render()
            if terminated or truncated:
                self.env.reset()
            elapsed = time.perf_counter() - start
            if n_done >= n_steps or elapsed >= seconds:
                break
        return n_done / elapsed


# Without a frame, and with one where there can be one
Pair = tuple[Runner, Runner | None]


def make_ours(name: str) -> Pair:
    """:return: A robot's environments without and with pictures in their observations"""
    return Runner(gym.make(f"{name}State-v0")), Runner(gym.make(f"{name}-v0"))


def make_bullet() -> Pair:
    """:return: pybullet_envs_gymnasium's; it asks for OpenGL, and gets TinyRenderer since there is no window"""
    env = gym.make("pybullet_envs_gymnasium:ReacherBulletEnv-v0", render_mode="rgb_array")
    bullet: Any = env.unwrapped
    bullet._render_width = bullet._render_height = SIZE
    return Runner(env), Runner(env, draw=True)


def make_panda(env_id: str) -> Pair:
    """:return: panda-gym's"""
    size: Any = {"render_width": SIZE, "render_height": SIZE}
    env = gym.make(f"panda_gym:{env_id}", render_mode="rgb_array", renderer="Tiny", **size)
    return Runner(env), Runner(env, draw=True)


def make_mujoco() -> tuple[Pair, str]:
    """:return: Gymnasium's MuJoCo reacher, and what draws its frames or why nothing does"""
    # Importing mujoco loads the library that MUJOCO_GL names, and fails without it; Gymnasium looks again at its first frame
    backend = os.environ.pop("MUJOCO_GL", "egl" if why_no_display() else None)
    env = gym.make("Reacher-v5", width=SIZE, height=SIZE, render_mode="rgb_array")
    if backend is not None:
        os.environ["MUJOCO_GL"] = backend
    import mujoco

    plain = Runner(env)
    try:
        env.render()
    # The first of PyOpenGL without its library, the others of MuJoCo without a device or a context
    except (AttributeError, ImportError, RuntimeError, mujoco.FatalError) as error:
        return (plain, None), f"no frames, for MUJOCO_GL={backend} does not work here: {type(error).__name__}: {error}"
    from OpenGL import GL

    return (plain, Runner(env, draw=True)), f"frames by {GL.glGetString(GL.GL_RENDERER).decode()}, MUJOCO_GL={backend}"


def make_walkers() -> dict[str, Pair]:
    """:return: Our walking humanoid and pybullet_envs_gymnasium's. Neither shows frames."""
    return {
        WALKER: (Runner(gym.make(WALKER)), None),
        WALKING_PEER: (Runner(gym.make(f"pybullet_envs_gymnasium:{WALKING_PEER}")), None),
    }


def measure_steps(pairs: dict[str, Pair], n_rounds: int, n_steps: int, seconds: float) -> dict[str, Any]:
    """
    :param pairs: The environments by name; each gets its turn in every round
    :param n_rounds: Number of rounds
    :param n_steps: Most steps of a block
    :param seconds: Longest time of a block
    :return: Medians over the rounds, without and with a frame: steps per second, and of ours divided by each peer's
    """
    speeds: dict[str, list[list[float]]] = {name: [] for name in pairs}
    for _ in range(n_rounds):
        for name, pair in pairs.items():
            speeds[name].append([runner.run(n_steps, seconds) if runner else np.nan for runner in pair])
    medians = {name: np.median(rounds, axis=0) for name, rounds in speeds.items()}
    # Round by round: what else the machine does weighs on both sides of a ratio
    ratios = {f"{ours} / {peer}": np.median(np.divide(speeds[ours], speeds[peer]), axis=0) for ours, peer in RIVALS}
    return {"steps_per_second": as_numbers(medians), "ratios": as_numbers(ratios)}


def as_numbers(table: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """:return: The two numbers of each row by name, and None for what could not be measured"""
    return {
        name: {key: None if np.isnan(x) else float(x) for key, x in zip(("plain", "frame"), row, strict=True)}
        for name, row in table.items()
    }


def make_learner(env_id: str, callback: BaseCallback | None) -> tuple[PPO, BaseCallback]:
    """
    :param env_id: Where to learn
    :param callback: To call at the end of each rollout
    :return: PPO with the sizes of hyperparams/ppo.yml, and the callback, both ready for a rollout
    """
    env = make_vec_env(env_id, n_envs=16, seed=0)
    model = PPO(StatePolicy, env, n_steps=256, batch_size=512, n_epochs=10, seed=0, device="cpu")
    ready = model._setup_learn(1_000_000, callback)[1]
    ready.on_training_start({"reset_num_timesteps": True}, {})
    return model, ready


def time_update(model: PPO, callback: BaseCallback) -> float:
    """
    :param model: Collects a rollout, then trains on it
    :param callback: Its callback
    :return: Seconds of the training alone
    """
    assert model.env is not None
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    start = time.perf_counter()
    model.train()
    return time.perf_counter() - start


def measure_updates(n_rounds: int) -> dict[str, Any]:
    """
    :param n_rounds: Number of updates of each kind, in turns, after one to warm up
    :return: Medians of PPO's update with pictures in the rollout and without: seconds each, and the ratio
    """
    # Threads shorten only what is not timed here, and not even that on a busy machine
    callback = TranslatorCallback(n_threads=1, background=False)
    learners = [make_learner("MimicReacher3D-v0", callback), make_learner("MimicReacher3DState-v0", None)]
    seconds = np.array([[time_update(*learner) for learner in learners] for _ in range(n_rounds + 1)])[1:]
    pictures, state = np.median(seconds, axis=0)
    return {"pictures": float(pictures), "state": float(state), "ratio": float(np.median(seconds[:, 0] / seconds[:, 1]))}


def machine() -> str:
    """:return: The processor and the versions of what is measured"""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.processor() or platform.machine()
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"{os.cpu_count()} x {cpu}, python {platform.python_version()}, {versions}"


def print_table(title: str, table: dict[str, dict[str, float | None]], digits: int) -> None:
    """Print the numbers without and with a frame, rounded to so many digits after the point."""
    print(f"\n{title:40} | {'steps/s':>10} | {f'+ {SIZE}x{SIZE} frame':>14}")
    for name, row in table.items():
        plain, frame = ("n/a" if x is None else f"{x:,.{digits}f}" for x in row.values())
        print(f"{name:40} | {plain:>10} | {frame:>14}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all measurements (default: 5)")
    parser.add_argument("--steps", type=int, default=10_000, help="most steps of a block (default: 10000)")
    parser.add_argument("--seconds", type=float, default=0.5, help="longest time of a block (default: 0.5)")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    args = parser.parse_args()
    th.set_num_threads(1)

    mujoco_pair, mujoco_note = make_mujoco()
    peers = dict(zip(PEERS, (make_bullet(), make_panda(PEERS[1]), mujoco_pair), strict=True))
    pairs = {name: make_ours(name) for name in OURS} | peers | make_walkers()
    for ours, peer in TASKS.items():
        pairs[ours] = make_ours(ours)
        if peer not in pairs:
            pairs[peer] = make_panda(peer)
    steps = measure_steps(pairs, args.rounds, args.steps, args.seconds)
    results = {"machine": machine(), **steps, "mujoco": mujoco_note}
    print(f"\n{results['machine']}")
    print_table("env", results["steps_per_second"], 0)
    print_table("ratio", results["ratios"], 2)
    print(f"Reacher-v5: {mujoco_note}", flush=True)

    results["ppo_update"] = update = measure_updates(args.rounds)
    print(
        f"\nPPO update, MimicReacher3D-v0 with TranslatorCallback / MimicReacher3DState-v0:"
        f" {update['pictures']:.3f} s / {update['state']:.3f} s, ratio {update['ratio']:.3f}"
    )
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
