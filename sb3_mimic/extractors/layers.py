"""Defines layers shared by extractors and translators."""

import math
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


def gains_of(magnification: float | Sequence[float]) -> tuple[float, ...]:
    """
    Checks how many times larger differences are to be shown besides.

    :param magnification: A number, or several
    :return: Several
    :raises ValueError: When one is no positive number
    """
    gains = tuple(magnification) if isinstance(magnification, Sequence) else (magnification,)
    wrong = [gain for gain in gains if not isinstance(gain, int | float) or not 0 < gain < math.inf]
    if wrong:
        raise ValueError(f"magnification must be a positive number such as 10, or a list of such, got {magnification!r}")
    return gains


def magnified(difference: th.Tensor, gains: Sequence[float]) -> th.Tensor:
    """
    Shows how far a goal is, and small distances as large numbers too: a network of usual weights hardly tells a centimetre
    from none, and so comes to rest beside its goal.

    :param difference: Between goal and state, shape (batch, n)
    :param gains: How many times as large the difference is shown once more, each time squashed by tanh
    :return: Shape (batch, n * (1 + len(gains)))
    """
    return th.cat((difference, *(th.tanh(gain * difference) for gain in gains)), dim=1)


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
