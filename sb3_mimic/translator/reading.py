"""Reads the pictures of a rollout again, all at once, as the policy read them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th

from sb3_mimic.extractors.translated import PoseReadingExtractor

# Larger ones do not fit a core's cache
BATCH_SIZE = 64


def read_rollout(
    extractor: PoseReadingExtractor, observations: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[np.float32]]:
    """
    Reads pictures as a policy did when it chose its actions, provided that its translator has not been trained since.
    What was there in the step before, such as the picture of a goal or a stacked frame, is read once.

    :param extractor: The policy's, which reads with its translator
    :param observations: Observations of a rollout, by key, shape (n_steps, n_envs, ...)
    :return: States that may replace each picture, by its key, shape (n_steps, n_envs, n_read * state_dim)
    """
    read = {}
    for key, n_read in extractor.windows.items():
        pictures = observations[key][:, :, -n_read * extractor.n_channels :]
        n_steps, n_envs, _, height, width = pictures.shape
        # A translator with memory must see the frames of a window together
        length = n_read if extractor.has_memory else 1
        units = pictures.reshape(n_steps, n_envs, n_read // length, length, extractor.n_channels, height, width)
        different, places = _different(units)
        states = _read(extractor, different)[places].reshape(n_steps, n_envs, n_read, extractor.state_dim)
        if n_read > 1:
            # As in PoseReadingExtractor.read: before an episode's first frame there was none
            is_black = np.asarray(~_words(different.reshape(len(different), length, -1)).any(axis=-1))
            is_black = is_black[places].reshape(n_steps, n_envs, n_read, 1)
            states = np.where(is_black, states[:, :, -1:], states)
        read[key] = states.reshape(n_steps, n_envs, -1)
    return read


def _read(extractor: PoseReadingExtractor, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Reads the states in frames of shape (n, time, n_channels, height, width)."""
    batches = (images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE))
    return np.concatenate([extractor.translate(th.from_numpy(batch))[0].cpu().numpy() for batch in batches])


def _different(units: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """
    Finds the units that were not there in the step before, in the place of the next one or of the last.

    :param units: What is read at once, several in each step, shape (n_steps, n_envs, n_units, ...)
    :return: The new units, shape (n, ...); and for each unit its place among them, shape (n_steps, n_envs, n_units)
    """
    n_units = units.shape[2]
    # Where stacked frames were in the step before
    before = np.minimum(np.arange(n_units) + 1, n_units - 1)
    pixels = _words(units.reshape(*units.shape[:3], -1))
    is_new = np.ones(units.shape[:3], bool)
    # The newest of several frames hardly ever is that of the step before: it is not compared
    for unit in range(max(n_units - 1, 1)):
        is_new[1:, :, unit] = (pixels[1:, :, unit] != pixels[:-1, :, before[unit]]).any(axis=-1)
    places = is_new.cumsum().reshape(is_new.shape) - 1
    for step in range(1, len(units)):
        places[step] = np.where(is_new[step], places[step], places[step - 1][:, before])
    return units[is_new], places


def _words(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Views pixels eight at a time, where their number allows it, which makes them quicker to compare."""
    return pixels.view(np.uint64) if pixels.shape[-1] % 8 == 0 and pixels.strides[-1] == 1 else pixels
