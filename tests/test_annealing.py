"""Schedules that are data: their values, that they survive saving and loading, and the zoo."""

import json
import math

import numpy as np
import pytest
import torch as th
import yaml
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback

from sb3_mimic.annealing import Annealing, AnnealingCallback
from sb3_mimic.runs.shipped import hyperparams_file

ENV_ID = "MimicReacherPlaneState-v0"
GIVEN = {
    "learning_rate": {"initial": 1e-3, "final": 1e-4, "shape": "cosine"},
    "clip_range": {"initial": 0.2, "final": 0.1},
    "log_std": {"initial": -0.5, "final": -2.0, "shape": "linear"},
}
SMALL = {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "device": "cpu"}


class Diary(BaseCallback):
    """What is true in each rollout: the actions' log-std, and what the update before it was done with"""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[float, ...]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        policy = self.model.policy
        used = self.logger.name_to_value
        rates = policy.optimizer.param_groups[0]["lr"], used.get("train/clip_range", math.nan)
        self.entries.append((float(policy.log_std.detach().mean()), *rates))


def test_values_at_start_middle_and_end():
    for shape, quarter in (("linear", 1.25), ("cosine", 1 + (1 - math.cos(math.pi / 4)) / 2)):
        annealing = Annealing(1, 2, shape)
        values = [annealing(remaining) for remaining in (1.5, 1, 0.75, 0.5, 0.25, 0, -0.1)]
        np.testing.assert_allclose(values, [1, 1, quarter, 1.5, 3 - quarter, 2, 2])


@pytest.mark.parametrize(("algorithm", "policy"), [(PPO, "MultiInputPolicy"), (RecurrentPPO, "MultiInputLstmPolicy")])
def test_everything_is_annealed_while_it_trains(algorithm, policy, make_env):
    model = algorithm(policy, make_env(ENV_ID), **SMALL)
    diary = Diary()
    model.learn(256, callback=[AnnealingCallback(**GIVEN), diary])
    log_stds = [entry[0] for entry in diary.entries]
    np.testing.assert_allclose(log_stds, [-0.5, -0.875, -1.25, -1.625], rtol=1e-6)
    rate = Annealing(1e-3, 1e-4, "cosine")
    np.testing.assert_allclose([entry[1] for entry in diary.entries[1:]], [rate(0.75), rate(0.5), rate(0.25)])
    np.testing.assert_allclose([entry[2] for entry in diary.entries[1:]], [0.175, 0.15, 0.125])
    np.testing.assert_allclose(model.policy.optimizer.param_groups[0]["lr"], 1e-4)
    assert not model.policy.log_std.requires_grad
    np.testing.assert_allclose(model.policy.log_std.detach(), -1.625, err_msg="it is not trained")


def test_the_learning_rate_of_an_off_policy_algorithm(make_env):
    model = SAC("MultiInputPolicy", make_env(ENV_ID), learning_starts=10, buffer_size=100, batch_size=8, device="cpu")
    model.learn(40, callback=AnnealingCallback(learning_rate={"initial": 1e-3, "final": 0.0}))
    for optimizer in (model.actor.optimizer, model.critic.optimizer, model.ent_coef_optimizer):
        assert optimizer.param_groups[0]["lr"] == 0


def test_the_position_survives_in_another_process(make_env, run_python, tmp_path):
    """Half of a training, saved, and loaded where nothing was made before"""

    class Half(BaseCallback):
        def _on_step(self) -> bool:
            return self.num_timesteps < 128

    model = PPO("MultiInputPolicy", make_env(ENV_ID), **SMALL)
    model.learn(256, callback=[AnnealingCallback(**GIVEN), Half()])
    model._update_current_progress_remaining(128, 256)
    model.save(tmp_path / "half.zip")
    code = f"""
import json, sb3_mimic, gymnasium as gym
from stable_baselines3 import PPO
from sb3_mimic.annealing import AnnealingCallback
model = PPO.load({str(tmp_path / "half.zip")!r}, env=gym.make({ENV_ID!r}), device="cpu")
left = model._current_progress_remaining
found = [left, model.lr_schedule(left), model.clip_range(left), model._total_timesteps]
model.learn(128, callback=AnnealingCallback(**{GIVEN!r}), reset_num_timesteps=False)
found += [model.num_timesteps, model.policy.log_std.mean().item(), model.policy.optimizer.param_groups[0]["lr"]]
print("found", json.dumps(found))
"""
    found = json.loads(run_python("-c", code).split("found ")[1].splitlines()[0])
    np.testing.assert_allclose(found, [0.5, 5.5e-4, 0.15, 256, 256, -1.625, 1e-4], rtol=1e-6)


def test_nothing_else_of_an_update_changes(make_env):
    """An annealing that stays where it is gives bit for bit the weights of constants"""
    states = []
    for callback in (None, AnnealingCallback(**{name: {"initial": x, "final": x} for name, x in
                                                (("learning_rate", 3e-4), ("clip_range", 0.2))})):  # fmt: skip
        model = PPO("MultiInputPolicy", make_env(ENV_ID), seed=1, **SMALL).learn(128, callback=callback)
        states.append(model.policy.state_dict())
    for name, value in states[0].items():
        assert th.equal(value, states[1][name]), name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "nothing to anneal"),
        ({"learning_rate": {"initial": 1e-3, "final": 0, "shape": "sine"}}, "Unknown shape 'sine'.*linear, cosine"),
        ({"learning_rate": {"initial": "1e-3", "final": 0}}, r"initial must be a finite number, got '1e-3'.*1\.0e-3"),
        ({"learning_rate": {"initial": math.nan, "final": 0}}, "finite number, got nan"),
        ({"learning_rate": {"initial": True, "final": 0}}, "finite number, got True"),
        ({"learning_rate": {"initial": -1, "final": 0}}, "must start above 0"),
        ({"clip_range": {"initial": 0.2, "final": -0.1}}, "clip_range must start above 0 and not end below 0"),
        ({"clip_range": 0.2}, "clip_range must be given as .*got 0.2"),
        ({"log_std": {"initial": 0}}, "log_std must be given as"),
        ({"log_std": {"initial": 0, "final": -1, "end": 3}}, "log_std must be given as"),
    ],
)  # fmt: skip
def test_wrong_values_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        AnnealingCallback(**given)


def test_what_an_algorithm_does_not_have_is_named(make_env):
    sac = SAC("MultiInputPolicy", make_env(ENV_ID), buffer_size=10, device="cpu")
    with pytest.raises(ValueError, match="SAC has no clip_range"):
        sac.learn(1, callback=AnnealingCallback(clip_range=GIVEN["clip_range"]))
    with pytest.raises(ValueError, match="has no log_std"):
        sac.learn(1, callback=AnnealingCallback(log_std=GIVEN["log_std"]))
    discrete = PPO("MlpPolicy", "CartPole-v1", device="cpu", n_steps=8, batch_size=8)
    with pytest.raises(ValueError, match="ActorCriticPolicy has no log_std"):
        discrete.learn(1, callback=AnnealingCallback(log_std=GIVEN["log_std"]))
    with_sde = PPO("MultiInputPolicy", make_env(ENV_ID), use_sde=True, **SMALL)
    with pytest.raises(ValueError, match="use_sde"):
        with_sde.learn(1, callback=AnnealingCallback(log_std=GIVEN["log_std"]))


@pytest.mark.slow
def test_a_conf_file_anneals_in_the_zoo(run_python, tmp_path):
    entry = yaml.safe_load(hyperparams_file("ppo").read_text())[ENV_ID]
    entry |= {"n_envs": 2, "n_steps": 64, "batch_size": 64, "n_timesteps": 512}
    entry["callback"] = [{"sb3_mimic.annealing.AnnealingCallback": GIVEN}]
    (tmp_path / "annealed.yml").write_text(yaml.safe_dump({ENV_ID: entry}))
    command = ("-m", "rl_zoo3.train", "--algo", "ppo", "--env", ENV_ID, "--gym-packages", "sb3_mimic")
    run_python(*command, "--conf-file", "annealed.yml", "--eval-freq", "-1", cwd=tmp_path)
    model = PPO.load(tmp_path / "logs" / "ppo" / f"{ENV_ID}_1" / f"{ENV_ID}.zip", device="cpu")
    assert model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(1e-4)
    assert model.clip_range(0) == pytest.approx(0.1)
    assert model.policy.log_std.detach().numpy() == pytest.approx(-0.5 - 1.5 * 384 / 512)
