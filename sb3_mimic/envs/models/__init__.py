"""Texts of bodies: URDF that is written, and files that are read."""

from sb3_mimic.envs.models.kinematics import Kinematics
from sb3_mimic.envs.models.mjcf import to_urdf
from sb3_mimic.envs.models.preparing import prepared
from sb3_mimic.envs.models.urdf import Segment, box, cylinder, limb, robot, sphere
from sb3_mimic.envs.models.urdf_file import UrdfFile

__all__ = ["Kinematics", "Segment", "UrdfFile", "box", "cylinder", "limb", "prepared", "robot", "sphere", "to_urdf"]
