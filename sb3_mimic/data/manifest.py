"""Describes a collection of steps on the disk: what is to be in it, and how it is made."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from sb3_mimic.errors import CollectionError
from sb3_mimic.pose import PoseLayout
from sb3_mimic.writing import write_whole

MANIFEST = "manifest.json"
FORMAT, VERSION = "sb3_mimic.data", 1
# Far beyond what any manifest needs, in bytes
MAX_BYTES = 2**20


@dataclass(frozen=True)
class Column:
    """
    Describes what stands in every row under one name.

    :param dtype: Name of its numbers' type, such as ``uint8``
    :param shape: Without the rows
    """

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """
    Describes a collection. Its steps are those of shards, each begun with an episode of its own; the number of a shard and the
    seed decide all that is in it, and not who collects it.

    :param env_id: Id of the environment
    :param env_kwargs: Its arguments
    :param policy: What chose the actions
    :param seed: Of everything
    :param n_steps: Actions in all shards
    :param shard_steps: Actions in each shard but the last
    :param columns: What stands in every row, by name
    :param layouts: What the numbers of a column mean, by name, where that is known
    :param fps: Steps in a second; 0 where that is not known
    :param renderer: What draws the pictures, where that is known
    :param packages: What is to be imported before the environment is known
    :param n_files: Number of shards where they hold whole episodes, and so more steps than that; 0 where they do not
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    policy: str
    seed: int
    n_steps: int
    shard_steps: int
    columns: Mapping[str, Column]
    layouts: Mapping[str, PoseLayout] = field(default_factory=dict)
    fps: float = 0.0
    renderer: str | None = None
    packages: tuple[str, ...] = ()
    n_files: int = 0

    @property
    def n_shards(self) -> int:
        """Number of shards"""
        return self.n_files or -(-self.n_steps // self.shard_steps)

    def steps_of(self, index: int) -> int:
        """Returns the number of actions in a shard."""
        return min(self.shard_steps, self.n_steps - index * self.shard_steps)

    def file_of(self, index: int) -> str:
        """Returns the name of a shard's file."""
        return f"shard-{index:05d}.safetensors"

    def write(self, folder: Path) -> None:
        """
        Writes it into a folder.

        :raises OutputError: When it cannot be written
        """
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        content["columns"] = {name: asdict(column) for name, column in self.columns.items()}
        content["layouts"] = {name: layout.to_json() for name, layout in self.layouts.items()}
        content["env_kwargs"] = dict(self.env_kwargs)
        write_whole(folder / MANIFEST, json.dumps({"format": FORMAT, "version": VERSION, **content}, indent=2) + "\n")

    @classmethod
    def read(cls, folder: str | Path) -> "Manifest":
        """
        Reads the manifest in a folder.

        :param folder: Where the collection lies
        :return: Its manifest
        :raises CollectionError: When there is none, or it is damaged or of a version that is not known
        """
        path = Path(folder) / MANIFEST
        if not path.is_file():
            raise CollectionError(f"There is no {MANIFEST} in {folder}. Give a folder that sb3-mimic collect has written.")
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"it is larger than {MAX_BYTES} bytes")
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT or content.pop("version") != VERSION:
                raise ValueError(f"it is not of format {FORMAT} and version {VERSION}")
            content["columns"] = {
                name: Column(str(column["dtype"]), tuple(int(size) for size in column["shape"]))
                for name, column in content["columns"].items()
            }
            content["layouts"] = {name: PoseLayout.from_json(layout) for name, layout in content["layouts"].items()}
            manifest = cls(**content | {"packages": tuple(content["packages"])})
            if not (
                type(manifest.n_steps) is type(manifest.shard_steps) is int and min(manifest.n_steps, manifest.shard_steps) > 0
            ):
                raise ValueError("n_steps and shard_steps must be whole numbers above zero")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CollectionError(f"{path} is damaged: {error}. Collect anew into another folder.") from error
        return manifest
