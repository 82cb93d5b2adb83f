"""Windows of frames with states."""

import numpy as np
import pytest

from sb3_mimic.data import Dataset, Memory, cut_windows
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


def test_windows_hold_what_followed_one_another():
    n_steps, n_envs, length = 11, 3, 4
    states = np.arange(n_steps * n_envs, dtype=np.float32).reshape(n_steps, n_envs, 1)
    images = np.broadcast_to(states.astype(np.uint8)[..., None, None], (n_steps, n_envs, 1, 2, 2))
    starts = np.zeros((n_steps, n_envs), bool)
    starts[6, 1] = True
    windows = cut_windows(images, states, starts, length, min_change=1000)
    assert windows.images.shape == (2 * n_envs, length, 1, 2, 2), "standing still, too, takes time"
    assert (windows.images[..., 0, 0, 0] == windows.states[..., 0]).all()
    assert (np.diff(windows.states[..., 0]) == n_envs).all()
    assert windows.states.max() == states.max(), "the newest is there, the oldest are left out"
    assert windows.states[windows.episode_starts].tolist() == [[6 * n_envs + 1]]


def test_the_memory_comes_back_also_from_before_there_were_windows():
    rng = np.random.default_rng(0)
    memory, other = Memory(10), Memory(10)
    memory.add(windows_of(rng.integers(0, 255, (7, 3, 2, 2)).astype(np.uint8), rng.random((7, 1)).astype(np.float32)), rng)
    state = memory.run_state()
    old = {"images": state["images"][:, 0], "states": state["states"][:, 0]}
    for each in (state, old):
        other.restore_run_state(each)
        for name, value in state.items():
            np.testing.assert_array_equal(other.run_state()[name], value)
    with pytest.raises(ValueError, match="raise memory_size"):
        Memory(6).restore_run_state(state)
    other.restore_run_state(Memory(10).run_state())
    assert len(other) == 0
