"""Hindsight in use: trainings that go on bit by bit, demonstrations, rl-zoo3, and what becomes of the agent."""

import argparse
import copy
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import optuna
import pytest
import torch as th
import yaml
from gymnasium import spaces
from learning import parameters_of
from point_mass import N_STEPS, PointMass, limited
from rl_zoo3 import exp_manager
from stable_baselines3 import DDPG, PPO, SAC
from stable_baselines3 import HerReplayBuffer as SB3HerReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from sb3_mimic import keys
from sb3_mimic.agents.loading import load_agent
from sb3_mimic.checkpoints import RunStateCallback
from sb3_mimic.cli.main import main
from sb3_mimic.errors import InputError, NoTargetNetworkError, PackageError, UnsuitableEnvError
from sb3_mimic.her import DemonstrationCallback, GoalSelectionStrategy, HerReplayBuffer, share_goal_statistics
from sb3_mimic.tuning.hindsight import REPLAY_BUFFER_KWARGS
from sb3_mimic.tuning.storage import open_storage
from sb3_mimic.zoo.manager import MimicZooManager

ENV_ID = "PointMass-v0"
SMALL = {"policy_kwargs": {"net_arch": [16]}, "batch_size": 32, "learning_starts": 40, "buffer_size": 300, "device": "cpu"}
HINDSIGHT = {
    "replay_buffer_class": HerReplayBuffer,
    "replay_buffer_kwargs": {"already_achieved": 0.3, "goal_selection_strategy": "strict_future"},
}


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    n_threads = th.get_num_threads()
    th.set_num_threads(1)
    gym.register(ENV_ID, PointMass, max_episode_steps=N_STEPS)
    yield
    del gym.registry[ENV_ID]
    th.set_num_threads(n_threads)


def make_venv(n_envs: int = 2, cls=DummyVecEnv, env_id=ENV_ID, normalize=True):
    venv = make_vec_env(env_id if cls is DummyVecEnv else limited, n_envs, seed=0, vec_env_cls=cls)
    if normalize:
        venv = VecNormalize(venv, norm_obs_keys=list(keys.STATE_KEYS))
        share_goal_statistics(venv)
    return venv


def make_sac(venv=None, **kwargs) -> SAC:
    return SAC("MultiInputPolicy", venv or make_venv(), seed=0, **copy.deepcopy(SMALL | HINDSIGHT | kwargs))


class Interrupt(BaseCallback):
    """Stops at a step, as if killed"""

    def __init__(self, at: int):
        super().__init__()
        self.at = at

    def _on_step(self) -> bool:
        return self.num_timesteps < self.at


@pytest.mark.parametrize("copies_infos", [False, True])
@pytest.mark.parametrize("stopped_at", [150, 250])
def test_a_run_that_is_continued_ends_with_the_same_weights(stopped_at, copies_infos, tmp_path):
    """Stopped in mid-episode, with demonstrations still going on or over; the buffer has wrapped around by the end"""
    how = {"replay_buffer_kwargs": HINDSIGHT["replay_buffer_kwargs"] | {"copy_info_dict": copies_infos}, "buffer_size": 170}

    def callbacks(stop_at=1000, **kwargs):
        checkpoints = RunStateCallback(str(tmp_path), 90, verbose=0, **kwargs)
        return [checkpoints, DemonstrationCallback(130, verbose=0), Interrupt(stop_at)]

    straight = make_sac(**how).learn(330, callback=callbacks())
    for path in tmp_path.iterdir():
        path.unlink()
    make_sac(**how).learn(330, callback=callbacks(stopped_at))
    last = max(tmp_path.glob("*.zip"), key=lambda path: int(path.stem.split("_")[2]))
    model = SAC.load(last, env=make_venv(), device="cpu")
    assert type(model) is SAC
    model.learn(330, callback=callbacks(resume_from=str(last)))
    assert model.num_timesteps == straight.num_timesteps
    for (name, ours), theirs in zip(parameters_of(model.policy).items(), parameters_of(straight.policy).values(), strict=True):
        assert th.equal(ours, theirs), name
    for name in ("ep_start", "ep_length", "actions"):
        np.testing.assert_array_equal(getattr(model.replay_buffer, name), getattr(straight.replay_buffer, name))


def test_sb3s_own_files_of_a_buffer_are_written_and_read(tmp_path):
    model = make_sac().learn(64)
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    other = make_sac()
    other.load_replay_buffer(tmp_path / "buffer.pkl", truncate_last_traj=False)
    samples = []
    for each in (model, other):
        np.random.seed(0)
        samples.append(each.replay_buffer.sample(32).rewards)
    assert th.equal(*samples)


@pytest.mark.parametrize("cls", [DummyVecEnv, SubprocVecEnv])
def test_a_script_acts_first_and_what_it_did_is_stored(cls):
    venv = make_venv(cls=cls)
    model = make_sac(venv, learning_starts=0)
    reached = []

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            reached.extend(info["is_success"] for info in self.locals["infos"])
            return True

    # At the end of an episode, so that some have ended when the agent begins to learn
    model.learning_starts = 60
    model.learn(100, callback=[Watch(), DemonstrationCallback(60, noise=0.0, verbose=0)])
    venv.close()
    buffer = model.replay_buffer
    position, goal = (buffer.observations[key][:30] for key in (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL))
    scripted = np.clip((goal - position) / 0.4, -0.5, 0.5)
    np.testing.assert_allclose(buffer.actions[:30], scripted / 0.5, atol=1e-5)
    position, goal = (buffer.observations[key][30:50] for key in (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL))
    assert abs(buffer.actions[30:50] - np.clip((goal - position) / 0.4, -0.5, 0.5) / 0.5).max() > 0.1
    steps = np.array(reached[:60]).reshape(3, N_STEPS, 2)
    assert steps[:, -1].all(), "the script gets there"
    assert type(model) is SAC


def test_noise_is_added_to_what_the_script_does(tmp_path):
    model = make_sac(learning_starts=1000)
    callback = DemonstrationCallback(10_000, noise=0.1)

    class Save(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 100:
                self.model.save(tmp_path / "model.zip")
            return True

    model.learn(200, callback=[callback, Save()])
    assert type(model) is SAC, "also where the training ends before"
    buffer = model.replay_buffer
    position, goal = (buffer.observations[key][:100] for key in (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL))
    scripted = np.clip((goal - position) / 0.4, -0.5, 0.5) / 0.5
    is_inside = abs(scripted) < 0.6
    assert np.std((buffer.actions[:100] - scripted)[is_inside]) == pytest.approx(0.1, rel=0.2)
    assert abs(buffer.actions).max() <= 1
    with zipfile.ZipFile(tmp_path / "model.zip") as file:
        assert b"emonstrat" not in file.read("data")
    assert SAC.load(tmp_path / "model.zip", env=make_venv(), device="cpu").learn(10).num_timesteps == 10


def test_what_cannot_be_demonstrated_is_told():
    with pytest.raises(UnsuitableEnvError, match=r"demonstrate\(\) -> action, shape \(1,\)"):
        SAC("MlpPolicy", "Pendulum-v1", buffer_size=10).learn(10, callback=DemonstrationCallback())
    with pytest.raises(UnsuitableEnvError, match="PPO on"):
        PPO("MultiInputPolicy", make_venv(), device="cpu").learn(10, callback=DemonstrationCallback())
    venv = DummyVecEnv([PointMass])
    venv.envs[0].demonstrate = lambda: np.zeros(2)
    with pytest.raises(UnsuitableEnvError, match=r"action of shape \(3,\), and returned one of shape \(2,\)"):
        make_sac(venv).learn(10, callback=DemonstrationCallback())
    for kwargs, message in ({"n_steps": 0}, "n_steps must be"), ({"n_steps": 1e4}, "10000.0"), ({"noise": -1}, "noise must"):
        with pytest.raises(InputError, match=message):
            DemonstrationCallback(**kwargs)


ENTRY = {
    "policy": "MultiInputPolicy",
    "n_timesteps": 120,
    "n_envs": 2,
    "learning_starts": 40,
    "buffer_size": 200,
    "batch_size": 16,
    "policy_kwargs": {"net_arch": [16]},
    "normalize": {"norm_obs_keys": ["observation", "achieved_goal", "desired_goal"]},
    "replay_buffer_class": "sb3_mimic.her.HerReplayBuffer",
    "replay_buffer_kwargs": {"goal_selection_strategy": "random", "already_achieved": "redraw"},
    "callback": [
        "sb3_mimic.checkpoints.RunStateCallback",
        {"sb3_mimic.her.DemonstrationCallback": {"n_steps": 60, "noise": 0.2}},
    ],
}


@pytest.fixture
def make_manager(tmp_path):
    """Makes a manager of a training that a YAML file describes"""

    def make(entry=None, algo="sac", **kwargs) -> MimicZooManager:
        (tmp_path / "her.yml").write_text(yaml.safe_dump({ENV_ID: ENTRY | (entry or {})}))
        kwargs = {"eval_freq": -1, "verbose": 0, "seed": 1, "config": str(tmp_path / "her.yml"), "device": "cpu"} | kwargs
        kwargs["log_interval"] = -1
        args = argparse.Namespace(num_threads=1, algo=algo, conf_file=kwargs["config"], n_timesteps=-1, trained_agent="")
        return MimicZooManager(args, algo, ENV_ID, str(tmp_path / "logs"), **kwargs)

    return make


def test_a_yaml_file_of_the_zoo_says_it_all(make_manager, tmp_path, monkeypatch, capsys):
    manager = make_manager()
    model, _ = manager.setup_experiment()
    assert type(model.replay_buffer) is HerReplayBuffer
    assert model.replay_buffer.goal_selection_strategy is GoalSelectionStrategy.RANDOM
    statistics = model.get_vec_normalize_env().obs_rms
    assert statistics[keys.ACHIEVED_GOAL] is statistics[keys.DESIRED_GOAL]
    manager.learn(model)
    manager.save_trained_model(model)
    saved = yaml.unsafe_load((Path(manager.params_path) / "config.yml").read_text())
    assert saved["replay_buffer_class"] == ENTRY["replay_buffer_class"], "it is data"
    agent = load_agent(ENV_ID, "sac", str(tmp_path / "logs"))
    env = limited()
    action, _ = agent.act(env.reset(seed=0)[0])
    assert action.shape == (3,)
    with pytest.raises(NoTargetNetworkError, match="SAC keeps no target network of its actor; DDPG and TD3 do"):
        agent.take_target_network()
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--algo", "sac", "--env", ENV_ID, "-f", "logs", "--target-network"]) == 2
    assert "Leave --target-network out" in capsys.readouterr().err


def test_a_class_that_is_not_there_is_named(make_manager):
    with pytest.raises(PackageError, match=r"replay_buffer_class: sb3_mimic.her.Her .*Ours is sb3_mimic.her.HerReplayBuffer"):
        make_manager({"replay_buffer_class": "sb3_mimic.her.Her"}).setup_experiment()


def test_sb3s_own_buffer_stays_sb3s(make_manager):
    entry = {"replay_buffer_class": "HerReplayBuffer", "replay_buffer_kwargs": {}, "normalize": False}
    manager = make_manager(entry)
    model, _ = manager.setup_experiment()
    assert type(model.replay_buffer) is SB3HerReplayBuffer
    assert not manager.has_hindsight
    model.env.close()


def test_a_study_of_the_zoo_draws_how_goals_are_chosen(make_manager, tmp_path):
    storage, drawn = str(tmp_path / "study.log"), []
    how = {"optimize_hyperparameters": True, "n_trials": 3, "sampler": "random", "pruner": "none", "n_evaluations": 1}
    how |= {"storage": storage, "study_name": "her", "no_optim_plots": True, "n_startup_trials": 0}
    manager = make_manager({"callback": [], "replay_buffer_kwargs": {"already_achieved": "keep"}}, **how)
    manager.setup_experiment()
    before = exp_manager.HYPERPARAMS_SAMPLER["sac"]

    def objective(trial: optuna.Trial) -> float:
        # As the zoo's own begins, without a training
        arguments = {"using_her_replay_buffer": False, "her_kwargs": manager._hyperparams["replay_buffer_kwargs"]}
        entry = exp_manager.HYPERPARAMS_SAMPLER["sac"](trial, 3, 2, arguments)
        drawn.append(entry[REPLAY_BUFFER_KWARGS])
        return float(trial.number)

    manager.objective = objective
    manager.hyperparameters_optimization()
    assert exp_manager.HYPERPARAMS_SAMPLER["sac"] is before
    assert len(drawn) == 3
    for each in drawn:
        HerReplayBuffer(10, PointMass().observation_space, PointMass().action_space, None, **each)
        assert set(each) == {"n_sampled_goal", "goal_selection_strategy", "already_achieved"}
    study = optuna.load_study(storage=open_storage(storage), study_name="her")
    assert {name for trial in study.trials for name in trial.params} >= set(drawn[0])
    loaded = make_manager().load_trial(storage, "her", 1)
    assert loaded[REPLAY_BUFFER_KWARGS] == drawn[1]
    assert "n_sampled_goal" not in loaded


def test_an_agent_can_act_by_its_target_network(tmp_path):
    model = DDPG("MultiInputPolicy", make_venv(normalize=False), seed=0, **copy.deepcopy(SMALL | HINDSIGHT)).learn(80)
    folder = tmp_path / "ddpg" / f"{ENV_ID}_1"
    folder.mkdir(parents=True)
    model.save(folder / f"{ENV_ID}.zip")
    agent = load_agent(ENV_ID, "ddpg", str(tmp_path))
    observation, _ = limited().reset(seed=0)
    own, _ = agent.act(observation)
    agent.take_target_network()
    by_target, _ = agent.act(observation)
    batch = {key: th.as_tensor(value[None]) for key, value in observation.items()}
    expected = model.policy.unscale_action(model.policy.actor_target(batch).detach().numpy())[0]
    np.testing.assert_allclose(by_target, expected, rtol=1e-6)
    assert (own != by_target).any()


def make_panda() -> gym.Env:
    import panda_gym  # noqa: F401  # registers it

    return gym.make("PandaPush-v3")


@pytest.mark.parametrize(("cls", "is_said"), [(DummyVecEnv, nullcontext), (SubprocVecEnv, partial(pytest.warns, UserWarning))])
def test_panda_gym_is_served_as_it_is(cls, is_said):
    """Its reward is a method of what holds the simulation: called through the pipe of another process, which is said"""
    pytest.importorskip("panda_gym")
    venv = make_vec_env(make_panda, 1, seed=0, vec_env_cls=cls)
    kwargs = {"replay_buffer_kwargs": {"already_achieved": "redraw"}, "learning_starts": 52}
    with is_said():
        model = make_sac(venv, **kwargs).learn(56)
    sample = model.replay_buffer.sample(200)
    after, desired = sample.next_observations[keys.ACHIEVED_GOAL], sample.next_observations[keys.DESIRED_GOAL]
    expected = -(th.linalg.norm(after - desired, dim=1) > 0.05).float()
    np.testing.assert_array_equal(sample.rewards[:, 0], expected)
    assert (expected == 0).any()
    venv.close()


def test_sbx_trains_with_it():
    sbx = pytest.importorskip("sbx")
    model = sbx.SAC("MultiInputPolicy", make_venv(normalize=False), seed=0, **copy.deepcopy(SMALL | HINDSIGHT))
    model.learn(60, callback=DemonstrationCallback(40, verbose=0))
    assert model.num_timesteps == 60


def test_a_script_needs_actions_that_are_vectors():
    class Discrete(PointMass):
        def __init__(self):
            super().__init__()
            self.action_space = spaces.Discrete(2)

    from stable_baselines3 import DQN

    model = DQN("MultiInputPolicy", DummyVecEnv([Discrete]), buffer_size=10, device="cpu")
    with pytest.raises(UnsuitableEnvError, match=r"DQN on Discrete\(2\)"):
        model.learn(10, callback=DemonstrationCallback())


@pytest.mark.slow
def test_what_is_hardly_ever_paid_is_learnt_by_hindsight():
    shares = []
    for k in (0, 4):
        venv = make_venv(4, normalize=False)
        how = {"learning_rate": 3e-3, "gamma": 0.9, "batch_size": 128, "learning_starts": 200, "gradient_steps": 2}
        sizes = {"policy_kwargs": {"net_arch": [64, 64]}, "buffer_size": 10_000}
        model = make_sac(venv, replay_buffer_kwargs={"n_sampled_goal": k}, **how, **sizes).learn(2000)
        shares.append(np.mean(list(model.ep_success_buffer)[-50:]))
    assert shares[0] < 0.1
    assert shares[1] > 0.5
