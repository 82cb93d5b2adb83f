"""
Changes the pictures that a translator learns from, so that it also reads those that were taken in another light, before
another background, or by a worse camera.
"""

import math
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.errors import InputError, ObservationSpaceError
from sb3_mimic.pictures.coverage import estimate_coverage
from sb3_mimic.pictures.spoilt_videos import put_bars
from sb3_mimic.translator.augmented_batch import augment
from sb3_mimic.translator.augmented_scene import BACKGROUNDS

Images = npt.NDArray[np.uint8]

# What the numbers of a setting lie between
LIMITS = {
    "gain": (0.0, 4.0),
    "gamma": (0.2, 5.0),
    "offset": (-255.0, 255.0),
    "contrast": (0.0, 4.0),
    "white_balance": (0.0, 0.9),
    "hue": (0.0, math.pi),
    "light": (0.0, 0.9),
    "ghost": (0.0, 1.0),
    "shadow": (0.0, 1.0),
    "occlusion": (0.0, 0.9),
    "sweep": (0.0, 0.9),
    "blur": (0.1, 10.0),
    "resampling": (0.1, 1.0),
    "noise": (0.0, 255.0),
    "jpeg": (1.0, 99.0),
}


@dataclass(frozen=True)
class Augmentation:
    """
    Changes pictures at random, each in its own way. The robot is what is not white; each pair of numbers is a range that a
    picture's own number is drawn from, and each probability is that of a picture that is changed at all. Some pictures are
    changed in few ways, others in many.

    :param untouched: Probability that a picture is left as it is
    :param background_probability: Probability of another background
    :param backgrounds: What it may be, evenly: of "white", "plain", "gradient", "clouds", "blocks", "floor", "pixels"; what is
        named twice comes twice as often
    :param ghost_probability: Probability that another picture of the batch shows through the background
    :param ghost: Strength of that other picture
    :param shadow_probability: Probability of soft dark blobs on the background
    :param shadow: The share of its light that the background loses at most
    :param occlusion_probability: Probability of a bar or a blob in front of everything
    :param occlusion: The share of the picture that it hides at most
    :param sweep_probability: Probability of bars that move across the frames of a window; single pictures have none
    :param sweep: The share of the picture that they hide at most
    :param light_probability: Probability of another light
    :param gain: Factor of the brightness
    :param offset: What is added to the brightness, of 255
    :param contrast: Factor of the difference from a middle grey
    :param light: The share of the light that it grows by from the middle to a border at most
    :param gamma_probability: Probability of another gamma
    :param gamma: Power that brightnesses are raised to
    :param colour_probability: Probability of other colours
    :param white_balance: The share that a channel's factor differs from one at most
    :param hue: Turn of the hue at most, in rad
    :param grey_probability: Probability of weaker colours; half of these are all grey
    :param resampling_probability: Probability that a picture is made smaller and large again
    :param resampling: The share of its sides that is left meanwhile
    :param blur_probability: Probability of a blur
    :param blur: Standard deviation of the Gaussian, in pixels
    :param noise_probability: Probability of noise
    :param noise: Its standard deviation, of 255
    :param jpeg_probability: Probability of the artefacts of JPEG
    :param jpeg: Its quality
    :raises InputError: When a setting is not allowed
    """

    untouched: float = 0.2
    background_probability: float = 0.7
    backgrounds: tuple[str, ...] = ("plain", "plain", "gradient", "clouds", "blocks", "floor", "pixels", "pixels")
    ghost_probability: float = 0.15
    ghost: tuple[float, float] = (0.1, 0.45)
    shadow_probability: float = 0.15
    shadow: float = 0.6
    occlusion_probability: float = 0.3
    occlusion: float = 0.25
    sweep_probability: float = 0.3
    sweep: float = 0.4
    light_probability: float = 0.45
    gain: tuple[float, float] = (0.6, 1.4)
    offset: tuple[float, float] = (-40.0, 40.0)
    contrast: tuple[float, float] = (0.7, 1.3)
    light: float = 0.35
    gamma_probability: float = 0.15
    gamma: tuple[float, float] = (0.6, 1.6)
    colour_probability: float = 0.25
    white_balance: float = 0.2
    hue: float = 0.2
    grey_probability: float = 0.25
    resampling_probability: float = 0.1
    resampling: tuple[float, float] = (0.5, 0.9)
    blur_probability: float = 0.25
    blur: tuple[float, float] = (0.3, 1.2)
    noise_probability: float = 0.25
    noise: tuple[float, float] = (1.0, 15.0)
    jpeg_probability: float = 0.25
    jpeg: tuple[float, float] = (20.0, 70.0)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "backgrounds":
                checked: object = _checked_backgrounds(value)
            elif field.name not in LIMITS:
                checked = _checked_number(field.name, value, 0.0, 1.0)
            elif isinstance(field.default, tuple):
                checked = _checked_range(field.name, value, *LIMITS[field.name])
            else:
                checked = _checked_number(field.name, value, *LIMITS[field.name])
            object.__setattr__(self, field.name, checked)

    @classmethod
    def from_settings(cls, settings: "bool | Mapping[str, Any] | Augmentation | None") -> "Augmentation | None":
        """
        Makes the augmentation that a configuration asks for.

        :param settings: Settings by name, `True` for the defaults, an augmentation, or `None` or `False` for none
        :return: The augmentation, or `None`
        :raises InputError: When a setting is unknown or not allowed
        """
        if isinstance(settings, Augmentation):
            return settings
        if settings is None or settings is False:
            return None
        if settings is True:
            return cls()
        if not isinstance(settings, Mapping):
            raise InputError(f"augmentation = {settings!r} is not allowed: give true, false, or settings by name")
        allowed = [field.name for field in fields(cls)]
        if unknown := [str(name) for name in settings if name not in allowed]:
            raise InputError(f"augmentation has no setting named {', '.join(unknown)}. Its settings are: {', '.join(allowed)}")
        return cls(**settings)

    def __call__(self, images: Images, rng: np.random.Generator, window: int = 1) -> Images:
        """
        Changes pictures.

        :param images: uint8, shape (n, 1 or 3, height, width), on white; not written to
        :param rng: Draws a seed for each picture, or each window
        :param window: So many pictures follow one another in time, and are changed in the same way
        :return: New pictures of the same shape
        :raises ObservationSpaceError: When these are no such pictures
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[2:]) < 8:
            raise ObservationSpaceError(
                f"Pictures of {images.dtype} and shape {images.shape} cannot be augmented: they need to be uint8 of shape "
                "(n, 1 or 3, height, width), of at least 8 x 8 pixels"
            )
        # Compiled code would be made anew for pictures that lie otherwise in memory, or are read only
        images = np.require(images, requirements=["C", "W"])
        seeds = rng.integers(1, 2**63 - 1, size=len(images) // window, dtype=np.uint64).repeat(window)
        changed = np.empty_like(images)
        coverage = estimate_coverage(np.minimum.reduce(images, axis=1))
        kinds = np.array([BACKGROUNDS.index(name) for name in self.backgrounds])
        settings = _Settings(*(getattr(self, name) for name in SETTINGS))
        augment(images, coverage, seeds, kinds, settings, changed)
        if window > 1:
            for start in np.flatnonzero(rng.random(len(images) // window) < self.sweep_probability) * window:
                # (time, channels, height, width) -> (time, height, width, channels)
                put_bars(changed[start : start + window].transpose(0, 2, 3, 1), rng, rng.uniform(0.0, self.sweep))
        return changed


def examples(
    images: Images, rng: np.random.Generator, augmentation: Augmentation | None = None, n_examples: int = 11
) -> Images:
    """
    Draws a sheet for people: each picture in a row of its own, at the left as it is, then as it is changed.

    :param images: uint8, shape (n, 1 or 3, height, width), on white
    :param rng: Random numbers
    :param augmentation: What changes them; by default that of the defaults
    :param n_examples: Changed pictures in a row
    :return: The sheet, uint8, shape (n * height, (1 + n_examples) * width, 3)
    """
    change = augmentation or Augmentation()
    columns = [images, *(change(images, rng) for _ in range(n_examples))]
    n_pictures, n_channels, height, width = images.shape
    # (column, picture, channel, y, x) -> (picture, y, column, x, channel)
    sheet = np.stack(columns).transpose(1, 3, 0, 4, 2).reshape(n_pictures * height, len(columns) * width, n_channels)
    return np.ascontiguousarray(np.broadcast_to(sheet, (*sheet.shape[:2], 3)))


def _checked_number(name: str, value: object, low: float, high: float) -> float:
    """Checks that a number lies within limits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"augmentation: {name} = {value!r} is not allowed, it must be a number from {low:g} to {high:g}")
    return float(value)


def _checked_range(name: str, value: object, low: float, high: float) -> tuple[float, float]:
    """Checks that a range lies within limits."""
    numbers: list[Any] = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    if len(numbers) != 2 or any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        numbers = [math.nan, math.nan]
    first, second = numbers
    if not low <= first <= second <= high:
        raise InputError(
            f"augmentation: {name} = {value!r} is not allowed, it must be a pair [least, greatest] from {low:g} to {high:g}"
        )
    return float(first), float(second)


def _checked_backgrounds(value: object) -> tuple[str, ...]:
    """Checks that backgrounds are known."""
    names = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if not names or any(name not in BACKGROUNDS for name in names):
        raise InputError(
            f"augmentation: backgrounds = {value!r} is not allowed, it must be a list of names of: {', '.join(BACKGROUNDS)}"
        )
    return names


# Compiled code reads fields of named tuples, and none of strings
SETTINGS = [field.name for field in fields(Augmentation) if field.name != "backgrounds"]
_Settings: Any = namedtuple("_Settings", SETTINGS)  # type: ignore[misc]
