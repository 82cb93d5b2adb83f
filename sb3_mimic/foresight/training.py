"""Trains predictors on what was collected on the disk."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch as th

from sb3_mimic import keys
from sb3_mimic.data.shards import ACTION, Shards
from sb3_mimic.errors import CollectionError, ForesightError, require_at_least, require_learning_rate
from sb3_mimic.foresight.base import Lesson, VideoPredictor
from sb3_mimic.translator.training import FLOOR, one_cycle

Regime = Literal["teacher", "scheduled", "free"]
# The part of the windows that is measured with and not learnt from, the last ones
VALIDATION = 0.05
# When scheduled sampling shows no true frames any more
SCHEDULED = 0.6
MAX_NORM = 1.0


@dataclass(frozen=True)
class ForesightSettings:
    """
    Says how a predictor of frames is trained.

    :param n_updates: Steps of the optimiser
    :param batch_size: Windows of each
    :param n_seen: Frames that it is shown
    :param n_foreseen: Frames that it is to foresee behind them
    :param regime: What it sees where it has foreseen a frame: ``teacher``, the true one (teacher forcing); ``free``, what it
        foresaw (free rollout); ``scheduled``, the true one at first, and ever less often (scheduled sampling, Bengio et al.,
        arXiv 1506.03099)
    :param learning_rate: The largest of the one-cycle schedule
    :param seed: Of weights and order
    :raises ForesightError: When a number is not allowed, or the regime is unknown
    """

    n_updates: int = 1000
    batch_size: int = 8
    n_seen: int = 4
    n_foreseen: int = 10
    regime: Regime = "free"
    learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least(self, ForesightError, n_updates=1, batch_size=1, n_seen=1, n_foreseen=1)
        if self.regime not in get_args(Regime):
            raise ForesightError(f"Unknown regime {self.regime!r}. There are: {', '.join(get_args(Regime))}.")
        require_learning_rate(self.learning_rate, ForesightError)

    def share_true(self, done: float) -> float:
        """Returns which part of the frames is shown when such a part of the training is done."""
        return {"teacher": 1.0, "free": 0.0, "scheduled": max(0.0, 1 - done / SCHEDULED)}[self.regime]


def require_columns(shards: Shards) -> None:
    """
    Checks that there are frames to foresee, and actions to foresee them by.

    :param shards: A collection
    :raises CollectionError: When it lacks pictures, or its actions are no vectors
    """
    columns = shards.manifest.columns
    if keys.IMAGE not in columns or len(columns[keys.IMAGE].shape) != 3 or columns[keys.IMAGE].dtype != "uint8":
        raise CollectionError(f"{shards.folder} holds no pictures under '{keys.IMAGE}'. It holds: {', '.join(columns)}.")
    if len(columns[ACTION].shape) != 1:
        raise CollectionError(f"Actions must be vectors, and those in {shards.folder} have shape {columns[ACTION].shape}.")


def split_windows(shards: Shards, length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """
    Returns where windows begin that are learnt from, and where those that are measured with, which share no frame.

    :param shards: A collection
    :param length: Rows of a window
    :return: Shape (n, 2) each, as :meth:`~sb3_mimic.data.shards.Shards.starts` gives them
    :raises CollectionError: When there are too few
    """
    starts = shards.starts(length)
    n_kept = max(1, round(VALIDATION * len(starts)))
    if n_kept + length >= len(starts):
        raise CollectionError(f"{shards.folder} holds {len(starts)} windows, too few to learn from. Collect more steps.")
    return starts[: -n_kept - length], starts[-n_kept:]


def read_lesson(shards: Shards, starts: npt.NDArray[np.int64], length: int) -> Lesson:
    """
    Reads windows of frames and actions.

    :param shards: A collection
    :param starts: Where they begin, shape (n, 2)
    :param length: Frames of each
    :return: The windows
    """
    read = shards.windows(starts, length, (keys.IMAGE, ACTION))
    frames = th.from_numpy(np.ascontiguousarray(read[keys.IMAGE].transpose(0, 1, 4, 2, 3))).float() / 255
    return Lesson(frames, th.from_numpy(np.asarray(read[ACTION][:, :-1], np.float32)))


def fit_predictor(
    predictor: VideoPredictor,
    shards: Shards,
    settings: ForesightSettings,
    on_update: Callable[[int, float], object] | None = None,
) -> None:
    """
    Trains a predictor.

    :param predictor: Changed in place
    :param shards: A collection of steps with pictures
    :param settings: How to train
    :param on_update: Is told how many updates are done, and the loss
    :raises CollectionError: When there are too few steps in it
    """
    length = settings.n_seen + settings.n_foreseen
    starts, _ = split_windows(shards, length)
    rng = np.random.default_rng(settings.seed)
    optimizer = th.optim.AdamW(predictor.parameters(), settings.learning_rate, weight_decay=1e-4)
    predictor.train()
    with th.random.fork_rng(devices=[]):
        th.manual_seed(settings.seed)
        for update in range(settings.n_updates):
            done = update / settings.n_updates
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * max(one_cycle(done), FLOOR)
            chosen = starts[np.sort(rng.integers(len(starts), size=settings.batch_size))]
            loss = predictor.loss(read_lesson(shards, chosen, length), settings.share_true(done))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            th.nn.utils.clip_grad_norm_(predictor.parameters(), MAX_NORM)
            optimizer.step()
            if on_update is not None:
                on_update(update + 1, float(loss.detach()))
    predictor.eval()
