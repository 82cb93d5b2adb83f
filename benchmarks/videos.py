"""Trains translators with and without memory for the same time on the same videos, and tells how they read spoilt ones."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces

import sb3_mimic  # noqa: F401  # registers the environments
from benchmarks.study import DOCS, FloatArray, machine
from sb3_mimic import keys
from sb3_mimic.agents.statistics import bootstrap_interval
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.data.dataset import Dataset
from sb3_mimic.envs.tasks.motion import NATURAL_SPEED, random_motion
from sb3_mimic.pictures.spoilt_videos import VIDEO_CORRUPTIONS, corrupt_video
from sb3_mimic.pose import JOINTS, VELOCITY
from sb3_mimic.translator.augmentation import Augmentation
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.conv_lstm import ConvLSTMTranslator
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.training import FLOOR, fit, one_cycle, read_dataset, torch_threads

ENV_ID = "MimicReacher3D-v0"
READERS: dict[str, type[Translator]] = {"convnet": ConvNetTranslator, "convlstm": ConvLSTMTranslator}
WINDOW, N_WINDOWS = 32, 3000
N_VIDEOS, N_FRAMES = 40, 120
# Videos that are learnt from are slower and faster than natural ones: factors of their speed
SPEEDS = (0.25, 2.0)
BATCH_SIZE, LEARNING_RATE = 256, 3e-3
# Of how fast things move the first frames tell nothing
N_FIRST = 4
# Windows between two looks at the clock
N_BETWEEN = 128
# Neither seen in training nor used to choose anything
FIRST_SEED = 1_000_000
CLEAN = "as they are"
# Of slower joints no relative error is told, in rad/s
SLOWEST = np.deg2rad(5)


def augmentation() -> Augmentation:
    """:return: What both learn from: bars, and other things before the robot, and noise; frames are never dropped"""
    nothing = {field.name: 0.0 for field in fields(Augmentation) if field.name.endswith("_probability")}
    settings: dict[str, Any] = {**nothing, "untouched": 0.0, "noise_probability": 0.3, "occlusion_probability": 0.2}
    return Augmentation(**settings | {"sweep_probability": 0.6})


def video(env: Any, seed: int, n_frames: int, speed: float) -> tuple[Any, FloatArray]:
    """
    :param env: The environment, without wrappers
    :param seed: Of the motion
    :param n_frames: How many frames
    :param speed: No joint is faster, in rad/s
    :return: Frames, shape (time, height, width, 3), and states, shape (time, dim): poses and joint velocities
    """
    motion = random_motion(np.random.default_rng(seed), env.robot.joint_low, env.robot.joint_high, speed)
    times = np.arange(n_frames) * env.simulation.dt
    qpos, qvel = motion.qpos(times), motion.qvel(times)
    poses = np.stack([env.pose_of(one) for one in qpos])
    scale = np.array(env.view_layout[VELOCITY].scale)
    return env.photographs(qpos), np.concatenate((poses, qvel / scale), axis=1).astype(np.float32)


def windows_of(videos: Sequence[tuple[Any, FloatArray]]) -> Dataset:
    """:return: Each video as one window"""
    images = np.stack([frames for frames, _ in videos]).transpose(0, 1, 4, 2, 3)
    states = np.stack([states for _, states in videos])
    starts = np.zeros(states.shape[:2], bool)
    starts[:, 0] = True
    return Dataset(np.ascontiguousarray(images), states, starts)


def train(translator: Translator, dataset: Dataset, seconds: float) -> int:
    """
    :param translator: Trained in place; without memory from the same frames in any order
    :param dataset: Windows to learn from
    :param seconds: For how long, of a processor
    :return: How many windows it learnt from
    """
    rng, change, start, n_seen, done = np.random.default_rng(0), augmentation(), time.process_time(), 0, 0.0
    while done < 1:
        rate = LEARNING_RATE * max(one_cycle(done), FLOOR)
        windows = dataset.sample(N_BETWEEN, rng)
        if translator.learns_frames_first:
            fit(translator, windows, 1, BATCH_SIZE // WINDOW, rate, rng, change)
        else:
            images = change(windows.images.reshape(-1, *windows.images.shape[2:]), rng, WINDOW)
            frames = Dataset.of_pictures(images, windows.states.reshape(-1, windows.states.shape[2]))
            fit(translator, frames, 1, BATCH_SIZE, rate, rng)
        n_seen += N_BETWEEN
        done = (time.process_time() - start) / seconds
    return n_seen


def measure(env: Any, translator: Translator, videos: Sequence[tuple[Any, FloatArray]]) -> dict[str, FloatArray]:
    """
    :param env: The environment
    :param translator: What reads
    :param videos: Frames and states
    :return: Of each video the mean joint error, in deg; its median; and the median relative error of velocities
    """
    dataset = windows_of(videos)
    read, layout = read_dataset(translator, dataset, 8), env.view_layout
    errors = np.rad2deg(layout[JOINTS].distances(read, dataset.states))
    true, found = layout[VELOCITY].of(dataset.states), layout[VELOCITY].of(read)
    relative = np.where(np.abs(true) > SLOWEST, np.abs(found - true) / np.maximum(np.abs(true), SLOWEST), np.nan)
    # What came before the first frames nobody has seen
    later = relative[:, N_FIRST:]
    return {
        "mean": errors.mean(axis=(1, 2)),
        "median": np.median(errors, axis=(1, 2)),
        "velocity": np.nanmedian(later, axis=(1, 2)),
    }


def table(found: dict[str, dict[str, dict[str, FloatArray]]]) -> str:
    """:return: Markdown: for each kind of videos the errors of each reader, with their intervals"""
    heads = [f"{reader}: {what}" for reader in READERS for what in ("mean joint error, deg", "median, deg", "velocity")]
    lines = ["| videos | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for kind, by_reader in found.items():
        cells = []
        for measures in by_reader.values():
            for name, values in measures.items():
                low, high = bootstrap_interval(values)
                value, factor, unit = float(np.mean(values)), *((100, " %") if name == "velocity" else (1, ""))
                digits = 0 if unit else 2
                cells.append(f"{value * factor:.{digits}f} [{low * factor:.{digits}f}, {high * factor:.{digits}f}]{unit}")
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train both, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.videos", description=__doc__)
    parser.add_argument("--env", default=ENV_ID, help="whose videos (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=600, help="of training, for each (default: %(default)s)")
    parser.add_argument("--windows", type=int, default=N_WINDOWS, help="to learn from (default: %(default)s)")
    parser.add_argument("--videos", type=int, default=N_VIDEOS, help="to measure with (default: %(default)s)")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page lies")
    args = parser.parse_args(arguments)
    env: Any = gym.make(args.env, view_velocity=True).unwrapped
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    speeds = NATURAL_SPEED * rng.uniform(*SPEEDS, args.windows)
    learnt = windows_of([video(env, seed, WINDOW, speed) for seed, speed in enumerate(speeds)])
    seen = [video(env, FIRST_SEED + index, N_FRAMES, NATURAL_SPEED) for index in range(args.videos)]
    kinds = {CLEAN: seen} | {
        kind: [(corrupt_video(frames, kind, index), states) for index, (frames, states) in enumerate(seen)]
        for kind in VIDEO_CORRUPTIONS
    }
    picture = spaces.Dict({keys.IMAGE: spaces.Box(0, 255, learnt.images.shape[2:], np.uint8)})
    found: dict[str, dict[str, dict[str, FloatArray]]] = {kind: {} for kind in kinds}
    with torch_threads(1):
        for name, reader in READERS.items():
            th.manual_seed(0)
            translator = reader(picture, state_dim=learnt.states.shape[2])
            n_seen = train(translator, learnt, args.seconds)
            print(f"{name}: learnt from {n_seen} windows of {WINDOW} frames in {args.seconds:g} s", flush=True)
            for kind, videos in kinds.items():
                found[kind][name] = measure(env, translator, videos)
    env.close()
    text = (
        f"{table(found)}\n\nMean [95 % bootstrap interval] over {args.videos} videos of `{args.env}` at natural speed,"
        f" {N_FRAMES} frames each, seeds from {FIRST_SEED:,}; velocities: median relative error of joints that turn by more"
        f" than 5 deg/s. Each learnt for {args.seconds:g} s of one processor from {args.windows:,} videos of {WINDOW} frames."
        f" {machine()}."
    )
    print(text)
    write_between_marks(args.docs / "moving.md", "videos", text)


if __name__ == "__main__":
    main()
