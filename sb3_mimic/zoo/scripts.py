"""Runs scripts of rl-zoo3 that know no --gym-packages, and so would not know our environments."""

import argparse
import importlib
import importlib.util
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from sb3_mimic.errors import PackageError, UnknownScriptError
from sb3_mimic.zoo.install import install

SCRIPTS = {
    "record_video": "rl_zoo3.record_video",
    "load_from_hub": "rl_zoo3.load_from_hub",
    "plot_train": "rl_zoo3.plots.plot_train",
    "all_plots": "rl_zoo3.plots.all_plots",
    "plot_from_file": "rl_zoo3.plots.plot_from_file",
}
# What to do instead of what does not work, and why
INSTEAD = {
    "train": "It knows our environments: python -m rl_zoo3.train ... --gym-packages sb3_mimic",
    "enjoy": "It knows our environments: python -m rl_zoo3.enjoy ... --gym-packages sb3_mimic",
    "push_to_hub": "It does not start with the present huggingface_sb3, and its cards do not name us. Use: sb3-mimic push",
    "record_training": "It starts processes that do not know our environments. Use record_video for each --load-checkpoint.",
    "benchmark": "It starts processes that do not know our environments. Use: sb3-mimic evaluate --all",
}
# Modules that a plot needs and the zoo does not require
PLOTTING = ("seaborn", "matplotlib")


def run_zoo_script(name: str, arguments: Sequence[str]) -> None:
    """
    Runs a script as ``python -m rl_zoo3.NAME`` would, with our environments registered, and yours.

    :param name: One of :data:`SCRIPTS`
    :param arguments: Its command line, and ``--gym-packages`` with the packages that register yours
    :raises UnknownScriptError: When there is no such script, it does not work from here, or lacks a package
    """
    if name not in SCRIPTS:
        hint = f" {INSTEAD[name]}." if name in INSTEAD else ""
        raise UnknownScriptError(f"Cannot run {name!r} of rl-zoo3.{hint} Known scripts: {', '.join(SCRIPTS)}.")
    missing = [package for package in PLOTTING if importlib.util.find_spec(package) is None]
    if missing and ".plots." in SCRIPTS[name]:
        raise UnknownScriptError(f"{name} needs {', '.join(missing)}. Install with: pip install {' '.join(missing)}")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--gym-packages", nargs="+", default=[])
    known, rest = parser.parse_known_args(list(arguments))
    for package in known.gym_packages:
        import_package(package)
    _run(SCRIPTS[name], rest)


def import_package(name: str, folders: Sequence[Path] = ()) -> ModuleType:
    """
    Imports a module of the user's own, also out of the current folder, as ``python -m`` would.

    :param name: Its dotted name
    :param folders: Where else to look for it, last of all
    :return: The module
    :raises PackageError: When it cannot be imported
    """
    look_in_current_folder()
    sys.path += [str(folder) for folder in dict.fromkeys(folders) if str(folder) not in sys.path]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PackageError(
            f"{name} cannot be imported: {error}. Install it, or run this in the folder that holds it."
        ) from error


def look_in_current_folder() -> None:
    """Lets modules in the current folder be imported, as ``python -m`` does and a console script does not."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def train(arguments: Sequence[str]) -> None:
    """
    Runs ``rl_zoo3.train``.

    :param arguments: Its command line
    """
    _run("rl_zoo3.train", arguments)


def _run(module: str, arguments: Sequence[str]) -> None:
    look_in_current_folder()
    # Only an rl-zoo3 that is in use is taught
    importlib.import_module("rl_zoo3.exp_manager")
    install()
    before = sys.argv
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.argv = before
