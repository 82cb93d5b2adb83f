"""Finds the files that come with sb3_mimic: inside an installed package, or at the top of a checkout."""

from pathlib import Path


def hyperparams_file(algo: str) -> Path:
    """
    Returns the path of our hyperparameters for an algorithm, whether there are any or not.

    :param algo: Name of an algorithm, as rl-zoo3 spells it
    :return: The path, inside an installed package or at the top of a checkout
    """
    return _folder("hyperparams") / f"{algo}.yml"


def trained_agents_folder() -> Path:
    """Returns the folder of the shipped agents, of an installed package or of a checkout."""
    return _folder("rl-trained-agents")


def predictors_folder() -> Path:
    """Returns the folder of the shipped predictors, of an installed package or of a checkout."""
    return _folder("trained-predictors")


def _folder(name: str) -> Path:
    package = Path(__file__).parents[1]
    folder = package / name
    return folder if folder.is_dir() else package.parent / name
