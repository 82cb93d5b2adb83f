"""Computes measures with their intervals, and says which seeds they are taken on."""

from collections.abc import Iterable
from typing import Any

import numpy as np

# Training seeds its environments with small numbers: seeds from here on are never trained on
FIRST_SEED = 1_000_000
N_BOOTSTRAP = 2000


def bootstrap_interval(values: Iterable[float], statistic: Any = np.mean) -> tuple[float, float]:
    """
    Computes the 95 % bootstrap interval of a statistic.

    :param values: One per episode
    :param statistic: Function of (resamples, n) along the last axis
    :return: Lower and upper bound
    """
    sample = np.asarray(list(values), np.float64)
    resampled = np.random.default_rng(0).choice(sample, (N_BOOTSTRAP, len(sample)))
    low, high = np.percentile(statistic(resampled, axis=-1), [2.5, 97.5])
    return float(low), float(high)


def measure(values: Iterable[float], statistic: Any = np.mean) -> dict[str, Any]:
    """
    Computes a statistic with its interval.

    :param values: One per episode, or picture
    :param statistic: See :func:`bootstrap_interval`
    :return: ``value``, ``interval`` and ``n``
    """
    values = np.asarray(list(values), np.float64)
    return {"value": float(statistic(values)), "interval": bootstrap_interval(values, statistic), "n": len(values)}
