"""Cards in the Hub's format, uploads with the Hub's client mocked at its boundary, and the zoo's own scripts."""

import json
import shutil
from collections import OrderedDict
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import yaml
from conftest import REPOSITORY
from huggingface_hub import ModelCard
from huggingface_sb3 import EnvironmentName
from requests.exceptions import HTTPError
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_mimic.agents.loading import find_agent, find_agents, find_algo, load_agent
from sb3_mimic.agents.tables import MEASURES
from sb3_mimic.cli.main import main
from sb3_mimic.errors import PublishingError, UnknownScriptError
from sb3_mimic.hub.card import REPLAY, TAGS, card_of
from sb3_mimic.hub.upload import push, stage
from sb3_mimic.policies import StatePolicy
from sb3_mimic.runs.arguments import read_arguments, read_hyperparameters
from sb3_mimic.zoo.scripts import INSTEAD, SCRIPTS, run_zoo_script

ENV_ID = "MimicReacherPlaneState-v0"
SECRETS = {"log_folder": "/home/me/logs", "storage": "postgresql://me:word@host", "trained_agent": "/home/me/first.zip"}
SUCCESS = {"value": 0.25, "interval": [0.125, 0.5], "n": 200}
MEASURED = {"env": ENV_ID, "episodes": 200, "first_seed": 1_000_000, "success": SUCCESS}


@pytest.fixture
def run(tmp_path) -> Path:
    """A run's folder as rl_zoo3.train leaves it, of an agent that has learnt nothing"""
    folder = tmp_path / "logs" / "ppo" / f"{ENV_ID}_1"
    (folder / ENV_ID).mkdir(parents=True)
    venv = VecNormalize(make_vec_env(ENV_ID), norm_obs_keys=["observation"])
    venv.reset()
    PPO(StatePolicy, venv, device="cpu").save(folder / f"{ENV_ID}.zip")
    venv.save(str(folder / ENV_ID / "vecnormalize.pkl"))
    venv.close()
    arguments = {"algo": "ppo", "conf_file": None, "n_timesteps": 512, "env_kwargs": None, **SECRETS}
    (folder / ENV_ID / "args.yml").write_text(yaml.dump(OrderedDict(arguments)))
    config = {"normalize": {"norm_obs_keys": ["observation"]}, "policy": "sb3_mimic.policies.StatePolicy"}
    (folder / ENV_ID / "config.yml").write_text(yaml.dump(OrderedDict(config)))
    (folder / "0.monitor.csv").write_text('#{"t_start": 1.0}\nr,l,t\n')
    return folder


class Hub:
    """Stands in for the Hub, and keeps what was uploaded"""

    def __init__(self, folder: Path):
        self.folder = folder
        self.created: list[tuple[str, bool]] = []

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> str:
        assert exist_ok
        self.created.append((repo_id, private))
        return f"https://huggingface.co/{repo_id}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        assert "ppo" in commit_message
        shutil.copytree(folder_path, self.folder / repo_id)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Hub:
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "a token")
    return hub


@pytest.mark.parametrize("env_id", find_agents())
def test_shipped_cards_are_valid_and_say_what_was_measured(env_id):
    folder = find_agent(env_id)
    measures = json.loads((folder / "measures.json").read_text())
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "stable-baselines3"
    assert card.data.tags == [env_id, *TAGS]
    assert card.data.model_name == find_algo(env_id).upper()
    found = {result.metric_name: result for result in card.data.eval_results}
    assert found.keys() == {title for name, (title, _) in MEASURES.items() if name in measures}
    for name, (title, _) in MEASURES.items():
        if name in measures:
            assert found[title].metric_value == pytest.approx(measures[name]["value"], abs=1e-4)
            assert found[title].dataset_type == env_id
            assert found[title].task_type == "reinforcement-learning"
            assert found[title].metric_type == ("mean_reward" if name == "return" else name)
    again = "python -m benchmarks.ship --cards writes the cards, and copies the pictures"
    hyperparameters = read_hyperparameters(folder, env_id)
    written = card_of(env_id, read_arguments(folder, env_id), measures, True, hyperparameters=hyperparameters)
    assert written == (folder / "README.md").read_text(), again
    is_shown = any("DemonstrationCallback" in str(callback) for callback in hyperparameters.get("callback", ()))
    assert ("were demonstrated" in written) == is_shown
    assert f"]({REPLAY})" in card.text
    (picture,) = (REPOSITORY / "docs" / "images").glob(f"{env_id}*.gif")
    assert picture.read_bytes() == (folder / REPLAY).read_bytes(), again


def test_what_is_pushed_is_what_the_zoo_fetches(run, hub, tmp_path, monkeypatch, capsys):
    from rl_zoo3 import load_from_hub

    command = ["push", "--env", ENV_ID, "-f", str(tmp_path / "logs"), "-orga", "me"]
    (tmp_path / "measures.json").write_text(json.dumps(MEASURED))
    assert main([*command, "--measures", str(tmp_path / "measures.json"), "--private"]) == 0
    assert hub.created == [(f"me/ppo-{ENV_ID}", True)]
    assert f"huggingface.co/me/ppo-{ENV_ID}" in capsys.readouterr().out
    uploaded = hub.folder / "me" / f"ppo-{ENV_ID}"
    card = ModelCard.load(uploaded / "README.md")
    assert [(result.metric_type, result.metric_value) for result in card.data.eval_results] == [("success", 0.25)]
    assert f"--algo ppo --env {ENV_ID} -orga me -name ppo-{ENV_ID} -f logs" in card.text
    assert "0.250 [0.125, 0.500]" in card.text
    assert "-n 512 -i first.zip" in card.text
    for name in ("README.md", "args.yml", "config.yml"):
        text = (uploaded / name).read_text()
        assert "/home/me" not in text
        assert "postgresql" not in text

    def fetch(repo_id: str, filename: str) -> str:
        if not (hub.folder / repo_id / filename).is_file():
            raise HTTPError(filename)
        return str(hub.folder / repo_id / filename)

    monkeypatch.setattr(load_from_hub, "load_from_hub", fetch)
    load_from_hub.download_from_hub("ppo", EnvironmentName(ENV_ID), 0, str(tmp_path / "fetched"), "me")
    ours, theirs = (load_agent(ENV_ID, folder=str(tmp_path / folder)) for folder in ("logs", "fetched"))
    observation = {key: space.sample() for key, space in ours.model.observation_space.spaces.items()}
    np.testing.assert_array_equal(ours.act(observation)[0], theirs.act(observation)[0])
    assert theirs.normalization is not None


def test_the_card_of_another_environment_says_how_it_is_made():
    """A command that is copied from a card makes the environment that the agent was trained in"""
    arguments = {
        "algo": "tqc", "conf_file": None, "n_timesteps": -1, "trained_agent": "", "gym_packages": ["sb3_mimic", "my_robot"],
        "env_kwargs": {"gravity": 0.0, "name": "a b"},
    }  # fmt: skip
    measured = {"env": "Own-v0", "episodes": 2, "first_seed": 1, "angle_error": SUCCESS, "translator_angle_error": SUCCESS}
    card = card_of("Own-v0", arguments, measured)
    assert "--env Own-v0 --gym-packages sb3_mimic my_robot --env-kwargs gravity:0.0 'name:'\"'\"'a b'\"'\"" in card
    assert "sb3-mimic imitate --algo tqc --env Own-v0 --gym-packages my_robot --image" in card
    assert "sb3-mimic evaluate --algo tqc --env Own-v0 --gym-packages my_robot --episodes 2" in card
    assert "| angle error | 0.250 [0.125, 0.500] |" in card
    metrics = {result.metric_type for result in ModelCard(card).data.eval_results}
    assert metrics == {"angle_error", "translator_angle_error"}


def test_a_dry_run_uploads_nothing_and_a_card_of_ones_own_is_kept(run, hub, tmp_path, capsys):
    (run / "README.md").write_text("My own card\n")
    (run / "translator.safetensors").write_bytes(b"weights")
    command = ["push", "--env", ENV_ID, "-f", str(tmp_path / "logs"), "-orga", "me", "-name", "arm", "--dry-run"]
    assert main([*command, str(tmp_path / "staged")]) == 0
    assert hub.created == []
    assert (tmp_path / "staged" / "README.md").read_text() == "My own card\n"
    assert (tmp_path / "staged" / "translator.safetensors").is_file()
    assert main([*command, str(tmp_path / "staged")]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_an_agent_that_was_not_measured_says_so(run, tmp_path):
    stage(run, ENV_ID, "ppo", "me/arm", tmp_path / "staged")
    card = ModelCard.load(tmp_path / "staged" / "README.md")
    assert card.data.eval_results is None
    assert "Not measured yet" in card.text


def test_what_hinders_an_upload_is_named(run, hub, tmp_path, monkeypatch):
    wrong = tmp_path / "wrong.json"
    for content, message in (
        ({**MEASURED, "env": "MimicReacher3D-v0"}, "they are of MimicReacher3D-v0"),
        ({"env": ENV_ID}, "holds no measures"),
        ([MEASURED], "holds no measures"),
        ({**MEASURED, "success": 1}, "holds no measures"),
    ):
        wrong.write_text(json.dumps(content))
        with pytest.raises(PublishingError, match=message):
            push(run, ENV_ID, "ppo", "me/arm", wrong)
    with pytest.raises(PublishingError, match="organization/name, got 'arm'"):
        push(run, ENV_ID, "ppo", "arm")
    assert hub.created == []

    def refuse(**kwargs) -> None:
        raise HTTPError("403 Forbidden")

    monkeypatch.setattr(hub, "upload_folder", refuse)
    with pytest.raises(PublishingError, match=r"me/arm: 403 Forbidden.*token"):
        push(run, ENV_ID, "ppo", "me/arm")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(PublishingError, match=r"no token.*hf auth login"):
        push(run, ENV_ID, "ppo", "me/arm")


@pytest.mark.slow
def test_a_video_is_recorded(run, run_python, tmp_path):
    command = ("zoo", "record_video", "--algo", "ppo", "--env", ENV_ID, "-f", "logs", "-n", "6", "-o", "videos")
    run_python("-m", "sb3_mimic", *command, cwd=tmp_path)
    (video,) = (tmp_path / "videos").glob("*.mp4")
    assert video.stat().st_size > 1000


def test_scripts_that_cannot_be_run_are_answered_with_those_that_can(capsys):
    for name in ("record_vide", *INSTEAD):
        with pytest.raises(UnknownScriptError, match=f"{name}.*Known scripts: {', '.join(SCRIPTS)}"):
            run_zoo_script(name, [])
    assert main(["zoo", "push_to_hub", "--algo", "ppo"]) == 2
    assert "Use: sb3-mimic push" in capsys.readouterr().err


def test_a_plot_without_its_package_names_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnknownScriptError, match="pip install seaborn"):
        run_zoo_script("plot_train", [])
