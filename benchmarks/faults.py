"""Breaks trainings in all ways that are known, continues each, and compares its end with one that was left alone."""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.checkpoints.files import checkpoints_in
from sb3_mimic.checkpoints.state_file import fingerprint, state_file

REPOSITORY = Path(__file__).parent.parent
ENV_ID = "MimicReacherPlane-v0"
# A rollout is 128 steps
SIZES = ("n_envs:2", "n_steps:64", "batch_size:64", "n_epochs:4")
N_STEPS, SAVE_FREQ = 12_800, 256
N_KILLS = 20
TIMEOUT = 300.0
# Between two looks at a running training, in s
PAUSE = 0.02
# Room for a few checkpoints, in bytes
SMALL_DISK = 24 * 2**20

# What a training is started with in order to break its physics: a joint angle that is no number, once it is under way
NAN_ANGLE = """
import sys
import numpy as np
import pybullet as p
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.zoo.scripts import train
apply, calls = Robot.apply, [0]
def apply_nan(self, action):
    apply(self, action)
    calls[0] += 1
    if calls[0] == 3000:
        p.resetJointState(self._body, self._joints[0], np.nan, physicsClientId=self.simulation.client)
Robot.apply = apply_nan
train(sys.argv[1:])
"""


class Training:
    """
    A training in a process of its own.

    :param folder: Where it writes its runs
    :param arguments: Of the interpreter
    """

    def __init__(self, folder: Path, arguments: list[str]):
        self.folder = folder
        self.log = folder.with_suffix(f".{time.monotonic_ns()}.log")
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env=environment(),
                # What is started in the background of a shell would not hear of Ctrl-C
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def checkpoints(self) -> list[Path]:
        """Of its run, the latest of the folder"""
        runs = runs_in(self.folder)
        return checkpoints_in(runs[-1]) if runs else []

    def wait_for(self, is_so: Callable[[], Any], what: str) -> None:
        """
        :param is_so: Asked again and again
        :param what: What it asks, in words
        :raises RuntimeError: When it ends before that is so
        """
        start = time.monotonic()
        while not is_so():
            if self.process.poll() is not None or time.monotonic() - start > TIMEOUT:
                raise RuntimeError(f"The training ended before {what}:\n{self.log.read_text()}")
            time.sleep(PAUSE)

    def wait_for_new_checkpoint(self, n: int = 2) -> None:
        """Wait until there are n checkpoints more than there were before."""
        before = len(self.checkpoints)
        self.wait_for(lambda: len(self.checkpoints) >= before + n, f"its checkpoint number {before + n}")

    def end(self) -> str:
        """:return: All that it said, when it has ended"""
        self.process.wait(TIMEOUT)
        return self.log.read_text()


def runs_in(folder: Path) -> list[Path]:
    """:return: The zoo's runs in a folder, in the order of their numbers"""
    return sorted(folder.glob("ppo/*_*"), key=lambda path: int(path.name.rpartition("_")[2]))


def environment() -> dict[str, str]:
    """:return: One thread, as bit-equality needs"""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def start(folder: Path, *more: str, code: str | None = None) -> Training:
    """Start a training of N_STEPS, every time the same, with checkpoints every SAVE_FREQ steps."""
    first = ["-m", "rl_zoo3.train"] if code is None else ["-c", code]
    base = ["--algo", "ppo", "--env", ENV_ID, "--gym-packages", "sb3_mimic", "--seed", "1", "--device", "cpu"]
    sizes = ["-n", str(N_STEPS), "--save-freq", str(SAVE_FREQ), "--eval-freq", "6000", "-params", *SIZES]
    return Training(folder, [*first, *base, *sizes, "-f", str(folder), *more])


def resume(folder: Path) -> Training:
    """Continue the latest run of a folder as a user would."""
    with_checkpoints = [run for run in runs_in(folder) if checkpoints_in(run)]
    return Training(folder, ["-m", "sb3_mimic", "resume", str(with_checkpoints[-1])])


def result_of(folder: Path) -> str:
    """:return: The checksums of the weights at the end of the latest run"""
    models = [run / f"{ENV_ID}.zip" for run in runs_in(folder)]
    return fingerprint([model for model in models if model.is_file()][-1])


def end_of(folder: Path, *more: str) -> str:
    """:return: The checksums of the weights at the end of a training that is left alone"""
    start(folder, *more).end()
    return result_of(folder)


def said(text: str, pattern: str) -> str:
    """:return: The line of a text in which something stands, without paths of this machine"""
    lines = [line for line in text.splitlines() if re.search(pattern, line)]
    if not lines:
        raise RuntimeError(f"Nothing was said about '{pattern}':\n{text}")
    line = re.sub(r"(/[\w.+-]+)+/(?=[\w.+-])", "", lines[-1])
    return re.sub(r"\s+", " ", line).strip()


def finish(folder: Path) -> None:
    """Continue a broken run to its end."""
    text = resume(folder).end()
    said(text, "Continuing .* at step")


def kill(folder: Path, rng: random.Random) -> str:
    """Kill a training again and again, at random moments, also while a checkpoint is being written."""
    training, stops = start(folder), []
    for _ in range(N_KILLS):
        training.wait_for_new_checkpoint(1)
        time.sleep(rng.uniform(0.0, 0.6))
        seen = training.checkpoints[-1].stem
        training.process.send_signal(signal.SIGKILL)
        training.end()
        training = resume(folder)
        training.wait_for(lambda log=training.log: "Continuing" in log.read_text(), "it said where it goes on")
        stops.append((seen, said(training.log.read_text(), "Continuing .* at step")))
    training.end()
    for seen, line in stops:
        at = int(re.search(r"at step (\d+)", line)[1])  # type: ignore[index]
        if at < int(seen.split("_")[2]):
            raise RuntimeError(f"There was {seen}, and it went on at step {at}")
    return stops[-1][1]


def stop_by(number: int) -> Callable[[Path, random.Random], str]:
    """:return: What stops a training with a signal"""

    def stop(folder: Path, rng: random.Random) -> str:
        training = start(folder)
        training.wait_for_new_checkpoint()
        training.process.send_signal(number)
        return said(training.end(), "Stopped at step")

    return stop


def children_of(pid: int) -> list[int]:
    """:return: The processes that a process has started and that still run (Linux)"""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_worker(folder: Path, rng: random.Random) -> str:
    """Kill one of the processes that the environments run in."""
    training = start(folder, *IN_PROCESSES)
    training.wait_for_new_checkpoint()
    pid = training.process.pid
    # The workers are children of a server that forks them
    workers = [worker for child in children_of(pid) for worker in children_of(child)]
    os.kill(workers[0], signal.SIGKILL)
    return said(training.end(), "InterruptedRunError")


def break_physics(folder: Path, rng: random.Random) -> str:
    """Let a joint angle be no number any more."""
    text = start(folder, code=NAN_ANGLE).end()
    said(text, "The run broke off")
    return said(text, "FloatingPointError")


def truncate(what: Callable[[Path], Path]) -> Callable[[Path, random.Random], str]:
    """:return: What cuts the newest checkpoint, or the state beside it, in half"""

    def cut(folder: Path, rng: random.Random) -> str:
        training = start(folder)
        training.wait_for_new_checkpoint(4)
        training.process.send_signal(signal.SIGKILL)
        training.end()
        file = what(training.checkpoints[-1])
        os.truncate(file, file.stat().st_size // 2)
        text = resume(folder).end()
        return said(text, "not a whole checkpoint|is damaged")

    return cut


def fill_disk(folder: Path, rng: random.Random) -> str:
    """Train on a small disk until it is full; then make room."""
    folder.mkdir(parents=True)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)], capture_output=True)
    if mount.returncode:
        raise PermissionError(f"A small disk can be mounted by root alone: {mount.stderr.decode().strip()}")
    training = start(folder)
    text = training.end()
    line = said(text, "could not be written|No space left")
    # Make room: all but the last checkpoints go
    for checkpoint in training.checkpoints[:-2]:
        checkpoint.unlink()
        state_file(checkpoint).unlink()
    subprocess.run(["mount", "-o", f"remount,size={20 * SMALL_DISK}", str(folder)], check=True)
    return line


# Environments in processes of their own train to another end than those in one
IN_PROCESSES = ("--vec-env", "subproc")
FAULTS: dict[str, Callable[[Path, random.Random], str]] = {
    f"SIGKILL, {N_KILLS} times at random moments": kill,
    "SIGTERM": stop_by(signal.SIGTERM),
    "Ctrl-C (SIGINT)": stop_by(signal.SIGINT),
    "a full disk": fill_disk,
    "a worker of SubprocVecEnv killed": kill_worker,
    "a NaN in the physics": break_physics,
    "the newest checkpoint cut in half": truncate(lambda checkpoint: checkpoint),
    "the state beside it cut in half": truncate(state_file),
}


def try_fault(break_it: Callable[[Path, random.Random], str], folder: Path, expected: str) -> tuple[str, str]:
    """
    :param break_it: Breaks a training, and returns what that said
    :param folder: For its runs
    :param expected: The checksums at the end of a training that was left alone
    :return: What was said, and whether the continued run ended alike
    """
    try:
        try:
            line = break_it(folder, random.Random(0))
        except PermissionError as error:
            return str(error), "not tried"
        if not list(folder.glob(f"ppo/*_*/rl_model_{N_STEPS}_steps.zip")):
            finish(folder)
        is_same = result_of(folder) == expected
        return line, "yes, bit by bit the same end" if is_same else "yes, with another end"
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return str(error).splitlines()[0], "NO"
    finally:
        if folder.is_mount():
            subprocess.run(["umount", str(folder)], check=True)


def main() -> None:
    """Try all faults, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--only", choices=FAULTS, action="append", help="a single fault, by its name")
    parser.add_argument("--table", type=Path, metavar="FILE", help="a Markdown file with <!-- faults --> marks")
    args = parser.parse_args()
    rows = ["| fault | what is said | the run goes on |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        expected = {more: end_of(Path(name) / f"alone{len(more)}", *more) for more in ((), IN_PROCESSES)}
        for index, fault in enumerate(args.only or FAULTS):
            line, outcome = try_fault(
                FAULTS[fault], Path(name) / f"fault{index}", expected[IN_PROCESSES if FAULTS[fault] is kill_worker else ()]
            )
            rows.append(f"| {fault} | {line.replace('|', '/')} | {outcome} |")
            print(rows[-1], flush=True)
    if args.table:
        write_between_marks(args.table, "faults", "\n".join(rows))
        print(f"Wrote the table in {args.table}")


if __name__ == "__main__":
    main()
