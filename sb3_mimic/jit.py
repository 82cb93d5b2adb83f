"""Compiles functions of numbers and arrays to machine code, once for all processes."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def jit(function: FunctionT) -> FunctionT:
    """
    Compiles a function with numba when it is first called; other threads run meanwhile. The machine code is kept beside the
    function's file or in the user's folder for caches, or, where neither can be written to, among the temporary files. It is
    made anew when that file changes, or one whose compiled functions are called from there, or a number that stands in one
    of them, wherever it is from.

    :param function: One that numba understands; a division by zero gives what it gives numpy. Nothing is reordered for
        speed: numbers are the same in every call
    :return: The compiled function
    """
    # Nothing but Python and other compiled functions calls it: without a way for others it is made sooner
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
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
    """Returns a digest of the files and numbers that a function's machine code is made of."""
    found: dict[str, bytes] = {}
    waiting = [function]
    while waiting:
        one = waiting.pop()
        file, names = one.__code__.co_filename, one.__globals__
        if file not in found:
            numbers = sorted(
                (name, repr(value)) for name, value in names.items() if isinstance(value, int | float | np.number)
            )
            found[file] = Path(file).read_bytes() + repr(numbers).encode()
            waiting += [value.py_func for value in names.values() if isinstance(value, Dispatcher)]
    return hashlib.sha256(b"".join(found[file] for file in sorted(found))).hexdigest()


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
