"""Rewards: named, weighted, pure terms of (achieved_goal, desired_goal, info), for one step or a batch of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_mimic import keys
from sb3_mimic.envs.tasks.terms import LIMIT, Function, Weights, read_weights, registered
from sb3_mimic.envs.tasks.walk import WALK_TERMS
from sb3_mimic.errors import EnvArgumentError, MissingInfoError
from sb3_mimic.pose import JOINTS, OBJECT, POINTS, SUCCESS_DISTANCE, PoseLayout

FloatArray = npt.NDArray[np.floating]
Info = Mapping[str, Any]
# A vector of one step is a list of numbers, one of a batch a list of arrays, an array for each component. The same
# arithmetic serves both, and plain numbers are several times faster than small arrays.
Scalar = Any
Vector = Sequence[Scalar]
Components = Mapping[str, Any]


class PoseParts(NamedTuple):
    """
    Where the terms find what in a pose vector.

    :param joints: Where the scaled joint angles are, where there are any
    :param points: Where the key points are, or the things that are to be moved
    :param half_range: Half the range of each joint, in rad
    """

    joints: slice
    points: slice
    half_range: tuple[float, ...]


class Term(NamedTuple):
    """
    One term of a reward.

    :param function: Of the parts of a pose, the pose after the step, the pose asked for, and the info, all as components
    :param reads: What it reads from the info
    :param needs_joints: Whether goals must have joints
    """

    function: Callable[[PoseParts, Vector, Vector, Components], Scalar]
    reads: tuple[str, ...] = ()
    needs_joints: bool = False


def pose_parts(layout: PoseLayout) -> PoseParts:
    """
    Looks up the parts of a pose.

    :param layout: Of a robot's pose, or of the things that it is to move
    :return: What the terms need to know of it, looked up once: terms run at every step
    """
    points = layout[POINTS if POINTS in layout else OBJECT].slice
    if JOINTS not in layout:
        return PoseParts(slice(0, 0), points, ())
    joints = layout[JOINTS]
    return PoseParts(joints.slice, points, joints.scale or (1.0,) * joints.size)


def components(vectors: FloatArray | float) -> Any:
    """Returns the components of one vector, shape (dim,), or of a batch of them, shape (n, dim); a number as it is."""
    if not isinstance(vectors, np.ndarray):
        return vectors
    if vectors.ndim == 1:
        components: Vector = vectors.tolist()
        return components
    return list(np.moveaxis(np.asarray(vectors, np.float64), -1, 0))


def _square(scalar: Scalar) -> Scalar:
    return scalar * scalar


def joint_distance(parts: PoseParts, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Euclidean distance in joint space, in rad"""
    pairs = zip(achieved[parts.joints], desired[parts.joints], parts.half_range, strict=True)
    return sum(_square((a - d) * half) for a, d, half in pairs) ** 0.5


def joint_progress(parts: PoseParts, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """By how much this step shortened the distance in joint space, in rad"""
    before = joint_distance(parts, info["previous_achieved_goal"], desired, info)
    return before - joint_distance(parts, achieved, desired, info)


def keypoint_distance(parts: PoseParts, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Euclidean distance over all coordinates of all key points, or of all things that are to be moved, in m"""
    return sum(_square(a - d) for a, d in zip(achieved[parts.points], desired[parts.points], strict=True)) ** 0.5


def keypoint_progress(parts: PoseParts, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """By how much this step shortened the distance of the key points, or of the things that are to be moved, in m"""
    before = keypoint_distance(parts, info["previous_achieved_goal"], desired, info)
    return before - keypoint_distance(parts, achieved, desired, info)


def electricity(parts: PoseParts, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Mean power drawn by the motors: |fraction of the maximum torque x velocity|, in rad/s"""
    return sum(abs(torque * velocity) for torque, velocity in zip(info["efforts"], info["qvel"], strict=True)) / len(
        info["efforts"]
    )


def sparse(parts: PoseParts, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """0 where every key point, or thing that is to be moved, is within 5 cm of its target, -1 elsewhere"""
    differences = [a - d for a, d in zip(achieved[parts.points], desired[parts.points], strict=True)]
    is_near: Scalar = 1.0
    for x, y, z in zip(*[iter(differences)] * 3, strict=True):
        is_near = is_near * (x * x + y * y + z * z < SUCCESS_DISTANCE**2)
    return is_near - 1.0


def joints_at_limits(parts: PoseParts, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Fraction of the joints that are at the end of their range"""
    return sum(1.0 * (abs(joint) > LIMIT) for joint in achieved[parts.joints]) / len(parts.half_range)


def pixel_error(parts: PoseParts, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Mean squared difference between the own frame and the picture of the target, each pixel in [0, 1]"""
    return info["pixel_error"]


def pixel_progress(parts: PoseParts, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """By how much this step lowered the mean squared difference between the two pictures"""
    return info["previous_pixel_error"] - info["pixel_error"]


def stall_torque(parts: PoseParts, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Mean squared fraction of the maximum torque: what a motor burns even when nothing moves"""
    return sum(_square(torque) for torque in info["efforts"]) / len(info["efforts"])


REWARD_TERMS: dict[str, Term] = {
    "joint_distance": Term(joint_distance, needs_joints=True),
    "joint_progress": Term(joint_progress, ("previous_achieved_goal",), needs_joints=True),
    "keypoint_distance": Term(keypoint_distance),
    "keypoint_progress": Term(keypoint_progress, ("previous_achieved_goal",)),
    "sparse": Term(sparse),
    "electricity": Term(electricity, ("efforts", "qvel")),
    "stall_torque": Term(stall_torque, ("efforts",)),
    "joints_at_limits": Term(joints_at_limits, needs_joints=True),
    "pixel_error": Term(pixel_error, ("pixel_error",)),
    "pixel_progress": Term(pixel_progress, ("previous_pixel_error", "pixel_error")),
}


PREVIOUS = "previous_achieved_goal"
#: What a function can ask for, beside the goals and their parts: all of it must be in a step's info
INFO_PARTS = (
    PREVIOUS,
    "action",
    "efforts",
    "qpos",
    "qvel",
    "contacts",
    keys.OBSERVATION,
    keys.IMAGE,
    keys.DESIRED_IMAGE,
    "previous_pixel_error",
    "pixel_error",
)


def register_reward_term(name: str, function: Function) -> None:
    """
    Registers a term of your own under a name, for ``reward_weights`` of any environment of ours.

    :param name: Its name
    :param function: Asks for parts of the step by the names of its parameters, such as ``joints`` and ``desired_joints``
        (arrays, shape (n,) for one step and (batch, n) for a batch), and returns one number for each step
    :raises EnvArgumentError: When the name is taken
    """
    registered(name, function, (*REWARD_TERMS, *WALK_TERMS))


class Reward:
    """
    A weighted sum of terms. Costs have negative weights.

    :param weights: By the name of each term: its weight, or a function (or ``"module:function"``) and its weight
    :param layout: What a pose vector means
    :raises EnvArgumentError: For an unknown name, a weight that is not finite, or a function that asks for what is not there
    """

    def __init__(self, weights: Weights, layout: PoseLayout):
        self.layout = layout
        # A function asks for a vector by its name, or for a part of one: its name stands behind that of the vector
        self._vector_parts = {
            prefix + part.name: (vector, part.name)
            for prefix, vector in {"": keys.ACHIEVED_GOAL, "desired_": keys.DESIRED_GOAL, "previous_": PREVIOUS}.items()
            for part in layout
        }
        parts = dict.fromkeys((keys.ACHIEVED_GOAL, keys.DESIRED_GOAL, *INFO_PARTS, *self._vector_parts))
        self.weights, self._functions = read_weights(weights, REWARD_TERMS, tuple(parts))
        own = [(name, weight) for name, weight in self.weights.items() if name not in self._functions]
        wrong = [name for name, _ in own if REWARD_TERMS[name].needs_joints and JOINTS not in layout]
        if wrong:
            usable = ", ".join(name for name, term in REWARD_TERMS.items() if not term.needs_joints)
            raise EnvArgumentError(f"Reward term '{wrong[0]}' needs goals with joints, and here there are none. Use {usable}.")
        reads = [(name, key) for name, _ in own for key in REWARD_TERMS[name].reads]
        reads += [(name, self._source(part)) for name, function in self._functions.items() for part in function.asks]
        #: What the terms read from a step's info, and the first term that reads it
        self._readers = {key: name for name, key in reversed(reads) if key in INFO_PARTS}
        self.reads = tuple(dict.fromkeys(key for _, key in reads if key in INFO_PARTS))
        self._own_reads = tuple(key for key in self.reads if any(key in REWARD_TERMS[name].reads for name, _ in own))
        asked = {self._source(part) for function in self._functions.values() for part in function.asks}
        self._asked_reads = tuple(key for key in self.reads if key in asked)
        self._parts = pose_parts(layout)
        self._terms = [(name, REWARD_TERMS[name].function, weight) for name, weight in own]

    def terms(self, achieved: FloatArray, desired: FloatArray, info: dict[str, Any] | Sequence[Info]) -> dict[str, Scalar]:
        """
        Computes each term of the reward.

        :param achieved: Poses after the step, shape (..., dim)
        :param desired: Poses asked for, shape (..., dim)
        :param info: The step's info, or a sequence of them, one for each row
        :return: Each term times its weight: a number for one step, shape (...,) for a batch
        :raises MissingInfoError: When the info lacks what a term reads
        """
        try:
            read: Components
            if isinstance(info, dict):
                read = {key: components(info[key]) for key in self._own_reads}
            else:
                batches = {key: np.array([step[key] for step in info], np.float64) for key in self._own_reads}
                # (n,) of numbers stays as it is, (n, dim) becomes its components
                read = {key: batch if batch.ndim == 1 else components(batch) for key, batch in batches.items()}
        except KeyError as error:
            raise self._missing(error) from error
        now, target, parts = components(achieved), components(desired), self._parts
        terms = {name: weight * term(parts, now, target, read) for name, term, weight in self._terms}
        if self._functions:
            asked, shape = self._asked(achieved, desired, info), np.shape(achieved)[:-1]
            terms |= {name: self.weights[name] * function(asked, shape) for name, function in self._functions.items()}
        return terms

    def __call__(self, achieved: FloatArray, desired: FloatArray, info: dict[str, Any] | Sequence[Info]) -> Scalar:
        """Returns the sum of all terms: a number for one step, shape (...,) for a batch."""
        return sum(self.terms(achieved, desired, info).values())

    def _asked(self, achieved: FloatArray, desired: FloatArray, info: Info | Sequence[Info]) -> dict[str, npt.NDArray[Any]]:
        """Returns what the functions ask for, by its name: arrays of their own, shape (..., n)."""
        found: dict[str, Any] = {keys.ACHIEVED_GOAL: achieved, keys.DESIRED_GOAL: desired}
        try:
            for key in self._asked_reads:
                found[key] = info[key] if isinstance(info, Mapping) else [step[key] for step in info]
        except KeyError as error:
            raise self._missing(error) from error
        # Pictures stay as they are
        arrays = {key: np.array(value) for key, value in found.items()}
        arrays = {key: value.astype(np.float64) if value.dtype == np.float32 else value for key, value in arrays.items()}
        for function in self._functions.values():
            for name in function.asks:
                if name not in arrays:
                    vector, part = self._vector_parts[name]
                    arrays[name] = self.layout[part].of(arrays[vector])
        return arrays

    def _source(self, name: str) -> str:
        """Returns the vector that a part asked for is taken from; itself, where it is no part of one."""
        return self._vector_parts.get(name, (name, ""))[0]

    def _missing(self, error: KeyError) -> MissingInfoError:
        """Returns what to say when the info lacks what a term reads."""
        key = error.args[0]
        return MissingInfoError(
            f"Reward term '{self._readers.get(key)}' reads '{key}' from the info of each step, and this info has none."
            " HerReplayBuffer hands infos on only when told to: replay_buffer_kwargs=dict(copy_info_dict=True)."
            " Rewards such as {'sparse': 1.0}, that of the ...Sparse-v0 ids, need no info."
        )
