"""What rl-zoo3's manager is taught, tried without a training."""

import argparse
import sys
import types
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import my_robot
import numpy as np
import optuna
import pytest
import rl_zoo3.enjoy
import rl_zoo3.train
import torch as th
import yaml
from gymnasium import spaces
from rl_zoo3 import exp_manager
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback

from sb3_mimic import keys
from sb3_mimic.checkpoints import BestStatisticsCallback, RunStateCallback
from sb3_mimic.envs.registration import register_task
from sb3_mimic.envs.tasks.manipulation import CUBE, ManipulationTask
from sb3_mimic.errors import DamagedAgentError, HyperparametersError, PackageError, StudyNotFoundError
from sb3_mimic.pose import robot_pose
from sb3_mimic.runs.shipped import hyperparams_file
from sb3_mimic.tuning.environment import probe
from sb3_mimic.tuning.storage import RECORD, open_storage
from sb3_mimic.zoo import install as zoo
from sb3_mimic.zoo.entries import read_entries
from sb3_mimic.zoo.manager import MimicZooManager
from sb3_mimic.zoo.replay import REPLAY, Replay

ENV_ID = "MimicReacherPlaneState-v0"
RUN_STATE = "sb3_mimic.checkpoints.RunStateCallback"
CARTPOLE = read_entries(Path(exp_manager.__file__).parent / "hyperparams" / "ppo.yml")["CartPole-v1"]


@pytest.fixture
def make_manager(tmp_path):
    """Makes a manager that writes into a folder of its own; threads are as before afterwards, environments closed"""
    n_threads = th.get_num_threads()
    managers = []

    def make(env_id: str = ENV_ID, algo: str = "ppo", **kwargs) -> MimicZooManager:
        kwargs = {"eval_freq": -1, "verbose": 0, "seed": 1} | kwargs
        managers.append(MimicZooManager(argparse.Namespace(num_threads=-1), algo, env_id, str(tmp_path / "logs"), **kwargs))
        return managers[-1]

    yield make
    for manager in managers:
        for callback in manager.callbacks:
            if isinstance(callback, EvalCallback):
                callback.eval_env.close()
    th.set_num_threads(n_threads)


def prepare(manager: MimicZooManager) -> None:
    """Make the model and the callbacks, and nothing more"""
    model, _ = manager.setup_experiment()
    model.env.close()


@pytest.mark.parametrize("algo", ["ppo", "ppo_lstm"])
@pytest.mark.parametrize("mode", my_robot.MODES)
def test_an_id_of_a_user_takes_the_entry_of_its_mode(algo, mode, make_manager):
    manager = make_manager(f"MyArm{mode}-v0", algo)
    hyperparams, saved = manager.read_hyperparameters()
    assert hyperparams == dict(saved) == read_entries(hyperparams_file(algo))[f"MimicReacher3D{mode}-v0"]
    assert manager.is_ours
    assert manager.show_progress
    assert th.get_num_threads() == 1


@pytest.mark.parametrize("algo", ["sac", "ppo"])
@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("Reach", "MimicReach"),
        ("Slide", "MimicSlide"),
        (ManipulationTask(blocks=()), "MimicReach"),
        (ManipulationTask(blocks=(CUBE, replace(CUBE, name="other"))), "MimicPush"),
        (ManipulationTask(grips=True, share_in_air=1.0), "MimicPickAndPlace"),
    ],
)
def test_a_task_of_a_user_takes_the_entry_of_what_it_is_like(task, model, algo, make_manager, capsys):
    for env_id in register_task("Own", task):
        try:
            hyperparams, _ = make_manager(env_id, algo).read_hyperparameters()
            entry = read_entries(hyperparams_file(algo))[similar := env_id.replace("Own", model)]
            dim = hyperparams["policy_kwargs"].pop("translator_kwargs", {}).pop("state_dim", None)
            assert (dim is not None) == (env_id == "Own-v0"), "all that its own pictures show is read"
            assert hyperparams == entry
            assert f"{env_id} has no hyperparameters of its own, and takes those of {similar}" in capsys.readouterr().out
            with pytest.raises(HyperparametersError, match=f"of tqc for {env_id}, only of ppo, sac"):
                make_manager(env_id, "tqc").read_hyperparameters()
        finally:
            del gym.registry[env_id]


def test_what_a_conf_file_or_the_command_line_says_counts(make_manager, tmp_path):
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({"MyArm-v0": CARTPOLE}))
    manager = make_manager("MyArm-v0", config=str(tmp_path / "mine.yml"), hyperparams={"gamma": 0.5})
    hyperparams, _ = manager.read_hyperparameters()
    assert hyperparams == CARTPOLE | {"gamma": 0.5}
    assert not manager.is_ours, "neither id nor policy are"
    ours, _ = make_manager(hyperparams={"gamma": 0.5}).read_hyperparameters()
    assert ours == read_entries(hyperparams_file("ppo"))[ENV_ID] | {"gamma": 0.5}


def test_foreign_ids_keep_the_hyperparameters_of_the_zoo(make_manager):
    th.set_num_threads(2)
    manager = make_manager("CartPole-v1")
    hyperparams, _ = manager.read_hyperparameters()
    assert hyperparams == CARTPOLE
    assert not manager.is_ours
    assert not manager.show_progress
    assert th.get_num_threads() == 2


def test_an_id_that_shows_something_else_gets_what_the_zoo_has_for_any(make_manager):
    gym.register("Unheard-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv")
    try:
        manager = make_manager("Unheard-v0")
        hyperparams, _ = manager.read_hyperparameters()
        assert hyperparams["policy"] == "MlpPolicy"
        assert not manager.is_ours
    finally:
        del gym.registry["Unheard-v0"]


def test_a_learning_rate_never_falls_below_zero(make_manager):
    model, _ = make_manager(n_timesteps=1000).setup_experiment()
    model.env.close()
    model._update_current_progress_remaining(1024, 1000)
    assert model.lr_schedule(model._current_progress_remaining) == 0.0
    assert model.lr_schedule(0.25) == pytest.approx(0.25 * 1e-3)


@pytest.mark.parametrize("env_id", ["MimicReacher3D-v0", "MyArm-v0"])
def test_an_algorithm_without_an_entry_is_refused(env_id, make_manager):
    with pytest.raises(HyperparametersError, match=f"of sac for {env_id}, only of ppo, ppo_lstm"):
        make_manager(env_id, "sac").read_hyperparameters()


def test_a_conf_file_that_is_not_there_is_named(make_manager, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HyperparametersError, match=rf"no file mine.yml, seen from {tmp_path}"):
        make_manager(config="mine.yml").read_hyperparameters()


@pytest.mark.parametrize("env_id", [ENV_ID, "MyArmState-v0", "CartPole-v1"])
@pytest.mark.parametrize("callback", [RUN_STATE, [RUN_STATE], [{RUN_STATE: {"save_freq": 10}}]])
def test_checkpoints_of_any_id_know_their_run(env_id, callback, make_manager):
    """However they are named in YAML or with -params"""
    manager = make_manager(env_id, save_freq=1000, show_progress=True, hyperparams={"callback": callback})
    prepare(manager)
    first, *others = manager.callbacks
    assert isinstance(first, RunStateCallback)
    assert (first.save_path, first.save_freq) == (manager.save_path, 1000)
    assert others, "the progress bar stays"
    assert not any(isinstance(each, CheckpointCallback) for each in others)


def test_without_our_callback_the_checkpoints_of_the_zoo_stay(make_manager):
    manager = make_manager("CartPole-v1", save_freq=1000)
    prepare(manager)
    (checkpoints,) = manager.callbacks
    assert isinstance(checkpoints, CheckpointCallback)


def test_statistics_of_the_best_model_are_kept(make_manager):
    manager = make_manager(eval_freq=1000)
    prepare(manager)
    (evaluation,) = (each for each in manager.callbacks if isinstance(each, EvalCallback))
    kept, ours = evaluation.callback_on_new_best.callbacks
    assert isinstance(ours, BestStatisticsCallback)
    assert type(kept).__name__ == "SaveVecNormalizeCallback"


def test_evaluations_take_place_in_the_environment_of_the_training(make_manager):
    manager = make_manager("MimicReacher3DState-v0", hyperparams={"env_kwargs": {"gravity": 0.0}})
    prepare(manager)
    assert manager.eval_env_kwargs == {"gravity": 0.0}
    told = make_manager(
        "MimicReacher3DState-v0", hyperparams={"env_kwargs": {"gravity": 0.0}}, eval_env_kwargs={"gravity": 1.0}
    )
    prepare(told)
    assert told.eval_env_kwargs == {"gravity": 1.0}


def test_a_run_goes_on_with_its_own_hyperparameters(make_manager, tmp_path):
    folder = tmp_path / f"{ENV_ID}_1" / ENV_ID
    folder.mkdir(parents=True)
    (folder / "args.yml").write_text("{}")
    entry = read_entries(hyperparams_file("ppo"))[ENV_ID] | {"gamma": 0.77}
    text = yaml.dump(entry | {"policy_kwargs": {"activation_fn": th.nn.ReLU}})
    (folder / "config.yml").write_text(text)
    manager = make_manager(config=str(folder / "config.yml"))
    hyperparams, _ = manager.read_hyperparameters()
    assert hyperparams == entry | {"policy_kwargs": {"activation_fn": th.nn.ReLU}}
    assert manager.is_ours
    (folder / "config.yml").write_text("a: !!python/object/apply:os.mkdir [gone]")
    with pytest.raises(DamagedAgentError, match=r"config\.yml"):
        make_manager(config=str(folder / "config.yml")).read_hyperparameters()


def test_a_damaged_zip_is_named_with_those_that_are_whole(make_manager, tmp_path):
    agent = tmp_path / "rl_model_64_steps.zip"
    agent.write_bytes(b"PK half a zip")
    with pytest.raises(DamagedAgentError, match=r"rl_model_64_steps.zip(.|\n)*no other in"):
        make_manager(trained_agent=str(agent)).setup_experiment()
    assert not (tmp_path / "logs").exists(), "no run was begun"


@pytest.fixture
def storage(tmp_path) -> str:
    """A study of ours and one of the zoo's"""
    name = str(tmp_path / "study.log")
    ours = optuna.create_study(storage=open_storage(name), study_name="ours")
    for gamma in (0.11, 0.22):
        ours.add_trial(optuna.trial.create_trial(value=gamma, user_attrs={RECORD: {"entry": {"gamma": gamma}}}))
    foreign = optuna.create_study(storage=open_storage(name), study_name="foreign")
    params = {"one_minus_gamma": 0.25, "one_minus_gae_lambda": 0.5, "net_arch": "tiny", "activation_fn": "tanh"}
    distributions = {key: optuna.distributions.CategoricalDistribution([value]) for key, value in params.items()}
    foreign.add_trial(optuna.trial.create_trial(value=1.0, params=params, distributions=distributions))
    return name


@pytest.mark.parametrize(("trial_id", "gamma"), [(0, 0.11), (1, 0.22)])
def test_trials_are_loaded_from_0_on(trial_id, gamma, make_manager, storage):
    manager = make_manager(storage=storage, study_name="ours", trial_id=trial_id, hyperparams={"n_epochs": 3})
    hyperparams, _ = manager.read_hyperparameters()
    assert hyperparams == read_entries(hyperparams_file("ppo"))[ENV_ID] | {"gamma": gamma, "n_epochs": 3}


def test_trial_0_of_another_study_is_loaded(make_manager, storage):
    manager = make_manager("CartPole-v1", storage=storage, study_name="foreign", trial_id=0)
    hyperparams, _ = manager.read_hyperparameters()
    assert hyperparams["gamma"] == 0.75
    assert hyperparams["n_envs"] == CARTPOLE["n_envs"]


def test_a_trial_that_is_not_there_is_named(make_manager, storage):
    with pytest.raises(StudyNotFoundError, match="no trial 2"):
        make_manager(storage=storage, study_name="ours", trial_id=2).read_hyperparameters()


class ThreeJointsTwoMotors(gym.Env):
    """Shows nothing but pictures of more joints than it has motors"""

    pose_layout = robot_pose([-1.0] * 3, [1.0] * 3, 1)
    action_space = spaces.Box(-1.0, 1.0, (2,))
    observation_space = spaces.Dict(dict.fromkeys(keys.IMAGE_KEYS, spaces.Box(0, 255, (64, 64, 3), np.uint8)))


def test_a_translator_reads_every_joint_though_not_each_has_a_motor(make_manager):
    gym.register("ThreeJoints-v0", ThreeJointsTwoMotors)
    try:
        hyperparams, saved = make_manager("ThreeJoints-v0").read_hyperparameters()
        expected = {"channels": [16, 32, 64, 128], "state_dim": 3}
        assert hyperparams["policy_kwargs"]["translator_kwargs"] == saved["policy_kwargs"]["translator_kwargs"] == expected
        told = make_manager("ThreeJoints-v0", hyperparams={"policy_kwargs": {"translator_kwargs": {"state_dim": 2}}})
        assert told.read_hyperparameters()[0]["policy_kwargs"]["translator_kwargs"] == {"state_dim": 2}
    finally:
        del gym.registry["ThreeJoints-v0"]


@pytest.mark.parametrize(
    ("env_id", "n_keys", "is_scored_by_pose"),
    [("MyArm-v0", 5, True), ("MyArmSparse-v0", 3, True), ("MimicHumanoidWalk-v0", 1, False), ("CartPole-v1", 0, False)],
)
def test_what_an_environment_offers_is_found_out(env_id, n_keys, is_scored_by_pose):
    offer = probe(env_id)
    assert len(offer.keys) == n_keys
    assert offer.is_scored_by_pose == is_scored_by_pose
    assert (offer.layout is not None) == is_scored_by_pose


def test_every_name_of_the_list_is_replaced_wherever_it_is_used():
    zoo.install()
    for module in (exp_manager, rl_zoo3.train, rl_zoo3.enjoy):
        assert module.ExperimentManager is MimicZooManager
    for module in (rl_zoo3, rl_zoo3.utils, rl_zoo3.enjoy):
        assert module.create_test_env == REPLAY.create_test_env
    assert rl_zoo3.enjoy.get_model_path == REPLAY.get_model_path
    assert rl_zoo3.enjoy.download_from_hub == REPLAY.download_from_hub


def test_a_script_that_runs_is_taught_and_what_it_made_itself_is_left_alone(monkeypatch):
    (zoo_s_own,) = (each for each in MimicZooManager.__mro__ if each.__module__ == "rl_zoo3.exp_manager")
    running, own = types.ModuleType("__main__"), object()
    running.ExperimentManager, running.create_test_env = zoo_s_own, own
    monkeypatch.setitem(sys.modules, "__main__", running)
    monkeypatch.setattr(exp_manager, "ExperimentManager", zoo_s_own)
    zoo.install()
    assert running.ExperimentManager is MimicZooManager
    assert running.create_test_env is own


def test_an_unknown_zoo_is_warned_of(monkeypatch):
    class AnotherManager:
        def learn(self) -> None:
            """Nothing else is as it was"""

    other = types.ModuleType("another_version")
    other.ExperimentManager = AnotherManager
    monkeypatch.setitem(sys.modules, "rl_zoo3.exp_manager", other)
    with pytest.warns(UserWarning, match=r"has no .*create_callbacks.*--conf-file"):
        zoo.install()
    assert other.ExperimentManager is AnotherManager


def test_a_replay_takes_place_in_the_environment_of_the_config(tmp_path):
    """That of record_video, too, which looks for env_kwargs in args.yml alone"""
    asked = {}

    def create_test_env(env_id: str, **kwargs) -> str:
        asked.update(kwargs)
        return "environments"

    replay = Replay(lambda: None, create_test_env, lambda: None)
    hyperparams = {"env_kwargs": {"gravity": 0.0, "reward_weights": {"sparse": 1.0}}, "frame_stack": 2}
    assert replay.create_test_env(ENV_ID, hyperparams=hyperparams, env_kwargs={"gravity": 1.0}) == "environments"
    assert asked == {
        "hyperparams": {"frame_stack": 2},
        "env_kwargs": {"gravity": 1.0, "reward_weights": {"sparse": 1.0}},
    }
    assert set(hyperparams) == {"env_kwargs", "frame_stack"}, "nothing is written into an argument"


def test_scripts_look_for_packages_in_the_current_folder(tmp_path, monkeypatch):
    """As ``python -m`` does: a console script looks in its own folder instead"""
    from sb3_mimic.zoo import scripts

    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    monkeypatch.setattr("runpy.run_module", lambda *args, **kwargs: seen.extend(sys.path))
    scripts.train(["--env", "MyArm-v0"])
    assert str(tmp_path) in seen
    with pytest.raises(PackageError, match=r"no_such_robot cannot be imported.*Install it, or run this in the folder"):
        scripts.run_zoo_script("record_video", ["--gym-packages", "no_such_robot"])
