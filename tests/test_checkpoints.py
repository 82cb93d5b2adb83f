"""A run that was stopped goes on as if it had not been."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_mimic.annealing import AnnealingCallback
from sb3_mimic.checkpoints import BestStatisticsCallback, RunStateCallback, find_state, restore_statistics, write_checkpoint
from sb3_mimic.checkpoints.plain import Restorer
from sb3_mimic.checkpoints.state_file import fingerprint, read_state, state_file, write_state
from sb3_mimic.errors import RunStateError
from sb3_mimic.policies import FusedPolicy, StatePolicy
from sb3_mimic.translator.callback import TranslatorCallback

SMALL_PPO = ("n_envs:2", "n_steps:64", "batch_size:32", "n_epochs:2")
SMALL_TQC = ("n_envs:2", "learning_starts:100", "batch_size:32", "buffer_size:400")
# No sooner than the first episode of each has ended
HINDSIGHT = ("replay_buffer_class:'HerReplayBuffer'", "replay_buffer_kwargs:{'copy_info_dict': True}", "learning_starts:240")
RUNS = {
    "state": ("ppo", "MimicReacher3D-v0", SMALL_PPO),
    "fused": ("ppo", "MimicReacherPlaneFused-v0", SMALL_PPO),
    "pixels": ("ppo", "MimicReacherPlanePixels-v0", SMALL_PPO),
    "wild": ("ppo", "MimicReacherPlaneWild-v0", SMALL_PPO),
    "recurrent": ("ppo_lstm", "MimicReacherPlane-v0", SMALL_PPO),
    "replay buffer": ("tqc", "MimicReacher3DState-v0", SMALL_TQC),
    "hindsight": ("tqc", "MimicReacher3DState-v0", (*SMALL_TQC, *HINDSIGHT)),
    "walker": ("ppo", "MimicHumanoidWalk-v0", SMALL_PPO),
}
N_STEPS, SAVE_FREQ = 640, 256


def command(algo: str, env_id: str, params: tuple[str, ...], *arguments: str) -> list[str]:
    base = ["-m", "rl_zoo3.train", "--algo", algo, "--env", env_id, "--gym-packages", "sb3_mimic", "--device", "cpu"]
    sizes = ["-n", str(N_STEPS), "--save-freq", str(SAVE_FREQ), "--eval-freq", "300", "--eval-episodes", "1"]
    return [*base, *sizes, "-params", *params, *arguments]


def train_until_killed(arguments: list[str], cwd: Path, checkpoint: Path) -> None:
    """Start a training, and kill it as soon as there is a checkpoint"""
    process = subprocess.Popen([sys.executable, *arguments], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(1200):
        if checkpoint.is_file() and state_file(checkpoint).is_file():
            break
        assert process.poll() is None, "the training ended before its first checkpoint"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def assert_same_state(value, other, path="") -> None:
    assert type(value) is type(other), path
    if isinstance(value, dict):
        assert value.keys() == other.keys(), path
        for key in value:
            # How long an episode took, be it in a dict or in a column of dicts
            if key != "t" and value.get("key") != "t":
                assert_same_state(value[key], other[key], f"{path}/{key}")
    elif isinstance(value, list):
        assert len(value) == len(other), path
        for index, pair in enumerate(zip(value, other, strict=True)):
            assert_same_state(*pair, f"{path}/{index}")
    else:
        np.testing.assert_array_equal(value, other, err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_a_killed_run_goes_on_bit_by_bit(kind, run_python, tmp_path):
    algo, env_id, params = RUNS[kind]
    runs = tmp_path / "logs" / algo
    run_python(*command(algo, env_id, params, "--seed", "7"), cwd=tmp_path)
    whole = runs / f"{env_id}_1"
    stopped = runs / f"{env_id}_1" / f"rl_model_{SAVE_FREQ}_steps.zip"
    if kind in ("fused", "replay buffer"):
        stopped = runs / f"{env_id}_2" / f"rl_model_{SAVE_FREQ}_steps.zip"
        train_until_killed(command(algo, env_id, params, "--seed", "7"), tmp_path, stopped)
        # A seed says nothing once the random states are known
    printed = run_python(
        *command(algo, env_id, params, "--seed", "8", "-i", str(stopped)), cwd=tmp_path, env={"PYTHONHASHSEED": "3"}
    )
    assert f"Continuing {stopped} at step {SAVE_FREQ} of {N_STEPS}." in printed
    continued = max(runs.glob(f"{env_id}_*"), key=lambda path: int(path.name.rpartition("_")[2]))
    last = f"rl_model_{N_STEPS}_steps.zip"
    assert fingerprint(continued / f"{env_id}.zip") == fingerprint(whole / f"{env_id}.zip")
    assert find_state(whole / f"{env_id}.zip") == state_file(whole / last)
    assert fingerprint(stopped) != fingerprint(whole / last)
    state = read_state(state_file(whole / last))
    assert_same_state(read_state(state_file(continued / last)), state)
    assert state["counters"]["num_timesteps"] == N_STEPS
    for name in ("results", "timesteps", "ep_lengths"):
        evaluations = [np.load(run / "evaluations.npz")[name] for run in (whole, continued)]
        np.testing.assert_array_equal(*evaluations)
        assert len(evaluations[0]) == 2


@pytest.mark.slow
def test_commands_list_continue_and_replay_a_run(run_python, tmp_path):
    algo, env_id, params = RUNS["state"]
    run_python(*command(algo, env_id, params), cwd=tmp_path)
    run = tmp_path / "logs" / algo / f"{env_id}_1"
    for choice, name in (("--load-best",), "best_model"), (("--load-checkpoint", "256"), "rl_model_256_steps"):
        enjoy = ("-m", "rl_zoo3.enjoy", "--algo", algo, "--env", env_id, "--gym-packages", "sb3_mimic", "-f", "logs")
        assert f"statistics are those of {name}.zip" in run_python(*enjoy, *choice, "-n", "3", cwd=tmp_path)
    os.truncate(run / f"rl_model_{N_STEPS}_steps.zip", 1000)
    printed = run_python("-m", "sb3_mimic", "resume", str(run), "-n", "700", cwd=tmp_path)
    assert f"Left out: {run / f'rl_model_{N_STEPS}_steps.zip'} is not a whole checkpoint" in printed
    assert "rl_model_512_steps.zip at step 512 of 700" in printed
    assert "It was a run of 640 steps" in printed
    rows = [line.split() for line in run_python("-m", "sb3_mimic", "runs", cwd=tmp_path).splitlines()]
    assert [f"{algo}/{env_id}_2", "768", "700"] in [row[:3] for row in rows]
    assert (run.parent / f"{env_id}_2" / "best_model.zip").is_file()
    assert "no args.yml" in run_python("-m", "sb3_mimic", "resume", str(run.parent), cwd=tmp_path, expect=2)
    damaged = ("-i", str(run / f"rl_model_{N_STEPS}_steps.zip"))
    printed = run_python(*command(algo, env_id, params, *damaged), cwd=tmp_path, expect=1)
    assert "DamagedAgentError" in printed
    assert f"There are: {run / 'rl_model_256_steps.zip'}, {run / 'rl_model_512_steps.zip'}." in printed


# With everything that can be stacked upon it: a wrapper, other physics, a policy's own classes
OTHERS = """
CartPole-v1:
  policy: MlpPolicy
  n_envs: 2
  n_steps: 64
  batch_size: 64
  n_timesteps: 640
  learning_rate: 0.001
  normalize: true
  env_wrapper: sb3_contrib.common.wrappers.TimeFeatureWrapper
  callback: [sb3_mimic.checkpoints.RunStateCallback]
"""
ITS_OWN = ("-params", "policy_kwargs:dict(activation_fn=th.nn.ReLU)", "--env-kwargs", "sutton_barto_reward:True")


@pytest.mark.slow
def test_a_run_of_others_goes_on_from_anywhere_by_its_own_hyperparameters(run_python, tmp_path):
    """Killed, with another YAML in place of its own since, and continued from another folder"""
    file = tmp_path / "others.yml"
    file.write_text(OTHERS)
    base = ("-m", "rl_zoo3.train", "--algo", "ppo", "--env", "CartPole-v1", "--gym-packages", "sb3_mimic", "--device", "cpu")
    sizes = ("--conf-file", file.name, "--save-freq", str(SAVE_FREQ), "--eval-freq", "300", "--seed", "7")
    run_python(*base, *sizes, *ITS_OWN, cwd=tmp_path)
    whole, elsewhere = tmp_path / "logs" / "ppo" / "CartPole-v1_1", tmp_path / "elsewhere"
    stopped = tmp_path / "logs" / "ppo" / "CartPole-v1_2"
    train_until_killed([*base, *sizes, *ITS_OWN], tmp_path, stopped / f"rl_model_{SAVE_FREQ}_steps.zip")
    for later in stopped.glob("rl_model_5*"):
        later.unlink()
    file.write_text(OTHERS.replace("0.001", "0.1"))
    elsewhere.mkdir()
    printed = run_python("-m", "sb3_mimic", "resume", str(stopped), cwd=elsewhere)
    assert f"at step {SAVE_FREQ} of {N_STEPS}" in printed
    continued = tmp_path / "logs" / "ppo" / "CartPole-v1_3"
    assert fingerprint(continued / "CartPole-v1.zip") == fingerprint(whole / "CartPole-v1.zip")


ENV_ID = "MimicReacherPlane-v0"


def make_model(env_id: str = ENV_ID, n_envs: int = 2, policy: str | type = StatePolicy) -> PPO:
    venv = VecNormalize(make_vec_env(env_id, n_envs=n_envs, seed=3), norm_obs_keys=["observation"])
    return PPO(policy, venv, n_steps=32, batch_size=32, n_epochs=1, seed=3, device="cpu")


def learn(model: PPO, n_steps: int, callback: RunStateCallback) -> PPO:
    cosine = {"initial": 1e-2, "final": 1e-4, "shape": "cosine"}
    annealing = AnnealingCallback(learning_rate=cosine, clip_range=cosine, log_std={"initial": -0.5, "final": -1.5})
    # The translator's callback has a state of its own
    return model.learn(n_steps, callback=[callback, annealing, TranslatorCallback(memory_size=64, n_validation=8)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a training with checkpoints at 128, 256 and 384 steps"""
    folder = tmp_path_factory.mktemp("trained")
    model = make_model()
    learn(model, 384, RunStateCallback(str(folder), save_freq=128))
    model.save(folder / "final.zip")
    model.env.close()
    return folder


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy of it to spoil"""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def resume(checkpoint: Path, n_steps: int = 384, **kwargs) -> PPO:
    model = make_model(**kwargs)
    model.set_parameters(str(checkpoint))
    learn(model, n_steps, RunStateCallback(resume_from=str(checkpoint)))
    model.env.close()
    return model


def weights(model: PPO) -> list:
    return [value.numpy() for value in model.policy.state_dict().values() if hasattr(value, "numpy")]


def test_without_the_zoo_a_run_goes_on_bit_by_bit_too(run, capsys):
    continued = resume(run / "rl_model_128_steps.zip")
    assert "at step 128 of 384" in capsys.readouterr().out
    for ours, theirs in zip(weights(continued), weights(PPO.load(run / "final.zip", device="cpu")), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("env_id", "policy"),
    [
        ("MimicReacherPlaneFused-v0", FusedPolicy),
        ("MimicReacher3DSparse-v0", StatePolicy),
        ("MimicHalfHumanoidState-v0", StatePolicy),
        ("MimicHumanoidWalk-v0", "MultiInputPolicy"),
    ],
)
def test_every_kind_of_our_own_goes_on(env_id, policy, tmp_path):
    def train(n_steps: int, checkpoint: Path | None = None, **kwargs) -> list:
        model = make_model(env_id, policy=policy)
        if checkpoint is not None:
            model.set_parameters(checkpoint)
        callbacks = [RunStateCallback(**kwargs), TranslatorCallback(memory_size=64, n_validation=8)]
        model.learn(n_steps, callback=callbacks[: 1 + (policy is FusedPolicy)])
        model.get_env().close()
        return weights(model)

    expected = train(192, save_path=str(tmp_path), save_freq=64)
    checkpoint = tmp_path / "rl_model_128_steps.zip"
    for ours, theirs in zip(train(192, checkpoint, resume_from=str(checkpoint)), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_state_of_the_first_format_goes_on(run, tmp_path, monkeypatch):
    """It held what an environment tells of itself, and four attributes of its wrappers"""
    name = "rl_model_128_steps.zip"
    model = make_model()
    model.set_parameters(run / name)
    state = read_state(state_file(run / name))
    chains = [{each["class"]: each for each in env["chain"]} for env in state["venv"]["envs"]]

    def of(layer: str, name: str) -> list:
        return [Restorer().value(chain[layer]["attributes"][name]) for chain in chains]

    monitored = {name: of("Monitor", name) for name in ("rewards", "needs_reset", "total_steps")}
    state["venv"] = {
        **{key: state["venv"][key] for key in ("layers", "stacks", "seeds")},
        "envs": [Restorer().value(chain["MimicEnv"]["own"]) for chain in chains],
        "wrappers": {"_elapsed_steps": of("TimeLimit", "_elapsed_steps"), **monitored},
    }
    for key in ("tensors", "exploration", "missing"):
        state.pop(key, None)
    monkeypatch.setattr("sb3_mimic.checkpoints.state_file.FORMAT", 1)
    write_state(state_file(run / name), {**state, "format": 1})
    continued = resume(run / name)
    for ours, theirs in zip(weights(continued), weights(PPO.load(run / "final.zip", device="cpu")), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_finished_run_is_trained_further(run, capsys):
    # The model at the end has the weights of the last checkpoint, and so its state
    assert resume(run / "final.zip", 512).num_timesteps == 512
    assert "at step 384 of 512" in capsys.readouterr().out
    assert resume(run / "final.zip", 384).num_timesteps == 384
    assert "Nothing is left to train" in capsys.readouterr().out


def test_the_translators_memory_goes_on(run):
    callbacks = [RunStateCallback(resume_from=str(run / "rl_model_256_steps.zip")), TranslatorCallback(memory_size=64)]
    model = make_model()
    model.set_parameters(str(run / "rl_model_256_steps.zip"))
    with pytest.warns(UserWarning, match="no AnnealingCallback, which was there before"):
        model.learn(256, callback=callbacks)
    assert len(callbacks[1].memory) == 64
    assert callbacks[1].n_rollouts == 4
    model.env.close()


@pytest.mark.parametrize(
    ("kwargs", "complaint"),
    [
        ({"n_envs": 1}, "n_envs=2, and this one has n_envs=1"),
        ({"env_id": "MimicReacher3D-v0"}, "env_id=MimicReacherPlane-v0, and this one"),
    ],
)
def test_the_state_of_another_run_is_refused(run, kwargs, complaint):
    model = make_model(**kwargs)
    callback = RunStateCallback(resume_from=str(run / "rl_model_128_steps.zip"))
    with pytest.raises(RunStateError, match=complaint):
        model.learn(384, callback=callback)
    assert model.num_timesteps == 0
    model.env.close()


def test_other_wrappers_are_refused(run):
    model = PPO(StatePolicy, make_vec_env(ENV_ID, n_envs=2), n_steps=32, batch_size=32, device="cpu")
    with pytest.raises(RunStateError, match="VecNormalize"):
        model.learn(384, callback=RunStateCallback(resume_from=str(run / "rl_model_128_steps.zip")))
    model.env.close()


def test_a_missing_state_is_told(run):
    lonely = run / "elsewhere" / "lonely.zip"
    lonely.parent.mkdir()
    shutil.copy(run / "rl_model_128_steps.zip", lonely)
    with pytest.warns(UserWarning, match="no state of its run.*statistics of observations too.*all 64 steps"):
        resume(lonely, 64)
    state_file(run / "rl_model_128_steps.zip").unlink()
    with pytest.warns(UserWarning, match="can be continued exactly from .*rl_model_384_steps.zip"):
        resume(run / "rl_model_128_steps.zip", 64)


def test_of_the_best_model_the_statistics_are_known(run):
    best = Path(shutil.copy(run / "rl_model_128_steps.zip", run / "best_model.zip"))
    state = read_state(state_file(run / "rl_model_128_steps.zip"), "format", "fingerprint", "normalization")
    write_state(state_file(best), state)
    model = make_model()
    with pytest.warns(UserWarning, match="no state of its run") as warned:
        model.learn(64, callback=RunStateCallback(resume_from=str(best)))
    assert "statistics of observations too" not in str(warned[0].message)
    assert model.get_vec_normalize_env().obs_rms["observation"].count > 128
    model.env.close()
    # A copy of the checkpoint finds the whole state
    assert find_state(Path(shutil.copy(best, run / "copy.zip"))) == state_file(run / "rl_model_128_steps.zip")


def test_other_versions_are_told(run, monkeypatch):
    monkeypatch.setattr("sb3_mimic.checkpoints.model_state.version", lambda package: "0.0.1")
    with pytest.warns(UserWarning, match="not bit by bit: .*torch 0.0.1 in place of"):
        resume(run / "rl_model_256_steps.zip")


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_a_damaged_state_is_told(run, size):
    checkpoint = run / "rl_model_256_steps.zip"
    os.truncate(state_file(checkpoint), size)
    with pytest.raises(RunStateError, match=r"rl_model_256_steps.state.npz is damaged: .*earlier checkpoint"):
        find_state(checkpoint)


def test_a_state_of_another_format_is_told(run):
    checkpoint = run / "rl_model_256_steps.zip"
    write_state(state_file(checkpoint), {"format": 99, "fingerprint": fingerprint(checkpoint)})
    with pytest.raises(RunStateError, match="another format"):
        find_state(checkpoint)


def test_a_damaged_checkpoint_is_told(run):
    os.truncate(run / "rl_model_256_steps.zip", 1000)
    with pytest.raises(RunStateError, match=r"rl_model_256_steps.zip is not a whole checkpoint"):
        find_state(run / "rl_model_256_steps.zip")


def test_a_checkpoint_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")

    def write_nothing(path, tree):
        path.write_bytes(b"half")
        raise full

    monkeypatch.setattr("sb3_mimic.checkpoints.files.write_state", write_nothing)
    model = make_model()
    with pytest.warns(UserWarning, match="could not be written.*No space left.*Training goes on"):
        model.learn(192, callback=RunStateCallback(str(tmp_path), save_freq=128))
    assert model.num_timesteps == 192
    assert not list(tmp_path.iterdir()), "nothing half-written is left"
    model.env.close()


def test_statistics_that_cannot_be_written_stop_nothing(run):
    callback = BestStatisticsCallback(str(run / "missing"))
    callback.init_callback(make_model())
    with pytest.warns(UserWarning, match=r"statistics beside .*best_model\.zip could not be written.*Training goes on"):
        assert callback.on_step()
    callback.training_env.close()


@pytest.mark.parametrize("kill_at", range(1, 4))
def test_a_kill_while_writing_leaves_the_old_or_the_new(run, monkeypatch, kill_at):
    """At each of the three renames of a checkpoint that is written over another one of the same name"""
    checkpoint = run / "rl_model_128_steps.zip"
    donor = PPO.load(run / "final.zip", device="cpu")
    state = read_state(state_file(run / "rl_model_384_steps.zip"))
    renames = []

    class Killed(BaseException):
        pass

    def replace(source, target, rename=os.replace):
        renames.append(target)
        if len(renames) == kill_at:
            raise Killed
        rename(source, target)

    monkeypatch.setattr("os.replace", replace)
    monkeypatch.setattr("pathlib.Path.replace", replace)
    before = fingerprint(checkpoint)
    with pytest.raises(Killed):
        write_checkpoint(donor, state, checkpoint)
    found = find_state(checkpoint)
    is_new = fingerprint(checkpoint) != before
    assert is_new == (kill_at == 3)
    assert read_state(found)["counters"]["num_timesteps"] == (384 if is_new else 128)


def test_statistics_are_those_of_the_zip(trained):
    found = {}
    for name in ("rl_model_128_steps.zip", "final.zip"):
        venv = VecNormalize(make_vec_env(ENV_ID), norm_obs_keys=["observation"])
        restore_statistics(venv, trained / name)
        found[name] = venv.obs_rms["observation"].count
        venv.close()
    assert found == pytest.approx({"rl_model_128_steps.zip": 130, "final.zip": 386}, abs=3)
