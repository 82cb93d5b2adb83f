"""Franka's Panda, an arm of seven hinges with a gripper: as capsules and boxes, or as the meshes of ``pybullet_data``."""

import math
from pathlib import Path

import pybullet_data

from sb3_mimic.envs.models import urdf
from sb3_mimic.envs.world.body import Body, KeyPoint
from sb3_mimic.envs.world.control import JointPosition
from sb3_mimic.envs.world.reaching import DownwardArm
from sb3_mimic.envs.world.view import Vector, View

SHELL, ACCENT, FINGER = (0.90, 0.91, 0.93), (0.28, 0.30, 0.34), (0.20, 0.21, 0.24)

ARM = tuple(f"panda_joint{number}" for number in range(1, 8))
FINGERS = ("panda_finger_joint1", "panda_finger_joint2")
#: How far each finger opens, in m
STROKE = 0.04
#: How its joints follow from where its hand is
REACHING = DownwardArm()
# From the last joint to the hand, from there to where the fingers hang, and how long these are, in m
FLANGE, KNUCKLE, FINGER_LENGTH = 0.107, 0.0584, 0.054
# Of each joint: where it is on the link above, how it is turned about x, lower and upper limit, torque
_QUARTER = math.pi / 2
_JOINTS: tuple[tuple[Vector, float, float, float, float], ...] = (
    ((0.0, 0.0, REACHING.shoulder), 0.0, -2.9671, 2.9671, 87.0),
    ((0.0, 0.0, 0.0), -_QUARTER, -1.8326, 1.8326, 87.0),
    ((0.0, -REACHING.upper_arm, 0.0), _QUARTER, -2.9671, 2.9671, 87.0),
    ((REACHING.elbow, 0.0, 0.0), _QUARTER, -3.1416, 0.0, 87.0),
    ((-REACHING.elbow, REACHING.forearm, 0.0), -_QUARTER, -2.9671, 2.9671, 12.0),
    ((0.0, 0.0, 0.0), _QUARTER, -0.0873, 3.8223, 12.0),
    ((REACHING.wrist, 0.0, 0.0), _QUARTER, -2.9671, 2.9671, 12.0),
)
# Of each link: its mass, in kg, and its centre of mass
_MASSES: tuple[tuple[float, Vector], ...] = (
    (2.7, (0.0, -0.04, -0.05)),
    (2.73, (0.0, -0.04, 0.06)),
    (2.04, (0.01, 0.01, -0.05)),
    (2.08, (-0.03, 0.03, 0.02)),
    (3.0, (0.0, 0.04, -0.12)),
    (1.3, (0.04, 0.0, 0.0)),
    # With the hand
    (1.01, (0.0, 0.0, 0.13)),
)
# With the rotors of the motors, in kg m^2
_INERTIA = (0.1, 0.1, 0.1)
#: What the fingers press with, in N: more would squeeze a cube out of the hand
GRIP_FORCE = 10.0
TORQUES = (*(torque for *_, torque in _JOINTS), GRIP_FORCE, GRIP_FORCE)
#: Between the finger tips
TIP = KeyPoint("tip", "panda_link7", (0.0, 0.0, REACHING.tool))
KEYPOINTS = (KeyPoint("elbow", "panda_link4"), KeyPoint("wrist", "panda_link6"), TIP)
LIMBS = (("panda_link0", "elbow", "wrist", "tip"),)
#: Sees the whole arm, however it stands
PORTRAIT = View(eye=(1.75, -1.45, 1.15), target=(0.0, 0.0, 0.42), up=(0, 0, 1), fov=48.0)


def _looks() -> tuple[str, ...]:
    """Returns what each of the seven links looks like."""
    origin = urdf.NO_OFFSET
    return (
        urdf.capsule((0.0, 0.0, -0.17), (0.0, 0.0, -0.03), 0.062, SHELL),
        urdf.capsule((0.0, 0.0, -0.045), (0.0, 0.0, 0.045), 0.064, ACCENT)
        + urdf.capsule(origin, (0.0, -0.16, 0.0), 0.060, SHELL),
        urdf.capsule((0.0, 0.0, -0.14), (0.0, 0.0, -0.03), 0.057, SHELL)
        + urdf.capsule((0.0, 0.0, -0.02), (REACHING.elbow, 0.0, 0.0), 0.056, SHELL),
        urdf.capsule((0.0, 0.0, -0.045), (0.0, 0.0, 0.045), 0.058, ACCENT)
        + urdf.capsule(origin, (-REACHING.elbow, 0.08, 0.0), 0.056, SHELL)
        + urdf.capsule((-REACHING.elbow, 0.08, 0.0), (-REACHING.elbow, 0.13, 0.0), 0.054, SHELL),
        urdf.capsule((0.0, 0.0, -0.25), (0.0, 0.02, -0.13), 0.052, SHELL)
        + urdf.capsule((0.0, 0.06, -0.12), (0.0, 0.06, -0.02), 0.038, SHELL),
        urdf.capsule((0.0, 0.0, -0.05), (0.0, 0.0, 0.03), 0.050, ACCENT)
        + urdf.capsule(origin, (REACHING.wrist, 0.0, 0.0), 0.046, SHELL),
        urdf.capsule((0.0, 0.0, -0.02), (0.0, 0.0, 0.07), 0.044, SHELL) + _hand(),
    )


def _hand() -> str:
    box = urdf.box((0.05, 0.20, 0.064), (0.0, 0.0, FLANGE + 0.030), ACCENT)
    return box.replace("<origin ", f'<origin rpy="0 0 {REACHING.hand_angle}" ')


def _joint(
    name: str, kind: str, above: str, below: str, place: Vector, rpy: Vector, axis: Vector, low: float, high: float
) -> str:
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{above}"/><child link="{below}"/>'
        f'<origin xyz="{place[0]} {place[1]} {place[2]}" rpy="{rpy[0]} {rpy[1]} {rpy[2]}"/>'
        f'<axis xyz="{axis[0]} {axis[1]} {axis[2]}"/><limit lower="{low}" upper="{high}" effort="87" velocity="2.6"/></joint>'
    )


def _model() -> str:
    """Returns the URDF's text. The hand is part of the last link: a link more is a joint more to solve for."""
    base = urdf.capsule((-0.08, 0.0, 0.06), (0.0, 0.0, 0.06), 0.062, SHELL) + urdf.cylinder(0.075, 0.03, (0, 0, 0.015), ACCENT)
    pieces = [f'<link name="panda_link0">{urdf.inertial(2.9, _INERTIA, (0.0, 0.0, 0.05))}{base}</link>']
    parts = zip(ARM, _JOINTS, _MASSES, _looks(), strict=True)
    for number, (name, (place, roll, low, high, _), (mass, centre), look) in enumerate(parts, 1):
        # The arm is kept from touching things by how it is driven; the hand and what it hangs on are not
        touching = urdf.solid(look) if number > 5 else ""
        link = f"panda_link{number}"
        above = f"panda_link{number - 1}"
        pieces.append(_joint(name, "revolute", above, link, place, (roll, 0.0, 0.0), (0.0, 0.0, 1.0), low, high))
        pieces.append(f'<link name="{link}">{urdf.inertial(mass, _INERTIA, centre)}{look}{touching}</link>')
    knuckle = (0.0, 0.0, FLANGE + KNUCKLE)
    rough = '<contact><lateral_friction value="1.0"/><spinning_friction value="0.001"/></contact>'
    for name, side, link in zip(FINGERS, (1.0, -1.0), ("panda_leftfinger", "panda_rightfinger"), strict=True):
        look = urdf.box((0.021, 0.014, FINGER_LENGTH), (0.0, side * 0.007, FINGER_LENGTH / 2), FINGER)
        place = (0.0, 0.0, REACHING.hand_angle)
        pieces.append(_joint(name, "prismatic", "panda_link7", link, knuckle, place, (0.0, side, 0.0), 0.0, STROKE))
        weight = urdf.inertial(0.1, _INERTIA, (0.0, 0.0, 0.02))
        pieces.append(f'<link name="{link}">{rough}{weight}{look}{urdf.solid(look)}</link>')
    return f'<?xml version="1.0"?><robot name="panda">{"".join(pieces)}</robot>'


def _panda(model: str | Path) -> Body:
    return Body(
        model=model,
        joints=(*ARM, *FINGERS),
        keypoints=KEYPOINTS,
        limbs=LIMBS,
        max_torque=TORQUES,
        limits=(*((low, high) for *_, low, high, _ in _JOINTS), (0.0, STROKE), (0.0, STROKE)),
        control=JointPosition(),
        camera=PORTRAIT,
    )


PANDA = _panda(_model())
#: The same, made of meshes
PANDA_MESH = _panda(Path(pybullet_data.getDataPath(), "franka_panda", "panda.urdf"))
