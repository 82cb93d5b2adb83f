"""Trains with one way of hindsight beside another on MimicPushState-v0, and draws how fast each of them learns."""

import argparse
import contextlib
import copy
import io
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
import yaml
from matplotlib.figure import Figure
from stable_baselines3.common.base_class import BaseAlgorithm

import sb3_mimic  # noqa: F401  # registers the environments
from benchmarks.study import (
    DOCS,
    FIRST_SEED,
    REPOSITORY,
    Curves,
    Examination,
    FloatArray,
    LearningCurve,
    Record,
    band,
    draw_curves,
    machine,
    read,
    study,
)
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.her import GoalSelectionStrategy
from sb3_mimic.runs.shipped import hyperparams_file
from sb3_mimic.zoo.manager import MimicZooManager

ENV_ID, ALGO = "MimicPushState-v0", "sac"
RESULTS = REPOSITORY / "benchmarks" / "her.jsonl"
SEEDS, N_EPISODES, DISTANCE = (0, 1, 2), 100, 5000
# A world takes 28 MB: so many goals are asked for at once
N_ENVS = 10
LEVELS = (0.5, 0.9)

STRATEGIES = tuple(strategy.value for strategy in GoalSelectionStrategy)
N_SAMPLED_GOAL = (1, 4, 8)
ALREADY_ACHIEVED = ("keep", "redraw", 0.1, 0.3)
# Where the strategy is not what is compared
PLAIN = ("future", 4)
# These can be told apart by colour-blind people
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")

Setting = dict[str, Any]


def base_entry() -> dict[str, Any]:
    """:return: The hyperparameters that all settings share: those of our own entry, without its callbacks"""
    entry = yaml.safe_load(hyperparams_file(ALGO).read_text())[ENV_ID]
    return {key: value for key, value in entry.items() if key != "callback"}


def settings(entry: dict[str, Any]) -> dict[str, Setting]:
    """
    :param entry: Hyperparameters that all share
    :return: What is compared, by its name: arguments of the replay buffer
    """
    common = entry.get("replay_buffer_kwargs", {})
    found: dict[str, Setting] = {}
    for strategy in STRATEGIES:
        for k in N_SAMPLED_GOAL:
            found[f"{strategy}-{k}"] = {**common, "goal_selection_strategy": strategy, "n_sampled_goal": k}
    plain = "-".join(map(str, PLAIN))
    for already in ALREADY_ACHIEVED:
        setting = {**found[plain], "already_achieved": already}
        if setting != found[plain]:
            found[f"{plain}-{already}"] = setting
    return found


@dataclass(frozen=True)
class Run:
    """
    One training.

    :param setting: Name of what is compared
    :param replay_buffer_kwargs: What that stands for
    :param entry: All other hyperparameters
    :param seed: Seed of the training
    :param n_timesteps: Steps of the training
    :param n_episodes: Goals asked for at each point of the learning curve
    :param distance: Steps from one of these points to the next
    """

    setting: str
    replay_buffer_kwargs: Setting
    entry: dict[str, Any]
    seed: int
    n_timesteps: int
    n_episodes: int = N_EPISODES
    distance: int = DISTANCE

    @property
    def title(self) -> str:
        return f"{self.setting}, seed {self.seed}"


class TimedCurve(LearningCurve):
    """Notes beside each measure how long the training has taken until then, without measures: seconds, and those of a core."""

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


def make_model(run: Run) -> BaseAlgorithm:
    """:return: The learner that rl-zoo3 makes of the run's hyperparameters"""
    entry = copy.deepcopy({**run.entry, "replay_buffer_kwargs": run.replay_buffer_kwargs, "n_timesteps": run.n_timesteps})
    # What the zoo says of each run is said once, by its title
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        file = Path(folder) / "entry.yml"
        file.write_text(yaml.safe_dump({ENV_ID: entry}))
        where = {"eval_freq": -1, "verbose": 0, "config": str(file)}
        manager = MimicZooManager(argparse.Namespace(num_threads=-1), ALGO, ENV_ID, folder, seed=run.seed, **where)
        made = manager.setup_experiment()
    assert made is not None
    return made[0]


def train(run: Run) -> Record:
    """
    :param run: What to train
    :return: The run, its learning curve, how long it took and on what
    """
    th.set_num_threads(1)
    model = make_model(run)
    examination = Examination(ENV_ID, run.n_episodes, N_ENVS)
    curve = TimedCurve(examination, run.distance)
    try:
        model.learn(run.n_timesteps, callback=curve)
    finally:
        examination.close()
        assert model.env is not None
        model.env.close()
    measured = {name: getattr(curve, name) for name in ("steps", "success", "seconds", "cpu_seconds")}
    return {**asdict(run), **measured, "machine": machine()}


def curves(records: Iterable[Record]) -> Curves:
    """:return: By setting, the steps of the measures, and the success there, shape (n_seeds, n_measures)"""
    return {name: (group[0]["steps"], _stacked(group, "success")) for name, group in grouped(records).items()}


def grouped(records: Iterable[Record]) -> dict[str, list[Record]]:
    """:return: Trainings of each setting"""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record["setting"], []).append(record)
    return groups


def _stacked(group: Sequence[Record], name: str) -> FloatArray:
    return np.array([record[name] for record in group])


def table(records: Sequence[Record]) -> str:
    """:return: Markdown: for each setting the success at the end with its interval, and steps and seconds to each level"""
    first = records[0]
    heads = "".join(f" to {level} |" for level in LEVELS)
    lines = [
        f"| strategy | k | `already_achieved` | seeds | success after {first['n_timesteps']:,} steps |{heads}",
        "|---|---|---|---|---|" + "---|" * len(LEVELS),
    ]
    for group in grouped(records).values():
        setting = group[0]["replay_buffer_kwargs"]
        mean, low, high = band(_stacked(group, "success"))
        shown = [setting[name] for name in ("goal_selection_strategy", "n_sampled_goal")]
        shown += [setting.get("already_achieved", "keep"), len(group), f"{mean[-1]:.2f} [{low[-1]:.2f}, {high[-1]:.2f}]"]
        shown += [_reached(group, mean, level) for level in LEVELS]
        lines.append("| " + " | ".join(map(str, shown)) + " |")
    seconds, cpu_seconds = (sum(record[name][-1] for record in records) for name in ("seconds", "cpu_seconds"))
    machines = "; ".join(dict.fromkeys(record["machine"] for record in records))
    return "\n".join(
        [
            *lines,
            "",
            "Mean [95 % bootstrap interval] over the seeds, and the steps and the time after which the mean was first measured"
            f" there. Each measure, every {first['distance']:,} steps, is taken on the same {first['n_episodes']} goals, seeds"
            f" from {FIRST_SEED:,}, with deterministic actions; its time is not counted. A training took"
            f" {seconds / len(records):,.0f} s, {cpu_seconds / len(records):,.0f} of them on its core. Trained on {machines}.",
        ]
    )


def _reached(group: Sequence[Record], mean: FloatArray, level: float) -> str:
    places = np.flatnonzero(mean >= level)
    if not len(places):
        return "-"
    return f"{group[0]['steps'][places[0]]:,} steps, {_stacked(group, 'seconds')[:, places[0]].mean():,.0f} s"


def panels(records: Sequence[Record]) -> dict[str, Curves]:
    """:return: By the title of a panel, its curves: for each k of the strategies, and of what had been achieved already"""
    last = f"{PLAIN[0]}, k = {PLAIN[1]}, already_achieved"
    found: dict[str, Curves] = {**{f"k = {k}": {} for k in N_SAMPLED_GOAL}, last: {}}
    groups = grouped(records)
    for name, curve in curves(records).items():
        setting = groups[name][0]["replay_buffer_kwargs"]
        strategy, k = setting["goal_selection_strategy"], setting["n_sampled_goal"]
        if name == f"{strategy}-{k}":
            found[f"k = {k}"][strategy] = curve
        if (strategy, k) == PLAIN:
            found[last][str(setting.get("already_achieved", "keep"))] = curve
    return {title: group for title, group in found.items() if group}


def draw(records: Sequence[Record], picture: Path) -> None:
    """
    :param records: What to draw
    :param picture: The file to write
    """
    colours = dict(zip(STRATEGIES, COLOURS, strict=True)) | dict(zip(map(str, ALREADY_ACHIEVED), COLOURS, strict=False))
    styles = {name: (colour, "-") for name, colour in colours.items()}
    drawn = panels(records)
    n_rows = -(-len(drawn) // 2)
    figure = Figure(figsize=(13, 4.6 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, 2, squeeze=False).ravel()
    for ax in axes[len(drawn) :]:
        ax.set_axis_off()
    for ax, (title, group) in zip(axes, drawn.items(), strict=False):
        draw_curves(ax, group, styles)
        ax.set_title(title)
    figure.savefig(picture, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, then draw all that is there."""
    entry = base_entry()
    known = settings(entry)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.her", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), metavar="NAME", help=", ".join(known))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="default: 0 1 2")
    parser.add_argument("--steps", type=int, default=int(entry["n_timesteps"]), help="of each training (default: the entry's)")
    parser.add_argument("--distance", type=int, default=DISTANCE, help=f"steps between measures (default: {DISTANCE})")
    parser.add_argument("--episodes", type=int, default=N_EPISODES, help=f"of each measure (default: {N_EPISODES})")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each (default: 1)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results lie, and those to come")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where her.md lies, and images/ for the figure")
    args = parser.parse_args(arguments)
    shared = {key: value for key, value in entry.items() if key not in ("n_timesteps", "replay_buffer_kwargs")}

    def run(name: str, seed: int) -> Run:
        return Run(name, known[name], shared, seed, args.steps, args.episodes, args.distance)

    # All settings with one seed before the next
    study([run(name, seed) for seed in args.seeds for name in args.only], args.results, args.workers, train)
    records = [record for record in read(args.results) if record == record | asdict(run(record["setting"], record["seed"]))]
    records.sort(key=lambda record: (list(known).index(record["setting"]), record["seed"]))
    draw(records, args.docs / "images" / "her.png")
    text = f"![Learning curves of all that is compared](images/her.png)\n\n{table(records)}"
    print(text)
    write_between_marks(args.docs / "her.md", "her", text)


if __name__ == "__main__":
    main()
