"""Folders of trainings: listed whatever is in them, and continued with what they were trained by."""

import importlib
import os
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch as th
import yaml
from stable_baselines3 import A2C, DQN
from stable_baselines3.common.callbacks import CheckpointCallback

from sb3_mimic.checkpoints import RunStateCallback
from sb3_mimic.checkpoints.state_file import state_file
from sb3_mimic.cli.main import main
from sb3_mimic.errors import AgentNotFoundError, DamagedAgentError
from sb3_mimic.runs.arguments import read_arguments, read_hyperparameters
from sb3_mimic.runs.folders import find_runs, read_run
from sb3_mimic.runs.resuming import resume_arguments

ARGUMENTS = {
    "algo": "a2c",
    "conf_file": "relative.yml",
    "device": "cpu",
    "env": "CartPole-v1",
    "env_kwargs": {"sutton_barto_reward": True, "limit": float("inf"), "names": ["a", (1, -0.5)]},
    "eval_env_kwargs": None,
    "eval_freq": -1,
    "gym_packages": ["sb3_mimic", "other"],
    "hyperparams": {"policy_kwargs": {"activation_fn": th.nn.ReLU, "features_extractor_class": os.path.join}},
    "log_folder": "logs",
    "n_timesteps": 100,
    "progress": True,
    "seed": 0,
    "storage": "study.log",
    "study_name": "study",
    "tensorboard_log": "tb",
    "track": False,
    "trained_agent": "",
    "trial_id": 3,
    "truncate_last_trajectory": True,
    "verbose": 0,
    "wandb_tags": [],
}
HYPERPARAMS = {"policy": "MlpPolicy", "n_timesteps": 5e4, "policy_kwargs": {"activation_fn": th.nn.ReLU}, "gamma": 0.9}


def write_yaml(path: Path, content: dict) -> None:
    """As the zoo does it"""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump(OrderedDict(content)))


def write_run(run: Path, env_id: str = "CartPole-v1", arguments: dict | None = None, hyperparams: dict | None = None) -> Path:
    write_yaml(run / env_id / "args.yml", {**ARGUMENTS, **(arguments or {})})
    write_yaml(run / env_id / "config.yml", {**HYPERPARAMS, **(hyperparams or {})})
    np.savez(run / "evaluations.npz", results=np.array([[1.0, 3.0], [5.0, 7.0]]))
    return run


@pytest.fixture(scope="module")
def zips(tmp_path_factory) -> Path:
    """What a training leaves with our checkpoints, and with SB3's own"""
    folder = tmp_path_factory.mktemp("zips")
    model = A2C("MlpPolicy", "CartPole-v1", device="cpu", policy_kwargs={"net_arch": [8]})
    model.learn(40, callback=[RunStateCallback(str(folder / "ours"), save_freq=20, verbose=0)])
    model = DQN("MlpPolicy", "CartPole-v1", device="cpu", buffer_size=50, policy_kwargs={"net_arch": [8]})
    model.learn(60, callback=[CheckpointCallback(20, str(folder / "theirs"))])
    model.save(folder / "theirs" / "CartPole-v1")
    return folder


@pytest.fixture
def logs(zips, tmp_path) -> Path:
    """Runs of two algorithms"""
    logs = tmp_path / "logs"
    for algo, env_id, kind in (("a2c", "CartPole-v1", "ours"), ("dqn", "ALE-Pong-v5", "theirs")):
        run = write_run(logs / algo / f"{env_id}_1", env_id, {"algo": algo, "env": env_id.replace("-", "/", 1)})
        for path in (zips / kind).iterdir():
            (run / path.name).write_bytes(path.read_bytes())
    return logs


def test_runs_of_any_algorithm_and_environment_are_listed(logs):
    ours, theirs = find_runs(logs)
    assert (ours.algo, ours.steps, ours.total_steps, ours.best_return) == ("a2c", 40, 40, 6.0)
    assert ours.last_checkpoint == logs / "a2c/CartPole-v1_1/rl_model_40_steps.zip"
    assert (theirs.algo, theirs.steps, theirs.total_steps, theirs.last_checkpoint) == ("dqn", 60, 100, None)
    write_run(theirs.path, "ALE-Pong-v5", {"n_timesteps": -1})
    assert read_run(theirs.path).total_steps == 50_000
    assert read_hyperparameters(theirs.path, "ALE/Pong-v5")["gamma"] == 0.9


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scribble(path: Path) -> None:
    path.write_bytes(b"\x80 {[ no file of ours: \xff")


def nest(path: Path) -> None:
    path.write_text("[" * 100_000)


DAMAGES = (empty, halve, scribble, nest, Path.unlink)
FILES = ("evaluations.npz", "CartPole-v1/args.yml", "rl_model_40_steps.zip", "rl_model_40_steps.state.npz")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_what_is_damaged_is_named_and_all_is_listed(name, damage, logs, capsys):
    damage(logs / "a2c/CartPole-v1_1" / name)
    # So that it is asked for the steps that it was to train
    for path in (logs / "a2c/CartPole-v1_1").glob("*_20_steps*"):
        path.unlink()
    assert main(["runs", "-f", str(logs)]) == 0
    printed = capsys.readouterr()
    rows = [line.split()[0] for line in printed.out.splitlines()[1:]]
    assert rows == ["a2c/CartPole-v1_1", "dqn/ALE-Pong-v5_1"]
    if damage is not Path.unlink and name != "CartPole-v1/args.yml":
        assert f"a2c/CartPole-v1_1/{name}" in printed.err.replace("\\", "/")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["evaluations.npz", "ALE-Pong-v5/args.yml", "CartPole-v1.zip", "rl_model_60_steps.zip"])
def test_so_it_is_in_runs_of_others(name, damage, logs, capsys):
    damage(logs / "dqn/ALE-Pong-v5_1" / name)
    runs = find_runs(logs)
    assert [run.algo for run in runs] == ["a2c", "dqn"]
    assert runs[1].steps == 60
    if damage is not Path.unlink and name != "rl_model_60_steps.zip":
        assert "dqn/ALE-Pong-v5_1" in capsys.readouterr().err


def test_other_folders_are_no_runs(logs, tmp_path):
    (logs / "a2c" / "report").mkdir()
    (logs / "notes").mkdir()
    (logs / "notes" / "today.txt").write_text("nothing")
    assert len(find_runs(logs)) == 2
    with pytest.raises(AgentNotFoundError, match="no run in"):
        find_runs(tmp_path / "nowhere")


def test_evaluations_without_an_episode_are_no_evaluation(logs, capsys):
    np.savez(logs / "a2c/CartPole-v1_1/evaluations.npz", results=np.zeros((0, 5)))
    assert find_runs(logs)[0].best_return is None
    assert "evaluations.npz is damaged" in capsys.readouterr().err


def test_a_run_is_continued_with_what_it_was_trained_by(logs, monkeypatch):
    run = logs / "a2c" / "CartPole-v1_1"
    monkeypatch.chdir(run)
    for path in (run, Path(), Path("../CartPole-v1_1")):
        arguments = resume_arguments(path)
        assert arguments[-6:] == [
            *("--conf-file", str(run / "CartPole-v1/config.yml")),
            *("--trained-agent", str(run / "rl_model_40_steps.zip")),
            *("--log-folder", str(logs)),
        ]
        given = arguments[:-6]
        assert "--eval-freq=-1" in given
        assert "--seed=0" in given
        assert "--verbose=0" in given
        assert "--progress" in given
        assert f"--tensorboard-log={logs.parent / 'tb'}" in given
        i = given.index("--env-kwargs")
        assert given[i + 1 : i + 4] == ["limit:float('inf')", "names:['a', (1, -0.5)]", "sutton_barto_reward:True"]
        for option in ("hyperparams", "conf-file", "trial-id", "storage", "study-name", "track", "truncate-last-trajectory"):
            assert not any(each.startswith(f"--{option}") for each in given), option


def test_the_zoo_understands_its_arguments(logs, monkeypatch):
    """All of them, by its own parser"""
    import rl_zoo3.train

    got = {}

    class Manager:
        def __init__(self, args, *rest, **kwargs):
            got.update(vars(args))

        def setup_experiment(self):
            return None, None

    monkeypatch.setattr(rl_zoo3.train, "ExperimentManager", Manager)
    write_run(logs / "a2c/CartPole-v1_1", arguments={"gym_packages": ["sb3_mimic"]})
    monkeypatch.setattr("sys.argv", ["train", *resume_arguments(logs / "a2c/CartPole-v1_1"), "-n", "700"])
    rl_zoo3.train.train()
    for name in ("algo", "env", "env_kwargs", "eval_freq", "seed", "verbose", "device", "progress"):
        assert got[name] == ARGUMENTS[name], name
    assert got["n_timesteps"] == 700
    assert got["hyperparams"] is None


def test_names_among_arguments_are_not_looked_up(logs):
    arguments = read_arguments(logs / "a2c/CartPole-v1_1", "CartPole-v1")
    assert arguments["hyperparams"]["policy_kwargs"]["activation_fn"].name == "python/name:torch.nn.modules.activation.ReLU"
    assert read_hyperparameters(logs / "a2c/CartPole-v1_1", "CartPole-v1")["policy_kwargs"]["activation_fn"] is th.nn.ReLU


def test_what_cannot_be_said_is_refused_with_the_cure(logs):
    run = logs / "a2c/CartPole-v1_1"
    write_run(run, arguments={"env_kwargs": {"callback": os.path.join}})
    with pytest.raises(DamagedAgentError, match=r"env_kwargs .*no command line can say.*by hand.*-i .*rl_model_40_steps.zip"):
        resume_arguments(run)
    write_run(run, hyperparams={"policy_kwargs": {"features_extractor_class": Path}})
    with pytest.raises(DamagedAgentError, match=r"config.yml.*names pathlib\.Path.*by hand"):
        resume_arguments(run)
    # The packages of the user's own are known
    write_run(run, arguments={"gym_packages": ["pathlib"]}, hyperparams={"policy_kwargs": {"features_extractor_class": Path}})
    assert resume_arguments(run)
    (run / "CartPole-v1" / "config.yml").unlink()
    with pytest.raises(DamagedAgentError, match=r"config.yml does not hold"):
        resume_arguments(run)


def test_what_cannot_be_continued_is_told(logs, tmp_path):
    with pytest.raises(AgentNotFoundError, match="no whole checkpoint with a state"):
        resume_arguments(logs / "dqn/ALE-Pong-v5_1")
    with pytest.raises(AgentNotFoundError, match=r"no args\.yml"):
        resume_arguments(tmp_path)


def test_a_zip_without_a_state_is_no_checkpoint_to_continue_from(logs):
    run = logs / "a2c/CartPole-v1_1"
    state_file(run / "rl_model_40_steps.zip").unlink()
    assert str(run / "rl_model_20_steps.zip") in resume_arguments(run)
    assert zipfile.is_zipfile(run / "rl_model_40_steps.zip")


def test_the_folder_that_a_study_leaves_is_no_run(logs):
    before = find_runs(logs)
    left = logs / "ppo" / "CartPole-v1_9"
    (left / "CartPole-v1").mkdir(parents=True)
    (left / "0.monitor.csv").write_text("#{}\nr,l,t\n")
    assert find_runs(logs) == before


def test_packages_of_a_run_are_found_from_anywhere(tmp_path, monkeypatch, capsys):
    """In the folder that it was started in, and for a run that was resumed from elsewhere in the one that its logs lie in"""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for number, log_folder in enumerate(("logs", str(home / "logs")), 1):
        name = f"robot_of_run_{number}"
        arguments = ARGUMENTS | {"gym_packages": ["sb3_mimic", name], "log_folder": log_folder}
        run = write_run(home / "logs" / "a2c" / f"CartPole-v1_{number}", arguments=arguments)
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.chdir(elsewhere)
        assert main(["resume", str(run)]) == 2
        assert f"{name} cannot be imported" in capsys.readouterr().err
        (home / f"{name}.py").write_text("")
        importlib.invalidate_caches()
        # There is no checkpoint to go on from: that is all that is wrong now
        assert main(["resume", str(run)]) == 2
        assert "no whole checkpoint" in capsys.readouterr().err
        assert name in sys.modules
