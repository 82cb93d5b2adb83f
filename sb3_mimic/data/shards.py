"""Writes and reads steps on the disk, in shards of safetensors: they hold numbers and text, and can run nothing."""

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sb3_mimic.data.dataset import Dataset
from sb3_mimic.data.manifest import Column, Manifest
from sb3_mimic.errors import CollectionError, ShardError
from sb3_mimic.writing import written_whole

Arrays = dict[str, npt.NDArray[Any]]

# Rows of a shard: one for each observation. The last one of an episode has no action; first and last ones are marked.
ACTION, REWARD, IS_FIRST, IS_LAST, IS_TERMINAL = "action", "reward", "is_first", "is_last", "is_terminal"
# Under this name the checksums of a shard's columns stand in its metadata, as JSON
CHECKSUMS = "crc32"


def write_shard(path: Path, arrays: Arrays) -> None:
    """
    Writes a shard whole or not at all.

    :param path: Its file
    :param arrays: Its columns, each of shape (n_rows, ...)
    :raises OSError: When it cannot be written
    """
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    checksums = {name: _checksum(array) for name, array in whole.items()}
    with written_whole(path) as part:
        try:
            save_file(whole, part, metadata={CHECKSUMS: json.dumps(checksums)})
        except SafetensorError as error:
            # It tells of the disk in words of its own
            raise OSError(str(error)) from error


class Shard:
    """
    Reads the rows of a shard; nothing of it stays in memory.

    :param path: Its file
    :param columns: What must stand in it, by name
    :raises ShardError: When it is missing or damaged
    """

    def __init__(self, path: Path, columns: Mapping[str, Column]):
        self.path = path
        try:
            file: Any = safe_open(path, framework="np")
            self._file = file
            names = set(file.keys())
            self._slices = {name: file.get_slice(name) for name in columns if name in names}
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error
        lengths = set()
        for name, column in columns.items():
            if name not in self._slices:
                raise _damaged(path, f"it has no '{name}'")
            length, *shape = self._slices[name].get_shape()
            if tuple(shape) != column.shape:
                raise _damaged(path, f"'{name}' has rows of shape {tuple(shape)}, and not {column.shape}")
            lengths.add(length)
        if len(lengths) != 1:
            raise _damaged(path, "its columns have different lengths")
        self._n_rows: int = lengths.pop()

    def __len__(self) -> int:
        return self._n_rows

    def read(self, name: str, start: int = 0, stop: int | None = None) -> npt.NDArray[Any]:
        """
        Reads rows of a column.

        :param name: The column
        :param start: First row
        :param stop: The row after the last one; the end by default
        :return: A copy, shape (n, ...)
        """
        array: npt.NDArray[Any] = self._slices[name][start : self._n_rows if stop is None else stop]
        return array

    def fault(self) -> str:
        """Compares all that is in it with its checksums, and returns what is wrong; empty where nothing is."""
        try:
            checksums = json.loads((self._file.metadata() or {})[CHECKSUMS])
            wrong = [name for name in self._slices if _checksum(self.read(name)) != checksums[name]]
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            return str(_damaged(self.path, f"it lacks checksums: {error!r}"))
        return str(_damaged(self.path, f"the checksum of '{wrong[0]}' is another")) if wrong else ""


class Shards:
    """
    Reads a collection by windows. Of what is on the disk only the marks of first and last rows stay in memory.

    :param folder: Where it lies
    :param is_complete: Whether it must be complete; otherwise what is there is read
    :raises CollectionError: When there is none, or it is not complete
    :raises ShardError: When a shard is damaged
    """

    def __init__(self, folder: str | Path, is_complete: bool = False):
        self.folder, self.manifest = Path(folder), Manifest.read(folder)
        manifest = self.manifest
        there = [index for index in range(manifest.n_shards) if (self.folder / manifest.file_of(index)).is_file()]
        if (is_complete and len(there) < manifest.n_shards) or not there:
            raise CollectionError(
                f"Of {manifest.n_shards} shards {len(there)} are in {folder}. Run the same sb3-mimic collect again: it goes"
                " on."
            )
        self.indices = tuple(there)
        self._shards = [Shard(self.folder / manifest.file_of(index), manifest.columns) for index in there]
        firsts = [shard.read(IS_FIRST) for shard in self._shards]
        # The row in which each row's episode begins, in its shard
        self._begins = [np.maximum.accumulate(np.where(first, np.arange(len(first)), 0)) for first in firsts]
        self.n_episodes = int(sum(first.sum() for first in firsts))
        self._starts: dict[int, npt.NDArray[np.int64]] = {}

    def __len__(self) -> int:
        """Number of rows"""
        return sum(len(shard) for shard in self._shards)

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._shards)

    def starts(self, length: int) -> npt.NDArray[np.int64]:
        """
        Returns where windows can begin that lie within one episode.

        :param length: Rows of a window
        :return: Shard and row, shape (n, 2)
        :raises CollectionError: When no episode is so long
        """
        if length not in self._starts:
            found = []
            for place, begins in enumerate(self._begins):
                rows = np.arange(max(0, len(begins) - length + 1))
                rows = rows[begins[rows + length - 1] <= rows]
                found.append(np.stack((np.full(len(rows), place), rows), axis=1))
            self._starts[length] = np.concatenate(found)
        if not len(self._starts[length]):
            raise CollectionError(f"No episode in {self.folder} has {length} rows: take shorter windows.")
        return self._starts[length]

    def windows(self, starts: npt.NDArray[np.int64], length: int, names: tuple[str, ...]) -> Arrays:
        """
        Reads windows.

        :param starts: Some of what :meth:`starts` gives, shape (n, 2)
        :param length: Rows of each
        :param names: Columns
        :return: By name, shape (n, length, ...) each, a copy
        """
        columns = self.manifest.columns
        read: Arrays = {name: np.empty((len(starts), length, *columns[name].shape), columns[name].dtype) for name in names}
        for index, (place, row) in enumerate(starts):
            for name, array in read.items():
                array[index] = self._shards[place].read(name, row, row + length)
        return read

    def sample(self, n: int, length: int, names: tuple[str, ...], rng: np.random.Generator) -> Arrays:
        """Reads n windows drawn at random, with replacement, see :meth:`windows`."""
        starts = self.starts(length)
        return self.windows(starts[np.sort(rng.integers(len(starts), size=n))], length, names)

    def dataset(self, starts: npt.NDArray[np.int64], length: int, image: str, label: str) -> Dataset:
        """
        Reads windows for a translator to learn from.

        :param starts: Some of what :meth:`starts` gives
        :param length: Rows of each
        :param image: Column of the pictures
        :param label: Column of the states in them
        :return: The windows
        """
        read = self.windows(starts, length, (image, label))
        begins = np.zeros((len(starts), length), bool)
        begins[:, 0] = True
        return Dataset(np.ascontiguousarray(read[image].transpose(0, 1, 4, 2, 3)), read[label], begins)


def _checksum(array: npt.NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)


def _damaged(path: Path, why: object) -> ShardError:
    return ShardError(f"{path} is damaged: {why}. Delete it and run the same sb3-mimic collect again: it is collected anew.")
