"""Controls: what an action means, and how it becomes commands for the motors."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pybullet as p
from gymnasium import spaces

from sb3_mimic.envs.world.checks import checked_action
from sb3_mimic.errors import BodyError

# The part of a position's error that PyBullet's motors make good in one physics step
POSITION_GAIN = 0.1


class Motors(NamedTuple):
    """
    What a control acts on: one motor in each driven joint.

    :param body: PyBullet body
    :param joints: PyBullet's numbers of the joints
    :param low: Lower limits, shape (n_joints,), in rad, or m for slides
    :param high: Upper limits
    :param max_torque: Shape (n_joints,), in Nm, or N for slides
    :param friction: Dry friction, shape (n_joints,), in Nm or N
    :param max_velocity: The speed at which a motor gives no more torque, shape (n_joints,), in rad/s or m/s; or none
    :param timestep: Length of a physics step, in s
    """

    body: int
    joints: Sequence[int]
    low: Sequence[float]
    high: Sequence[float]
    max_torque: Sequence[float]
    friction: Sequence[float]
    max_velocity: Sequence[float]
    timestep: float

    def go_to(self, client: int, targets: Sequence[float], gain: float) -> None:
        """
        Lets the joints go to positions.

        :param client: PyBullet client
        :param targets: Shape (n_joints,), in rad, or m for slides
        :param gain: The part of what is left that a motor makes good in one physics step
        """
        p.setJointMotorControlArray(
            self.body,
            self.joints,
            p.POSITION_CONTROL,
            targetPositions=targets,
            forces=self.max_torque,
            positionGains=[gain] * len(targets),
            physicsClientId=client,
        )


@dataclass(frozen=True)
class Control(ABC):
    """What an action means. Actions lie in [-1, 1]; by default there is one number for each joint."""

    def names(self, joints: tuple[str, ...]) -> tuple[str, ...]:
        """
        Names the numbers of an action.

        :param joints: Names of the driven joints
        :return: What each number of an action is called
        """
        return joints

    def action_space(self, joints: tuple[str, ...]) -> spaces.Box:
        """
        Makes the space of the actions.

        :param joints: Names of the driven joints
        :return: The space of the actions
        """
        return spaces.Box(-1.0, 1.0, (len(self.names(joints)),), np.float32)

    def checked(self, action: Any, joints: tuple[str, ...]) -> list[float]:
        """
        Checks an action, and clips it.

        :param action: Shape of the action space
        :param joints: Names of the driven joints
        :return: The action, clipped to [-1, 1]
        :raises ValueError: When it has another shape or is not finite
        """
        return checked_action(action, self.names(joints))

    @abstractmethod
    def apply(self, client: int, motors: Motors, action: list[float], qpos: npt.NDArray[np.floating]) -> None:
        """
        Commands the motors; to be called before each step of the simulation.

        :param client: PyBullet client
        :param motors: The motors
        :param action: Within [-1, 1]
        :param qpos: Where the joints are, shape (n_joints,), in rad or m
        """

    def efforts(self, motors: Motors, action: list[float], states: Sequence[tuple[Any, ...]]) -> list[float]:
        """
        Computes how hard the motors worked.

        :param motors: The motors
        :param action: What was applied before the last step
        :param states: Of each joint, as PyBullet gives it: position, velocity, forces, torque of its motor
        :return: The fraction of its maximum torque that each motor gave in the last physics step, shape (n_joints,)
        """
        return [min(max(state[3] / largest, -1.0), 1.0) for state, largest in zip(states, motors.max_torque, strict=True)]


@dataclass(frozen=True)
class Torque(Control):
    """An action is the fraction of its maximum torque that each motor gives."""

    def apply(self, client: int, motors: Motors, action: list[float], qpos: npt.NDArray[np.floating]) -> None:
        torques = [fraction * largest for fraction, largest in zip(action, motors.max_torque, strict=True)]
        if not motors.max_velocity:
            p.setJointMotorControlArray(motors.body, motors.joints, p.TORQUE_CONTROL, forces=torques, physicsClientId=client)
            return
        # The same torque, until the joint is at full speed. PyBullet solves for it with the rest of the step: given as a
        # torque it would throw a light link about, since it is held for the whole step however fast that link becomes.
        drives = [abs(torque) - friction for torque, friction in zip(torques, motors.friction, strict=True)]
        speeds = zip(torques, drives, motors.max_velocity, strict=True)
        p.setJointMotorControlArray(
            motors.body,
            motors.joints,
            p.VELOCITY_CONTROL,
            targetVelocities=[math.copysign(speed, torque) if drive > 0 else 0.0 for torque, drive, speed in speeds],
            # A motor too weak to overcome the friction is no more than friction
            forces=[drive if drive > 0 else friction for drive, friction in zip(drives, motors.friction, strict=True)],
            physicsClientId=client,
        )

    def efforts(self, motors: Motors, action: list[float], states: Sequence[tuple[Any, ...]]) -> list[float]:
        return action


@dataclass(frozen=True)
class JointPosition(Control):
    """
    An action says where each joint is to go: -1 and 1 are its limits.

    :param step: If given, an action is a way from where the joint is, and 1 a way of this length, in rad, or m for slides
    :param max_velocity: How fast joints go there, in rad/s, or m/s for slides; the body's own is used where it is lower
    """

    step: float | None = None
    max_velocity: float = 2 * math.pi

    def __post_init__(self) -> None:
        for name, value in {"step": self.step, "max_velocity": self.max_velocity}.items():
            if value is not None and not 0 < value < math.inf:
                raise BodyError(f"{name} must be a positive number, got {value}. Leave it out for the default.")

    def apply(self, client: int, motors: Motors, action: list[float], qpos: npt.NDArray[np.floating]) -> None:
        targets = []
        speeds = motors.max_velocity or [self.max_velocity] * len(qpos)
        for fraction, now, low, high, speed in zip(action, qpos.tolist(), motors.low, motors.high, speeds, strict=True):
            way = (low + high + fraction * (high - low)) / 2 - now if self.step is None else fraction * self.step
            # A motor goes the faster the farther its target is
            longest = min(speed, self.max_velocity) * motors.timestep / POSITION_GAIN
            targets.append(min(max(now + min(max(way, -longest), longest), low), high))
        motors.go_to(client, targets, POSITION_GAIN)


TORQUE = Torque()
