"""Trains translators on what was collected on the disk, epoch by epoch; a training goes on where it ended, bit by bit."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sb3_mimic import keys
from sb3_mimic.data.shards import Shards
from sb3_mimic.errors import CollectionError, FitError, require_at_least, require_learning_rate
from sb3_mimic.translator.augmentation import Augmentation
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.files import TRANSLATORS, save_translator
from sb3_mimic.translator.lesson import Lesson, measured
from sb3_mimic.translator.training import FLOOR, fit, one_cycle
from sb3_mimic.writing import write_whole

CHECKPOINT, RESULT, SCALARS = "checkpoint.safetensors", "translator.safetensors", "tensorboard"
# Under this name the progress of a training stands in the metadata of its checkpoint, as JSON
PROGRESS = "sb3_mimic.fit"
# Frames that are in memory at a time, and the part of the windows that is measured with and not learnt from
N_LOADED, VALIDATION, MAX_VALIDATION = 8192, 0.05, 2048

Draw = Callable[[npt.NDArray[np.uint8], Mapping[str, Any]], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class FitSettings:
    """
    Says how a translator is trained.

    :param translator: ``convnet`` or ``convlstm``
    :param n_epochs: Passes over the windows
    :param window: Frames of a window: 1 for a translator without memory
    :param batch_size: Frames per step
    :param learning_rate: The largest of the one-cycle schedule
    :param augmentation: Changes the pictures that are learnt from, see
        :class:`~sb3_mimic.translator.augmentation.Augmentation`
    :param seed: Of weights, order and augmentation
    :param image: Column of the pictures
    :param label: Column of the states in them
    :raises FitError: When a number is not allowed, or the translator is unknown
    """

    translator: str = "convnet"
    n_epochs: int = 10
    window: int = 1
    batch_size: int = 256
    learning_rate: float = 3e-3
    augmentation: bool = False
    seed: int = 0
    image: str = keys.IMAGE
    label: str = keys.ACHIEVED_GOAL

    def __post_init__(self) -> None:
        if self.translator not in TRANSLATORS:
            raise FitError(f"Unknown translator {self.translator!r}. There are: {', '.join(TRANSLATORS)}.")
        require_at_least(self, FitError, n_epochs=1, window=1, batch_size=1)
        if self.batch_size < self.window:
            raise FitError(f"batch_size must hold a window of {self.window} frames, got {self.batch_size}.")
        require_learning_rate(self.learning_rate, FitError)


def fit_shards(
    shards: Shards,
    folder: str | Path,
    settings: FitSettings,
    draw: Draw | None = None,
    on_epoch: Callable[[int, Lesson], object] | None = None,
) -> Path:
    """
    Trains a translator on a collection, or goes on with a training that ended before: the result is the same to the last bit.

    After each epoch the folder holds a checkpoint of weights, optimiser, random numbers and epoch, and TensorBoard's scalars,
    pictures and weight histograms, where TensorBoard is installed.

    :param shards: The collection
    :param folder: What is written lies there; made where it is missing
    :param settings: How to train
    :param draw: Draws states, by their names, over a picture, for the pictures that are logged
    :param on_epoch: Is told how many epochs are done and what was measured
    :return: The translator's file, which ``import-translator`` gives to an agent
    :raises CollectionError: When the collection lacks such pictures, states or windows
    :raises FitError: When another training lies in the folder, or its checkpoint is damaged
    """
    folder = Path(folder)
    columns, layout = shards.manifest.columns, shards.manifest.layouts.get(settings.label)
    _require_columns(shards, settings)
    height, width, n_channels = columns[settings.image].shape
    space = spaces.Dict({keys.IMAGE: spaces.Box(0, 255, (n_channels, height, width), np.uint8)})
    with th.random.fork_rng(devices=[]):
        th.manual_seed(settings.seed)
        translator = TRANSLATORS[settings.translator](space, state_dim=columns[settings.label].shape[0])
    translator.renderer = shards.manifest.renderer
    progress = _Progress.of(shards, settings)
    folder.mkdir(parents=True, exist_ok=True)
    progress.restore(folder / CHECKPOINT, translator)
    learnt, kept = _split(shards, settings)
    validation = shards.dataset(kept, settings.window, settings.image, settings.label)
    augmentation = Augmentation() if settings.augmentation else None
    writer = _writer(folder / SCALARS, progress.n_epochs)
    try:
        while progress.n_epochs < settings.n_epochs:
            loss = fit_epoch(translator, shards, learnt, settings, progress.n_epochs, progress.rng, augmentation)
            lesson = measured(translator, validation, layout, len(validation), np.random.default_rng(settings.seed))
            lesson.measures["loss"] = loss
            progress.n_epochs += 1
            if writer is not None:
                _log(writer, progress.n_epochs, lesson, translator, draw)
            progress.write(folder / CHECKPOINT, translator)
            if on_epoch is not None:
                on_epoch(progress.n_epochs, lesson)
    finally:
        if writer is not None:
            writer.close()
    return save_translator(translator, folder / RESULT, layout)


def fit_epoch(
    translator: Translator,
    shards: Shards,
    starts: npt.NDArray[np.int64],
    settings: FitSettings,
    n_epochs: int,
    rng: np.random.Generator,
    augmentation: Augmentation | None = None,
) -> float:
    """
    Goes through windows once.

    :param translator: Changed in place
    :param shards: The collection
    :param starts: Where the windows begin, shape (n, 2)
    :param settings: How to train
    :param n_epochs: How often it went through them before
    :param rng: Of the order and the augmentation
    :param augmentation: Changes the pictures
    :return: The mean absolute error of what was read
    """
    size, order = max(1, N_LOADED // settings.window), rng.permutation(len(starts))
    losses = []
    for start in range(0, len(order), size):
        done = (n_epochs + start / len(order)) / settings.n_epochs
        rate = settings.learning_rate * max(one_cycle(done), FLOOR)
        # In the order in which they lie on the disk
        dataset = shards.dataset(starts[np.sort(order[start : start + size])], settings.window, settings.image, settings.label)
        losses.append(fit(translator, dataset, 1, settings.batch_size // settings.window, rate, rng, augmentation))
    return float(np.mean(losses))


@dataclass
class _Progress:
    """How far a training has come."""

    what: str
    rng: np.random.Generator
    n_epochs: int = 0

    @classmethod
    def of(cls, shards: Shards, settings: FitSettings) -> "_Progress":
        manifest = shards.manifest
        # Which steps are learnt from, and how
        data = [manifest.env_id, manifest.policy, manifest.seed, manifest.n_steps, manifest.shard_steps]
        what = json.dumps({"settings": asdict(settings), "data": data})
        return cls(what, np.random.default_rng(settings.seed))

    def write(self, path: Path, translator: Translator) -> None:
        state = {"what": self.what, "n_epochs": self.n_epochs, "rng": self.rng.bit_generator.state}
        tensors = {name: value.detach().contiguous() for name, value in translator.state_dict().items()}
        write_whole(path, save(tensors, metadata={PROGRESS: json.dumps(state)}))

    def restore(self, path: Path, translator: Translator) -> None:
        if not path.is_file():
            return
        try:
            with safe_open(path, framework="pt") as file:
                state = json.loads(file.metadata()[PROGRESS])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if state["what"] == self.what:
                translator.load_state_dict(tensors)
                self.rng.bit_generator.state = state["rng"]
                self.n_epochs = int(state["n_epochs"])
                return
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise FitError(f"{path} is damaged: {error}. Delete it to begin anew.") from error
        raise FitError(
            f"In {path.parent} lies a training with other settings or data: {state['what']} and not {self.what}. Give another"
            " folder, or the same settings to go on."
        )


def _require_columns(shards: Shards, settings: FitSettings) -> None:
    columns = shards.manifest.columns
    for name, n_dims, what in ((settings.image, 3, "pictures"), (settings.label, 1, "states")):
        if name not in columns or len(columns[name].shape) != n_dims:
            raise CollectionError(f"{shards.folder} holds no {what} under '{name}'. It holds: {', '.join(columns)}.")


def _split(shards: Shards, settings: FitSettings) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns where windows begin that are learnt from, and where those that are measured with; of episodes of their own."""
    starts = shards.starts(settings.window)
    n_kept = max(1, round(VALIDATION * len(starts)))
    if n_kept + settings.window >= len(starts):
        raise CollectionError(f"{shards.folder} holds {len(starts)} windows, too few to learn from. Collect more steps.")
    # The last ones, in time; those that overlap with them are left out
    kept = starts[-n_kept:]
    chosen = np.linspace(0, n_kept - 1, min(n_kept, MAX_VALIDATION // settings.window + 1)).astype(np.int64)
    # Of windows that overlap each shows a frame anew
    return starts[: -n_kept - settings.window + 1][:: max(1, settings.window // 2)], kept[chosen]


def _writer(folder: Path, n_epochs: int) -> Any:
    """Makes what writes for TensorBoard, which drops what was written after so many epochs; None where it is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        warnings.warn("Nothing is written for TensorBoard, which is not installed: pip install tensorboard", stacklevel=3)
        return None
    return SummaryWriter(str(folder), purge_step=n_epochs)


def _log(writer: Any, n_epochs: int, lesson: Lesson, translator: Translator, draw: Draw | None) -> None:
    for name, value in lesson.measures.items():
        writer.add_scalar(f"translator/{name}", value, n_epochs)
    if lesson.picture is not None:
        picture = lesson.picture if draw is None else draw(lesson.picture, lesson.states)
        writer.add_image("translator/picture", picture, n_epochs, dataformats="HWC")
    for name, weights in translator.named_parameters():
        writer.add_histogram(name, weights.detach(), n_epochs)
