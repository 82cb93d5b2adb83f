"""Compares a picture with drawn ones, pixel by pixel: what differs, and which pixels to believe."""

import numpy as np
import numpy.typing as npt

from sb3_mimic.jit import jit

FloatArray = npt.NDArray[np.floating]
Array32 = npt.NDArray[np.float32]

# From here on a colour may be cut off, in levels
BRIGHTEST, CUT_OFF = np.float32(255), 253.0
# Of a colour: how much of it is grey
LUMINANCE = (0.299, 0.587, 0.114)
# Robots are at least so bright, and at most, as a share of their own colours
LEAST_GAIN, LARGEST_GAIN = 0.15, 5.0
# How little of a colour may be left, tried one after the other; a smaller one must leave no more than this share
SATURATIONS, LESS = (1.0, 0.75, 0.5, 0.25, 0.0), 0.97


@jit
def box_of(pictures: npt.NDArray[np.uint8], margin: int) -> npt.NDArray[np.int64]:
    """
    Finds the part of several pictures in which anything is drawn.

    :param pictures: With coverage, shape (n, height, width, 4)
    :param margin: So many more rows and columns
    :return: First and last row, first and last column, the last exclusive; of the whole picture where nothing is drawn
    """
    n, height, width, _ = pictures.shape
    top, bottom, left, right = height, 0, width, 0
    for index in range(n):
        for j in range(height):
            first = width
            for i in range(width):
                if pictures[index, j, i, 3] > 0:
                    first = i
                    break
            if first == width:
                continue
            last = width - 1
            while pictures[index, j, last, 3] == 0:
                last -= 1
            top, bottom = min(top, j), max(bottom, j + 1)
            left, right = min(left, first), max(right, last + 1)
    if bottom == 0:
        return np.array([0, height, 0, width])
    return np.array([max(0, top - margin), min(height, bottom + margin), max(0, left - margin), min(width, right + margin)])


@jit
def differences(
    pictures: npt.NDArray[np.uint8],
    target: Array32,
    is_known: npt.NDArray[np.bool_],
    background: Array32,
    colors: Array32,
    n_blurs: int,
    softness: int,
    box: npt.NDArray[np.int64],
    out: Array32,
    line: Array32,
) -> None:
    """
    Computes how a picture differs from the first of several drawn ones, and how those differ from the first.

    :param pictures: Drawn ones with coverage, shape (n, height, width, 4)
    :param target: The picture, shape (height, width, 3)
    :param is_known: Which of its pixels are known, shape (height, width); others count as explained
    :param background: Shape (height, width, 3)
    :param colors: What becomes of drawn colours, shape (3, 4)
    :param n_blurs: How often all of it is blurred, by a quarter, a half, a quarter along both sides
    :param softness: How often the drawn ones are blurred besides
    :param box: First and last row, first and last column that is looked at, the last exclusive
    :param out: Written to, shape (n + 1, rows, columns, 3): the difference from the picture, those of the others from the
        first, and what is not explained where nothing is drawn
    :param line: Scratch, shape (at least the larger of rows and columns,)
    """
    top, bottom, left, right = box[0], box[1], box[2], box[3]
    n, rows, columns = len(pictures), bottom - top, right - left
    for j in range(rows):
        for i in range(columns):
            first = pictures[0, top + j, left + i]
            for channel in range(3):
                behind = background[top + j, left + i, channel]
                nothing = min(behind, BRIGHTEST)
                out[0, j, i, channel] = nothing - _shown(first, colors[channel], behind)
                out[n, j, i, channel] = target[top + j, left + i, channel] - nothing
    for index in range(1, n):
        _change(pictures[0], pictures[index], background, colors, box, out[index])
    for index in range(n):
        for _ in range(softness):
            _blur(out[index], line)
    _add_and_mask(out, is_known, top, left)
    for index in range(n + 1):
        for _ in range(n_blurs):
            _blur(out[index], line)


@jit
def _add_and_mask(out: Array32, is_known: npt.NDArray[np.bool_], top: int, left: int) -> None:
    """Adds the last of several pictures to the first, and makes all of them zero where nothing is known."""
    last = len(out) - 1
    for j in range(out.shape[1]):
        for i in range(out.shape[2]):
            for channel in range(3):
                out[0, j, i, channel] += out[last, j, i, channel]
            if not is_known[top + j, left + i]:
                for index in range(last + 1):
                    for channel in range(3):
                        out[index, j, i, channel] = 0


@jit
def _change(
    first_picture: npt.NDArray[np.uint8],
    other_picture: npt.NDArray[np.uint8],
    background: Array32,
    colors: Array32,
    box: npt.NDArray[np.int64],
    out: Array32,
) -> None:
    """Computes how one drawn picture differs from another, as :func:`differences` does."""
    top, bottom, left, right = box[0], box[1], box[2], box[3]
    for j in range(bottom - top):
        for i in range(right - left):
            first, other = first_picture[top + j, left + i], other_picture[top + j, left + i]
            if first[0] == other[0] and first[1] == other[1] and first[2] == other[2] and first[3] == other[3]:
                out[j, i, 0] = out[j, i, 1] = out[j, i, 2] = 0
                continue
            for channel in range(3):
                behind = background[top + j, left + i, channel]
                out[j, i, channel] = _shown(other, colors[channel], behind) - _shown(first, colors[channel], behind)


@jit
def _shown(drawn: npt.NDArray[np.uint8], colors: Array32, behind: np.float32) -> np.float32:
    """Returns what becomes of a drawn colour before another: no picture is brighter than white or darker than black."""
    mixed = colors[0] * drawn[0] + colors[1] * drawn[1] + colors[2] * drawn[2] + colors[3] * drawn[3]
    seen = mixed + (np.float32(1) - np.float32(drawn[3]) * np.float32(1 / 255)) * behind
    return min(max(seen, np.float32(0)), BRIGHTEST)


@jit
def _blur(plane: Array32, line: Array32) -> None:
    """Blurs a picture of shape (rows, columns, 3) in place, by a quarter, a half and a quarter along both sides."""
    rows, columns, _ = plane.shape
    quarter, half = np.float32(0.25), np.float32(0.5)
    for j in range(rows):
        for channel in range(3):
            before = plane[j, 0, channel]
            for i in range(columns):
                own = plane[j, i, channel]
                after = plane[j, i + 1, channel] if i + 1 < columns else own
                plane[j, i, channel] = quarter * (before + after) + half * own
                before = own
    for i in range(columns):
        for channel in range(3):
            line[3 * i + channel] = plane[0, i, channel]
    for j in range(rows):
        for i in range(columns):
            for channel in range(3):
                own = plane[j, i, channel]
                after = plane[j + 1, i, channel] if j + 1 < rows else own
                plane[j, i, channel] = quarter * (line[3 * i + channel] + after) + half * own
                line[3 * i + channel] = own


@jit
def blur(plane: Array32, n_times: int) -> None:
    """
    Blurs a picture in place.

    :param plane: Shape (rows, columns, 3)
    :param n_times: So often, by a quarter, a half and a quarter along both sides
    """
    line = np.empty(3 * max(plane.shape[0], plane.shape[1]), np.float32)
    for _ in range(n_times):
        _blur(plane, line)


@jit
def weigh(
    drawn: npt.NDArray[np.uint8],
    is_known: npt.NDArray[np.bool_],
    box: npt.NDArray[np.int64],
    unexplained: Array32,
    empty: Array32,
    robot_noise: float,
    background_noise: float,
    cutoff: float,
    weights: Array32,
) -> tuple[float, float]:
    """
    Decides how far each pixel is believed, and how much worse the picture is explained than without a robot.

    :param drawn: The robot, with coverage, shape (height, width, 4)
    :param is_known: Which pixels are part of the picture, shape (height, width)
    :param box: As of :func:`differences`
    :param unexplained: The difference between the picture and what was drawn, shape (rows, columns, 3)
    :param empty: The same where nothing is drawn, shape (rows, columns, 3)
    :param robot_noise: Standard deviation of the robot's pixels
    :param background_noise: Standard deviation of the background's
    :param cutoff: From about this many levels on a pixel is not believed
    :param weights: Square roots of weights, written to, shape (rows, columns)
    :return: The cost, relative to that of an empty picture; and the sum of the squares of the believed part
    """
    cost, rest = 0.0, 0.0
    # Of the robot's own pixels nothing is taken off
    behind = min(robot_noise / background_noise, 1.0) ** 2
    rows, columns = weights.shape
    for j in range(rows):
        for i in range(columns):
            if not is_known[box[0] + j, box[2] + i]:
                weights[j, i] = 0
                continue
            a = drawn[box[0] + j, box[2] + i, 3] / 255.0
            share = 1 / (a * a + (1 - a) * (1 - a) / behind) if 0 < a < 1 else (1.0 if a > 0 else behind)
            share = min(share, 1.0)
            e = unexplained[j, i, 0] ** 2 + unexplained[j, i, 1] ** 2 + unexplained[j, i, 2] ** 2
            e0 = empty[j, i, 0] ** 2 + empty[j, i, 1] ** 2 + empty[j, i, 2] ** 2
            scale = 3 * cutoff * cutoff / share
            bottom = 1 / (1 + e / scale)
            # Geman and McClure's
            weights[j, i] = np.sqrt(share) * bottom
            cost += share * e * bottom - behind * e0 / (1 + e0 * behind / (3 * cutoff * cutoff))
            rest += share * e * bottom * bottom
    return cost, rest


@jit
def moments_of(
    drawn: npt.NDArray[np.uint8],
    target: Array32,
    background: Array32,
    weights: Array32,
    box: npt.NDArray[np.int64],
    out: FloatArray,
) -> None:
    """
    Sums up the products of drawn red, green, blue and coverage, and the red, green and blue that the robot shows, each in
    [0, 1], of all pixels that the robot covers.

    :param drawn: Shape (height, width, 4)
    :param target: Shape (height, width, 3)
    :param background: Shape (height, width, 3)
    :param weights: Square roots of weights of the pixels in the box
    :param box: As of :func:`differences`
    :param out: Written to, shape (7, 7)
    """
    for row in range(7):
        for column in range(7):
            out[row, column] = 0
    values = np.empty(7)
    for j in range(box[0], box[1]):
        for i in range(box[2], box[3]):
            if drawn[j, i, 3] == 0:
                continue
            w = weights[j - box[0], i - box[2]]
            if max(target[j, i, 0], target[j, i, 1], target[j, i, 2]) >= CUT_OFF:
                # What it would be in a picture that knows brighter than white is not known
                w *= 0.1
            a = drawn[j, i, 3] / 255.0
            for channel in range(3):
                values[channel] = drawn[j, i, channel] / 255.0
                values[4 + channel] = (target[j, i, channel] - (1 - a) * background[j, i, channel]) / 255.0
            values[3] = a
            for row in range(7):
                for column in range(row, 7):
                    out[row, column] += w * w * values[row] * values[column]
    for row in range(7):
        for column in range(row):
            out[row, column] = out[column, row]


@jit
def light_of(moments: FloatArray, colors: FloatArray) -> tuple[float, float]:
    """
    Finds brightness and contrast of each colour, and how grey a picture is.

    :param moments: As of :func:`moments_of`, shape (7, 7)
    :param colors: What becomes of drawn colours, shape (3, 4); written to
    :return: The sum of squares that is left; and by how much brighter it is where drawn colours are
    """
    best, contrast, trial = np.inf, 1.0, np.empty((3, 4))
    aa = moments[3, 3]
    for saturation in SATURATIONS:
        error, slopes = 0.0, 0.0
        for channel in range(3):
            mixed = trial[channel]
            for other in range(3):
                mixed[other] = (1 - saturation) * LUMINANCE[other] + (saturation if other == channel else 0.0)
            cc, ca, ct = 0.0, 0.0, 0.0
            for row in range(3):
                ca += mixed[row] * moments[row, 3]
                ct += mixed[row] * moments[row, 4 + channel]
                for column in range(3):
                    cc += mixed[row] * mixed[column] * moments[row, column]
            at, tt = moments[3, 4 + channel], moments[4 + channel, 4 + channel]
            # A little is known beforehand: colours are as drawn
            cc_, aa_, ct_ = cc + 1e-3 * aa, 1.001 * aa, ct + 1e-3 * aa
            gain = (ct_ * aa_ - ca * at) / (cc_ * aa_ - ca * ca)
            slopes += gain / 3
            gain = min(max(gain, LEAST_GAIN), LARGEST_GAIN)
            offset = (at - ca * gain) / aa_
            error += tt - 2 * gain * ct - 2 * offset * at + gain * gain * cc + 2 * gain * offset * ca + offset * offset * aa
            for row in range(3):
                mixed[row] *= gain
            mixed[3] = offset
        if error < LESS * best:
            best, contrast = error, slopes
            for channel in range(3):
                for row in range(4):
                    colors[channel, row] = trial[channel, row]
    return best, contrast


@jit
def explained(
    coverage: npt.NDArray[np.uint8],
    is_known: npt.NDArray[np.bool_],
    unexplained: Array32,
    empty: Array32,
    cutoff: float,
) -> tuple[float, float, float, float, float]:
    """
    Sums up what a robot explains of a picture. Each pixel counts from 0, explained, to 1, quite different.

    :param coverage: Where the robot is, shape (rows, columns)
    :param is_known: Which pixels are part of the picture, shape (rows, columns)
    :param unexplained: The difference between the picture and what was drawn, shape (rows, columns, 3)
    :param empty: The same where nothing is drawn, shape (rows, columns, 3)
    :param cutoff: Pixels that differ by so many levels count one half
    :return: The number of pixels that the robot covers; how many of these it does not explain, and how many would not be
        explained without it; how many others are not explained; and how many it would cover where the picture is not known
    """
    covered, wrong, without, others, hidden = 0.0, 0.0, 0.0, 0.0, 0.0
    scale = 3 * cutoff * cutoff
    rows, columns = coverage.shape
    for j in range(rows):
        for i in range(columns):
            a = coverage[j, i] / 255.0
            if not is_known[j, i]:
                hidden += a
                continue
            e = unexplained[j, i, 0] ** 2 + unexplained[j, i, 1] ** 2 + unexplained[j, i, 2] ** 2
            e0 = empty[j, i, 0] ** 2 + empty[j, i, 1] ** 2 + empty[j, i, 2] ** 2
            covered += a
            wrong += a * e / (e + scale)
            without += a * e0 / (e0 + scale)
            others += (1 - a) * e / (e + scale)
    return covered, wrong, without, others, hidden
