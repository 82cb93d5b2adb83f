"""Compiles functions of numbers and arrays to machine code, once for all processes."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def jit(function: FunctionT) -> FunctionT:
    """
    Compiles a function with numba when it is first called; other threads run meanwhile. The machine code is kept beside the
    function's file or in the user's folder for caches, or, where neither can be written to, among the temporary files.

    :param function: One that numba understands; a division by zero gives what it gives numpy. Nothing is reordered for
        speed: numbers are the same in every call.
    :return: The compiled function
    """
    compile_function = numba.njit(cache=True, nogil=True, error_model="numpy")
    try:
        compiled = compile_function(function)
    except RuntimeError:
        # Mypy does not see what numba makes of its environment variables
        vars(numba.config)["CACHE_DIR"] = str(_temporary_folder())
        compiled = compile_function(function)
    return cast(FunctionT, compiled)


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
