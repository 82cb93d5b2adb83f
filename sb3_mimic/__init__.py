"""
Extends Stable-Baselines3 and rl-zoo3 with robots that learn to take any pose, and to read poses out of pictures.

Importing it registers the environments with Gymnasium and, where rl-zoo3 is in use, gives it our hyperparameters.
It imports neither torch nor pybullet: the names below that need them are imported when they are first asked for.
"""

import importlib
from typing import Any

from sb3_mimic.envs.registration import ENV_IDS, register_envs
from sb3_mimic.zoo.install import install

# Where the names are that are imported late
_HOMES = {
    "Body": "sb3_mimic.envs.world.body",
    "PictureGoals": "sb3_mimic.envs.picture_goals",
    "register_body": "sb3_mimic.envs.registration",
    "register_reward_term": "sb3_mimic.envs.tasks.rewards",
    "register_task": "sb3_mimic.envs.registration",
}
__all__ = ["ENV_IDS", "__version__", *_HOMES]  # they are text


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("sb3_mimic")
    if name not in _HOMES:
        raise AttributeError(f"module 'sb3_mimic' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


register_envs()
install()
