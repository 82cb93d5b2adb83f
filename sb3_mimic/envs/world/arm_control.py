"""Controls of an arm with a gripper: where its hand is to go, or its joints."""

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.world.control import Control, Motors
from sb3_mimic.envs.world.reaching import DownwardArm
from sb3_mimic.envs.world.view import Vector
from sb3_mimic.errors import BodyError

N_FINGERS = 2
# The part of a position's error that motors make good in one physics step
GAIN = 0.2


@dataclass(frozen=True)
class ArmControl(Control):
    """
    Drives an arm whose last two joints are fingers. The last number of an action says how far they are open, -1 not at all,
    1 as far as they go; fingers that are kept from closing press with all of their force.

    :param grips: Whether an action has that number; if not, the fingers stay closed
    :param arm: Computes the arm's joints from where its hand is
    """

    grips: bool = True
    arm: DownwardArm = DownwardArm()  # noqa: RUF009 - frozen

    def names(self, joints: tuple[str, ...]) -> tuple[str, ...]:
        return (*self._moves(joints[:-N_FINGERS]), *(("gripper",) if self.grips else ()))

    @abstractmethod
    def _moves(self, joints: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the names of the numbers that move the arm."""

    @abstractmethod
    def _targets(self, action: list[float], qpos: list[float], motors: Motors) -> list[float]:
        """Returns where the arm's joints are to go, in rad."""

    def apply(self, client: int, motors: Motors, action: list[float], qpos: npt.NDArray[np.floating]) -> None:
        targets = self._targets(action, qpos.tolist(), motors)
        share = (action[-1] + 1) / 2 if self.grips else 0.0
        targets += [low + share * (high - low) for low, high in zip(motors.low, motors.high, strict=True)][-N_FINGERS:]
        motors.go_to(client, targets, GAIN)


@dataclass(frozen=True)
class EndEffector(ArmControl):
    """
    An action is the way of the hand, which points straight down: along x, y and z.

    :param step: The way that 1 stands for, in m
    :param low: The smallest x, y and z that the tip goes to, in m
    :param high: The largest
    """

    step: float = 0.04
    low: Vector = (0.30, -0.30, 0.012)
    high: Vector = (0.80, 0.30, 0.45)

    def __post_init__(self) -> None:
        if not 0 < self.step < math.inf:
            raise BodyError(f"step must be a positive number of m, got {self.step}.")

    def _moves(self, joints: tuple[str, ...]) -> tuple[str, ...]:
        return ("x", "y", "z")

    def _targets(self, action: list[float], qpos: list[float], motors: Motors) -> list[float]:
        now = self.arm.tip(qpos)
        x, y, z = (
            min(max(place + self.step * part, low), high)
            for place, part, low, high in zip(now, action[:3], self.low, self.high, strict=True)
        )
        return self.arm.joints((x, y, z))


@dataclass(frozen=True)
class ArmJoints(ArmControl):
    """
    An action is the way of each joint of the arm.

    :param step: The way that 1 stands for, in rad
    """

    step: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.step < math.inf:
            raise BodyError(f"step must be a positive number of rad, got {self.step}.")

    def _moves(self, joints: tuple[str, ...]) -> tuple[str, ...]:
        return joints

    def _targets(self, action: list[float], qpos: list[float], motors: Motors) -> list[float]:
        arm = zip(qpos[:-N_FINGERS], action, motors.low, motors.high, strict=False)
        return [min(max(now + self.step * part, low), high) for now, part, low, high in arm]
