"""Finds out whether a window can be opened, since PyBullet ends or hangs the whole process where it cannot."""

import os
import re
import socket
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path

# How long an X server may take to answer, and a window to open, in s
ANSWER_TIMEOUT, WINDOW_TIMEOUT = 3.0, 20.0
FIRST_PORT = 6000
SOCKETS = "/tmp/.X11-unix"
# What DISPLAY looks like: [protocol/][host]:number[.screen]
_DISPLAY = re.compile(r"(?:\w+/)?(?P<host>[^:/]*):(?P<number>\d{1,4})(?:\.\d+)?")
# Whoever listens may still refuse us, or have no OpenGL: only a window that has opened says that one can be opened
_TRIAL = f"""
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
if host:
    socket.create_connection((host, port), {ANSWER_TIMEOUT}).close()
import pybullet as p
if p.connect(p.GUI) < 0:
    sys.exit(1)
print("opened")
"""


def why_no_display() -> str:
    """Returns why no window can be opened; empty where one can."""
    # Where windows do not need an X server
    if sys.platform in ("darwin", "win32"):
        return ""
    name = os.environ.get("DISPLAY", "")
    if not name:
        wayland = os.environ.get("WAYLAND_DISPLAY")
        return "DISPLAY is not set" + (", and WAYLAND_DISPLAY alone is no X server" if wayland else "")
    return _why_not_this(name, os.environ.get("XAUTHORITY", ""))


@cache
def _why_not_this(name: str, authority: str) -> str:
    """
    Finds out why a display cannot be used. Tried once in a process.

    :param name: Content of DISPLAY
    :param authority: Content of XAUTHORITY: with another one, the answer may be another
    :return: Why it cannot be used; empty where it can. Tried once in a process.
    """
    match = _DISPLAY.fullmatch(name)
    if match is None:
        return f"DISPLAY={name!r} names no X server, as ':0' does"
    host, number = match["host"], int(match["number"])
    if host in ("", "unix"):
        if not _has_local_server(number):
            return f"DISPLAY={name!r} is set, but no X server is there"
        host = ""
    trial = [sys.executable, "-c", _TRIAL, host, str(FIRST_PORT + number)]
    try:
        result = subprocess.run(trial, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=WINDOW_TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"DISPLAY={name!r} is set, but its X server does not answer"
    return "" if "opened" in result.stdout else f"DISPLAY={name!r} is set, but no window can be opened there"


def _has_local_server(number: int) -> bool:
    """Tells whether anybody listens on the sockets of a local X server: a file, an abstract name, or a port."""
    addresses: list[tuple[int, str | tuple[str, int]]] = [(socket.AF_INET, ("127.0.0.1", FIRST_PORT + number))]
    if hasattr(socket, "AF_UNIX"):
        path = str(Path(SOCKETS, f"X{number}"))
        addresses = [(socket.AF_UNIX, path), (socket.AF_UNIX, f"\0{path}"), *addresses]
    for family, address in addresses:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(ANSWER_TIMEOUT)
            try:
                probe.connect(address)
            except OSError:
                continue
            return True
    return False


def warn_without_window(reason: str) -> None:
    """
    Warns that nothing is shown.

    :param reason: Why nothing is shown, a sentence without its full stop
    """
    warnings.warn(
        f"{reason}: render_mode='human' shows nothing. Use render_mode='rgb_array' for pictures.",
        UserWarning,
        stacklevel=2,
    )
