"""Rewards: named, weighted, pure terms of (achieved_goal, desired_goal, info), for one step or a batch of them."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.pose import PoseLayout, norm

FloatArray = npt.NDArray[np.floating]
Info = Mapping[str, Any]
Term = Callable[[PoseLayout, FloatArray, FloatArray, Info], FloatArray]


def joint_distance(layout: PoseLayout, achieved: FloatArray, desired: FloatArray, info: Info) -> FloatArray:
    """Euclidean distance in joint space, in rad"""
    return norm((achieved - desired)[..., : layout.n_joints] * layout.half_range)


def joint_progress(layout: PoseLayout, achieved: FloatArray, desired: FloatArray, info: Info) -> FloatArray:
    """By how much this step shortened the distance in joint space, in rad"""
    before, after = joint_distance(layout, np.array((info["previous_achieved_goal"], achieved)), desired, info)
    return before - after  # type: ignore[no-any-return]


def keypoint_distance(layout: PoseLayout, achieved: FloatArray, desired: FloatArray, info: Info) -> FloatArray:
    """Euclidean distance over all coordinates of all key points, in m"""
    return norm((achieved - desired)[..., layout.n_joints :])


def keypoint_progress(layout: PoseLayout, achieved: FloatArray, desired: FloatArray, info: Info) -> FloatArray:
    """By how much this step shortened the distance of the key points, in m"""
    before, after = keypoint_distance(layout, np.array((info["previous_achieved_goal"], achieved)), desired, info)
    return before - after  # type: ignore[no-any-return]


def electricity(layout: PoseLayout, achieved: FloatArray, desired: FloatArray, info: Info) -> FloatArray:
    """Mean power drawn by the motors: |fraction of the maximum torque x velocity|, in rad/s"""
    return np.vecdot(np.abs(info["action"]), np.abs(info["qvel"])) / layout.n_joints  # type: ignore[no-any-return]


def stall_torque(layout: PoseLayout, achieved: FloatArray, desired: FloatArray, info: Info) -> FloatArray:
    """Mean squared fraction of the maximum torque: what a motor burns even when nothing moves"""
    return np.vecdot(info["action"], info["action"]) / layout.n_joints  # type: ignore[no-any-return]


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

    def terms(self, achieved: FloatArray, desired: FloatArray, info: dict[str, Any] | Sequence[Info]) -> dict[str, FloatArray]:
        """
        :param achieved: Poses after the step, shape (..., dim)
        :param desired: Poses asked for, shape (..., dim)
        :param info: The step's info, or a sequence of them, one for each row
        :return: Each term times its weight, shape (...,)
        """
        if not isinstance(info, dict):
            info = {key: np.array([step[key] for step in info]) for key in INFO_KEYS}
        return {name: weight * term(self.layout, achieved, desired, info) for name, term, weight in self._terms}

    def __call__(self, achieved: FloatArray, desired: FloatArray, info: dict[str, Any] | Sequence[Info]) -> FloatArray:
        """:return: The sum of all terms, shape (...,)"""
        return sum(self.terms(achieved, desired, info).values())  # type: ignore[return-value]
