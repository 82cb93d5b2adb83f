"""Humanoids whose torso is fixed: one arm or two."""

import math

from sb3_mimic.envs.models import urdf
from sb3_mimic.envs.world.body import Body, KeyPoint
from sb3_mimic.envs.world.view import View

SHIRT, SKIN = (0.36, 0.40, 0.48), (0.93, 0.74, 0.60)
# Upper arm, forearm, hand: a picture tells left from right by their colours
COLORS = {
    "left": ((0.16, 0.38, 0.72), (0.95, 0.55, 0.13), (0.80, 0.12, 0.18)),
    "right": ((0.18, 0.55, 0.34), (0.62, 0.30, 0.68), (0.90, 0.78, 0.10)),
}
UPPER_ARM, FOREARM = 0.28, 0.26
SHOULDER_WIDTH, SHOULDER_HEIGHT = 0.20, 0.20
# The person faces along x. A shoulder is raised about x and swung forward about z, an elbow bends in the shoulder's plane
ROLL, YAW, ELBOW = ((math.radians(low), math.radians(high)) for low, high in ((-85, 60), (-60, 85), (-90, 50)))


def _arm(side: str) -> str:
    sign = 1.0 if side == "left" else -1.0
    upper_color, forearm_color, hand_color = COLORS[side]
    # The arm's own x axis points sideways out of the shoulder, its z axis up
    shoulder = (
        (f"{side}_shoulder_roll", (0.0, -1.0, 0.0), *ROLL),
        (f"{side}_shoulder_yaw", (0.0, 0.0, -sign), *YAW),
    )
    elbow = ((f"{side}_elbow", (0.0, 1.0, 0.0), *ELBOW),)
    segments = (
        urdf.Segment(f"{side}_upper_arm", shoulder, UPPER_ARM, 0.055, 0.5, upper_color),
        urdf.Segment(f"{side}_forearm", elbow, FOREARM, 0.045, 0.4, forearm_color, ball=(0.07, hand_color)),
    )
    return urdf.limb(segments, "base", (0.0, sign * SHOULDER_WIDTH, SHOULDER_HEIGHT), yaw=sign * math.pi / 2)


def _person(name: str, sides: tuple[str, ...], camera: View) -> Body:
    look = urdf.box((0.16, 0.30, 0.50), (0.0, 0.0, 0.01), SHIRT) + urdf.sphere(0.11, (0.0, 0.0, 0.38), SKIN)
    return Body(
        model=urdf.robot(name, *(_arm(side) for side in sides), look=look),
        joints=tuple(f"{side}_{joint}" for side in sides for joint in ("shoulder_roll", "shoulder_yaw", "elbow")),
        keypoints=tuple(
            keypoint
            for side in sides
            for keypoint in (
                KeyPoint(f"{side}_elbow", f"{side}_forearm"),
                KeyPoint(f"{side}_hand", f"{side}_forearm", (FOREARM, 0.0, 0.0)),
            )
        ),
        limbs=tuple((f"{side}_upper_arm", f"{side}_elbow", f"{side}_hand") for side in sides),
        max_torque=(10.0, 6.0, 4.0) * len(sides),
        friction=0.1,
        camera=camera,
    )


#: A person's torso and left arm: two hinges in the shoulder, one in the elbow
HALF_HUMANOID = _person("half_humanoid", ("left",), View(eye=(1.0, 0.6, 0.5), target=(0.0, 0.25, 0.2), up=(0, 0, 1), fov=67))
#: A person's torso and both arms: two hinges in each shoulder, one in each elbow
HUMANOID = _person("humanoid", ("left", "right"), View(eye=(1.1, 0.0, 0.5), target=(0.0, 0.0, 0.2), up=(0, 0, 1), fov=84))
