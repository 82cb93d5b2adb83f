"""The translator learns beside an on-policy algorithm, and changes nothing about it."""

import numpy as np
import pytest
from learning import ON_POLICY, Compare
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecTransposeImage

from sb3_mimic import keys
from sb3_mimic.policies import FusedPolicy, PixelPolicy, StatePolicy
from sb3_mimic.translator.callback import TranslatorCallback, one_cycle


@pytest.mark.parametrize("policy", ON_POLICY)
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
    compare = Compare()

    n_stack = 2 if policy is PixelPolicy else 1
    model, other = (make_model(policy, n_stack=n_stack, n_steps=16, batch_size=32) for _ in range(2))
    # An evaluation between acting and recording, with another number of environments
    evaluation = EvalCallback(VecTransposeImage(other.env.venv), n_eval_episodes=1, eval_freq=7, verbose=0, warn=False)
    model.learn(64, callback=[evaluation, compare])
    for ours, theirs in compare.found:
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_the_translator_learns_and_logs(make_model, tmp_path):
    model = make_model(n_envs=4, n_steps=128)
    model.set_logger(configure(str(tmp_path), ["csv", "tensorboard"]))
    history = []

    class Record(TranslatorCallback):
        def _record(self, lesson) -> None:
            super()._record(lesson)
            history.append(lesson.measures)

    model.learn(4096, callback=Record(frames_per_step=3, batch_size=64, picture_freq=4))
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert history[-1]["joint_error_deg"] < 0.7 * history[0]["joint_error_deg"]
    assert history[-1]["keypoint_error_cm"] < 0.7 * history[0]["keypoint_error_cm"]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path))
    model.logger.close()
    events.Reload()
    assert len(events.Images("translator/pose")) == 2
    assert len(events.Scalars("translator/loss")) == len(history) == 8, "that of the last training is logged, too"
    assert "coverage" not in history[0], "nothing is stated before anything has been learnt"
    assert 0.6 < history[-1]["coverage"] <= 1


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


def test_after_its_cycle_the_learning_rate_stays_low(make_model):
    rates = []

    class Record(TranslatorCallback):
        def _record(self, lesson) -> None:
            super()._record(lesson)
            rates.append(lesson.measures["learning_rate"])

    make_model(FusedPolicy, n_epochs=1).learn(128 * 8, callback=Record(learning_rate=1e-3, cycle=0.5))
    assert rates[0] > rates[2] > 2e-5
    assert rates[3:] == pytest.approx([2e-5] * 5)
