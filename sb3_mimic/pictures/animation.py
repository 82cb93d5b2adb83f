"""Writes animations as GIF or MP4, frame by frame."""

import struct
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import imageio.v2 as imageio
import numpy as np
import numpy.typing as npt
from PIL import GifImagePlugin, Image

from sb3_mimic.errors import OutputError, PictureError
from sb3_mimic.writing import check_output, part_of, put_in_place

Picture = npt.NDArray[np.uint8]

ANIMATIONS = (".gif", ".mp4")
# A GIF's one palette is taken from so many frames, each reduced by this factor along both sides
PALETTE_FRAMES, PALETTE_STRIDE = 8, 2
N_COLORS = 256
# A GIF's last colour stands for what has not changed since the frame before
UNCHANGED = N_COLORS - 1


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
