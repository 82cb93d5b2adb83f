"""Motions of joints: smooth, within limits, and known at every moment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.envs.world.checks import checked_settings, is_number
from sb3_mimic.errors import EnvArgumentError

FloatArray = npt.NDArray[np.float64]

# How many waves a random motion is made of, and between what their frequencies lie, relative to one another
N_WAVES, FREQUENCIES = 3, (0.4, 1.0)
# Natural speed: joints turn by up to a quarter of a circle each second, in rad/s
NATURAL_SPEED = np.pi / 2


@dataclass(frozen=True)
class Motion:
    """
    A sum of waves in each joint. It has no beginning and no end.

    :param middle: Shape (n_joints,), in rad, or m for slides
    :param amplitudes: Shape (n_waves, n_joints), in rad or m
    :param frequencies: Of each wave, shape (n_waves, n_joints), in rad/s
    :param phases: Where each wave is at time 0, the same shape, in rad
    """

    middle: FloatArray
    amplitudes: FloatArray
    frequencies: FloatArray
    phases: FloatArray

    def qpos(self, time: float | npt.NDArray[np.floating]) -> FloatArray:
        """
        Computes joint positions.

        :param time: In s, a number or shape (n,)
        :return: Shape (n_joints,) or (n, n_joints), in rad or m
        """
        return np.asarray(self.middle + (self.amplitudes * np.sin(self._angles(time))).sum(axis=-2))

    def qvel(self, time: float | npt.NDArray[np.floating]) -> FloatArray:
        """
        Computes joint velocities.

        :param time: In s, a number or shape (n,)
        :return: Shape (n_joints,) or (n, n_joints), in rad/s or m/s
        """
        return np.asarray((self.amplitudes * self.frequencies * np.cos(self._angles(time))).sum(axis=-2))

    def _angles(self, time: float | npt.NDArray[np.floating]) -> FloatArray:
        return np.multiply.outer(np.asarray(time, np.float64), self.frequencies) + self.phases

    def run_state(self) -> dict[str, FloatArray]:
        """Returns what makes the same motion once more, as plain arrays."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class MovingGoal:
    """
    Says how goals move while an episode goes on: smoothly, at random.

    :param speed: Slowest and fastest speed that no joint exceeds, of which each episode has its own, in rad/s or m/s; or the
        same for all
    :param share: In how many episodes they move; in the others they stay
    :raises EnvArgumentError: When a number is not allowed
    """

    speed: float | tuple[float, float] = (NATURAL_SPEED / 4, 2 * NATURAL_SPEED)
    share: float = 0.8

    def __post_init__(self) -> None:
        # YAML has no tuples
        speed = tuple(self.speed) if isinstance(self.speed, Sequence) else (self.speed,) * 2
        if len(speed) != 2 or not all(is_number(number) and 0 < number < math.inf for number in speed) or speed[0] > speed[1]:
            raise EnvArgumentError(f"speed of a MovingGoal must be a positive number of rad/s, or two, got {self.speed!r}.")
        if not is_number(self.share) or not 0 <= self.share <= 1:
            raise EnvArgumentError(f"share of a MovingGoal must be a number from 0 to 1, got {self.share!r}.")
        object.__setattr__(self, "speed", speed)

    @classmethod
    def of(cls, settings: "MovingGoal | Mapping[str, Any] | bool | None") -> "MovingGoal | None":
        """
        Makes out of what stands in YAML how goals move.

        :param settings: It itself or its arguments; True for its defaults; False or None for goals that stay
        :return: How goals move, or None
        :raises EnvArgumentError: When an argument is unknown or has a value that is not allowed
        """
        return checked_settings(cls, settings, "moving_goal")

    @property
    def fastest(self) -> float:
        """The speed that no joint ever exceeds, in rad/s or m/s"""
        assert isinstance(self.speed, tuple)
        return self.speed[1]

    def draw(self, rng: np.random.Generator, low: npt.NDArray[np.floating], high: npt.NDArray[np.floating]) -> "Motion | None":
        """
        Draws how the goal of an episode moves.

        :param rng: Random numbers, as many whether or not it moves
        :param low: Lower limits of the joints, shape (n_joints,), in rad or m
        :param high: Upper limits
        :return: The motion, or None where it stays
        """
        assert isinstance(self.speed, tuple)
        moves, speed = rng.random() < self.share, rng.uniform(*self.speed)
        motion = random_motion(rng, low, high, speed)
        return motion if moves else None


def random_motion(
    rng: np.random.Generator, low: npt.NDArray[np.floating], high: npt.NDArray[np.floating], speed: float = NATURAL_SPEED
) -> Motion:
    """
    Draws a smooth motion over the whole range of every joint.

    :param rng: Random numbers
    :param low: Lower limits, shape (n_joints,), in rad or m
    :param high: Upper limits
    :param speed: No joint is ever faster, in rad/s or m/s
    :return: The motion
    :raises EnvArgumentError: When the speed is no positive number
    """
    _require_speed(speed)
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    size = (N_WAVES, len(low))
    shares = rng.dirichlet(np.ones(N_WAVES), len(low)).T
    amplitudes = shares * (high - low) / 2
    frequencies = rng.uniform(*FREQUENCIES, size)
    frequencies *= speed / (amplitudes * frequencies).sum(axis=0)
    return Motion((low + high) / 2, amplitudes, frequencies, rng.uniform(0.0, 2 * np.pi, size))


def waving(low: npt.NDArray[np.floating], high: npt.NDArray[np.floating], speed: float = NATURAL_SPEED) -> Motion:
    """
    Makes a wave that runs through the joints, from the first to the last. Arguments: see :func:`random_motion`.

    :return: The motion
    :raises EnvArgumentError: When the speed is no positive number
    """
    _require_speed(speed)
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    # One frequency for all: a wave keeps its shape
    amplitudes = 0.35 * (high - low)[None]
    frequency = np.full_like(amplitudes, speed / amplitudes.max())
    return Motion((low + high) / 2, amplitudes, frequency, -np.pi / 3 * np.arange(len(low), dtype=np.float64)[None])


def circling(low: npt.NDArray[np.floating], high: npt.NDArray[np.floating], speed: float = NATURAL_SPEED) -> Motion:
    """
    Makes joints go in circles: each second one is a quarter of a turn ahead of the one before it, as the hand of an arm that
    draws a circle. Arguments: see :func:`random_motion`.

    :return: The motion
    :raises EnvArgumentError: When the speed is no positive number
    """
    _require_speed(speed)
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    amplitudes = np.full((1, len(low)), 0.25 * (high - low).min())
    frequency = np.full_like(amplitudes, speed / amplitudes.max())
    return Motion((low + high) / 2, amplitudes, frequency, np.pi / 2 * (np.arange(len(low), dtype=np.float64) % 2)[None])


def _require_speed(speed: float) -> None:
    if not 0 < speed < np.inf:
        raise EnvArgumentError(f"The speed of a motion must be a positive number of rad/s, got {speed}.")
