"""Reads pictures from files that cannot be trusted, and writes them as PNG."""

import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from sb3_mimic.errors import PictureError
from sb3_mimic.pictures.framing import framed, shrink
from sb3_mimic.writing import check_output, write_whole

Picture = npt.NDArray[np.uint8]

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 40_000_000
# What is longer, against its other side, is no picture of a robot
MAX_ELONGATION = 8
# Pictures with more pixels are reduced by a whole factor before anything else, which takes less memory
MAX_EXACT = 4_000_000
# What is read of a picture is at most so many pixels wide and high
MAX_SIZE = 1024
# Steps of 16-bit grey that make one of 8-bit grey: 65535 becomes 255
GREY_STEP, LARGEST_GREY = 257, 65535


def read_picture(path: str | Path, width: int, height: int, tell: Callable[[str], None] = warnings.warn) -> Picture:
    """
    Reads a PNG or JPEG, turned as its EXIF data say, on white where it is transparent, framed as a robot's own pictures are,
    and scaled to their size.

    :param path: The file
    :param width: Of the result, in pixels
    :param height: Of the result, in pixels
    :param tell: Is handed a sentence where the picture had another aspect; it says what became of it
    :return: Shape (height, width, 3)
    :raises PictureError: When the file is missing, is neither PNG nor JPEG, is truncated or too large
    """
    return shrink(read_full_picture(path, width / height, tell), width, height)


def read_full_picture(path: str | Path, aspect: float = 1.0, tell: Callable[[str], None] = warnings.warn) -> Picture:
    """
    Reads a PNG or JPEG as :func:`read_picture` does, at its own resolution, at most 1024 pixels wide and high.

    :param path: The file
    :param aspect: Width by height of the result; bars around the picture are found and cut off, see
        :func:`~sb3_mimic.pictures.framing.framed`
    :param tell: Is handed a sentence where the picture had another aspect; it says what became of it
    :return: Shape (height, width, 3)
    :raises PictureError: When the file is missing, is neither PNG nor JPEG, is truncated or too large
    """
    path = Path(path)
    upright = _decoded(path)
    on_white = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    if upright.width * upright.height > MAX_EXACT:
        on_white = on_white.reduce(math.ceil(math.sqrt(upright.width * upright.height / MAX_EXACT)))
    picture, change = framed(np.array(on_white), aspect)
    if change:
        tell(f"{path}: {change}.")
    reduction = max(1.0, max(picture.shape) / MAX_SIZE)
    return shrink(picture, max(1, round(picture.shape[1] / reduction)), max(1, round(picture.shape[0] / reduction)))


def _decoded(path: Path) -> Image.Image:
    """Reads a PNG or JPEG, turned as its EXIF data say, in mode RGBA; raises :class:`PictureError` for whatever else it is."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise PictureError(f"{path} is not a file. Give a PNG or JPEG picture.")
        if size > MAX_BYTES:
            raise PictureError(
                f"{path} has {size / 2**20:.0f} MiB; at most {MAX_BYTES // 2**20} MiB are read. Make it smaller."
            )
        with warnings.catch_warnings():
            # Pillow warns of pictures that are refused below
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise PictureError(
                        f"{path} has {picture.width}x{picture.height} pixels; at most {MAX_PIXELS // 10**6} million are"
                        " decoded. Make it smaller."
                    )
                if max(picture.size) > MAX_ELONGATION * min(picture.size):
                    raise PictureError(
                        f"{path} has {picture.width}x{picture.height} pixels, which is too narrow for a picture of a robot."
                        " Cut it to the robot's own view."
                    )
                return to_rgba(ImageOps.exif_transpose(picture))
    except FileNotFoundError as error:
        raise PictureError(f"There is no file {path}.") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} is no PNG or JPEG picture.") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path} has too many pixels; at most {MAX_PIXELS // 10**6} million are decoded.") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{path} cannot be decoded: {error}. It may be truncated; save it again.") from error


def to_rgba(picture: Image.Image) -> Image.Image:
    """
    Converts a picture of any mode to 8 bits a channel. Pillow by itself cuts 16-bit grey off at 255, which makes it white.

    :param picture: As Pillow opened it
    :return: The same in mode RGBA
    :raises PictureError: When its values have no meaning as colours
    """
    if picture.mode.startswith("I"):
        grey = np.asarray(picture).astype(np.int64)
        if grey.min() < 0 or grey.max() > LARGEST_GREY:
            raise PictureError(f"A grey picture must hold numbers from 0 to 65535, got {grey.min()} to {grey.max()}")
        alpha = np.full(grey.shape, 255, np.uint8)
        alpha[grey == picture.info.get("transparency", -1)] = 0
        grey = ((grey + GREY_STEP // 2) // GREY_STEP).astype(np.uint8)
        return Image.merge("RGBA", [Image.fromarray(grey)] * 3 + [Image.fromarray(alpha)])
    if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        picture = picture.convert("RGB")
    if picture.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"):
        raise PictureError(f"A picture of mode {picture.mode} has no colours of a known range. Save it with 8 bits a channel.")
    return picture.convert("RGBA")


def write_picture(path: str | Path, picture: Picture, texts: dict[str, str] | None = None) -> None:
    """
    Writes a picture whole or not at all.

    :param path: A file that ends in .png
    :param picture: Shape (height, width, 3), or (height, width, 1) for a grey one
    :param texts: What to write into the PNG's own text fields, by their names
    :raises PictureError: When it ends in something else
    :raises OutputError: When it cannot be written there
    """
    path = check_output(path, (".png",))
    info = PngInfo()
    for name, text in (texts or {}).items():
        info.add_text(name, text)
    stream = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(stream, "PNG", pnginfo=info)
    write_whole(path, stream.getvalue())


def read_texts(path: str | Path) -> dict[str, Any]:
    """
    Reads the text fields of a PNG.

    :param path: Any file
    :return: The fields by their names; empty where the file is something else
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as picture:
                return dict(picture.info)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # read_picture says whether it is a picture at all
        return {}
