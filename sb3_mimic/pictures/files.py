"""Reads pictures from files that cannot be trusted, and writes them as PNG, GIF or MP4."""

import io
import math
import struct
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import imageio.v2 as imageio
import numpy as np
import numpy.typing as npt
from PIL import GifImagePlugin, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from sb3_mimic.errors import OutputError, PictureError
from sb3_mimic.pictures.framing import framed, shrink
from sb3_mimic.writing import check_output, part_of, put_in_place, write_whole

Picture = npt.NDArray[np.uint8]

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 40_000_000
# What is longer, against its other side, is no picture of a robot
MAX_ELONGATION = 8
# Pictures with more pixels are reduced by a whole factor before anything else, which takes less memory
MAX_EXACT = 4_000_000
# What is read of a picture is at most so many pixels wide and high
MAX_SIZE = 1024
ANIMATIONS = (".gif", ".mp4")
# A GIF's one palette is taken from so many frames, each reduced by this factor along both sides
PALETTE_FRAMES, PALETTE_STRIDE = 8, 2
N_COLORS = 256
# A GIF's last colour stands for what has not changed since the frame before
UNCHANGED = N_COLORS - 1
# Steps of 16-bit grey that make one of 8-bit grey: 65535 becomes 255
GREY_STEP = 257


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
        if grey.min() < 0 or grey.max() > N_COLORS * N_COLORS - 1:
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


def check_animation_path(path: str | Path) -> Path:
    """
    Checks that an animation can be written to a path.

    :param path: A file that is going to be written
    :return: The path
    :raises OutputError: When it is neither GIF nor MP4, or cannot be written
    """
    return check_output(path, ANIMATIONS)


class AnimationWriter:
    """
    Writes an animation frame by frame as the frames come, and keeps none of them; a context manager.
    The file is there when all is done, and not at all when an error comes first.

    :param path: A file that ends in .gif or .mp4
    :param fps: Frames per second
    :raises OutputError: When it cannot be written there
    """

    def __init__(self, path: str | Path, fps: int):
        self.path = check_animation_path(path)
        self._part = part_of(self.path)
        self._shape: tuple[int, ...] | None = None
        self._file = _GifFile(self._part, fps) if self.path.suffix.lower() == ".gif" else _Mp4File(self._part, fps)

    def write(self, frame: Picture) -> None:
        """
        Writes the next frame.

        :param frame: Shape (height, width, 3), the same for all; even sizes for MP4
        :raises PictureError: When it is of another shape or type
        :raises OutputError: When it cannot be written
        """
        shape = self._shape or frame.shape
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != shape:
            raise PictureError(
                f"A frame must be uint8 of shape {shape}, as the first one, and (height, width, 3),"
                f" got {frame.dtype} of shape {frame.shape}"
            )
        self._shape = shape
        try:
            self._file.write(frame)
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {error}") from error

    def __enter__(self) -> "AnimationWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            self._file.close()
            if kind is None and self._shape is None:
                raise PictureError(f"There is no frame to write into {self.path}. Give at least one.")
            if kind is None:
                put_in_place(self._part, self.path)
        except OSError as failed:
            raise OutputError(f"Cannot write {self.path}: {failed}") from failed
        finally:
            self._part.unlink(missing_ok=True)


class _Mp4File:
    def __init__(self, path: Path, fps: int):
        self._writer = imageio.get_writer(path, format="FFMPEG", fps=fps, codec="libx264", macro_block_size=2)

    def write(self, frame: Picture) -> None:
        self._writer.append_data(frame)

    def close(self) -> None:
        self._writer.close()


class _GifFile:
    """
    Writes a GIF frame by frame as the frames come. Pillow's own writer keeps every frame until the last one has come.

    Each frame is written as what has changed since the one before, in colours of one palette for all, so that nothing
    flickers.
    """

    def __init__(self, path: Path, fps: int):
        self._duration = 1000 // fps
        self._file: BinaryIO = path.open("wb")
        self._first: list[Picture] = []
        self._palette: Image.Image | None = None
        self._before: npt.NDArray[np.uint8] | None = None

    def write(self, frame: Picture) -> None:
        if self._palette is not None:
            self._append(frame)
            return
        self._first.append(frame)
        if len(self._first) == PALETTE_FRAMES:
            self._begin()

    def close(self) -> None:
        try:
            if self._first:
                self._begin()
                self._file.write(b";")
            elif self._palette is not None:
                self._file.write(b";")
        finally:
            self._file.close()

    def _begin(self) -> None:
        """Chooses the palette, and writes the header and the frames that have waited for it."""
        small = np.concatenate([frame[::PALETTE_STRIDE, ::PALETTE_STRIDE] for frame in self._first])
        self._palette = Image.fromarray(small).quantize(UNCHANGED, Image.Quantize.FASTOCTREE)
        height, width, _ = self._first[0].shape
        colors = bytes(self._palette.getpalette() or []).ljust(3 * N_COLORS, b"\0")
        # 0xF7: a palette of 2^8 colours for all frames; then Netscape's extension, which makes it play for ever
        self._file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + colors)
        self._file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")
        for frame in self._first:
            self._append(frame)
        self._first = []

    def _append(self, frame: Picture) -> None:
        assert self._palette is not None
        still = Image.fromarray(frame).quantize(palette=self._palette, dither=Image.Dither.NONE)
        indices = np.asarray(still)
        changed = np.ones_like(indices, bool) if self._before is None else indices != self._before
        self._before = indices
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        top, bottom = (rows[0], rows[-1] + 1) if len(rows) else (0, 1)
        left, right = (columns[0], columns[-1] + 1) if len(columns) else (0, 1)
        box = np.where(changed, indices, UNCHANGED).astype(np.uint8)[top:bottom, left:right]
        part = Image.fromarray(box)
        part.putpalette(self._palette.getpalette() or [])
        options = {"duration": self._duration, "interlace": 0, "transparency": UNCHANGED, "disposal": 1}
        for data in GifImagePlugin.getdata(part, (int(left), int(top)), **options):
            self._file.write(data)


def write_animation(path: str | Path, frames: Iterable[Picture], fps: int) -> None:
    """
    Writes an animation frame by frame, and keeps none of the frames.

    :param path: A file that ends in .gif or .mp4
    :param frames: Pictures of one shape (height, width, 3); even sizes for MP4
    :param fps: Frames per second
    :raises OutputError: When it cannot be written there
    :raises PictureError: When there is no frame, or one has another shape
    """
    with AnimationWriter(path, fps) as writer:
        for frame in frames:
            writer.write(frame)


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
