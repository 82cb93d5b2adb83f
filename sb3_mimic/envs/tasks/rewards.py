"""Rewards: named, weighted, pure terms of (achieved_goal, desired_goal, info), for one step or a batch of them."""

import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_mimic.pose import JOINTS, SUCCESS_DISTANCE, PoseLayout

# From this part of its range on, either side of the middle, a joint is said to be at its limit
LIMIT = 0.99

FloatArray = npt.NDArray[np.floating]
Info = Mapping[str, Any]
# A vector of one step is a list of numbers, one of a batch a list of arrays, an array for each component. The same
# arithmetic serves both, and plain numbers are several times faster than small arrays.
Scalar = Any
Vector = Sequence[Scalar]
Components = Mapping[str, Any]


class Term(NamedTuple):
    """
    One term of a reward.

    :param function: Of the pose layout, the pose after the step, the pose asked for, and the info, all as components
    :param reads: What it reads from the info
    """

    function: Callable[[PoseLayout, Vector, Vector, Components], Scalar]
    reads: tuple[str, ...] = ()


def components(vectors: FloatArray | float) -> Any:
    """:return: The components of one vector, shape (dim,), or of a batch of them, shape (n, dim); a number as it is"""
    if not isinstance(vectors, np.ndarray):
        return vectors
    if vectors.ndim == 1:
        components: Vector = vectors.tolist()
        return components
    return list(np.moveaxis(np.asarray(vectors, np.float64), -1, 0))


def _square(scalar: Scalar) -> Scalar:
    return scalar * scalar


def joint_distance(layout: PoseLayout, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Euclidean distance in joint space, in rad"""
    # There is a scale for each joint: what comes after the joints is left out
    half_range = layout[JOINTS].scale
    return sum(_square((a - d) * half) for a, d, half in zip(achieved, desired, half_range, strict=False)) ** 0.5


def joint_progress(layout: PoseLayout, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """By how much this step shortened the distance in joint space, in rad"""
    before = joint_distance(layout, info["previous_achieved_goal"], desired, info)
    return before - joint_distance(layout, achieved, desired, info)


def keypoint_distance(layout: PoseLayout, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Euclidean distance over all coordinates of all key points, in m"""
    n_joints = layout[JOINTS].size
    return sum(_square(a - d) for a, d in zip(achieved[n_joints:], desired[n_joints:], strict=True)) ** 0.5


def keypoint_progress(layout: PoseLayout, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """By how much this step shortened the distance of the key points, in m"""
    before = keypoint_distance(layout, info["previous_achieved_goal"], desired, info)
    return before - keypoint_distance(layout, achieved, desired, info)


def electricity(layout: PoseLayout, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Mean power drawn by the motors: |fraction of the maximum torque x velocity|, in rad/s"""
    return (
        sum(abs(torque * velocity) for torque, velocity in zip(info["action"], info["qvel"], strict=True))
        / layout[JOINTS].size
    )


def sparse(layout: PoseLayout, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """0 where every key point is within 5 cm of its target, -1 elsewhere"""
    differences = [a - d for a, d in zip(achieved, desired, strict=True)][layout[JOINTS].size :]
    is_near: Scalar = 1.0
    for x, y, z in zip(*[iter(differences)] * 3, strict=True):
        is_near = is_near * (x * x + y * y + z * z < SUCCESS_DISTANCE**2)
    return is_near - 1.0


def joints_at_limits(layout: PoseLayout, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Fraction of the joints that are at the end of their range"""
    return sum(1.0 * (abs(joint) > LIMIT) for joint in achieved[: layout[JOINTS].size]) / layout[JOINTS].size


def pixel_error(layout: PoseLayout, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Mean squared difference between the own frame and the picture of the target, each pixel in [0, 1]"""
    return info["pixel_error"]


def pixel_progress(layout: PoseLayout, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """By how much this step lowered the mean squared difference between the two pictures"""
    return info["previous_pixel_error"] - info["pixel_error"]


def stall_torque(layout: PoseLayout, achieved: Vector, desired: Vector, info: Components) -> Scalar:
    """Mean squared fraction of the maximum torque: what a motor burns even when nothing moves"""
    return sum(_square(torque) for torque in info["action"]) / layout[JOINTS].size


REWARD_TERMS: dict[str, Term] = {
    "joint_distance": Term(joint_distance),
    "joint_progress": Term(joint_progress, ("previous_achieved_goal",)),
    "keypoint_distance": Term(keypoint_distance),
    "keypoint_progress": Term(keypoint_progress, ("previous_achieved_goal",)),
    "sparse": Term(sparse),
    "electricity": Term(electricity, ("action", "qvel")),
    "stall_torque": Term(stall_torque, ("action",)),
    "joints_at_limits": Term(joints_at_limits),
    "pixel_error": Term(pixel_error, ("pixel_error",)),
    "pixel_progress": Term(pixel_progress, ("previous_pixel_error", "pixel_error")),
}


def checked_weights(weights: Mapping[str, float], known: Collection[str]) -> dict[str, float]:
    """
    :param weights: Weight of each reward term, by its name
    :param known: Names of all terms that there are
    :return: A copy of the weights
    :raises ValueError: For an unknown name, a weight that is not finite, or no weight at all
    """
    for name, weight in weights.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise ValueError(f"Unknown reward term '{name}'. Known terms: {', '.join(known)}.{hint}")
        if not math.isfinite(weight):
            raise ValueError(f"The weight of reward term '{name}' must be a finite number, got {weight}")
    if not weights:
        raise ValueError(f"A reward needs at least one term. Known terms: {', '.join(known)}.")
    return dict(weights)


class Reward:
    """
    A weighted sum of terms. Costs have negative weights.

    :param weights: Weight of each term, by its name in ``REWARD_TERMS``
    :param layout: What a pose vector means
    :raises ValueError: For an unknown name or a weight that is not finite
    """

    def __init__(self, weights: Mapping[str, float], layout: PoseLayout):
        self.weights = checked_weights(weights, REWARD_TERMS)
        self.layout = layout
        #: What the terms read from a step's info
        self.reads = tuple(dict.fromkeys(key for name in weights for key in REWARD_TERMS[name].reads))
        self._terms = [(name, REWARD_TERMS[name].function, weight) for name, weight in weights.items()]

    def terms(self, achieved: FloatArray, desired: FloatArray, info: dict[str, Any] | Sequence[Info]) -> dict[str, Scalar]:
        """
        :param achieved: Poses after the step, shape (..., dim)
        :param desired: Poses asked for, shape (..., dim)
        :param info: The step's info, or a sequence of them, one for each row
        :return: Each term times its weight: a number for one step, shape (...,) for a batch
        """
        if isinstance(info, dict):
            read = {key: components(info[key]) for key in self.reads}
        else:
            batches = {key: np.array([step[key] for step in info], np.float64) for key in self.reads}
            # (n,) of numbers stays as it is, (n, dim) becomes its components
            read = {key: batch if batch.ndim == 1 else components(batch) for key, batch in batches.items()}
        now, target = components(achieved), components(desired)
        return {name: weight * term(self.layout, now, target, read) for name, term, weight in self._terms}

    def __call__(self, achieved: FloatArray, desired: FloatArray, info: dict[str, Any] | Sequence[Info]) -> Scalar:
        """:return: The sum of all terms: a number for one step, shape (...,) for a batch"""
        return sum(self.terms(achieved, desired, info).values())
