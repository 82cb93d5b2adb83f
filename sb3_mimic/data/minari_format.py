"""Writes collections as Minari's data sets, and reads those of others, without losing anything."""

import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sb3_mimic import keys
from sb3_mimic.data.collection import SHARD_STEPS, columns_of
from sb3_mimic.data.manifest import Manifest
from sb3_mimic.data.shards import ACTION, IS_FIRST, IS_LAST, IS_TERMINAL, REWARD, Arrays, Shards, write_shard
from sb3_mimic.errors import CollectionError, PackageError

OWN = (ACTION, REWARD, IS_FIRST, IS_LAST, IS_TERMINAL)


def export_minari(shards: Shards, dataset_id: str) -> Path:
    """
    Writes a collection as a data set of Minari, which keeps those in ``~/.minari/datasets``, or where ``MINARI_DATASETS_PATH``
    says. Pictures are kept as they are, and not as JPEG.

    :param shards: A collection
    :param dataset_id: Such as ``mimic/reacher-plane/smooth-v0``
    :return: The folder of the data set
    :raises PackageError: When Minari is not installed
    :raises CollectionError: When there is such a data set, or it cannot have this name
    """
    minari = _minari()
    manifest = shards.manifest
    with closing(gym.make(manifest.env_id, **manifest.env_kwargs)) as env, warnings.catch_warnings():
        # It would have an author and more
        warnings.simplefilter("ignore", UserWarning)
        try:
            dataset = minari.create_dataset_from_buffers(
                dataset_id,
                # One after the other: a collection may be larger than memory
                _buffers(shards, isinstance(env.observation_space, spaces.Dict)),
                env=env,
                algorithm_name=manifest.policy,
                description=f"Steps of {manifest.env_id}, collected by sb3-mimic, seed {manifest.seed}",
                jpeg_encoding=False,
            )
        except ValueError as error:
            raise CollectionError(f"Minari takes no data set named {dataset_id!r}: {error}") from error
    return Path(dataset.storage.data_path)


def import_minari(dataset_id: str, folder: str | Path, shard_steps: int = SHARD_STEPS) -> Manifest:
    """
    Writes a data set of Minari as a collection.

    :param dataset_id: A data set that Minari has on this machine
    :param folder: Where the collection is to lie, empty or missing
    :param shard_steps: Steps of a file at least, but of the last: episodes stay whole
    :return: The manifest of the collection
    :raises PackageError: When Minari is not installed
    :raises CollectionError: When there is no such data set, or something else lies in the folder
    :raises UnsuitableEnvError: When observations or actions are of a kind that cannot be kept
    """
    minari, folder = _minari(), Path(folder)
    try:
        dataset = minari.load_dataset(dataset_id)
    except (FileNotFoundError, ValueError) as error:
        raise CollectionError(
            f"Minari has no data set {dataset_id!r} on this machine: {error}. Get it: minari download"
        ) from error
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CollectionError(f"{folder} is no empty folder. Give another one.")
    folder.mkdir(parents=True, exist_ok=True)
    spec = dataset.env_spec
    manifest = Manifest(
        env_id=dataset_id if spec is None else spec.id,
        env_kwargs={} if spec is None else dict(spec.kwargs),
        policy=str(dataset.storage.metadata.get("algorithm_name") or "unknown"),
        seed=0,
        n_steps=int(dataset.total_steps),
        shard_steps=shard_steps,
        columns=columns_of(dataset.observation_space, dataset.action_space),
    )
    rows: list[Arrays] = []
    n_files = n_rows = 0
    for episode in dataset.iterate_episodes():
        rows.append(_rows(episode, manifest))
        n_rows += len(rows[-1][ACTION]) - 1
        if n_rows >= shard_steps:
            write_shard(folder / manifest.file_of(n_files), _joined(rows))
            n_files, n_rows, rows = n_files + 1, 0, []
    if rows:
        write_shard(folder / manifest.file_of(n_files), _joined(rows))
        n_files += 1
    # Last, so that what was broken off is no collection
    whole = replace(manifest, n_files=n_files)
    whole.write(folder)
    return whole


def _minari() -> Any:
    try:
        import minari
    except ImportError as error:
        raise PackageError(f"{error}. Minari's data sets need: pip install 'sb3_mimic[data]'") from error
    return minari


def _buffers(shards: Shards, is_dict: bool) -> Iterator[Any]:
    from minari.data_collector import EpisodeBuffer

    shown = [name for name in shards.manifest.columns if name not in OWN]
    for shard in shards:
        ends = np.flatnonzero(shard.read(IS_LAST)) + 1
        for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            observations = {name: shard.read(name, begin, end) for name in shown}
            n_steps = end - begin - 1
            terminations, truncations = np.zeros(n_steps, bool), np.zeros(n_steps, bool)
            terminations[-1] = shard.read(IS_TERMINAL, end - 1, end)[0]
            truncations[-1] = not terminations[-1]
            yield EpisodeBuffer(
                observations=observations if is_dict else observations[keys.OBSERVATION],
                actions=shard.read(ACTION, begin, end - 1),
                rewards=shard.read(REWARD, begin, end - 1),
                terminations=terminations,
                truncations=truncations,
            )


def _rows(episode: Any, manifest: Manifest) -> Arrays:
    """Returns an episode's rows: one for each observation, the last without action and reward."""
    observations = episode.observations
    if not isinstance(observations, dict):
        observations = {keys.OBSERVATION: observations}
    n = len(episode.rewards) + 1
    marks = {name: np.zeros(n, bool) for name in (IS_FIRST, IS_LAST, IS_TERMINAL)}
    marks[IS_FIRST][0] = marks[IS_LAST][-1] = True
    marks[IS_TERMINAL][-1] = bool(episode.terminations[-1])
    columns = manifest.columns
    rows = {name: np.asarray(value, columns[name].dtype) for name, value in observations.items()}
    nothing = np.zeros((1, *columns[ACTION].shape), columns[ACTION].dtype)
    rows[ACTION] = np.concatenate(
        (np.asarray(episode.actions, columns[ACTION].dtype).reshape(n - 1, *nothing.shape[1:]), nothing)
    )
    rows[REWARD] = np.append(np.asarray(episode.rewards, np.float32), np.float32(0))
    return {name: (rows | marks)[name] for name in columns}


def _joined(rows: list[Arrays]) -> dict[str, npt.NDArray[Any]]:
    return {name: np.concatenate([each[name] for each in rows]) for name in rows[0]}
