"""Windows of frames with states."""

import numpy as np
import pytest

from sb3_mimic.data import Dataset, Memory
from sb3_mimic.data.windows import differs_from_before

windows_of = Dataset.of_pictures


def test_the_memory_mixes_old_and_new_and_stays_bounded():
    rng = np.random.default_rng(0)
    memory = Memory(100)
    for value in range(10):
        memory.add(windows_of(np.full((30, 3, 2, 2), value, np.uint8), np.full((30, 1), value, np.float32)), rng)
        assert len(memory) == min(30 * (value + 1), 100)
    sample = memory.sample(1000, rng)
    assert (sample.images[:, 0, 0, 0, 0] == sample.states[:, 0, 0]).all(), "pictures keep their states"
    values, counts = np.unique(sample.states, return_counts=True)
    assert len(values) > 5
    assert counts[-1] > counts[0], "the new are the most frequent"
    with pytest.raises(ValueError, match="capacity=0"):
        Memory(0)


def test_frames_of_a_robot_that_stands_still_count_once():
    states = np.zeros((50, 2, 3), np.float32)
    states[:, 1, 0] = np.linspace(0, 1, 50)
    starts = np.zeros((50, 2), np.float32)
    starts[0] = starts[25] = 1
    is_new = differs_from_before(states, starts, 0.05)
    assert is_new[:, 0].sum() == 2, "once for each episode"
    kept = states[is_new[:, 1], 1, 0]
    assert 10 <= len(kept) <= 26
    assert (np.diff(kept) > 0.02).all()
