"""Reads the arguments and hyperparameters of a run of rl-zoo3, without running code that such files could name."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sb3_mimic.errors import DamagedAgentError

# The zoo writes more; without these, a run cannot be described
NEEDED = {"algo", "conf_file", "n_timesteps", "trained_agent"}
#: Packages whose classes and functions a run's hyperparameters may name, such as ``torch.nn.modules.activation.ReLU``
KNOWN_PACKAGES = ("torch.nn", "torch.optim", "stable_baselines3", "sb3_contrib", "rl_zoo3.wrappers", "sb3_mimic")


@dataclass(frozen=True)
class NotLookedUp:
    """
    Stands for an argument of a run that is more than plain data.

    :param name: Its tag in the YAML file, such as ``python/name:torch.nn.modules.activation.ReLU``
    """

    name: str


class _PlainLoader(yaml.SafeLoader):
    """Reads plain data, and the few other things that the zoo writes into any YAML file of a run."""

    def construct_ordered(self, node: yaml.SequenceNode) -> dict[str, Any]:
        (pairs,) = self.construct_sequence(node, deep=True)
        return dict(pairs)

    def construct_tuple(self, node: yaml.SequenceNode) -> tuple[Any, ...]:
        return tuple(self.construct_sequence(node, deep=True))


_PlainLoader.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _PlainLoader.construct_ordered)
_PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _PlainLoader.construct_tuple)


class _ArgumentsLoader(_PlainLoader):
    """Reads every other Python name as a :class:`NotLookedUp`, and imports nothing."""

    def construct_other(self, suffix: str, node: yaml.Node) -> Any:
        return NotLookedUp(f"python/{suffix}")


_ArgumentsLoader.add_multi_constructor("tag:yaml.org,2002:python/", _ArgumentsLoader.construct_other)


def _hyperparameters_loader(packages: Sequence[str]) -> type[yaml.SafeLoader]:
    """Returns a loader that imports names from these packages."""

    class Loader(_PlainLoader):
        def construct_name(self, suffix: str, node: yaml.Node) -> Any:
            module, _, name = suffix.rpartition(".")
            if not any(module == package or module.startswith(f"{package}.") for package in packages):
                raise ValueError(f"it names {suffix}, and only names of {', '.join(packages)} are looked up")
            return getattr(importlib.import_module(module), name)

    Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", Loader.construct_name)
    return Loader


def _path_of(run: Path, env_id: str, file: str) -> Path:
    # The zoo names folders so: ids like ALE/Pong-v5 hold a slash
    return run / env_id.replace("/", "-") / file


def _read(run: Path, env_id: str, file: str, what: str, loader: type[yaml.SafeLoader]) -> dict[str, Any]:
    path = _path_of(run, env_id, file)
    try:
        return dict(yaml.load(path.read_text(), Loader=loader))
    except (AttributeError, ImportError, OSError, RecursionError, TypeError, ValueError, yaml.YAMLError) as error:
        raise DamagedAgentError(f"{path} does not hold the {what} of a run: {error}. Train again, or put it back.") from error


def read_arguments(run: Path, env_id: str) -> dict[str, Any]:
    """
    Reads the arguments that a run was started with.

    :param run: The run's folder
    :param env_id: What it was trained on
    :return: The arguments by name; what is more than plain data in them is a :class:`NotLookedUp`
    :raises DamagedAgentError: When the file is missing or damaged
    """
    arguments = _read(run, env_id, "args.yml", "arguments", _ArgumentsLoader)
    missing = sorted(NEEDED - set(arguments))
    strange = sorted(name for name, value in arguments.items() if isinstance(value, NotLookedUp))
    if missing or strange:
        what = f"it lacks {', '.join(missing)}" if missing else f"its {', '.join(strange)} is no plain data"
        raise DamagedAgentError(f"{_path_of(run, env_id, 'args.yml')} does not hold the arguments of a run: {what}.")
    return arguments


def read_hyperparameters(run: Path, env_id: str, packages: Sequence[str] | None = ()) -> dict[str, Any]:
    """
    Reads the hyperparameters that a run was trained with.

    :param run: The run's folder
    :param env_id: What it was trained on
    :param packages: Packages of the user's own whose names are looked up too, such as those of ``--gym-packages``;
        None: no name is looked up, and what is more than plain data is a :class:`NotLookedUp`
    :return: The hyperparameters, as in an entry of a YAML file, with all changes that the command line made
    :raises DamagedAgentError: When the file is missing, damaged, or holds more than plain data and well-known names
    """
    loader = _ArgumentsLoader if packages is None else _hyperparameters_loader([*KNOWN_PACKAGES, *packages])
    return _read(run, env_id, "config.yml", "hyperparameters", loader)
