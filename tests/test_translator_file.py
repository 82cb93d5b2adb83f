"""A translator alone in a file: out of one agent, into another, and nothing that does not fit."""

import json
import struct

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from safetensors.torch import load_file, save_file
from stable_baselines3 import PPO

from sb3_mimic.cli.main import main
from sb3_mimic.errors import TranslatorClassError, TranslatorFileError
from sb3_mimic.policies import StatePolicy
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.files import (
    METADATA_KEY,
    TRANSLATOR_CLASSES,
    import_class,
    load_translator,
    read_translator_file,
    replace_translator,
    save_translator,
)

ENV_ID = "MimicReacherPlane-v0"
SMALL = {"channels": [8, 8, 8], "net_arch": [16]}


@pytest.fixture
def make_model(make_env):
    """Agents with a small translator"""

    def make(env_id: str = ENV_ID, seed: int = 0, **translator_kwargs) -> PPO:
        env = make_env(env_id)
        kwargs = {"translator_kwargs": {**SMALL, **translator_kwargs}}
        return PPO(StatePolicy, env, n_steps=64, batch_size=64, n_epochs=1, policy_kwargs=kwargs, seed=seed, device="cpu")

    return make


@pytest.fixture
def exported(make_model, make_env, tmp_path):
    model = make_model().learn(64, callback=TranslatorCallback())
    layout = make_env(ENV_ID).unwrapped.pose_layout
    return model, save_translator(model.policy.translator, tmp_path / "translator.safetensors", layout)


PICTURES = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)


def test_what_comes_back_reads_the_same(exported, make_env):
    model, path = exported
    translator, layout = load_translator(path)
    assert type(translator) is ConvNetTranslator
    path.with_name("other").touch()
    assert path.stat().st_mode == path.with_name("other").stat().st_mode, "who may read other files may read this one"
    np.testing.assert_array_equal(translator.predict(PICTURES), model.policy.translator.predict(PICTURES))
    assert layout == make_env(ENV_ID).unwrapped.pose_layout
    described = read_translator_file(path)[0]
    assert described.kwargs == {"state_dim": 8, **SMALL}
    assert described.image_shape == (3, 64, 64)
    assert load_translator(save_translator(translator, path.with_name("again.safetensors")))[1] is None


def test_into_another_agent_that_trains_on(exported, make_model):
    model, path = exported
    other = make_model(seed=1).learn(64, callback=TranslatorCallback())
    assert (other.policy.translator.predict(PICTURES) != model.policy.translator.predict(PICTURES)).any()
    kept = other.policy.translator
    ppo_weights = {name: value.clone() for name, value in other.policy.state_dict().items() if th.is_tensor(value)}
    replace_translator(kept, path)
    assert other.policy.translator is kept
    np.testing.assert_array_equal(kept.predict(PICTURES), model.policy.translator.predict(PICTURES))
    assert not kept.optimizer.state_dict()["state"], "it belonged to other weights"
    for name, value in ppo_weights.items():
        assert name.startswith("translator.") or th.equal(value, other.policy.state_dict()[name])
    other.learn(64, callback=TranslatorCallback())
    assert (kept.predict(PICTURES) != model.policy.translator.predict(PICTURES)).any()


def test_on_the_command_line(exported, make_model, tmp_path, capsys):
    model, path = exported
    for exp_id, one in ((1, model), (2, make_model(seed=1))):
        run = tmp_path / "logs" / "ppo" / f"{ENV_ID}_{exp_id}"
        run.mkdir(parents=True)
        one.save(run / f"{ENV_ID}.zip")
    which, file = ("--env", ENV_ID, "-f", str(tmp_path / "logs")), str(tmp_path / "out.safetensors")
    assert main(["export-translator", *which, "--exp-id", "1", "-o", file]) == 0
    assert load_file(file).keys() == load_file(path).keys()
    zipped = str(tmp_path / "new.zip")
    assert main(["import-translator", file, *which, "--exp-id", "2", "-o", zipped]) == 0
    loaded = PPO.load(zipped, device="cpu").policy.translator
    np.testing.assert_array_equal(loaded.predict(PICTURES), model.policy.translator.predict(PICTURES))
    for command, message in (
        (["export-translator", *which, "-o", str(tmp_path / "out.pt")], "written as .safetensors"),
        (["export-translator", *which, "-o", str(tmp_path / "no" / "x.safetensors")], "Make it first"),
        (["import-translator", file, *which, "-o", "agent.pt"], "written as .zip"),
        (["import-translator", str(tmp_path / "none.safetensors"), *which, "-o", zipped], "There is no file"),
    ):
        capsys.readouterr()
        assert main(command) == 2
        assert message in capsys.readouterr().err


def test_what_does_not_fit_an_agent_is_named_and_changes_nothing(exported, make_model, make_env):
    _, path = exported
    for other, layout, message in (
        (make_model("MimicReacher3D-v0"), None, r"calibration must be .* got"),
        (make_model(channels=[8, 8, 9]), None, "does not fit the agent"),
        (make_model(), make_env("MimicReacher3D-v0").unwrapped.pose_layout, "it reads poses of"),
    ):
        translator = other.policy.translator
        before = translator.predict(PICTURES)
        with pytest.raises(TranslatorFileError, match=message):
            replace_translator(translator, path, layout)
        np.testing.assert_array_equal(translator.predict(PICTURES), before)


class OwnTranslator(ConvNetTranslator):
    """Somebody else's"""


def test_only_allowed_classes_are_made(make_model, tmp_path):
    own = OwnTranslator(make_model().observation_space, **SMALL)
    path = save_translator(own, tmp_path / "own.safetensors")
    with pytest.raises(TranslatorFileError, match=r"'OwnTranslator'\. Allowed are: ConvNetTranslator"):
        load_translator(path)
    assert type(load_translator(path, [*TRANSLATOR_CLASSES, OwnTranslator])[0]) is OwnTranslator


def test_a_class_is_imported_by_its_name(make_model, tmp_path):
    found = import_class(f"{__name__}.OwnTranslator")
    assert found is OwnTranslator
    path = save_translator(OwnTranslator(make_model().observation_space, **SMALL), tmp_path / "own.safetensors")
    assert type(load_translator(path, [*TRANSLATOR_CLASSES, found])[0]) is OwnTranslator
    for dotted, message in (
        ("OwnTranslator", "a module is missing"),
        ("nowhere.OwnTranslator", "No module named"),
        (f"{__name__}.Nobody", "has no attribute"),
        ("", "a module is missing"),
        (".Nobody", "a module is missing"),
        ("pathlib.Path", "is no translator"),
        (f"{__name__}.SMALL", "is no translator"),
    ):
        with pytest.raises(TranslatorClassError, match=message):
            import_class(dotted)


def test_grey_pictures(tmp_path):
    space = spaces.Dict({"image": spaces.Box(0, 255, (1, 48, 64), np.uint8)})
    translator = ConvNetTranslator(space, 3, **SMALL)
    again, _ = load_translator(save_translator(translator, tmp_path / "grey.safetensors"))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 1), np.uint8)
    np.testing.assert_array_equal(again.eval().predict(pictures), translator.predict(pictures))


def changed(path, weights=None, **description):
    """The same file with another description or other weights"""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        text = json.loads(file.metadata()[METADATA_KEY])
    save_file(weights or load_file(path), path, {METADATA_KEY: json.dumps(text | description)})
    return path


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"class": "os.system"}, "'os.system'. Allowed are"),
        ({"class": "stable_baselines3.PPO"}, "Allowed are"),
        ({"class": ["ConvNetTranslator"]}, "Allowed are"),
        ({"version": 4}, "version is 4"),
        ({"renderer": 1}, "renderer must be a name"),
        ({"kwargs": {}}, "do not fit"),
        ({"kwargs": {"state_dim": 8, "channels": [8, 8, 9], "net_arch": [16]}}, "do not fit"),
        ({"kwargs": {"state_dim": 10**9, "channels": [10**6, 10**6], "net_arch": [10**6]}}, "do not fit"),
        ({"kwargs": {"state_dim": 8, "channels": [1] * 400}}, "do not fit"),
        ({"kwargs": {"state_dim": 8, "channels": [1] * 5000}}, "at most 4096 characters"),
        ({"kwargs": {"state_dim": -1}}, "do not fit"),
        ({"kwargs": {"state_dim": "__import__('os')"}}, "do not fit"),
        ({"kwargs": {"self": 1}}, "do not fit"),
        ({"kwargs": {"observation_space": 1}}, "do not fit"),
        ({"kwargs": 3}, "damaged"),
        ({"image_shape": [3, 10**6, 10**6]}, "at most 1024"),
        ({"image_shape": [10**6, 64, 64]}, "at most 4 channels"),
        ({"image_shape": [0, 64, 64]}, "at most 4 channels"),
        ({"image_shape": [3]}, "image_shape"),
        ({"image_shape": [3, 32, 32]}, "do not fit"),
        ({"version": 1, "pose_layout": {"joint_low": [1], "joint_high": [0], "n_keypoints": 1}}, "joint limit"),
        ({"version": 1, "pose_layout": {"joint_low": [float("nan")], "joint_high": [0], "n_keypoints": 1}}, "finite"),
        ({"pose_layout": [{"name": "joints", "shape": [1], "scale": [float("inf")]}]}, "finite"),
        ({"pose_layout": [{"name": "joints", "shape": [1, 2, 3]}]}, "shape of part 'joints'"),
        ({"pose_layout": [{"name": "joints", "shape": [1], "code": 1}]}, "no layout"),
        ({"pose_layout": {}}, "damaged"),
    ],
)
def test_hostile_descriptions_give_one_typed_error(description, message, exported):
    path = changed(exported[1], **description)
    with pytest.raises(TranslatorFileError, match=message) as error:
        load_translator(path)
    assert str(path) in str(error.value)


def test_hostile_weights_give_one_typed_error(exported):
    path, weights = exported[1], load_file(exported[1])
    name = "head.0.weight"
    for value, message in (
        (weights[name][:, :-1].contiguous(), f"{name} must be"),
        (weights[name].double(), f"{name} must be torch.float32"),
        (th.full_like(weights[name], th.nan), "not finite"),
    ):
        with pytest.raises(TranslatorFileError, match=message):
            load_translator(changed(path, {**weights, name: value}))
    with pytest.raises(TranslatorFileError, match="only one of them has: other"):
        load_translator(changed(path, {**weights, "other": th.zeros(1)}))
    save_file(weights, path)
    with pytest.raises(TranslatorFileError, match="no description"):
        load_translator(path)


def test_damaged_files_give_one_typed_error(exported, monkeypatch):
    path = exported[1]
    whole = path.read_bytes()
    (header_size,) = struct.unpack("<Q", whole[:8])
    for content in (
        b"",
        whole[:4],
        whole[:100],
        whole[: 8 + header_size],
        whole[:-1],
        whole + b"more",
        struct.pack("<Q", 2**62) + whole[8:],
        struct.pack("<Q", 99 * 2**20) + whole[8:],
        whole[:8] + b"[" * header_size + whole[8 + header_size :],
    ):
        path.write_bytes(content)
        with pytest.raises(TranslatorFileError, match="or damaged"):
            load_translator(path)
    path.write_bytes(whole)
    load_translator(path)
    monkeypatch.setattr("sb3_mimic.extractors.weights_file.MAX_BYTES", 10)
    with pytest.raises(TranslatorFileError, match="larger than"):
        load_translator(path)
    with pytest.raises(TranslatorFileError, match="There is no file"):
        load_translator(path.parent)
