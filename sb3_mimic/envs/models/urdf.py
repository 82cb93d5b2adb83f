"""Writes the URDF of limbs from capsules and spheres: no model files."""

import math
import re
from dataclasses import dataclass

Vector = tuple[float, float, float]
Color = tuple[float, float, float]
# Name of the joint, axis, lower and upper limit in rad
Hinge = tuple[str, Vector, float, float]

NO_OFFSET: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Segment:
    """
    One link of a limb, and the hinges (one or more) that move it.

    The segment lies along the x axis of its frame. Hinges after the first
    are joined by links too light to matter.

    :param name: Name of the link; its frame sits at the joint
    :param hinges: (joint name, axis, lower limit in rad, upper limit in rad) of each hinge
    :param length: Length, in m
    :param radius: Radius, in m
    :param mass: Mass, in kg
    :param color: Red, green, blue, each in [0, 1]
    :param ball: Radius (m) and colour of a ball at its tip, such as a hand; it weighs nothing of its own
    :param armature: Inertia of the motors' rotors, as felt at the joints, in kg m^2
    :param look: Pieces of URDF that are to be seen on it beside its capsule
    """

    name: str
    hinges: tuple[Hinge, ...]
    length: float
    radius: float
    mass: float
    color: Color
    ball: tuple[float, Color] | None = None
    armature: float = 0.0
    look: str = ""

    def __post_init__(self) -> None:
        if min(self.length, self.radius, self.mass) <= 0:
            raise ValueError(f"Segment '{self.name}' needs a positive length, radius and mass")
        if not self.hinges:
            raise ValueError(f"Segment '{self.name}' needs at least one hinge")


def inertial(mass: float, inertia: Vector, offset: Vector) -> str:
    """
    Writes how heavy a link is.

    :param mass: In kg
    :param inertia: Moments of inertia about the axes of its frame, through its centre of mass, in kg m^2
    :param offset: Where its centre of mass is on the link, in m
    :return: A piece of URDF
    """
    ixx, iyy, izz = inertia
    return (
        f'<inertial><origin xyz="{offset[0]} {offset[1]} {offset[2]}"/><mass value="{mass}"/>'
        f'<inertia ixx="{ixx:.3e}" ixy="0" ixz="0" iyy="{iyy:.3e}" iyz="0" izz="{izz:.3e}"/></inertial>'
    )


def box(size: Vector, offset: Vector, color: Color) -> str:
    """
    Writes a box.

    :param size: Extent along x, y and z, in m
    :param offset: Where its middle is on the link, in m
    :param color: Red, green, blue, each in [0, 1]
    :return: A piece of URDF: what a link looks like
    """
    origin = f'<origin xyz="{offset[0]} {offset[1]} {offset[2]}"/>'
    return _visual(f'<box size="{size[0]} {size[1]} {size[2]}"/>', color, origin)


def sphere(radius: float, offset: Vector, color: Color) -> str:
    """
    Writes a sphere.

    :param radius: In m
    :param offset: Where its middle is on the link, in m
    :param color: Red, green, blue, each in [0, 1]
    :return: A piece of URDF: what a link looks like
    """
    return _visual(f'<sphere radius="{radius}"/>', color, f'<origin xyz="{offset[0]} {offset[1]} {offset[2]}"/>')


def cylinder(radius: float, length: float, offset: Vector, color: Color) -> str:
    """
    Writes an upright cylinder.

    :param radius: In m
    :param length: Along z, in m
    :param offset: Where its middle is on the link, in m
    :param color: Red, green, blue, each in [0, 1]
    :return: A piece of URDF: what a link looks like
    """
    origin = f'<origin xyz="{offset[0]} {offset[1]} {offset[2]}"/>'
    return _visual(f'<cylinder radius="{radius}" length="{length}"/>', color, origin)


def capsule(start: Vector, end: Vector, radius: float, color: Color) -> str:
    """
    Writes a capsule.

    :param start: Middle of the ball at one of its ends, in m
    :param end: Middle of the other, in m
    :param radius: In m
    :param color: Red, green, blue, each in [0, 1]
    :return: A piece of URDF: what a link looks like
    """
    x, y, z = (b - a for a, b in zip(start, end, strict=True))
    middle = " ".join(str((a + b) / 2) for a, b in zip(start, end, strict=True))
    origin = f'<origin xyz="{middle}" rpy="0 {math.atan2(math.hypot(x, y), z)} {math.atan2(y, x)}"/>'
    return _visual(f'<capsule radius="{radius}" length="{math.hypot(x, y, z)}"/>', color, origin)


def solid(look: str) -> str:
    """
    Writes what a link touches others with.

    :param look: What it looks like
    :return: The same, as pieces of URDF that collide
    """
    shapes = re.findall(r"<visual>(.*?<geometry>.*?</geometry>).*?</visual>", look)
    return "".join(f"<collision>{shape}</collision>" for shape in shapes)


def _visual(geometry: str, color: Color, origin: str) -> str:
    material = "_".join(f"{round(255 * c):02x}" for c in color)
    return (
        f'<visual>{origin}<geometry>{geometry}</geometry><material name="{material}">'
        f'<color rgba="{color[0]} {color[1]} {color[2]} 1"/></material></visual>'
    )


def _hinge(hinge: Hinge, parent: str, child: str, offset: Vector, yaw: float) -> str:
    name, axis, low, high = hinge
    # Effort and velocity are given because URDF asks for them; PyBullet ignores both
    return (
        f'<joint name="{name}" type="revolute"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{offset[0]} {offset[1]} {offset[2]}" rpy="0 0 {yaw}"/>'
        f'<axis xyz="{axis[0]} {axis[1]} {axis[2]}"/><limit lower="{low}" upper="{high}" effort="1000" velocity="100"/>'
        '<dynamics damping="0" friction="0"/></joint>'
    )


def _segment(segment: Segment, parent: str, offset: Vector, yaw: float) -> str:
    parts = []
    for index, hinge in enumerate(segment.hinges):
        is_last = index == len(segment.hinges) - 1
        child = segment.name if is_last else f"{segment.name}_{hinge[0]}"
        parts.append(_hinge(hinge, parent, child, offset, yaw))
        if not is_last:
            # A hinge's own link, such as the turntable of a shoulder: light, but with inertia enough to be stable
            inertia = segment.mass * segment.radius**2 + segment.armature
            body = inertial(0.1 * segment.mass, (inertia, inertia, inertia), NO_OFFSET)
            parts.append(f'<link name="{child}">{body}</link>')
        parent, offset, yaw = child, NO_OFFSET, 0.0
    length, radius, mass = segment.length, segment.radius, segment.mass
    # A solid cylinder
    along = mass * radius**2 / 2 + segment.armature
    across = mass * (3 * radius**2 + length**2) / 12 + segment.armature
    body = inertial(mass, (along, across, across), (length / 2, 0.0, 0.0))
    origin = f'<origin xyz="{length / 2} 0 0" rpy="0 1.5707963 0"/>'
    look = _visual(f'<capsule radius="{radius}" length="{length}"/>', segment.color, origin) + segment.look
    if segment.ball is not None:
        ball_radius, ball_color = segment.ball
        look += sphere(ball_radius, (length, 0.0, 0.0), ball_color)
    parts.append(f'<link name="{segment.name}">{body}{look}</link>')
    return "".join(parts)


def limb(segments: tuple[Segment, ...], parent: str, offset: Vector, yaw: float = 0.0) -> str:
    """
    Writes a limb.

    :param segments: From the body outwards
    :param parent: Name of the link that carries the limb
    :param offset: Where on that link it begins, in m
    :param yaw: Where it points to: the angle from the link's x axis, about its z axis, in rad
    :return: A piece of URDF: a chain of segments
    """
    parts = []
    for segment in segments:
        parts.append(_segment(segment, parent, offset, yaw))
        parent, offset, yaw = segment.name, (segment.length, 0.0, 0.0), 0.0
    return "".join(parts)


def robot(name: str, *pieces: str, look: str = "") -> str:
    """
    Writes a robot.

    :param name: Name of the robot
    :param pieces: Pieces of URDF that hang on the link ``base``, which does not move
    :param look: Pieces of URDF that say what that link looks like
    :return: The URDF's text
    """
    base = f'<link name="base">{inertial(1.0, (1.0, 1.0, 1.0), NO_OFFSET)}{look}</link>'
    return f'<?xml version="1.0"?><robot name="{name}">{base}{"".join(pieces)}</robot>'
