"""Writes and reads files of a single predictor, as safetensors: they hold numbers and text, and can run nothing."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_mimic import keys
from sb3_mimic.data.shards import ACTION, Shards
from sb3_mimic.errors import PredictorFileError
from sb3_mimic.extractors.weights_file import read_weights, write_weights
from sb3_mimic.foresight.base import VideoPredictor
from sb3_mimic.foresight.baselines import FeedForwardPredictor, LSTMPredictor
from sb3_mimic.foresight.conv_lstm import ConvLSTMPredictor
from sb3_mimic.foresight.pose import PosePredictor
from sb3_mimic.foresight.pose_training import pose_layout_of
from sb3_mimic.foresight.simvp import SimVPPredictor
from sb3_mimic.foresight.training import require_columns

#: The only classes that a file can ask for, by what they are called
PREDICTORS: dict[str, type[VideoPredictor]] = {
    "pose": PosePredictor,
    "convlstm": ConvLSTMPredictor,
    "simvp": SimVPPredictor,
    "cnn": FeedForwardPredictor,
    "lstm": LSTMPredictor,
}
# Under this name the description stands in the file's metadata, as JSON
METADATA_KEY = "sb3_mimic.predictor"
VERSION = 1
# Far beyond what any picture has, in pixels and channels
MAX_SIDE, MAX_CHANNELS = 1024, 4


@dataclass(frozen=True)
class Origin:
    """
    Says what a predictor was trained on.

    :param env_id: Id of the environment
    :param env_kwargs: Its arguments
    :param renderer: Name of what drew the pictures, where that is known
    """

    env_id: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    renderer: str | None = None


def new_predictor(name: str, shards: Shards) -> VideoPredictor:
    """
    Makes a predictor of what is in a collection, with weights of its own.

    :param name: One of :data:`PREDICTORS`
    :param shards: The collection
    :return: The predictor
    :raises CollectionError: When the collection lacks pictures, actions that are vectors, or poses where those are foreseen
    """
    require_columns(shards)
    manifest, kind = shards.manifest, PREDICTORS[name]
    height, width, n_channels = manifest.columns[keys.IMAGE].shape
    space = spaces.Dict({keys.IMAGE: spaces.Box(0, 255, (n_channels, height, width), np.uint8)})
    given: dict[str, Any] = {"layout": pose_layout_of(shards)} if kind is PosePredictor else {}
    return kind(space, manifest.columns[ACTION].shape[0], **given)


def save_predictor(predictor: VideoPredictor, path: str | Path, origin: Origin) -> Path:
    """
    Writes a predictor's weights and all that is needed to build it again.

    :param predictor: One of :data:`PREDICTORS`
    :param path: A file that ends in .safetensors
    :param origin: What it was trained on
    :return: The same path
    :raises PredictorFileError: When the path ends in something else or cannot be written, or the predictor is of another class
    """
    path, names = Path(path), {kind: name for name, kind in PREDICTORS.items()}
    if path.suffix != ".safetensors":
        raise PredictorFileError(f"A predictor is written as .safetensors, got {path}")
    if type(predictor) not in names:
        raise PredictorFileError(f"A file can hold {', '.join(PREDICTORS)}, and no {type(predictor).__name__}.")
    description = {
        "version": VERSION,
        "predictor": names[type(predictor)],
        "kwargs": predictor.get_constructor_parameters(),
        "image_shape": [predictor.n_channels, predictor.height, predictor.width],
        "env_id": origin.env_id,
        "env_kwargs": dict(origin.env_kwargs),
        "renderer": origin.renderer,
    }
    # Weights alone: the optimiser of what reads stays behind
    weights = {name: value for name, value in predictor.state_dict().items() if "optimizer." not in name}
    try:
        write_weights(path, weights, METADATA_KEY, description)
    except OSError as error:
        raise PredictorFileError(f"Cannot write {path}: {error}. Give a file in a folder that exists.") from error
    return path


def load_predictor(path: str | Path) -> tuple[VideoPredictor, Origin]:
    """
    Loads a predictor from a file.

    :param path: File written by :func:`save_predictor`
    :return: The predictor, and what it was trained on
    :raises PredictorFileError: When the file is missing, damaged, or something else
    """
    path = Path(path)
    if not path.is_file():
        raise PredictorFileError(f"There is no file {path}. Train a predictor with: sb3-mimic fit DATA --predictor pose")
    try:
        content, weights = read_weights(path, METADATA_KEY)
        if content["version"] != VERSION:
            raise ValueError(f"its version is {content['version']!r}, and only {VERSION} is known")
        kind, kwargs = PREDICTORS[content["predictor"]], dict(content["kwargs"])
        shape = tuple(int(size) for size in content["image_shape"])
        if len(shape) != 3 or not 0 < shape[0] <= MAX_CHANNELS or not 0 < min(shape[1:]) <= max(shape[1:]) <= MAX_SIDE:
            raise ValueError(f"pictures of shape {shape} are not allowed")
        if unknown := set(kwargs) - set(inspect.signature(kind).parameters):
            raise ValueError(f"{kind.__name__} knows no {', '.join(sorted(unknown))}")
        space = spaces.Dict({keys.IMAGE: spaces.Box(0, 255, shape, np.uint8)})
        # Without memory: nothing is allocated for what does not fit the weights that are really there
        with th.device("meta"):
            expected = {name: value.shape for name, value in kind(space, **kwargs).state_dict().items()}
        found = {name: value.shape for name, value in weights.items() if not name.endswith("renderer")}
        if expected != found:
            raise ValueError(f"weights differ: {', '.join(sorted(dict(expected.items() ^ found.items()))[:3])}")
        predictor = kind(space, **kwargs)
        predictor.load_state_dict(weights)
        origin = Origin(str(content["env_id"]), dict(content["env_kwargs"]), content["renderer"])
    # A damaged file fails in many ways
    except Exception as error:
        raise PredictorFileError(
            f"{path} is no predictor written by 'sb3-mimic fit', or damaged: {error}. Train it again."
        ) from error
    predictor.eval()
    return predictor, origin
