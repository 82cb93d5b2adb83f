"""
Compares this checkout's speed with another one's, such as the commit before a change, in one run.

    git worktree add ../before HEAD~1
    python -m benchmarks.against ../before

Both are measured in turn, each time in a process of its own, with the packages of this environment; what counts is the median
of the ratios. Steps are taken with random actions, resets included; a training is PPO on 16 environments, as in
``hyperparams/ppo.yml``, with the translator where there are pictures.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
STEPPED = ("MimicReacher3DState-v0", "MimicReacher3D-v0", "MimicHumanoid-v0", "MimicHumanoidWalk-v0")
TRAINED = ("MimicReacher3D-v0", "MimicReacherPlanePixels-v0", "MimicReacherPlaneFused-v0")

# Runs in either checkout: what it calls is what a user's own script calls
MEASURE = """
import json, sys, time
import gymnasium as gym, numpy as np, torch as th, yaml
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize
import sb3_mimic
from sb3_mimic import policies
from sb3_mimic.translator.callback import TranslatorCallback
stepped, trained, seconds, n_rollouts = json.loads(sys.argv[1])
th.set_num_threads(1)
found = {}
for env_id in stepped:
    env = gym.make(env_id)
    actions = np.random.default_rng(0).uniform(-1, 1, (100, *env.action_space.shape)).astype(np.float32)
    env.reset(seed=0)
    n_steps, start = 0, None
    # The first hundred steps warm up
    while start is None or time.perf_counter() < start + seconds:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        n_steps += len(actions)
        if start is None:
            n_steps, start = 0, time.perf_counter()
    found[env_id + ", steps"] = n_steps / (time.perf_counter() - start)
    env.close()
entries = yaml.safe_load(open("hyperparams/ppo.yml"))
for env_id in trained:
    entry = entries[env_id]
    venv = make_vec_env(env_id, entry["n_envs"], seed=0)
    if entry["normalize"].get("norm_obs_keys"):
        venv = VecNormalize(venv, norm_obs_keys=entry["normalize"]["norm_obs_keys"])
    if "frame_stack" in entry:
        venv = VecFrameStack(venv, entry["frame_stack"])
    model = PPO(
        getattr(policies, entry["policy"].rpartition(".")[2]), venv, n_steps=entry["n_steps"], batch_size=entry["batch_size"],
        n_epochs=entry["n_epochs"], policy_kwargs=entry.get("policy_kwargs"), seed=0, device="cpu",
    )
    n_steps = entry["n_steps"] * entry["n_envs"] * n_rollouts
    start = time.perf_counter()
    model.learn(n_steps, callback=TranslatorCallback(n_threads=1))
    found[env_id + ", training"] = n_steps / (time.perf_counter() - start)
    venv.close()
print("FOUND" + json.dumps(found))
"""


def measure(checkout: Path, arguments: list[object]) -> dict[str, float]:
    """:return: Steps per second in a checkout, by what was measured"""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", MEASURE, json.dumps(arguments)]
    printed = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if printed.returncode:
        raise RuntimeError(f"Measuring {checkout} failed:\n{printed.stderr[-2000:]}")
    found: dict[str, float] = json.loads(printed.stdout.rpartition("FOUND")[2])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout's folder")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of stepping for each environment (default: 2)")
    parser.add_argument("--rollouts", type=int, default=2, help="of each training (default: 2)")
    parser.add_argument("--ids", nargs="+", help="measure only these")
    args = parser.parse_args()
    if not (args.other / "sb3_mimic").is_dir():
        parser.error(f"{args.other} is no checkout of sb3_mimic")
    stepped, trained = ([env_id for env_id in ids if not args.ids or env_id in args.ids] for ids in (STEPPED, TRAINED))
    arguments: list[object] = [stepped, trained, args.seconds, args.rollouts]
    rounds = []
    for index in range(args.rounds):
        # In turn, so that neither always comes first
        order = [REPOSITORY, args.other.resolve()][:: 1 if index % 2 else -1]
        found = {checkout: measure(checkout, arguments) for checkout in order}
        rounds.append((found[REPOSITORY], found[args.other.resolve()]))
        print(f"Round {index + 1} of {args.rounds}", file=sys.stderr)
    print(f"{'steps/s':42} | {'here':>8} | {'other':>8} | ratio, median [lowest, highest]")
    for name in rounds[0][0]:
        ours, theirs = ([each[side][name] for each in rounds] for side in (0, 1))
        ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
        row = f"{name:42} | {statistics.median(ours):8,.0f} | {statistics.median(theirs):8,.0f}"
        print(f"{row} | {statistics.median(ratios):.3f} [{ratios[0]:.3f}, {ratios[-1]:.3f}]")


if __name__ == "__main__":
    main()
