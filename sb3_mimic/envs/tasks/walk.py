"""The reward of walking: terms of what a step brought, each asking for its parts by name."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sb3_mimic import keys
from sb3_mimic.envs.tasks.terms import LIMIT, Weights, read_weights

# Height of the trunk's centre of mass when standing, and below which the body has fallen, in m
STANDING_HEIGHT, FALLEN_HEIGHT = 1.34, 1.0
# In m/s
BRISK_SPEED = 0.6

Facts = Mapping[str, Any]


def progress(facts: Facts) -> float:
    """
    How fast the trunk moves ahead, in m/s, times how upright it is: falling forward is no progress.
    Beyond a brisk walk, faster is not better.
    """
    return min(float(facts["speed"]), BRISK_SPEED) * alive(facts)


def alive(facts: Facts) -> float:
    """How upright the body is: 1 when the trunk is as high as in standing, 0 when it has fallen"""
    share: float = (facts["height"] - FALLEN_HEIGHT) / (STANDING_HEIGHT - FALLEN_HEIGHT)
    return min(max(share, 0.0), 1.0)


def electricity(facts: Facts) -> float:
    """Mean power drawn by the motors: |fraction of the maximum torque x velocity|, in rad/s"""
    power: float = sum(abs(torque * velocity) for torque, velocity in zip(facts["action"], facts["qvel"], strict=True))
    return power / len(facts["qvel"])


def stall_torque(facts: Facts) -> float:
    """Mean squared fraction of the maximum torque: what a motor burns even when nothing moves"""
    squares: float = sum(torque * torque for torque in facts["action"])
    return squares / len(facts["action"])


def joints_at_limits(facts: Facts) -> float:
    """Number of joints that are at a limit"""
    return float(sum(abs(position) > LIMIT for position in facts["scaled_qpos"]))


WALK_TERMS: dict[str, Callable[[Facts], float]] = {
    "progress": progress,
    "alive": alive,
    "electricity": electricity,
    "stall_torque": stall_torque,
    "joints_at_limits": joints_at_limits,
}
# To walk must pay several times what it pays to stand, or standing is all that is learnt
DEFAULT_REWARD = {"progress": 1.0, "alive": 0.2, "electricity": -0.02, "stall_torque": -0.02, "joints_at_limits": -0.01}

#: What is said of every step, and so what a function can ask for first
STEP_PARTS = ("speed", "height", "action", "qvel", "scaled_qpos", "distance")
#: What the walker can tell beside
BODY_PARTS = ("qpos", "position", "orientation", "velocity", "spin", "tilt", "contacts")


class WalkReward:
    """
    A weighted sum of terms. Costs have negative weights.

    :param weights: By the name of each term: its weight, or a function (or ``"module:function"``) and its weight
    :raises EnvArgumentError: For an unknown name, a weight that is not finite, or a function that asks for what is not there
    """

    def __init__(self, weights: Weights):
        self.weights, self._functions = read_weights(weights, WALK_TERMS, (*STEP_PARTS, *BODY_PARTS, keys.OBSERVATION))
        #: What functions of the user's ask for
        self.asks = tuple({part: None for function in self._functions.values() for part in function.asks})
        self._terms = [(f"reward_{name}", WALK_TERMS[name], w) for name, w in self.weights.items() if name in WALK_TERMS]

    def terms(self, facts: Facts) -> dict[str, float]:
        """
        Computes each term of the reward.

        :param facts: What is said of every step, and what the functions ask for
        :return: Each term times its weight, under the name that it has in a step's info
        """
        terms = {name: weight * term(facts) for name, term, weight in self._terms}
        if self._functions:
            asked = {name: np.array(facts[name], np.float64) for name in self.asks}
            for name, function in self._functions.items():
                terms[f"reward_{name}"] = self.weights[name] * function(asked, ())
        return terms
