"""Writes and reads files of weights and a description, as safetensors: they hold numbers and text, and can run nothing."""

import json
from pathlib import Path
from typing import Any

import torch as th
from safetensors import safe_open
from safetensors.torch import save

from sb3_mimic.writing import written_whole

# Far beyond what any weights need, in bytes, and any description, in characters
MAX_BYTES, MAX_DESCRIPTION = 256 * 2**20, 4096


def write_weights(path: Path, weights: dict[str, th.Tensor], key: str, description: dict[str, Any]) -> None:
    """
    Writes a file whole or not at all.

    :param path: The file
    :param weights: By name
    :param key: Under this name the description stands in the file's metadata
    :param description: Plain data
    :raises OSError: When it cannot be written
    """
    # Not save_file, which makes files that only their owner can read
    whole = {name: value.cpu().contiguous() for name, value in weights.items()}
    with written_whole(path) as part:
        part.write_bytes(save(whole, {key: json.dumps(description)}))


def read_weights(path: Path, key: str) -> tuple[Any, dict[str, th.Tensor]]:
    """
    Reads a file.

    :param path: The file
    :param key: See :func:`write_weights`
    :return: The description, and the weights by name
    :raises ValueError: When it is too large, holds no description, or weights that are not finite
    :raises OSError: When it cannot be read
    :raises SafetensorError: When it is damaged
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than the {MAX_BYTES // 2**20} MiB that are read")
    with safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get(key)
        if text is None or len(text) > MAX_DESCRIPTION:
            raise ValueError(f"it holds no description of at most {MAX_DESCRIPTION} characters under {key!r}")
        description = json.loads(text)
        names = file.keys()
        weights = {name: file.get_tensor(name) for name in names}
    bad = [name for name, value in weights.items() if value.is_floating_point() and not bool(th.isfinite(value).all())]
    if bad:
        raise ValueError(f"it holds numbers that are not finite in {bad[0]}")
    return description, weights
