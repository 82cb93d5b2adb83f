"""The commands of rl-zoo3, exactly as a user types them, in processes of their own."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY
from stable_baselines3 import PPO

from sb3_mimic import ENV_IDS
from sb3_mimic.extractors.state import StateExtractor
from sb3_mimic.policies import StatePolicy
from sb3_mimic.zoo import hyperparams_file

ENV_ID = "MimicReacher3D-v0"
CARD_COMMAND = ("-m", "rl_zoo3.train", "--algo", "ppo", "--env", ENV_ID, "--gym-packages", "sb3_mimic")


@pytest.fixture(scope="session")
def installed_python(tmp_path_factory) -> str:
    """The interpreter of an environment in which a wheel of ours, and not the checkout, is installed"""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = str(folder / "venv" / "bin" / "python")
    # Its dependencies come from here. What is installed in the environment itself goes before them.
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    )
    (Path(site.stdout.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    wheel = next(folder.glob("*.whl"))
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", str(wheel)], check=True, capture_output=True)
    return python


def assert_trained_with_our_hyperparameters(run: Path) -> None:
    assert (run / f"{ENV_ID}.zip").is_file()
    assert (run / ENV_ID / "vecnormalize.pkl").is_file()
    config = dict(yaml.load((run / ENV_ID / "config.yml").read_text(), Loader=yaml.UnsafeLoader))
    expected = yaml.safe_load(hyperparams_file("ppo").read_text())[ENV_ID]
    # The zoo notes the discount there
    expected["normalize"]["gamma"] = expected["gamma"]
    assert config == expected
    model = PPO.load(run / f"{ENV_ID}.zip", device="cpu")
    assert type(model.policy) is StatePolicy
    assert model.policy.translator.optimizer.state_dict()["state"], "the translator was trained"


def test_train_enjoy_and_imitate_from_a_checkout(run_python, tmp_path):
    train = run_python(*CARD_COMMAND, "-n", "2048", cwd=tmp_path)
    assert str(hyperparams_file("ppo")) in train
    assert "translator/" in train
    assert_trained_with_our_hyperparameters(tmp_path / "logs" / "ppo" / f"{ENV_ID}_1")
    enjoy = run_python(
        "-m", "rl_zoo3.enjoy", "--algo", "ppo", "--env", ENV_ID, "--gym-packages", "sb3_mimic", "-f", "logs", "-n", "120",
        cwd=tmp_path,
    )  # fmt: skip
    assert "Episode Length 100" in enjoy
    assert enjoy.count("There is no display") == 1
    again = run_python(*CARD_COMMAND, "-n", "2048", "-i", f"logs/ppo/{ENV_ID}_1/{ENV_ID}.zip", cwd=tmp_path)
    assert "Loading pretrained agent" in again
    run_python("-m", "sb3_mimic", "photograph", "--env", ENV_ID, cwd=tmp_path)
    imitate = run_python(
        "-m", "sb3_mimic", "imitate", "--env", ENV_ID, "-f", "logs", "--image", "pose.png", "--steps", "10", cwd=tmp_path
    )
    assert "joint error" in imitate


def test_train_and_enjoy_from_a_wheel(run_python, installed_python, tmp_path):
    where = run_python("-c", "import sb3_mimic; print(sb3_mimic.__file__)", python=installed_python, cwd=tmp_path)
    assert str(REPOSITORY) not in where
    train = run_python(*CARD_COMMAND, "-n", "2048", python=installed_python, cwd=tmp_path)
    assert f"sb3_mimic{os.sep}hyperparams{os.sep}ppo.yml" in train
    assert_trained_with_our_hyperparameters(tmp_path / "logs" / "ppo" / f"{ENV_ID}_1")
    # The shipped agents come with the wheel
    enjoy = run_python(
        "-m", "rl_zoo3.enjoy", "--algo", "ppo", "--env", ENV_ID, "--gym-packages", "sb3_mimic", "-n", "100",
        python=installed_python, cwd=tmp_path,
    )  # fmt: skip
    assert "Success rate: 100" in enjoy
    run_python("-m", "sb3_mimic", "photograph", "--env", ENV_ID, python=installed_python, cwd=tmp_path)
    imitate = ("imitate", "--env", ENV_ID, "--image", "pose.png", "--steps", "4")
    assert "pose taken" in run_python("-m", "sb3_mimic", *imitate, python=installed_python, cwd=tmp_path)


@pytest.mark.parametrize("env_id", ["MimicReacherPlane-v0", ENV_ID])
def test_enjoy_replays_the_shipped_agents(env_id, run_python):
    enjoy = run_python(
        "-m", "rl_zoo3.enjoy", "--algo", "ppo", "--env", env_id, "--gym-packages", "sb3_mimic", "-n", "1000", cwd=REPOSITORY
    )
    assert float(enjoy.split("Success rate:")[1].split("%")[0]) >= 80


def test_optimize_keeps_extractor_and_translator(run_python, tmp_path):
    printed = run_python(
        # Long enough for a whole rollout, however long the sampled ones are
        *CARD_COMMAND, "-optimize", "-n", "16384", "--n-trials", "2", "--n-evaluations", "1", "--eval-episodes", "1",
        "--optimization-log-path", "trials", "--no-optim-plots", cwd=tmp_path,
    )  # fmt: skip
    assert "Number of finished trials:  2" in printed
    models = sorted(tmp_path.glob("trials/trial_*/best_model.zip"))
    assert models
    for path in models:
        policy = PPO.load(path, device="cpu").policy
        assert type(policy) is StatePolicy
        assert type(policy.features_extractor) is StateExtractor
        assert policy.translator.optimizer.state_dict()["state"], "the translator was trained"


def test_conf_file_and_foreign_ids_are_left_alone(run_python, tmp_path):
    ours = yaml.safe_load(hyperparams_file("ppo").read_text())[ENV_ID]
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({ENV_ID: ours | {"n_envs": 2, "n_steps": 32, "batch_size": 64}}))
    printed = run_python(*CARD_COMMAND, "-n", "64", "--conf-file", "mine.yml", cwd=tmp_path)
    assert "Loading hyperparameters from: mine.yml" in printed
    foreign = run_python(
        "-m", "rl_zoo3.train", "--algo", "ppo", "--env", "CartPole-v1", "--gym-packages", "sb3_mimic", "-n", "64", cwd=tmp_path
    )
    assert f"rl_zoo3{os.sep}hyperparams{os.sep}ppo.yml" in foreign


def test_every_id_has_hyperparameters_that_are_data():
    entries = yaml.safe_load(hyperparams_file("ppo").read_text())
    assert set(entries) == set(ENV_IDS)
    for entry in entries.values():
        assert entry["policy"] == "MultiInputPolicy" or entry["policy"].startswith("sb3_mimic.policies.")
        for key in ("policy_kwargs", "normalize"):
            assert not isinstance(entry.get(key), str), "rl-zoo3 would evaluate it"


def test_an_unknown_zoo_is_warned_of(monkeypatch):
    from sb3_mimic import zoo

    monkeypatch.setitem(sys.modules, "rl_zoo3.exp_manager", type(sys)("another_version"))
    with pytest.warns(UserWarning, match="--conf-file"):
        zoo.install()


def test_installing_twice_wraps_once():
    from rl_zoo3.exp_manager import ExperimentManager

    from sb3_mimic import zoo

    zoo.install()
    once = ExperimentManager.read_hyperparameters
    zoo.install()
    assert ExperimentManager.read_hyperparameters is once


def test_an_algorithm_without_hyperparameters_is_refused(run_python, tmp_path):
    command = [part if part != "ppo" else "sac" for part in CARD_COMMAND]
    printed = run_python(*command, "-n", "64", expect=1, cwd=tmp_path)
    assert "no hyperparameters of sac for MimicReacher3D-v0, only of ppo" in printed
