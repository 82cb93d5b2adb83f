"""The reachers: arms with two links in the plane, with two and with three in space."""

import math

from sb3_mimic.envs.models import urdf
from sb3_mimic.envs.world.body import Body, KeyPoint
from sb3_mimic.envs.world.view import View

UPPER_ARM, FOREARM, HAND = (0.16, 0.38, 0.72), (0.95, 0.55, 0.13), (0.80, 0.12, 0.18)
WRIST, MUSCLE, BASE = (0.20, 0.62, 0.30), (0.55, 0.20, 0.62), (0.25, 0.27, 0.30)
# Each arm stands on something that does not move: by it, the camera's own motion can be told from the arm's
COLUMN = urdf.cylinder(0.045, 0.14, (0.0, 0.0, -0.07), BASE) + urdf.box((0.18, 0.18, 0.04), (0.0, 0.0, -0.16), BASE)
PLATE = urdf.box((0.10, 0.10, 0.02), (0.0, 0.0, -0.04), BASE)
X_AXIS, Z_AXIS, PITCH_AXIS = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)


def _reacher_plane() -> Body:
    """Returns a planar arm of two hinges and links of 0.20 and 0.21 m, seen from above, without gravity."""
    limit = math.radians(150)
    segments = (
        urdf.Segment("upper_arm", (("shoulder", Z_AXIS, -limit, limit),), 0.20, 0.025, 0.3, UPPER_ARM),
        urdf.Segment("forearm", (("elbow", Z_AXIS, -limit, limit),), 0.21, 0.02, 0.3, FOREARM, ball=(0.03, HAND)),
    )
    return Body(
        model=urdf.robot("reacher_plane", urdf.limb(segments, "base", urdf.NO_OFFSET), look=PLATE),
        joints=("shoulder", "elbow"),
        keypoints=(KeyPoint("elbow", "forearm"), KeyPoint("hand", "forearm", (0.21, 0.0, 0.0))),
        limbs=(("upper_arm", "elbow", "hand"),),
        max_torque=(1.0, 0.5),
        friction=0.01,
        camera=View(eye=(0, 0, 1.2), target=(0, 0, 0), up=(0, 1, 0), fov=42.5),
        gravity=0.0,
    )


def _reacher_3d() -> Body:
    """Returns an arm under gravity: shoulder yaw and pitch, elbow pitch, two links of 0.30 m."""
    yaw, pitch, elbow = math.radians(90), math.radians(60), math.radians(135)
    shoulder = (("shoulder_yaw", Z_AXIS, -yaw, yaw), ("shoulder_pitch", PITCH_AXIS, -pitch, pitch))
    segments = (
        urdf.Segment("upper_arm", shoulder, 0.30, 0.06, 0.5, UPPER_ARM),
        urdf.Segment("forearm", (("elbow", PITCH_AXIS, 0.0, elbow),), 0.30, 0.045, 0.5, FOREARM, ball=(0.07, HAND)),
    )
    return Body(
        model=urdf.robot("reacher_3d", urdf.limb(segments, "base", urdf.NO_OFFSET), look=COLUMN),
        joints=("shoulder_yaw", "shoulder_pitch", "elbow"),
        keypoints=(KeyPoint("elbow", "forearm"), KeyPoint("hand", "forearm", (0.30, 0.0, 0.0))),
        limbs=(("upper_arm", "elbow", "hand"),),
        max_torque=(6.0, 10.0, 4.0),
        friction=0.1,
        camera=View(eye=(0.8, -0.6, 0.55), target=(0.12, 0.0, 0.06), up=(0, 0, 1), fov=76),
    )


def _reacher_6d() -> Body:
    """Returns an arm under gravity: three hinges in the shoulder, one in the elbow, two in the wrist; links of 0.28, 0.24 and
    0.14 m."""
    yaw, pitch, roll, wrist = (math.radians(limit) for limit in (90, 60, 60, 60))
    shoulder = (
        ("shoulder_yaw", Z_AXIS, -yaw, yaw),
        ("shoulder_pitch", PITCH_AXIS, -pitch, pitch),
        ("shoulder_roll", X_AXIS, -roll, roll),
    )
    # The arm is round, and a nearly straight elbow would hide the shoulder's roll
    muscle = urdf.box((0.14, 0.05, 0.05), (0.14, 0.0, 0.055), MUSCLE)
    elbow = (("elbow", PITCH_AXIS, math.radians(20), math.radians(120)),)
    hand = (("wrist_pitch", PITCH_AXIS, -wrist, wrist), ("wrist_yaw", Z_AXIS, -wrist, wrist))
    segments = (
        urdf.Segment("upper_arm", shoulder, 0.28, 0.06, 0.5, UPPER_ARM, look=muscle),
        urdf.Segment("forearm", elbow, 0.24, 0.05, 0.4, FOREARM),
        urdf.Segment("hand", hand, 0.14, 0.065, 0.25, WRIST, (0.11, HAND), armature=0.004),
    )
    return Body(
        model=urdf.robot("reacher_6d", urdf.limb(segments, "base", urdf.NO_OFFSET), look=COLUMN),
        joints=("shoulder_yaw", "shoulder_pitch", "shoulder_roll", "elbow", "wrist_pitch", "wrist_yaw"),
        keypoints=(KeyPoint("elbow", "forearm"), KeyPoint("wrist", "hand"), KeyPoint("tip", "hand", (0.14, 0.0, 0.0))),
        limbs=(("upper_arm", "elbow", "wrist", "tip"),),
        max_torque=(8.0, 12.0, 4.0, 5.0, 0.8, 0.8),
        friction=(0.15, 0.2, 0.08, 0.1, 0.03, 0.03),
        # The arm reaches all around its shoulder
        camera=View(eye=(1.0, -0.35, 0.65), target=(0.0, 0.0, 0.0), up=(0, 0, 1), fov=72),
    )


REACHER_PLANE, REACHER_3D, REACHER_6D = _reacher_plane(), _reacher_3d(), _reacher_6d()
