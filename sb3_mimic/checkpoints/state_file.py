"""The file beside a checkpoint: plain numbers and arrays, no pickle, written whole or not at all."""

import json
import zipfile
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sb3_mimic.errors import RunStateError

FORMAT = 2
# In 1 the state of environments was what they told of themselves, and four attributes of their wrappers
READABLE = (1, FORMAT)
SUFFIX = ".state.npz"
# Pictures of robots on white shrink thirtyfold at the fastest level
COMPRESSION_LEVEL = 1
TREE, ARRAY, BYTES = "tree", "__array__", "__bytes__"


def state_file(checkpoint: Path) -> Path:
    """Returns where the state of the run is that a checkpoint (a .zip) was taken from."""
    return checkpoint.with_suffix(SUFFIX)


def fingerprint(checkpoint: Path) -> str:
    """
    Computes what tells the weights in a checkpoint from others.

    :param checkpoint: A zip of SB3's
    :return: The checksums of all weights and optimisers in it: the same for another file with the same ones
    :raises RunStateError: When it is no whole zip
    """
    try:
        with zipfile.ZipFile(checkpoint) as file:
            entries = sorted((info.filename, info.CRC) for info in file.infolist() if info.filename.endswith(".pth"))
    except (OSError, NotImplementedError, ValueError, zipfile.BadZipFile) as error:
        raise RunStateError(f"{checkpoint} is not a whole checkpoint: {error}. Take an earlier one.") from error
    return " ".join(f"{name}:{checksum:08x}" for name, checksum in entries)


def write_state(path: Path, tree: dict[str, Any]) -> None:
    """
    Writes a state.

    :param path: The file
    :param tree: Nested dicts and lists of numbers, texts, bytes and arrays
    """
    arrays: list[np.ndarray[Any, Any]] = []
    text = json.dumps(_packed({"format": FORMAT, **tree}, arrays))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL) as file:
        for name, array in [(TREE, np.frombuffer(text.encode(), np.uint8)), *((str(i), a) for i, a in enumerate(arrays))]:
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array, order="C"), allow_pickle=False)


def read_tree(path: Path) -> dict[str, Any]:
    """
    Reads a state without its arrays.

    :param path: A file of :func:`write_state`
    :return: What was written, but for its arrays
    :raises RunStateError: When the file is damaged, or from another version
    """
    return _read(path, lambda tree, file: tree)


def read_state(path: Path, *parts: str) -> dict[str, Any]:
    """
    Reads a state, or parts of it.

    :param path: A file of :func:`write_state`
    :param parts: Names of the parts that are needed; all by default
    :return: What was written. Nothing in the file can run code.
    :raises RunStateError: When the file is damaged, from another version, or has no such part
    """

    def take(tree: dict[str, Any], file: Any) -> dict[str, Any]:
        wanted = {name: tree[name] for name in parts or tree}
        unpacked: dict[str, Any] = _unpacked(wanted, lambda name: file[name])
        return unpacked

    return _read(path, take)


def _read(path: Path, take: Callable[[dict[str, Any], Any], dict[str, Any]]) -> dict[str, Any]:
    try:
        # np.load would leave a file open that it cannot read
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            tree = json.loads(bytes(file[TREE]))
            if not isinstance(tree, dict) or tree.get("format") not in READABLE:
                raise RunStateError(
                    f"{path} has another format than this version of sb3_mimic reads ({', '.join(map(str, READABLE))})."
                    " Continue the run with the version that wrote it, or remove the file to start from its weights alone."
                )
            return take(tree, file)
    except (OSError, ValueError, KeyError, EOFError, RecursionError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, RunStateError):
            raise
        raise RunStateError(
            f"{path} is damaged: {error}. Continue from an earlier checkpoint,"
            " or remove the file to start from this one's weights alone."
        ) from error


def _packed(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, dict):
        return {str(key): _packed(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple | deque):
        return [_packed(item, arrays) for item in value]
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {ARRAY: str(len(arrays) - 1)}
    if isinstance(value, bytes):
        arrays.append(np.frombuffer(value, np.uint8))
        return {BYTES: str(len(arrays) - 1)}
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(value: Any, array: Callable[[str], Any]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, array) for item in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return array(value[ARRAY])
    if BYTES in value:
        return array(value[BYTES]).tobytes()
    return {key: _unpacked(item, array) for key, item in value.items()}
