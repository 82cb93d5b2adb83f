"""Defines layers shared by extractors and translators."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch as th
from torch import nn

# Batches of one rollout resemble each other: the running statistics must remember more than the last few
BATCH_NORM_MOMENTUM = 0.02


@contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """
    Evaluates inside the block, without gradients and without learning statistics of batches.

    :param module: In its evaluation mode inside the block, and afterwards in the mode that it was in
    """
    was_training = module.training
    module.eval()
    try:
        with th.no_grad():
            yield
    finally:
        module.train(was_training)


def convolutional_trunk(n_input_channels: int, channels: Sequence[int]) -> nn.Sequential:
    """
    Builds convolutions with batch norm, flattened at the end. The first divides height and width by 4, each other one
    by 2: at full resolution a CPU spends most of its time, and thin limbs are read no better for it.

    :param n_input_channels: Channels of the picture
    :param channels: Output channels of each convolution
    :return: A network (batch, channels, height, width) -> (batch, n_features)
    """
    modules: list[nn.Module] = []
    for index, n_channels in enumerate(channels):
        kernel_size, stride = (6, 4) if index == 0 else (3, 2)
        modules += [
            nn.Conv2d(n_input_channels, n_channels, kernel_size, stride, padding=1, bias=False),
            nn.BatchNorm2d(n_channels, momentum=BATCH_NORM_MOMENTUM),
            nn.ReLU(inplace=True),
        ]
        n_input_channels = n_channels
    return nn.Sequential(*modules, nn.Flatten())


def n_trunk_features(trunk: nn.Module, height: int, width: int, n_channels: int) -> int:
    """Returns the number of features that a trunk makes of pictures of this size."""
    with evaluated(trunk):
        return int(trunk(th.zeros(1, n_channels, height, width)).shape[1])
