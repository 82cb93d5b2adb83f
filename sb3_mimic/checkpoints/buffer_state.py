"""The contents of a replay buffer: its arrays as far as they are filled, and the infos that HER keeps."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sb3_mimic.checkpoints.plain import NotPlainError, Recorder, Restorer

State = dict[str, Any]


def capture_buffer(buffer: Any) -> State:
    """
    Takes down what a replay buffer holds.

    :param buffer: SB3's, of any class
    :return: What :func:`restore_buffer` needs; under ``missing`` what could not be taken down, in words
    """
    # Where memory is saved, the observation after the last one lies in the row that is not filled yet
    n_rows = buffer.size() + int(getattr(buffer, "optimize_memory_usage", False))
    state: State = {"pos": buffer.pos, "full": buffer.full, "arrays": {}, "missing": []}
    for name, value in vars(buffer).items():
        for key, array in _arrays_of(name, value):
            if not array.dtype.hasobject:
                # Those of one number an environment are no rows
                state["arrays"][key] = array[:n_rows] if array.ndim > 1 else array
            elif name == "infos":
                # Of HER; it fills them only where it is told to
                if buffer.copy_info_dict:
                    state["infos"] = capture_dicts(array[:n_rows].ravel(), "infos", state["missing"])
            else:
                state["missing"].append(f"{type(buffer).__name__}.{key} (an array of objects)")
    return state


def restore_buffer(buffer: Any, state: State) -> list[str]:
    """
    Fills a replay buffer with what was taken down.

    :param buffer: Of the same class and sizes
    :param state: What :func:`capture_buffer` gave
    :return: What is not as it was, in words
    """
    buffer.pos, buffer.full = state["pos"], state["full"]
    differences = list(state.get("missing", ()))
    for name, value in vars(buffer).items():
        for key, array in _arrays_of(name, value):
            if array.dtype.hasobject:
                continue
            saved = state["arrays"].get(key)
            if saved is None or saved.shape[1:] != array.shape[1:] or len(saved) > len(array):
                differences.append(f"{type(buffer).__name__}.{key} of another shape")
            else:
                array[: len(saved)] = saved
    if "infos" in state:
        dicts = restore_dicts(state["infos"])
        for index, info in enumerate(dicts):
            buffer.infos[divmod(index, buffer.n_envs)] = info
    return differences


def _arrays_of(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, np.ndarray) and value.ndim:
        yield name, value
    elif isinstance(value, dict):
        for key, array in value.items():
            if isinstance(array, np.ndarray):
                yield f"{name}/{key}", array


def capture_dicts(dicts: Sequence[dict[str, Any]], name: str, missing: list[str]) -> State:
    """
    Takes many dicts of like contents down column by column, in little room.

    :param dicts: In order
    :param name: What they are called in ``missing``
    :param missing: Is told what could not be taken down
    :return: What :func:`restore_dicts` needs
    """
    columns: dict[tuple[Any, ...], tuple[list[int], list[Any]]] = defaultdict(lambda: ([], []))
    for row, each in enumerate(dicts):
        for position, (key, value) in enumerate(each.items()):
            rows, values = columns[_kind_of(key, value, position)]
            rows.append(row)
            values.append(value)
    state: State = {"n": len(dicts), "columns": []}
    for (key, kind, position, *_), (rows, values) in columns.items():
        try:
            column = _capture_column(kind, values, f"{name}/{key}", missing)
        except NotPlainError as error:
            missing.append(f"{name}/{key} ({error})")
            continue
        state["columns"].append({"key": key, "kind": kind, "at": position, "rows": np.array(rows), "values": column})
    return state


def _kind_of(key: str, value: Any, position: int) -> tuple[Any, ...]:
    """Returns key and kind of a value, position in its dict, and what else those of a column have in common."""
    if type(value) is np.ndarray and not value.dtype.hasobject:
        return key, "array", position, value.dtype.str, value.shape
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return key, "scalar", position, value.dtype.str
    if type(value) in (bool, float):
        return key, type(value).__name__, position
    return key, "dict" if type(value) is dict else "other", position


def _capture_column(kind: str, values: list[Any], name: str, missing: list[str]) -> Any:
    if kind == "dict":
        return capture_dicts(values, name, missing)
    if kind == "other":
        recorder = Recorder()
        recorded = recorder.value(values, name)
        missing += recorder.missing
        if not isinstance(recorded, dict):
            raise NotPlainError("code")
        return recorded
    return np.array(values)


def restore_dicts(state: State) -> list[dict[str, Any]]:
    """
    Puts dicts together again from their columns.

    :param state: What :func:`capture_dicts` gave
    :return: The dicts
    """
    found: list[dict[int, tuple[str, Any]]] = [{} for _ in range(state["n"])]
    for column in state["columns"]:
        values, kind = column["values"], column["kind"]
        if kind == "dict":
            items: Sequence[Any] = restore_dicts(values)
        elif kind == "other":
            items = Restorer().value(values)
        else:
            # Of an array of numbers this gives back python's own
            items = values.tolist() if kind in ("bool", "float") else list(values)
        for row, item in zip(column["rows"], items, strict=True):
            found[row][column["at"]] = column["key"], item
    return [dict(each[position] for position in sorted(each)) for each in found]
