"""Changes what a camera sees around the robot, for `augmentation`: backgrounds, shadows, and what stands in front."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.jit import jit

FloatPlanes = npt.NDArray[np.float32]
State = npt.NDArray[np.uint64]

# What a background may be; its number is its place in this tuple
BACKGROUNDS = ("white", "plain", "gradient", "clouds", "blocks", "floor", "pixels")
WHITE, PLAIN, GRADIENT, CLOUDS, BLOCKS, FLOOR, PIXELS = range(len(BACKGROUNDS))

_SHIFT_12, _SHIFT_25, _SHIFT_27, _SHIFT_40 = (np.uint64(shift) for shift in (12, 25, 27, 40))
_MULTIPLIER = np.uint64(0x2545F4914F6CDD1D)


@jit
def draw_bits(state: State) -> Any:
    """
    Draws 64 random bits with xorshift64*.

    :param state: The generator's state, shape (1,), not zero; moved on
    """
    x = state[0]
    x ^= x >> _SHIFT_12
    x ^= x << _SHIFT_25
    x ^= x >> _SHIFT_27
    state[0] = x
    return x * _MULTIPLIER


@jit
def draw(state: State, low: float, high: float) -> float:
    """Draws an even number between two bounds."""
    return low + (high - low) * (1.0 / 16777216.0) * float(draw_bits(state) >> _SHIFT_40)


@jit
def draw_colour(state: State, colour: FloatPlanes) -> None:
    """Draws a colour in 0..255 into an array of the channels; two of five are greys."""
    grey, is_grey = draw(state, 0.0, 255.0), draw(state, 0.0, 1.0) < 0.4
    for channel in range(len(colour)):
        colour[channel] = grey if is_grey else draw(state, 0.0, 255.0)


@jit
def draw_gradient(planes: FloatPlanes, state: State) -> None:
    """Fills a picture, shape (channels, height, width), with two colours that run into each other along a line."""
    n_channels, height, width = planes.shape
    first, second = np.empty(n_channels, np.float32), np.empty(n_channels, np.float32)
    draw_colour(state, first)
    draw_colour(state, second)
    angle = draw(state, 0.0, 2.0 * math.pi)
    length = draw(state, 0.5, 1.2)
    across, down = math.cos(angle) / (length * width), math.sin(angle) / (length * height)
    for y in range(height):
        for x in range(width):
            share = np.float32(min(max(0.5 + across * (x - 0.5 * width) + down * (y - 0.5 * height), 0.0), 1.0))
            for channel in range(n_channels):
                planes[channel, y, x] = first[channel] + share * (second[channel] - first[channel])


@jit
def draw_clouds(planes: FloatPlanes, state: State) -> None:
    """Fills a picture with random colours on a coarse grid, smooth in between."""
    n_channels, height, width = planes.shape
    n_cells = int(draw(state, 2.0, 9.0))
    knots = np.empty((n_cells + 1, n_cells + 1), np.float32)
    columns, shares = np.empty(width, np.int64), np.empty(width, np.float32)
    for x in range(width):
        place = x * n_cells / width
        columns[x] = int(place)
        shares[x] = place - int(place)
    centre, spread = np.empty(n_channels, np.float32), draw(state, 20.0, 127.0)
    draw_colour(state, centre)
    left = np.empty(n_cells + 1, np.float32)
    for channel in range(n_channels):
        for row in range(n_cells + 1):
            for column in range(n_cells + 1):
                knots[row, column] = min(max(centre[channel] + draw(state, -spread, spread), 0.0), 255.0)
        for y in range(height):
            place = y * n_cells / height
            row = int(place)
            share = np.float32(place - row)
            for column in range(n_cells + 1):
                left[column] = knots[row, column] + share * (knots[row + 1, column] - knots[row, column])
            for x in range(width):
                column = columns[x]
                planes[channel, y, x] = left[column] + shares[x] * (left[column + 1] - left[column])


@jit
def draw_blocks(planes: FloatPlanes, state: State) -> None:
    """Fills a picture with rectangles of random colours, or with a checker of two colours."""
    n_channels, height, width = planes.shape
    across, down = draw(state, 3.0, 0.4 * width), draw(state, 3.0, 0.4 * height)
    left, top = draw(state, 0.0, across), draw(state, 0.0, down)
    is_checker = draw(state, 0.0, 1.0) < 0.5
    n_columns, n_rows = int((width + left) / across) + 1, int((height + top) / down) + 1
    n_colours = 2 if is_checker else n_rows * n_columns
    colours = np.empty((n_colours, n_channels), np.float32)
    for k in range(n_colours):
        draw_colour(state, colours[k])
    for y in range(height):
        row = int((y + top) / down)
        for x in range(width):
            column = int((x + left) / across)
            k = (row + column) % 2 if is_checker else row * n_columns + column
            for channel in range(n_channels):
                planes[channel, y, x] = colours[k, channel]


@jit
def draw_floor(planes: FloatPlanes, state: State) -> None:
    """Fills a picture with a plain wall, and below a horizon with a checkered floor in perspective."""
    n_channels, height, width = planes.shape
    wall, even, odd = np.empty(n_channels, np.float32), np.empty(n_channels, np.float32), np.empty(n_channels, np.float32)
    draw_colour(state, wall)
    draw_colour(state, even)
    draw_colour(state, odd)
    horizon = draw(state, -0.2, 0.8) * height
    turn = draw(state, 0.0, 0.5 * math.pi)
    cos, sin = math.cos(turn), math.sin(turn)
    n_tiles = draw(state, 1.5, 6.0)
    middle = draw(state, 0.2, 0.8) * width
    along = draw(state, 0.0, 2.0)
    for y in range(height):
        below = y + 0.5 - horizon
        if below <= 0.0:
            for channel in range(n_channels):
                for x in range(width):
                    planes[channel, y, x] = wall[channel]
            continue
        depth = height / below
        tile_of_pixel = n_tiles * depth / width
        # Far tiles, smaller than a pixel, run into one colour instead of flickering
        contrast = np.float32(min(max(1.5 - 1.5 * tile_of_pixel * max(1.0, depth * 0.3), 0.0), 1.0))
        for x in range(width):
            side = (x - middle) * tile_of_pixel
            ahead = n_tiles * depth + along
            place = math.floor(cos * side - sin * ahead) + math.floor(sin * side + cos * ahead)
            share = np.float32(0.5) + contrast * np.float32(0.5 if int(place) & 1 else -0.5)
            for channel in range(n_channels):
                planes[channel, y, x] = even[channel] + share * (odd[channel] - even[channel])


@jit
def draw_pixels(planes: FloatPlanes, state: State) -> None:
    """Fills a picture with random numbers, each pixel and channel on its own."""
    flat = planes.ravel()
    scale = np.float32(255.0 / 65535.0)
    for start in range(0, len(flat), 4):
        bits = draw_bits(state)
        for k in range(start, min(start + 4, len(flat))):
            flat[k] = scale * np.float32(bits & np.uint64(0xFFFF))
            bits >>= np.uint64(16)


@jit
def draw_background(planes: FloatPlanes, kind: int, state: State) -> None:
    """
    Fills a picture with a background.

    :param planes: What to fill, shape (channels, height, width), in 0..255
    :param kind: Place in `BACKGROUNDS`
    :param state: Random numbers
    """
    if kind == GRADIENT:
        draw_gradient(planes, state)
    elif kind == CLOUDS:
        draw_clouds(planes, state)
    elif kind == BLOCKS:
        draw_blocks(planes, state)
    elif kind == FLOOR:
        draw_floor(planes, state)
    elif kind == PIXELS:
        draw_pixels(planes, state)
    else:
        colour = np.empty(planes.shape[0], np.float32)
        draw_colour(state, colour)
        n_channels, height, width = planes.shape
        for channel in range(n_channels):
            for y in range(height):
                for x in range(width):
                    planes[channel, y, x] = colour[channel] if kind == PLAIN else np.float32(255.0)


@jit
def blend_ghost(planes: FloatPlanes, other: npt.NDArray[np.uint8], strength: float) -> None:
    """Lets another picture, washed out, show through a background."""
    keep, add = np.float32(1.0 - strength), np.float32(strength)
    n_channels, height, width = planes.shape
    for channel in range(n_channels):
        for y in range(height):
            for x in range(width):
                planes[channel, y, x] = keep * planes[channel, y, x] + add * np.float32(other[channel, y, x])


@jit
def cast_shadows(planes: FloatPlanes, state: State, darkest: float) -> None:
    """
    Darkens a background by one to three soft blobs.

    :param planes: Background, shape (channels, height, width)
    :param state: Random numbers
    :param darkest: The share of its light that the middle of a blob loses at most
    """
    n_channels, height, width = planes.shape
    for _ in range(int(draw(state, 1.0, 4.0))):
        strength = np.float32(draw(state, 0.2 * darkest, darkest))
        x_middle, y_middle = draw(state, 0.0, width), draw(state, 0.0, height)
        across, down = draw(state, 0.05, 0.35) * width, draw(state, 0.05, 0.35) * height
        sharpness = draw(state, 1.0, 4.0)
        for y in range(height):
            far_y = ((y - y_middle) / down) ** 2
            for x in range(width):
                far = far_y + ((x - x_middle) / across) ** 2
                if far < 1.0:
                    light = np.float32(1.0) - strength * np.float32(min(1.0, sharpness * (1.0 - far) * (1.0 - far)))
                    for channel in range(n_channels):
                        planes[channel, y, x] *= light


@jit
def put_in_front(planes: FloatPlanes, state: State, largest: float) -> None:
    """
    Hides a part of a picture behind a bar (upright, flat or slanted) or a blob, of a plain or a noisy colour.

    :param planes: Picture, shape (channels, height, width)
    :param state: Random numbers
    :param largest: Share of the picture that is hidden at most
    """
    n_channels, height, width = planes.shape
    share = draw(state, 0.15 * largest, largest)
    form = draw(state, 0.0, 1.0)
    angle = 0.0 if form < 0.3 else 0.5 * math.pi if form < 0.6 else draw(state, 0.0, math.pi)
    is_blob = form > 0.8
    cos, sin = math.cos(angle), math.sin(angle)
    x_middle, y_middle = draw(state, 0.0, width), draw(state, 0.0, height)
    half = 0.5 * share * (abs(cos) * width + abs(sin) * height)
    across = math.sqrt(share * width * height / math.pi)
    stretch = draw(state, 0.6, 1.6)
    colour = np.empty(n_channels, np.float32)
    draw_colour(state, colour)
    grain = np.float32(draw(state, 10.0, 120.0) if draw(state, 0.0, 1.0) < 0.3 else 0.0)
    for y in range(height):
        for x in range(width):
            right, low = cos * (x - x_middle) + sin * (y - y_middle), cos * (y - y_middle) - sin * (x - x_middle)
            inside = half - abs(right)
            if is_blob:
                inside = across - math.sqrt((right * stretch) ** 2 + (low / stretch) ** 2)
            # Half a pixel's edge, as a camera would see it
            if inside > -0.5:
                cover = np.float32(min(inside + 0.5, 1.0))
                speck = grain * np.float32(draw(state, -1.0, 1.0)) if grain > 0.0 else np.float32(0.0)
                for channel in range(n_channels):
                    planes[channel, y, x] += cover * (colour[channel] + speck - planes[channel, y, x])
