"""What a run of rl-zoo3 was called with."""

from pathlib import Path
from typing import Any

import yaml

from sb3_mimic.errors import DamagedAgentError

# The zoo writes them all; without these, nothing can be said of a run
NEEDED = {"algo", "conf_file", "n_timesteps", "trained_agent"}


class _ArgumentsLoader(yaml.SafeLoader):
    """Knows the one class that the zoo writes into args.yml, and makes a plain dictionary of it."""

    def construct_ordered(self, node: yaml.SequenceNode) -> dict[str, Any]:
        (pairs,) = self.construct_sequence(node, deep=True)
        return dict(pairs)


_ArgumentsLoader.add_constructor(
    "tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _ArgumentsLoader.construct_ordered
)


def read_arguments(run: Path, env_id: str) -> dict[str, Any]:
    """
    Read them without running what such a file could run.

    :param run: The run's folder
    :param env_id: What it was trained on
    :return: The arguments by name
    :raises DamagedAgentError: When the file is missing, damaged, or holds more than plain data
    """
    path = run / env_id / "args.yml"
    try:
        arguments = dict(yaml.load(path.read_text(), Loader=_ArgumentsLoader))
        if missing := NEEDED - set(arguments):
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except (AttributeError, OSError, RecursionError, TypeError, ValueError, yaml.YAMLError) as error:
        raise DamagedAgentError(
            f"{path} does not hold the arguments of a run: {error}. Train again, or put it back."
        ) from error
    return arguments
