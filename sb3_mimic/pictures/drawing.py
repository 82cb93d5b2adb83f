"""Draws over pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from sb3_mimic.pictures.framing import shrink

Picture = npt.NDArray[np.uint8]

LINE_COLORS = ("black", "magenta", "teal")
# Enlarged this often or more, pixels are shown as the squares that they are
CRISP = 4.0


def draw_lines(
    picture: npt.NDArray[np.uint8], lines: Mapping[str, Sequence[npt.NDArray[np.floating]]], size: int = 320
) -> npt.NDArray[np.uint8]:
    """
    Draws named groups of lines over a picture, with a legend.

    :param picture: Shape (height, width, 3)
    :param lines: By name: lines of (column, row) points, as fractions of width and height, shape (n, 2)
    :param size: Height and width of the result, in pixels
    :return: Shape (size, size, 3)
    """
    canvas = Image.fromarray(_scaled(picture, size, size))
    pen = ImageDraw.Draw(canvas)
    for row, ((name, group), color) in enumerate(zip(lines.items(), LINE_COLORS, strict=False)):
        for line in group:
            pen.line([(column * size, line_row * size) for column, line_row in line], fill=color, width=3)
        pen.text((8, 6 + 16 * row), name, fill=color, font_size=14)
    return np.asarray(canvas)


def enlarge(picture: Picture, height: int) -> Picture:
    """
    Scales a picture to a height that people see well.

    :param picture: Shape (any height, any width, 3)
    :param height: Of the result, in pixels
    :return: The picture with that height: the pixels of a small one as crisp squares, larger ones smooth
    """
    return _scaled(picture, round(picture.shape[1] * height / picture.shape[0]), height)


def _scaled(picture: Picture, width: int, height: int) -> Picture:
    factor = height / picture.shape[0]
    if factor < 1:
        return shrink(picture, width, height)
    resampling = Image.Resampling.NEAREST if factor >= CRISP else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize((width, height), resampling))


def caption(picture: Picture, text: str) -> Picture:
    """Returns a copy of the picture with a line of text in its upper left corner."""
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((12, 10), text, fill=(40, 48, 60), font_size=18)
    return np.asarray(image)


def labelled_grid(rows: Mapping[str, Sequence[Picture]], columns: Sequence[str], gap: int = 4) -> Picture:
    """
    Lays pictures out in rows and columns with labels.

    :param rows: Pictures from left to right by the row's label, from top to bottom, all of one size
    :param columns: Labels of the columns
    :param gap: What lies between pictures, in pixels
    :return: Shape (height, width, 3)
    """
    height, width = next(iter(rows.values()))[0].shape[:2]
    left, top, size = 10 + 7 * max(map(len, rows)), 20, 13
    shape = left + len(columns) * (width + gap) - gap, top + len(rows) * (height + gap) - gap
    canvas = Image.new("RGB", shape, "white")
    pen = ImageDraw.Draw(canvas)
    for j, label in enumerate(columns):
        pen.text((left + j * (width + gap) + width // 2, top // 2), label, fill="black", font_size=size, anchor="mm")
    for i, (label, pictures) in enumerate(rows.items()):
        y = top + i * (height + gap)
        pen.text((4, y + height // 2), label, fill="black", font_size=size, anchor="lm")
        for j, picture in enumerate(pictures):
            x = left + j * (width + gap)
            canvas.paste(Image.fromarray(picture), (x, y))
            pen.rectangle((x, y, x + width - 1, y + height - 1), outline=(200, 200, 200))
    return np.asarray(canvas)
