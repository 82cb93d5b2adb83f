"""A robot in a world: where it is now, and how it is driven."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pybullet as p

from sb3_mimic.envs.models.kinematics import Kinematics
from sb3_mimic.envs.models.preparing import prepared
from sb3_mimic.envs.models.urdf_file import SLIDES, UrdfFile, resting
from sb3_mimic.envs.world.body import Body, KeyPoint, Limits
from sb3_mimic.envs.world.control import Motors
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.view import Vector

FloatArray = npt.NDArray[np.floating]

# No joint turns faster than this many times the speed that the fastest of the motors can drive it to
SPEED_RESERVE = 2.0


class Robot:
    """
    A robot in its world: where it is, and how it is moved.

    :param simulation: The world to put the robot into
    :param body: What it is made of
    :raises BodyError: When its model is missing, damaged, or lacks a named joint or link
    """

    #: Whether its links touch anything
    has_contacts = False

    def __init__(self, simulation: Simulation, body: Body):
        self.simulation = simulation
        self.body = body
        self.load()

    def twin(self, simulation: Simulation) -> "Robot":
        """Returns another of the kind, in another world."""
        return Robot(simulation, self.body)

    def load(self) -> None:
        """
        Puts the robot into its simulation, which has just been opened.

        :raises BodyError: When its model is missing, damaged, or lacks a named joint or link
        """
        simulation, body = self.simulation, self.body
        file = body.read_model()
        limits = dict(zip(body.joints, body.limits, strict=True)) if body.limits else {}
        model = prepared(file, body.joints, limits, dict(body.posture), self.has_contacts)
        self._id = simulation.load(model, name=file.name)
        joint_index, link_index = {}, {}
        for index in range(p.getNumJoints(self._id, physicsClientId=simulation.client)):
            details = p.getJointInfo(self._id, index, physicsClientId=simulation.client)
            joint_index[details[1].decode()] = index
            link_index[details[12].decode()] = index
        self._joints = [joint_index[name] for name in body.joints]
        # Each link is asked for once, however many key points it carries
        self._links = sorted({link_index[keypoint.link] for keypoint in body.keypoints})
        self._offsets = [(self._links.index(link_index[keypoint.link]), keypoint.offset) for keypoint in body.keypoints]
        ranges = [p.getJointInfo(self._id, joint, physicsClientId=simulation.client)[8:10] for joint in self._joints]
        self.joint_low = np.array([low for low, _ in ranges])
        self.joint_high = np.array([high for _, high in ranges])
        self._motors = Motors(
            self._id,
            self._joints,
            self.joint_low.tolist(),
            self.joint_high.tolist(),
            body.max_torque,
            body.frictions,
            body.max_velocity,
            simulation.timestep,
        )
        if body.max_velocity:
            fastest = SPEED_RESERVE * max(body.max_velocity)
            for joint in self._joints:
                p.changeDynamics(self._id, joint, maxJointVelocity=fastest, physicsClientId=simulation.client)
        #: Unit of each joint's position: rad or m
        self.units = tuple("m" if file.joints[name].kind in SLIDES else "rad" for name in body.joints)
        #: What joint positions are multiplied with where people read them, shape (n_joints,): in deg, or m for slides
        self.display_scale = np.array([1.0 if unit == "m" else math.degrees(1) for unit in self.units])
        units = set(self.units)
        #: Unit of the joints' positions: rad, m, or none where there are both
        self.unit = units.pop() if len(units) == 1 else ""
        #: No key point can be farther from the origin than this, in m
        self.reach = max(_reach(file, keypoint, body, limits) for keypoint in body.keypoints)
        self.release_motors()
        self.refresh()
        self._kinematics = Kinematics(file, body.joints, dict(body.posture))
        self._carriers = [self._kinematics.links.index(keypoint.link) for keypoint in body.keypoints]
        # Limbs begin where frames never move
        self._roots = [file.position(limb[0], dict(body.posture)) for limb in body.limbs]

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

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints, in the order of their positions"""
        return tuple(self.body.joints)

    def release_motors(self) -> None:
        """Turns the motors that PyBullet gives every joint into mere friction. A restored state forgets it."""
        p.setJointMotorControlArray(
            self._id,
            self._joints,
            p.VELOCITY_CONTROL,
            forces=self.body.frictions,
            physicsClientId=self.simulation.client,
        )

    def resume(self) -> None:
        """To be called when the world has been put back to an earlier state."""
        self.release_motors()
        self.refresh()

    def reset(self, qpos: FloatArray, qvel: FloatArray | None = None) -> None:
        """
        Puts the joints somewhere, without physics.

        :param qpos: Joint positions, shape (n_joints,), in rad, or m for slides
        :param qvel: Joint velocities, shape (n_joints,), in rad/s or m/s; at rest by default
        """
        velocities = np.zeros(len(self._joints)) if qvel is None else qvel
        p.resetJointStatesMultiDof(
            self._id,
            self._joints,
            [[angle] for angle in qpos],
            [[velocity] for velocity in velocities],
            physicsClientId=self.simulation.client,
        )
        self.refresh()

    def refresh(self) -> None:
        """Reads angles, velocities and key points anew; to be called once after the world has moved."""
        client = self.simulation.client
        # Of each joint: position, velocity, forces, torque of its motor
        self._states = states = p.getJointStates(self._id, self._joints, physicsClientId=client)
        #: Joint positions, shape (n_joints,), in rad, or m for slides
        self.qpos = np.array([state[0] for state in states])
        #: Joint velocities, shape (n_joints,), in rad/s or m/s
        self.qvel = np.array([state[1] for state in states])
        self._read_links(p.getLinkStates(self._id, self._links, computeForwardKinematics=1, physicsClientId=client))

    def _read_links(self, links: Any) -> None:
        """Reads the key points from PyBullet's states of the links that carry them."""
        #: Key points, shape (n_keypoints, 3), in m
        self.keypoints = np.array([_point(links[index][4], links[index][5], offset) for index, offset in self._offsets])

    def keypoints_of(self, qpos: FloatArray) -> FloatArray:
        """
        Computes where the key points are in another pose, without the world.

        :param qpos: Joint positions, shape (n_joints,), in rad, or m for slides
        :return: Shape (n_keypoints, 3), in m
        """
        links = self._kinematics.forward(qpos)[self._carriers]
        offsets = np.array([keypoint.offset for keypoint in self.body.keypoints])
        return np.asarray((links[:, :, :3] @ offsets[:, :, None])[:, :, 0] + links[:, :, 3])

    def contacts(self) -> FloatArray:
        """Returns 1 for each joint whose link touches anything, 0 for the others, shape (n_joints,)."""
        touching = {contact[3] for contact in p.getContactPoints(self._id, physicsClientId=self.simulation.client)}
        return np.array([float(joint in touching) for joint in self._joints])

    def limbs(self, keypoints: FloatArray) -> list[FloatArray]:
        """
        Computes the lines that stand for the limbs of a pose.

        :param keypoints: Of any pose, shape (n_keypoints, 3), in m
        :return: The points along each limb, shape (n_points, 3), in m
        """
        index = {keypoint.name: position for position, keypoint in enumerate(self.body.keypoints)}
        return [
            np.vstack((root, *(keypoints[index[name]] for name in limb[1:])))
            for root, limb in zip(self._roots, self.body.limbs, strict=True)
        ]

    def move(self, position: Vector, yaw: float) -> None:
        """
        Puts its base somewhere else; key points are told as if it had stayed.

        :param position: In m
        :param yaw: How far it is turned about the vertical, in rad
        """
        orientation = p.getQuaternionFromEuler((0.0, 0.0, yaw))
        p.resetBasePositionAndOrientation(self._id, position, orientation, physicsClientId=self.simulation.client)

    def fade(self, opacity: float) -> None:
        """
        Makes the robot transparent.

        :param opacity: 1 is solid, 0 invisible
        """
        client = self.simulation.client
        for shape in p.getVisualShapeData(self._id, physicsClientId=client):
            p.changeVisualShape(self._id, shape[1], rgbaColor=(*shape[7][:3], opacity), physicsClientId=client)

    def apply(self, action: list[float]) -> None:
        """
        Commands the motors; to be called before each step of the simulation.

        :param action: One that the control has checked
        """
        self.body.control.apply(self.simulation.client, self._motors, action, self.qpos)

    def efforts(self, action: list[float]) -> list[float]:
        """
        Computes how hard the motors worked.

        :param action: What was applied before the last step
        :return: The fraction of its maximum torque that each motor gave, shape (n_joints,)
        """
        return self.body.control.efforts(self._motors, action, self._states)

    def link_positions(self) -> FloatArray:
        """Returns where the frames of all links but the base are, shape (n_links, 3), in m."""
        client = self.simulation.client
        every = range(p.getNumJoints(self._id, physicsClientId=client))
        links = p.getLinkStates(self._id, every, computeForwardKinematics=1, physicsClientId=client)
        return np.array([link[4] for link in links])


def _reach(file: UrdfFile, keypoint: KeyPoint, body: Body, limits: Mapping[str, Limits]) -> float:
    """Returns the way to a key point along all links, in m."""
    held = dict(body.posture)
    reach = math.hypot(*keypoint.offset)
    for joint in file.way_to(keypoint.link):
        reach += float(np.linalg.norm(joint.placement[:3, 3]))
        if joint.kind in SLIDES:
            low, high = limits.get(joint.name, joint.limits)
            ends = (low, high) if joint.name in body.joints else (held.get(joint.name, resting(joint)),)
            reach += max(map(abs, ends))
    return reach


def _point(position: Vector, orientation: tuple[float, float, float, float], offset: Vector) -> Vector:
    """Returns where a point given in a link's frame is in the world. Plain floats: arrays take three times as long."""
    if not any(offset):
        return position
    x, y, z = offset
    a, b, c, d, e, f, g, h, i = p.getMatrixFromQuaternion(orientation)
    return (
        position[0] + a * x + b * y + c * z,
        position[1] + d * x + e * y + f * z,
        position[2] + g * x + h * y + i * z,
    )
