"""Collects steps of environments into shards on the disk, in one process or in several."""

import errno
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_mimic import keys
from sb3_mimic.data.manifest import MANIFEST, Column, Manifest
from sb3_mimic.data.shards import ACTION, IS_FIRST, IS_LAST, IS_TERMINAL, REWARD, Arrays, Shard, write_shard
from sb3_mimic.data.workers import done
from sb3_mimic.errors import CollectionError, ShardError, UnsuitableEnvError

# Steps of a shard: 50 MB of pictures of 64 x 64 pixels
SHARD_STEPS = 4000
# How long smooth actions take to become others, at least and at most: in s, and in steps where nobody says how long those are
MEMORY, MEMORY_STEPS = (0.02, 0.5), (1, 30)
# How far they wander, at least and at most, in halves of the action space
STRENGTH = 0.2, 1.0
GROWTH = 1.5


class Policy(Protocol):
    """Chooses actions while steps are collected."""

    def begin(self, env: gym.Env[Any, Any], rng: np.random.Generator) -> None:
        """Begins an episode of an environment; all that is drawn comes from the generator."""

    def act(self, observation: Any) -> Any:
        """Returns an action for an observation."""


class RandomPolicy:
    """Draws each action from the whole of the action space."""

    def begin(self, env: gym.Env[Any, Any], rng: np.random.Generator) -> None:
        space = env.action_space
        self._space, self._rng = space, rng
        self._is_bounded = isinstance(space, spaces.Box) and space.is_bounded()
        if not self._is_bounded:
            space.seed(int(rng.integers(2**31)))

    def act(self, observation: Any) -> Any:
        space: Any = self._space
        return self._rng.uniform(space.low, space.high).astype(space.dtype) if self._is_bounded else space.sample()


class SmoothPolicy:
    """
    Lets actions wander (an Ornstein-Uhlenbeck process, clipped to the action space), so that a robot gets further than by
    actions of which each undoes what the one before did: in each episode as fast and as far as is drawn for it.
    """

    def begin(self, env: gym.Env[Any, Any], rng: np.random.Generator) -> None:
        space = env.action_space
        if not isinstance(space, spaces.Box) or not space.is_bounded():
            raise UnsuitableEnvError(
                f"Smooth actions need a Box with bounds, and the environment takes {space}. Take random ones."
            )
        fps = float(env.metadata.get("render_fps") or 0)
        shortest, longest = np.multiply(MEMORY, fps) if fps else MEMORY_STEPS
        self._kept = math.exp(-1 / (shortest * (longest / shortest) ** rng.uniform()))
        self._rng, self._space = rng, space
        self._middle, self._half = (space.high + space.low) / 2, (space.high - space.low) / 2
        self._strength = rng.uniform(*STRENGTH)
        # As often near one end as near the other, and beyond them at times
        self._now = rng.normal(size=space.shape)

    def act(self, observation: Any) -> Any:
        noise = self._rng.normal(size=self._now.shape)
        self._now = self._kept * self._now + math.sqrt(1 - self._kept**2) * noise
        action = self._middle + self._half * np.clip(self._strength * self._now, -1, 1)
        return action.astype(self._space.dtype)


POLICIES: dict[str, Callable[[], Policy]] = {"random": RandomPolicy, "smooth": SmoothPolicy}


@dataclass(frozen=True)
class _Job:
    """What a process needs to collect shards."""

    folder: Path
    manifest: Manifest
    make_policy: Callable[[], Policy]
    index: int

    def __repr__(self) -> str:
        return self.manifest.file_of(self.index)


def plan(
    env_id: str,
    n_steps: int,
    policy: str,
    seed: int = 0,
    env_kwargs: Mapping[str, Any] | None = None,
    shard_steps: int = SHARD_STEPS,
    packages: tuple[str, ...] = (),
    left_out: tuple[str, ...] = (keys.DESIRED_IMAGE,),
) -> Manifest:
    """
    Plans a collection. All that an observation holds is kept, but the picture of the goal, which its state can draw.

    :param env_id: Id of the environment
    :param n_steps: Steps in all
    :param policy: Name of what chooses the actions
    :param seed: Of everything
    :param env_kwargs: Arguments of the environment
    :param shard_steps: Steps of a shard
    :param packages: What is to be imported before the environment is known
    :param left_out: Keys that observations do without, where the environment lets itself be told what to show
    :return: The manifest of what is to be collected
    :raises UnsuitableEnvError: When observations or actions are of a kind that cannot be kept
    :raises CollectionError: When an argument is not allowed
    """
    if n_steps < 1 or shard_steps < 1 or seed < 0:
        raise CollectionError(
            f"Steps must be 1 at least and the seed 0, got {n_steps} steps, {shard_steps} in a shard, and the seed {seed}."
        )
    kwargs = dict(env_kwargs or {})
    shown = _shown(env_id, kwargs, left_out)
    if shown is not None:
        kwargs["observation_keys"] = shown
    try:
        kwargs = json.loads(json.dumps(kwargs))
    except (TypeError, ValueError) as error:
        raise CollectionError(f"Arguments of the environment must be plain data, got {kwargs}: {error}") from error
    with closing(gym.make(env_id, **kwargs)) as env:
        bare: Any = env.unwrapped
        columns = columns_of(env.observation_space, env.action_space)
        goals = {keys.ACHIEVED_GOAL, keys.DESIRED_GOAL} & set(columns) if hasattr(bare, "pose_layout") else set()
        return Manifest(
            env_id=env_id,
            env_kwargs=kwargs,
            policy=policy,
            seed=seed,
            n_steps=n_steps,
            shard_steps=shard_steps,
            columns=columns,
            layouts={key: bare.pose_layout for key in sorted(goals)},
            fps=float(env.metadata.get("render_fps") or 0),
            renderer=getattr(bare, "renderer", None),
            packages=packages,
        )


def _shown(env_id: str, env_kwargs: Mapping[str, Any], left_out: tuple[str, ...]) -> list[str] | None:
    """Returns what an environment is to show; None where that is all it has, or it does not let itself be told."""
    with closing(gym.make(env_id, **env_kwargs)) as env:
        shown = getattr(env.unwrapped, "observation_keys", ())
    return [key for key in shown if key not in left_out] if set(shown) & set(left_out) else None


def collect(
    folder: str | Path,
    manifest: Manifest,
    make_policy: Callable[[], Policy],
    n_workers: int = 1,
    on_steps: Callable[[int], object] | None = None,
    cluster: str | None = None,
) -> int:
    """
    Collects steps, or what is missing of a collection that was begun. A shard is there as a whole or not at all, and the same
    whoever collects it.

    :param folder: Where the collection lies; made where it is missing
    :param manifest: What :func:`plan` gives. One with more steps than what is there continues that
    :param make_policy: Makes what chooses the actions; of a module, so that processes find it
    :param n_workers: Processes
    :param on_steps: Is told how many steps came, at first how many were there
    :param cluster: Address of a Ray cluster that collects instead, see :func:`~sb3_mimic.data.workers.done`: its machines
        write into the folder where they see it, and send what they collect where they do not
    :return: How many shards were collected
    :raises CollectionError: When something else lies there, or the disk is full
    :raises WorkerError: When processes died again and again
    """
    folder = Path(folder)
    _begin(folder, manifest)
    tell = on_steps or (lambda n: None)
    jobs = [_Job(folder, manifest, make_policy, index) for index in range(manifest.n_shards)]
    missing = [job for job in jobs if not _is_there(job)]
    tell(sum(manifest.steps_of(job.index) for job in jobs) - sum(manifest.steps_of(job.index) for job in missing))
    if cluster is None:
        for job, _ in done(_collect, missing, n_workers):
            tell(manifest.steps_of(job.index))
    else:
        _collect_on(cluster, missing, lambda job: tell(manifest.steps_of(job.index)))
    return len(missing)


def _begin(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, where nothing else lies there."""
    if (folder / MANIFEST).is_file():
        there = Manifest.read(folder)
        if replace(there, n_steps=manifest.n_steps) != manifest:
            differing = [
                name for name in vars(manifest) if name != "n_steps" and getattr(there, name) != getattr(manifest, name)
            ]
            told = ", ".join(f"{name} {getattr(there, name)!r} and not {getattr(manifest, name)!r}" for name in differing[:2])
            raise CollectionError(f"In {folder} lies another collection, with {told}. Give another folder.")
        if there.n_steps > manifest.n_steps:
            raise CollectionError(
                f"In {folder} lies a collection of {there.n_steps} steps. Ask for as many at least, or give another folder."
            )
        if there == manifest:
            return
        # The last shard may have been a shorter one
        (folder / there.file_of(there.n_shards - 1)).unlink(missing_ok=True)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CollectionError(f"{folder} is no empty folder, and has no {MANIFEST}. Give another one.")
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write(folder)


def _is_there(job: _Job) -> bool:
    path = job.folder / job.manifest.file_of(job.index)
    if not path.is_file():
        return False
    try:
        Shard(path, job.manifest.columns)
    except ShardError:
        return False
    return True


def _collect(job: _Job) -> None:
    """Collects one shard."""
    _write(job, _collected(job))


def _collect_on(cluster: str, jobs: list[_Job], tell: Callable[[_Job], object]) -> None:
    """Collects shards on a Ray cluster."""
    jobs, unseen = [replace(job, folder=job.folder.resolve()) for job in jobs], []
    for job, arrays in done(_collected_there, jobs, cluster=cluster):
        if arrays is not None:
            _write(job, arrays)
        elif not _is_there(job):
            # It was written into another folder that looks the same
            unseen.append(job)
            continue
        tell(job)
    for job, arrays in done(_collected, unseen, cluster=cluster) if unseen else ():
        _write(job, arrays)
        tell(job)


def _collected_there(job: _Job) -> Arrays | None:
    """Collects one shard and writes it, where the folder is to be seen; returns its rows where it is not."""
    arrays = _collected(job)
    try:
        is_seen = Manifest.read(job.folder) == job.manifest
    except CollectionError:
        is_seen = False
    if not is_seen:
        return arrays
    _write(job, arrays)
    return None


def _collected(job: _Job) -> Arrays:
    """Returns the rows of a shard."""
    if job.manifest.packages:
        import importlib

        for package in job.manifest.packages:
            importlib.import_module(package)
    with closing(gym.make(job.manifest.env_id, **job.manifest.env_kwargs)) as env:
        return _steps(env, job.make_policy(), job.manifest, job.index)


def _write(job: _Job, arrays: Arrays) -> None:
    path = job.folder / job.manifest.file_of(job.index)
    try:
        write_shard(path, arrays)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        why = "the disk is full" if is_full else str(error)
        raise CollectionError(
            f"Cannot write {path}: {why}. What was collected before is kept: make room, and run the same command again."
        ) from error


def _steps(env: gym.Env[Any, Any], policy: Policy, manifest: Manifest, index: int) -> Arrays:
    """Returns the rows of a shard."""
    rng = np.random.default_rng([manifest.seed, index])
    n_left = manifest.steps_of(index)
    seed: int | None = int(rng.integers(2**31))
    rows, is_dict = _Rows(manifest.columns, n_left + n_left // 50 + 2), isinstance(env.observation_space, spaces.Dict)
    nothing = np.zeros(manifest.columns[ACTION].shape, manifest.columns[ACTION].dtype)
    while n_left:
        observation, _ = env.reset(seed=seed)
        policy.begin(env, rng)
        seed, is_first, ended = None, True, False
        while n_left and not ended:
            action = policy.act(observation)
            before = observation
            observation, reward, terminated, truncated, _ = env.step(action)
            rows.add(before if is_dict else {keys.OBSERVATION: before}, action, reward, is_first, False, False)
            n_left, is_first, ended = n_left - 1, False, terminated or truncated
        rows.add(observation if is_dict else {keys.OBSERVATION: observation}, nothing, 0.0, False, True, terminated)
    return rows.arrays()


class _Rows:
    """Rows that grow in number."""

    def __init__(self, columns: Mapping[str, Column], capacity: int):
        self._arrays: Arrays = {name: np.empty((capacity, *column.shape), column.dtype) for name, column in columns.items()}
        own = (ACTION, REWARD, IS_FIRST, IS_LAST, IS_TERMINAL)
        self._shown = [(name, array) for name, array in self._arrays.items() if name not in own]
        self._n, self._capacity = 0, capacity

    def add(self, observation: Mapping[str, Any], action: Any, reward: Any, is_first: bool, is_last: bool, ends: bool) -> None:
        if self._n == self._capacity:
            self._grow()
        n, arrays = self._n, self._arrays
        for name, array in self._shown:
            array[n] = observation[name]
        arrays[ACTION][n], arrays[REWARD][n] = action, reward
        arrays[IS_FIRST][n], arrays[IS_LAST][n], arrays[IS_TERMINAL][n] = is_first, is_last, ends
        self._n = n + 1

    def _grow(self) -> None:
        self._capacity = int(GROWTH * self._capacity) + 1
        for name, array in self._arrays.items():
            grown = np.empty((self._capacity, *array.shape[1:]), array.dtype)
            grown[: self._n] = array
            self._arrays[name] = grown
        self._shown = [(name, self._arrays[name]) for name, _ in self._shown]

    def arrays(self) -> Arrays:
        return {name: array[: self._n] for name, array in self._arrays.items()}


def columns_of(space: gym.Space[Any], action_space: gym.Space[Any]) -> dict[str, Column]:
    """
    Returns what stands in the rows of an environment's steps, by name.

    :param space: Its observation space
    :param action_space: Its action space
    :raises UnsuitableEnvError: When observations or actions are of a kind that cannot be kept
    """
    shown = space.spaces if isinstance(space, spaces.Dict) else {keys.OBSERVATION: space}
    columns = {name: _column(name, each) for name, each in _kept(shown)}
    columns[ACTION] = _column("actions", action_space)
    return columns | {REWARD: Column("float32", ())} | {name: Column("bool", ()) for name in (IS_FIRST, IS_LAST, IS_TERMINAL)}


def _kept(shown: Mapping[str, gym.Space[Any]]) -> Iterator[tuple[str, gym.Space[Any]]]:
    taken = {ACTION, REWARD, IS_FIRST, IS_LAST, IS_TERMINAL} & set(shown)
    if taken:
        raise UnsuitableEnvError(f"Observations have the key '{taken.pop()}', under which something else is kept. Rename it.")
    yield from shown.items()


def _column(name: str, space: gym.Space[Any]) -> Column:
    if not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        raise UnsuitableEnvError(f"Of '{name}' only arrays can be kept, and it is {space}. Flatten it by a wrapper.")
    return Column(np.dtype(space.dtype).name, tuple(space.shape or ()))
