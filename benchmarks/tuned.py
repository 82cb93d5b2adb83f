"""Compares how soon a hand-made and a tuned entry reach a success of 0.95: in steps and seconds, over several seeds."""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rl_zoo3.utils import get_callback_list
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from benchmarks.study import Examination, Record, machine, study
from sb3_mimic.agents.statistics import bootstrap_interval
from sb3_mimic.runs.shipped import hyperparams_file
from sb3_mimic.zoo.manager import MimicZooManager

RESULTS = Path(__file__).parent / "tuned.jsonl"
THRESHOLD = 0.95
N_SEEDS, N_POSES, EVERY = 5, 100, 2048
HAND_MADE = "hand-made"


@dataclass(frozen=True)
class Run:
    """
    One training, up to the success that is asked for.

    :param name: Of the entry
    :param env_id: What to train on: an id whose policy reads the state, with pictures or without
    :param entry: Hyperparameters, as they stand in a YAML file
    :param seed: Seed of the training
    :param n_poses: Poses asked for at each measure
    """

    name: str
    env_id: str
    entry: dict[str, Any]
    seed: int
    n_poses: int

    @property
    def title(self) -> str:
        return f"{self.name}, seed {self.seed}"


class TimeToSuccess(BaseCallback):
    """
    Stops a training as soon as it is measured to be good enough.

    :param examination: Measures
    """

    def __init__(self, examination: Examination):
        super().__init__()
        self.examination = examination
        self.steps: list[int] = []
        self.success: list[float] = []
        self.seconds: list[float] = []
        self._examining = 0.0

    @property
    def is_reached(self) -> bool:
        """Whether it was good enough when measured last"""
        return bool(self.success) and self.success[-1] >= THRESHOLD

    def _on_training_start(self) -> None:
        self._start = time.perf_counter()

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= (self.steps[-1] if self.steps else 0) + EVERY:
            self._measure()

    def _on_step(self) -> bool:
        return not self.is_reached

    def _on_training_end(self) -> None:
        if not self.is_reached:
            self._measure()

    def _measure(self) -> None:
        now = time.perf_counter()
        # How long measuring takes says nothing about training
        self.seconds.append(round(now - self._start - self._examining, 2))
        self.steps.append(self.num_timesteps)
        self.success.append(self.examination.success(self.model))
        self._examining += time.perf_counter() - now


def train(run: Run) -> Record:
    """
    :param run: What to train, with rl-zoo3
    :return: The run, and its success after how many steps and seconds, measures not counted
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "entry.yml"
        file.write_text(yaml.safe_dump({run.env_id: run.entry}))
        where = {"eval_freq": -1, "verbose": 0, "config": str(file)}
        manager = MimicZooManager(argparse.Namespace(num_threads=-1), "ppo", run.env_id, folder, seed=run.seed, **where)
        model, _ = manager.setup_experiment()
        assert isinstance(model, PPO)
        # The state is all that the policy reads: without pictures it is measured faster
        examination = Examination(run.env_id.removesuffix("-v0").removesuffix("State") + "State-v0", run.n_poses)
        timer = TimeToSuccess(examination)
        try:
            model.learn(
                manager.n_timesteps, CallbackList([timer, *get_callback_list({"callback": manager.specified_callbacks})])
            )
        finally:
            examination.close()
            assert model.env is not None
            model.env.close()
    curve = {"steps": timer.steps, "success": timer.success, "seconds": timer.seconds}
    return {**asdict(run), **curve, "is_reached": timer.is_reached, "machine": machine()}


def table(records: Sequence[Record]) -> str:
    """:return: A Markdown table, one line for each entry"""
    lines = [f"| entry | steps to {THRESHOLD} | seconds to {THRESHOLD} | reached |", "|---|---|---|---|"]
    for name in dict.fromkeys(record["name"] for record in records):
        mine = [record for record in records if record["name"] == name]
        n_reached = sum(record["is_reached"] for record in mine)
        # One that was never good enough would have taken longer than it was given
        at_least = "" if n_reached == len(mine) else "over "
        steps, seconds = (at_least + _interval([record[key][-1] for record in mine]) for key in ("steps", "seconds"))
        lines.append(f"| {name} | {steps} | {seconds} | {n_reached} of {len(mine)} |")
    return "\n".join(lines)


def _interval(values: Sequence[float]) -> str:
    low, high = bootstrap_interval(values)
    return f"{np.mean(values):,.0f} [{low:,.0f}, {high:,.0f}]"


def entries(file: Path, env_id: str) -> dict[str, dict[str, Any]]:
    """
    :param file: What ``sb3-mimic tuned`` wrote
    :param env_id: What to train on
    :return: The hand-made entry of the id and the tuned one, by their names. What was tuned without pictures serves with them.
    :raises ValueError: When the file holds neither an entry of the id nor one of the same body without pictures
    """
    hand_made = yaml.safe_load(hyperparams_file("ppo").read_text())[env_id]
    tuned = yaml.safe_load(file.read_text())
    known = [name for name in (env_id, env_id.replace("-v0", "State-v0")) if name in tuned]
    if not known:
        raise ValueError(f"{file} has no entry of {env_id}, only of {', '.join(tuned)}. Choose one of those with --env.")
    entry = {**hand_made, **tuned[known[0]]}
    if known[0] != env_id:
        # What was tuned without pictures has no translator to train
        entry["callback"] = hand_made["callback"]
    return {HAND_MADE: hand_made, f"tuned ({file.name})": entry}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="what `sb3-mimic tuned` wrote")
    parser.add_argument("--env", default="MimicReacher3D-v0", help="default: MimicReacher3D-v0")
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help=f"default: {N_SEEDS}")
    parser.add_argument("--steps", type=int, help="at most so many (default: what each entry says)")
    parser.add_argument("--poses", type=int, default=N_POSES, help=f"at each measure (default: {N_POSES})")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS.name} beside this script")
    args = parser.parse_args(arguments)
    runs = [
        Run(name, args.env, entry | ({"n_timesteps": args.steps} if args.steps else {}), seed, args.poses)
        for seed in range(args.seeds)
        for name, entry in entries(args.file, args.env).items()
    ]
    records = study(runs, args.results, 1, train)
    print(f"\n{args.env}\n{table(records)}")
    print(f"\nMean [95 % bootstrap interval] over {args.seeds} seeds, {args.poses} poses at each measure. {machine()}")


if __name__ == "__main__":
    main()
