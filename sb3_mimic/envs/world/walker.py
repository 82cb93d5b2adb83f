"""The walking humanoid's body: what it is made of, and where it is now."""

import math
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pybullet as p
import pybullet_data

from sb3_mimic.envs.models.mjcf import to_urdf
from sb3_mimic.envs.models.urdf_file import UrdfFile
from sb3_mimic.envs.world.simulation import Simulation

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

MODEL = "mjcf/humanoid_symmetric.xml"
FLOOR = "plane_implicit.urdf"
FEET = ("right_foot", "left_foot")
# The links that the feet are a part of
ANKLES = ("right_shin", "left_shin")


class Joint(NamedTuple):
    """
    A joint of the walker.

    :param max_torque: The largest torque of its motor, in Nm
    :param damping: In Nm s/rad
    :param stiffness: Of a spring that draws it to where it is in standing, in Nm/rad
    """

    max_torque: float
    damping: float
    stiffness: float


# Torques of trunk and legs are the model's. PyBullet ignores the model's springs and dampers. Springs are five times as
# stiff as there, and stiffer in the knees, so that a body at rest stands for some seconds and a first random push does
# not fell it. Dampers are the model's, less where a joint can turn a limb about its own light axis, since PyBullet
# integrates them explicitly.
JOINTS = {
    "abdomen_z": Joint(40.0, 5.0, 100.0),
    "abdomen_y": Joint(40.0, 5.0, 50.0),
    "abdomen_x": Joint(40.0, 5.0, 50.0),
    "right_hip_x": Joint(40.0, 1.5, 50.0),
    "right_hip_z": Joint(40.0, 1.0, 50.0),
    "right_hip_y": Joint(120.0, 5.0, 100.0),
    "right_knee": Joint(80.0, 2.0, 60.0),
    "left_hip_x": Joint(40.0, 1.5, 50.0),
    "left_hip_z": Joint(40.0, 1.0, 50.0),
    "left_hip_y": Joint(120.0, 5.0, 100.0),
    "left_knee": Joint(80.0, 2.0, 60.0),
    "right_shoulder1": Joint(10.0, 0.3, 5.0),
    "right_shoulder2": Joint(10.0, 0.3, 5.0),
    "right_elbow": Joint(10.0, 0.3, 5.0),
    "left_shoulder1": Joint(10.0, 0.3, 5.0),
    "left_shoulder2": Joint(10.0, 0.3, 5.0),
    "left_elbow": Joint(10.0, 0.3, 5.0),
}
# Against sliding, and, per metre, against rolling and turning on the spot: the feet are balls
FRICTION, ROLLING_FRICTION, SPINNING_FRICTION = 1.0, 0.1, 0.1


@cache
def _model() -> str:
    """Returns the body as URDF; read once."""
    damping = {name: joint.damping for name, joint in JOINTS.items()}
    return to_urdf(Path(pybullet_data.getDataPath()) / MODEL, FEET, damping)


class Walker:
    """
    The humanoid of ``pybullet_data`` on an endless floor. Only its feet touch the floor, and nothing touches itself:
    whatever else could, could only after a fall.

    :param simulation: The world to put both into
    """

    def __init__(self, simulation: Simulation):
        self.simulation = simulation
        self.load()

    def load(self) -> None:
        """Puts floor and body into the simulation, which has just been opened."""
        simulation, client = self.simulation, self.simulation.client
        self._floor = p.loadURDF(str(Path(pybullet_data.getDataPath()) / FLOOR), physicsClientId=client)
        p.changeDynamics(self._floor, -1, lateralFriction=FRICTION, physicsClientId=client)
        self._body = simulation.load(_model(), is_fixed=False)
        links, joints = {}, {}
        for index in range(p.getNumJoints(self._body, physicsClientId=client)):
            details = p.getJointInfo(self._body, index, physicsClientId=client)
            joints[details[1].decode()] = details
            links[details[12].decode()] = index
        self._joints = [joints[name][0] for name in JOINTS]
        self._max_torque = [joint.max_torque for joint in JOINTS.values()]
        self._stiffness = [joint.stiffness for joint in JOINTS.values()]
        self._middle = [(joints[name][8] + joints[name][9]) / 2 for name in JOINTS]
        self._per_half_range = [2 / (joints[name][9] - joints[name][8]) for name in JOINTS]
        self._ankles = [links[name] for name in ANKLES]
        for ankle in self._ankles:
            p.changeDynamics(
                self._body,
                ankle,
                lateralFriction=FRICTION,
                rollingFriction=ROLLING_FRICTION,
                spinningFriction=SPINNING_FRICTION,
                physicsClientId=client,
            )
        # PyBullet gives every joint a motor that holds it
        p.setJointMotorControlArray(
            self._body, self._joints, p.VELOCITY_CONTROL, forces=[0.0] * len(JOINTS), physicsClientId=client
        )
        self.refresh()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.simulation.is_open:
            self.load()

    def place(
        self,
        position: Vector,
        orientation: Quaternion,
        qpos: list[float],
        qvel: list[float] | None = None,
        velocity: Vector = (0.0, 0.0, 0.0),
        spin: Vector = (0.0, 0.0, 0.0),
    ) -> None:
        """
        Puts the body somewhere, without physics.

        :param position: Of the trunk's centre of mass, in m
        :param orientation: Of the trunk
        :param qpos: Joint angles, shape (n_joints,), in rad
        :param qvel: Joint velocities, shape (n_joints,), in rad/s; at rest by default
        :param velocity: Of the trunk, in m/s
        :param spin: Of the trunk, in rad/s
        """
        client = self.simulation.client
        velocities = [0.0] * len(JOINTS) if qvel is None else qvel
        p.resetBasePositionAndOrientation(self._body, position, orientation, physicsClientId=client)
        p.resetBaseVelocity(self._body, velocity, spin, physicsClientId=client)
        p.resetJointStatesMultiDof(
            self._body, self._joints, [[q] for q in qpos], [[v] for v in velocities], physicsClientId=client
        )
        # Or else the feet would be said to touch what they touched before
        p.performCollisionDetection(physicsClientId=client)
        self.refresh()

    def drive(self, action: list[float], n_steps: int) -> None:
        """
        Pushes with constant torques, beside the springs, while the world moves on.

        :param action: Fractions of the maximum torques, shape (n_joints,), within [-1, 1]
        :param n_steps: Steps of the simulation
        """
        client, body, joints = self.simulation.client, self._body, self._joints
        motors = [fraction * largest for fraction, largest in zip(action, self._max_torque, strict=True)]
        angles = self.qpos
        for step in range(n_steps):
            if step:
                angles = [state[0] for state in p.getJointStates(body, joints, physicsClientId=client)]
            torques = [motor - k * angle for motor, k, angle in zip(motors, self._stiffness, angles, strict=True)]
            # PyBullet forgets torques, and computes damping, once per step
            p.setJointMotorControlArray(body, joints, p.TORQUE_CONTROL, forces=torques, physicsClientId=client)
            self.simulation.step()
        self.refresh()

    def refresh(self) -> None:
        """Reads everything anew; to be called once after the world has moved. Plain numbers: arrays are slower."""
        client, body = self.simulation.client, self._body
        states = p.getJointStates(body, self._joints, physicsClientId=client)
        #: Joint angles in rad, and velocities in rad/s, shape (n_joints,)
        self.qpos: list[float] = [state[0] for state in states]
        self.qvel: list[float] = [state[1] for state in states]
        #: Where the trunk's centre of mass is, in m, and how the trunk is turned
        self.position: Vector
        self.orientation: Quaternion
        self.position, self.orientation = p.getBasePositionAndOrientation(body, physicsClientId=client)
        #: Velocity in m/s and angular velocity in rad/s of the trunk
        self.velocity: Vector
        self.spin: Vector
        self.velocity, self.spin = p.getBaseVelocity(body, physicsClientId=client)
        #: Roll, pitch and yaw of the trunk, in rad
        self.tilt: Vector = p.getEulerFromQuaternion(self.orientation)
        touching = {contact[3] for contact in p.getContactPoints(body, self._floor, physicsClientId=client)}
        #: 1 for each foot that touches the floor
        self.contacts: list[float] = [float(ankle in touching) for ankle in self._ankles]

    @staticmethod
    @cache
    def model() -> UrdfFile:
        """Returns the body's URDF."""
        return UrdfFile(_model())

    @property
    def base(self) -> npt.NDArray[np.float64]:
        """Where the trunk's frame is, and how it is turned, shape (3, 4)"""
        model = self.model()
        turn = np.reshape(p.getMatrixFromQuaternion(self.orientation), (3, 3))
        # PyBullet tells where the centre of mass is
        place = np.array(self.position) - turn @ model.links[model.root].centre
        return np.column_stack((turn, place))

    def scaled_qpos(self) -> list[float]:
        """Returns joint angles, -1 and 1 at the limits, shape (n_joints,)."""
        return [(q - m) * s for q, m, s in zip(self.qpos, self._middle, self._per_half_range, strict=True)]

    def forward(self, vector: Vector) -> Vector:
        """Returns a vector of the world, seen by someone who looks where the trunk faces."""
        cos, sin = math.cos(self.tilt[2]), math.sin(self.tilt[2])
        return vector[0] * cos + vector[1] * sin, vector[1] * cos - vector[0] * sin, vector[2]
