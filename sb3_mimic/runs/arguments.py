"""What a run of rl-zoo3 was called with, and trained by: read without running what such files could run."""

import importlib
from pathlib import Path
from typing import Any

import yaml

from sb3_mimic.errors import DamagedAgentError

# The zoo writes them all; without these, nothing can be said of a run
NEEDED = {"algo", "conf_file", "n_timesteps", "trained_agent"}
#: Packages whose classes and functions a run's hyperparameters may name, such as ``torch.nn.modules.activation.ReLU``
KNOWN_PACKAGES = ("torch.nn", "torch.optim", "stable_baselines3", "sb3_contrib", "rl_zoo3.wrappers", "sb3_mimic")


class _RunLoader(yaml.SafeLoader):
    """Knows the few things beyond plain data that the zoo writes into the YAML files of a run."""

    def construct_ordered(self, node: yaml.SequenceNode) -> dict[str, Any]:
        (pairs,) = self.construct_sequence(node, deep=True)
        return dict(pairs)

    def construct_tuple(self, node: yaml.SequenceNode) -> tuple[Any, ...]:
        return tuple(self.construct_sequence(node, deep=True))

    def construct_name(self, suffix: str, node: yaml.Node) -> Any:
        module, _, name = suffix.rpartition(".")
        if not any(module == package or module.startswith(f"{package}.") for package in KNOWN_PACKAGES):
            raise ValueError(f"it names {suffix}, and only names of {', '.join(KNOWN_PACKAGES)} are looked up")
        return getattr(importlib.import_module(module), name)


_RunLoader.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _RunLoader.construct_ordered)
_RunLoader.add_constructor("tag:yaml.org,2002:python/tuple", _RunLoader.construct_tuple)
_RunLoader.add_multi_constructor("tag:yaml.org,2002:python/name:", _RunLoader.construct_name)


def _read(path: Path, what: str) -> dict[str, Any]:
    try:
        return dict(yaml.load(path.read_text(), Loader=_RunLoader))
    except (AttributeError, ImportError, OSError, RecursionError, TypeError, ValueError, yaml.YAMLError) as error:
        raise DamagedAgentError(f"{path} does not hold the {what} of a run: {error}. Train again, or put it back.") from error


def read_arguments(run: Path, env_id: str) -> dict[str, Any]:
    """
    :param run: The run's folder
    :param env_id: What it was trained on
    :return: The command line's arguments by name
    :raises DamagedAgentError: When the file is missing, damaged, or holds more than plain data and well-known names
    """
    path = run / env_id / "args.yml"
    arguments = _read(path, "arguments")
    if missing := NEEDED - set(arguments):
        raise DamagedAgentError(f"{path} does not hold the arguments of a run: it lacks {', '.join(sorted(missing))}.")
    return arguments


def read_hyperparameters(run: Path, env_id: str) -> dict[str, Any]:
    """
    :param run: The run's folder
    :param env_id: What it was trained on
    :return: What it was trained by, as an entry of a YAML file would say it, with all that the command line changed
    :raises DamagedAgentError: When the file is missing, damaged, or holds more than plain data and well-known names
    """
    return _read(run / env_id / "config.yml", "hyperparameters")
