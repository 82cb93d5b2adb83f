"""Policies, extractors, translator and callback, together with PPO."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize, VecTransposeImage

from sb3_mimic import keys
from sb3_mimic.data.dataset import PoseDataset, PoseMemory, _differs_from_before
from sb3_mimic.extractors.fused import FusedExtractor
from sb3_mimic.extractors.pixel import PixelExtractor
from sb3_mimic.extractors.state import StateExtractor
from sb3_mimic.policies import (
    FusedPolicy,
    PixelPolicy,
    RecurrentFusedPolicy,
    RecurrentPixelPolicy,
    RecurrentStatePolicy,
    StatePolicy,
)
from sb3_mimic.translator.callback import TranslatorCallback, one_cycle
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.training import fit

ENV_ID = "MimicReacherPlane-v0"
# Each policy with its features extractor and an id whose observation is made for it
POLICIES = {
    StatePolicy: (StateExtractor, ENV_ID),
    PixelPolicy: (PixelExtractor, "MimicReacherPlanePixels-v0"),
    FusedPolicy: (FusedExtractor, "MimicReacherPlaneFused-v0"),
}
RECURRENT = {
    RecurrentStatePolicy: POLICIES[StatePolicy],
    RecurrentPixelPolicy: POLICIES[PixelPolicy],
    RecurrentFusedPolicy: POLICIES[FusedPolicy],
}


@pytest.fixture(autouse=True)
def _one_thread():
    th.set_num_threads(1)


@pytest.fixture
def make_model():
    opened = []

    def make(policy=StatePolicy, env_id=None, n_envs=2, n_stack=1, **kwargs) -> PPO:
        venv = make_vec_env(env_id or (POLICIES | RECURRENT)[policy][1], n_envs, seed=0)
        norm_obs_keys = [keys.OBSERVATION] if keys.OBSERVATION in venv.observation_space.spaces else []
        venv = VecFrameStack(VecNormalize(venv, norm_obs_keys=norm_obs_keys), n_stack)
        opened.append(venv)
        algorithm = RecurrentPPO if policy in RECURRENT else PPO
        defaults = {"n_steps": 64, "batch_size": 64, "n_epochs": 2, "seed": 0, "device": "cpu"}
        return algorithm(policy, venv, **defaults | kwargs)

    yield make
    for venv in opened:
        venv.close()


def parameters_of(module: th.nn.Module, translator: bool = False) -> dict[str, th.Tensor]:
    return {name: value for name, value in module.named_parameters() if name.startswith("translator") == translator}


@pytest.mark.parametrize("policy", POLICIES | RECURRENT)
def test_every_policy_learns_with_its_extractor(policy, make_model):
    model = make_model(policy)
    assert type(model.policy.features_extractor) is (POLICIES | RECURRENT)[policy][0]
    before = {name: value.clone() for name, value in model.policy.named_parameters()}
    # At the end of the training, the translator's learning rate is zero
    model.learn(256, callback=TranslatorCallback())
    for name, value in model.policy.named_parameters():
        assert not th.equal(before[name], value), f"{name} was not trained"


@pytest.mark.parametrize("policy", [StatePolicy, RecurrentStatePolicy])
def test_weights_are_the_same_with_and_without_the_translator(policy, make_model):
    with_callback = make_model(policy)
    with_callback.learn(384, callback=TranslatorCallback())
    without = make_model(policy)
    without.learn(384)
    for (name, ours), theirs in zip(
        parameters_of(with_callback.policy).items(), parameters_of(without.policy).values(), strict=True
    ):
        assert th.equal(ours, theirs), name
    assert not any(
        th.equal(ours, theirs)
        for ours, theirs in zip(
            parameters_of(with_callback.policy, True).values(), parameters_of(without.policy, True).values(), strict=True
        )
    )


@pytest.mark.parametrize("policy", POLICIES | RECURRENT)
def test_translator_is_not_in_ppos_optimizer_and_leaves_no_gradient(policy, make_model):
    model = make_model(policy)
    model.learn(128, callback=TranslatorCallback())
    in_optimizer = {id(p) for group in model.policy.optimizer.param_groups for p in group["params"]}
    for parameter in model.policy.translator.parameters():
        assert id(parameter) not in in_optimizer
        assert parameter.grad is None


def test_pictures_are_freed_and_what_was_read_in_them_is_kept(make_model):
    seen = {}

    class Peek(TranslatorCallback):
        def _on_rollout_end(self) -> None:
            super()._on_rollout_end()
            seen[type(self.model.policy)] = {key: o.shape[2:] for key, o in self.model.rollout_buffer.observations.items()}

    for policy in (StatePolicy, FusedPolicy):
        make_model(policy).learn(128, callback=Peek())
    make_model(PixelPolicy, n_stack=3).learn(128, callback=Peek())
    assert set(seen[StatePolicy]) == set(keys.STATE_KEYS)
    # Two joints and, where the own pose is observed, two key points; three frames of the robot, one of its target
    assert seen[PixelPolicy] == {keys.IMAGE: (6,), keys.DESIRED_IMAGE: (2,)}
    assert seen[FusedPolicy] == {keys.OBSERVATION: (12,), keys.ACHIEVED_GOAL: (8,), keys.DESIRED_IMAGE: (8,)}


@pytest.mark.parametrize("policy", [PixelPolicy, FusedPolicy])
def test_ppo_trains_on_what_was_read_when_the_action_was_chosen(policy, make_model):
    """Then, before its first step, PPO finds the very probabilities that the actions were chosen with"""
    found = []

    class Compare(TranslatorCallback):
        def _on_rollout_end(self) -> None:
            super()._on_rollout_end()
            buffer = self.model.rollout_buffer
            observations = {key: th.from_numpy(value[5]) for key, value in buffer.observations.items()}
            _, log_prob, _ = self.model.policy.evaluate_actions(observations, th.from_numpy(buffer.actions[5]))
            found.append((log_prob.detach().numpy(), buffer.log_probs[5]))

    n_stack = 2 if policy is PixelPolicy else 1
    model, other = (make_model(policy, n_stack=n_stack, n_steps=16, batch_size=32) for _ in range(2))
    # An evaluation between acting and recording, with another number of environments
    evaluation = EvalCallback(VecTransposeImage(other.env.venv), n_eval_episodes=1, eval_freq=7, verbose=0, warn=False)
    model.learn(64, callback=[evaluation, Compare()])
    for ours, theirs in found:
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_stacked_frames_show_motion_and_the_first_frame_shows_none(make_model):
    model = make_model(PixelPolicy, n_stack=2)
    features = []
    for observation in (model.env.reset(), model.env.step(np.ones((2, 2), np.float32))[0]):
        tensors = {key: th.from_numpy(value) for key, value in observation.items()}
        features.append(model.policy.extract_features(tensors).detach().numpy())
    assert features[0].shape == (2, 8)
    velocities = [each[:, 2:4] for each in features]
    assert (velocities[0] == 0).all(), "before an episode's first frame there was nothing"
    assert (velocities[1] != 0).all()


def test_state_policy_never_looks_at_pictures(make_model):
    model = make_model()
    observation = model.env.reset()
    black = {**observation, **{key: np.zeros_like(observation[key]) for key in keys.IMAGE_KEYS}}
    np.testing.assert_array_equal(
        model.predict(observation, deterministic=True)[0], model.predict(black, deterministic=True)[0]
    )


@pytest.mark.parametrize("policy", [PixelPolicy, FusedPolicy])
def test_policies_that_see_their_goal_look_at_its_picture(policy, make_model):
    model = make_model(policy)
    observation = model.env.reset()
    hidden = {**observation, keys.DESIRED_IMAGE: np.zeros_like(observation[keys.DESIRED_IMAGE])}
    actions = [model.predict(each, deterministic=True)[0] for each in (observation, hidden)]
    assert not np.array_equal(*actions)
    assert keys.DESIRED_GOAL not in observation


def test_the_translator_learns_and_logs(make_model, tmp_path):
    model = make_model(n_envs=4, n_steps=128)
    model.set_logger(configure(str(tmp_path), ["csv", "tensorboard"]))
    history = []

    class Record(TranslatorCallback):
        def _on_rollout_end(self) -> None:
            super()._on_rollout_end()
            history.append({name: self.logger.name_to_value[f"translator/{name}"] for name in
                            ("loss", "joint_error_deg", "keypoint_error_cm")})  # fmt: skip

    model.learn(4096, callback=Record(frames_per_step=3, batch_size=64, picture_freq=4))
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert history[-1]["joint_error_deg"] < 0.7 * history[0]["joint_error_deg"]
    assert history[-1]["keypoint_error_cm"] < 0.7 * history[0]["keypoint_error_cm"]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path))
    model.logger.close()
    events.Reload()
    assert len(events.Images("translator/pose")) == 2


def test_callback_without_translator_says_what_to_do(make_model):
    model = make_model(env_id="MimicReacherPlaneState-v0")
    with pytest.raises(ValueError, match="an environment id with pictures"):
        model.learn(128, callback=TranslatorCallback())


@pytest.mark.parametrize(
    "bad",
    [
        {"frames_per_step": 0},
        {"memory_size": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"cycle": 0.0},
        {"cycle": 1.1},
    ],
)
def test_callback_refuses_bad_arguments(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        TranslatorCallback(**bad)


def test_one_cycle_goes_up_and_down():
    rates = [one_cycle(progress) for progress in np.linspace(0, 1.1, 111)]
    assert rates[0] == 0
    assert max(rates) == pytest.approx(1, abs=1e-3)
    assert rates[100:] == pytest.approx([0] * 11, abs=1e-9)
    assert (np.diff(rates[:15]) > 0).all()
    assert (np.diff(rates[16:100]) < 0).all()


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


def test_after_its_cycle_the_learning_rate_stays_low(make_model):
    rates = []

    class Record(TranslatorCallback):
        def _on_rollout_end(self) -> None:
            super()._on_rollout_end()
            rates.append(self.logger.name_to_value["translator/learning_rate"])

    make_model(FusedPolicy, n_epochs=1).learn(128 * 8, callback=Record(learning_rate=1e-3, cycle=0.5))
    assert rates[0] > rates[2] > 2e-5
    assert rates[3:] == pytest.approx([2e-5] * 5)


def picture_space(**replaced) -> spaces.Dict:
    picture = spaces.Box(0, 255, (3, 64, 64), np.uint8)
    vector = spaces.Box(-1, 1, (5,), np.float32)
    space = dict.fromkeys(keys.STATE_KEYS, vector) | dict.fromkeys(keys.IMAGE_KEYS, picture) | replaced
    return spaces.Dict({key: value for key, value in space.items() if value is not None})


WHO_SEES = {
    PixelExtractor: keys.IMAGE_KEYS,
    FusedExtractor: (keys.DESIRED_IMAGE,),
    ConvNetTranslator: (keys.IMAGE,),
}


@pytest.mark.parametrize("who", [StateExtractor, *WHO_SEES])
def test_missing_keys_are_named(who):
    arguments = {"state_dim": 5} if who in (PixelExtractor, FusedExtractor) else {}
    for key in keys.STATE_KEYS + keys.IMAGE_KEYS:
        space = picture_space(**{key: None})
        needed = getattr(who, "keys", (keys.IMAGE, keys.ACHIEVED_GOAL))
        if key in needed:
            with pytest.raises(ValueError, match=f"lacks {key}"):
                who(space, **arguments)
        else:
            who(space, **arguments)
    with pytest.raises(ValueError, match="Dict"):
        who(spaces.Box(-1, 1, (3,)), **arguments)


@pytest.mark.parametrize(("who", "seen"), WHO_SEES.items())
def test_pictures_that_are_none_are_refused(who, seen):
    for bad in ((64, 64, 3), np.uint8), ((3, 64, 64), np.float32), ((4, 64, 64), np.uint8):
        shape, dtype = bad
        with pytest.raises(ValueError, match=r"uint8 picture with channels first.*norm_obs_keys"):
            who(picture_space(**{seen[0]: spaces.Box(0, 255, shape, dtype)}), state_dim=5)


def test_normalising_pictures_is_refused():
    venv = VecNormalize(make_vec_env(ENV_ID, 1, seed=0))
    with pytest.raises(ValueError, match="norm_obs_keys"):
        PPO(PixelPolicy, venv)
    venv.close()


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
        losses.append(fit(translator, PoseDataset(images, states), 2, 16, 1e-3, np.random.default_rng(1)))
    assert losses[0] == losses[1]
    with pytest.raises(ValueError, match="64 pictures and 63 states"):
        PoseDataset(images, states[:-1])


def test_the_memory_mixes_old_and_new_and_stays_bounded():
    rng = np.random.default_rng(0)
    memory = PoseMemory(100)
    for value in range(10):
        memory.add(PoseDataset(np.full((30, 3, 2, 2), value, np.uint8), np.full((30, 1), value, np.float32)), rng)
        assert len(memory) == min(30 * (value + 1), 100)
    sample = memory.sample(1000, rng)
    assert (sample.images[:, 0, 0, 0] == sample.states[:, 0]).all(), "pictures keep their states"
    values, counts = np.unique(sample.states, return_counts=True)
    assert len(values) > 5
    assert counts[-1] > counts[0], "the new are the most frequent"
    with pytest.raises(ValueError, match="capacity=0"):
        PoseMemory(0)


def test_frames_of_a_robot_that_stands_still_count_once():
    states = np.zeros((50, 2, 3), np.float32)
    states[:, 1, 0] = np.linspace(0, 1, 50)
    starts = np.zeros((50, 2), np.float32)
    starts[0] = starts[25] = 1
    is_new = _differs_from_before(states, starts, 0.05)
    assert is_new[:, 0].sum() == 2, "once for each episode"
    kept = states[is_new[:, 1], 1, 0]
    assert 10 <= len(kept) <= 26
    assert (np.diff(kept) > 0.02).all()
