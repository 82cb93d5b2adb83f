"""Makes every picture of the documentation: python docs/make_pictures.py"""

import tempfile
from pathlib import Path

import gymnasium as gym
import numpy as np
from PIL import Image

from sb3_mimic import keys
from sb3_mimic.agents.loading import find_agents, load_agent
from sb3_mimic.cli.main import main
from sb3_mimic.envs.registration import POSE_IDS
from sb3_mimic.pictures import caption, enlarge, write_animation

IMAGES = Path(__file__).parent / "images"
POSE_SEEDS = (1003, 1010, 1012)


def portrait(env_id: str) -> None:
    """The robot as people see it, on its way to its ghost, beside the frame that it sees itself"""
    env = gym.make(env_id, render_mode="rgb_array")
    env.reset(seed=3)
    for _ in range(4):
        observation = env.step(env.action_space.sample())[0]
    frame = caption(enlarge(observation[keys.IMAGE], 480), "image (64 x 64)")
    Image.fromarray(np.hstack((caption(env.render(), "render"), frame))).save(IMAGES / f"{env_id}.png")
    env.close()


def imitation(env_id: str) -> None:
    """The shipped agent takes the poses in three pictures"""
    with tempfile.TemporaryDirectory() as folder:
        poses = [f"{folder}/{seed}.png" for seed in POSE_SEEDS]
        for path, seed in zip(poses, POSE_SEEDS, strict=True):
            main(["photograph", "--env", env_id, "--seed", str(seed), "-o", path])
        output = str(IMAGES / f"{env_id}-imitate.gif")
        main(["imitate", "--env", env_id, "--image", *poses, "-o", output, "--steps", "60"])


def walk(env_id: str) -> None:
    """The shipped agent walks, for four seconds"""
    agent, env = load_agent(env_id), gym.make(env_id, render_mode="rgb_array")
    observation, _ = env.reset(seed=POSE_SEEDS[0])
    frames, memory = [], None
    for step in range(200):
        action, memory = agent.act(observation, memory)
        observation = env.step(action)[0]
        if step % 4 == 0:
            frames.append(env.render())
    write_animation(IMAGES / f"{env_id}.gif", frames, fps=12)
    env.close()


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for one in POSE_IDS:
        if not one.removesuffix("-v0").endswith(("State", "Pixels", "Fused", "Sparse", "Wild")):
            portrait(one)
    for one in find_agents():
        if one in POSE_IDS:
            imitation(one)
        else:
            walk(one)
