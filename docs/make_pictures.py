"""Makes every picture of the documentation: python docs/make_pictures.py"""

import tempfile
from pathlib import Path

import gymnasium as gym
import numpy as np
from PIL import Image

from sb3_mimic import keys
from sb3_mimic.agents.loading import find_agents, load_agent
from sb3_mimic.cli.main import main
from sb3_mimic.envs.registration import POSE_IDS, WALK_ID
from sb3_mimic.pictures import caption, enlarge, shrink, write_animation

IMAGES = Path(__file__).parent / "images"
POSE_SEEDS = (1003, 1010, 1012)
# Two of these are in the air
IN_THE_AIR = {"MimicPickAndPlace-v0": (1002, 1010, 1013)}
# In pixels: of the pictures that are imitated, and of the walk, whose every frame is another all over
PHOTOGRAPH_SIZE, WALK_SIZE, BENCH_SIZE = 256, 320, 240
# How far each task has got in its picture, in steps
BENCH_STEPS = {"Reach": 3, "Push": 13, "PickAndPlace": 14, "Slide": 8, "Stack": 24}


def run(*arguments: str) -> None:
    """A command, which must succeed: or else an old picture would stay"""
    if code := main(list(arguments)):
        raise SystemExit(code)


def portrait(env_id: str) -> None:
    """The robot as people see it, on its way to its ghost, beside the frame that it sees itself"""
    env = gym.make(env_id, render_mode="rgb_array")
    env.reset(seed=3)
    for _ in range(4):
        observation = env.step(env.action_space.sample())[0]
    frame = caption(enlarge(observation[keys.IMAGE], 480), "image (64 x 64)")
    Image.fromarray(np.hstack((caption(env.render(), "render"), frame))).save(IMAGES / f"{env_id}.png", optimize=True)
    env.close()


def imitation(env_id: str) -> None:
    """The shipped agent takes the poses in three pictures"""
    with tempfile.TemporaryDirectory() as folder:
        seeds = IN_THE_AIR.get(env_id, POSE_SEEDS)
        poses = [f"{folder}/{seed}.png" for seed in seeds]
        for path, seed in zip(poses, seeds, strict=True):
            run("photograph", "--env", env_id, "--seed", str(seed), "--size", str(PHOTOGRAPH_SIZE), "-o", path)
        output = str(IMAGES / f"{env_id}-imitate.gif")
        run("imitate", "--env", env_id, "--image", *poses, "-o", output, "--steps", "60")


def following(env_id: str) -> None:
    """The shipped agent follows a film of its robot"""
    with tempfile.TemporaryDirectory() as folder:
        clip, how = f"{folder}/clip.mp4", ("--seconds", "3", "--fps", "15", "--seed", "5", "--size", str(PHOTOGRAPH_SIZE))
        run("film", "--env", env_id, "-o", clip, *how)
        poses = ("--poses", f"{folder}/poses.csv")
        run("imitate", "--env", env_id, "--video", clip, "-o", str(IMAGES / "video.gif"), *poses)


def mirroring(env_id: str) -> None:
    """The shipped agent mirrors the robot opposite"""
    run("mirror", "--env", env_id, "--seconds", "3", "--fps", "15", "--seed", "4", "-o", str(IMAGES / "mirror.gif"))


def bench() -> None:
    """Each task on the table, as its script goes about it, and below the frame that the robot sees"""
    columns = []
    for task in BENCH_STEPS:
        env = gym.make(f"Mimic{task}-v0", render_mode="rgb_array")
        observation, _ = env.reset(seed=4)
        for _ in range(BENCH_STEPS[task]):
            observation = env.step(env.unwrapped.demonstrate())[0]
        seen = enlarge(observation[keys.IMAGE], BENCH_SIZE)
        columns.append(np.vstack((caption(shrink(env.render(), BENCH_SIZE, BENCH_SIZE), task), seen)))
        env.close()
    Image.fromarray(np.hstack(columns)).save(IMAGES / "manipulation.png", optimize=True)


def walk(env_id: str) -> None:
    """The shipped agent walks, for four seconds"""
    agent, env = load_agent(env_id), gym.make(env_id, render_mode="rgb_array")
    observation, _ = env.reset(seed=POSE_SEEDS[0])
    frames, memory = [], None
    for step in range(200):
        action, memory = agent.act(observation, memory)
        observation = env.step(action)[0]
        if step % 4 == 0:
            frames.append(shrink(env.render(), WALK_SIZE, WALK_SIZE))
    write_animation(IMAGES / f"{env_id}.gif", frames, fps=12)
    env.close()


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for one in POSE_IDS:
        if not one.removesuffix("-v0").endswith(("State", "Pixels", "Fused", "Sparse", "Wild", "Moving")):
            portrait(one)
    bench()
    following("MimicHumanoid-v0")
    mirroring("MimicHumanoid-v0")
    for one in find_agents():
        if one == WALK_ID:
            walk(one)
        else:
            imitation(one)
