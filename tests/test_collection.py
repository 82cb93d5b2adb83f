"""Steps on the disk: what is collected, that nothing is lost or doubled, and how it is read again."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from sb3_mimic import keys
from sb3_mimic.cli.main import main
from sb3_mimic.data import shards
from sb3_mimic.data.collection import POLICIES, collect, plan
from sb3_mimic.data.manifest import MANIFEST, Manifest
from sb3_mimic.data.shards import ACTION, IS_FIRST, IS_LAST, IS_TERMINAL, REWARD, Shards
from sb3_mimic.data.workers import N_TRIES, done
from sb3_mimic.errors import CollectionError, ShardError, UnsuitableEnvError, WorkerError

ENV_ID = "MimicReacherPlane-v0"
N_STEPS, SHARD_STEPS = 250, 110
RANDOM = POLICIES["random"]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return plan(ENV_ID, N_STEPS, "random", seed=3, shard_steps=SHARD_STEPS)


@pytest.fixture(scope="module")
def folder(manifest, tmp_path_factory):
    """A collection that nobody writes to"""
    made = tmp_path_factory.mktemp("collection") / "data"
    assert collect(made, manifest, RANDOM) == 3
    return made


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_rows_are_what_the_environment_shows(folder, manifest):
    read = Shards(folder, is_complete=True)
    # Shards of 110, 110 and 30 steps; after 100 steps an episode ends
    assert [len(shard) for shard in read] == [112, 112, 31]
    assert read.n_episodes == 5
    assert len(read) == N_STEPS + read.n_episodes
    assert set(manifest.columns) == {*keys.STATE_KEYS, keys.IMAGE, ACTION, REWARD, IS_FIRST, IS_LAST, IS_TERMINAL}
    assert manifest.layouts[keys.ACHIEVED_GOAL]["joints"].unit == "rad"
    env = gym.make(ENV_ID)
    second = list(read)[1]
    row = {name: second.read(name) for name in manifest.columns}
    np.testing.assert_array_equal(np.flatnonzero(row[IS_FIRST]), [0, 101])
    np.testing.assert_array_equal(np.flatnonzero(row[IS_LAST]), [100, 111])
    assert not row[IS_TERMINAL].any(), "what a time limit ends has not come to its end"
    observation, _ = env.reset(seed=int(np.random.default_rng([3, 1]).integers(2**31)))
    for index in range(100):
        for key in (*keys.STATE_KEYS, keys.IMAGE):
            np.testing.assert_array_equal(row[key][index], observation[key])
        observation, reward, *_ = env.step(row[ACTION][index])
        assert row[REWARD][index] == np.float32(reward)
    np.testing.assert_array_equal(row[keys.IMAGE][100], observation[keys.IMAGE])
    assert not row[ACTION][100].any()
    assert np.abs(row[ACTION][:100]).max() > 0.9 * env.action_space.high.max()
    env.close()


def test_who_collects_makes_no_difference_and_what_is_missing_is_collected_anew(folder, manifest, tmp_path):
    whole, again = contents(folder), tmp_path / "again"
    collect(again, manifest, RANDOM)
    (again / manifest.file_of(0)).unlink()
    damaged = again / manifest.file_of(2)
    damaged.write_bytes(damaged.read_bytes()[:-5000])
    came = []
    assert collect(again, manifest, RANDOM, on_steps=came.append) == 2
    assert came == [110, 110, 30]
    assert contents(again) == whole


def test_more_steps_go_on_from_those_that_are_there(folder, manifest, tmp_path):
    short, longer = tmp_path / "short", replace(manifest, n_steps=N_STEPS)
    collect(short, replace(manifest, n_steps=130), RANDOM)
    assert collect(short, longer, RANDOM) == 2, "the last one was a short one"
    assert contents(short) == contents(folder)
    with pytest.raises(CollectionError, match="a collection of 250 steps"):
        collect(short, replace(manifest, n_steps=130), RANDOM)
    assert contents(short) == contents(folder)


def test_something_else_is_not_mixed_in(folder, manifest, tmp_path):
    with pytest.raises(CollectionError, match="with seed 3 and not 4"):
        collect(folder, replace(manifest, seed=4), RANDOM)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CollectionError, match="no empty folder"):
        collect(tmp_path, manifest, RANDOM)


def test_a_full_disk_loses_nothing(folder, manifest, tmp_path, monkeypatch):
    made, saved = tmp_path / "full", []

    def save(arrays, path, metadata):
        if len(saved) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(path)
        original(arrays, path, metadata)

    original = shards.save_file
    monkeypatch.setattr(shards, "save_file", save)
    with pytest.raises(CollectionError, match=r"the disk is full\. What was collected before is kept"):
        collect(made, manifest, RANDOM)
    monkeypatch.undo()
    assert sorted(path.name for path in made.iterdir()) == [MANIFEST, manifest.file_of(0)]
    assert collect(made, manifest, RANDOM) == 2
    assert contents(made) == contents(folder)


def test_windows_lie_within_episodes(folder):
    read, rng = Shards(folder), np.random.default_rng(0)
    starts = read.starts(20)
    assert len(starts) == 2 * (101 - 19 + 0) + (31 - 19), "episodes of 11 rows have none"
    drawn = read.sample(40, 20, (keys.IMAGE, keys.ACHIEVED_GOAL, ACTION, IS_FIRST), rng)
    assert drawn[keys.IMAGE].shape == (40, 20, 64, 64, 3)
    assert not drawn[IS_FIRST][:, 1:].any()
    place, row = starts[7]
    shard = list(read)[place]
    one = read.windows(starts[7:8], 20, (ACTION,))[ACTION][0]
    np.testing.assert_array_equal(one, shard.read(ACTION, row, row + 20))
    dataset = read.dataset(starts[:5], 20, keys.IMAGE, keys.ACHIEVED_GOAL)
    assert dataset.images.shape == (5, 20, 3, 64, 64)
    np.testing.assert_array_equal(dataset.images[0, 3].transpose(1, 2, 0), shards_row(read, starts[0], 3))
    with pytest.raises(CollectionError, match="has 102 rows: take shorter windows"):
        read.starts(102)


def shards_row(read, start, step):
    place, row = start
    return list(read)[place].read(keys.IMAGE, row + step, row + step + 1)[0]


def test_little_of_what_is_read_stays_in_memory(folder):
    rng = np.random.default_rng(0)
    tracemalloc.start()
    try:
        read = Shards(folder)
        for _ in range(20):
            read.sample(4, 10, (keys.IMAGE,), rng)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert peak < size / 3


def test_what_is_damaged_is_named(folder, manifest, tmp_path, capsys):
    made = tmp_path / "data"
    made.mkdir()
    for name, content in contents(folder).items():
        (made / name).write_bytes(content)
    assert main(["data", "check", str(made)]) == 0
    path = made / manifest.file_of(1)
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    assert main(["data", "check", str(made)]) == 2
    told = capsys.readouterr().err
    assert manifest.file_of(1) in told
    assert "the checksum of" in told
    path.write_bytes(content[:100])
    with pytest.raises(ShardError, match=r"shard-00001.safetensors is damaged: .* collected anew"):
        Shards(made)
    path.unlink()
    assert len(Shards(made)) == 143
    with pytest.raises(CollectionError, match="Of 3 shards 2 are in"):
        Shards(made, is_complete=True)
    for wrong in ("{", json.dumps({"format": "sb3_mimic.data", "version": 99}), "[" * 100_000):
        (made / MANIFEST).write_text(wrong)
        with pytest.raises(CollectionError, match="is damaged"):
            Shards(made)
    with pytest.raises(CollectionError, match=r"no manifest.json"):
        Shards(tmp_path)


def test_smooth_actions_take_a_robot_further(tmp_path):
    far = {}
    for name in POLICIES:
        made = tmp_path / name
        collect(made, plan(ENV_ID, 2000, name, shard_steps=2000), POLICIES[name])
        shard = next(iter(Shards(made)))
        joints, action = shard.read(keys.ACHIEVED_GOAL)[:, :2], shard.read(ACTION)
        begins = np.flatnonzero(shard.read(IS_FIRST))
        far[name] = np.mean([np.ptp(joints[begin : begin + 100], axis=0) for begin in begins])
        assert np.abs(action).max() <= 1
        # Some episodes are smoother than others
        changes = [np.abs(np.diff(action[begin : begin + 100], axis=0)).mean() for begin in begins]
        assert (min(changes) < 0.2) == (np.std(changes) > 0.06) == (name == "smooth")
    assert far["smooth"] > 1.05 * far["random"], far
    discrete = plan("CartPole-v1", 20, "smooth")
    with pytest.raises(UnsuitableEnvError, match="Smooth actions need a Box"):
        collect(tmp_path / "cartpole", discrete, POLICIES["smooth"])


def test_environments_of_others_are_collected(tmp_path):
    made = plan("CartPole-v1", 120, "random", shard_steps=60)
    assert made.layouts == {}
    assert made.columns[ACTION].shape == ()
    collect(tmp_path / "cartpole", made, RANDOM)
    read = Shards(tmp_path / "cartpole")
    terminal = np.concatenate([shard.read(IS_TERMINAL) for shard in read])
    last = np.concatenate([shard.read(IS_LAST) for shard in read])
    assert terminal.sum() >= 2
    assert (last | ~terminal).all()
    assert len(read) == 120 + read.n_episodes


def _dies(task: int) -> int:
    if task == 2:
        os._exit(1)
    return task


def _dies_once(path: str) -> str:
    if not os.path.exists(path):
        with open(path, "w"):
            os._exit(1)
    return path


@pytest.mark.slow
def test_what_a_worker_that_died_was_doing_is_done_again(tmp_path):
    tasks = [str(tmp_path / name) for name in "abc"]
    assert sorted(task for task, _ in done(_dies_once, tasks, 2)) == tasks
    came = []
    with pytest.raises(WorkerError, match=f"died for the {N_TRIES}rd time"):
        came.extend(task for task, _ in done(_dies, [0, 1, 2], 2))


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_and_doubles_nothing(tmp_path):
    command = [sys.executable, "-m", "sb3_mimic", "collect", "--env", ENV_ID, "--steps", "3000", "--shard-steps", "300"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--workers", "2", "-o", str(whole)], check=True, capture_output=True)
    for n_files in (2, 5):
        process = subprocess.Popen([*command, "-o", str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(list(killed.glob("shard-*"))) < n_files:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(list(killed.glob("shard-*"))) < 10
    subprocess.run([*command, "-o", str(killed)], check=True, capture_output=True)
    there = {name: content for name, content in contents(killed).items() if not name.startswith(".")}
    assert there == contents(whole)


def test_on_the_command_line(tmp_path, capsys):
    made = str(tmp_path / "data")
    arguments = ["collect", "--env", ENV_ID, "--steps", "150", "--policy", "agent", "--shard-steps", "150", "-o", made]
    assert main(arguments) == 0
    assert "152 rows of 2 episodes" in capsys.readouterr().out
    assert main(["data", "info", made]) == 0
    told = capsys.readouterr().out
    assert "actions by   agent" in told
    assert "joints [2] rad" in told
    assert main(["data", "sample", made, "-o", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").is_file()
    # The agent arrives
    shard = next(iter(Shards(made)))
    apart = np.abs(shard.read(keys.ACHIEVED_GOAL) - shard.read(keys.DESIRED_GOAL))
    assert apart[99].max() < 0.1 < apart[0].max()
    assert main(["collect", "--env", "MimicReacherPlan-v0", "--steps", "5", "-o", str(tmp_path / "no")]) == 2
    assert "Did you mean" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
