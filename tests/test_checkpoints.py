"""A run that was stopped goes on as if it had not been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sb3_mimic.checkpoints import find_state
from sb3_mimic.run_file import fingerprint, read_state, state_file

SMALL_PPO = ("n_envs:2", "n_steps:64", "batch_size:32", "n_epochs:2")
SMALL_TQC = ("n_envs:2", "learning_starts:100", "batch_size:32", "buffer_size:400")
RUNS = {
    "state": ("ppo", "MimicReacher3D-v0", SMALL_PPO),
    "fused": ("ppo", "MimicReacherPlaneFused-v0", SMALL_PPO),
    "pixels": ("ppo", "MimicReacherPlanePixels-v0", SMALL_PPO),
    "recurrent": ("ppo_lstm", "MimicReacherPlane-v0", SMALL_PPO),
    "replay buffer": ("tqc", "MimicReacher3DState-v0", SMALL_TQC),
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
            # How long an episode took
            if key != "t":
                assert_same_state(value[key], other[key], f"{path}/{key}")
    elif isinstance(value, list):
        assert len(value) == len(other), path
        for index, pair in enumerate(zip(value, other, strict=True)):
            assert_same_state(*pair, f"{path}/{index}")
    else:
        np.testing.assert_array_equal(value, other, err_msg=path)


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
