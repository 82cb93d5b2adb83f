"""Finds the pose in which a robot, drawn, looks most like a picture: damped steps of Gauss and Newton, and several starts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sb3_mimic.agents.comparison import Background, Photometry, Target, photometry_of
from sb3_mimic.agents.differences import box_of, differences, explained, moments_of, weigh
from sb3_mimic.agents.unknowns import Unknowns

Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """
    Describes one part of a search.

    :param n_blurs: How often pictures are blurred before they are compared
    :param cutoff: From about this many levels of difference on, a pixel is not believed
    :param change: How much finite differences should change a picture: the root of the sum of squares, in levels
    :param n_rounds: At most so many steps
    """

    n_blurs: int
    cutoff: float
    change: float
    n_rounds: int


COARSE_STAGES = (Stage(4, 90.0, 150.0, 3), Stage(1, 60.0, 150.0, 12))
FINE_STAGES = (Stage(1, 45.0, 400.0, 4),)
# Each step is tried with so much damping
DAMPINGS = (1e-3, 3e-2, 0.5)
# How far unknowns are moved to see what changes, in rad
FIRST_EPS, SMALLEST_EPS, LARGEST_EPS = math.radians(1.5), math.radians(0.05), math.radians(5)
# No unknown is moved further in one step; and steps that are smaller end a stage
LARGEST_STEP, SMALLEST_STEP = math.radians(10), 3e-4
# What is left unexplained where the pose is exact, in levels
EXACT = 0.05
# Pictures are so soft at most, see Photometry
N_SOFTNESS = 6
# Of the robot's pixels in a usual picture, in levels; a background may be far from what it is thought to be
ROBOT_NOISE = 4.0
# Pixels that differ by so many levels count as half explained
EXPLAINED, EXPLAINED_BLURS = 15.0, 4
# Poses that are looked at before others are tried in earnest, and how many of those
N_LOOKED_AT, N_TRIED = 64, 2


@dataclass(frozen=True)
class Fit:
    """
    Describes a pose and how well it explains a picture.

    :param x: The unknowns, shape (n,)
    :param cost: What is not explained, less what is not explained without a robot
    :param normal: How fast the picture changes with the unknowns: the matrix of the normal equations, shape (n, n)
    :param seen: How fast the picture changes with each of the unknowns, squared, shape (n,)
    :param noise: Mean difference of the pixels that are believed, in levels
    :param photometry: The light
    :param background: What is behind the robot
    """

    x: FloatArray
    cost: float
    normal: FloatArray
    seen: FloatArray
    noise: float
    photometry: Photometry
    background: Background


class Search:
    """
    Searches for the pose in a picture.

    :param unknowns: What is unknown, and how it is drawn
    :param target: The picture
    :param rng: Chooses poses to begin from where the estimate leads nowhere
    """

    def __init__(self, unknowns: Unknowns, target: Target, rng: np.random.Generator):
        self.unknowns, self.target, self.rng = unknowns, target, rng

    def draw(self, xs: FloatArray) -> Picture:
        """Draws the robot with coverage, in the size of the target, shape (n, height, width, 4)."""
        return self.unknowns.draw(xs, self.target.width, self.target.height)

    def run(self, start: FloatArray, stages: Sequence[Stage], photometry: Photometry, background: Background | None) -> Fit:
        """
        Improves a pose.

        :param start: The unknowns to begin with, shape (n,)
        :param stages: One after the other
        :param photometry: The light, as far as it is known
        :param background: What is behind the robot, where that is known
        :return: The best pose that was found
        """
        x = self.unknowns.clipped(start)
        basis = FIRST_EPS * np.eye(len(x))
        for stage in stages:
            n_failed = 0
            for index in range(stage.n_rounds):
                pictures = self.draw(np.vstack((x, x + basis, x - basis)))
                if background is None:
                    background = self.target.background(pictures[0, ..., 3])
                if index == 0:
                    photometry = self._light(pictures[0], photometry, background, stage)
                    background = background.lit(photometry)
                cost, noise, normal, slope = self._equations(pictures, x, basis, photometry, background, stage)
                steps = np.array([_solved(normal, slope, damping) @ basis for damping in DAMPINGS])
                longest = np.abs(steps).max(axis=1, keepdims=True)
                candidates = self.unknowns.clipped(x + steps * np.minimum(1.0, LARGEST_STEP / np.maximum(longest, 1e-9)))
                costs = [self._cost(each, photometry, background, stage) for each in self.draw(candidates)]
                inverse = np.linalg.pinv(basis)
                whole = inverse @ normal @ inverse.T
                fit = Fit(x, cost, whole, np.diag(whole) - self._prior(x, noise), noise, photometry, background)
                least = int(np.argmin(costs))
                moved = float(np.abs(candidates[least] - x).max())
                if costs[least] < cost:
                    x, n_failed = candidates[least], 0
                else:
                    n_failed += 1
                values, vectors = np.linalg.eigh(fit.normal)
                # Where the picture hardly changes, longer steps are needed to see that it does
                change = stage.change / 2**n_failed
                lengths = np.clip(change / np.sqrt(np.maximum(values, 1e-9)), SMALLEST_EPS, LARGEST_EPS)
                basis = (vectors * lengths).T
                if n_failed > 1 or moved < SMALLEST_STEP or (n_failed == 0 and noise < EXACT):
                    break
        return replace(fit, x=x, cost=min(cost, *costs))

    def explained(self, fit: Fit) -> tuple[float, float, float, float]:
        """Returns what :func:`~sb3_mimic.agents.comparison.explained` does of a pose that was found."""
        drawn = self.draw(fit.x[None])
        background = self.target.background(drawn[0, ..., 3]).lit(fit.photometry)
        whole = np.array([0, self.target.height, 0, self.target.width])
        cutoff = EXPLAINED + background.noise / 2
        out, *_ = self._weighed(drawn, whole, EXPLAINED_BLURS, cutoff, fit.photometry, background)
        return explained(drawn[0, ..., 3], self.target.is_known, out[0], out[1], cutoff)

    def shown(self, fit: Fit) -> Picture:
        """Draws a pose before the background and in the light that were found, shape (height, width, 3)."""
        drawn = self.draw(fit.x[None])[0].astype(np.float32)
        behind = (1 - drawn[..., 3:] / 255) * fit.background.colors
        shown: Picture = np.clip(drawn @ fit.photometry.colors.T + behind + 0.5, 0, 255).astype(np.uint8)
        return shown

    def others(self, fit: Fit, n: int = N_TRIED) -> FloatArray:
        """
        Returns poses to begin from anew: of many around the estimate, around what was found and anywhere, those that look
        most like the picture, shape (n, n_unknowns).

        :param fit: What was found so far
        :param n: Number of poses
        """
        poses = self.unknowns.drawn_from(self.rng, fit.x, N_LOOKED_AT)
        stage = COARSE_STAGES[0]
        costs = [self._cost(each, fit.photometry, fit.background, stage) for each in self.draw(poses)]
        return poses[np.argsort(costs)[:n]]

    def _light(self, drawn: Picture, photometry: Photometry, background: Background, stage: Stage) -> Photometry:
        moments = np.empty((7, 7))
        box = box_of(drawn[None], 0)
        for cutoff in (2 * stage.cutoff, stage.cutoff):
            _, weights, *_ = self._weighed(drawn[None], box, 0, cutoff, photometry, background)
            moments_of(drawn, self.target.picture, background.colors, weights, box, moments)
            photometry = photometry_of(moments, photometry)
        return photometry

    def softened(self, fit: Fit) -> Fit:
        """Finds how soft a picture is, and returns the fit with that."""
        drawn, stage = self.draw(fit.x[None])[0], COARSE_STAGES[-1]
        lights = [replace(fit.photometry, softness=softness) for softness in range(N_SOFTNESS)]
        costs = [self._cost(drawn, light, fit.background, replace(stage, n_blurs=0)) for light in lights]
        return replace(fit, photometry=lights[int(np.argmin(costs))])

    def _weighed(
        self,
        pictures: Picture,
        box: npt.NDArray[np.int64],
        n_blurs: int,
        cutoff: float,
        photometry: Photometry,
        background: Background,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], float, float]:
        """Returns all differences, the weights of pixels, and cost and believed part of the first picture."""
        top, bottom, left, right = box
        rows, columns = bottom - top, right - left
        out = np.empty((len(pictures) + 1, rows, columns, 3), np.float32)
        line, weights = np.empty(3 * columns, np.float32), np.empty((rows, columns), np.float32)
        differences(
            pictures, self.target.picture, background.colors, photometry.colors, n_blurs, photometry.softness, box, out, line
        )
        coverage, is_known = pictures[0, top:bottom, left:right, 3], self.target.is_known[top:bottom, left:right]
        cost, rest = weigh(coverage, is_known, out[0], out[-1], ROBOT_NOISE, background.noise, cutoff, weights)
        return out, weights, cost, rest

    def _cost(self, drawn: Picture, photometry: Photometry, background: Background, stage: Stage) -> float:
        box = box_of(drawn[None], stage.n_blurs + photometry.softness + 1)
        return self._weighed(drawn[None], box, stage.n_blurs, stage.cutoff, photometry, background)[2]

    def _equations(
        self, pictures: Picture, x: FloatArray, basis: FloatArray, photometry: Photometry, background: Background, stage: Stage
    ) -> tuple[float, float, FloatArray, FloatArray]:
        """
        Compares the picture with drawn ones.

        :param pictures: At x, a step ahead and a step back along each direction, shape (1 + 2 n, height, width, 4)
        :return: The cost at x; the mean difference of what is believed; matrix and right side of the normal equations, in
            steps along the directions
        """
        n = len(basis)
        box = box_of(pictures, stage.n_blurs + photometry.softness + 1)
        out, weights, cost, rest = self._weighed(pictures, box, stage.n_blurs, stage.cutoff, photometry, background)
        used = out[: n + 1]
        used[1:] -= out[n + 1 : 2 * n + 1]
        used[1:] *= np.float32(0.5)
        used *= weights[None, :, :, None]
        flat = used.reshape(n + 1, -1)
        gram = (flat @ flat.T).astype(np.float64)
        noise = math.sqrt(rest / max(3 * float(np.vdot(weights, weights)), 1.0))
        prior, off = self._prior(x, noise), x - self.unknowns.estimate
        return cost, noise, gram[1:, 1:] + basis @ (prior[:, None] * basis.T), gram[1:, 0] - basis @ (prior * off)

    def _prior(self, x: FloatArray, noise: float) -> FloatArray:
        """Returns how far what a translator read is believed: as far as it says itself. Laplace's errors have long tails."""
        scales = self.unknowns.scales
        prior: FloatArray = (noise + 0.1) ** 2 / (scales * np.maximum(np.abs(x - self.unknowns.estimate), scales))
        return prior


def _solved(normal: FloatArray, slope: FloatArray, damping: float) -> FloatArray:
    diagonal = np.diag(normal)
    damped = normal + np.diag(damping * diagonal + 1e-6 * diagonal.max() + 1e-9)
    return np.asarray(np.linalg.solve(damped, slope), np.float64)
