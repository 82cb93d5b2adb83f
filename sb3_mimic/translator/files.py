"""Writes and reads files of a single translator, as safetensors: they hold numbers and text, and can run nothing."""

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_mimic import keys
from sb3_mimic.errors import TranslatorClassError, TranslatorFileError
from sb3_mimic.extractors.weights_file import read_weights, write_weights
from sb3_mimic.pose import PoseLayout, robot_pose
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.conv_lstm import ConvLSTMTranslator
from sb3_mimic.translator.convnet import ConvNetTranslator

#: The only classes that a file can ask for
TRANSLATOR_CLASSES: tuple[type[Translator], ...] = (ConvNetTranslator, ConvLSTMTranslator)
# By what a YAML file calls them
TRANSLATORS = {"convnet": ConvNetTranslator, "convlstm": ConvLSTMTranslator}

# Under this name the description stands in the file's metadata, as JSON
METADATA_KEY = "sb3_mimic.translator"
# Version 1 gave joint limits and a number of key points in place of the parts of a layout; before version 3 nothing was
# known about the renderer and the scales of errors
FORMAT_VERSION, FIRST_VERSION = 3, 1
# Far beyond what any picture has, in pixels and channels
MAX_SIDE, MAX_CHANNELS = 1024, 4


@dataclass(frozen=True)
class TranslatorDescription:
    """
    Describes the translator in a file, beside its weights.

    :param class_name: Name of the translator's class
    :param kwargs: Keyword arguments of its constructor
    :param image_shape: Shape of the pictures that it reads: channels, height, width
    :param pose_layout: What the states that it reads mean, or None where that is not known
    :param renderer: Name of what drew the pictures that it learnt from, or None where that is not known
    """

    class_name: str
    kwargs: dict[str, Any]
    image_shape: tuple[int, int, int]
    pose_layout: PoseLayout | None = None
    renderer: str | None = None

    def __post_init__(self) -> None:
        limits = (MAX_CHANNELS, MAX_SIDE, MAX_SIDE)
        if len(self.image_shape) != len(limits) or not all(
            type(size) is int and 0 < size <= limit for size, limit in zip(self.image_shape, limits, strict=True)
        ):
            raise ValueError(
                f"image_shape must be at most {MAX_CHANNELS} channels and two sides of at most {MAX_SIDE},"
                f" got {self.image_shape}"
            )
        if not isinstance(self.renderer, str | None):
            raise ValueError(f"renderer must be a name or null, got {self.renderer!r}")

    def build(self, translator_class: type[Translator]) -> Translator:
        """Builds a new translator, with weights of its own."""
        unknown = set(self.kwargs) - set(inspect.signature(translator_class).parameters)
        if unknown:
            raise ValueError(f"{self.class_name} knows no {', '.join(sorted(unknown))}")
        return translator_class(spaces.Dict({keys.IMAGE: spaces.Box(0, 255, self.image_shape, np.uint8)}), **self.kwargs)


def save_translator(translator: Translator, path: str | Path, pose_layout: PoseLayout | None = None) -> Path:
    """
    Writes a translator's weights and all that is needed to build it again. Its optimiser's state is left out.

    :param translator: The translator, whose class gives its arguments in ``get_constructor_parameters``
    :param path: A file that ends in .safetensors
    :param pose_layout: What the states that it reads mean: an environment's ``pose_layout``
    :return: The same path
    :raises TranslatorFileError: When the path ends in something else, or cannot be written
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise TranslatorFileError(f"A translator is written as .safetensors, got {path}")
    description = {
        "version": FORMAT_VERSION,
        "class": type(translator).__name__,
        "kwargs": translator.get_constructor_parameters(),
        "image_shape": [translator.n_channels, translator.height, translator.width],
        "pose_layout": pose_layout and pose_layout.to_json(),
        "renderer": translator.renderer,
    }
    try:
        write_weights(path, translator.weights(), METADATA_KEY, description)
    except OSError as error:
        raise TranslatorFileError(f"Cannot write {path}: {error}. Give a file in a folder that exists.") from error
    return path


def find_class(name: str) -> type[Translator]:
    """
    Finds a translator's class by its name.

    :param name: ``convnet``, ``convlstm``, or that of your own, see :func:`import_class`
    :return: The class
    :raises TranslatorClassError: When there is none
    """
    found = TRANSLATORS.get(name)
    if found is None and "." not in name:
        raise TranslatorClassError(
            f"Unknown translator_class '{name}'. Known names: {', '.join(TRANSLATORS)}; or give your own as"
            " package.module.Name."
        )
    return found or import_class(name)


def import_class(dotted: str) -> type[Translator]:
    """
    Imports a translator's class by its name. Importing a module runs it: only name what you trust.

    :param dotted: Module and class, such as ``my_package.eyes.MyTranslator``; the module must be found by Python
    :return: The class, to be given to :func:`load_translator`
    :raises TranslatorClassError: When there is no such module or class, or it is no translator
    """
    module_name, _, class_name = dotted.rpartition(".")
    try:
        if not module_name:
            raise ImportError("a module is missing before the class")
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TranslatorClassError(
            f"There is no {class_name} at {dotted!r}: {error}. Give it as package.module.Name, and run where Python finds the"
            " package."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Translator)):
        raise TranslatorClassError(f"{dotted} is no translator: derive it from sb3_mimic.translator.base.Translator.")
    return found


def read_translator_file(path: str | Path) -> tuple[TranslatorDescription, dict[str, th.Tensor]]:
    """
    Reads the description and the weights in a translator's file.

    :param path: File written by :func:`save_translator`
    :return: The description, and the weights by name
    :raises TranslatorFileError: When it is missing, damaged, too large, or something else
    """
    path = Path(path)
    if not path.is_file():
        raise TranslatorFileError(f"There is no file {path}. Write one with: sb3-mimic export-translator")
    try:
        content, weights = read_weights(path, METADATA_KEY)
        return _described(content), weights
    # A damaged file fails in many ways
    except Exception as error:
        raise TranslatorFileError(
            f"{path} is no translator written by 'sb3-mimic export-translator', or damaged: {error}. Export it again."
        ) from error


def load_translator(
    path: str | Path, translator_classes: Sequence[type[Translator]] = TRANSLATOR_CLASSES
) -> tuple[Translator, PoseLayout | None]:
    """
    Loads a translator from a file.

    :param path: File written by :func:`save_translator`
    :param translator_classes: What the file may ask for; add your own
    :return: The translator, and what the states that it reads mean, where the file says so
    :raises TranslatorFileError: When the file is missing, damaged, or asks for another class
    """
    description, weights = read_translator_file(path)
    known = {translator_class.__name__: translator_class for translator_class in translator_classes}
    if description.class_name not in known:
        raise TranslatorFileError(
            f"{path} asks for the class {description.class_name!r}. Allowed are: {', '.join(known)}."
            " Pass your own to load_translator as translator_classes."
        )
    translator_class = known[description.class_name]
    try:
        # Without memory: nothing is allocated for what does not fit the weights that are really there
        with th.device("meta"):
            plan = description.build(translator_class)
        _require_same_shapes(plan, weights)
        translator = description.build(translator_class)
    except Exception as error:
        raise TranslatorFileError(f"{path}: its description and its weights do not fit: {error}. Export it again.") from error
    translator.set_weights(weights, description.renderer)
    translator.eval()
    return translator, description.pose_layout


def replace_translator(translator: Translator, path: str | Path, pose_layout: PoseLayout | None = None) -> None:
    """
    Replaces the weights of a policy's translator with those in a file, and resets its optimiser.

    :param translator: Changed in place; left as it is when anything does not fit
    :param path: File written by :func:`save_translator`
    :param pose_layout: What the states that it reads mean; compared where the file says what they mean in it
    :raises TranslatorFileError: When the file is missing or damaged, or does not fit
    """
    description, weights = read_translator_file(path)
    image_shape = (translator.n_channels, translator.height, translator.width)
    try:
        if description.class_name != type(translator).__name__:
            raise ValueError(f"it holds a {description.class_name}, and the agent has a {type(translator).__name__}")
        if description.image_shape != image_shape:
            raise ValueError(f"it reads pictures of shape {description.image_shape}, and the agent's have {image_shape}")
        if pose_layout is not None and description.pose_layout not in (None, pose_layout):
            raise ValueError(f"it reads poses of {description.pose_layout}, and the agent's are of {pose_layout}")
        _require_same_shapes(translator, weights)
    except ValueError as error:
        raise TranslatorFileError(
            f"{path} does not fit the agent: {error}. Export it from an agent of the same environment and hyperparameters."
        ) from error
    translator.set_weights(weights, description.renderer)


def _described(content: Any) -> TranslatorDescription:
    if content["version"] not in range(FIRST_VERSION, FORMAT_VERSION + 1):
        raise ValueError(f"its version is {content['version']!r}, and only those up to {FORMAT_VERSION} are known")
    layout = content["pose_layout"]
    if layout is not None and content["version"] != FIRST_VERSION:
        layout = PoseLayout.from_json(layout)
    elif layout is not None:
        low, high = (tuple(float(angle) for angle in layout[name]) for name in ("joint_low", "joint_high"))
        if not np.isfinite(low + high).all():
            raise ValueError(f"joint limits must be finite, got {low}, {high}")
        layout = robot_pose(low, high, int(layout["n_keypoints"]))
    named = str(content["class"]), dict(content["kwargs"]), tuple(content["image_shape"])
    return TranslatorDescription(*named, layout, content.get("renderer"))


def _require_same_shapes(translator: Translator, given: dict[str, th.Tensor]) -> None:
    expected, newer = translator.weights(), translator.newer_weights
    if newer and not any(name.startswith(newer) for name in given):
        # A file of before
        expected = {name: value for name, value in expected.items() if not name.startswith(newer)}
    if expected.keys() != given.keys():
        different = sorted(expected.keys() ^ given.keys())
        raise ValueError(f"weights that only one of them has: {', '.join(different[:4])}")
    for name, value in expected.items():
        found = given[name]
        if (value.shape, value.dtype) != (found.shape, found.dtype):
            raise ValueError(
                f"{name} must be {value.dtype} of shape {tuple(value.shape)}, got {found.dtype} of shape {tuple(found.shape)}"
            )
