"""
Finds a first, clumsy gait for the walking humanoid and teaches it to a policy, for PPO to go on from.

From random weights PPO soon finds out how to stand still, and stays there. What it needs is a first step. Here it is a
linear controller of 30 numbers: a rhythm and the body's balance, left and right mirrored, found by the cross-entropy
method in some minutes.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_mimic import keys
from sb3_mimic.envs.registration import WALK_ID
from sb3_mimic.envs.walk_env import WalkEnv
from sb3_mimic.envs.world.walker import JOINTS

FloatArray = npt.NDArray[np.floating]

# What the controller sees, and whether it changes its sign in a mirror. The clock is half a round later there.
FEATURES = {
    "one": 1, "sin": -1, "cos": -1, "pitch": 1, "pitch_rate": 1, "speed": 1,
    "roll": -1, "roll_rate": -1, "sideways": -1, "yaw": -1, "yaw_rate": -1,
}  # fmt: skip
SPREAD = {
    "one": 0.15, "sin": 0.25, "cos": 0.25, "pitch": 0.6, "pitch_rate": 0.1, "speed": 0.2,
    "roll": 0.6, "roll_rate": 0.1, "sideways": 0.3, "yaw": 0.4, "yaw_rate": 0.1,
}  # fmt: skip
FORWARD, SIDEWAYS = (
    ("one", "sin", "cos", "pitch", "pitch_rate", "speed"),
    ("one", "sin", "cos", "roll", "roll_rate", "sideways"),
)
LIMB_JOINTS = {"hip_y": FORWARD, "knee": FORWARD, "hip_x": SIDEWAYS, "hip_z": ("yaw", "yaw_rate")}
TRUNK_JOINTS = {
    "abdomen_y": ("one", "pitch", "pitch_rate"),
    "abdomen_x": ("sin", "cos", "roll", "roll_rate"),
    "abdomen_z": ("sin", "cos", "yaw"),
}
NUMBERS = [(joint, name) for table in (LIMB_JOINTS, TRUNK_JOINTS) for joint, names in table.items() for name in names]
FIRST_GUESS = {
    ("hip_y", "sin"): 0.35,
    ("hip_y", "one"): -0.1,
    ("knee", "one"): -0.2,
    ("knee", "cos"): -0.3,
    ("hip_x", "sin"): 0.1,
}
WANTED_SPEED = 0.5

POPULATION, N_ELITE, N_EPISODES, NOISE, MAX_STEPS = 64, 12, 2, 0.05, 800
# Standing must not pay while there is no gait to be found out
SEARCH_REWARD = {"progress": 1.0, "alive": 0.05}
N_DEMONSTRATION_STEPS, N_ENVS, N_EPOCHS, BATCH_SIZE = 2500, 16, 40, 512


def gains_of(numbers: FloatArray) -> FloatArray:
    """:return: What each feature adds to each joint's action, shape (n_joints, n_features)"""
    joints, features = list(JOINTS), list(FEATURES)
    gains = np.zeros((len(joints), len(features)))
    for (joint, name), number in zip(NUMBERS, numbers, strict=True):
        column = features.index(name)
        if joint in LIMB_JOINTS:
            gains[joints.index(f"right_{joint}"), column] = number
            gains[joints.index(f"left_{joint}"), column] = number * FEATURES[name]
        else:
            gains[joints.index(joint), column] = number
    return gains


def features_of(observations: FloatArray) -> FloatArray:
    """:return: In the order of FEATURES, shape (n, n_features), of observations of shape (n, 49)"""
    _, cos_yaw, sin_yaw, roll, pitch, ahead, sideways, _, roll_rate, pitch_rate, yaw_rate = observations[:, :11].T
    sin, cos = observations[:, -2:].T
    yaw = np.arctan2(sin_yaw, cos_yaw)
    speed, one = ahead - WANTED_SPEED, np.ones(len(observations))
    return np.stack([one, sin, cos, pitch, pitch_rate, speed, roll, roll_rate, sideways, yaw, yaw_rate], axis=1)


def try_out(env: gym.Env[Any, Any], numbers: FloatArray, seed: int) -> tuple[float, float]:
    """:return: The sum of rewards of one episode with a little noise, and the distance in m"""
    gains, rng = gains_of(numbers), np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    total = 0.0
    for _ in range(MAX_STEPS):
        action = gains @ features_of(observation[keys.OBSERVATION][None])[0] + NOISE * rng.standard_normal(len(JOINTS))
        observation, reward, has_fallen, _, info = env.step(action)
        total += float(reward)
        if has_fallen:
            break
    return total, info["distance"]


def search(n_generations: int, seed: int) -> FloatArray:
    """
    The cross-entropy method.

    :param n_generations: How often to draw a population
    :param seed: Seed of the random numbers
    :return: The numbers of the best controller
    """
    env, rng = WalkEnv(SEARCH_REWARD), np.random.default_rng(seed)
    spread = np.array([SPREAD[name] for _, name in NUMBERS])
    mean, deviation = np.array([FIRST_GUESS.get(number, 0.0) for number in NUMBERS]), spread.copy()
    best, best_score = mean, -math.inf
    for generation in range(n_generations):
        population = mean + deviation * rng.standard_normal((POPULATION, len(mean)))
        seeds = range(10 * generation, 10 * generation + N_EPISODES)
        scores = [np.mean([try_out(env, numbers, s)[0] for s in seeds]) for numbers in population]
        elite = population[np.argsort(scores)[-N_ELITE:]]
        mean = 0.2 * mean + 0.8 * elite.mean(axis=0)
        deviation = 0.3 * deviation + 0.7 * (elite.std(axis=0) + 0.05 * spread)
        score, distance = np.mean([try_out(env, mean, s) for s in range(999, 1003)], axis=0)
        if score > best_score:
            best, best_score = mean, float(score)
        print(f"generation {generation}: {distance:.2f} m, score {score:.1f}, best {best_score:.1f}", flush=True)
    env.close()
    return best


def teach(numbers: FloatArray, folder: Path) -> None:
    """
    Teach the controller to a policy, on what it meets when pushed about by noise, and save both as rl-zoo3 does.

    :param numbers: Of the controller
    :param folder: Where to write the model and its observation statistics
    """
    gains = gains_of(numbers).T
    env = VecNormalize(make_vec_env(WALK_ID, n_envs=N_ENVS, seed=5), norm_obs_keys=[keys.OBSERVATION])
    rng, seen = np.random.default_rng(0), []
    env.reset()
    for _ in range(N_DEMONSTRATION_STEPS):
        original = env.get_original_obs()
        assert isinstance(original, dict)
        seen.append(original[keys.OBSERVATION])
        noise = rng.choice([0.05, 0.1, 0.2]) * rng.standard_normal((N_ENVS, len(JOINTS)))
        env.step(np.clip(features_of(seen[-1]) @ gains + noise, -1, 1).astype(np.float32))
    policy_kwargs = {"log_std_init": -2.3, "net_arch": [128, 128]}
    model = PPO("MultiInputPolicy", env, policy_kwargs=policy_kwargs, seed=0, device="cpu")
    observations = np.concatenate(seen)
    actions = th.tensor(features_of(observations) @ gains, dtype=th.float32)
    normalized = env.normalize_obs({keys.OBSERVATION: observations})
    assert isinstance(normalized, dict)
    inputs = th.tensor(normalized[keys.OBSERVATION], dtype=th.float32)
    optimizer = th.optim.Adam(model.policy.parameters())
    for epoch in range(N_EPOCHS):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - epoch / N_EPOCHS)
        for batch in th.randperm(len(inputs)).split(BATCH_SIZE):
            means = model.policy.get_distribution({keys.OBSERVATION: inputs[batch]}).distribution.mean
            loss = th.nn.functional.mse_loss(means, actions[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    (folder / WALK_ID).mkdir(parents=True, exist_ok=True)
    model.save(folder / f"{WALK_ID}.zip")
    env.save(str(folder / WALK_ID / "vecnormalize.pkl"))
    env.close()


def main() -> None:
    """Find a gait, teach it, and say how to go on."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.first_gait", description="Finds a first gait, for PPO to go on from"
    )
    parser.add_argument("--generations", type=int, default=40, help="of the search (default: 40)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("first_gait"), help="folder to write (default: first_gait)")
    args = parser.parse_args()
    th.set_num_threads(1)
    teach(search(args.generations, args.seed), args.output)
    print(
        f"Now: python -m rl_zoo3.train --algo ppo --env {WALK_ID} --gym-packages sb3_mimic"
        f" --conf-file hyperparams/ppo_walk.yml -i {args.output / WALK_ID}.zip"
    )


if __name__ == "__main__":
    main()
