"""Finds the pose in which a robot, drawn, looks most like a picture: damped steps of Gauss and Newton, and several starts."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from sb3_mimic.agents.comparison import PLAIN_LIGHT, Background, Photometry, Target, photometry_of
from sb3_mimic.agents.differences import blur, box_of, differences, explained, moments_of, weigh
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
    :param n_rounds: So often at most it is looked how the picture changes with the unknowns
    :param n_steps: At most so many steps are taken by that
    :param least: Steps that are smaller end the stage, in rad
    """

    n_blurs: int
    cutoff: float
    change: float
    n_rounds: int
    n_steps: int
    least: float


COARSE_STAGES = (Stage(4, 90.0, 150.0, 3, 2, 5e-3), Stage(1, 60.0, 150.0, 12, 3, 3e-4))
# Where larger pictures follow
ROUGH_STAGES = (COARSE_STAGES[0], Stage(1, 60.0, 150.0, 1, 3, 3e-4))
# Where noise differs from pixel to pixel, blurring would lose what they tell
SHARP_STAGES = (Stage(0, 60.0, 150.0, 2, 3, 3e-4),)
FINE_STAGES = (Stage(1, 45.0, 400.0, 4, 3, 1e-4),)
# Each step is tried with so much damping
DAMPINGS = (1e-3, 3e-2, 0.5)
# How far unknowns are moved to see what changes, in rad
FIRST_EPS, SMALLEST_EPS, LARGEST_EPS = math.radians(1.5), math.radians(0.05), math.radians(5)
# No unknown is moved further in one step
LARGEST_STEP = math.radians(10)
# What is left unexplained where the pose is exact, in levels
EXACT = 0.05
# Where less is left in blurred pictures, only the longest step is tried, and one that does not pay is the last
EXPLAINING = 1.0
# Pictures are so soft at most, see Photometry
N_SOFTNESS = 6
# Of the robot's pixels in a usual picture, in levels; a background may be far from what it is thought to be
ROBOT_NOISE = 4.0
# Pixels that differ by so many levels count as half explained
EXPLAINED, EXPLAINED_BLURS = 15.0, 4
# Qualities of JPEG that are tried. A picture went through one where less than this share of what is not explained is left
# once the drawn one has gone through it too; so often at most it is looked again then
QUALITIES, LESS_AFTER_JPEG, N_JPEG_ROUNDS = tuple(range(10, 96, 5)), 0.75, 9
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
    :param n_blurs: How often it was blurred to be compared
    :param quality: Of the JPEG that it went through; None where it did not
    """

    x: FloatArray
    cost: float
    normal: FloatArray
    seen: FloatArray
    noise: float
    photometry: Photometry
    background: Background
    n_blurs: int
    quality: int | None = None


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

    def run(
        self,
        start: FloatArray,
        stages: Sequence[Stage],
        photometry: Photometry,
        background: Background | None = None,
        normal: FloatArray | None = None,
    ) -> Fit:
        """
        Improves a pose.

        :param start: The unknowns to begin with, shape (n,)
        :param stages: One after the other
        :param photometry: The light, as far as it is known
        :param background: What is behind the robot, where that is known
        :param normal: How fast the picture changes with the unknowns, where that is known, shape (n, n)
        :return: The best pose that was found
        """
        x = self.unknowns.clipped(start)
        basis = FIRST_EPS * np.eye(len(x)) if normal is None else _basis(normal, stages[0].change)
        drawn = self.draw(x[None])
        if background is None:
            background = self.target.background(drawn[0, ..., 3])
        for stage in stages:
            n_failed = 0
            for index in range(stage.n_rounds):
                if index == 0 or not self.unknowns.has_light:
                    photometry = self._light(drawn[0], photometry, background, stage)
                    background = background.lit(photometry)
                # Ahead and back in turns: what one sees too much of the other sees too little of
                basis = -basis
                begun = x
                x, drawn, fit = self._round(x, drawn, basis, photometry, background, stage)
                moved = float(np.abs(x - begun).max())
                n_failed = n_failed + 1 if moved == 0 else 0
                basis = _basis(fit.normal, stage.change / 2**n_failed) * (1 if index % 2 else -1)
                is_patient = fit.noise > EXPLAINING or stage.n_blurs < 2 or self.unknowns.has_camera
                if n_failed > is_patient or 0 < moved < stage.least or fit.noise < EXACT:
                    break
        return fit

    def _round(
        self, x: FloatArray, drawn: Picture, basis: FloatArray, photometry: Photometry, background: Background, stage: Stage
    ) -> tuple[FloatArray, Picture, Fit]:
        """
        Looks how the picture changes with the unknowns, and takes steps by that as long as they pay.

        :param x: The unknowns to begin with, shape (n,)
        :param drawn: The robot there, shape (1, height, width, 4)
        :param basis: Steps to look at, one a row, shape (n, n)
        :return: The best unknowns, the robot there, and how well that fits
        """
        margin = stage.n_blurs + photometry.softness + 1
        # Where camera and light are unknown too, much changes alike: both sides tell it apart
        is_both, n = self.unknowns.has_camera, len(basis)
        around = np.concatenate((drawn, self.draw(np.vstack((x + basis, x - basis)) if is_both else x + basis)))
        box = box_of(around, margin)
        out, weights, cost, rest = self._weighed(around, box, stage.n_blurs, stage.cutoff, photometry, background)
        changes = np.float32(0.5) * (out[1 : n + 1] - out[n + 1 : -1]) if is_both else out[1:-1]
        inverse = np.linalg.inv(basis)
        for _ in range(1 if is_both else stage.n_steps):
            noise, normal, slope = self._equations(out[0], changes, weights, rest, x, basis)
            whole = inverse @ normal @ inverse.T
            fit = Fit(x, cost, whole, np.diag(whole) - self._prior(x, noise), noise, photometry, background, stage.n_blurs)
            is_careful = noise > EXPLAINING or stage.n_blurs < 2 or is_both
            dampings = DAMPINGS if is_careful else DAMPINGS[:1]
            steps = np.array([_solved(normal, slope, damping) @ basis for damping in dampings])
            longest = np.abs(steps).max(axis=1, keepdims=True)
            candidates = self.unknowns.clipped(x + steps * np.minimum(1.0, LARGEST_STEP / np.maximum(longest, 1e-9)))
            if is_both:
                costs = [self._cost(each, photometry, background, stage) for each in self.draw(candidates)]
                candidates = candidates[[int(np.argmin(costs))]]
            for there in candidates:
                seen = self.draw(there[None])
                within = box_of(seen, margin)
                is_inside = bool((within[::2] >= box[::2]).all() and (within[1::2] <= box[1::2]).all())
                out, weights, its_cost, rest = self._weighed(
                    seen, box if is_inside else within, stage.n_blurs, stage.cutoff, photometry, background
                )
                if its_cost < cost:
                    break
            else:
                break
            moved = float(np.abs(there - x).max())
            x, drawn, cost = there, seen, its_cost
            fit = replace(fit, x=x, cost=cost)
            if not is_inside or moved < stage.least:
                break
        return x, drawn, fit

    def averaged(self, fit: Fit, stage: Stage) -> Fit:
        """
        Takes one more step, towards where drawings all around are like the picture in the mean: edges of drawn robots are as
        coarse as their rays are few, and those of a picture that was reduced are not.

        :param fit: What was found
        :param stage: How it is compared
        :return: The fit after the step
        """
        x, n = fit.x, len(fit.x)
        basis = _basis(fit.normal, stage.change)
        pictures = self.draw(np.vstack((x, x + basis, x - basis)))
        box = box_of(pictures, stage.n_blurs + fit.photometry.softness + 1)
        out, weights, cost, rest = self._weighed(pictures, box, stage.n_blurs, stage.cutoff, fit.photometry, fit.background)
        ahead, back = out[1 : n + 1], out[n + 1 : 2 * n + 1]
        mean = out[0] - np.asarray((ahead.sum(axis=0) + back.sum(axis=0)) / (2 * n + 1), np.float32)
        _, normal, slope = self._equations(mean, np.float32(0.5) * (ahead - back), weights, rest, x, basis)
        step = _solved(normal, slope, DAMPINGS[0]) @ basis
        return replace(fit, x=self.unknowns.clipped(x + np.clip(step, -FIRST_EPS, FIRST_EPS)), cost=cost)

    def explained(self, fit: Fit) -> tuple[float, float, float, float, float]:
        """Returns what :func:`~sb3_mimic.agents.differences.explained` does of a pose that was found."""
        drawn = self.draw(fit.x[None])
        background = self.target.background(drawn[0, ..., 3]).lit(fit.photometry)
        whole = np.array([0, self.target.height, 0, self.target.width])
        cutoff = EXPLAINED + background.noise / 2
        out, *_ = self._weighed(drawn, whole, EXPLAINED_BLURS, cutoff, fit.photometry, background)
        return explained(drawn[0, ..., 3], self.target.is_known, out[0], out[1], cutoff)

    def through_jpeg(self, fit: Fit) -> Fit | None:
        """
        Finds the quality of JPEG that a picture went through.

        :param fit: What was found so far
        :return: The fit with that quality, in the light that was found or in the usual one; None where the picture does not
            look as if it had gone through JPEG
        """
        plain = float(np.abs(self.target.picture - self.shown(fit)).mean())
        usual = replace(fit, photometry=replace(PLAIN_LIGHT, softness=fit.photometry.softness))
        found = []
        for each in (fit, usual):
            shown = self.shown(each)
            for quality in QUALITIES:
                error = float(np.abs(self.target.picture - compressed(shown, quality)).mean())
                found.append((error, replace(each, quality=quality)))
        error, best = min(found, key=lambda pair: pair[0])
        return best if error < LESS_AFTER_JPEG * plain else None

    def after_jpeg(self, fit: Fit, stage: Stage) -> Fit:
        """
        Goes on where the picture went through JPEG: drawings go through it too before they are compared. How they change with
        the unknowns is told by those that do not, since JPEG rounds small changes away.

        :param fit: What was found, with the quality
        :param stage: How it is compared
        :return: The best that was found
        """
        best, x, n = fit, fit.x, len(fit.x)
        lowest, step = math.inf, np.zeros(n)
        for _ in range(N_JPEG_ROUNDS):
            basis = _basis(best.normal, stage.change)
            pictures = self.draw(np.vstack((x, x + basis, x - basis)))
            box = box_of(pictures, stage.n_blurs + 1)
            out, weights, *_ = self._weighed(pictures, box, stage.n_blurs, stage.cutoff, fit.photometry, fit.background)
            left = self._left_after_jpeg(replace(fit, x=x), stage.n_blurs)
            left = np.ascontiguousarray(left[box[0] : box[1], box[2] : box[3]])
            known, noises = self.target.is_known, (ROBOT_NOISE, fit.background.noise, stage.cutoff)
            cost, rest = weigh(pictures[0], known, box, left, out[-1], *noises, weights)
            if cost >= lowest:
                step = step / 2
                x = best.x + step
                continue
            lowest, changes = cost, np.float32(0.5) * (out[1 : n + 1] - out[n + 1 : 2 * n + 1])
            noise, normal, slope = self._equations(left, changes, weights, rest, x, basis)
            inverse = np.linalg.inv(basis)
            whole = inverse @ normal @ inverse.T
            seen = np.diag(whole) - self._prior(x, noise)
            best = replace(fit, x=x, cost=cost, normal=whole, seen=seen, noise=noise)
            step = np.clip(_solved(normal, slope, DAMPINGS[0]) @ basis, -LARGEST_STEP, LARGEST_STEP)
            x = self.unknowns.clipped(x + step)
        return best

    def _left_after_jpeg(self, fit: Fit, n_blurs: int) -> npt.NDArray[np.float32]:
        """Returns how a picture differs from what was drawn and went through JPEG, shape (height, width, 3)."""
        left = self.target.picture - compressed(self.shown(fit), fit.quality or 0).astype(np.float32)
        blur(left, n_blurs)
        return left

    def explained_after_jpeg(self, fit: Fit) -> tuple[float, float, float, float, float]:
        """Returns what :meth:`explained` does where the picture went through JPEG."""
        drawn = self.draw(fit.x[None])
        cutoff = EXPLAINED + fit.background.noise / 2
        empty = self.target.picture - np.minimum(fit.background.colors, np.float32(255))
        blur(empty, EXPLAINED_BLURS)
        left = self._left_after_jpeg(fit, EXPLAINED_BLURS)
        return explained(drawn[0, ..., 3], self.target.is_known, left, empty, cutoff)

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
        soft = _softened(drawn, photometry.softness)
        box = box_of(soft[None], 0)
        for cutoff in (2 * stage.cutoff, stage.cutoff):
            _, weights, *_ = self._weighed(drawn[None], box, 0, cutoff, photometry, background)
            moments_of(soft, self.target.picture, background.colors, weights, box, moments)
            photometry = photometry_of(moments, photometry)
        return photometry

    def softened(self, fit: Fit) -> Fit:
        """Finds how soft a picture is, and returns the fit with that."""
        drawn, stage = self.draw(fit.x[None])[0], COARSE_STAGES[-1]
        # In a soft picture, thin limbs were taken for pale ones
        seen = (fit.photometry, PLAIN_LIGHT)
        lights = [replace(light, softness=softness) for softness in range(N_SOFTNESS) for light in seen]
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
        colors, is_known, softness = photometry.colors, self.target.is_known, photometry.softness
        differences(pictures, self.target.picture, is_known, background.colors, colors, n_blurs, softness, box, out, line)
        cost, rest = weigh(pictures[0], is_known, box, out[0], out[-1], ROBOT_NOISE, background.noise, cutoff, weights)
        return out, weights, cost, rest

    def _cost(self, drawn: Picture, photometry: Photometry, background: Background, stage: Stage) -> float:
        box = box_of(drawn[None], stage.n_blurs + photometry.softness + 1)
        return self._weighed(drawn[None], box, stage.n_blurs, stage.cutoff, photometry, background)[2]

    def _equations(
        self,
        unexplained: npt.NDArray[np.float32],
        changes: npt.NDArray[np.float32],
        weights: npt.NDArray[np.float32],
        rest: float,
        x: FloatArray,
        basis: FloatArray,
    ) -> tuple[float, FloatArray, FloatArray]:
        """
        Makes the normal equations of a step.

        :param unexplained: Difference between picture and what was drawn, shape (rows, columns, 3)
        :param changes: How a step along each direction changes what is drawn, shape (n, rows, columns, 3)
        :return: The mean difference of what is believed; matrix and right side of the equations, in steps along the directions
        """
        n = len(basis)
        flat = np.empty((n + 1, unexplained.size), np.float32)
        np.multiply(unexplained, weights[..., None], out=flat[0].reshape(unexplained.shape))
        np.multiply(changes, weights[..., None], out=flat[1:].reshape(changes.shape))
        gram = (flat @ flat.T).astype(np.float64)
        noise = math.sqrt(rest / max(3 * float(np.vdot(weights, weights)), 1.0))
        prior, off = self._prior(x, noise), x - self.unknowns.estimate
        return noise, gram[1:, 1:] + basis @ (prior[:, None] * basis.T), gram[1:, 0] - basis @ (prior * off)

    def _prior(self, x: FloatArray, noise: float) -> FloatArray:
        """Returns how far what a translator read is believed: as far as it says itself. Laplace's errors have long tails."""
        scales = self.unknowns.scales
        prior: FloatArray = (noise + 0.1) ** 2 / (scales * np.maximum(np.abs(x - self.unknowns.estimate), scales))
        return prior


def _softened(drawn: Picture, softness: int) -> Picture:
    """Blurs a drawing with its coverage so often, shape (height, width, 4)."""
    if not softness:
        return drawn
    colors, coverage = (np.array(part, np.float32) for part in (drawn[..., :3], np.repeat(drawn[..., 3:], 3, axis=2)))
    for plane in (colors, coverage):
        blur(plane, softness)
    return np.dstack((colors, coverage[..., :1])).round().astype(np.uint8)


def compressed(picture: Picture, quality: int) -> Picture:
    """Returns a picture as it is after JPEG, shape (height, width, 3)."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "jpeg", quality=quality)
    return np.asarray(Image.open(file))


def _basis(normal: FloatArray, change: float) -> FloatArray:
    """Returns steps that change a picture so much; where it hardly changes, longer ones are needed to see that it does."""
    values, vectors = np.linalg.eigh(normal)
    lengths = np.clip(change / np.sqrt(np.maximum(values, 1e-9)), SMALLEST_EPS, LARGEST_EPS)
    return np.asarray((vectors * lengths).T)


def _solved(normal: FloatArray, slope: FloatArray, damping: float) -> FloatArray:
    diagonal = np.diag(normal)
    damped = normal + np.diag(damping * diagonal + 1e-6 * diagonal.max() + 1e-9)
    return np.asarray(np.linalg.solve(damped, slope), np.float64)
