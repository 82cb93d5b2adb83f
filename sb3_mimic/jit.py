"""Compiles functions of numbers and arrays to machine code, once for all processes."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.dispatcher import Dispatcher

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def jit(function: FunctionT) -> FunctionT:
    """
    Compiles a function with numba when it is first called; other threads run meanwhile. The machine code is kept beside the
    function's file or in the user's folder for caches, or, where neither can be written to, among the temporary files. It is
    made anew when that file changes, or one whose compiled functions are called from there.

    :param function: One that numba understands; a division by zero gives what it gives numpy. Nothing is reordered for
        speed: numbers are the same in every call
    :return: The compiled function
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # Mypy does not see what numba makes of its environment variables
        vars(numba.config)["CACHE_DIR"] = str(_temporary_folder())
        compiled = numba.njit(cache=True, **options)(function)
    try:
        # Numba itself asks for the function's own file alone
        index = compiled._cache._cache_file
        index._source_stamp = (index._source_stamp, _digest(function))
    except AttributeError:
        # Another numba: no machine code is better than that of before
        compiled = numba.njit(**options)(function)
    return cast(FunctionT, compiled)


def _digest(function: Callable[..., Any]) -> str:
    """Returns a digest of the files that a function's machine code is made of."""
    files: dict[str, Callable[..., Any]] = {}
    waiting = [function]
    while waiting:
        one = waiting.pop()
        if one.__code__.co_filename not in files:
            files[one.__code__.co_filename] = one
            waiting += [value.py_func for value in one.__globals__.values() if isinstance(value, Dispatcher)]
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in sorted(files))).hexdigest()


def _temporary_folder() -> Path:
    """Returns a folder that is this user's alone: what lies in a cache is run."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir(), f"sb3_mimic-cache-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    is_mine = not hasattr(os, "getuid") or found.st_uid == user
    if is_mine and stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix="sb3_mimic-cache-"))
