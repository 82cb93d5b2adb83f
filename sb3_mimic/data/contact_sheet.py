"""Draws a sheet of what was collected."""

import numpy as np
import numpy.typing as npt

from sb3_mimic import keys
from sb3_mimic.data.shards import Shards
from sb3_mimic.errors import CollectionError
from sb3_mimic.pictures.drawing import enlarge

# Rows and columns of pictures, how high each is, and what lies between them, in pixels
N_ROWS, N_COLUMNS, SIDE, GAP = 6, 8, 96, 4
# At most so many steps lie between two pictures of a row
LONGEST = 4


def contact_sheet(shards: Shards, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """
    Draws frames that follow one another, of episodes chosen at random.

    :param shards: The collection
    :param rng: Chooses
    :return: Shape (height, width, 3)
    :raises CollectionError: When it holds no pictures
    """
    column = shards.manifest.columns.get(keys.IMAGE)
    if column is None or len(column.shape) != 3:
        raise CollectionError(f"{shards.folder} holds no pictures under '{keys.IMAGE}': there is nothing to draw.")
    step = next((step for step in range(LONGEST, 1, -1) if _has(shards, (N_COLUMNS - 1) * step + 1)), 1)
    length = (N_COLUMNS - 1) * step + 1 if _has(shards, N_COLUMNS) else 1
    frames = shards.sample(N_ROWS, length, (keys.IMAGE,), rng)[keys.IMAGE][:, ::step]
    rows = []
    for each in frames:
        pictures = [enlarge(_in_colour(frame), SIDE) for frame in each]
        gap = np.full((SIDE, GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1))
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])


def _has(shards: Shards, length: int) -> bool:
    try:
        shards.starts(length)
    except CollectionError:
        return False
    return True


def _in_colour(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return frame if frame.shape[2] == 3 else np.repeat(frame[..., :1], 3, axis=2)
