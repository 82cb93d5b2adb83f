"""Trains translators on pictures with known states; no other module trains them."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch as th

from sb3_mimic.data.dataset import Dataset
from sb3_mimic.extractors.layers import evaluated
from sb3_mimic.translator.augmentation import Augmentation
from sb3_mimic.translator.base import Translator

# Frames that are mixed before they are read by themselves, where they come in windows
N_MIXED = 4096
# What part of the windows is looked at as such after that, and how often memory learns from what was seen in them: to look
# takes longer than to remember
WINDOW_SHARE, N_WALKS = 0.5, 3
# Part of the largest learning rate that is left after the cycle
FLOOR = 0.02


def one_cycle(progress: float, warm_up: float = 0.15) -> float:
    """
    Computes the one-cycle schedule: up in a straight line, then down to zero in half a cosine (Smith & Topin,
    arXiv:1708.07120).

    :param progress: Part of the training that is done, in [0, 1]
    :param warm_up: Part in which the rate rises
    :return: Part of the largest learning rate, in [0, 1]
    """
    if progress < warm_up:
        return max(progress, 0.0) / warm_up
    return (1 + math.cos(math.pi * min((progress - warm_up) / (1 - warm_up), 1.0))) / 2


def n_processors() -> int:
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_n_threads() -> int:
    """Returns half the number of processors: threads that wait for one that is busy elsewhere cost more than they bring."""
    return max(1, n_processors() // 2)


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    """
    Sets the number of torch's threads inside a block. Convolutions gain from more threads, while PPO's small networks are
    fastest on one thread.

    :param n_threads: Threads for torch inside the block
    """
    before = th.get_num_threads()
    th.set_num_threads(n_threads)
    try:
        yield
    finally:
        th.set_num_threads(before)


def read_windows(
    translator: Translator, images: th.Tensor, episode_starts: npt.NDArray[np.bool_]
) -> tuple[th.Tensor, th.Tensor | None]:
    """
    Reads windows of frames. A translator with memory begins anew with each window, and with each episode in it.

    :param translator: In training or evaluation mode
    :param images: uint8, shape (batch, time, channels, height, width)
    :param episode_starts: Whether an episode begins with a frame, shape (batch, time)
    :return: States, shape (batch, time, state_dim), and the scales of their errors, where the translator gives them
    """
    return _by_episodes(lambda frames: translator.read(frames)[:2], (images,), episode_starts)


def _by_episodes(
    read: Callable[..., tuple[th.Tensor, th.Tensor | None]],
    frames: tuple[th.Tensor, ...],
    episode_starts: npt.NDArray[np.bool_],
) -> tuple[th.Tensor, th.Tensor | None]:
    """
    Reads windows as :func:`read_windows` does.

    :param read: Reads windows without episode starts but at their beginning
    :param frames: What it is given, shape (batch, time, ...) each
    """
    if not episode_starts[:, 1:].any():
        return read(*frames)
    # Stretches of frames between starts, which nothing in their past belongs to: those of the same place go together
    n_windows, n_steps = episode_starts.shape
    stretches: dict[tuple[int, int], list[int]] = {}
    for window, starts in enumerate(episode_starts):
        edges = [0, *(np.flatnonzero(starts[1:]) + 1).tolist(), n_steps]
        for stretch in pairwise(edges):
            stretches.setdefault(stretch, []).append(window)
    state_rows: list[list[th.Tensor]] = [[] for _ in range(n_windows)]
    scale_rows: list[list[th.Tensor]] = [[] for _ in range(n_windows)]
    for (begin, end), windows in sorted(stretches.items()):
        states, scales = read(*(each[windows, begin:end] for each in frames))
        for rows, parts in ((state_rows, states), (scale_rows, () if scales is None else scales)):
            # Without scales there is nothing to be told apart
            for window, part in zip(windows, parts, strict=False):
                rows[window].append(part)
    states = th.stack([th.cat(parts) for parts in state_rows])
    return states, th.stack([th.cat(parts) for parts in scale_rows]) if scale_rows[0] else None


def _laplace_loss(scales: th.Tensor, errors: th.Tensor) -> th.Tensor:
    """
    Computes the mean negative logarithm of the likelihood of errors under Laplace distributions, but for a constant.

    :param scales: Scales of the distributions
    :param errors: Absolute errors, from which nothing is learnt but the scales
    :return: A single number
    """
    return (scales.log() + errors.detach() / scales).mean()


def fit(
    translator: Translator,
    dataset: Dataset,
    n_epochs: int,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
    augmentation: Augmentation | None = None,
) -> float:
    """
    Trains a translator on pictures and their states with the mean absolute error, which weighs the few
    ambiguous pictures less than the squared error would. Where it states scales of its errors, these learn from their
    likelihood.

    :param translator: Trained in place; left without gradients
    :param dataset: What to train on
    :param n_epochs: Passes over the data
    :param batch_size: Windows per step, or all where they are fewer; what is left over at the end of a pass is left out
    :param learning_rate: Learning rate, see :class:`~sb3_mimic.translator.optimizer.Muon`
    :param rng: Shuffles the data, and augments it
    :param augmentation: Changes the pictures of each batch before they are learnt from
    :return: Mean absolute error
    :raises ValueError: When there are no data
    """
    if not len(dataset):
        raise ValueError("There are no pictures to train on")
    batch_size = min(batch_size, len(dataset))
    translator.optimizer.set_rates(learning_rate, batch_size * dataset.images.shape[1])
    device = next(translator.parameters()).device
    was_training = translator.training
    translator.train()
    # Where windows are learnt from as such, what is read in them counts, and frames by themselves are no more than a help
    losses: list[th.Tensor] = []
    walked: list[th.Tensor] = []

    def learn(states: th.Tensor, scales: th.Tensor | None, true: npt.NDArray[np.float32]) -> th.Tensor:
        errors = (states - th.from_numpy(true).to(device)).abs()
        loss = errors.mean()
        told = loss.detach()
        if scales is not None:
            loss = loss + _laplace_loss(scales, errors)
        translator.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        translator.optimizer.step()
        return told

    for _ in range(n_epochs):
        for batch, is_walk in _batches(translator, dataset, batch_size, rng, augmentation):
            images = th.from_numpy(batch.images).to(device)
            if not is_walk:
                losses.append(learn(*read_windows(translator, images, batch.episode_starts), batch.states))
                continue
            seen = translator.look(images)
            for order in (rng.permutation(len(batch)) for _ in range(N_WALKS)):
                # Few steps through time take as long as many
                for some in np.array_split(order, max(1, len(order) // (2 * batch_size))):
                    frames = tuple(each[some] for each in seen)
                    read = _by_episodes(lambda *frames: translator.remember(frames)[:2], frames, batch.episode_starts[some])
                    walked.append(learn(*read, batch.states[some]))
    translator.begin_calibration()
    # PPO clips the gradients of all of the policy's parameters together: leave none behind
    translator.optimizer.zero_grad(set_to_none=True)
    translator.train(was_training)
    return float(th.stack(walked or losses).double().mean())


def _batches(
    translator: Translator,
    dataset: Dataset,
    batch_size: int,
    rng: np.random.Generator,
    augmentation: Augmentation | None,
) -> Iterator[tuple[Dataset, bool]]:
    """
    Goes through a dataset once. Arguments: see :func:`fit`.

    :return: Batches of windows, and whether memory is to learn from them; otherwise each is a step
    """
    order, n_frames = rng.permutation(len(dataset)), dataset.images.shape[1]
    first = translator.learns_frames_first and n_frames > 1
    # Frames of many windows are mixed
    n_mixed = batch_size * max(1, N_MIXED // (batch_size * n_frames)) if first else batch_size
    for start in range(0, len(order) - batch_size + 1, n_mixed):
        taken = dataset[order[start : start + n_mixed]]
        if augmentation is not None:
            images = augmentation(taken.images.reshape(-1, *taken.images.shape[2:]), rng, n_frames)
            taken = replace(taken, images=images.reshape(taken.images.shape))
        if first:
            frames = Dataset.of_pictures(
                taken.images.reshape(-1, *taken.images.shape[2:]), taken.states.reshape(-1, taken.states.shape[2])
            )
            mixed, size = rng.permutation(len(frames)), batch_size * n_frames
            for place in range(0, len(mixed) - size + 1, size):
                yield frames[mixed[place : place + size]], False
            yield taken[np.arange(max(1, round(WINDOW_SHARE * len(taken))))], True
        else:
            yield taken, False


def read_with_scales(
    translator: Translator, dataset: Dataset, batch_size: int = 256
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """
    Reads all windows of a dataset, without learning from them.

    :param translator: Left in the mode that it was in
    :param dataset: What to read
    :param batch_size: Windows at a time
    :return: States, shape (n, time, state_dim), and the scales of their errors, where the translator states them
    """
    device = next(translator.parameters()).device
    read, stated = [], []
    with evaluated(translator):
        for start in range(0, len(dataset), batch_size):
            images = th.from_numpy(dataset.images[start : start + batch_size]).to(device)
            states, scales = read_windows(translator, images, dataset.episode_starts[start : start + batch_size])
            read.append(states.cpu().numpy())
            if scales is not None:
                stated.append(scales.cpu().numpy())
    return np.concatenate(read), np.concatenate(stated) if stated else None


def read_dataset(translator: Translator, dataset: Dataset, batch_size: int = 256) -> npt.NDArray[np.float32]:
    """
    Reads the states of all windows of a dataset. Arguments: see :func:`read_with_scales`.

    :return: States, shape (n, time, state_dim)
    """
    return read_with_scales(translator, dataset, batch_size)[0]
