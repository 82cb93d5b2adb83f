"""Writes files whole or not at all: whatever happens, there is the old one or the new one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sb3_mimic.errors import OutputError


def check_output(path: str | Path, suffixes: tuple[str, ...] = ()) -> Path:
    """
    Checks that a file can be written, before the work whose result goes into it.

    :param path: A file that is going to be written
    :param suffixes: What its name may end in; anything by default
    :return: The path
    :raises OutputError: When it ends in something else, is a folder, or its folder does not exist or is not writable
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(f"A file of this kind is written as {' or '.join(suffixes)}, got {path}")
    if path.is_dir():
        raise OutputError(f"{path} is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise OutputError(f"Cannot write {path}: there is no folder {path.parent}. Make it first.")
    part = part_of(path)
    try:
        # Only writing tells for certain whether a file can be written: permissions are not all
        part.touch()
        part.unlink()
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error}. Give a file in a folder of yours.") from error
    return path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """
    Has a file written beside its place, and puts it there when all is written.

    :param path: What to write
    :return: Where to write it
    :raises OSError: When it cannot be written
    """
    part = part_of(path)
    try:
        yield part
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: str | Path, content: bytes | str) -> None:
    """
    Writes a file whole or not at all: what was there before stays until all is written.

    :param path: The file
    :param content: What it is to hold
    :raises OutputError: When it cannot be written
    """
    try:
        with written_whole(Path(path)) as part:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error}") from error


def part_of(path: Path) -> Path:
    """Returns where a file is written before it is whole: beside it, under a name that nothing else uses."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


def put_in_place(part: Path, path: Path) -> None:
    """
    Puts a file that is whole into its place, and waits until the disk holds it.

    :param part: What was written
    :param path: Where it belongs; what was there before is replaced
    """
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
