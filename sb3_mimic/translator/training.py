"""The only supervised loop."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch as th

from sb3_mimic.data.dataset import PoseDataset
from sb3_mimic.translator.base import Translator


def default_n_threads() -> int:
    """:return: Half of the processors: threads that wait for one that is busy elsewhere cost more than they bring"""
    n_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, n_cpus // 2)


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    """
    Convolutions gain from more threads, while PPO's small networks are fastest on one thread.

    :param n_threads: Threads for torch inside the block
    """
    before = th.get_num_threads()
    th.set_num_threads(n_threads)
    try:
        yield
    finally:
        th.set_num_threads(before)


def fit(
    translator: Translator,
    dataset: PoseDataset,
    n_epochs: int,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
) -> float:
    """
    Train a translator on pictures and their states with the mean absolute error, which weighs the few
    ambiguous pictures less than the squared error would.

    :param translator: Trained in place; left without gradients
    :param dataset: What to train on
    :param n_epochs: Passes over the data
    :param batch_size: Pictures per step, or all where they are fewer; what is left over at the end of a pass is left out
    :param learning_rate: Of Adam
    :param rng: Shuffles the data
    :return: Mean loss
    :raises ValueError: When there are no data
    """
    if not len(dataset):
        raise ValueError("There are no pictures to train on")
    batch_size = min(batch_size, len(dataset))
    for group in translator.optimizer.param_groups:
        group["lr"] = learning_rate
    device = next(translator.parameters()).device
    was_training = translator.training
    translator.train()
    losses = []
    for _ in range(n_epochs):
        order = rng.permutation(len(dataset))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            batch = order[start : start + batch_size]
            images = th.from_numpy(dataset.images[batch]).to(device)[:, None]
            states, _ = translator(images)
            loss = th.nn.functional.l1_loss(states[:, 0], th.from_numpy(dataset.states[batch]).to(device))
            translator.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            translator.optimizer.step()
            losses.append(loss.item())
    # PPO clips the gradients of all of the policy's parameters together: leave none behind
    translator.optimizer.zero_grad(set_to_none=True)
    translator.train(was_training)
    return float(np.mean(losses))
