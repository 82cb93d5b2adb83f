"""Reads a pose better than a translator does: draws what was read, compares it with the picture, and corrects it."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mimic.agents.comparison import (
    PLAIN_LIGHT,
    Background,
    Photometry,
    Target,
    box_of,
    differences,
    moments_of,
    photometry_of,
    target_of,
    weigh,
)
from sb3_mimic.agents.environments import Goals
from sb3_mimic.errors import InputError, UnsuitableEnvError
from sb3_mimic.pose import JOINTS, PoseLayout

Picture = npt.NDArray[np.uint8]
Pose = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.floating]

# Pictures are compared at this size first, and at their own up to the second
COARSE, FINE = 64, 256


@dataclass(frozen=True)
class Stage:
    """
    Describes one part of a refinement.

    :param n_blurs: How often pictures are blurred before they are compared
    :param cutoff: From about this many levels of difference on, a pixel is not believed
    :param change: By how much a step of finite differences should change the picture: root of the sum of squares, in levels
    :param n_rounds: At most so many steps
    """

    n_blurs: int
    cutoff: float
    change: float
    n_rounds: int


COARSE_STAGES = (Stage(4, 90.0, 150.0, 3), Stage(1, 60.0, 150.0, 4))
FINE_STAGES = (Stage(1, 45.0, 400.0, 2),)
# Steps are tried with so much damping each
DAMPINGS = (1e-3, 3e-2, 0.5)
# Joints are moved by so much to see what changes, in rad
FIRST_EPS, SMALLEST_EPS, LARGEST_EPS = math.radians(1.5), math.radians(0.1), math.radians(5)
# No joint is moved further in one step, in rad
LARGEST_STEP = math.radians(10)
# What a translator that does not say how sure it is may be off, in rad
USUAL_SCALE = math.radians(6)


@dataclass
class Fit:
    x: FloatArray
    cost: float
    normal: FloatArray
    slope: FloatArray
    noise: float
    n_believed: float
    drawn: Picture
    photometry: Photometry
    background: Background
    cutoff: float


class Search:
    def __init__(self, env: Any, target: Target, low: FloatArray, high: FloatArray, estimate: FloatArray, scales: FloatArray):
        self.env, self.target, self.low, self.high = env, target, low, high
        self.estimate, self.scales = estimate, scales
        self.levels = [target.reduced(*_reduced(target.height, target.width, COARSE))]
        if max(target.height, target.width) > 1.25 * COARSE:
            self.levels.append(target)
        camera = env.camera
        self.views = [type(camera)(camera.eye, camera.target, camera.up, camera.fov, t.width, t.height) for t in self.levels]
        # A pixel, seen from the camera, in rad of a joint whose arm is half of what is seen
        self.pixels = [2.5 / t.height for t in self.levels]
        self.n_drawn = 0

    def draw(self, level: int, xs: FloatArray) -> Picture:
        self.n_drawn += len(xs)
        return self.env.photographs(xs, self.views[level], True)

    def run(self, start: FloatArray, stages, level: int, photometry: Photometry, background: Background | None) -> Fit:
        x = np.clip(start, self.low, self.high)
        target = self.levels[level]
        basis = FIRST_EPS * np.eye(len(x))
        for stage in stages:
            first = None
            for round_ in range(stage.n_rounds):
                basis = self._within(x, basis)
                n = len(basis)
                pics = self.draw(level, np.vstack((x, x + basis, x - basis)))
                if round_ == 0:
                    if background is None:
                        background = target.background(pics[0, ..., 3])
                    photometry = self._light(target, pics[0], background, photometry, stage)
                fit = self._compare(target, pics, x, basis, background, photometry, stage)
                candidates = np.array([self._stepped(fit, basis, damping) for damping in DAMPINGS])
                basis = self._basis(fit, basis, stage.change)
                drawn = self.draw(level, candidates)
                costs = [self._cost(target, each, background, photometry, stage) for each in drawn]
                least = int(np.argmin(costs))
                moved = np.abs(candidates[least] - x).max()
                if costs[least] >= fit.cost:
                    break
                x = candidates[least]
                if moved < 3e-4:
                    break
        return replace(fit, x=x)

    def _within(self, x, basis):
        """Shortens directions that lead beyond the limits."""
        out = []
        for direction in basis:
            reach = np.minimum(self.high - x, x - self.low)
            is_stuck = reach < 0.3 * np.abs(direction)
            short = np.where(is_stuck, 0.0, direction)
            out.append(direction if not short.any() else direction)
        return np.array(out)

    def _basis(self, fit, basis, change):
        inverse = np.linalg.pinv(basis)
        normal = inverse @ fit.normal @ inverse.T
        values, vectors = np.linalg.eigh(normal)
        eps = np.clip(change / np.sqrt(np.maximum(values, 1e-9)), SMALLEST_EPS, LARGEST_EPS)
        return (vectors * eps).T

    def _cost(self, target, drawn, background, photometry, stage):
        pics = drawn[None]
        box = box_of(pics, stage.n_blurs + 1)
        rows, columns = box[1] - box[0], box[3] - box[2]
        out = np.empty((2, rows, columns, 3), np.float32)
        differences(pics, target.picture, background.colors, photometry.colors, stage.n_blurs, box, out, np.empty(3 * columns, np.float32))
        area = slice(box[0], box[1]), slice(box[2], box[3])
        return weigh(drawn[(*area, 3)], target.is_known[area], out[0], out[1], photometry.noise, background.noise, stage.cutoff, np.empty((rows, columns), np.float32))[0]

    def _light(self, target, drawn, background, photometry, stage):
        box = box_of(drawn[None], 0)
        shape = box[1] - box[0], box[3] - box[2]
        out = np.empty((2, *shape, 3), np.float32)
        weights = np.empty(shape, np.float32)
        moments = np.empty((7, 7))
        area = slice(box[0], box[1]), slice(box[2], box[3])
        for cutoff in (2 * stage.cutoff, stage.cutoff):
            differences(drawn[None], target.picture, background.colors, photometry.colors, 0, box, out, np.empty(3 * max(shape), np.float32))
            weigh(drawn[(*area, 3)], target.is_known[area], out[0], out[1], photometry.noise, background.noise, cutoff, weights)
            moments_of(drawn, target.picture, background.colors, weights, box, moments)
            photometry = photometry_of(moments, photometry)
        return photometry

    def _compare(self, target, pics, x, basis, background, photometry, stage) -> Fit:
        box = box_of(pics, stage.n_blurs + 1)
        rows, columns = box[1] - box[0], box[3] - box[2]
        n = len(basis)
        out = np.empty((len(pics) + 1, rows, columns, 3), np.float32)
        differences(pics, target.picture, background.colors, photometry.colors, stage.n_blurs, box, out, np.empty(3 * columns, np.float32))
        weights = np.empty((rows, columns), np.float32)
        area = slice(box[0], box[1]), slice(box[2], box[3])
        cost, rest = weigh(pics[(0, *area, 3)], target.is_known[area], out[0], out[-1], photometry.noise, background.noise, stage.cutoff, weights)
        weighted = out[: n + 1]
        weighted[1:] -= out[n + 1 : 2 * n + 1]
        weighted[1:] *= np.float32(0.5)
        weighted *= weights[None, :, :, None]
        flat = weighted.reshape(n + 1, -1)
        gram = (flat @ flat.T).astype(np.float64)
        normal, slope = gram[1:, 1:], gram[1:, 0]
        n_believed = float((weights * weights).sum()) * 3
        noise = math.sqrt(rest / max(n_believed, 1.0))
        # What the translator read is believed as far as it says itself
        far = np.maximum(np.abs(x - self.estimate), self.scales)
        prior = (noise + 0.1) ** 2 / (self.scales * far)
        normal = normal + basis @ (prior[:, None] * basis.T)
        slope = slope - basis @ (prior * (x - self.estimate))
        return Fit(x, cost, normal, slope, noise, n_believed, pics[0], photometry, background, stage.cutoff)

    def _stepped(self, fit: Fit, basis: FloatArray, damping: float) -> FloatArray:
        diagonal = np.diag(fit.normal)
        y = np.linalg.solve(fit.normal + np.diag(damping * diagonal + 1e-6 * diagonal.max() + 1e-9), fit.slope)
        step = y @ basis
        step *= min(1.0, LARGEST_STEP / max(np.abs(step).max(), 1e-9))
        return np.clip(fit.x + step, self.low, self.high)


def _reduced(height: int, width: int, size: int) -> tuple[int, int]:
    scale = min(1.0, size / max(height, width))
    return max(36, round(height * scale)), max(36, round(width * scale))
