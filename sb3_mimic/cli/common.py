"""Defines arguments that several commands share, and what is done with them before anything else."""

import argparse
from typing import Any

from sb3_mimic.zoo.scripts import import_package


def add_env(parser: argparse._ActionsContainer, required: bool = True) -> None:
    """Adds ``--env`` to a command."""
    parser.add_argument("--env", required=required, metavar="ID", help="any registered id, such as MimicReacher3D-v0")


def add_packages(parser: argparse._ActionsContainer) -> None:
    """Adds ``--gym-packages`` to a command."""
    parser.add_argument(
        "--gym-packages",
        nargs="+",
        default=[],
        metavar="PACKAGE",
        help="imported first: they register environments of their own",
    )


def add_agent(parser: argparse.ArgumentParser) -> None:
    """Adds to a command the arguments that name a trained agent."""
    parser.add_argument("--algo", help="the agent's algorithm (default: ppo, or the one that there is an agent by)")
    parser.add_argument("-f", "--folder", help="where your own runs lie, such as logs (default: the shipped agents)")
    parser.add_argument("--exp-id", type=int, default=0, help="number of the run (default: the latest)")


def add_ray(parser: argparse.ArgumentParser) -> None:
    """Adds ``--ray`` to a command."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="share it out on a Ray cluster, auto for the one that this machine is part of (pip install 'sb3_mimic[cluster]')",
    )


def positive(text: str) -> int:
    """
    Reads a whole number above zero.

    :param text: Text of an argument
    :return: The number in it
    :raises ArgumentTypeError: When it is below 1
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def import_packages(names: list[str]) -> None:
    """
    Imports packages for the environments that they register.

    :param names: Names of the packages
    :raises PackageError: When one cannot be imported
    """
    for name in names:
        import_package(name)


def load(args: argparse.Namespace) -> Any:
    """
    Loads the agent that a command's arguments name.

    :param args: Arguments with those of :func:`add_agent` and :func:`add_env`
    :return: The agent
    """
    from sb3_mimic.agents.environments import spec_of
    from sb3_mimic.agents.loading import load_agent

    spec_of(args.env)
    return load_agent(args.env, args.algo, args.folder, args.exp_id)


def describe(env: Any, pose: Any) -> dict[str, float]:
    """
    Describes a pose in numbers with names.

    :param env: An environment that offers goals
    :param pose: A goal vector of it
    :return: Its joints, angles in deg and slides in m; without joints its numbers; by their names
    """
    import numpy as np

    from sb3_mimic.agents.environments import Goals

    layout = Goals.of(env).layout
    if "joints" not in layout:
        numbers = {name: float(x) for part in layout for name, x in zip(_names(part), part.of(pose).ravel(), strict=True)}
        return {name: round(number, 3) for name, number in numbers.items()}
    joints = layout["joints"]
    values = joints.of(pose)
    if joints.unit == "rad":
        values = np.rad2deg(values)
    try:
        names = env.get_wrapper_attr("joint_names")
    except AttributeError:
        names = [f"joint_{i}" for i in range(len(values))]
    digits = 2 if joints.unit == "rad" else 4
    return {name: round(float(value), digits) for name, value in zip(names, values, strict=True)}


def _names(part: Any) -> list[str]:
    """Returns the names of a part's numbers: where they are places in space, those of their axes too."""
    if part.unit == "m" and part.shape[-1] == 3:
        which = [""] if part.shape[0] == 1 else [f"_{i}" for i in range(part.shape[0])]
        return [f"{part.name}{one}_{axis}" for one in which for axis in "xyz"]
    return [f"{part.name}_{i}" for i in range(part.size)]


def unit_of(layout: Any) -> tuple[str, int]:
    """
    Tells how the numbers of :func:`describe` are written.

    :param layout: Layout of the goal vectors
    :return: Their unit in brackets, empty where it is not degrees, and how many digits they get
    """
    return (" (deg)", 1) if "joints" in layout and layout["joints"].unit == "rad" else ("", 3)


def picture_size(env: Any, key: str) -> tuple[int, int]:
    """
    Returns the size of the pictures that an environment shows.

    :param env: Any environment
    :param key: Key of the pictures
    :return: Height and width in pixels
    :raises UnsuitableEnvError: When it shows none
    """
    from sb3_mimic.errors import UnsuitableEnvError

    space = getattr(env.observation_space, "spaces", {}).get(key)
    if space is None or len(space.shape) != 3:
        name = env.spec.id if env.spec else env
        raise UnsuitableEnvError(
            f"{name} shows no pictures under '{key}'. Of ours, use an id without 'State' or 'Sparse'; wrap another in"
            " sb3_mimic.envs.picture_goals.PictureGoals."
        )
    return int(space.shape[0]), int(space.shape[1])
