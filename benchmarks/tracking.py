"""Lets shipped agents follow videos of moving robots, beside ones that are told the poses, and beside standing still."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from tqdm import tqdm

import sb3_mimic  # noqa: F401  # registers the environments
from benchmarks.study import DOCS, machine
from sb3_mimic.agents.films import Script
from sb3_mimic.agents.following import Followed, Reader, VideoReader, follow_video, tracking_errors
from sb3_mimic.agents.loading import load_agent
from sb3_mimic.agents.statistics import FIRST_SEED, bootstrap_interval
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.envs.tasks.motion import NATURAL_SPEED, random_motion
from sb3_mimic.translator.training import torch_threads

ENV_IDS = ("MimicReacher3D-v0", "MimicReacher3DMoving-v0", "MimicHumanoid-v0", "MimicHumanoidMoving-v0")
# Of natural speed, at which joints turn by up to 90 deg in a second
SPEEDS = {"half the natural speed": 0.5, "natural speed": 1.0, "twice the natural speed": 2.0}
# The dynamic test of the original project: another pose every so many control steps
JUMPS, N_JUMP_STEPS = "another pose every 10 control steps", 10
N_VIDEOS, SECONDS, FPS = 10, 5.0, 30
MEASURES = {
    "joint_error_deg": "joint error, deg",
    "keypoint_error_cm": "key-point error, cm",
    "lag_ms": "late, ms",
    "frames_per_s": "frames read in a second",
}
DIGITS = {"lag_ms": 0, "frames_per_s": 0}


class Told:
    """
    Stands for a reader that errs in nothing.

    :param poses: The pose in each frame
    """

    def __init__(self, poses: Sequence[Any]):
        self._poses = iter(poses)

    def read(self, frame: Any) -> tuple[Any, None]:
        """:return: The pose in the next frame"""
        return next(self._poses), None


class Timed:
    """
    Reads as another reader does, and knows how long that takes.

    :param reader: The other
    """

    def __init__(self, reader: Reader):
        self._reader, self.seconds, self.n_frames = reader, 0.0, 0

    def read(self, frame: Any) -> tuple[Any, Any]:
        """:return: What the other returns"""
        start = time.perf_counter()
        read = self._reader.read(frame)
        self.seconds += time.perf_counter() - start
        self.n_frames += 1
        return read


def motion_of(env: Any, kind: str, seed: int, seconds: float) -> Any:
    """
    :param env: The environment, without wrappers
    :param kind: A key of ``SPEEDS``, or ``JUMPS``
    :param seed: Of the motion
    :param seconds: How long it takes
    :return: The motion
    """
    rng, low, high = np.random.default_rng(seed), env.robot.joint_low, env.robot.joint_high
    if kind != JUMPS:
        return random_motion(rng, low, high, SPEEDS[kind] * NATURAL_SPEED)
    each = N_JUMP_STEPS * env.simulation.dt
    starts = np.arange(0.0, seconds, each)
    places = rng.uniform(low, high, (len(starts), len(low)))
    # Nothing moves between two jumps
    times = np.stack((starts, starts + each - 1e-6), axis=1).ravel()
    return Script(times, places.repeat(2, axis=0))


def followed_by(env_id: str, kind: str, n_videos: int, seconds: float) -> dict[str, list[dict[str, float]]]:
    """
    :param env_id: Whose shipped agent follows
    :param kind: Of the motions
    :param n_videos: How many
    :param seconds: How long each is
    :return: By what it is told, the errors in each video
    """
    agent = load_agent(env_id)
    env = gym.make(env_id, max_episode_steps=-1, render_mode="rgb_array")
    env.reset(seed=0)
    bare: Any = env.unwrapped
    found: dict[str, list[dict[str, float]]] = {"video": [], "poses": [], "the first pose": []}
    times = np.arange(round(seconds * FPS)) / FPS
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + n_videos), desc=f"{env_id}, {kind}"):
        qpos = motion_of(bare, kind, seed, seconds).qpos(times)
        frames, poses = bare.photographs(qpos), [bare.pose_of(each) for each in qpos]
        timed = Timed(VideoReader(agent, env))
        for name, reader in {"video": timed, "poses": Told(poses)}.items():
            followed = list(follow_video(agent, env, frames, FPS, reader=reader, force=True))
            found[name].append(tracking_errors(env, followed, poses))
        found["video"][-1]["frames_per_s"] = timed.n_frames / timed.seconds
        still = [Followed(index, time, poses[0], poses[0]) for index, time in enumerate(times)]
        found["the first pose"].append({**tracking_errors(env, still, poses), "lag_ms": np.nan})
    env.close()
    return found


def table(found: dict[tuple[str, str], dict[str, list[dict[str, float]]]]) -> str:
    """:return: Markdown: the errors of each agent in each kind of video, by what it is told"""
    lines = ["| robot | motion | is shown | " + " | ".join(MEASURES.values()) + " |", "|---|---|---|" + "---|" * len(MEASURES)]
    for (env_id, kind), by_told in found.items():
        for told, errors in by_told.items():
            cells = []
            for name in MEASURES:
                values, digits = [each.get(name, np.nan) for each in errors], DIGITS.get(name, 2)
                low, high = bootstrap_interval(values)
                is_there = np.isfinite(values).all()
                cells.append(f"{np.mean(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]" if is_there else "-")
            lines.append(f"| `{env_id}` | {kind} | {told} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Follow all, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking", description=__doc__)
    parser.add_argument("--env", nargs="+", default=list(ENV_IDS), help="whose shipped agents (default: %(default)s)")
    parser.add_argument("--videos", type=int, default=N_VIDEOS, help="of each kind (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each video (default: %(default)s)")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page lies")
    args = parser.parse_args(arguments)
    with torch_threads(1):
        found = {
            (env_id, kind): followed_by(env_id, kind, args.videos, args.seconds)
            for env_id in args.env
            for kind in (*SPEEDS, JUMPS)
        }
    text = (
        f"{table(found)}\n\nMean [95 % bootstrap interval] over {args.videos} videos of {args.seconds:g} s, {FPS} frames of"
        f" 64 x 64 pixels in a second, seeds from {FIRST_SEED:,}; errors against the true pose of each frame when it is shown."
        f" {machine()}."
    )
    print(text)
    write_between_marks(args.docs / "videos.md", "tracking", text)


if __name__ == "__main__":
    main()
