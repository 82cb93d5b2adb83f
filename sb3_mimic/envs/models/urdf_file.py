"""Reads a robot's URDF, and says what is wrong with it."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from sb3_mimic.errors import BodyError

FloatArray = npt.NDArray[np.float64]
Limits = tuple[float, float]

#: Types of joints that can be driven
HINGES, SLIDES = ("revolute", "continuous"), ("prismatic",)
JOINT_TYPES = (*HINGES, *SLIDES, "fixed", "floating", "planar")
MESH_TYPES = (".obj", ".stl", ".dae")
# How many folders above the file's own are searched for a mesh
MAX_PARENTS = 5


@dataclass(frozen=True)
class Link:
    """
    A link, as a file describes it.

    :param name: Its name
    :param mass: In kg; 0 where the file gives none
    :param centre: Its centre of mass in its own frame, shape (3,), in m
    :param inertia: Sum of its three principal moments of inertia, in kg m^2
    """

    name: str
    mass: float
    centre: FloatArray
    inertia: float


@dataclass(frozen=True)
class Joint:
    """
    A joint, as a file describes it.

    :param name: Its name
    :param kind: ``revolute``, ``continuous``, ``prismatic``, ``fixed``, or another of URDF's types
    :param parent: Name of the link that carries it
    :param child: Name of the link that it moves
    :param placement: Where it is in its parent's frame, shape (4, 4)
    :param axis: Of length 1, in its own frame, shape (3,)
    :param limits: Lowest and highest position, in rad or m; infinite where the file gives none
    :param effort: Largest torque in Nm, or force in N; 0 where the file gives none
    :param velocity: Largest speed, in rad/s or m/s; 0 where the file gives none
    :param friction: Dry friction, in Nm or N
    :param follows: Name of the joint that it mimics, or none
    """

    name: str
    kind: str
    parent: str
    child: str
    placement: FloatArray
    axis: FloatArray
    limits: Limits
    effort: float
    velocity: float
    friction: float
    follows: str

    def transform(self, position: float) -> FloatArray:
        """Returns where its child is in its parent's frame when it is at a position in rad or m, shape (4, 4)."""
        motion = np.eye(4)
        if self.kind in SLIDES:
            motion[:3, 3] = position * self.axis
        elif self.kind in HINGES:
            x, y, z = self.axis
            cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
            motion[:3, :3] += math.sin(position) * cross + (1 - math.cos(position)) * cross @ cross
        return self.placement @ motion


class UrdfFile:
    """
    A robot's URDF, looked through.

    :param model: The path of a file, or the text of one
    :raises BodyError: When there is no such file, it is damaged, is no URDF, or names a mesh that is not there
    """

    def __init__(self, model: str | Path):
        self.path = model if isinstance(model, Path) else None
        #: How errors call it
        self.name = str(self.path or "the text of the model")
        #: Its elements, meshes named by their absolute paths
        self.tree = self._parse(self._read(model))
        self.links = {link.name: link for link in map(self._link, self._named("link"))}
        self.joints = {joint.name: joint for joint in map(self._joint, self._named("joint"))}
        #: The joint above each link
        self.above = {joint.child: joint for joint in self.joints.values()}
        self.root = self._find_root()
        # What things touch each other with is looked for where it is used
        for mesh in self.tree.iterfind("link/visual/geometry/mesh"):
            mesh.set("filename", self.find_mesh(mesh.get("filename", "")))

    def check_joints(self, names: Sequence[str]) -> None:
        """
        Checks that joints can be driven.

        :param names: Joints that are to be driven
        :raises BodyError: When one is not there, cannot be driven, is there twice, or moves nothing that has a mass
        """
        for name in names:
            joint = self.joints.get(name)
            if joint is None:
                raise BodyError(f"There is no joint '{name}' in {self.name}. Its joints: {', '.join(self.joints)}.")
            if joint.kind not in HINGES + SLIDES:
                allowed = ", ".join(HINGES + SLIDES)
                raise BodyError(f"Joint '{name}' in {self.name} is {joint.kind}. Joints that can be driven are {allowed}.")
            if names.count(name) > 1:
                raise BodyError(f"Joint '{name}' is named {names.count(name)} times in joints={tuple(names)}. Name it once.")
        for name in names:
            moved = [link for link in self.links.values() if any(joint.name == name for joint in self.way_to(link.name))]
            if not any(link.mass > 0 and link.inertia + link.mass * link.centre @ link.centre > 0 for link in moved):
                raise BodyError(
                    f"Joint '{name}' in {self.name} moves nothing that has a mass and an inertia (links"
                    f" {', '.join(link.name for link in moved)}). Give one of them an <inertial> element."
                )

    def check_link(self, name: str, wanted_by: str) -> None:
        """
        Checks that there is a link of this name.

        :raises BodyError: When there is no such link
        """
        if name not in self.links:
            raise BodyError(f"{wanted_by} needs a link '{name}'. Links of {self.name}: {', '.join(self.links)}.")

    def driveable(self) -> tuple[str, ...]:
        """Returns the names of all hinges and slides that follow no other joint."""
        return tuple(j.name for j in self.joints.values() if j.kind in HINGES + SLIDES and not j.follows)

    def way_to(self, link: str) -> list[Joint]:
        """Returns the joints between the root and a link, from the root outwards."""
        way: list[Joint] = []
        while link in self.above:
            way.insert(0, self.above[link])
            link = way[0].parent
        return way

    def position(self, link: str, positions: Mapping[str, float]) -> FloatArray:
        """
        Computes where a link is.

        :param link: Name of a link
        :param positions: Of joints, in rad or m; others are at rest
        :return: Where the link's frame is, shape (3,), in m
        """
        place = np.eye(4)
        for joint in self.way_to(link):
            place = place @ joint.transform(positions.get(joint.name, resting(joint)))
        return place[:3, 3]

    def origin_of(self, element: ElementTree.Element, name: str = "a shape") -> FloatArray:
        """
        Returns where the frame of a joint or of a shape is in that of its link, shape (4, 4).

        :param element: The joint or the shape
        :param name: How an error calls it
        :raises BodyError: When its ``<origin>`` does not hold numbers
        """
        origin = element.find("origin")
        place = np.eye(4)
        place[:3, :3] = _rotation(*self._vector(origin, "rpy", (0.0, 0.0, 0.0), name))
        place[:3, 3] = self._vector(origin, "xyz", (0.0, 0.0, 0.0), name)
        return place

    def _read(self, model: str | Path) -> str | bytes:
        if isinstance(model, str):
            if "<" not in model:
                raise BodyError(f"A model is the text of a URDF or a path, got {model[:80]!r}. Give files as pathlib.Path.")
            return model
        try:
            return model.read_bytes()
        except OSError as error:
            raise BodyError(f"The URDF file {model} cannot be read: {error.strerror or error}. Check its path.") from error

    def _parse(self, text: str | bytes) -> ElementTree.Element:
        try:
            tree = ElementTree.fromstring(text)
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            raise BodyError(f"{self.name} is damaged, or no XML: {error}. A URDF begins with <robot name=...>.") from error
        if tree.tag != "robot":
            raise BodyError(f"{self.name} is no URDF: it holds a <{tree.tag}>, not a <robot>. Convert it to URDF first.")
        if any("xacro" in element.tag for element in tree.iter() if isinstance(element.tag, str)):
            raise BodyError(f"{self.name} holds xacro macros. Write them out first: xacro robot.xacro > robot.urdf.")
        return tree

    def _named(self, tag: str) -> Iterator[ElementTree.Element]:
        names = set()
        for element in self.tree.findall(tag):
            name = element.get("name")
            if not name or name in names:
                raise BodyError(f"Every {tag} in {self.name} needs a name of its own, one has {name!r}.")
            names.add(name)
            yield element

    def _link(self, element: ElementTree.Element) -> Link:
        name = f"link '{element.get('name')}'"
        mass = self._number(element.find("inertial/mass"), "value", 0.0, name)
        centre = self._vector(element.find("inertial/origin"), "xyz", (0.0, 0.0, 0.0), name)
        moments = [self._number(element.find("inertial/inertia"), key, 0.0, name) for key in ("ixx", "iyy", "izz")]
        if mass < 0 or min(moments) < 0:
            raise BodyError(f"The mass and inertia of {name} in {self.name} must not be negative, got {mass}, {moments}.")
        return Link(element.get("name", ""), mass, centre, sum(moments))

    def _joint(self, element: ElementTree.Element) -> Joint:
        name = f"joint '{element.get('name')}'"
        ends: list[str] = []
        for role in ("parent", "child"):
            end = element.find(role)
            link = "" if end is None else end.get("link", "")
            self.check_link(link, f"The {role} of {name}")
            ends.append(link)
        limit, mimic = element.find("limit"), element.find("mimic")
        placement = self.origin_of(element, name)
        axis = self._vector(element.find("axis"), "xyz", (1.0, 0.0, 0.0), name)
        kind = element.get("type", "")
        if kind not in JOINT_TYPES:
            raise BodyError(f"The type of {name} in {self.name} must be one of {', '.join(JOINT_TYPES)}, got {kind!r}.")
        if kind in HINGES + SLIDES and not axis.any():
            raise BodyError(f"The axis of {name} in {self.name} must not be 0 0 0.")
        limits = (-math.inf, math.inf)
        if limit is not None and kind != "continuous" and {"lower", "upper"} & set(limit.keys()):
            # URDF's own defaults
            limits = (self._number(limit, "lower", 0.0, name), self._number(limit, "upper", 0.0, name))
        return Joint(
            element.get("name", ""),
            kind,
            ends[0],
            ends[1],
            placement,
            axis / (np.linalg.norm(axis) or 1.0),
            limits,
            self._number(limit, "effort", 0.0, name),
            self._number(limit, "velocity", 0.0, name),
            self._number(element.find("dynamics"), "friction", 0.0, name),
            "" if mimic is None else mimic.get("joint", "another joint"),
        )

    def _number(self, element: ElementTree.Element | None, key: str, default: float, owner: str) -> float:
        text = None if element is None else element.get(key)
        try:
            number = default if text is None else float(text)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise BodyError(f"The {key} of {owner} in {self.name} must be a number, got {text!r}.")
        return number

    def _vector(self, element: ElementTree.Element | None, key: str, default: Sequence[float], owner: str) -> FloatArray:
        text = None if element is None else element.get(key)
        try:
            vector = np.array(default if text is None else [float(number) for number in text.split()])
        except ValueError:
            vector = np.empty(0)
        if vector.shape != (3,) or not np.isfinite(vector).all():
            raise BodyError(f"The {key} of {owner} in {self.name} must be three numbers, got {text!r}.")
        return vector

    def _find_root(self) -> str:
        roots = [name for name in self.links if name not in self.above]
        if len(roots) != 1 or len(self.above) != len(self.joints):
            raise BodyError(f"The links of {self.name} must hang together as one tree. Links without a joint above: {roots}.")
        # From a root, a tree of n links has n - 1 joints: a circle of others would have a joint above each
        reached, front = {roots[0]}, [roots[0]]
        while front:
            below = [joint.child for joint in self.joints.values() if joint.parent in front]
            reached |= set(below)
            front = below
        if reached != set(self.links):
            raise BodyError(f"Joints of {self.name} form a circle: {', '.join(set(self.links) - reached)}.")
        return roots[0]

    @cached_property
    def _folders(self) -> list[Path]:
        folder = Path() if self.path is None else self.path.absolute().parent
        return [folder, *list(folder.parents)[:MAX_PARENTS]]

    def find_mesh(self, name: str) -> str:
        if PurePosixPath(name).suffix.lower() not in MESH_TYPES:
            raise BodyError(f"The mesh '{name}' of {self.name} must be one of {', '.join(MESH_TYPES)}. Convert it to one.")
        local = name.removeprefix("file://").removeprefix("model://").removeprefix("package://")
        # A package's name need not be that of its folder
        inner = str(PurePosixPath(*PurePosixPath(local).parts[1:]))
        tried = [folder / part for part in (local, inner) if part not in ("", ".") for folder in self._folders]
        for path in tried:
            if path.is_file():
                return str(path)
        if self.path is None:
            raise BodyError(f"The mesh '{name}' cannot be found from a text. Give the path of the URDF file: Path(...).")
        raise BodyError(f"{self.name} names the mesh '{name}', not found in {self._folders[0]} or above. Put it there.")


def resting(joint: Joint) -> float:
    """Returns where a joint is when nobody says: at 0 or at the limit next to it, in rad or m."""
    low, high = joint.limits
    return min(max(0.0, low), high)


def _rotation(roll: float, pitch: float, yaw: float) -> FloatArray:
    """Returns the matrix of a rotation, shape (3, 3)."""
    (cr, sr), (cp, sp), (cy, sy) = ((math.cos(angle), math.sin(angle)) for angle in (roll, pitch, yaw))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
