"""What a run of rl-zoo3 was called with, and trained by: read without running what such files could run."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sb3_mimic.errors import DamagedAgentError

# The zoo writes them all; without these, nothing can be said of a run
NEEDED = {"algo", "conf_file", "n_timesteps", "trained_agent"}
#: Packages whose classes and functions a run's hyperparameters may name, such as ``torch.nn.modules.activation.ReLU``
KNOWN_PACKAGES = ("torch.nn", "torch.optim", "stable_baselines3", "sb3_contrib", "rl_zoo3.wrappers", "sb3_mimic")


@dataclass(frozen=True)
class NotLookedUp:
    """
    Stands for what is more than plain data among the arguments of a run.

    :param name: Its tag in the YAML file, such as ``python/name:torch.nn.modules.activation.ReLU``
    """

    name: str


class _PlainLoader(yaml.SafeLoader):
    """Knows the few things beyond plain data that the zoo writes into any YAML file of a run."""

    def construct_ordered(self, node: yaml.SequenceNode) -> dict[str, Any]:
        (pairs,) = self.construct_sequence(node, deep=True)
        return dict(pairs)

    def construct_tuple(self, node: yaml.SequenceNode) -> tuple[Any, ...]:
        return tuple(self.construct_sequence(node, deep=True))


_PlainLoader.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _PlainLoader.construct_ordered)
_PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _PlainLoader.construct_tuple)


class _ArgumentsLoader(_PlainLoader):
    """Looks nothing up."""

    def construct_other(self, suffix: str, node: yaml.Node) -> Any:
        return NotLookedUp(f"python/{suffix}")


_ArgumentsLoader.add_multi_constructor("tag:yaml.org,2002:python/", _ArgumentsLoader.construct_other)


def _hyperparameters_loader(packages: Sequence[str]) -> type[yaml.SafeLoader]:
    """:return: A loader that looks names up in these packages"""

    class Loader(_PlainLoader):
        def construct_name(self, suffix: str, node: yaml.Node) -> Any:
            module, _, name = suffix.rpartition(".")
            if not any(module == package or module.startswith(f"{package}.") for package in packages):
                raise ValueError(f"it names {suffix}, and only names of {', '.join(packages)} are looked up")
            return getattr(importlib.import_module(module), name)

    Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", Loader.construct_name)
    return Loader


def _path_of(run: Path, env_id: str, file: str) -> Path:
    # As the zoo names folders: of ids like ALE/Pong-v5 too
    return run / env_id.replace("/", "-") / file


def _read(run: Path, env_id: str, file: str, what: str, loader: type[yaml.SafeLoader]) -> dict[str, Any]:
    path = _path_of(run, env_id, file)
    try:
        return dict(yaml.load(path.read_text(), Loader=loader))
    except (AttributeError, ImportError, OSError, RecursionError, TypeError, ValueError, yaml.YAMLError) as error:
        raise DamagedAgentError(f"{path} does not hold the {what} of a run: {error}. Train again, or put it back.") from error


def read_arguments(run: Path, env_id: str) -> dict[str, Any]:
    """
    :param run: The run's folder
    :param env_id: What it was trained on
    :return: The command line's arguments by name; for what is no plain data in them stands a :class:`NotLookedUp`
    :raises DamagedAgentError: When the file is missing or damaged
    """
    arguments = _read(run, env_id, "args.yml", "arguments", _ArgumentsLoader)
    missing = sorted(NEEDED - set(arguments))
    strange = sorted(name for name, value in arguments.items() if isinstance(value, NotLookedUp))
    if missing or strange:
        what = f"it lacks {', '.join(missing)}" if missing else f"its {', '.join(strange)} is no plain data"
        raise DamagedAgentError(f"{_path_of(run, env_id, 'args.yml')} does not hold the arguments of a run: {what}.")
    return arguments


def read_hyperparameters(run: Path, env_id: str, packages: Sequence[str] = ()) -> dict[str, Any]:
    """
    :param run: The run's folder
    :param env_id: What it was trained on
    :param packages: Packages of the user's own whose names are looked up too, such as those of ``--gym-packages``
    :return: What it was trained by, as an entry of a YAML file would say it, with all that the command line changed
    :raises DamagedAgentError: When the file is missing, damaged, or holds more than plain data and well-known names
    """
    return _read(run, env_id, "config.yml", "hyperparameters", _hyperparameters_loader([*KNOWN_PACKAGES, *packages]))
