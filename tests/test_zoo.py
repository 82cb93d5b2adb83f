"""The commands of rl-zoo3, exactly as a user types them, in processes of their own."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import gymnasium as gym
import pytest
import yaml
from conftest import REPOSITORY
from rl_zoo3.utils import get_class_by_name
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import VecTransposeImage
from stable_baselines3.sac.policies import SACPolicy

from sb3_mimic import ENV_IDS, keys
from sb3_mimic.agents.loading import find_agent, find_agents, find_algo
from sb3_mimic.agents.tables import MEASURES, value_of
from sb3_mimic.envs.registration import POSE_IDS, TASK_IDS, WALK_ID
from sb3_mimic.extractors.pixel import PixelExtractor
from sb3_mimic.extractors.state import StateExtractor
from sb3_mimic.policies import RecurrentPixelPolicy, StatePolicy
from sb3_mimic.runs.shipped import hyperparams_file

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
    dependencies = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (Path(site.stdout.strip()) / "dependencies.pth").write_text(dependencies)
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


@pytest.mark.slow
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
    assert enjoy.count("UserWarning: There is no display") == 1
    again = run_python(*CARD_COMMAND, "-n", "2048", "-i", f"logs/ppo/{ENV_ID}_1/{ENV_ID}.zip", cwd=tmp_path)
    assert "Loading pretrained agent" in again
    run_python("-m", "sb3_mimic", "photograph", "--env", ENV_ID, cwd=tmp_path)
    imitate = run_python(
        "-m", "sb3_mimic", "imitate", "--env", ENV_ID, "-f", "logs", "--image", "pose.png", "--steps", "10", cwd=tmp_path
    )
    assert "joint error" in imitate


@pytest.mark.slow
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


# Replays several agents as the command does, one after the other: starting it takes longer than replaying one
ENJOY = """
import runpy, sys
for arguments in {commands}:
    print("replays", arguments[3], flush=True)
    sys.argv = ["enjoy", *arguments]
    runpy.run_module("rl_zoo3.enjoy", run_name="__main__", alter_sys=True)
"""
N_GROUPS = 3


@pytest.mark.slow
@pytest.mark.parametrize("group", range(N_GROUPS))
def test_enjoy_replays_the_shipped_agents(group, run_python):
    commands = {}
    for env_id in find_agents()[group::N_GROUPS]:
        # Five episodes, or one of walking
        n_steps = "1000" if env_id == WALK_ID else "500"
        named = ["--algo", find_algo(env_id), "--env", env_id]
        commands[env_id] = [*named, "--gym-packages", "sb3_mimic", "-n", n_steps]
    printed = run_python("-c", ENJOY.format(commands=list(commands.values())), cwd=REPOSITORY)
    for env_id, enjoy in zip(commands, printed.split("replays ")[1:], strict=True):
        assert enjoy.startswith(env_id)
        if env_id != WALK_ID:
            assert float(enjoy.split("Success rate:")[1].split("%")[0]) >= 80, enjoy
        else:
            assert float(enjoy.split("Episode Length ")[1].split()[0]) >= 200, "it walks for a while"


@pytest.mark.parametrize("env_id", find_agents())
def test_shipped_agents_are_small_and_say_what_they_can_do(env_id):
    folder = find_agent(env_id)
    assert (folder / f"{env_id}.zip").stat().st_size < 5 * 2**20
    measures = json.loads((folder / "measures.json").read_text())
    assert measures["env"] == env_id
    card = (folder / "README.md").read_text()
    assert f"--env {env_id}" in card
    for name in set(MEASURES) & set(measures):
        assert value_of(measures, name) in card
    assert "log_folder\n    - logs\n" in (folder / env_id / "args.yml").read_text(), "nobody's own folder"


@pytest.mark.slow
def test_optimize_keeps_extractor_and_translator(run_python, tmp_path):
    printed = run_python(
        # Long enough for a whole rollout, however long the sampled ones are
        *CARD_COMMAND, "-optimize", "-n", "16384", "--n-trials", "1", "--n-evaluations", "1", "--eval-episodes", "1",
        "--optimization-log-path", "trials", "--no-optim-plots", cwd=tmp_path,
    )  # fmt: skip
    assert "Number of finished trials:  1" in printed
    (path,) = tmp_path.glob("trials/trial_*/best_model.zip")
    policy = PPO.load(path, device="cpu").policy
    assert type(policy) is StatePolicy
    assert type(policy.features_extractor) is StateExtractor
    assert policy.translator.optimizer.state_dict()["state"], "the translator was trained"


@pytest.mark.slow
def test_conf_file_and_foreign_ids_are_left_alone(run_python, tmp_path):
    ours = yaml.safe_load(hyperparams_file("ppo").read_text())[ENV_ID]
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({ENV_ID: ours | {"n_envs": 2, "n_steps": 32, "batch_size": 64}}))
    printed = run_python(*CARD_COMMAND, "-n", "64", "--conf-file", "mine.yml", cwd=tmp_path)
    assert "Loading hyperparameters from: mine.yml" in printed
    foreign = run_python(
        "-m", "rl_zoo3.train", "--algo", "ppo", "--env", "CartPole-v1", "--gym-packages", "sb3_mimic", "-n", "64", cwd=tmp_path
    )
    assert f"rl_zoo3{os.sep}hyperparams{os.sep}ppo.yml" in foreign


def looked_at(policy: type[BasePolicy], env_id: str) -> tuple[str, ...]:
    venv = make_vec_env(env_id)
    shown = VecTransposeImage(venv) if keys.IMAGE in venv.observation_space.spaces else venv
    venv.close()
    made = policy(shown.observation_space, shown.action_space, lambda _: 1e-3)
    return getattr(made, "actor", made).features_extractor.keys


WITH_ENTRIES = [
    ("ppo", PPO, ENV_IDS),
    ("ppo_lstm", RecurrentPPO, POSE_IDS),
    # What is hardly ever paid is learnt by hindsight
    ("sac", SAC, TASK_IDS),
]


@pytest.mark.parametrize(("algo", "algorithm", "ids"), WITH_ENTRIES)
def test_every_id_has_hyperparameters_that_are_data(algo, algorithm, ids):
    entries = yaml.safe_load(hyperparams_file(algo).read_text())
    assert set(entries) == set(ids)
    for env_id, entry in entries.items():
        policy = get_class_by_name(entry["policy"]) if "." in entry["policy"] else algorithm.policy_aliases[entry["policy"]]
        assert issubclass(policy, ActorCriticPolicy if algo != "sac" else SACPolicy)
        if env_id != WALK_ID:
            observed = set(gym.spec(env_id).kwargs.get("observation_keys", keys.STATE_KEYS + keys.IMAGE_KEYS))
            read = set(looked_at(policy, env_id))
            assert read <= observed, "the policy sees what the id shows"
            learns = any("TranslatorCallback" in str(callback) for callback in entry["callback"])
            assert (keys.IMAGE in observed) == learns, "where there are pictures, they are learnt from"
            stored = entry.get("replay_buffer_kwargs", {}).get("stored_keys", observed)
            assert read <= set(stored) <= observed, "what it reads is stored"
        assert entry["callback"][0] == "sb3_mimic.checkpoints.RunStateCallback", "it can be continued"
        for key in ("policy_kwargs", "normalize", "replay_buffer_kwargs"):
            assert not isinstance(entry.get(key), str), "rl-zoo3 would evaluate it"


@pytest.mark.slow
def test_recurrent_policies_train_on_and_are_optimized(run_python, tmp_path):
    """Trained, stopped, continued, replayed and tuned, with an id that can only see its goal"""
    env_id = "MimicReacherPlanePixels-v0"
    command = ("-m", "rl_zoo3.train", "--algo", "ppo_lstm", "--env", env_id, "--gym-packages", "sb3_mimic", "--seed", "1")
    assert f"hyperparams{os.sep}ppo_lstm.yml" in run_python(*command, "-n", "2048", cwd=tmp_path)
    agent = f"logs/ppo_lstm/{env_id}_1/{env_id}.zip"
    assert "Loading pretrained agent" in run_python(*command, "-n", "2048", "-i", agent, cwd=tmp_path)
    enjoy = ("-m", "rl_zoo3.enjoy", "--algo", "ppo_lstm", "--env", env_id, "--gym-packages", "sb3_mimic")
    assert "Episode Length 100" in run_python(*enjoy, "-f", "logs", "-n", "100", cwd=tmp_path)
    run_python(
        *command, "-optimize", "-n", "4096", "--n-trials", "1", "--n-evaluations", "1", "--eval-episodes", "1",
        "--optimization-log-path", "trials", "--no-optim-plots", cwd=tmp_path,
    )  # fmt: skip
    for path in (tmp_path / agent, *tmp_path.glob("trials/trial_*/best_model.zip")):
        policy = RecurrentPPO.load(path, device="cpu").policy
        assert type(policy) is RecurrentPixelPolicy
        assert type(policy.features_extractor) is PixelExtractor
        assert policy.translator is not None


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["Pixels", "Fused", "Sparse"])
def test_every_mode_trains_and_is_replayed(mode, run_python, tmp_path):
    env_id = f"MimicHalfHumanoid{mode}-v0"
    options = ("--algo", "ppo", "--env", env_id, "--gym-packages", "sb3_mimic")
    run_python("-m", "rl_zoo3.train", *options, "-n", "2048", cwd=tmp_path)
    assert "Episode Length 100" in run_python("-m", "rl_zoo3.enjoy", *options, "-f", "logs", "-n", "100", cwd=tmp_path)


def test_an_unknown_zoo_is_warned_of(monkeypatch):
    from sb3_mimic.zoo import install as zoo

    monkeypatch.setitem(sys.modules, "rl_zoo3.exp_manager", type(sys)("another_version"))
    with pytest.warns(UserWarning, match="--conf-file"):
        zoo.install()


ARM = "MyArmPixels-v0"
# The folder of my_robot.py
WITH_ARM = {"env": {"PYTHONPATH": os.pathsep.join([str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")])}}


@pytest.mark.slow
def test_a_body_of_a_user_trains_goes_on_and_is_replayed(run_python, tmp_path):
    """
    With nothing but its package, which processes of environments must find, too: stacked frames, arguments and wrappers from
    the command line are replayed as well
    """
    which = ("--algo", "ppo", "--env", ARM, "--gym-packages", "my_robot")
    train = ("-m", "rl_zoo3.train", *which, "--seed", "1", "--vec-env", "subproc")
    params = ("n_envs:2", "n_steps:64", "env_kwargs:{'reward_weights': {'sparse': 1.0}}")
    wrapper = "env_wrapper:[{'gymnasium.wrappers.TimeLimit': {'max_episode_steps': 40}}]"
    run_python(*train, "-n", "256", "--save-freq", "128", "-params", *params, wrapper, cwd=tmp_path, **WITH_ARM)
    run = tmp_path / "logs" / "ppo" / f"{ARM}_1"
    checkpoints = sorted(path.name for path in run.glob("*_steps.zip"))
    assert checkpoints == ["rl_model_128_steps.zip", "rl_model_256_steps.zip"]
    assert all((run / name).with_suffix(".state.npz").is_file() for name in checkpoints)

    config = ("--conf-file", str(run / ARM / "config.yml"))
    again = run_python(*train, "-n", "384", "-i", str(run / checkpoints[-1]), *config, cwd=tmp_path, **WITH_ARM)
    assert "Continuing" in again
    assert "at step 256 of 384" in again
    first, second = (tmp_path / "logs" / "ppo" / f"{ARM}_{number}" / ARM / "config.yml" for number in (1, 2))
    assert first.read_text() == second.read_text(), "the same hyperparameters"

    replay = ("--exp-id", "1", "--load-checkpoint", "128", "-f", "logs", "-n", "80")
    enjoy = run_python("-m", "rl_zoo3.enjoy", *which, *replay, "--no-render", cwd=tmp_path, **WITH_ARM)
    assert "The running statistics are those of rl_model_128_steps.zip" in enjoy
    assert "Episode Length 40" in enjoy
    recorded = ("-m", "sb3_mimic", "zoo", "record_video", *which, *replay, "-o", "videos")
    printed = run_python(*recorded, cwd=tmp_path, **WITH_ARM)
    assert "The running statistics are those of rl_model_128_steps.zip" in printed
    assert next((tmp_path / "videos").glob("*.mp4")).stat().st_size > 1000


@pytest.mark.slow
def test_an_id_of_others_is_continued_exactly(run_python, tmp_path):
    train = (
        "-m",
        "rl_zoo3.train",
        "--algo",
        "ppo",
        "--env",
        "CartPole-v1",
        "--gym-packages",
        "sb3_mimic",
        "--eval-freq",
        "-1",
    )
    params = ("n_envs:1", "n_steps:64", "callback:'sb3_mimic.checkpoints.RunStateCallback'")
    run_python(*train, "-n", "128", "--save-freq", "64", "-params", *params, cwd=tmp_path)
    run = tmp_path / "logs" / "ppo" / "CartPole-v1_1"
    assert (run / "rl_model_64_steps.zip").is_file()
    again = run_python(*train, "-n", "192", "-i", str(run / "rl_model_128_steps.zip"), "-params", *params, cwd=tmp_path)
    assert "at step 128 of 192" in again


@pytest.mark.slow
@pytest.mark.parametrize("imports", ["import rl_zoo3.cli, sb3_mimic", "import rl_zoo3.cli"])
def test_the_script_of_the_zoo_knows_us(imports, run_python, tmp_path):
    """``rl_zoo3 train`` and ``rl_zoo3 enjoy``"""
    start = f"{imports}; rl_zoo3.cli.main()"
    which = ("--algo", "ppo", "--env", ENV_ID, "--gym-packages", "sb3_mimic")
    train = run_python("-c", start, "train", *which, "-n", "512", "-params", "n_envs:2", "n_steps:64", cwd=tmp_path)
    assert str(hyperparams_file("ppo")) in train
    assert next((tmp_path / "logs" / "ppo" / f"{ENV_ID}_1").glob("*.state.npz"))
    enjoy = run_python("-c", start, "enjoy", *which, "-n", "100", "--no-render", cwd=tmp_path)
    assert "Taking the agent that comes with sb3_mimic" in enjoy
    assert "Success rate: 100" in enjoy


@pytest.mark.slow
def test_an_algorithm_without_hyperparameters_is_refused(run_python, tmp_path):
    command = [part if part != "ppo" else "sac" for part in CARD_COMMAND]
    printed = run_python(*command, "-n", "64", expect=1, cwd=tmp_path)
    assert "no hyperparameters of sac for MimicReacher3D-v0, only of ppo, ppo_lstm" in printed
