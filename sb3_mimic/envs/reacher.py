"""The reachers: arms of two links, in the plane and in space."""

import math

from sb3_mimic import keys
from sb3_mimic.envs import urdf
from sb3_mimic.envs.camera import Camera
from sb3_mimic.envs.goals import PoseGoal
from sb3_mimic.envs.mimic_env import MimicEnv
from sb3_mimic.envs.rewards import Reward
from sb3_mimic.envs.robot import KeyPoint, Robot, RobotSpec
from sb3_mimic.envs.simulation import Simulation

UPPER_ARM, FOREARM, HAND = (0.16, 0.38, 0.72), (0.95, 0.55, 0.13), (0.80, 0.12, 0.18)
Z_AXIS, PITCH_AXIS = (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)

# Progress towards the pose is what is paid for; the costs are small enough not to make the arm lazy
DEFAULT_REWARD = {"joint_progress": 1.0, "electricity": -0.0005, "stall_torque": -0.0005}


def _pose_env(
    spec: RobotSpec,
    camera: Camera,
    gravity: float,
    images: bool,
    reward_weights: dict[str, float] | None,
    render_mode: str | None,
) -> MimicEnv:
    simulation = Simulation(gravity=gravity)
    robot = Robot(simulation, spec)
    goal = PoseGoal(robot)
    reward = Reward(DEFAULT_REWARD if reward_weights is None else reward_weights, goal.layout)
    observation_keys = keys.STATE_KEYS + (keys.IMAGE_KEYS if images else ())
    return MimicEnv(simulation, robot, goal, reward, camera, observation_keys, render_mode)


def reacher_plane(
    images: bool = True, reward_weights: dict[str, float] | None = None, render_mode: str | None = None
) -> MimicEnv:
    """
    A planar arm of two hinges and links of 0.20 and 0.21 m, seen from above, without gravity.

    :param images: Whether to expose the pictures
    :param reward_weights: Weight of each reward term
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :return: The environment
    """
    limit = math.radians(150)
    segments = (
        urdf.Segment("upper_arm", (("shoulder", Z_AXIS, -limit, limit),), 0.20, 0.025, 0.3, UPPER_ARM),
        urdf.Segment("forearm", (("elbow", Z_AXIS, -limit, limit),), 0.21, 0.02, 0.3, FOREARM, ball=(0.03, HAND)),
    )
    spec = RobotSpec(
        model=urdf.robot("reacher_plane", urdf.limb(segments, "base", urdf.NO_OFFSET)),
        joints=("shoulder", "elbow"),
        keypoints=(KeyPoint("elbow", "forearm"), KeyPoint("hand", "forearm", (0.21, 0.0, 0.0))),
        limbs=(("upper_arm", "elbow", "hand"),),
        max_torque=(1.0, 0.5),
        friction=0.01,
    )
    camera = Camera(eye=(0, 0, 1.2), target=(0, 0, 0), up=(0, 1, 0), fov=41)
    return _pose_env(spec, camera, 0.0, images, reward_weights, render_mode)


def reacher_3d(
    images: bool = True, reward_weights: dict[str, float] | None = None, render_mode: str | None = None
) -> MimicEnv:
    """
    An arm under gravity: shoulder yaw and pitch, elbow pitch, two links of 0.30 m.

    :param images: Whether to expose the pictures
    :param reward_weights: Weight of each reward term
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :return: The environment
    """
    yaw, pitch, elbow = math.radians(90), math.radians(60), math.radians(135)
    shoulder = (("shoulder_yaw", Z_AXIS, -yaw, yaw), ("shoulder_pitch", PITCH_AXIS, -pitch, pitch))
    segments = (
        urdf.Segment("upper_arm", shoulder, 0.30, 0.06, 0.5, UPPER_ARM),
        urdf.Segment("forearm", (("elbow", PITCH_AXIS, 0.0, elbow),), 0.30, 0.045, 0.5, FOREARM, ball=(0.07, HAND)),
    )
    spec = RobotSpec(
        model=urdf.robot("reacher_3d", urdf.limb(segments, "base", urdf.NO_OFFSET)),
        joints=("shoulder_yaw", "shoulder_pitch", "elbow"),
        keypoints=(KeyPoint("elbow", "forearm"), KeyPoint("hand", "forearm", (0.30, 0.0, 0.0))),
        limbs=(("upper_arm", "elbow", "hand"),),
        max_torque=(6.0, 10.0, 4.0),
        friction=0.1,
    )
    camera = Camera(eye=(0.8, -0.6, 0.55), target=(0.12, 0.0, 0.06), up=(0, 0, 1), fov=74)
    return _pose_env(spec, camera, 9.81, images, reward_weights, render_mode)
