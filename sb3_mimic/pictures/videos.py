"""Reads videos frame by frame from files that cannot be trusted, from folders of pictures, and from cameras."""

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from imageio_ffmpeg import read_frames
from PIL import Image, UnidentifiedImageError

from sb3_mimic.errors import PackageError, PictureError
from sb3_mimic.pictures.files import MAX_PIXELS, MAX_SIZE, read_full_picture, to_rgba
from sb3_mimic.pictures.framing import shrink

Picture = npt.NDArray[np.uint8]

FILMS = (".mp4", ".mov", ".avi", ".mkv", ".webm")
PICTURES = (".png", ".jpg", ".jpeg")
# Of what does not say how fast it is
USUAL_FPS = 30.0
# A GIF whose frames last no time, as many say, is shown so fast
GIF_FPS = 10.0
MAX_FPS = 1000.0


@dataclass(frozen=True)
class Video:
    """
    A video, which is read anew each time that one iterates over it; one frame at a time is kept. Frames are uint8, of shape
    (height, width, 3), at most 1024 pixels wide and high, on white where they are transparent.

    :param source: A file, a folder of pictures, or the number of a camera
    :param fps: Frames per second
    :param n_frames: How many there are, as far as that is known
    :raises PictureError: When there is no such video, or it cannot be decoded; also later, when a frame cannot
    """

    source: Path | int
    fps: float
    n_frames: int | None = None

    def __iter__(self) -> Iterator[Picture]:
        """Reads the frames, from the first to the last."""
        n_read = 0
        for frame in _frames_of(self.source):
            n_read += 1
            yield _bounded(frame)
        if not n_read:
            raise PictureError(f"There is no frame in {_named(self.source)}.")


def open_video(source: str | Path | int, fps: float | None = None) -> Video:
    """
    Looks a video up.

    :param source: A film (.mp4, .mov, .avi, .mkv, .webm), a .gif, a folder of PNG or JPEG pictures in the order of their
        names, or the number of a camera, which needs OpenCV
    :param fps: Frames per second; by default as the video itself says, and 30 where it says nothing
    :return: The video
    :raises PictureError: When there is no such video, or it cannot be decoded
    :raises PackageError: When OpenCV is missing
    """
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise PictureError(f"A video has more than 0 and at most {MAX_FPS:g} frames per second, got {fps}.")
    if isinstance(source, int):
        return Video(source, fps or _camera_fps(source))
    path = Path(source)
    if path.is_dir():
        return Video(path, fps or USUAL_FPS, len(_pictures_in(path)))
    if not path.is_file():
        raise PictureError(f"There is no video {path}.")
    if path.suffix.lower() == ".gif":
        own, n_frames = _described_gif(path)
    elif path.suffix.lower() in FILMS:
        own, n_frames = _described_film(path)
    else:
        raise PictureError(f"{path} is no video. Give one of {', '.join(FILMS)}, a .gif, or a folder of pictures.")
    return Video(path, fps or own, n_frames)


def _frames_of(source: Path | int) -> Iterator[Picture]:
    if isinstance(source, int):
        yield from _camera_frames(source)
    elif source.is_dir():
        for path in _pictures_in(source):
            yield read_full_picture(path, aspect=_aspect_of(path))
    elif source.suffix.lower() == ".gif":
        yield from _gif_frames(source)
    else:
        yield from _film_frames(source)


def _named(source: Path | int) -> str:
    return f"camera {source}" if isinstance(source, int) else str(source)


def _bounded(frame: Picture) -> Picture:
    """Returns a frame with its longer side within the limit."""
    reduction = max(frame.shape[:2]) / MAX_SIZE
    if reduction <= 1:
        return frame
    return shrink(frame, max(1, round(frame.shape[1] / reduction)), max(1, round(frame.shape[0] / reduction)))


def _pictures_in(folder: Path) -> list[Path]:
    """Returns the pictures in a folder, number 2 before number 10."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    if not found:
        raise PictureError(f"There is no PNG or JPEG picture in {folder}.")
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)])


def _aspect_of(path: Path) -> float:
    """Returns width by height of a picture, which is then read as it is; what is none is told by who reads it."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            return float(picture.width / picture.height)
    except (OSError, SyntaxError, ValueError):
        return 1.0


def _undecodable(path: Path, error: Exception) -> PictureError:
    return PictureError(f"{path} cannot be decoded: {error}. It may be truncated, or no video at all; save it again.")


def _described_film(path: Path) -> tuple[float, int | None]:
    """Returns frames per second and the number of frames of a film."""
    with closing(_decoded(path)) as frames:
        about = next(frames)
    fps, seconds = float(about.get("fps") or USUAL_FPS), float(about.get("duration") or 0.0)
    width, height = about.get("size") or (0, 0)
    if not 0 < fps <= MAX_FPS or not 0 < width * height <= MAX_PIXELS:
        raise PictureError(f"{path} has frames of {width}x{height} pixels, {fps:g} in a second. Save it smaller.")
    return fps, round(fps * seconds) or None


def _film_frames(path: Path) -> Iterator[Picture]:
    with closing(_decoded(path)) as frames:
        width, height = next(frames)["size"]
        for frame in frames:
            yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)


def _decoded(path: Path) -> Generator[Any, None, None]:
    """Returns what ffmpeg says about a film, and then its frames, as bytes."""
    frames = read_frames(path)
    try:
        yield from frames
    # Ffmpeg fails in many ways
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        raise _undecodable(path, error) from error
    finally:
        frames.close()


def _described_gif(path: Path) -> tuple[float, int | None]:
    try:
        with Image.open(path, formats=("GIF",)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise PictureError(f"{path} has frames of {picture.width}x{picture.height} pixels. Save it smaller.")
            # The first frame often lasts longer
            durations = []
            for index in range(min(picture.n_frames, 10)):
                picture.seek(index)
                durations.append(float(picture.info.get("duration") or 0))
            middle = float(np.median(durations))
            return (1000 / middle if middle > 0 else GIF_FPS), picture.n_frames
    except PictureError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, UnidentifiedImageError) as error:
        raise _undecodable(path, error) from error


def _gif_frames(path: Path) -> Iterator[Picture]:
    try:
        with Image.open(path, formats=("GIF",)) as picture:
            for index in range(picture.n_frames):
                picture.seek(index)
                upright = to_rgba(picture)
                white = Image.new("RGBA", upright.size, "white")
                yield np.array(Image.alpha_composite(white, upright).convert("RGB"))
    except PictureError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise _undecodable(path, error) from error


def _camera(number: int) -> Any:
    try:
        import cv2
    except ImportError as error:
        raise PackageError("A camera needs OpenCV. Install it with: pip install opencv-python-headless") from error
    camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        raise PictureError(f"There is no camera {number}, or it is in use.")
    return camera


def _camera_fps(number: int) -> float:
    camera = _camera(number)
    try:
        # Property 5 of OpenCV: frames per second; 0 where a camera does not say
        fps = float(camera.get(5))
        return fps if 0 < fps <= MAX_FPS else USUAL_FPS
    finally:
        camera.release()


def _camera_frames(number: int) -> Iterator[Picture]:
    camera = _camera(number)
    try:
        while True:
            is_there, frame = camera.read()
            if not is_there:
                return
            # OpenCV's blue comes first
            yield np.ascontiguousarray(frame[..., ::-1])
    finally:
        camera.release()
