"""Prepares a picture to be compared with drawn ones: in several sizes, with its background and its light."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sb3_mimic.agents.differences import BRIGHTEST, CUT_OFF, light_of

Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.floating]
Array32 = npt.NDArray[np.float32]

# Other colours than those drawn must leave no more than this share of what is not explained
NOTICEABLE = 0.5
# Fewer pixels tell nothing of the light
ENOUGH = 8.0
# Differences that drawing alone makes, in levels of 255
LEAST_NOISE = 1.5
# A background that differs less is plain
PLAIN = 2.5
# Pictures have at least so many pixels along each side
SMALLEST = 36
# A plane of this many pixels at most tells what the background is like
BACKGROUND_STRIDE = 64
# What stands in front of a robot has one colour, give or take so many levels; it covers at least so much of a picture, and is
# so far from the background's colour
SAME_COLOR, LEAST_IN_FRONT, OTHER_COLOR = 12.0, 0.08, 20.0


@dataclass(frozen=True)
class Photometry:
    """
    Describes in which light a picture was taken.

    :param colors: What becomes of a drawn colour (red, green, blue, 255 times coverage), shape (3, 4)
    :param contrast: By how much brighter the picture is where the robot's colours are brighter, before it is kept positive
    :param softness: How often a drawn picture has to be blurred to be as soft
    """

    colors: Array32
    contrast: float
    softness: int = 0


PLAIN_LIGHT = Photometry(np.eye(3, 4, dtype=np.float32), 1.0)


@dataclass(frozen=True)
class Background:
    """
    Describes what is behind the robot.

    :param colors: Of each pixel, shape (height, width, 3)
    :param noise: Standard deviation of its pixels, in levels of 255
    """

    colors: Array32
    noise: float

    def lit(self, photometry: Photometry) -> "Background":
        """Returns the background where white would be brighter than a picture can show: edges of the robot show it."""
        if self.colors.min() < CUT_OFF:
            return self
        white = np.maximum(photometry.colors.sum(axis=1) * BRIGHTEST, BRIGHTEST)
        return Background(np.broadcast_to(white.astype(np.float32), self.colors.shape).copy(), self.noise)


class Target:
    """
    A picture to compare with, at one size.

    :param picture: In [0, 255], shape (height, width, 3)
    :param is_known: Which of its pixels are part of the picture, shape (height, width)
    :param is_reduced: Whether it had more pixels
    """

    def __init__(self, picture: Array32, is_known: npt.NDArray[np.bool_], is_reduced: bool = False):
        self.picture, self.is_known, self.is_reduced = np.ascontiguousarray(picture, np.float32), is_known, is_reduced
        self.height, self.width = is_known.shape

    def reduced(self, height: int, width: int) -> "Target":
        """Returns the same in fewer pixels, each the mean of those that it covers."""
        if (height, width) == (self.height, self.width):
            return self
        rows, columns = _shares(self.height, height), _shares(self.width, width)
        picture = np.einsum("ij,jkc->ikc", rows, np.einsum("lk,jkc->jlc", columns, self.picture, optimize=True), optimize=True)
        return Target(picture, rows @ self.is_known @ columns.T > 0.99, True)

    def in_front(self, background: Background) -> "FloatArray | None":
        """Returns the colour of what stands in front of the robot, shape (3,); None where nothing large has one colour."""
        is_other = self.is_known & (np.abs(self.picture - background.colors).max(axis=-1) > OTHER_COLOR)
        values = self.picture[is_other]
        if len(values) < LEAST_IN_FRONT * self.is_known.sum():
            return None
        bins = (values // 8).astype(np.int64) @ (1024, 32, 1)
        most = np.bincount(bins).argmax()
        color: FloatArray = np.median(values[bins == most], axis=0)
        is_large = (np.abs(values - color).max(axis=1) <= SAME_COLOR).sum() >= LEAST_IN_FRONT * self.is_known.sum()
        return color if is_large else None

    def without(self, color: FloatArray) -> "Target":
        """Returns the same, but what has this colour, and its edge, is not known."""
        is_hidden = np.abs(self.picture - color).max(axis=-1) <= SAME_COLOR
        return Target(self.picture, self.is_known & ~_grown(is_hidden, 1), self.is_reduced)

    def background(self, coverage: npt.NDArray[np.uint8]) -> Background:
        """
        Finds what is behind the robot: one colour, or colours that change slowly over the picture.

        :param coverage: Where the robot is, shape (height, width)
        """
        free = _far_from(coverage, max(2, self.height // 32)) & self.is_known
        step = max(1, self.height // BACKGROUND_STRIDE)
        rows, columns = np.nonzero(free[::step, ::step])
        if len(rows) < 12:
            return Background(np.full_like(self.picture, 255), 40.0)
        rows, columns = rows * step, columns * step
        values = self.picture[rows, columns]
        color = np.median(values, axis=0)
        noise = _spread(values - color)
        if noise <= PLAIN:
            return Background(np.broadcast_to(color.astype(np.float32), self.picture.shape).copy(), max(noise, LEAST_NOISE))
        terms = _terms(rows, columns, self.height, self.width)
        weights = np.ones(len(values))
        for _ in range(3):
            weighted = terms * weights[:, None]
            parts = np.linalg.solve(weighted.T @ terms + 1e-3 * np.eye(6), weighted.T @ values)
            rest = np.abs(values - terms @ parts).max(axis=1)
            weights = 1 / (1 + (rest / max(2 * float(np.median(rest)), 2.0)) ** 2) ** 2
        smooth = _spread(values - terms @ parts)
        if smooth > 0.7 * noise:
            return Background(np.broadcast_to(color.astype(np.float32), self.picture.shape).copy(), max(noise, LEAST_NOISE))
        every = _terms(*_places(self.height, self.width), self.height, self.width)
        colors = np.clip(every @ parts, 0, 255).astype(np.float32).reshape(self.picture.shape)
        return Background(colors, max(smooth, LEAST_NOISE))


def target_of(picture: Picture, height: int, width: int, largest: int) -> Target:
    """
    Prepares a picture for comparisons.

    :param picture: Of any size
    :param height: Of the pictures of the robot's own camera; the picture is made to have the same shape
    :param width: Of those
    :param largest: Size beyond which pictures are reduced
    """
    rows, columns = picture.shape[:2]
    # As large as the picture needs to fit in
    tall = max(rows, columns * height / width)
    canvas = max(rows, round(tall)), max(columns, round(tall * width / height))
    whole = np.full((*canvas, 3), 255, np.float32)
    is_known = np.zeros(canvas, bool)
    top, left = (canvas[0] - rows) // 2, (canvas[1] - columns) // 2
    whole[top : top + rows, left : left + columns] = picture
    is_known[top : top + rows, left : left + columns] = True
    scale = min(1.0, largest / max(rows, columns))
    return Target(whole, is_known).reduced(*(max(SMALLEST, round(side * scale)) for side in canvas))


def photometry_of(moments: FloatArray, before: Photometry) -> Photometry:
    """
    Finds the light of a picture: brightness and contrast of each colour, and how grey it is.

    :param moments: Sums of the products of drawn red, green, blue and coverage, and red, green and blue seen, shape (7, 7)
    :param before: What is kept where nothing can be told
    """
    n = moments[3, 3]
    if n < ENOUGH:
        return before
    colors = np.zeros((3, 4))
    error, contrast = light_of(np.asarray(moments, np.float64), colors)
    # Where the robot is not drawn where it is, other colours explain a little better too
    plain = float(np.trace(moments[:3, :3] - 2 * moments[:3, 4:] + moments[4:, 4:]))
    if error > NOTICEABLE * plain:
        colors = np.eye(3, 4)
    return Photometry(colors.astype(np.float32), contrast, before.softness)


def _shares(n: int, n_out: int) -> Array32:
    """Returns which share of each of n pixels becomes part of each of n_out, shape (n_out, n)."""
    edges = np.arange(n_out + 1) * n / n_out
    places = np.arange(n)
    overlap = np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places)
    shares = np.clip(overlap, 0, None)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _spread(values: FloatArray) -> float:
    """Returns the standard deviation that most values have."""
    return float(np.quantile(np.abs(values), 0.683))


def _terms(rows: npt.NDArray[np.integer], columns: npt.NDArray[np.integer], height: int, width: int) -> FloatArray:
    y, x = 2 * rows / height - 1, 2 * columns / width - 1
    return np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=1)


def _places(height: int, width: int) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    rows, columns = np.indices((height, width))
    return rows.ravel(), columns.ravel()


def _far_from(coverage: npt.NDArray[np.uint8], distance: int) -> npt.NDArray[np.bool_]:
    """Returns which pixels are farther from all covered ones than so many rows or columns."""
    return ~_grown(coverage > 0, distance)


def _grown(places: npt.NDArray[np.bool_], distance: int) -> npt.NDArray[np.bool_]:
    """Returns which pixels are no farther from certain ones than so many rows and columns."""
    for axis in (0, 1):
        rows = np.moveaxis(places, axis, 0)
        grown = rows.copy()
        for shift in range(1, distance + 1):
            grown[shift:] |= rows[:-shift]
            grown[:-shift] |= rows[shift:]
        places = np.moveaxis(grown, 0, axis)
    return places
