"""Minari: what is exported is read by Minari alone, and comes back as it was."""

import sys

import gymnasium as gym
import minari
import numpy as np
import pytest

from sb3_mimic import keys
from sb3_mimic.cli.main import main
from sb3_mimic.data.collection import POLICIES, collect, plan
from sb3_mimic.data.minari_format import OWN, export_minari, import_minari
from sb3_mimic.data.shards import ACTION, IS_FIRST, IS_LAST, IS_TERMINAL, REWARD, Shards
from sb3_mimic.errors import PackageError


@pytest.fixture(autouse=True)
def somewhere_else(monkeypatch, tmp_path):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def collected(env_id, folder, n_steps=230) -> Shards:
    collect(folder, plan(env_id, n_steps, "random", shard_steps=120), POLICIES["random"])
    return Shards(folder)


@pytest.mark.parametrize("env_id", ["MimicReacherPlane-v0", "CartPole-v1"])
def test_minari_alone_reads_what_is_exported(env_id, tmp_path):
    shards = collected(env_id, tmp_path / "data")
    export_minari(shards, "mimic/test/random-v0")
    dataset = minari.load_dataset("mimic/test/random-v0")
    assert dataset.total_steps == 230
    assert dataset.total_episodes == shards.n_episodes
    assert dataset.env_spec.id == env_id
    shown = [name for name in shards.manifest.columns if name not in OWN]
    rows = {name: np.concatenate([shard.read(name) for shard in shards]) for name in shards.manifest.columns}
    ends = np.flatnonzero(rows[IS_LAST])
    begins = np.flatnonzero(rows[IS_FIRST])
    for begin, end, episode in zip(begins, ends, dataset.iterate_episodes(), strict=True):
        seen = episode.observations if isinstance(episode.observations, dict) else {keys.OBSERVATION: episode.observations}
        assert set(seen) == set(shown)
        for name, value in seen.items():
            assert value.dtype == rows[name].dtype
            # Pictures, too: no JPEG
            np.testing.assert_array_equal(value, rows[name][begin : end + 1])
        np.testing.assert_array_equal(episode.actions, rows[ACTION][begin:end])
        np.testing.assert_array_equal(episode.rewards, rows[REWARD][begin:end])
        assert episode.terminations[-1] == rows[IS_TERMINAL][end]
        assert episode.truncations[-1] != episode.terminations[-1]
        assert not episode.truncations[:-1].any()
    recovered = dataset.recover_environment()
    assert recovered.observation_space == gym.make(env_id, **shards.manifest.env_kwargs).observation_space


@pytest.mark.parametrize("env_id", ["MimicReacherPlane-v0", "CartPole-v1"])
def test_it_comes_back_as_it_was(env_id, tmp_path):
    shards = collected(env_id, tmp_path / "data")
    export_minari(shards, "mimic/test/random-v0")
    import_minari("mimic/test/random-v0", tmp_path / "back", shard_steps=60)
    back = Shards(tmp_path / "back", is_complete=True)
    assert back.manifest.env_id == env_id
    assert back.n_episodes == shards.n_episodes
    for name in shards.manifest.columns:
        before, after = (np.concatenate([shard.read(name) for shard in each]) for each in (shards, back))
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    assert not any(shard.fault() for shard in back)


def test_commands_export_and_import(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = ["collect", "--env", "CartPole-v1", "--steps", "60", "--export", "minari", "-o", "data"]
    assert main(told) == 0
    assert "minari.load_dataset('mimic/cartpole/random-v0')" in capsys.readouterr().out
    assert main(["data", "import", "mimic/cartpole/random-v0", "-o", "back"]) == 0
    assert main(["data", "info", "back"]) == 0
    assert "CartPole-v1" in capsys.readouterr().out
    assert main(["data", "export", "data", "mimic/cartpole/random-v0"]) == 2
    assert "Minari takes no data set named" in capsys.readouterr().err
    assert main(["data", "import", "mimic/cartpole/other-v0", "-o", "more"]) == 2
    assert "minari download" in capsys.readouterr().err
    assert main(["data", "import", "mimic/cartpole/random-v0", "-o", "back"]) == 2
    assert "no empty folder" in capsys.readouterr().err


def test_without_minari_it_says_what_to_install(tmp_path, monkeypatch):
    shards = collected("CartPole-v1", tmp_path / "data", 20)
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(PackageError, match=r"pip install 'sb3_mimic\[data\]'"):
        export_minari(shards, "mimic/test/random-v0")
    with pytest.raises(PackageError, match="pip install"):
        import_minari("mimic/test/random-v0", tmp_path / "back")
