"""Reads and writes the true pose in a photograph, in a text field of the PNG itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sb3_mimic.errors import PictureError
from sb3_mimic.pictures.files import MAX_BYTES, read_texts, write_picture

#: Name of the text field
FIELD = "sb3_mimic.truth"
# Entries of the JSON file that earlier versions wrote beside the picture; no other program's files have exactly these
FORMER_ENTRIES = {"env", "pose", "joints_deg"}


def write_truth(
    picture: str | Path,
    env_id: str,
    pose: npt.NDArray[np.floating],
    values: dict[str, float],
    renderer: str | None = None,
) -> Path:
    """
    Writes the true pose into a photograph. No other file is made or touched.

    :param picture: The photograph, a PNG
    :param env_id: Where it was taken
    :param pose: The pose vector in it
    :param values: What people want to know of it, such as joint angles in deg, by their names
    :param renderer: What drew it, as the environment's ``renderer`` tells
    :return: The file written: the photograph
    :raises PictureError: When there is no such PNG
    :raises OutputError: When it cannot be written
    """
    try:
        with Image.open(picture, formats=("PNG",)) as opened:
            content = np.array(opened.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureError(f"{picture} is no photograph to write a truth into: {error}") from error
    truth: dict[str, Any] = {"env": env_id, "pose": [float(x) for x in pose], "values": values}
    if renderer is not None:
        truth["renderer"] = renderer
    write_picture(picture, content, {FIELD: json.dumps(truth)})
    return Path(picture)


def read_truth(picture: str | Path, env_id: str, dim: int) -> npt.NDArray[np.float32] | None:
    """
    Reads the true pose of a photograph, from its own text field or from the JSON file that earlier versions wrote beside it.
    Other JSON files are ignored.

    :param picture: A photograph
    :param env_id: The environment in use
    :param dim: Size of its pose vectors
    :return: The pose in the photograph, shape (dim,), or None where there is no truth of this environment
    :raises PictureError: When the truth is damaged
    """
    text = read_texts(picture).get(FIELD)
    if text is None:
        source, content = former_truth_path(picture), _former_truth(picture)
    else:
        source, content = Path(picture), _parsed(text)
        if content is None:
            raise PictureError(f"{source} holds a truth that is damaged. Take the photograph again.")
    if content is None or content.get("env") != env_id:
        return None
    try:
        pose = np.array(content["pose"], np.float32)
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise PictureError(f"{source} holds a truth that is damaged: {error!r}. Delete or repair it.") from error
    if pose.shape != (dim,) or not np.isfinite(pose).all():
        raise PictureError(
            f"{source} must hold {dim} finite numbers under 'pose', got shape {pose.shape}. Delete or repair it."
        )
    return pose


def read_renderer(picture: str | Path) -> str | None:
    """
    Reads what drew a photograph.

    :param picture: A picture
    :return: The name and version of the renderer, or None where the picture does not tell
    """
    content = _parsed(read_texts(picture).get(FIELD))
    renderer = None if content is None else content.get("renderer")
    return renderer if isinstance(renderer, str) else None


def former_truth_path(picture: str | Path) -> Path:
    """Returns where earlier versions wrote the truth of a photograph: beside it, as JSON."""
    return Path(picture).with_suffix(".json")


def _former_truth(picture: str | Path) -> dict[str, Any] | None:
    """Returns the content of the JSON file beside a picture, if it is a truth of ours."""
    path = former_truth_path(picture)
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        content = _parsed(path.read_text())
    except (OSError, UnicodeDecodeError):
        return None
    return content if content is not None and content.keys() == FORMER_ENTRIES else None


def _parsed(text: Any) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (RecursionError, TypeError, ValueError):
        return None
    return content if isinstance(content, dict) else None
