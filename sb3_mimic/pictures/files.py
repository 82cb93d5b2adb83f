"""Pictures in and out: read safely from files of strangers, written as PNG, GIF or MP4."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from sb3_mimic.errors import PictureError

Picture = npt.NDArray[np.uint8]

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 40_000_000
ANIMATIONS = (".gif", ".mp4")


def read_picture(path: str | Path, width: int, height: int) -> Picture:
    """
    Read a PNG or JPEG, turned as its EXIF data say, without transparency, and resized.

    :param path: The file
    :param width: Of the result, in pixels
    :param height: Of the result, in pixels
    :return: Shape (height, width, 3)
    :raises PictureError: When the file is missing, is neither PNG nor JPEG, is truncated or too large
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise PictureError(f"{path} is not a file. Give a PNG or JPEG picture.")
        if size > MAX_BYTES:
            raise PictureError(
                f"{path} has {size / 2**20:.0f} MiB; at most {MAX_BYTES // 2**20} MiB are read. Make it smaller."
            )
        with warnings.catch_warnings():
            # Pillow warns of what is refused below
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise PictureError(
                        f"{path} has {picture.width}x{picture.height} pixels; at most {MAX_PIXELS // 10**6} million are"
                        " decoded. Make it smaller."
                    )
                upright = ImageOps.exif_transpose(picture).convert("RGBA")
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
    on_white = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    if on_white.size != (width, height):
        on_white = ImageOps.pad(on_white, (width, height), Image.Resampling.BOX, color="white")
    return np.array(on_white)


def write_picture(path: str | Path, picture: Picture) -> None:
    """
    :param path: A file that ends in .png
    :param picture: Shape (height, width, 3)
    :raises PictureError: When it cannot be written there
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise PictureError(f"A picture is written as .png, got {path}")
    try:
        Image.fromarray(picture).save(path)
    except OSError as error:
        raise PictureError(f"Cannot write {path}: {error}") from error


def check_animation_path(path: str | Path) -> Path:
    """
    :param path: A file that is going to be written
    :return: The same
    :raises PictureError: When it is neither GIF nor MP4, or its folder does not exist
    """
    path = Path(path)
    if path.suffix.lower() not in ANIMATIONS:
        raise PictureError(f"An animation ends in {' or '.join(ANIMATIONS)}, got {path}")
    if not path.parent.is_dir():
        raise PictureError(f"There is no folder {path.parent} to write {path.name} into.")
    return path


def write_animation(path: str | Path, frames: Sequence[Picture], fps: int) -> None:
    """
    :param path: A file that ends in .gif or .mp4
    :param frames: Pictures of one shape (height, width, 3); even sizes for MP4
    :param fps: Frames per second
    :raises PictureError: When it cannot be written there
    """
    path = check_animation_path(path)
    try:
        if path.suffix.lower() == ".gif":
            # One palette for all frames: no flicker, and a smaller file
            palette = Image.fromarray(np.concatenate(frames[:: max(1, len(frames) // 8)])).quantize(
                256, Image.Quantize.FASTOCTREE
            )
            stills = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
            stills[0].save(path, save_all=True, append_images=stills[1:], duration=1000 // fps, loop=0, optimize=True)
        else:
            iio.imwrite(path, np.stack(frames), fps=fps, codec="libx264", macro_block_size=2)
    except OSError as error:
        raise PictureError(f"Cannot write {path}: {error}") from error


def enlarge(picture: Picture, height: int) -> Picture:
    """:return: The picture with that height, its pixels as crisp squares"""
    width = round(picture.shape[1] * height / picture.shape[0])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST))


def caption(picture: Picture, text: str) -> Picture:
    """:return: A copy of the picture with a line of text in its upper left corner"""
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((12, 10), text, fill=(40, 48, 60), font_size=18)
    return np.asarray(image)


def truth_path(picture: str | Path) -> Path:
    """:return: Where the truth of a photograph lies: beside it, as JSON"""
    return Path(picture).with_suffix(".json")


def write_truth(picture: str | Path, env_id: str, pose: npt.NDArray[np.floating], joints: dict[str, float]) -> Path:
    """
    :param picture: The photograph
    :param env_id: Where it was taken
    :param pose: The pose vector in it
    :param joints: Joint angles in deg, for people
    :return: The file written
    """
    path = truth_path(picture)
    path.write_text(json.dumps({"env": env_id, "pose": [float(x) for x in pose], "joints_deg": joints}, indent=2) + "\n")
    return path


def read_truth(picture: str | Path, env_id: str, dim: int) -> npt.NDArray[np.float32] | None:
    """
    :param picture: A photograph
    :param env_id: The environment in use
    :param dim: Size of its pose vectors
    :return: The pose in the photograph, shape (dim,), or None where no truth of this environment lies beside it
    :raises PictureError: When what lies beside it is damaged
    """
    path = truth_path(picture)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB")
        content: Any = json.loads(path.read_text())
        if content["env"] != env_id:
            return None
        pose = np.array(content["pose"], np.float32)
    except (OSError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise PictureError(f"{path} is no truth written by 'sb3-mimic photograph': {error!r}. Delete or repair it.") from error
    if pose.shape != (dim,) or not np.isfinite(pose).all():
        raise PictureError(f"{path} must hold {dim} finite numbers under 'pose', got shape {pose.shape}. Delete or repair it.")
    return pose
