"""The world that PyBullet simulates: robots, what they are made of, and how they are driven."""

from sb3_mimic.envs.world.body import Body, KeyPoint
from sb3_mimic.envs.world.control import TORQUE, Control, JointPosition, Motors, Torque
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.view import View
from sb3_mimic.envs.world.walker import Walker

__all__ = [
    "TORQUE",
    "Body",
    "Control",
    "JointPosition",
    "KeyPoint",
    "Motors",
    "Robot",
    "Simulation",
    "Torque",
    "View",
    "Walker",
]
