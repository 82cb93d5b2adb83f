"""SAC and TQC: a translator that learns from the newest frames in a replay buffer, and changes nothing about them."""

import numpy as np
import pytest
import torch as th
from learning import OFF_POLICY, SMALL, parameters_of
from stable_baselines3 import SAC
from stable_baselines3 import HerReplayBuffer as SB3HerReplayBuffer

from sb3_mimic import keys
from sb3_mimic.her import HerReplayBuffer
from sb3_mimic.policies import StateSACPolicy, StateTQCPolicy
from sb3_mimic.translator.callback import TranslatorCallback

KWARGS = {"net_arch": [32], "translator_kwargs": SMALL}


class Record(TranslatorCallback):
    """Keeps what it was given to learn from, and what was logged"""

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self.windows, self.errors = [], []

    def _measure(self, translator, windows, layout):
        lesson = super()._measure(translator, windows, layout)
        self.windows.append(windows)
        self.errors.append(lesson.measures["joint_error_deg"])
        return lesson


@pytest.mark.parametrize("policy", OFF_POLICY)
def test_every_policy_learns_with_its_translator(policy, make_model, tmp_path):
    model = make_model(policy, policy_kwargs=KWARGS)
    before = {name: value.clone() for name, value in model.policy.named_parameters()}
    model.learn(96, callback=TranslatorCallback(train_freq=32, cycle=0.5))
    for name, value in model.policy.named_parameters():
        assert not th.equal(before[name], value), f"{name} was not trained"
    model.save(tmp_path / "model.zip")
    loaded = type(model).load(tmp_path / "model.zip", device="cpu")
    observation = model.env.reset()
    np.testing.assert_array_equal(model.predict(observation, deterministic=True)[0],
                                  loaded.predict(observation, deterministic=True)[0])  # fmt: skip


@pytest.mark.parametrize("policy", [StateSACPolicy, StateTQCPolicy])
def test_weights_are_the_same_with_and_without_the_translator(policy, make_model):
    # One after the other: replay buffers draw from numpy's global random numbers
    models = [
        make_model(policy, policy_kwargs=KWARGS).learn(96, callback=callback)
        for callback in (TranslatorCallback(train_freq=32), None)
    ]
    for (name, ours), theirs in zip(
        parameters_of(models[0].policy).items(), parameters_of(models[1].policy).values(), strict=True
    ):
        assert th.equal(ours, theirs), name


@pytest.mark.parametrize("policy", OFF_POLICY)
def test_the_translator_is_in_no_optimizer_and_in_no_target(policy, make_model):
    policy = make_model(policy, policy_kwargs=KWARGS).policy
    own = {id(parameter) for parameter in policy.translator.parameters()}
    for module in (policy.actor, policy.critic):
        assert not own & {id(p) for group in module.optimizer.param_groups for p in group["params"]}
    for module in (policy.actor, policy.critic, policy.critic_target):
        assert not own & {id(parameter) for parameter in module.parameters()}


@pytest.mark.parametrize("policy", [StateSACPolicy, StateTQCPolicy])
def test_unread_pictures_are_never_made_floats(policy, make_model):
    policy = make_model(policy, policy_kwargs=KWARGS).policy
    seen = []
    for module in (policy.actor, policy.critic, policy.critic_target):
        module.features_extractor.register_forward_pre_hook(lambda _, inputs: seen.append(set(inputs[0])))
    observation = {key: th.zeros(2, *space.shape) for key, space in policy.observation_space.spaces.items()}
    actions = policy(observation)
    for critic in (policy.critic, policy.critic_target):
        critic(observation, actions)
    assert seen == [set(keys.STATE_KEYS)] * 3


def test_windows_come_out_of_a_buffer_that_wraps_around(make_model):
    """Its 64 steps are overwritten several times; every window still holds frames and states of the same moments"""
    model = make_model(StateTQCPolicy, buffer_size=128, policy_kwargs=KWARGS)
    callback = Record(train_freq=48, min_change=1e-6)
    model.learn(480, callback=callback)
    assert len(callback.windows) == 10
    frames = {}
    for windows in callback.windows:
        for image, state in zip(windows.images[:, 0], windows.states[:, 0], strict=True):
            frames.setdefault(state.tobytes(), []).append(image)
    assert len(frames) > 300
    repeated = [images for images in frames.values() if len(images) > 1]
    for first, *others in repeated:
        for other in others:
            assert np.abs(first.astype(int) - other).mean() < 0.1


@pytest.mark.parametrize("buffer_class", [SB3HerReplayBuffer, HerReplayBuffer])
def test_learns_beside_hindsight(buffer_class, make_model):
    kwargs = {"replay_buffer_class": buffer_class, "replay_buffer_kwargs": {"copy_info_dict": True}}
    model = make_model(StateTQCPolicy, policy_kwargs=KWARGS, buffer_size=2000, learning_starts=500, **kwargs)
    before = model.policy.translator.predict(np.zeros((64, 64, 3), np.uint8))
    model.learn(560, callback=TranslatorCallback(train_freq=64))
    assert (before != model.policy.translator.predict(np.zeros((64, 64, 3), np.uint8))).all()


@pytest.mark.slow
def test_sac_learns_to_read_while_it_learns_to_move(make_model):
    how = {"learning_rate": 1e-3, "gamma": 0.9, "tau": 0.02, "train_freq": 1, "gradient_steps": 4, "learning_starts": 1000}
    sizes = {"n_envs": 4, "buffer_size": 10_000, "batch_size": 128, "policy_kwargs": {"net_arch": [64, 64], "n_critics": 2}}
    model = make_model(StateSACPolicy, **how, **sizes)
    assert isinstance(model, SAC)
    returns = []

    class Watch(Record):
        def _on_step(self) -> bool:
            returns.extend(info["episode"]["r"] for info in self.locals["infos"] if "episode" in info)
            return super()._on_step()

    callback = Watch(frames_per_step=2, train_freq=512)
    model.learn(8192, callback=callback)
    assert np.mean(callback.errors[-2:]) < 0.5 * callback.errors[0], "it reads"
    # Random actions bring nothing on average; the way to a random pose is worth about 2.5
    assert abs(np.mean(returns[:10])) < 1, "it cannot move yet"
    assert np.mean(returns[-20:]) > 1.5, "it moves"
    assert np.mean(list(model.ep_success_buffer)[-20:]) >= 0.2
