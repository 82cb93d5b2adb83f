"""Gives pictures of any shape the frame that a camera of a robot has, and scales them without artefacts."""

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.uint8]

# Aspects that differ by no more than this part are the same: pictures have whole pixels
SAME_ASPECT = 0.02
# Of a bar: how far a channel may be from the bar's colour, what part of a line may be farther (JPEG's noise)
BAR_NOISE, BAR_OUTLIERS = 24, 0.01
# Within a frame: what part of each of its content's borders differs from the frame's colour. The white around a robot is
# no frame.
CONTENT_BORDER = 0.6
# Content that takes up less of a picture's width and height than this is no picture in a frame
SMALLEST_CONTENT = 0.25


def framed(picture: Picture, aspect: float) -> tuple[Picture, str]:
    """
    Cuts off bars of one colour around a picture, and gives what is left the wanted aspect. Cameras are described by their
    vertical field of view, so the height stays: what is too wide loses as much on both sides, what is too narrow gets bars in
    the colour of its own sides.

    :param picture: Shape (height, width, 3)
    :param aspect: Wanted width by height
    :return: The picture, and a sentence for people that says what became of it; none where nothing was lost or added
    """
    top, bottom, left, right = _content(picture)
    content = picture[top:bottom, left:right]
    if content.shape[:2] != picture.shape[:2] and _has(content, aspect) and _is_framed(picture, content):
        return content, f"bars around it were cut off, {_size(picture)} became {_size(content)}"
    if _has(picture, aspect):
        return picture, ""
    height, width = picture.shape[:2]
    wanted_width, wanted_height = round(height * aspect), round(width / aspect)
    if right - left <= wanted_width < width:
        # All that is cut off is bars
        first = min(max((width - wanted_width) // 2, right - wanted_width), left)
        return picture[:, first : first + wanted_width], f"bars at its sides were cut off, {_size(picture)}"
    if bottom - top <= wanted_height < height:
        first = min(max((height - wanted_height) // 2, bottom - wanted_height), top)
        return picture[first : first + wanted_height], f"bars above and below were cut off, {_size(picture)}"
    return of_aspect(picture, aspect)


def of_aspect(picture: Picture, aspect: float) -> tuple[Picture, str]:
    """
    Gives a picture the wanted aspect, whatever is in it, as :func:`framed` does where there are no bars: all frames of a video
    in the same way.

    :param picture: Shape (height, width, 3)
    :param aspect: Wanted width by height
    :return: The picture, and a sentence for people that says what became of it; none where nothing was lost or added
    """
    if _has(picture, aspect):
        return picture, ""
    height, width = picture.shape[:2]
    wanted_width = round(height * aspect)
    if width > wanted_width:
        first = (width - wanted_width) // 2
        return picture[:, first : first + wanted_width], (
            f"it is too wide, {_size(picture)}: its middle was used, {wanted_width}x{height}. Cut it to the robot's own view"
        )
    missing = wanted_width - width
    bars = [np.median(picture[:, side], axis=0).astype(np.uint8) for side in (0, -1)]
    widths = missing // 2, missing - missing // 2
    parts = [np.broadcast_to(bar, (height, n, 3)) for bar, n in zip(bars, widths, strict=True)]
    return np.hstack((parts[0], picture, parts[1])), (
        f"it is too narrow, {_size(picture)}: its sides were filled, {wanted_width}x{height}. Cut it to the robot's own view"
    )


def shrink(picture: Picture, width: int, height: int) -> Picture:
    """
    Scales a picture: each pixel of a smaller one is the mean of exactly the area that it covers. Larger ones are smooth.

    :param picture: Shape (any height, any width, channels)
    :param width: Of the result, in pixels
    :param height: Of the result, in pixels
    :return: Shape (height, width, channels)
    """
    if picture.shape[:2] == (height, width):
        return picture.copy()
    if picture.shape[0] < height or picture.shape[1] < width:
        # Smooth up to the next larger size, and from there exact
        size = max(width, picture.shape[1]), max(height, picture.shape[0])
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    means = _mean_rows(_mean_rows(picture, height).swapaxes(0, 1), width).swapaxes(0, 1)
    return np.ascontiguousarray(means.round().astype(np.uint8))


def _mean_rows(picture: npt.NDArray[np.generic], n_rows: int) -> npt.NDArray[np.float64]:
    """Returns the means over so many strips of rows, which may begin and end within a row."""
    sums = np.zeros((len(picture) + 1, *picture.shape[1:]))
    np.cumsum(picture, axis=0, dtype=np.float64, out=sums[1:])
    edges = np.arange(n_rows + 1) * (len(picture) / n_rows)
    whole = np.minimum(edges.astype(np.int64), len(picture) - 1)
    part = (edges - whole).reshape(-1, *[1] * (picture.ndim - 1))
    up_to = sums[whole] + part * (sums[whole + 1] - sums[whole])
    means: npt.NDArray[np.float64] = np.diff(up_to, axis=0) * (n_rows / len(picture))
    return means


def _content(picture: Picture) -> tuple[int, int, int, int]:
    """Returns the rows and columns, first and one past the last, within bars of one colour at the edges of a picture."""
    top, bottom = _without_bars(picture)
    if top == bottom:
        return 0, len(picture), 0, picture.shape[1]
    left, right = _without_bars(picture[top:bottom].swapaxes(0, 1))
    return (top, bottom, left, right) if left < right else (0, len(picture), 0, picture.shape[1])


def _without_bars(picture: Picture) -> tuple[int, int]:
    """Returns the first row, and one past the last, that is not of one colour with all rows between it and its edge."""
    first = _n_bars(picture)
    return (0, 0) if first == len(picture) else (first, len(picture) - _n_bars(picture[::-1]))


def _n_bars(lines: Picture) -> int:
    """Returns how many lines from the first one on are of one colour."""
    color = np.median(lines[0], axis=0).astype(np.int16)
    for index, line in enumerate(lines):
        if (np.abs(line - color) > BAR_NOISE).any(axis=-1).mean() > BAR_OUTLIERS:
            return index
    return len(lines)


def _is_framed(picture: Picture, content: Picture) -> bool:
    """Tells whether content has an edge against the bars around it, as a picture has and a robot before a wall has not."""
    if content.shape[0] < SMALLEST_CONTENT * picture.shape[0] or content.shape[1] < SMALLEST_CONTENT * picture.shape[1]:
        return False
    bar = np.median(picture[0] if content.shape[0] < picture.shape[0] else picture[:, 0], axis=0)
    borders = content[0], content[-1], content[:, 0], content[:, -1]
    return all((np.abs(border - bar).max(axis=-1) > BAR_NOISE).mean() >= CONTENT_BORDER for border in borders)


def _has(picture: Picture, aspect: float) -> bool:
    height, width = picture.shape[:2]
    return bool(abs(width / height / aspect - 1) <= SAME_ASPECT)


def _size(picture: Picture) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
