"""Body: what a robot is made of."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sb3_mimic.envs.models.urdf_file import SLIDES, Joint, UrdfFile
from sb3_mimic.envs.world.control import TORQUE, Control
from sb3_mimic.envs.world.view import Vector, View
from sb3_mimic.errors import BodyError

Limits = tuple[float, float]
# One value for all joints, one for each, or some by the names of their joints
Values = float | Sequence[float] | Mapping[str, float]

# Of a motor whose file says no speed, in rad/s and in m/s
HINGE_SPEED, SLIDE_SPEED = 2 * math.pi, 1.0
# Dry friction of an imported joint, as a part of its motor's torque: without any, a robot would swing for ever
FRICTION_PART = 0.02
# Two links whose frames are closer than this are in the same place, in m
SAME_PLACE = 1e-3


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
class Body:
    """
    A robot with a fixed base.

    :param model: The text of a URDF, or the path of one, whose meshes are found from where it is
    :param joints: Names of the driven joints, in the order of actions and angles. All others are held still.
    :param keypoints: What poses are judged by
    :param max_torque: Largest torque of each joint, in Nm, or N for slides
    :param friction: Dry friction in each joint, in Nm or N; one number stands for all
    :param limbs: For drawing: a link whose frame never moves, and the names of the key points along the limb from there
    :param limits: Lowest and highest position of each joint, in rad, or m for slides; those of the model by default
    :param max_velocity: The speed at which each motor gives no more torque, in rad/s or m/s; none by default
    :param posture: Names of joints that are not driven, and where they are held, in rad or m; at 0 by default
    :param control: What an action means
    :param camera: Where pictures are taken from; by default from where all of the robot is seen in every pose
    :param gravity: Downward acceleration, in m/s^2
    :raises BodyError: When something is missing, there twice, or out of its range
    """

    model: str | Path
    joints: tuple[str, ...]
    keypoints: tuple[KeyPoint, ...]
    max_torque: tuple[float, ...]
    friction: float | tuple[float, ...] = 0.0
    limbs: tuple[tuple[str, ...], ...] = ()
    limits: tuple[Limits, ...] = ()
    max_velocity: tuple[float, ...] = ()
    posture: tuple[tuple[str, float], ...] = ()
    control: Control = TORQUE
    camera: View | None = None
    gravity: float = 9.81

    def __post_init__(self) -> None:
        for name in ("joints", "keypoints", "max_torque", "limbs", "limits", "max_velocity", "posture"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.joints or not self.keypoints:
            raise BodyError(f"A body needs at least one joint and one key point, got {self.joints} and {self.keypoints}.")
        for name, values, optional in (
            ("max_torque", self.max_torque, False),
            ("friction", self.frictions, False),
            ("max_velocity", self.max_velocity, True),
            ("limits", self.limits, True),
        ):
            if len(values) != len(self.joints) and (values or not optional):
                raise BodyError(f"{name} needs one value for each of the joints {self.joints}, got {values}.")
        for joint, torque, friction in zip(self.joints, self.max_torque, self.frictions, strict=True):
            _check_positive(torque, "max_torque", joint)
            if not 0 <= friction < math.inf:
                raise BodyError(f"friction of joint '{joint}' must be a number of at least 0, got {friction}.")
        for joint, speed in zip(self.joints, self.max_velocity, strict=False):
            _check_positive(speed, "max_velocity", joint)
        for joint, limits in zip(self.joints, self.limits, strict=False):
            check_limits(limits, joint)
        self._check_points()
        if not isinstance(self.control, Control):
            raise BodyError(f"control must be a Control, such as Torque() or JointPosition(), got {self.control!r}.")
        if not isinstance(self.camera, View | None):
            raise BodyError(f"camera must be a View, or None for one that is fitted to the robot, got {self.camera!r}.")
        if not math.isfinite(self.gravity):
            raise BodyError(f"gravity must be a finite number of m/s^2, got {self.gravity}.")

    def _check_points(self) -> None:
        names = [keypoint.name for keypoint in self.keypoints]
        if len(set(names)) != len(names):
            raise BodyError(f"Every key point needs a name of its own, got {names}.")
        for limb in self.limbs:
            if not set(limb[1:]) <= set(names):
                raise BodyError(f"After its first link, a limb must consist of key points ({names}), got {limb}")

    @property
    def frictions(self) -> tuple[float, ...]:
        """Dry friction of each joint, in Nm or N"""
        return tuple(self.friction) if isinstance(self.friction, tuple | list) else (self.friction,) * len(self.joints)

    def read_model(self) -> UrdfFile:
        """
        Reads the model, and checks that it has all that is named.

        :return: The model, looked through
        :raises BodyError: When the file is missing or damaged, or lacks a joint, a link or a limit
        """
        file = UrdfFile(self.model)
        file.check_joints(self.joints)
        for keypoint in self.keypoints:
            file.check_link(keypoint.link, f"Key point '{keypoint.name}'")
            if not any(joint.name in self.joints for joint in file.way_to(keypoint.link)):
                raise BodyError(
                    f"Key point '{keypoint.name}' is on link '{keypoint.link}', which none of the joints {self.joints} moves."
                )
        for limb in self.limbs:
            file.check_link(limb[0], f"Limb {limb}")
        if not self.limits:
            for name in self.joints:
                check_limits(file.joints[name].limits, name)
        held = tuple(name for name in file.joints if name not in self.joints)
        _check_names(dict(self.posture), held, "posture")
        for name, position in self.posture:
            low, high = file.joints[name].limits
            if not low <= position <= high:
                raise BodyError(f"posture holds joint '{name}' at {position}, beyond its limits {low} and {high}.")
        return file

    @classmethod
    def from_urdf(
        cls,
        path: str | os.PathLike[str],
        joints: Sequence[str] | None = None,
        keypoints: Sequence[KeyPoint | tuple[Any, ...]] | None = None,
        *,
        max_torque: Values | None = None,
        friction: Values | None = None,
        limits: Mapping[str, Limits] | None = None,
        max_velocity: Values | None = None,
        posture: Mapping[str, float] | None = None,
        control: Control = TORQUE,
        camera: View | None = None,
        gravity: float = 9.81,
    ) -> "Body":
        """
        Describe the robot of a URDF file. Torques, limits and speeds are the file's where they are not given here.

        :param path: The file. Meshes are looked for from its folder on upwards.
        :param joints: Names of the driven joints; all hinges and slides that follow no other by default
        :param keypoints: (name, link, offset in m) of each; by default the outermost point of each limb: the origin of its
            last link, or, if that is where the joint is, twice as far out as the link's centre of mass
        :param max_torque: Largest torque of the joints, in Nm, or N for slides; by default the file's ``effort``
        :param friction: Dry friction in the joints, in Nm or N; by default the file's ``friction``, or 2 % of the torque.
            The file's ``damping`` is not used.
        :param limits: Limits of joints by their names, in rad, or m for slides; of others, the file's
        :param max_velocity: Speed at which a motor gives no more torque, in rad/s or m/s; by default the file's
            ``velocity``, or 2 pi rad/s and 1 m/s
        :param posture: Where joints that are not driven are held, by their names, in rad or m
        :param control: What an action means
        :param camera: Where pictures are taken from
        :param gravity: Downward acceleration, in m/s^2
        :return: The body
        :raises BodyError: When the file, a mesh, a joint, a link or a value is missing or makes no sense
        """
        file = UrdfFile(Path(os.path.abspath(os.path.expanduser(path))))
        names = file.driveable() if joints is None else tuple(joints)
        if not names:
            raise BodyError(f"{file.name} has no joint that can be driven. Its joints: {', '.join(file.joints) or 'none'}.")
        file.check_joints(names)
        driven = [file.joints[name] for name in names]
        for given, option in ((limits, "limits"), (max_torque, "max_torque"), (friction, "friction")):
            _check_names(given, names, option)
        _check_names(max_velocity, names, "max_velocity")
        for joint in driven:
            # What is given is checked with the rest of the body
            given_here = max_torque if isinstance(max_torque, Mapping) else names if max_torque is not None else ()
            if joint.name not in given_here and not 0 < joint.effort < math.inf:
                raise BodyError(
                    f"The effort of joint '{joint.name}' in {file.name} must be positive, got {joint.effort}."
                    f" Give its torque here: max_torque={{'{joint.name}': 10.0}}."
                )
        torques = _values(max_torque, "max_torque", names, [joint.effort for joint in driven])
        ranges = tuple(_range(joint, limits or {}, file.name) for joint in driven)
        speeds = [joint.velocity or (SLIDE_SPEED if joint.kind in SLIDES else HINGE_SPEED) for joint in driven]
        frictions = [joint.friction or FRICTION_PART * torque for joint, torque in zip(driven, torques, strict=True)]
        points = _outermost(file, names) if keypoints is None else tuple(_keypoint(given) for given in keypoints)
        for point in points:
            file.check_link(point.link, f"Key point '{point.name}'")
        body = cls(
            model=Path(file.name),
            joints=names,
            keypoints=points,
            max_torque=torques,
            friction=_values(friction, "friction", names, frictions),
            limbs=_limbs(file, points),
            limits=ranges,
            max_velocity=_values(max_velocity, "max_velocity", names, speeds),
            posture=tuple((posture or {}).items()),
            control=control,
            camera=camera,
            gravity=gravity,
        )
        body.read_model()
        return body


def check_limits(limits: Limits, joint: str) -> None:
    """
    Checks the limits of a joint.

    :raises BodyError: When limits, in rad or m, are not finite or not the lower one first
    """
    if len(limits) != 2 or not -math.inf < limits[0] < limits[1] < math.inf:
        raise BodyError(
            f"The limits of joint '{joint}' must be two finite numbers, the lower one first, got {limits}."
            f" Give it limits in rad (m for a slide): limits={{'{joint}': (-3.14, 3.14)}}, or drive other joints only."
        )


def _check_positive(value: float, option: str, joint: str) -> None:
    if not 0 < value < math.inf:
        raise BodyError(f"{option} of joint '{joint}' must be a positive number, got {value}.")


def _check_names(given: Any, allowed: tuple[str, ...], option: str) -> None:
    unknown = [name for name in given if name not in allowed] if isinstance(given, Mapping) else []
    if unknown:
        raise BodyError(
            f"{option} names {', '.join(unknown)}. Joints that it can be given for: {', '.join(allowed) or 'none'}."
        )


def _values(given: Values | None, option: str, joints: tuple[str, ...], default: Sequence[float]) -> tuple[float, ...]:
    if given is None or isinstance(given, Mapping):
        values: Sequence[float] = [(given or {}).get(name, own) for name, own in zip(joints, default, strict=True)]
    else:
        values = given if isinstance(given, Sequence) else [given] * len(joints)
    if len(values) != len(joints):
        raise BodyError(f"{option} needs one value for each of the joints {joints}, got {given}.")
    return tuple(map(float, values))


def _range(joint: Joint, given: Mapping[str, Limits], file: str) -> Limits:
    low, high = given.get(joint.name, joint.limits)
    try:
        check_limits((low, high), joint.name)
    except BodyError as error:
        raise BodyError(f"{error} (In {file} it is {joint.kind}.)") from None
    return float(low), float(high)


def _keypoint(given: KeyPoint | tuple[Any, ...]) -> KeyPoint:
    if isinstance(given, KeyPoint):
        return given
    try:
        name, link, *offset = given
        x, y, z = map(float, offset[0] if offset else (0.0, 0.0, 0.0))
    except (TypeError, ValueError) as error:
        raise BodyError(f"A key point is (name, link) or (name, link, (x, y, z)), the offset in m, got {given!r}.") from error
    return KeyPoint(name, link, (x, y, z))


def _outermost(file: UrdfFile, joints: tuple[str, ...]) -> tuple[KeyPoint, ...]:
    """Returns a key point at the end of each limb."""
    # The links that move as one with the last joint on their way
    groups: dict[str, list[str]] = {}
    inner = set()
    for link in file.links:
        way = [joint.name for joint in file.way_to(link) if joint.name in joints]
        if way:
            groups.setdefault(way[-1], []).append(link)
            inner |= set(way[:-1])
    points = []
    for joint, links in groups.items():
        if joint in inner:
            continue
        first = file.joints[joint].child
        origin = file.position(first, {})
        distances = {link: math.dist(file.position(link, {}), origin) for link in links}
        last = max(distances, key=distances.__getitem__)
        x, y, z = (0.0, 0.0, 0.0) if distances[last] > SAME_PLACE else 2 * file.links[first].centre
        points.append(KeyPoint(last, last, (float(x), float(y), float(z))))
    return tuple(points)


def _limbs(file: UrdfFile, points: tuple[KeyPoint, ...]) -> tuple[tuple[str, ...], ...]:
    """Returns the limbs: from the root to each key point that is the last on its way, through all that are on that way."""
    ways = {point.name: [file.root, *(joint.child for joint in file.way_to(point.link))] for point in points}
    limbs = []
    for point in points:
        way = ways[point.name]
        on_it = sorted((p for p in points if p.link in way), key=lambda p: (way.index(p.link), points.index(p)))
        if on_it[-1] is point and not any(point.link in ways[p.name][:-1] for p in points):
            limbs.append((file.root, *(p.name for p in on_it)))
    return tuple(limbs)
