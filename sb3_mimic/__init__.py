"""
A Stable-Baselines3 / rl-zoo3 plugin: robots that learn to take any pose, and to read poses out of pictures.

Importing it registers the environments with Gymnasium and, where rl-zoo3 is in use, gives it our hyperparameters.
It imports neither torch nor pybullet.
"""

from sb3_mimic.envs.registration import ENV_IDS, register_envs
from sb3_mimic.zoo.install import install

__all__ = ["ENV_IDS"]

register_envs()
install()
