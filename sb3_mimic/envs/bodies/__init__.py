"""The bodies that come with the package."""

from sb3_mimic.envs.bodies.humanoid import HALF_HUMANOID, HUMANOID
from sb3_mimic.envs.bodies.reacher import REACHER_3D, REACHER_6D, REACHER_PLANE

__all__ = ["HALF_HUMANOID", "HUMANOID", "REACHER_3D", "REACHER_6D", "REACHER_PLANE"]
