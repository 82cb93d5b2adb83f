"""Rewards: named, weighted, pure terms of (achieved_goal, desired_goal, info), for one step or a batch of them."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.pose import PoseLayout

FloatArray = npt.NDArray[np.floating]
Info = Mapping[str, Any]
# A vector of one step is a list of numbers, one of a batch a list of arrays, an array for each component. The same
# arithmetic serves both, and plain numbers are several times faster than small arrays.
Scalar = Any
Vector = Sequence[Scalar]
Term = Callable[[PoseLayout, Vector, Vector, Mapping[str, Vector]], Scalar]


def _components(vectors: FloatArray) -> Vector:
    """:return: The components of one vector, shape (dim,), or of a batch of them, shape (..., dim)"""
    if vectors.ndim == 1:
        components: Vector = vectors.tolist()
        return components
    return list(np.moveaxis(np.asarray(vectors, np.float64), -1, 0))


def _square(scalar: Scalar) -> Scalar:
    return scalar * scalar


def joint_distance(layout: PoseLayout, achieved: Vector, desired: Vector, info: Mapping[str, Vector]) -> Scalar:
    """Euclidean distance in joint space, in rad"""
    # half_range has an entry for each joint: what comes after the joints is left out
    return sum(_square((a - d) * half) for a, d, half in zip(achieved, desired, layout.half_range, strict=False)) ** 0.5


def joint_progress(layout: PoseLayout, achieved: Vector, desired: Vector, info: Mapping[str, Vector]) -> Scalar:
    """By how much this step shortened the distance in joint space, in rad"""
    before = joint_distance(layout, info["previous_achieved_goal"], desired, info)
    return before - joint_distance(layout, achieved, desired, info)


def keypoint_distance(layout: PoseLayout, achieved: Vector, desired: Vector, info: Mapping[str, Vector]) -> Scalar:
    """Euclidean distance over all coordinates of all key points, in m"""
    n_joints = layout.n_joints
    return sum(_square(a - d) for a, d in zip(achieved[n_joints:], desired[n_joints:], strict=True)) ** 0.5


def keypoint_progress(layout: PoseLayout, achieved: Vector, desired: Vector, info: Mapping[str, Vector]) -> Scalar:
    """By how much this step shortened the distance of the key points, in m"""
    before = keypoint_distance(layout, info["previous_achieved_goal"], desired, info)
    return before - keypoint_distance(layout, achieved, desired, info)


def electricity(layout: PoseLayout, achieved: Vector, desired: Vector, info: Mapping[str, Vector]) -> Scalar:
    """Mean power drawn by the motors: |fraction of the maximum torque x velocity|, in rad/s"""
    return sum(abs(torque * velocity) for torque, velocity in zip(info["action"], info["qvel"], strict=True)) / layout.n_joints


def stall_torque(layout: PoseLayout, achieved: Vector, desired: Vector, info: Mapping[str, Vector]) -> Scalar:
    """Mean squared fraction of the maximum torque: what a motor burns even when nothing moves"""
    return sum(_square(torque) for torque in info["action"]) / layout.n_joints


REWARD_TERMS: dict[str, Term] = {
    "joint_distance": joint_distance,
    "joint_progress": joint_progress,
    "keypoint_distance": keypoint_distance,
    "keypoint_progress": keypoint_progress,
    "electricity": electricity,
    "stall_torque": stall_torque,
}

# What a term reads from a step's info
INFO_KEYS = ("previous_achieved_goal", "action", "qvel")


class Reward:
    """
    A weighted sum of terms. Costs have negative weights.

    :param weights: Weight of each term, by its name in ``REWARD_TERMS``
    :param layout: What a pose vector means
    :raises ValueError: For an unknown name or a weight that is not finite
    """

    def __init__(self, weights: Mapping[str, float], layout: PoseLayout):
        for name, weight in weights.items():
            if name not in REWARD_TERMS:
                close = difflib.get_close_matches(name, REWARD_TERMS, n=1)
                hint = f" Did you mean '{close[0]}'?" if close else ""
                raise ValueError(f"Unknown reward term '{name}'. Known terms: {', '.join(REWARD_TERMS)}.{hint}")
            if not math.isfinite(weight):
                raise ValueError(f"The weight of reward term '{name}' must be a finite number, got {weight}")
        if not weights:
            raise ValueError(f"A reward needs at least one term. Known terms: {', '.join(REWARD_TERMS)}.")
        self.weights = dict(weights)
        self.layout = layout
        self._terms = [(name, REWARD_TERMS[name], weight) for name, weight in weights.items()]

    def terms(self, achieved: FloatArray, desired: FloatArray, info: dict[str, Any] | Sequence[Info]) -> dict[str, Scalar]:
        """
        :param achieved: Poses after the step, shape (..., dim)
        :param desired: Poses asked for, shape (..., dim)
        :param info: The step's info, or a sequence of them, one for each row
        :return: Each term times its weight: a number for one step, shape (...,) for a batch
        """
        if not isinstance(info, dict):
            info = {key: np.array([step[key] for step in info]) for key in INFO_KEYS}
        vectors = {key: _components(info[key]) for key in INFO_KEYS}
        now, target = _components(achieved), _components(desired)
        return {name: weight * term(self.layout, now, target, vectors) for name, term, weight in self._terms}

    def __call__(self, achieved: FloatArray, desired: FloatArray, info: dict[str, Any] | Sequence[Info]) -> Scalar:
        """:return: The sum of all terms: a number for one step, shape (...,) for a batch"""
        return sum(self.terms(achieved, desired, info).values())
