"""A robot: what it is made of (RobotSpec) and where it is now (Robot)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pybullet as p

from sb3_mimic.envs.models.urdf import MESHES
from sb3_mimic.envs.world.control import Control, torque
from sb3_mimic.envs.world.simulation import Simulation

FloatArray = npt.NDArray[np.floating]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class KeyPoint:
    """
    A point of the body that poses are judged by.

    :param name: Its name (elbow, hand, ...)
    :param link: Name of the link that it belongs to
    :param offset: Where it is in the link's frame, in m
    """

    name: str
    link: str
    offset: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class RobotSpec:
    """
    :param model: The text of a URDF
    :param joints: Names of the driven joints, in the order of actions and angles
    :param keypoints: What poses are judged by
    :param limbs: For drawing: a link whose frame never moves, and the names of the key points along the limb from there
    :param max_torque: Largest torque of each joint, in Nm
    :param friction: Dry friction in each joint, in Nm; one number stands for all
    :param control: How actions become motor commands
    """

    model: str
    joints: tuple[str, ...]
    keypoints: tuple[KeyPoint, ...]
    limbs: tuple[tuple[str, ...], ...]
    max_torque: tuple[float, ...]
    friction: float | tuple[float, ...] = 0.0
    control: Control = torque

    def __post_init__(self) -> None:
        if len(self.max_torque) != len(self.joints):
            raise ValueError(f"max_torque needs one value per joint, got {self.max_torque} for joints {self.joints}")
        if len(self.frictions) != len(self.joints):
            raise ValueError(f"friction needs one value per joint, got {self.friction} for joints {self.joints}")
        if min(self.max_torque) <= 0 or min(self.frictions) < 0:
            raise ValueError(f"Torques must be positive and friction not negative, got {self.max_torque}, {self.friction}")
        if not self.keypoints:
            raise ValueError("A robot needs at least one key point")
        names = [keypoint.name for keypoint in self.keypoints]
        for limb in self.limbs:
            if not set(limb[1:]) <= set(names):
                raise ValueError(f"After its first link, a limb must consist of key points ({names}), got {limb}")

    @property
    def frictions(self) -> tuple[float, ...]:
        """Dry friction of each joint, in Nm"""
        return self.friction if isinstance(self.friction, tuple) else (self.friction,) * len(self.joints)


class Robot:
    """
    :param simulation: The world to put the robot into
    :param spec: What it is made of
    :raises ValueError: When the model lacks a named joint or link
    """

    def __init__(self, simulation: Simulation, spec: RobotSpec):
        self.simulation = simulation
        self.spec = spec
        self.load()

    def load(self) -> None:
        """Put the robot into its simulation, which has just been opened."""
        simulation, spec = self.simulation, self.spec
        self._body = simulation.load(spec.model, MESHES)
        joint_index, link_index, limits = {}, {}, {}
        for index in range(p.getNumJoints(self._body, physicsClientId=simulation.client)):
            details = p.getJointInfo(self._body, index, physicsClientId=simulation.client)
            joint_index[details[1].decode()] = index
            link_index[details[12].decode()] = index
            limits[details[1].decode()] = details[8:10]
        roots = tuple(limb[0] for limb in spec.limbs)
        for name in (*spec.joints, *(keypoint.link for keypoint in spec.keypoints), *roots):
            known = joint_index if name in spec.joints else link_index
            if name not in known:
                raise ValueError(f"The robot has no '{name}'. It has: {', '.join(known)}")
        self._joints = [joint_index[name] for name in spec.joints]
        # Each link is asked for once, however many key points it carries
        self._links = sorted({link_index[keypoint.link] for keypoint in spec.keypoints})
        self._offsets = [(self._links.index(link_index[keypoint.link]), keypoint.offset) for keypoint in spec.keypoints]
        self.joint_low = np.array([limits[name][0] for name in spec.joints])
        self.joint_high = np.array([limits[name][1] for name in spec.joints])
        self.release_motors()
        self.refresh()
        self._roots = [
            np.array(p.getLinkState(self._body, link_index[name], physicsClientId=simulation.client)[4]) for name in roots
        ]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.simulation.is_open:
            self.load()
            self.simulation.restore_initial()
            self.reset(state["qpos"], state["qvel"])

    @property
    def n_joints(self) -> int:
        return len(self._joints)

    def release_motors(self) -> None:
        """Turn the motors that PyBullet gives every joint into mere friction. A restored state forgets it."""
        p.setJointMotorControlArray(
            self._body,
            self._joints,
            p.VELOCITY_CONTROL,
            forces=self.spec.frictions,
            physicsClientId=self.simulation.client,
        )

    def resume(self) -> None:
        """To be called when the world has been put back to an earlier state."""
        self.release_motors()
        self.refresh()

    def reset(self, qpos: FloatArray, qvel: FloatArray | None = None) -> None:
        """
        Put the joints somewhere, without physics.

        :param qpos: Joint angles, shape (n_joints,), in rad
        :param qvel: Joint velocities, shape (n_joints,), in rad/s; at rest by default
        """
        velocities = np.zeros(self.n_joints) if qvel is None else qvel
        p.resetJointStatesMultiDof(
            self._body,
            self._joints,
            [[angle] for angle in qpos],
            [[velocity] for velocity in velocities],
            physicsClientId=self.simulation.client,
        )
        self.refresh()

    def refresh(self) -> None:
        """Read angles, velocities and key points anew; to be called once after the world has moved."""
        client = self.simulation.client
        states = p.getJointStates(self._body, self._joints, physicsClientId=client)
        #: Joint angles, shape (n_joints,), in rad
        self.qpos = np.array([state[0] for state in states])
        #: Joint velocities, shape (n_joints,), in rad/s
        self.qvel = np.array([state[1] for state in states])
        links = p.getLinkStates(self._body, self._links, computeForwardKinematics=1, physicsClientId=client)
        #: Key points, shape (n_keypoints, 3), in m
        self.keypoints = np.array([_point(links[index][4], links[index][5], offset) for index, offset in self._offsets])

    def contacts(self) -> FloatArray:
        """:return: 1 for each joint whose link touches anything, 0 for the others, shape (n_joints,)"""
        touching = {contact[3] for contact in p.getContactPoints(self._body, physicsClientId=self.simulation.client)}
        return np.array([float(joint in touching) for joint in self._joints])

    def limbs(self, keypoints: FloatArray) -> list[FloatArray]:
        """
        :param keypoints: Of any pose, shape (n_keypoints, 3), in m
        :return: The points along each limb, shape (n_points, 3), in m
        """
        index = {keypoint.name: position for position, keypoint in enumerate(self.spec.keypoints)}
        return [
            np.vstack((root, *(keypoints[index[name]] for name in limb[1:])))
            for root, limb in zip(self._roots, self.spec.limbs, strict=True)
        ]

    def fade(self, opacity: float) -> None:
        """:param opacity: 1 is solid, 0 invisible"""
        client = self.simulation.client
        for shape in p.getVisualShapeData(self._body, physicsClientId=client):
            p.changeVisualShape(self._body, shape[1], rgbaColor=(*shape[7][:3], opacity), physicsClientId=client)

    def apply(self, action: FloatArray) -> None:
        """:param action: Shape (n_joints,), within [-1, 1]"""
        self.spec.control(self.simulation.client, self._body, self._joints, action, self.spec.max_torque)


def _point(position: Vector, orientation: tuple[float, float, float, float], offset: Vector) -> Vector:
    """:return: Where a point given in a link's frame is in the world. Plain floats: arrays take three times as long"""
    if not any(offset):
        return position
    x, y, z = offset
    a, b, c, d, e, f, g, h, i = p.getMatrixFromQuaternion(orientation)
    return (
        position[0] + a * x + b * y + c * z,
        position[1] + d * x + e * y + f * z,
        position[2] + g * x + h * y + i * z,
    )
