"""Spoils pictures in named ways, to measure how well a robot's pose is read from such pictures."""

import io
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from sb3_mimic.errors import InputError, PictureError
from sb3_mimic.pictures.coverage import Bytes, replace_background

Colour = tuple[int, int, int]
Floats = npt.NDArray[np.float64]


class Corruption(Protocol):
    """Spoils a picture on white; where it tells robot and background apart, by the coverage or else by an estimate."""

    def __call__(self, picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None, /) -> Bytes: ...


GREY, SKY_BLUE = (150, 150, 150), (135, 206, 235)
GRADIENT = ((90, 120, 200), (240, 200, 120))


def _bounded(values: npt.NDArray[np.floating]) -> Bytes:
    """Rounds numbers, and cuts off those outside of 0..255."""
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _darker(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    return _bounded(0.7 * picture)


def _brighter(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    return _bounded(picture + 30.0)


def _grey_background(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    return replace_background(picture, np.array(GREY, np.float64), coverage)


def _blue_background(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    return replace_background(picture, np.array(SKY_BLUE, np.float64), coverage)


def _gradient_background(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    return replace_background(picture, _fade(*GRADIENT, *picture.shape[:2]), coverage)


def _random_background(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    return replace_background(picture, rng.integers(0, 256, picture.shape).astype(np.float64), coverage)


def _noise(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    return _bounded(picture + rng.normal(0.0, 10.0, picture.shape))


def _jpeg(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=30)
    return np.array(Image.open(file).convert("RGB"))


def _blur(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    return np.array(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1.0)))


def _grey_scale(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    return np.array(Image.fromarray(picture).convert("L").convert("RGB"))


def _bar(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    is_upright = rng.random() < 0.5
    side = picture.shape[1 if is_upright else 0]
    wide = round(side / 5)
    start = int(rng.integers(0, side - wide + 1))
    covered = picture.copy()
    (covered[:, start : start + wide] if is_upright else covered[start : start + wide])[...] = rng.integers(0, 256, 3)
    return covered


def _inverted(picture: Bytes, rng: np.random.Generator, coverage: Bytes | None = None) -> Bytes:
    return 255 - picture


CORRUPTIONS: dict[str, Corruption] = {
    "darker": _darker,
    "brighter": _brighter,
    "grey background": _grey_background,
    "blue background": _blue_background,
    "gradient background": _gradient_background,
    "noise": _noise,
    "jpeg": _jpeg,
    "blur": _blur,
    "random background": _random_background,
    "grey-scale": _grey_scale,
    "bar": _bar,
    "inverted": _inverted,
}
# An inverted picture is one of no robot of ours; all others are to be read
READABLE = tuple(name for name in CORRUPTIONS if name != "inverted")


def corrupt(picture: Bytes, name: str, seed: int, coverage: Bytes | None = None) -> Bytes:
    """
    Spoils a picture of a robot.

    :param picture: uint8, shape (height, width, 3), on white; not written to
    :param name: How: a key of `CORRUPTIONS`
    :param seed: Of random numbers: with the same one the same happens
    :param coverage: How much of each pixel the robot covers, in 0..255, uint8, shape (height, width); estimated by default
    :return: A new picture
    :raises InputError: When the name is unknown
    :raises PictureError: When picture or coverage have another form
    """
    if name not in CORRUPTIONS:
        raise InputError(f"Unknown corruption {name!r}. There are: {', '.join(CORRUPTIONS)}")
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise PictureError(
            f"A picture of {picture.dtype} and shape {picture.shape} cannot be spoilt: give uint8 of shape (height, width, 3)"
        )
    if coverage is not None and (coverage.dtype != np.uint8 or coverage.shape != picture.shape[:2]):
        raise PictureError(
            f"A coverage of {coverage.dtype} and shape {coverage.shape} does not belong to a picture of {picture.shape}: "
            "give uint8 of shape (height, width)"
        )
    return CORRUPTIONS[name](picture, np.random.default_rng(seed), coverage)


def _fade(first: Colour, second: Colour, height: int, width: int) -> Floats:
    """Fills a picture with a colour that becomes another one from the top left to the bottom right."""
    down, across = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    share = (0.5 * (down + across))[..., None]
    return np.asarray((1 - share) * np.array(first, np.float64) + share * np.array(second, np.float64))


# Pictures of other things, which must be refused. They are drawn at this size and made smaller, which softens their edges
DRAWN = 256


def _colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> Colour:
    red, green, blue = (int(number) for number in rng.integers(low, high, 3))
    return red, green, blue


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, int(factor * number)) for number in colour)
    return red, green, blue


def _fractal(rng: np.random.Generator, size: int, roughness: float = 0.55) -> Floats:
    """Makes clouds in 0..1, shape (size, size): smooth random numbers of ever finer grids upon each other."""
    total, weight = np.zeros((size, size)), 1.0
    n_cells = 2
    while n_cells < size // 2:
        grid = Image.fromarray(rng.random((n_cells + 1, n_cells + 1)).astype(np.float32))
        total += weight * np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))
        weight, n_cells = weight * roughness, n_cells * 2
    span = total.max() - total.min()
    return np.asarray((total - total.min()) / span)


def _pixels(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (DRAWN, DRAWN, 3), dtype=np.uint8))


def _landscape(rng: np.random.Generator) -> Image.Image:
    clouds = np.clip(2.5 * _fractal(rng, DRAWN) - 0.9, 0, 1)[..., None]
    sky = _fade((60, 110, 190), (200, 220, 240), DRAWN, DRAWN)
    scene = (1 - clouds) * sky + clouds * rng.integers(200, 256)
    rows = np.arange(DRAWN)[:, None]
    for distance in range(int(rng.integers(2, 5))):
        bends = _fractal(rng, DRAWN, 0.4)[int(rng.integers(DRAWN))]
        skyline = DRAWN * (0.45 + 0.15 * distance + 0.3 * (bends - 0.5))
        soil = np.array(_colour(rng, 30, 150)) * (0.6 + 0.6 * _fractal(rng, DRAWN, 0.8)[..., None])
        scene = np.where((rows > skyline)[..., None], soil, scene)
    return Image.fromarray(_bounded(scene))


def _room(rng: np.random.Generator) -> Image.Image:
    image = Image.fromarray(_bounded(_fade(_colour(rng, 150), _colour(rng, 120), DRAWN, DRAWN)))
    draw = ImageDraw.Draw(image)
    corner = int(rng.integers(DRAWN // 3, 2 * DRAWN // 3))
    draw.polygon([(0, DRAWN), (0, 220), (corner, 150), (DRAWN, 205), (DRAWN, DRAWN)], fill=_colour(rng, 60, 180))
    left, top = int(rng.integers(0, 150)), int(rng.integers(10, 60))
    draw.rectangle((left, top, left + 70, top + 60), fill=(215, 235, 250), outline=_colour(rng, 0, 120), width=5)
    for _ in range(int(rng.integers(3, 8))):
        left, wide, tall = int(rng.integers(-20, 220)), int(rng.integers(25, 90)), int(rng.integers(25, 110))
        foot, depth = int(rng.integers(160, 250)), int(rng.integers(8, 30))
        front = _colour(rng, 30, 230)
        darker, lighter = _shade(front, 0.65), _shade(front, 1.2)
        right, top = left + wide, foot - tall
        draw.rectangle((left, top, right, foot), fill=front)
        draw.polygon([(left, top), (left + depth, top - depth), (right + depth, top - depth), (right, top)], fill=lighter)
        draw.polygon([(right, top), (right + depth, top - depth), (right + depth, foot - depth), (right, foot)], fill=darker)
    return image


def _leaves(rng: np.random.Generator) -> Image.Image:
    ground = np.array(_colour(rng, 20, 110)) * (0.5 + _fractal(rng, DRAWN, 0.8)[..., None])
    image = Image.fromarray(_bounded(ground))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(60, 200))):
        middle, angle, long = rng.uniform(0, DRAWN, 2), rng.uniform(0, 2 * np.pi), rng.uniform(8, 35)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        steps = np.linspace(-1, 1, 9)
        wide = 0.35 * long * (1 - steps**2)
        sides = [middle + long * step * along + side * across for step, side in zip(steps, wide, strict=True)]
        back = [middle + long * step * along - side * across for step, side in zip(steps[::-1], wide[::-1], strict=True)]
        green = int(rng.integers(60, 220))
        fill = (int(green * rng.uniform(0.3, 1.1)), green, int(green * rng.uniform(0.1, 0.5)))
        draw.polygon([(float(x), float(y)) for x, y in sides + back], fill=fill)
        draw.line([tuple(middle - long * along), tuple(middle + long * along)], fill=(30, 60, 20))
    return image


def _face(rng: np.random.Generator) -> Image.Image:
    image = Image.fromarray(_bounded(_fade(_colour(rng), _colour(rng), DRAWN, DRAWN)))
    draw = ImageDraw.Draw(image)
    x, y = (int(number) for number in rng.integers(105, 150, 2))
    wide, tall = int(rng.integers(45, 80)), int(rng.integers(65, 95))
    skin = int(rng.integers(90, 240))
    tone, hair = (skin, int(0.8 * skin), int(0.66 * skin)), _colour(rng, 0, 140)

    def disc(middle: tuple[int, int], across: int, down: int, fill: Colour) -> None:
        draw.ellipse((middle[0] - across, middle[1] - down, middle[0] + across, middle[1] + down), fill=fill)

    disc((x, DRAWN + 20), 110, 75, _colour(rng))
    disc((x, y - 15), wide + 12, tall + 8, hair)
    disc((x, y), wide, tall, tone)
    for side in (-1, 1):
        disc((x + side * wide // 2, y - tall // 5), wide // 5, wide // 9, (245, 245, 245))
        disc((x + side * wide // 2, y - tall // 5), wide // 11, wide // 11, _colour(rng, 0, 120))
        draw.arc((x + side * wide // 2 - 18, y - tall // 2, x + side * wide // 2 + 18, y - 5), 200, 340, fill=hair, width=5)
    disc((x, y + tall // 6), wide // 8, tall // 7, (int(0.85 * skin), int(0.66 * skin), int(0.55 * skin)))
    disc((x, y + tall // 2), wide // 3, int(rng.integers(3, 14)), (int(0.8 * skin), 60, 70))
    return image.filter(ImageFilter.GaussianBlur(2))


def _still_life(rng: np.random.Generator) -> Image.Image:
    image = Image.fromarray(_bounded(_fade(_colour(rng, 120), _colour(rng, 60), DRAWN, DRAWN)))
    pixels = np.asarray(image, np.float64).copy()
    y, x = np.mgrid[:DRAWN, :DRAWN]
    for _ in range(int(rng.integers(3, 9))):
        middle, radius, colour = rng.uniform(30, 226, 2), rng.uniform(15, 60), np.array(_colour(rng, 40))
        right, low = (x - middle[0]) / radius, (y - middle[1]) / radius
        shadow = np.clip(1 - np.hypot((right - 0.3) * 0.8, (low - 0.9) * 2.5), 0, 1)[..., None]
        pixels *= 1 - 0.7 * shadow
        height = np.sqrt(np.clip(1 - right**2 - low**2, 0, 1))
        light = np.clip(0.25 + 0.75 * (-0.5 * right - 0.6 * low + 0.62 * height), 0.1, 1)[..., None]
        shine = 160 * np.clip(-0.5 * right - 0.6 * low + 0.62 * height, 0, 1)[..., None] ** 30
        pixels = np.where((right**2 + low**2 < 1)[..., None], colour * light + shine, pixels)
    return Image.fromarray(_bounded(pixels))


# What is no picture of a robot
OTHER_PICTURES: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "noise picture": _pixels,
    "landscape": _landscape,
    "room": _room,
    "leaves": _leaves,
    "face": _face,
    "still life": _still_life,
}


def other_picture(name: str, seed: int, height: int = 64, width: int = 64) -> Bytes:
    """
    Draws a picture in which there is no robot.

    :param name: What there is instead: a key of `OTHER_PICTURES`
    :param seed: Of random numbers: with the same one the same is drawn
    :param height: Height, in pixels
    :param width: Width, in pixels
    :return: uint8, shape (height, width, 3)
    :raises InputError: When the name is unknown
    """
    if name not in OTHER_PICTURES:
        raise InputError(f"Unknown picture {name!r}. There are: {', '.join(OTHER_PICTURES)}")
    rng = np.random.default_rng(seed)
    if name == "noise picture":
        # Made smaller, it would be grey
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = OTHER_PICTURES[name](rng)
    return np.array(image.resize((width, height), Image.Resampling.BOX if width <= DRAWN else Image.Resampling.BICUBIC))
