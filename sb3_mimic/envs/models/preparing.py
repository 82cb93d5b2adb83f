"""Writes a robot's URDF anew, as PyBullet is to simulate it."""

import copy
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence

from sb3_mimic.envs.models.urdf_file import HINGES, FloatArray, Joint, Limits, UrdfFile, resting


def prepared(
    file: UrdfFile,
    driven: Sequence[str],
    limits: Mapping[str, Limits],
    posture: Mapping[str, float],
    has_contacts: bool = False,
) -> str:
    """
    Writes the robot down as it is simulated. Meshes are named by their absolute paths; joints that are not driven
    are fixed; nothing touches anything, unless it is to; links without an inertia weigh nothing; PyBullet's damping,
    which makes light links unstable, is left out.

    :param file: The robot; it stays as it is
    :param driven: Names of the driven joints
    :param limits: Limits of driven joints that are not to be the file's own, in rad or m
    :param posture: Where joints that are not driven are held, in rad or m; 0, or the limit next to it, by default
    :param has_contacts: Whether its links touch things
    :return: The text of a URDF
    """
    tree = copy.deepcopy(file.tree)
    tree.attrib.setdefault("name", "robot")
    for link in tree.findall("link"):
        for collision in link.findall("collision"):
            if not has_contacts:
                link.remove(collision)
                continue
            for mesh in collision.iterfind("geometry/mesh"):
                mesh.set("filename", file.find_mesh(mesh.get("filename", "")))
        inertial = _child(link, "inertial")
        _child(inertial, "mass", value="0")
        _child(inertial, "inertia", **{f"i{axes}": "0" for axes in ("xx", "xy", "xz", "yy", "yz", "zz")})
    for element in tree.findall("joint"):
        joint = file.joints[element.get("name", "")]
        for dynamics in element.findall("dynamics"):
            element.remove(dynamics)
        if joint.name in limits:
            _set_limits(element, joint, *limits[joint.name])
        elif joint.name not in driven and joint.kind != "fixed":
            _fix(element, joint.transform(posture.get(joint.name, resting(joint))))
    return ElementTree.tostring(tree, "unicode")


def _child(element: ElementTree.Element, tag: str, **default: str) -> ElementTree.Element:
    """Returns the first child with a tag; made, with these attributes, where there is none."""
    found = element.find(tag)
    return ElementTree.SubElement(element, tag, default) if found is None else found


def _set_limits(element: ElementTree.Element, joint: Joint, low: float, high: float) -> None:
    limit = _child(element, "limit")
    limit.attrib |= {"lower": repr(float(low)), "upper": repr(float(high))}
    if joint.kind in HINGES:
        # A continuous joint has no limits
        element.set("type", "revolute")


def _fix(element: ElementTree.Element, place: FloatArray) -> None:
    element.set("type", "fixed")
    for old in element.findall("origin"):
        element.remove(old)
    rotation = place[:3, :3]
    pitch = math.atan2(-rotation[2, 0], math.hypot(rotation[0, 0], rotation[1, 0]))
    if abs(math.cos(pitch)) > 1e-9:
        roll, yaw = math.atan2(rotation[2, 1], rotation[2, 2]), math.atan2(rotation[1, 0], rotation[0, 0])
    else:
        roll, yaw = 0.0, math.atan2(-rotation[0, 1], rotation[1, 1])
    angles = " ".join(repr(float(angle)) for angle in (roll, pitch, yaw))
    ElementTree.SubElement(element, "origin", xyz=" ".join(repr(float(x)) for x in place[:3, 3]), rpy=angles)
