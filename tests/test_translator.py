"""A translator by itself: reading, learning, being kept."""

import copy

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from learning import SMALL, Compare, picture_space
from stable_baselines3 import PPO

from sb3_mimic import keys
from sb3_mimic.agents.loading import find_agent
from sb3_mimic.data import Dataset
from sb3_mimic.policies import FusedPolicy, PixelPolicy, StatePolicy
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.optimizer import Muon, is_hidden, orthogonal
from sb3_mimic.translator.training import fit, read_dataset, read_windows


@pytest.mark.slow
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


class Counter(Translator):
    """A tiny one with memory: it can tell how many frames it has seen, and from a single one nothing"""

    def __init__(self, observation_space, state_dim=None):
        super().__init__(observation_space, state_dim)
        self.cell = th.nn.GRU(1, 16, batch_first=True)
        self.head = th.nn.Linear(16, self.state_dim)

    def forward(self, images, hidden=None):
        seen, hidden = self.cell(images.float().flatten(2).mean(dim=2, keepdim=True) / 255, hidden)
        return self.head(seen), hidden


ONE_NUMBER = {keys.ACHIEVED_GOAL: spaces.Box(-1, 1, (1,), np.float32)}


def counted(n: int, length: int, rng) -> Dataset:
    """Videos without anything to see; the state is the time since the episode began"""
    starts = rng.random((n, length)) < 0.3
    starts[:, 0] = True
    states = np.zeros((n, length, 1), np.float32)
    for step in range(1, length):
        states[:, step] = np.where(starts[:, step, None], 0, states[:, step - 1] + 0.2)
    return Dataset(np.full((n, length, 3, 64, 64), 255, np.uint8), states, starts)


def test_memory_is_trained_on_windows_begins_anew_with_episodes_and_is_carried():
    th.manual_seed(0)
    rng = np.random.default_rng(0)
    translator = Counter(picture_space(**ONE_NUMBER))
    windows = counted(64, 5, rng)
    losses = [fit(translator, windows, 1, 16, 1e-2, rng) for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]
    np.testing.assert_allclose(read_dataset(translator, windows), windows.states, atol=0.1)
    # Frame by frame, with what is remembered handed on
    picture, hidden = np.full((64, 64, 3), 255, np.uint8), None
    for step in range(5):
        state, hidden = translator.predict(picture, hidden, return_hidden=True)
        assert state[0] == pytest.approx(0.2 * step, abs=0.1)
    assert translator.predict(picture)[0] == pytest.approx(0, abs=0.1), "nothing is kept behind the back"


def test_windows_are_read_as_if_episode_by_episode():
    translator = Counter(picture_space(**ONE_NUMBER)).eval()
    images = th.randint(0, 255, (3, 6, 3, 64, 64), dtype=th.uint8)
    starts = np.zeros((3, 6), bool)
    starts[0, 2] = starts[1, 5] = starts[1, 1] = True
    states, scales = read_windows(translator, images, starts)
    assert scales is None
    for window, begin, end in ((0, 0, 2), (0, 2, 6), (1, 0, 1), (1, 1, 5), (1, 5, 6), (2, 0, 6)):
        alone = translator(images[window : window + 1, begin:end])[0][0]
        assert th.allclose(states[window, begin:end], alone, atol=1e-6)


@pytest.mark.parametrize("policy", [StatePolicy, PixelPolicy, FusedPolicy])
def test_a_translator_with_memory_learns_in_a_policy(policy, make_model):
    """Whose forward alone is its own, and which reads stacked frames from the first to the last"""
    n_stack = 3
    model = make_model(policy, n_stack=n_stack, n_steps=32, policy_kwargs={"translator_class": Counter})
    translator, compare = model.policy.translator, Compare(window=8, cycle=0.5)

    before = [parameter.clone() for parameter in translator.parameters()]
    model.learn(128, callback=compare)
    assert not any(th.equal(*pair) for pair in zip(before, translator.parameters(), strict=True))
    for ours, theirs in compare.found:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    if policy is not PixelPolicy:
        return
    pictures = th.randint(1, 255, (2, n_stack * 3, 64, 64)).float()
    whole = model.policy.features_extractor.read(keys.IMAGE, pictures)
    shuffled = model.policy.features_extractor.read(keys.IMAGE, pictures.roll(3, dims=1))
    assert not th.allclose(whole[:, -1], shuffled[:, 0], atol=1e-6), "what came before counts"


def test_a_state_dict_holds_tensors_and_goes_both_ways(make_model):
    policy = make_model(policy_kwargs={"translator_kwargs": SMALL}).policy
    fresh = {name: value.clone() for name, value in policy.state_dict().items()}
    assert not [name for name in fresh if "optimizer" in name], "where nothing has been trained there is nothing to keep"
    pictures = Dataset.of_pictures(np.zeros((8, 3, 64, 64), np.uint8), np.zeros((8, 8), np.float32))
    fit(policy.translator, pictures, 1, 4, 1e-3, np.random.default_rng(0))
    trained = policy.state_dict()
    # Of weights that are made orthogonal no squares are kept
    n_kept = sum(2 if is_hidden(parameter) else 3 for parameter in policy.translator.parameters())
    assert sum("translator.optimizer." in name for name in trained) == n_kept
    assert n_kept < 3 * len(list(policy.translator.parameters()))
    assert all(isinstance(value, th.Tensor) for value in trained.values())
    other = make_model(policy_kwargs={"translator_kwargs": SMALL}).policy
    other.load_state_dict(trained)
    assert other.state_dict().keys() == trained.keys()
    for name, value in trained.items():
        assert th.equal(other.state_dict()[name], value), name
    other.load_state_dict(fresh)
    assert not other.translator.optimizer.state, "as it was before the training"
    name = next(name for name in trained if "exp_avg_sq" in name)
    for damaged in (
        {key: value for key, value in trained.items() if key != name},
        trained | {name: th.zeros(1, 2)},
        trained | {"translator.optimizer.exp_avg.nobody": th.zeros(1)},
    ):
        with pytest.raises(RuntimeError, match="optimiser's state does not fit"):
            other.load_state_dict(damaged)


@pytest.mark.parametrize("is_dict", [True, False], ids=["optimiser as a dict", "optimiser as tensors"])
def test_state_dicts_of_before_still_load_with_their_optimizer(is_dict, make_model):
    """They had no scales, kept squares of every weight, and first held the optimiser's state as a dict, as torch gives it"""
    policy, other = (make_model(policy_kwargs={"translator_kwargs": SMALL}).policy for _ in range(2))
    pictures = Dataset.of_pictures(np.zeros((8, 3, 64, 64), np.uint8), np.zeros((8, 8), np.float32))
    for each, learning_rate in ((policy, 1e-3), (other, 1e-2)):
        fit(each.translator, pictures, 1, 4, learning_rate, np.random.default_rng(0))
    newer = ("translator.scale_head.", "translator.calibration")
    old = {
        name: value
        for name, value in policy.state_dict().items()
        if not name.startswith(newer) and "scale_head" not in name and not (is_dict and "optimizer" in name)
    }
    for name, value in list(old.items()):
        if ".exp_avg." in name:
            old.setdefault(name.replace("exp_avg", "exp_avg_sq"), th.zeros_like(value))
    if is_dict:
        adam = policy.translator.optimizer.state_dict()
        for state in adam["state"].values():
            state.setdefault("exp_avg_sq", th.zeros_like(state["exp_avg"]))
        n_old = len(adam["state"]) - len(list(policy.translator.scale_head.parameters()))
        adam["state"] = {number: state for number, state in adam["state"].items() if number < n_old}
        old["translator._extra_state"] = {"optimizer": adam}
    other.load_state_dict(old)
    for name, value in policy.state_dict().items():
        if "scale_head" not in name and "calibration" not in name:
            assert th.equal(other.state_dict()[name], value), name
    picture = np.zeros((64, 64, 3), np.uint8)
    assert other.translator.predict_with_scales(picture)[1] is None, "they belong to other weights"
    fit(other.translator, pictures, 1, 4, 1e-3, np.random.default_rng(0))
    state = other.translator.optimizer.state
    steps = {name: float(state[parameter]["step"]) for name, parameter in other.translator.named_parameters()}
    assert steps["head.0.weight"] == 4
    assert steps["scale_head.0.weight"] == 2
    assert (other.translator.predict_with_scales(picture)[1] > 0).all()


def test_shipped_translators_load():
    """Whether they know scales and their optimiser or not"""
    run = find_agent("MimicReacherPlane-v0")
    translator = PPO.load(run / "MimicReacherPlane-v0.zip", device="cpu").policy.translator
    states, scales = translator.predict_with_scales(np.full((64, 64, 3), 255, np.uint8))
    assert np.isfinite(states).all()
    assert (scales is None) == (not translator.calibration.any())


def test_steps_of_hidden_weights_change_all_directions_alike():
    """Singular values of a step are about the same, however different those of the gradient are"""
    rng = th.Generator().manual_seed(0)
    left, right = (th.linalg.qr(th.randn(64, 64, generator=rng))[0] for _ in range(2))
    for rows, columns in ((64, 64), (64, 40), (40, 64)):
        n = min(rows, columns)
        matrix = left[:rows, :n] @ th.diag(th.logspace(0, -1.5, n)) @ right[:columns, :n].T
        turned, (u, _, v) = orthogonal(matrix), th.linalg.svd(matrix, full_matrices=False)
        values = th.linalg.svdvals(turned)
        assert values.min() > 0.6
        assert values.max() < 1.3
        # In the directions of the gradient
        assert th.nn.functional.cosine_similarity(turned.flatten(), (u @ v).flatten(), 0) > 0.9


def test_only_hidden_weights_are_turned():
    """What comes first and last, biases and batch norms are Adam's to the last bit"""
    th.manual_seed(0)
    net = th.nn.Sequential(th.nn.Linear(8, 48), th.nn.BatchNorm1d(48), th.nn.ReLU(), th.nn.Linear(48, 48), th.nn.Linear(48, 3))
    twin = copy.deepcopy(net)
    optimizer, adam = Muon(net.parameters(), lr=1e-2), th.optim.Adam(twin.parameters(), lr=1e-2, fused=True)
    data = th.randn(16, 8)
    for each, its in ((net, optimizer), (twin, adam)):
        each(data).square().sum().backward()
        its.step()
    for (name, ours), theirs in zip(net.named_parameters(), twin.parameters(), strict=True):
        assert th.equal(ours, theirs) == (name != "3.weight"), name
