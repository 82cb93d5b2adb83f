"""Changes how a camera takes a picture, for `augmentation`: light, colours, blur, noise, resampling, JPEG."""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from sb3_mimic.jit import jit
from sb3_mimic.translator.augmented_scene import FloatPlanes, State, draw, draw_bits

# How much of each channel a grey has, and how much of each an other colour difference (ITU-R BT.601)
RED, GREEN, BLUE = 0.299, 0.587, 0.114
_GREYS = (RED, GREEN, BLUE)

# Steps that JPEG rounds to at quality 50 (annex K of its standard)
_LUMA_STEPS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_CHROMA_STEPS = np.full((8, 8), 99, np.float32)
_CHROMA_STEPS[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_COSINES = np.array(
    [[math.sqrt((1 if u == 0 else 2) / 8) * math.cos((2 * x + 1) * u * math.pi / 16) for x in range(8)] for u in range(8)],
    np.float32,
)
_INVERSE_COSINES = np.ascontiguousarray(_COSINES.T)
# Numbers that are each as likely as the others and together as a Gaussian's: a random place among them is a random number
_GAUSSIANS = np.array([NormalDist().inv_cdf((k + 0.5) / 4096) for k in range(4096)], np.float32)


@jit
def colour_matrix(white_balance: FloatPlanes, desaturation: float, turn: float) -> FloatPlanes:
    """
    Makes the matrix that changes colours.

    :param white_balance: Factor of each of the three channels
    :param desaturation: From 0, as it is, to 1, grey
    :param turn: Turn of the hue, in rad
    :return: Matrix, shape (3, 3)
    """
    matrix = np.empty((3, 3), np.float32)
    cos, sin = math.cos(turn), math.sin(turn) / math.sqrt(3.0)
    for row in range(3):
        for column in range(3):
            # A turn around the greys
            turned = (1.0 - cos) / 3.0 + (cos if row == column else sin if (column - row) % 3 == 2 else -sin)
            matrix[row, column] = (1.0 - desaturation) * turned + desaturation * _GREYS[column]
        for column in range(3):
            matrix[row, column] *= white_balance[row]
    return matrix


@jit
def change_colours(planes: FloatPlanes, matrix: FloatPlanes) -> None:
    """Multiplies the channels of each pixel by a matrix of shape (3, 3)."""
    height, width = planes.shape[1:]
    for y in range(height):
        for x in range(width):
            red, green, blue = planes[0, y, x], planes[1, y, x], planes[2, y, x]
            planes[0, y, x] = matrix[0, 0] * red + matrix[0, 1] * green + matrix[0, 2] * blue
            planes[1, y, x] = matrix[1, 0] * red + matrix[1, 1] * green + matrix[1, 2] * blue
            planes[2, y, x] = matrix[2, 0] * red + matrix[2, 1] * green + matrix[2, 2] * blue


@jit
def change_light(planes: FloatPlanes, gain: float, offset: float, slope: float, angle: float) -> None:
    """
    Multiplies a picture by a light that grows along a direction, and adds to it.

    :param planes: Picture, shape (channels, height, width)
    :param gain: Factor in the middle of the picture
    :param offset: What is added, of 255
    :param slope: The share of the gain that the light grows by from the middle to a border
    :param angle: Where to it grows, in rad
    """
    n_channels, height, width = planes.shape
    across, down = 2.0 * slope * math.cos(angle) / width, 2.0 * slope * math.sin(angle) / height
    add = np.float32(offset)
    for y in range(height):
        start = np.float32(gain * (1.0 + down * (y + 0.5 - 0.5 * height) + across * (0.5 - 0.5 * width)))
        step = np.float32(gain * across)
        for channel in range(n_channels):
            for x in range(width):
                planes[channel, y, x] = planes[channel, y, x] * (start + step * np.float32(x)) + add


@jit
def change_gamma(planes: FloatPlanes, gamma: float) -> None:
    """Raises brightnesses, as shares of 255, to a power; those outside of 0..255 are cut off."""
    powers = np.empty(66, np.float32)
    for k in range(65):
        powers[k] = 255.0 * (k / 64.0) ** gamma
    powers[65] = powers[64]
    flat = planes.ravel()
    for k in range(len(flat)):
        place = min(max(flat[k], np.float32(0.0)), np.float32(255.0)) * np.float32(64.0 / 255.0)
        below = int(place)
        flat[k] = powers[below] + (place - np.float32(below)) * (powers[below + 1] - powers[below])


@jit
def _weigh(lines: FloatPlanes, taps: FloatPlanes, is_upright: bool, blurred: FloatPlanes) -> None:
    """Sums neighbours in rows, or in columns, of a plane that is wider, or higher, than the blurred one."""
    height, width = blurred.shape
    for y in range(height):
        for x in range(width):
            blurred[y, x] = taps[0] * lines[y, x]
        for k in range(1, len(taps)):
            down, right = (k, 0) if is_upright else (0, k)
            for x in range(width):
                blurred[y, x] += taps[k] * lines[y + down, x + right]


@jit
def blur(planes: FloatPlanes, sigma: float) -> None:
    """Blurs a picture with a Gaussian whose standard deviation is given in pixels; borders are continued."""
    n_channels, height, width = planes.shape
    radius = math.ceil(2.5 * sigma)
    taps = np.empty(2 * radius + 1, np.float32)
    total = 0.0
    for k in range(len(taps)):
        total += math.exp(-0.5 * ((k - radius) / sigma) ** 2)
    for k in range(len(taps)):
        taps[k] = math.exp(-0.5 * ((k - radius) / sigma) ** 2) / total
    wide = np.empty((height + 2 * radius, width + 2 * radius), np.float32)
    high = np.empty((height + 2 * radius, width), np.float32)
    for channel in range(n_channels):
        for y in range(height + 2 * radius):
            row = min(max(y - radius, 0), height - 1)
            for x in range(width + 2 * radius):
                wide[y, x] = planes[channel, row, min(max(x - radius, 0), width - 1)]
        _weigh(wide, taps, False, high)
        _weigh(high, taps, True, planes[channel])


@jit
def sampling(n_in: int, n_out: int) -> tuple[npt.NDArray[np.int64], FloatPlanes]:
    """Finds the left one of the two pixels that each new one lies between, and the share of the right one."""
    lefts, shares = np.empty(n_out, np.int64), np.empty(n_out, np.float32)
    for k in range(n_out):
        place = min(max((k + 0.5) * n_in / n_out - 0.5, 0.0), n_in - 1.001)
        lefts[k] = int(place)
        shares[k] = place - int(place)
    return lefts, shares


@jit
def resize(planes: FloatPlanes, resized: FloatPlanes) -> None:
    """Resizes a picture of at least two by two pixels, linearly between pixels."""
    n_channels, height, width = planes.shape
    new_height, new_width = resized.shape[1:]
    tops, downs = sampling(height, new_height)
    lefts, rights = sampling(width, new_width)
    line = np.empty(width, np.float32)
    for channel in range(n_channels):
        for y in range(new_height):
            top, down = tops[y], downs[y]
            for x in range(width):
                line[x] = planes[channel, top, x] + down * (planes[channel, top + 1, x] - planes[channel, top, x])
            for x in range(new_width):
                left = lefts[x]
                resized[channel, y, x] = line[left] + rights[x] * (line[left + 1] - line[left])


@jit
def add_noise(planes: FloatPlanes, sigma: float, state: State) -> None:
    """Adds Gaussian noise of a standard deviation, of 255, to each number."""
    flat = planes.ravel()
    scale = np.float32(sigma)
    for start in range(0, len(flat), 5):
        bits = draw_bits(state)
        for k in range(start, min(start + 5, len(flat))):
            flat[k] += scale * _GAUSSIANS[bits & np.uint64(4095)]
            bits >>= np.uint64(12)


@jit
def _transform_columns(plane: FloatPlanes, cosines: FloatPlanes, changed: FloatPlanes) -> None:
    """Multiplies each eight rows of a plane by a matrix of shape (8, 8)."""
    height, width = plane.shape
    for top in range(0, height, 8):
        rows = plane[top : top + 8]
        for u in range(8):
            c, line = cosines[u], changed[top + u]
            # Written out: the compiler then does several columns at once
            for x in range(width):
                line[x] = (
                    (c[0] * rows[0, x] + c[1] * rows[1, x])
                    + (c[2] * rows[2, x] + c[3] * rows[3, x])
                    + ((c[4] * rows[4, x] + c[5] * rows[5, x]) + (c[6] * rows[6, x] + c[7] * rows[7, x]))
                )


@jit
def _turn(plane: FloatPlanes, turned: FloatPlanes) -> None:
    """Makes columns of rows."""
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            turned[x, y] = plane[y, x]


@jit
def _round_blocks(plane: FloatPlanes, steps: FloatPlanes, scale: float) -> None:
    """Rounds the cosine transform of each block of 8 x 8 to scaled steps; sides are multiples of 8."""
    height, width = plane.shape
    changed, turned, whole = np.empty_like(plane), np.empty((width, height), np.float32), np.empty((width, height), np.float32)
    _transform_columns(plane, _COSINES, changed)
    _turn(changed, turned)
    _transform_columns(turned, _COSINES, whole)
    row_steps = np.empty(height, np.float32)
    for x in range(width):
        for y in range(height):
            row_steps[y] = max(math.floor(steps[y % 8, x % 8] * scale + np.float32(0.5)), 1.0)
        for y in range(height):
            whole[x, y] = np.floor(whole[x, y] / row_steps[y] + np.float32(0.5)) * row_steps[y]
    _transform_columns(whole, _INVERSE_COSINES, turned)
    _turn(turned, changed)
    _transform_columns(changed, _INVERSE_COSINES, plane)


@jit
def compress(planes: FloatPlanes, quality: float) -> None:
    """
    Gives a picture the artefacts of JPEG: blocks of rounded cosines, and colours at half the resolution.

    :param planes: Picture, shape (1 or 3, height, width), in 0..255
    :param quality: From 1 to 99, as the libraries count it
    """
    n_channels, height, width = planes.shape
    scale = 50.0 / quality if quality < 50.0 else 2.0 - quality / 50.0
    high, wide = (height + 15) // 16 * 16, (width + 15) // 16 * 16
    luma = np.empty((high, wide), np.float32)
    chroma = np.zeros((2, high // 2, wide // 2), np.float32)
    for y in range(high):
        row = min(y, height - 1)
        for x in range(wide):
            column = min(x, width - 1)
            if n_channels == 1:
                luma[y, x] = planes[0, row, column] - np.float32(128.0)
                continue
            red, green, blue = planes[0, row, column], planes[1, row, column], planes[2, row, column]
            bright = np.float32(RED) * red + np.float32(GREEN) * green + np.float32(BLUE) * blue
            luma[y, x] = bright - np.float32(128.0)
            chroma[0, y // 2, x // 2] += np.float32(0.25 * 0.5 / (1.0 - BLUE)) * (blue - bright)
            chroma[1, y // 2, x // 2] += np.float32(0.25 * 0.5 / (1.0 - RED)) * (red - bright)
    _round_blocks(luma, _LUMA_STEPS, scale)
    if n_channels == 1:
        for y in range(height):
            for x in range(width):
                planes[0, y, x] = luma[y, x] + np.float32(128.0)
        return
    _round_blocks(chroma[0], _CHROMA_STEPS, scale)
    _round_blocks(chroma[1], _CHROMA_STEPS, scale)
    # Colours are smooth between their pixels, as the common decoders have it
    colours = np.empty((2, high, wide), np.float32)
    resize(chroma, colours)
    for y in range(height):
        for x in range(width):
            bright = luma[y, x] + np.float32(128.0)
            blueness = colours[0, y, x] * np.float32(2.0 * (1.0 - BLUE))
            redness = colours[1, y, x] * np.float32(2.0 * (1.0 - RED))
            planes[0, y, x] = bright + redness
            planes[1, y, x] = bright - (np.float32(BLUE) * blueness + np.float32(RED) * redness) / np.float32(GREEN)
            planes[2, y, x] = bright + blueness


@jit
def draw_factors(state: State, spread: float) -> FloatPlanes:
    """Draws a factor for each of three channels, around one."""
    factors = np.empty(3, np.float32)
    for channel in range(3):
        factors[channel] = draw(state, 1.0 - spread, 1.0 + spread)
    return factors
