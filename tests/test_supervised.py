"""Translators that learn from what was collected: what they learn, that they go on bit by bit, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch as th
from safetensors.torch import load_file

from sb3_mimic import keys
from sb3_mimic.cli.main import main
from sb3_mimic.data.collection import POLICIES, collect, plan
from sb3_mimic.data.shards import Shards
from sb3_mimic.errors import CollectionError, FitError
from sb3_mimic.translator import supervised
from sb3_mimic.translator.conv_lstm import ConvLSTMTranslator
from sb3_mimic.translator.files import load_translator
from sb3_mimic.translator.supervised import CHECKPOINT, RESULT, SCALARS, FitSettings, fit_shards

ENV_ID = "MimicReacherPlane-v0"


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Shards:
    folder = tmp_path_factory.mktemp("fit") / "data"
    collect(folder, plan(ENV_ID, 1200, "smooth", shard_steps=600), POLICIES["smooth"])
    return Shards(folder)


def test_it_learns_to_read_and_says_so(shards, tmp_path):
    th.set_num_threads(1)
    told = []
    settings = FitSettings(n_epochs=6, batch_size=32)
    path = fit_shards(shards, tmp_path, settings, on_epoch=lambda n, lesson: told.append((n, lesson.measures)))
    assert [n for n, _ in told] == [1, 2, 3, 4, 5, 6]
    errors = [measures["joint_error_deg"] for _, measures in told]
    assert errors[-1] < 0.5 * errors[0], errors
    translator, layout = load_translator(path)
    assert layout == shards.manifest.layouts[keys.ACHIEVED_GOAL]
    assert translator.renderer == shards.manifest.renderer
    shard = next(iter(shards))
    read = translator.predict(shard.read(keys.IMAGE, 0, 50))
    assert np.rad2deg(layout["joints"].distances(read, shard.read(keys.ACHIEVED_GOAL, 0, 50))).mean() < 3 * errors[-1]
    assert list((tmp_path / SCALARS).iterdir())


@pytest.mark.parametrize("name", ["convnet", "convlstm"])
def test_it_goes_on_as_if_it_had_never_stopped(name, shards, tmp_path, monkeypatch):
    th.set_num_threads(1)
    settings = FitSettings(name, n_epochs=3, window=8 if name == "convlstm" else 1, batch_size=64, augmentation=True)
    whole = load_file(fit_shards(shards, tmp_path / "whole", settings))

    class StopError(Exception):
        pass

    def stop(n, lesson):
        if n == 2:
            raise StopError

    with pytest.raises(StopError):
        fit_shards(shards, tmp_path / "parts", settings, on_epoch=stop)
    done = []
    parts = load_file(fit_shards(shards, tmp_path / "parts", settings, on_epoch=lambda n, _: done.append(n)))
    assert done == [3]
    assert parts.keys() == whole.keys()
    for key, value in whole.items():
        assert th.equal(parts[key], value), key
    assert type(load_translator(tmp_path / "parts" / RESULT)[0]) is supervised.TRANSLATORS[name]


def test_another_training_is_not_gone_on_with(shards, tmp_path):
    settings = FitSettings(n_epochs=1)
    fit_shards(shards, tmp_path, settings)
    with pytest.raises(FitError, match="lies a training with other settings or data"):
        fit_shards(shards, tmp_path, FitSettings(n_epochs=2))
    checkpoint = tmp_path / CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(FitError, match=r"checkpoint.safetensors is damaged: .* Delete it to begin anew"):
        fit_shards(shards, tmp_path, settings)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"translator": "convlst"}, FitError, "There are: convnet, convlstm"),
        ({"n_epochs": 0}, FitError, "n_epochs must be at least 1, got 0"),
        ({"window": 300}, FitError, "batch_size must hold a window of 300"),
        ({"learning_rate": float("nan")}, FitError, "learning_rate must be positive"),
        ({"image": "picture"}, CollectionError, "no pictures under 'picture'. It holds: "),
        ({"window": 102}, CollectionError, "take shorter windows"),
    ],
)
def test_what_cannot_be_learnt_is_told(settings, error, message, shards, tmp_path):
    with pytest.raises(error, match=message):
        fit_shards(shards, tmp_path, FitSettings(**settings))


def test_without_tensorboard_it_learns_all_the_same(shards, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.warns(UserWarning, match="pip install tensorboard"):
        assert fit_shards(shards, tmp_path, FitSettings(n_epochs=1)).is_file()
    assert not (tmp_path / SCALARS).exists()


@pytest.mark.slow
def test_an_agent_is_given_what_was_learnt(shards, tmp_path, capsys):
    out = str(tmp_path / "fit")
    assert main(["fit", str(shards.folder), "--translator", "convlstm", "--epochs", "1", "--window", "16", "-o", out]) == 0
    told = capsys.readouterr().out
    assert "epoch 1: " in told
    translator, _ = load_translator(Path(out) / RESULT)
    assert type(translator) is ConvLSTMTranslator
    # Those of the shipped agent are of the other class
    assert main(["fit", str(shards.folder), "--epochs", "1", "-o", str(tmp_path / "again")]) == 0
    file = str(tmp_path / "again" / RESULT)
    assert main(["import-translator", file, "--env", ENV_ID, "-o", str(tmp_path / "agent.zip")]) == 0
    assert (tmp_path / "agent.zip").is_file()
