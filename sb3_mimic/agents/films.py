"""Films a robot that moves, and keeps tables of joint positions beside videos."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.tasks.motion import NATURAL_SPEED, circling, random_motion, waving
from sb3_mimic.errors import InputError, UnsuitableEnvError
from sb3_mimic.writing import check_output, write_whole

Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

MOTIONS = ("random", "wave", "circle")
TABLES = (".csv", ".json")
TIME = "time_s"
# Of a table that is read, in bytes
MAX_BYTES = 32 * 2**20
# Frames that are drawn at once
N_AT_ONCE = 16


@dataclass(frozen=True)
class Script:
    """
    A motion that was written down, in straight lines from one moment to the next.

    :param times: In s, rising, shape (n,)
    :param places: Joint positions, shape (n, n_joints), in rad, or m for slides
    """

    times: FloatArray
    places: FloatArray

    def qpos(self, time: float | npt.NDArray[np.floating]) -> FloatArray:
        """Returns joint positions, see :meth:`~sb3_mimic.envs.tasks.motion.Motion.qpos`; before and after it nothing moves."""
        columns = [np.interp(time, self.times, column) for column in self.places.T]
        return np.stack(columns, axis=-1)


def motion_of(env: gym.Env[Any, Any], how: str | Path, speed: float = NATURAL_SPEED, seed: int = 0) -> Any:
    """
    Finds a motion of an environment's robot.

    :param env: The environment
    :param how: ``random``, ``wave`` or ``circle``, or the file of a table, see :func:`read_table`
    :param speed: No joint is faster, in rad/s or m/s; a table has its own
    :param seed: Of a random one
    :return: The motion, whose ``qpos`` gives joint positions at a time
    :raises UnsuitableEnvError: When the environment's robot cannot be photographed in other poses
    :raises InputError: When there is no such motion
    """
    robot = filmed(env).robot
    if how in MOTIONS:
        limits = robot.joint_low, robot.joint_high, speed
        makers = {"random": lambda *all: random_motion(np.random.default_rng(seed), *all), "wave": waving, "circle": circling}
        return makers[str(how)](*limits)
    if Path(how).suffix.lower() != ".csv":
        raise InputError(f"Unknown motion '{how}'. Known motions: {', '.join(MOTIONS)}; or give a table, a .csv.")
    times, places = read_table(Path(how), robot.joint_names)
    outside = (places < robot.joint_low - 1e-6) | (places > robot.joint_high + 1e-6)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise InputError(
            f"{how}: at {times[row]:g} s {robot.joint_names[column]} is at {places[row, column]:.4g}, beyond its limits"
            f" {robot.joint_low[column]:.4g} and {robot.joint_high[column]:.4g} (rad, or m)."
        )
    return Script(times, places)


def film(
    env: gym.Env[Any, Any], motion: Any, n_frames: int, fps: float, height: int | None = None
) -> Iterator[tuple[FloatArray, Picture]]:
    """
    Films a robot that moves, by its own camera.

    :param env: The environment; its episode stays as it is
    :param motion: What :func:`motion_of` gives
    :param n_frames: How many frames
    :param fps: Frames per second
    :param height: Of the frames, in pixels; the width follows. By default that of the robot's own
    :return: One after the other: the joint positions, shape (n_joints,), in rad or m, and the frame, shape (height, width, 3)
    :raises UnsuitableEnvError: When the environment's robot cannot be photographed in other poses
    """
    bare = filmed(env)
    view = bare.camera
    if height is not None:
        view = replace(view, width=round(height * view.width / view.height), height=height)
    for first in range(0, n_frames, N_AT_ONCE):
        qpos = motion.qpos(np.arange(first, min(first + N_AT_ONCE, n_frames)) / fps)
        yield from zip(qpos, bare.photographs(qpos, view), strict=True)


def filmed(env: gym.Env[Any, Any]) -> Any:
    """
    Returns the environment whose robot is photographed.

    :raises UnsuitableEnvError: When there is none
    """
    bare: Any = env.unwrapped
    missing = [name for name in ("photographs", "camera", "robot", "pose_of") if not hasattr(bare, name)]
    if missing:
        raise UnsuitableEnvError(
            f"A film needs an environment that photographs its robot in any pose, and {bare} has no {missing[0]}."
        )
    return bare


def columns_of(env: gym.Env[Any, Any]) -> list[str]:
    """Returns the names of a table's columns that hold joints: each with its unit, deg or m."""
    robot = filmed(env).robot
    return [f"{name}_{'m' if unit == 'm' else 'deg'}" for name, unit in zip(robot.joint_names, robot.units, strict=True)]


def in_units(env: gym.Env[Any, Any], qpos: npt.NDArray[np.floating]) -> list[float]:
    """Returns joint positions as they stand in a table, in deg or m."""
    return [round(float(value), 4) for value in qpos * filmed(env).robot.display_scale]


def write_table(path: str | Path, columns: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
    """
    Writes a table: a .csv with one line for each moment, or a .json with one list for each column.

    :param path: The file
    :param columns: Their names, the time in s first
    :param rows: Their values
    :raises OutputError: When it cannot be written
    """
    path = check_output(path, TABLES)
    if path.suffix.lower() == ".json":
        write_whole(path, json.dumps({name: [row[index] for row in rows] for index, name in enumerate(columns)}))
        return
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_whole(path, stream.getvalue())


def read_table(path: Path, joint_names: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """
    Reads a table of joint positions: a .csv whose first line names its columns: ``time_s``, and each joint with its unit, such
    as ``elbow_deg``, or ``slide_m``. Other columns are passed over.

    :param path: The file
    :param joint_names: Names of the joints
    :return: Times in s, shape (n,), and positions in rad, or m for slides, shape (n, n_joints)
    :raises InputError: When it is missing, damaged or too large, lacks a joint, or its times do not rise
    """
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise InputError(f"There is no table {path} of at most {MAX_BYTES // 2**20} MiB.")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        names = lines[0].keys() if lines else {}
        chosen = [next((column for column in (f"{name}_deg", f"{name}_m") if column in names), name) for name in joint_names]
        missing = [column for column in (TIME, *chosen) if column not in names]
        if missing:
            raise InputError(f"{path} has no column '{missing[0]}{'' if missing[0] == TIME else '_deg'}'.")
        times = np.array([float(line[TIME]) for line in lines])
        factors = [math.radians(1) if column.endswith("_deg") else 1.0 for column in chosen]
        places = np.array([[float(line[column]) for column in chosen] for line in lines]) * factors
    except (csv.Error, UnicodeDecodeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no table of numbers: {error}") from error
    if not np.isfinite(times).all() or not np.isfinite(places).all() or (np.diff(times) <= 0).any():
        raise InputError(f"{path} must hold finite numbers, and times that rise.")
    return times, places
