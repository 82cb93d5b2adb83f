"""Trains by hindsight on things on a table, and measures how soon they are learnt: what studies of it share."""

import argparse
import contextlib
import copy
import io
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
import yaml
from rl_zoo3.utils import get_callback_list
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

import sb3_mimic  # noqa: F401  # registers the environments
from benchmarks.study import FIRST_SEED, Examination, FloatArray, LearningCurve, Record, machine, read, study
from sb3_mimic.cli.common import add_ray
from sb3_mimic.runs.shipped import hyperparams_file
from sb3_mimic.zoo.manager import MimicZooManager

ALGO = "sac"
SEEDS, N_EPISODES, DISTANCE = (0, 1, 2), 100, 5000
# A world takes 28 MB: so many goals are asked for at once
N_ENVS = 10
# Which needs a folder of a run of its own
CHECKPOINTS = "sb3_mimic.checkpoints.RunStateCallback"

Setting = dict[str, Any]


def base_entry(env_id: str) -> dict[str, Any]:
    """
    :param env_id: One of our ids
    :return: The hyperparameters of our own entry, without checkpoints
    """
    entry: dict[str, Any] = yaml.safe_load(hyperparams_file(ALGO).read_text())[env_id]
    return entry | {"callback": [callback for callback in entry["callback"] if callback != CHECKPOINTS]}


@dataclass(frozen=True)
class Run:
    """
    One training.

    :param env_id: What is learnt
    :param setting: Name of what is compared
    :param replay_buffer_kwargs: What that stands for
    :param entry: All other hyperparameters
    :param seed: Seed of the training
    :param n_timesteps: Steps of the training
    :param n_episodes: Goals asked for at each point of the learning curve
    :param distance: Steps from one of these points to the next
    :param algo: What learns
    :param max_seconds: When the training stops at the latest, measures not counted
    """

    env_id: str
    setting: str
    replay_buffer_kwargs: Setting | str
    entry: dict[str, Any]
    seed: int
    n_timesteps: int
    n_episodes: int = N_EPISODES
    distance: int = DISTANCE
    algo: str = ALGO
    max_seconds: float | None = None

    @property
    def title(self) -> str:
        return f"{self.env_id}, {self.setting}, seed {self.seed}"


class TimedCurve(LearningCurve):
    """
    Notes beside each measure how long the training has taken until then, without measures: seconds, and those of a core.

    :param examination: The examination
    :param distance: Steps from one to the next
    :param max_seconds: When to stop
    """

    def __init__(self, examination: Examination, distance: float, max_seconds: float | None = None):
        super().__init__(examination, distance)
        self.max_seconds = max_seconds

    def _on_step(self) -> bool:
        return self.max_seconds is None or float((self._now() - self._start)[0]) < self.max_seconds

    def _on_training_start(self) -> None:
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self._start = self._now()

    def _measure(self) -> None:
        before = self._now()
        wall, cpu = (before - self._start).tolist()
        self.seconds.append(round(wall, 1))
        self.cpu_seconds.append(round(cpu, 1))
        super()._measure()
        self._start += self._now() - before

    @staticmethod
    def _now() -> FloatArray:
        return np.array([time.perf_counter(), time.process_time()])


def make_model(run: Run) -> tuple[BaseAlgorithm, list[BaseCallback]]:
    """:return: The learner that rl-zoo3 makes of the run's hyperparameters, and what watches it"""
    entry = copy.deepcopy({**run.entry, "replay_buffer_kwargs": run.replay_buffer_kwargs, "n_timesteps": run.n_timesteps})
    # What the zoo says of each run is said once, by its title
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        file = Path(folder) / "entry.yml"
        file.write_text(yaml.safe_dump({run.env_id: entry}))
        where = {"eval_freq": -1, "verbose": 0, "config": str(file)}
        manager = MimicZooManager(argparse.Namespace(num_threads=-1), run.algo, run.env_id, folder, seed=run.seed, **where)
        made = manager.setup_experiment()
    assert made is not None
    return made[0], get_callback_list({"callback": run.entry.get("callback")})


def train(run: Run) -> Record:
    """
    :param run: What to train
    :return: The run, its learning curve, how long it took and on what
    """
    th.set_num_threads(1)
    model, callbacks = make_model(run)
    examination = Examination(run.env_id, run.n_episodes, N_ENVS)
    curve = TimedCurve(examination, run.distance, run.max_seconds)
    try:
        model.learn(run.n_timesteps, callback=[*callbacks, curve])
    finally:
        examination.close()
        assert model.env is not None
        model.env.close()
    measured = {name: getattr(curve, name) for name in ("steps", "success", "seconds", "cpu_seconds")}
    return {**asdict(run), **measured, "machine": machine()}


def grouped(records: Iterable[Record]) -> dict[str, list[Record]]:
    """:return: Trainings of each setting"""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record["setting"], []).append(record)
    return groups


def stacked(group: Sequence[Record], name: str) -> FloatArray:
    """:return: What was measured in each training, shape (n_seeds, n_measures)"""
    return np.array([record[name] for record in group])


def first_at(group: Sequence[Record], level: float) -> tuple[int, float] | None:
    """:return: The steps and the mean seconds after which the mean success was first measured at a level, or None"""
    places = np.flatnonzero(stacked(group, "success").mean(axis=0) >= level)
    if not len(places):
        return None
    return group[0]["steps"][places[0]], float(stacked(group, "seconds")[:, places[0]].mean())


def reached(group: Sequence[Record], level: float) -> str:
    """:return: :func:`first_at`, in words"""
    first = first_at(group, level)
    return "-" if first is None else f"{first[0]:,} steps, {first[1]:,.0f} s"


def how_measured(records: Sequence[Record]) -> str:
    """:return: What a table's figures are: with which seeds, and on what machine"""
    first = records[0]
    seconds, cpu_seconds = (sum(record[name][-1] for record in records) for name in ("seconds", "cpu_seconds"))
    machines = "; ".join(dict.fromkeys(record["machine"] for record in records))
    return (
        "Mean [95 % bootstrap interval] over the seeds, and the steps and the time after which the mean was first measured"
        f" there. Each measure, every {first['distance']:,} steps, is taken on the same {first['n_episodes']} goals, seeds"
        f" from {FIRST_SEED:,}, with deterministic actions; its time is not counted. A training took"
        f" {seconds / len(records):,.0f} s, {cpu_seconds / len(records):,.0f} of them on its core. Trained on {machines}."
    )


def run_of(args: argparse.Namespace, env_id: str, setting: str, entry: dict[str, Any], seed: int, **options: Any) -> Run:
    """:return: The training by an entry, as long and as often measured as a command's arguments say"""
    steps, buffer = args.steps or int(entry["n_timesteps"]), entry["replay_buffer_kwargs"]
    return Run(env_id, setting, buffer, shared_of(entry), seed, steps, args.episodes, args.distance, **options)


def shared_of(entry: dict[str, Any]) -> dict[str, Any]:
    """:return: All of an entry but how long is trained and what is compared"""
    return {key: value for key, value in entry.items() if key not in ("n_timesteps", "replay_buffer_kwargs")}


def found_of(names: Sequence[str], run: Callable[[str, int], Run], records: Sequence[Record]) -> list[Record]:
    """:return: The records of what would be trained in the same way today, in the order of the names and of the seeds"""
    same = [record for record in records if record == record | asdict(run(record["setting"], record["seed"]))]
    return sorted(same, key=lambda record: (names.index(record["setting"]), record["seed"]))


def trained(
    args: argparse.Namespace, names: Sequence[str], run: Callable[[str, int], Run], how: Callable[[Run], Record]
) -> list[Record]:
    """:return: :func:`found_of`, after training what a command asks for, all with one seed before the next"""
    study([run(name, seed) for seed in args.seeds for name in args.only], args.results, args.workers, how, args.ray)
    return found_of(names, run, read(args.results))


def parser_of(program: str, description: str | None, results: Path, docs: Path) -> argparse.ArgumentParser:
    """:return: A parser of what can be said about trainings: how long, how often they are measured, and where it is written"""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--steps", type=int, help="of each training (default: the study's, or the entry's)")
    parser.add_argument("--distance", type=int, default=DISTANCE, help="steps between measures (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=N_EPISODES, help=f"of each measure (default: {N_EPISODES})")
    parser.add_argument("--results", type=Path, default=results, help="where the results lie, and those to come")
    parser.add_argument("--docs", type=Path, default=docs, help="where the page lies, and images/ for a figure")
    return parser


def study_parser(
    program: str, description: str | None, known: Sequence[str], results: Path, docs: Path
) -> argparse.ArgumentParser:
    """:return: :func:`parser_of`, and which of what is known is trained, with which seeds, in how many processes"""
    parser = parser_of(program, description, results, docs)
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), metavar="NAME", help=", ".join(known))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="default: 0 1 2")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each (default: 1)")
    add_ray(parser)
    return parser
