"""Trains what foresees poses: first to read them, then how they move, then what to believe of what was read."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch as th

from sb3_mimic import keys
from sb3_mimic.data.shards import ACTION, Shards
from sb3_mimic.errors import CollectionError, ForesightError, require_at_least, require_learning_rate
from sb3_mimic.extractors.layers import evaluated
from sb3_mimic.foresight.pose import PosePredictor
from sb3_mimic.foresight.training import MAX_NORM, split_windows
from sb3_mimic.pose import PoseLayout
from sb3_mimic.translator.lesson import measured
from sb3_mimic.translator.supervised import FitSettings, fit_epoch
from sb3_mimic.translator.training import FLOOR, one_cycle

# Windows of poses that are in memory, and those of frames that the filter learns from
MAX_WINDOWS, N_READ = 200_000, 4096
# Frames that are read at a time, and the part of the training in which rollouts grow to their full length
N_AT_ONCE, GROWING = 64, 0.6

Rows = tuple[th.Tensor, th.Tensor]
# Is told what is learnt, how many steps of how many are done, and the loss
Tell = Callable[[str, int, int, float], object]


@dataclass(frozen=True)
class PoseSettings:
    """
    Says how a predictor of poses is trained.

    :param n_epochs: Passes over the frames while it learns to read; 0 where its reader reads well already
    :param n_updates: Steps of the optimiser while it learns how joints move, and once more half as many while it learns what
        to believe
    :param batch_size: Windows of each
    :param n_seen: Frames that it learns to believe from, at least 2: one shows no speed
    :param n_foreseen: Steps that it is to foresee
    :param learning_rate: The largest of the one-cycle schedules
    :param is_free: Whether it goes on from what it foresaw itself (free rollout), and not from true poses (teacher forcing)
    :param seed: Of weights and order
    :raises ForesightError: When a number is not allowed
    """

    n_epochs: int = 4
    n_updates: int = 12000
    batch_size: int = 256
    n_seen: int = 8
    n_foreseen: int = 20
    learning_rate: float = 3e-3
    is_free: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least(self, ForesightError, n_epochs=0, n_updates=1, batch_size=1, n_foreseen=1, n_seen=2)
        require_learning_rate(self.learning_rate, ForesightError)


def pose_layout_of(shards: Shards) -> PoseLayout:
    """
    Returns what the poses in a collection mean.

    :param shards: The collection
    :raises CollectionError: When it holds none, or nobody said what they mean
    """
    layout = shards.manifest.layouts.get(keys.ACHIEVED_GOAL)
    if layout is None:
        raise CollectionError(
            f"{shards.folder} holds no poses under '{keys.ACHIEVED_GOAL}' whose meaning is known. Foresee frames, by another"
            " predictor."
        )
    return layout


def fit_pose_predictor(
    predictor: PosePredictor,
    shards: Shards,
    settings: PoseSettings,
    on_progress: Tell | None = None,
) -> None:
    """
    Trains a predictor of poses.

    :param predictor: Changed in place
    :param shards: A collection of steps with pictures and the poses in them
    :param settings: How to train
    :param on_progress: Is told what is learnt, how many steps of how many are done, and the loss
    :raises CollectionError: When there are too few steps in it
    """
    tell = on_progress or (lambda *told: None)
    rng = np.random.default_rng(settings.seed)
    with th.random.fork_rng(devices=[]):
        th.manual_seed(settings.seed)
        if settings.n_epochs:
            _learn_to_read(predictor, shards, settings, rng, tell)
        predictor.eval()
        starts, _ = split_windows(shards, settings.n_foreseen + 2)
        _learn_to_go_on(predictor, _poses(predictor, shards, starts, settings.n_foreseen + 2, rng), settings, rng, tell)
        _learn_to_believe(predictor, shards, settings, rng, tell)
    predictor.eval()


def _learn_to_read(
    predictor: PosePredictor,
    shards: Shards,
    settings: PoseSettings,
    rng: np.random.Generator,
    tell: Tell,
) -> None:
    learnt, kept = split_windows(shards, 1)
    how, reader = FitSettings(n_epochs=settings.n_epochs, seed=settings.seed), predictor.reader
    reader.renderer = shards.manifest.renderer
    kept = kept[np.linspace(0, len(kept) - 1, min(len(kept), 1024)).astype(np.int64)]
    validation = shards.dataset(kept, 1, how.image, how.label)
    for epoch in range(how.n_epochs):
        loss = fit_epoch(reader, shards, learnt, how, epoch, rng)
        # The scales that it states are calibrated with what it has not learnt from
        measured(reader, validation, None, len(validation), rng)
        tell("reading", epoch + 1, how.n_epochs, loss)


def _learn_to_go_on(
    predictor: PosePredictor,
    rows: Rows,
    settings: PoseSettings,
    rng: np.random.Generator,
    tell: Tell,
) -> None:
    """Learns how joints move, from true poses: two of them tell a change, what follows is to be foreseen."""
    poses, actions = rows
    optimizer = th.optim.AdamW(predictor.dynamics.parameters(), settings.learning_rate, weight_decay=1e-4)
    for update in range(settings.n_updates):
        done = _schedule(optimizer, settings, update, settings.n_updates)
        n_steps = 1 + round((settings.n_foreseen - 1) * min(1.0, done / GROWING)) if settings.is_free else 1
        chosen = th.from_numpy(rng.integers(len(poses), size=settings.batch_size))
        here, taken = poses[chosen, : n_steps + 2], actions[chosen, : n_steps + 1]
        foreseen = predictor.go_on(here[:, 1], here[:, 1] - here[:, 0], taken[:, 0], taken[:, 1:])
        loss = (foreseen - here[:, 2:]).abs().mean()
        _update(optimizer, loss)
        tell("moving", update + 1, settings.n_updates, float(loss.detach()))


def _learn_to_believe(
    predictor: PosePredictor,
    shards: Shards,
    settings: PoseSettings,
    rng: np.random.Generator,
    tell: Tell,
) -> None:
    """Learns what to believe of what is read, so that what follows from it comes true."""
    length, n_updates = settings.n_seen + settings.n_foreseen, max(1, settings.n_updates // 2)
    starts, _ = split_windows(shards, length)
    starts = starts[np.sort(rng.choice(len(starts), min(N_READ, len(starts)), replace=False))]
    read, scales = _reads(predictor, shards, starts, settings.n_seen)
    poses, actions = _poses(predictor, shards, starts, length, rng)
    optimizer = th.optim.AdamW(predictor.belief.parameters(), settings.learning_rate, weight_decay=1e-4)
    for update in range(n_updates):
        _schedule(optimizer, settings, update, n_updates)
        chosen = th.from_numpy(rng.integers(len(poses), size=max(1, settings.batch_size // 4)))
        # Of some windows fewer frames are seen
        n_seen = int(rng.integers(2, settings.n_seen + 1))
        begin = settings.n_seen - n_seen
        taken = th.nn.functional.pad(actions[chosen, begin : settings.n_seen - 1], (0, 0, 2, 0))
        seen = read[chosen, begin:], scales[chosen, begin:]
        place, change, _ = predictor.believe(*seen, taken)
        foreseen = predictor.go_on(place, change, taken[:, -1], actions[chosen, settings.n_seen - 1 :])
        true = poses[chosen, settings.n_seen - 1 :]
        loss = (th.cat((place[:, None], foreseen), dim=1) - true).abs().mean()
        _update(optimizer, loss)
        tell("believing", update + 1, n_updates, float(loss.detach()))


def _poses(
    predictor: PosePredictor, shards: Shards, starts: npt.NDArray[np.int64], length: int, rng: np.random.Generator
) -> Rows:
    """Returns scaled joints, shape (n, length, n_joints), and actions, shape (n, length - 1, action_dim)."""
    if len(starts) > MAX_WINDOWS:
        starts = starts[np.sort(rng.choice(len(starts), MAX_WINDOWS, replace=False))]
    read = shards.windows(starts, length, (keys.ACHIEVED_GOAL, ACTION))
    joints = np.asarray(read[keys.ACHIEVED_GOAL][..., : predictor.n_joints], np.float32)
    return th.from_numpy(joints), th.from_numpy(np.asarray(read[ACTION][:, :-1], np.float32))


def _reads(predictor: PosePredictor, shards: Shards, starts: npt.NDArray[np.int64], n_seen: int) -> Rows:
    """Returns what is read in the first frames of windows, and the logarithms of the scales, shape (n, n_seen, n_joints)."""
    found: list[Rows] = []
    with evaluated(predictor):
        for begin in range(0, len(starts), N_AT_ONCE):
            images = shards.windows(starts[begin : begin + N_AT_ONCE], n_seen, (keys.IMAGE,))[keys.IMAGE]
            found.append(predictor.read(th.from_numpy(images.transpose(0, 1, 4, 2, 3)).float() / 255))
    return th.cat([read for read, _ in found]), th.cat([scales for _, scales in found])


def _schedule(optimizer: th.optim.Optimizer, settings: PoseSettings, update: int, n_updates: int) -> float:
    """Sets the learning rate, and returns which part is done."""
    done = update / n_updates
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * max(one_cycle(done), FLOOR)
    return done


def _update(optimizer: th.optim.Optimizer, loss: th.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    th.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], MAX_NORM)
    optimizer.step()
