"""Where an arm's joints must be for its hand to be somewhere, pointing straight down: in closed form."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sb3_mimic.envs.world.view import Vector

# The arm is never stretched further than this part of its length: straight, it would not know which way to bend
STRETCH = 0.999


@dataclass(frozen=True)
class DownwardArm:
    """
    An arm of seven hinges whose third and fifth stay at 0: it then moves in an upright plane, as one with a shoulder, an
    elbow and a wrist does, and the last hinge turns the hand. Measures are those of Franka's Panda, in m.

    :param shoulder: Height of the shoulder above the base
    :param upper_arm: From the shoulder to the elbow, along the arm
    :param elbow: How far the elbow stands out before both parts of the arm
    :param forearm: From the elbow to the wrist, along the arm
    :param wrist: From the wrist outwards to the last joint
    :param tool: From there down to between the finger tips
    :param hand_angle: How the hand is turned against the last link, in rad
    """

    shoulder: float = 0.333
    upper_arm: float = 0.316
    elbow: float = 0.0825
    forearm: float = 0.384
    wrist: float = 0.088
    tool: float = 0.212
    hand_angle: float = -math.pi / 4

    def joints(self, tip: Vector, yaw: float = 0.0) -> list[float]:
        """
        Computes joint positions. Where the tip is out of reach, it goes as far towards it as it can, along the line from the
        shoulder.

        :param tip: Where the tip is to be, above or below a circle around the base that it never enters, in m
        :param yaw: How the fingers are turned: at 0 they open along y, in rad
        :return: Of the seven hinges, in rad
        """
        x, y, z = tip
        pan = math.atan2(y, x)
        # The wrist, seen from the shoulder, in the arm's plane
        ahead, up = math.hypot(x, y) - self.wrist, z + self.tool - self.shoulder
        upper, lower = math.hypot(self.upper_arm, self.elbow), math.hypot(self.forearm, self.elbow)
        distance = math.hypot(ahead, up)
        distance = min(max(distance, abs(upper - lower) / STRETCH), STRETCH * (upper + lower))
        # Angles from the upright, to the wrist, of the upper arm, and of the lower one
        bend = math.acos((distance * distance - upper * upper - lower * lower) / (2 * upper * lower))
        first = math.atan2(ahead, up) - math.atan2(lower * math.sin(bend), upper + lower * math.cos(bend))
        second = first + bend + math.atan2(self.elbow, self.forearm)
        lean = first - math.atan2(self.elbow, self.upper_arm)
        return [pan, lean, 0.0, lean - second, 0.0, second, pan - self.hand_angle - yaw]

    def tip(self, joints: Sequence[float]) -> Vector:
        """
        Computes where the tip is.

        :param joints: Of the seven hinges at least, in rad; the third and fifth count as 0
        :return: In m
        """
        pan, lean, second = joints[0], joints[1], joints[1] - joints[3]
        s1, c1, s2, c2 = math.sin(lean), math.cos(lean), math.sin(second), math.cos(second)
        ahead = self.upper_arm * s1 + self.elbow * c1 + self.forearm * s2 - self.elbow * c2
        up = self.upper_arm * c1 - self.elbow * s1 + self.forearm * c2 + self.elbow * s2
        # How far the hand is from pointing straight down
        tilt = second - joints[5]
        s3, c3 = math.sin(tilt), math.cos(tilt)
        ahead += self.wrist * c3 - self.tool * s3
        up += -self.wrist * s3 - self.tool * c3
        return ahead * math.cos(pan), ahead * math.sin(pan), self.shoulder + up
