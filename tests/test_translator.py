"""A translator by itself: reading, learning, being kept."""

import numpy as np
import pytest
import torch as th
from learning import picture_space
from stable_baselines3 import PPO

from sb3_mimic import keys
from sb3_mimic.data import Dataset
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.training import fit


def test_the_zip_holds_everything_bit_for_bit(make_model, tmp_path, run_python):
    """Saved here, loaded in a process with another hash seed: equal actions, translations and returns"""
    model = make_model()
    model.learn(256, callback=TranslatorCallback())
    model.save(tmp_path / "model.zip")
    model.get_vec_normalize_env().save(str(tmp_path / "vecnormalize.pkl"))
    code = """
import sys, numpy as np, gymnasium as gym, torch as th, sb3_mimic
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from sb3_mimic.agents.loading import Agent
th.set_num_threads(1)
folder = sys.argv[1]
env = gym.make("MimicReacherPlane-v0")
statistics = VecNormalize.load(folder + "/vecnormalize.pkl", DummyVecEnv([lambda: env]))
model = PPO.load(folder + "/model.zip", device="cpu")
observation, _ = env.reset(seed=7)
out = [model.policy.translator.predict(observation["desired_image"])]
total = 0.0
for _ in range(50):
    action, _ = Agent(model, statistics).act(observation)
    out.append(action)
    observation, reward, *_ = env.step(action)
    total += reward
adam = model.policy.translator.optimizer.state_dict()["state"]
out += [np.array([total]), adam[0]["exp_avg"].numpy(), np.array([float(adam[0]["step"])])]
np.save(sys.argv[2], np.concatenate([part.ravel().astype(np.float64) for part in out]))
"""
    results = []
    for seed in ("0", "12345"):
        run_python("-c", code, str(tmp_path), str(tmp_path / f"{seed}.npy"), env={"PYTHONHASHSEED": seed})
        results.append(np.load(tmp_path / f"{seed}.npy"))
    np.testing.assert_array_equal(*results)
    translation = model.policy.translator.predict(model.env.envs[0].reset(seed=7)[0][keys.DESIRED_IMAGE])
    np.testing.assert_array_equal(results[0][: len(translation)], translation)
    adam = model.policy.translator.optimizer.state_dict()["state"][0]
    np.testing.assert_array_equal(results[0][-1 - adam["exp_avg"].numel() : -1], adam["exp_avg"].numpy().ravel())
    assert results[0][-1] == adam["step"] > 0


def test_training_goes_on_with_the_translators_optimizer(make_model, tmp_path):
    model = make_model()
    model.learn(128, callback=TranslatorCallback())
    model.save(tmp_path / "model.zip")
    steps = model.policy.translator.optimizer.state_dict()["state"][0]["step"]
    loaded = PPO.load(tmp_path / "model.zip", env=model.env)
    loaded.learn(128, callback=TranslatorCallback())
    assert loaded.policy.translator.optimizer.state_dict()["state"][0]["step"] == 2 * steps


def test_predict_refuses_other_shapes_and_reads_batches():
    translator = ConvNetTranslator(picture_space())
    pictures = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3)).astype(np.uint8)
    batch = translator.predict(pictures)
    assert batch.shape == (4, 5)
    for picture, states in zip(pictures, batch, strict=True):
        np.testing.assert_allclose(translator.predict(picture), states, atol=1e-5)
    for bad in (pictures.astype(np.float32), pictures[:, :-1], pictures.transpose(0, 3, 1, 2)):
        with pytest.raises(ValueError, match="uint8"):
            translator.predict(bad)


def test_fit_is_reproducible_and_data_must_match():
    rng = np.random.default_rng(0)
    images, states = rng.integers(0, 255, (64, 3, 64, 64)).astype(np.uint8), rng.random((64, 5)).astype(np.float32)
    losses = []
    for _ in range(2):
        th.manual_seed(0)
        translator = ConvNetTranslator(picture_space())
        losses.append(fit(translator, Dataset.of_pictures(images, states), 2, 16, 1e-3, np.random.default_rng(1)))
    assert losses[0] == losses[1]
    with pytest.raises(ValueError, match="Every frame needs a state"):
        Dataset.of_pictures(images, states[:-1])
