"""Reads a body from a MuJoCo file and writes it as URDF, with no more links than it has hinges."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
DENSITY = 1000.0  # MuJoCo's, in kg/m^3
COLOR = "0.8 0.6 0.4 1"


class _Link:
    """
    What moves as one: the shapes of a body, and of the bodies that are fixed to it.

    :param name: Its name
    :param armature: Inertia of the motor that moves it, in kg m^2. MuJoCo adds it about the hinge alone; here it makes
        the link heavier to turn about any axis, which also keeps a link without shapes stable.
    """

    def __init__(self, name: str, armature: float):
        self.name = name
        self.armature = armature
        self.shapes: list[str] = []
        # Mass, centre, and inertia about the centre of each shape
        self.masses: list[tuple[float, FloatArray, FloatArray]] = []

    def add(self, geom: ElementTree.Element, offset: FloatArray) -> None:
        """
        Adds the shape and the mass of a geom.

        :param geom: A capsule or a sphere
        :param offset: Where its body's frame is in the frame of this link, in m
        """
        radius = _vector(geom.get("size", ""))[0]
        start = end = _vector(geom.get("pos", "0 0 0"))
        if geom.get("type") == "capsule":
            start, end = np.split(_vector(geom.get("fromto", "")), 2)
        elif geom.get("type") != "sphere":
            raise ValueError(f"Only capsules and spheres are understood, geom '{geom.get('name')}' is a {geom.get('type')}")
        length = float(np.linalg.norm(end - start))
        axis = (end - start) / length if length else np.array([0.0, 0.0, 1.0])
        centre = (start + end) / 2 + offset
        ball, tube = DENSITY * math.pi * 4 / 3 * radius**3, DENSITY * math.pi * radius**2 * length
        along = 0.4 * ball * radius**2 + tube * radius**2 / 2
        across = ball * (0.4 * radius**2 + length**2 / 4 + 3 / 8 * length * radius) + tube * (3 * radius**2 + length**2) / 12
        inertia = across * np.eye(3) + (along - across) * np.outer(axis, axis)
        self.masses.append((ball + tube, centre, inertia))
        shape = f'<capsule radius="{radius}" length="{length}"/>' if length else f'<sphere radius="{radius}"/>'
        rpy = f"0 {math.atan2(math.hypot(axis[0], axis[1]), axis[2])} {math.atan2(axis[1], axis[0])}"
        self.shapes.append(f'<origin xyz="{_text(centre)}" rpy="{rpy}"/><geometry>{shape}</geometry>')

    def text(self, touches: bool) -> str:
        """
        Writes the link as URDF.

        :param touches: Whether its last shape touches things
        :return: A piece of URDF
        """
        mass = sum(mass for mass, _, _ in self.masses)
        centre = sum((mass * centre for mass, centre, _ in self.masses), np.zeros(3)) / (mass or 1.0)
        inertia = self.armature * np.eye(3)
        for part, where, own in self.masses:
            way = where - centre
            inertia += own + part * (way @ way * np.eye(3) - np.outer(way, way))
        entries = " ".join(f'i{"xyz"[i]}{"xyz"[j]}="{inertia[i, j]:.6e}"' for i in range(3) for j in range(i, 3))
        shapes = "".join(f'<visual>{shape}<material name="skin"/></visual>' for shape in self.shapes)
        if touches:
            shapes += f"<collision>{self.shapes[-1]}</collision>"
        return (
            f'<link name="{self.name}"><inertial><origin xyz="{_text(centre)}"/><mass value="{mass:.6f}"/>'
            f"<inertia {entries}/></inertial>{shapes}</link>"
        )


def to_urdf(file: Path, touching: Sequence[str], damping: Mapping[str, float]) -> str:
    """
    Reads a MuJoCo model and writes it as URDF.

    :param file: A MuJoCo model: one tree of bodies with hinges, capsules and spheres, in degrees
    :param touching: Names of the bodies whose (last) shape touches things; all others pass through them
    :param damping: Damping of each hinge by its name, in Nm s/rad
    :return: The text of a URDF. Bodies without hinges become a part of what they are fixed to; the last link of
        a body's hinges bears the body's name
    """
    root = ElementTree.parse(file).getroot().find("worldbody/body")
    if root is None:
        raise ValueError(f"There is no body in {file}")
    links: list[_Link] = []
    joints: list[str] = []
    touched: list[_Link] = []

    def visit(body: ElementTree.Element, parent: _Link | None, origin: FloatArray) -> None:
        """Notes the links and joints of a body and of all that hangs on it. origin is where it is in its parent's link."""
        name = body.get("name", "")
        link, anchor = parent, np.zeros(3)
        hinges = body.findall("joint")
        for index, hinge in enumerate(hinges):
            assert link is not None, "the trunk moves freely"
            anchor_of_hinge = _vector(hinge.get("pos", "0 0 0"))
            place = origin + anchor_of_hinge if index == 0 else anchor_of_hinge - anchor
            anchor = anchor_of_hinge
            child = _Link(
                name if index == len(hinges) - 1 else "hinge_of_" + hinge.get("name", ""), float(hinge.get("armature", 0))
            )
            low, high = np.radians(_vector(hinge.get("range", "")))
            axis = _vector(hinge.get("axis", ""))
            joints.append(
                f'<joint name="{hinge.get("name")}" type="revolute"><parent link="{link.name}"/><child link="{child.name}"/>'
                f'<origin xyz="{_text(place)}"/><axis xyz="{_text(axis / np.linalg.norm(axis))}"/>'
                f'<limit lower="{low}" upper="{high}" effort="1000" velocity="100"/>'
                f'<dynamics damping="{damping.get(hinge.get("name", ""), 0.0)}" friction="0"/></joint>'
            )
            links.append(child)
            link = child
        if link is None:
            link = _Link(name, 0.0)
            links.append(link)
        # Where the body's frame is in the frame of the link that carries it
        offset = -anchor if hinges or parent is None else origin
        for geom in body.findall("geom"):
            link.add(geom, offset)
        if name in touching:
            touched.append(link)
        for inner in body.findall("body"):
            visit(inner, link, offset + _vector(inner.get("pos", "0 0 0")))

    visit(root, None, np.zeros(3))
    pieces = [link.text(link in touched) for link in links]
    material = f'<material name="skin"><color rgba="{COLOR}"/></material>'
    return f'<?xml version="1.0"?><robot name="{root.get("name")}">{material}{"".join(pieces)}{"".join(joints)}</robot>'


def _vector(text: str) -> FloatArray:
    return np.array([float(number) for number in text.split()])


def _text(vector: FloatArray) -> str:
    return " ".join(f"{number:.9g}" for number in vector)
