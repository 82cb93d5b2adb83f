"""Changes a batch of pictures, for `augmentation`: draws for each picture what happens to it."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.jit import jit
from sb3_mimic.translator.augmented_camera import (
    add_noise,
    blur,
    change_colours,
    change_gamma,
    change_light,
    colour_matrix,
    compress,
    draw_factors,
    resize,
)
from sb3_mimic.translator.augmented_scene import (
    FloatPlanes,
    State,
    blend_ghost,
    cast_shadows,
    draw,
    draw_background,
    put_in_front,
)

Images = npt.NDArray[np.uint8]


@jit
def _happens(state: State, probability: float) -> bool:
    """Draws whether something happens."""
    return draw(state, 0.0, 1.0) < probability


@jit
def _joins(state: State, calm: float, probability: float) -> bool:
    """
    Draws whether something happens, so that it comes with other such things rather than alone.

    :param state: Random numbers
    :param calm: From 0 to 1, drawn evenly once for all such things; the greater, the less happens
    :param probability: Over all pictures
    """
    total = calm + draw(state, 0.0, 1.0)
    # The share of such sums that are smaller
    smaller = 0.5 * total * total if total < 1.0 else 1.0 - 0.5 * (2.0 - total) * (2.0 - total)
    return smaller < probability


@jit
def _change_scene(
    planes: FloatPlanes, images: Images, k: int, coverage: Images, kinds: Any, settings: Any, calm: float, state: State
) -> None:
    """
    Puts something behind and in front of the robot.

    :param planes: Changed picture, shape (channels, height, width); written to
    :param images: All pictures, shape (n, channels, height, width)
    :param k: Which one of them this is
    :param coverage: How much of each of its pixels the robot covers, shape (height, width)
    :param kinds: Backgrounds to choose from
    :param settings: The augmentation's settings
    :param calm: From 0, changed in many ways, to 1, in few
    :param state: Random numbers
    """
    n_channels, height, width = planes.shape
    has_background = _happens(state, settings.background_probability)
    has_ghost = _joins(state, calm, settings.ghost_probability)
    has_shadow = _joins(state, calm, settings.shadow_probability)
    if has_background or has_ghost or has_shadow:
        kind = kinds[int(draw(state, 0.0, len(kinds)))] if has_background else 0
        draw_background(planes, kind, state)
        if has_ghost:
            other = int(draw(state, 0.0, len(images)))
            blend_ghost(planes, images[other], draw(state, settings.ghost[0], settings.ghost[1]))
        if has_shadow:
            cast_shadows(planes, state, settings.shadow)
        for channel in range(n_channels):
            for y in range(height):
                for x in range(width):
                    # What the white background gave to the edges leaves with it
                    white = np.float32(255 - coverage[y, x])
                    robot = max(np.float32(images[k, channel, y, x]) - white, np.float32(0.0))
                    planes[channel, y, x] = robot + white * np.float32(1.0 / 255.0) * planes[channel, y, x]
    else:
        for channel in range(n_channels):
            for y in range(height):
                for x in range(width):
                    planes[channel, y, x] = images[k, channel, y, x]
    if _joins(state, calm, settings.occlusion_probability):
        put_in_front(planes, state, settings.occlusion)


@jit
def _change_camera(planes: FloatPlanes, settings: Any, calm: float, state: State) -> None:
    """
    Takes the picture in another light, and with a worse camera.

    :param planes: Picture, shape (channels, height, width); written to
    :param settings: The augmentation's settings
    :param calm: From 0, changed in many ways, to 1, in few
    :param state: Random numbers
    """
    n_channels, height, width = planes.shape
    has_colours, has_greys = (
        _joins(state, calm, settings.colour_probability),
        _joins(state, calm, settings.grey_probability),
    )
    if n_channels == 3 and (has_colours or has_greys):
        spread, turn = (settings.white_balance, draw(state, -settings.hue, settings.hue)) if has_colours else (0.0, 0.0)
        greyness = min(draw(state, 0.0, 2.0), 1.0) if has_greys else 0.0
        change_colours(planes, colour_matrix(draw_factors(state, spread), greyness, turn))
    if _joins(state, calm, settings.light_probability):
        contrast = draw(state, settings.contrast[0], settings.contrast[1])
        gain = draw(state, settings.gain[0], settings.gain[1])
        # Some lights are even: these are the ones that a reader is tried on
        slope = max(draw(state, -settings.light, settings.light), 0.0)
        offset = draw(state, settings.offset[0], settings.offset[1]) if _happens(state, 0.5) else 0.0
        if _happens(state, 0.5):
            offset += 128.0 * (1.0 - contrast)
            gain *= contrast
        change_light(planes, gain, offset, slope, draw(state, 0.0, 2.0 * math.pi))
    if _joins(state, calm, settings.gamma_probability):
        change_gamma(planes, draw(state, settings.gamma[0], settings.gamma[1]))
    if _joins(state, calm, settings.resampling_probability):
        share = draw(state, settings.resampling[0], settings.resampling[1])
        small = np.empty((n_channels, max(2, int(share * height)), max(2, int(share * width))), np.float32)
        resize(planes, small)
        resize(small, planes)
    if _joins(state, calm, settings.blur_probability):
        blur(planes, draw(state, settings.blur[0], settings.blur[1]))
    if _joins(state, calm, settings.noise_probability):
        add_noise(planes, draw(state, settings.noise[0], settings.noise[1]), state)
    if _joins(state, calm, settings.jpeg_probability):
        flat = planes.ravel()
        for k in range(len(flat)):
            flat[k] = min(max(flat[k], np.float32(0.0)), np.float32(255.0))
        compress(planes, draw(state, settings.jpeg[0], settings.jpeg[1]))


@jit
def augment(images: Images, coverage: Images, seeds: State, kinds: Any, settings: Any, changed: Images) -> None:
    """
    Changes each picture of a batch.

    :param images: Shape (n, channels, height, width)
    :param coverage: How much of each pixel the robot covers, in 0..255, shape (n, height, width)
    :param seeds: Begin each picture's random numbers, shape (n,)
    :param kinds: Backgrounds to choose from
    :param settings: The augmentation's settings
    :param changed: Written to, shape (n, channels, height, width)
    """
    n_pictures, n_channels, height, width = images.shape
    planes = np.empty((n_channels, height, width), np.float32)
    for k in range(n_pictures):
        state = seeds[k : k + 1]
        if _happens(state, settings.untouched):
            for channel in range(n_channels):
                for y in range(height):
                    for x in range(width):
                        changed[k, channel, y, x] = images[k, channel, y, x]
            continue
        # Readers learn the most from pictures that are changed in one way, and from some that are in many
        calm = draw(state, 0.0, 1.0)
        _change_scene(planes, images, k, coverage[k], kinds, settings, calm, state)
        _change_camera(planes, settings, calm, state)
        for channel in range(n_channels):
            for y in range(height):
                for x in range(width):
                    bounded = min(max(planes[channel, y, x], np.float32(0.0)), np.float32(255.0))
                    changed[k, channel, y, x] = np.uint8(bounded + np.float32(0.5))
