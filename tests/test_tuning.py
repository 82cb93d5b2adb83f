"""Studies: what is tuned, that trials repeat and survive each other, and that several workers share one."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import my_robot
import numpy as np
import optuna
import pytest
import yaml
from conftest import REPOSITORY
from optuna.trial import TrialState
from stable_baselines3 import PPO

from benchmarks import study, tuned
from benchmarks.postgres import Server, is_installed
from sb3_mimic import keys
from sb3_mimic.cli.main import main
from sb3_mimic.envs.registration import POSE_IDS, TASK_IDS, WALK_ID
from sb3_mimic.envs.tasks.rewards import REWARD_TERMS
from sb3_mimic.errors import StudyNotFoundError, UnfinishedStudyError
from sb3_mimic.policies import StatePolicy
from sb3_mimic.runs.shipped import hyperparams_file
from sb3_mimic.tuning.objective import Examination, GoalFromPicture
from sb3_mimic.tuning.results import write_entry
from sb3_mimic.tuning.sampler import trial_seed
from sb3_mimic.tuning.search_space import MAX_ROLLOUT, TRANSLATOR_CALLBACK, suggest
from sb3_mimic.tuning.storage import RECORD, load_study, open_storage
from sb3_mimic.tuning.worker import MAX_FAILURES, Worker
from sb3_mimic.zoo.manager import TUNED_ALGOS

ENV_ID = "MimicReacherPlaneState-v0"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def tuning(*options: str, env_id: str = ENV_ID, n_timesteps: int = 512) -> list[str]:
    """:return: Arguments of python that start a worker"""
    what = ["--algo", "ppo", "--env", env_id, "--gym-packages", "sb3_mimic", "-n", str(n_timesteps), "--seed", "5"]
    how = ["-optimize", "--n-evaluations", "1", "--eval-episodes", "2", "--no-optim-plots"]
    return ["-m", "rl_zoo3.train", *what, *how, *options]


def manager_of(env_id: str, **options) -> SimpleNamespace:
    """:return: What a worker asks of rl-zoo3's manager"""
    what = {"env_name": SimpleNamespace(gym_id=env_id), "algo": "ppo", "n_timesteps": 512, "seed": 5, "env_kwargs": {}}
    how = {"n_trials": 3, "max_total_trials": None, "n_jobs": 1, "sampler": "random", "pruner": "none", "n_startup_trials": 0}
    where = {"storage": None, "study_name": None, "log_folder": ".", "no_optim_plots": True}
    examined = {"n_eval_episodes": 2, "n_eval_envs": 1, "_create_pruner": lambda name: optuna.pruners.NopPruner()}
    return SimpleNamespace(**{**what, **how, **where, **examined, **options})


# The algorithms whose search space is ours
ENTRIES = {algo: yaml.safe_load(hyperparams_file(algo).read_text()) for algo in TUNED_ALGOS}


@pytest.mark.parametrize(("algo", "env_id"), [(algo, env_id) for algo, entries in ENTRIES.items() for env_id in entries])
def test_only_what_the_id_has_is_tuned(algo, env_id):
    base = ENTRIES[algo][env_id]
    tunes_reward = Worker(manager_of(env_id), base).tunes_reward
    assert tunes_reward == (env_id in POSE_IDS and "Sparse" not in env_id)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(10):
        trial = study.ask()
        entry = suggest(trial, base, 100_000, tunes_reward)
        assert yaml.safe_load(yaml.safe_dump(entry)) == entry, "it is data"
        assert entry["policy"] == base["policy"]
        assert entry["n_steps"] * entry["n_envs"] * entry.get("frame_stack", 1) <= MAX_ROLLOUT
        assert 1 < entry["batch_size"] <= entry["n_steps"] * entry["n_envs"]
        assert ("translator_learning_rate" in trial.params) == (TRANSLATOR_CALLBACK in str(base["callback"]))
        assert ("extractor_width" in trial.params) == (env_id != WALK_ID)
        weights = entry.get("env_kwargs", {}).get("reward_weights", {})
        assert bool(weights) == tunes_reward
        assert set(weights) <= set(REWARD_TERMS)
        checkpoints, *translators = base["callback"]
        assert entry["callback"][0] == checkpoints
        for ours, theirs in zip(entry["callback"][1:], translators, strict=True):
            kept = theirs[TRANSLATOR_CALLBACK] if isinstance(theirs, dict) else {}
            assert ours == {TRANSLATOR_CALLBACK: kept | {"learning_rate": trial.params["translator_learning_rate"]}}


@pytest.mark.parametrize("env_id", TASK_IDS)
def test_a_reward_for_things_on_a_table_is_not_one_for_poses(env_id):
    assert not Worker(manager_of(env_id), ENTRIES["ppo"][ENV_ID]).tunes_reward


def test_a_trial_has_the_same_seed_in_every_worker():
    seeds = [trial_seed(5, number) for number in range(100)]
    assert seeds == [trial_seed(5, number) for number in range(100)]
    assert len(set(seeds)) == 100
    assert max(seeds) < 500_000, "those above are for measures"


def test_an_unknown_activation_is_refused(make_env):
    env = make_env(ENV_ID)
    with pytest.raises(ValueError, match=r"'rellu'.*tanh, relu"):
        PPO(StatePolicy, env, policy_kwargs={"activation_fn": "rellu"})


@pytest.mark.slow
def test_trials_repeat_and_the_best_one_trains_to_its_score(run_python, tmp_path):
    """With pictures: reward, extractor and translator are tuned, and the translator counts in the score"""
    for name in ("first.log", "second.log"):
        printed = run_python(
            *tuning("--n-trials", "2", "--storage", name, "--study-name", "pictures", env_id="MimicReacherPlane-v0"),
            cwd=tmp_path,
        )
        assert "Number of finished trials:  2" in printed
    first, second = (load_study(str(tmp_path / name), "pictures").trials for name in ("first.log", "second.log"))
    assert [trial.params for trial in first] == [trial.params for trial in second]
    assert [trial.values for trial in first] == [trial.values for trial in second]
    assert first[0].params != first[1].params

    best = max(first, key=lambda trial: trial.value)
    tuned = run_python("-m", "sb3_mimic", "tuned", "pictures", "--storage", "first.log", "--verify", cwd=tmp_path)
    assert f"it has a score of {best.value}\n" in tuned
    entry = yaml.safe_load((tmp_path / "pictures.yml").read_text())["MimicReacherPlane-v0"]
    assert entry == best.user_attrs[RECORD]["entry"]
    assert "joint_progress" in entry["env_kwargs"]["reward_weights"]

    # The zoo's own way back, from trial 0 too
    run_python(
        "-m", "rl_zoo3.train", "--algo", "ppo", "--env", "MimicReacherPlane-v0", "--gym-packages", "sb3_mimic",
        "--storage", "first.log", "--study-name", "pictures", "--trial-id", "0", cwd=tmp_path,
    )  # fmt: skip
    run = tmp_path / "logs" / "ppo" / "MimicReacherPlane-v0_3" / "MimicReacherPlane-v0" / "config.yml"
    config = dict(yaml.load(run.read_text(), Loader=yaml.UnsafeLoader))
    expected = first[0].user_attrs[RECORD]["entry"]
    expected["normalize"]["gamma"] = expected["gamma"]
    assert config == expected


@pytest.mark.slow
def test_a_crash_ends_its_trial_alone(run_python, tmp_path):
    entry = yaml.safe_load(hyperparams_file("ppo").read_text())[ENV_ID] | {"callback": "crashing.CrashOnce"}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({ENV_ID: entry}))
    options = ("--n-trials", "2", "--conf-file", "mine.yml", "--storage", "study.log", "--study-name", "crash")
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    printed = run_python(*tuning(*options), cwd=tmp_path, env={"PYTHONPATH": path})
    assert "Trial 0 failed: FloatingPointError: a crash on purpose" in printed
    crashed, other = load_study(str(tmp_path / "study.log"), "crash").trials
    assert crashed.state == TrialState.FAIL
    assert crashed.user_attrs["error"] == "FloatingPointError: a crash on purpose"
    assert other.state == TrialState.COMPLETE


@pytest.fixture
def postgres():
    """The URL of a database on a server of its own"""
    # Not below pytest's folder, into which the server's unprivileged user cannot go
    folder = Path(tempfile.mkdtemp(prefix="studies"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(folder, port)
    server.start()
    yield server.url
    server.stop()
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [pytest.param("postgres", marks=pytest.mark.skipif(not is_installed(), reason="There is no PostgreSQL")), "journal"],
)
def test_the_trial_of_a_killed_worker_is_tried_again(kind, request, tmp_path):
    storage = request.getfixturevalue("postgres") if kind == "postgres" else str(tmp_path / "study.log")
    options = ("--max-total-trials", "2", "--storage", storage, "--study-name", "shared")
    command = [sys.executable, *tuning(*options, n_timesteps=2048)]
    environment = os.environ | {"SB3_MIMIC_HEARTBEAT": "1"}
    workers = []
    for name in ("victim", "survivor"):
        with (tmp_path / name).open("w") as output:
            workers.append(subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output, env=environment))
    victim, survivor = workers
    try:
        killed = wait_for_trial_of(victim, storage)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert survivor.wait(120) == 0, (tmp_path / "survivor").read_text()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    trials = load_study(storage, "shared").trials
    assert trials[killed].state == TrialState.FAIL
    (retried,) = [trial for trial in trials if trial.system_attrs.get("failed_trial") == killed]
    assert retried.state in FINISHED
    assert retried.params == trials[killed].params
    assert retried.user_attrs[RECORD]["seed"] == trials[killed].user_attrs[RECORD]["seed"]
    assert sum(trial.state in FINISHED for trial in trials) == 2, "the study is finished"
    assert len(trials) == 3


def wait_for_trial_of(worker: subprocess.Popen, storage: str) -> int:
    """:return: Number of the trial that a worker is in the middle of"""
    watching = None
    for _ in range(600):
        time.sleep(0.1)
        assert worker.poll() is None, "it ended too early"
        if watching is None:
            try:
                watching = load_study(storage, "shared")
            except (OSError, ValueError):
                continue
        for trial in watching.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.user_attrs.get(RECORD, {}).get("worker", "").endswith(f":{worker.pid}"):
                return trial.number
    raise AssertionError("it never began")


class BlindTranslator:
    """Reads the same in every picture"""

    def predict(self, image: np.ndarray) -> np.ndarray:
        assert image.shape == (64, 64, 3)
        return np.full(8, 0.25, np.float32)


def test_how_well_the_translator_reads_counts_in_the_score(make_env):
    examination = Examination(None)
    env = GoalFromPicture(make_env("MimicReacherPlane-v0"), examination)
    true_goal = env.reset(seed=1)[0][keys.DESIRED_GOAL]
    examination.translator = BlindTranslator()
    assert np.all(env.reset(seed=1)[0][keys.DESIRED_GOAL] == 0.25)
    assert np.all(env.step(env.action_space.sample())[0][keys.DESIRED_GOAL] == 0.25)
    assert np.array_equal(env.unwrapped.desired_goal, true_goal), "what is rewarded is what is asked for"


class SleepyWorker(Worker):
    """A worker whose machine sleeps in its first trial, which is given to another meanwhile"""

    def _train(self, trial: optuna.Trial) -> float:
        trial.set_user_attr(RECORD, {"env": ENV_ID})
        if trial.number == 0:
            self.study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
            # Whether the worker notices before its end, or not
            if self.manager.reports:
                trial.report(1.0, 1)
        return float(trial.number)


@pytest.mark.parametrize("reports", [True, False])
def test_a_worker_that_slept_goes_on(reports, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    worker = SleepyWorker(manager_of(ENV_ID, reports=reports), {})
    worker.optimize()
    assert capsys.readouterr().out.count("was given to another") == 1
    states = [trial.state for trial in worker.study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert len(list(tmp_path.glob("ppo/report_*.csv"))) == 1


class BrokenWorker(Worker):
    """A worker with whom every trial crashes"""

    def _train(self, trial: optuna.Trial) -> float:
        raise ValueError("Cannot tell a FAIL trial.")


def test_a_worker_with_whom_every_trial_crashes_gives_up(capsys):
    """Also where the error says what Optuna says of trials that were taken away"""
    worker = BrokenWorker(manager_of(ENV_ID, n_trials=MAX_FAILURES + 5), {})
    with pytest.raises(RuntimeError, match=f"last {MAX_FAILURES} trials .* ValueError: Cannot tell a FAIL trial"):
        worker.optimize()
    assert len(worker.study.trials) == MAX_FAILURES
    assert "was given to another" not in capsys.readouterr().out


def test_a_study_of_another_length_is_refused(tmp_path):
    storage = str(tmp_path / "study.log")
    options = {"storage": storage, "study_name": "one", "n_trials": 0}
    with pytest.raises(UnfinishedStudyError):
        Worker(manager_of(ENV_ID, **options), {}).optimize()
    with pytest.raises(StudyNotFoundError, match=r"'n_timesteps': 512.*cannot go on with.*'n_timesteps': 1024"):
        Worker(manager_of(ENV_ID, n_timesteps=1024, **options), {}).optimize()


@pytest.mark.parametrize("mode", my_robot.MODES)
def test_a_body_of_a_user_is_tuned_and_examined_as_ours_are(mode):
    ours, theirs = (Worker(manager_of(f"{name}{mode}-v0"), {}) for name in ("MimicReacherPlane", "MyArm"))
    assert ours.tunes_reward == theirs.tunes_reward == (mode != "Sparse")
    assert ours.offer.is_scored_by_pose
    assert theirs.offer.is_scored_by_pose
    told = manager_of(f"MyArm{mode}-v0", env_kwargs={"reward_weights": {"sparse": 1.0}})
    assert not Worker(told, {}).tunes_reward, "what the command line says stays"


def test_an_entry_names_the_packages_that_it_needs(tmp_path):
    record = {
        "env": "MyArm-v0",
        "algo": "ppo",
        "seed": 3,
        "entry": {"gamma": 0.5},
        "measure": "",
        "gym_packages": ["my_robot"],
    }
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={RECORD: record}))
    command = write_entry(study.trials[0], study, tmp_path / "entry.yml")
    assert "--env MyArm-v0 --gym-packages my_robot --conf-file" in command
    assert command in (tmp_path / "entry.yml").read_text()


@pytest.fixture
def storage(tmp_path) -> str:
    """A journal with a study that has no trial, and one that was made for somebody else's environment"""
    name = str(tmp_path / "study.log")
    opened = open_storage(name)
    optuna.create_study(storage=opened, study_name="empty")
    foreign = optuna.create_study(storage=opened, study_name="foreign")
    foreign.add_trial(optuna.trial.create_trial(value=1.0))
    failed = optuna.create_study(storage=opened, study_name="failed")
    attributes = {RECORD: {"env": ENV_ID}, "error": "ValueError: too bad"}
    failed.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs=attributes))
    return name


@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        ("unknown", [], "Unknown study 'unknown' in .*which holds: empty, failed, foreign"),
        ("empty", [], "no finished trial. Its trials: none at all"),
        ("failed", [], "1 fail(.|\n)*trial 0: ValueError: too bad"),
        ("failed", ["--env", WALK_ID], f"tuned {ENV_ID}, not {WALK_ID}"),
        ("foreign", [], "no trial of sb3_mimic"),
        ("empty", ["--storage", "missing.log"], "no journal file missing.log"),
        ("empty", ["--storage", "sqlite:///missing.db"], "no file missing.db"),
        ("empty", ["--storage", "nonsense"], "storage nonsense cannot be opened"),
        ("empty", ["--storage", "postgresql+psycopg://me:secret@127.0.0.1:1/x"], r"me:\*\*\*@127.0.0.1:1/x cannot be opened"),
    ],
)
def test_what_cannot_be_written_back_is_said(study, options, message, storage, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["tuned", study, "--storage", storage, *options]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert not list(tmp_path.glob("*.yml"))
    assert not list(tmp_path.glob("missing*"))


def test_the_server_is_not_open_to_everybody():
    with pytest.raises(ValueError, match="--password"):
        Server(REPOSITORY, 5433, host="0.0.0.0")


def test_entries_are_compared_and_the_comparison_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    file, results = tmp_path / "tuned.yml", tmp_path / "results.jsonl"
    file.write_text(yaml.safe_dump({"MimicReacher3DState-v0": {"n_steps": 64, "gamma": 0.8, "callback": []}}))
    trained = []

    def train(run: tuned.Run) -> dict:
        trained.append(run)
        is_reached = run.name != tuned.HAND_MADE or run.seed == 0
        curve = {"steps": [2048, 4096], "success": [0.5, 0.96], "seconds": [1.0, 2.0]}
        return {**tuned.asdict(run), **curve, "is_reached": is_reached}

    monkeypatch.setattr(tuned, "train", train)
    options = [str(file), "--results", str(results), "--seeds"]
    tuned.main([*options, "1"])
    tuned.main([*options, "2"])
    assert len(trained) == 4
    assert {run.seed for run in trained} == {0, 1}
    for run in trained:
        assert any("TranslatorCallback" in str(callback) for callback in run.entry["callback"]), "pictures are learnt from too"
    assert {run.entry["gamma"] for run in trained} == {0.9, 0.8}
    printed = capsys.readouterr().out
    assert "| hand-made | over 4,096 [4,096, 4,096] | over 2 [2, 2] | 1 of 2 |" in printed
    assert "| tuned (tuned.yml) | 4,096 [4,096, 4,096] | 2 [2, 2] | 2 of 2 |" in printed
    with pytest.raises(ValueError, match="no entry of MimicReacher6D-v0, only of MimicReacher3DState-v0"):
        tuned.main([*options, "1", "--env", "MimicReacher6D-v0"])


def without(entry, names):
    return {key: value for key, value in entry.items() if key not in names}


def test_the_page_says_how_much_sooner_the_tuned_entry_is_good():
    records = study.read(tuned.RESULTS)
    page = (REPOSITORY / "docs" / "tuning.md").read_text()
    assert tuned.table(records) in page
    # What the hand-made entry has become since is told
    assert "The hand-made entry had no `magnification` then." in page
    since = {tuned.HAND_MADE: ("policy_kwargs", "n_timesteps")}
    entries = tuned.entries(REPOSITORY / "hyperparams" / "ppo_tuned.yml", "MimicReacher3D-v0")
    for name, entry in entries.items():
        mine = [record for record in records if record["name"] == name]
        assert [record["seed"] for record in mine] == list(range(tuned.N_SEEDS))
        # PPO's weights are the same whatever the translator learns from
        others = ("callback", *since.get(name, ()))
        assert all(without(record["entry"], others) == without(entry, others) and record["is_reached"] for record in mine)
    hand_made, quick = ([r["steps"][-1] for r in records if r["name"] == name] for name in entries)
    assert max(quick) < min(hand_made)
