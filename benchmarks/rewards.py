"""Trains with one mixture of reward terms beside another, and draws how fast each of them learns."""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
import yaml
from matplotlib.figure import Figure
from rl_zoo3.utils import get_class_by_name, linear_schedule
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

import sb3_mimic  # noqa: F401  # registers the environments
from sb3_mimic.agents.statistics import bootstrap_interval
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.envs.registration import MAX_EPISODE_STEPS
from sb3_mimic.runs.shipped import hyperparams_file

FloatArray = npt.NDArray[np.floating]
# One line of the results: a run and what came out of it
Record = dict[str, Any]
Curves = dict[str, dict[str, tuple[list[int], FloatArray]]]

REPOSITORY = Path(__file__).parent.parent
RESULTS, DOCS = REPOSITORY / "benchmarks" / "rewards.jsonl", REPOSITORY / "docs"
PACKAGES = ("torch", "stable_baselines3", "pybullet", "gymnasium", "numpy")
# Steps of training: long enough for the best to be nearly done, short enough for the others to differ from them
BUDGETS = {"MimicReacherPlane": 40_960, "MimicReacher3D": 40_960}
# In so short a training, more and smaller updates get further
N_STEPS, BATCH_SIZE = 128, 256
N_SEEDS = 5
# Poses of the learning curves: neither among the seeds of training nor among those of the final measures
FIRST_SEED, N_POSES = 500_000, 32
# During a training, beside the one before it
N_MEASURES = 6
SOLVED = 0.9
# Of names in the figure, as part of its height
LABEL_DISTANCE = 0.045


class Mixture(NamedTuple):
    """
    A reward to compare.

    :param weights: Weight of each term
    :param colour: The colour of what it compares; these can be told apart by colour-blind people
    :param line: Whole for progress, broken for what is paid at every step
    """

    weights: dict[str, float]
    colour: str
    line: str = "-"


# VecNormalize makes the scale of the whole reward of little account; that of its parts against each other counts. From start
# to target the joint distance falls by 2 to 3 rad, the pixel error by 0.02 to 0.03: with 100 their progress weighs the same.
MIXTURES = {
    "joint progress, small costs": Mixture(
        {"joint_progress": 1.0, "electricity": -0.0005, "stall_torque": -0.0005}, colour="#0072B2"
    ),
    "key-point progress": Mixture({"keypoint_progress": 1.0}, colour="#D55E00"),
    "joint distance": Mixture({"joint_distance": -1.0}, colour="#0072B2", line="--"),
    "sparse": Mixture({"sparse": 1.0}, colour="#000000", line="--"),
    "pixel progress": Mixture({"pixel_progress": 100.0}, colour="#009E73"),
    "joint and pixel progress": Mixture({"joint_progress": 1.0, "pixel_progress": 100.0}, colour="#CC79A7"),
}


@dataclass(frozen=True)
class Run:
    """
    One training.

    :param body: Name of the robot, without mode and version
    :param mixture: Name of the mixture of reward terms
    :param weights: Weight of each term
    :param seed: Seed of the training
    :param n_timesteps: Steps of the training
    :param n_poses: Poses asked for at each point of the learning curve
    """

    body: str
    mixture: str
    weights: dict[str, float]
    seed: int
    n_timesteps: int
    n_poses: int

    @property
    def env_id(self) -> str:
        """The body's id without pictures: a reward that compares pictures draws its own"""
        return f"{self.body}State-v0"


class Examination:
    """
    Asks for the same poses again and again.

    :param env_id: The environment; its reward does not matter
    :param n_poses: Number of poses
    """

    def __init__(self, env_id: str, n_poses: int):
        self.envs = [gym.make(env_id) for _ in range(n_poses)]

    def success(self, model: PPO) -> float:
        """
        :param model: Acts deterministically, with VecNormalize's statistics of its training
        :return: Fraction of the poses that have every key point within 5 cm of its target at the episode's last step
        """
        normalization = model.get_vec_normalize_env()
        assert normalization is not None
        observations = [env.reset(seed=FIRST_SEED + i)[0] for i, env in enumerate(self.envs)]
        for _ in range(MAX_EPISODE_STEPS):
            batch: Any = {key: np.stack([observation[key] for observation in observations]) for key in observations[0]}
            actions, _ = model.predict(normalization.normalize_obs(batch), deterministic=True)
            steps = [env.step(action) for env, action in zip(self.envs, actions, strict=True)]
            observations = [step[0] for step in steps]
        return float(np.mean([step[-1]["is_success"] for step in steps]))

    def close(self) -> None:
        for env in self.envs:
            env.close()


class LearningCurve(BaseCallback):
    """
    Examines the model before training, at even distances during it, and after it.

    :param examination: The examination
    :param distance: Steps from one to the next; at least a rollout passes between them
    """

    def __init__(self, examination: Examination, distance: float):
        super().__init__()
        self.examination, self.distance = examination, distance
        self.steps: list[int] = []
        self.success: list[float] = []

    def _measure(self) -> None:
        self.steps.append(self.num_timesteps)
        self.success.append(self.examination.success(self.model))  # type: ignore[arg-type]

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= len(self.steps) * self.distance:
            self._measure()

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._measure()


def make_model(run: Run) -> PPO:
    """:return: A learner with the hyperparameters that rl-zoo3 would take for this environment, but smaller updates"""
    hyperparameters = yaml.safe_load(hyperparams_file("ppo").read_text())[run.env_id]
    # The plain policy: what is compared is how fast a reward leads near the goal, not to how many millimetres
    hyperparameters.pop("policy_kwargs", None)
    for name in ("n_timesteps", "callback"):
        del hyperparameters[name]
    n_envs = hyperparameters.pop("n_envs")
    # No rollout is longer than the whole training
    hyperparameters |= {"n_steps": min(N_STEPS, run.n_timesteps // n_envs), "batch_size": BATCH_SIZE}
    hyperparameters["learning_rate"] = linear_schedule(hyperparameters["learning_rate"].removeprefix("lin_"))
    policy, normalize = get_class_by_name(hyperparameters.pop("policy")), hyperparameters.pop("normalize")
    venv = make_vec_env(run.env_id, n_envs, seed=run.seed, env_kwargs={"reward_weights": run.weights})
    venv = VecNormalize(venv, gamma=hyperparameters["gamma"], **normalize)
    return PPO(policy, venv, seed=run.seed, device="cpu", **hyperparameters)


def train(run: Run) -> Record:
    """
    :param run: What to train
    :return: The run, its learning curve, how long it took and on what
    """
    th.set_num_threads(1)
    start = time.perf_counter()
    model = make_model(run)
    examination = Examination(run.env_id, run.n_poses)
    curve = LearningCurve(examination, run.n_timesteps / N_MEASURES)
    try:
        model.learn(run.n_timesteps, callback=curve)
    finally:
        examination.close()
        assert model.env is not None
        model.env.close()
    seconds = round(time.perf_counter() - start, 1)
    return {**asdict(run), "steps": curve.steps, "success": curve.success, "seconds": seconds, "machine": machine()}


def machine() -> str:
    """:return: The machine and the versions of what learns"""
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), Python {platform.python_version()}, {versions}"


def read(results: Path) -> list[Record]:
    """:return: What has been trained so far"""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def find(run: Run, records: Sequence[Record]) -> Record | None:
    """:return: What came out of a run, or None where it has not been trained"""
    return next((record for record in records if asdict(run).items() <= record.items()), None)


def study(runs: Sequence[Run], results: Path, n_jobs: int) -> list[Record]:
    """
    Train what has not been trained yet, and write the result of each as soon as it is there.

    :param runs: What to train
    :param results: A file of one JSON object per line; what it holds is not trained again
    :param n_jobs: Processes
    :return: The results in the order of the runs
    """
    records = read(results)
    missing = [run for run in runs if find(run, records) is None]
    print(f"{len(runs) - len(missing)} of {len(runs)} runs are in {results}", flush=True)
    for record in _train_all(missing, n_jobs):
        with results.open("a") as stream:
            stream.write(json.dumps(record) + "\n")
        records.append(record)
        final = record["success"][-1]
        print(f"{record['body']}, {record['mixture']}, seed {record['seed']}: {final:.2f}, {record['seconds']} s", flush=True)
    return [record for run in runs if (record := find(run, records)) is not None]


def _train_all(runs: Sequence[Run], n_jobs: int) -> Iterator[Record]:
    if n_jobs == 1:
        yield from map(train, runs)
        return
    # Spawned, since a fork would inherit torch's threads
    with ProcessPoolExecutor(n_jobs, get_context("spawn")) as executor:
        for future in as_completed([executor.submit(train, run) for run in runs]):
            yield future.result()


def interquartile_mean(values: FloatArray, axis: int = -1) -> FloatArray:
    """:return: Mean along an axis without the lowest and the highest quarter: of five values, of the middle three"""
    n = values.shape[axis]
    return np.sort(values, axis).take(range(n // 4, n - n // 4), axis).mean(axis)  # type: ignore[no-any-return]


def band(success: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """
    :param success: Shape (n_seeds, n_measures)
    :return: Interquartile mean over the seeds, and the bounds of its 95 % bootstrap interval, shape (n_measures,) each. The
        seeds are drawn again within each body and mixture.
    """
    intervals = np.array([bootstrap_interval(column, interquartile_mean) for column in success.T])
    return interquartile_mean(success, 0), intervals[:, 0], intervals[:, 1]


def curves(records: Iterable[Record]) -> Curves:
    """:return: By body and mixture, the steps of the measures, and the success there, shape (n_seeds, n_measures)"""
    grouped: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        grouped.setdefault(record["body"], {}).setdefault(record["mixture"], []).append(record)
    return {
        body: {name: (group[0]["steps"], np.array([record["success"] for record in group])) for name, group in by_name.items()}
        for body, by_name in grouped.items()
    }


def table(records: Sequence[Record]) -> str:
    """:return: Markdown: for each mixture and body the success at the end with its interval, and the steps to 0.9"""
    by_body = curves(records)
    budgets = {record["body"]: record["n_timesteps"] for record in records}
    weights = {record["mixture"]: record["weights"] for record in records}
    heads = [f" `{body}`, {budgets[body]:,} steps | steps to {SOLVED} |" for body in by_body]
    lines = ["| mixture | weights |" + "".join(heads), "|---|---|" + "---|---|" * len(by_body)]
    for name, terms in weights.items():
        described = ", ".join(f"`{term}: {weight:g}`" for term, weight in terms.items())
        cells = [_cells(*by_name[name]) if name in by_name else " - | - |" for by_name in by_body.values()]
        lines.append(f"| {name} | {described} |" + "".join(cells))
    seeds = sorted({record["seed"] for record in records})
    machines = "; ".join(dict.fromkeys(record["machine"] for record in records))
    return "\n".join(
        [
            *lines,
            "",
            "Success at the end, and the steps after which it was first measured at"
            f" {SOLVED} or more: interquartile mean [95 % bootstrap interval] over {len(seeds)} trainings, seeds {seeds[0]} to"
            f" {seeds[-1]}; each measure on the same {records[0]['n_poses']} poses, seeds from {FIRST_SEED:,}, with"
            f" deterministic actions. Trained on {machines}.",
        ]
    )


def _cells(steps: Sequence[int], success: FloatArray) -> str:
    mean, low, high = band(success)
    reached = next((f"{step:,}" for step, value in zip(steps, mean, strict=True) if value >= SOLVED), "-")
    return f" {mean[-1]:.2f} [{low[-1]:.2f}, {high[-1]:.2f}] | {reached} |"


def draw(records: Sequence[Record], picture: Path) -> None:
    """
    :param records: What to draw: a panel for each body, a line for each mixture, its name at the line's end
    :param picture: The file to write
    """
    by_body = curves(records)
    figure = Figure(figsize=(6.5 * len(by_body), 5.2), layout="constrained")
    axes = figure.subplots(1, len(by_body), squeeze=False)
    for ax, (body, by_name) in zip(axes[0], by_body.items(), strict=True):
        ends = {}
        for name, (steps, success) in by_name.items():
            mean, low, high = band(success)
            _, colour, line = MIXTURES[name]
            ax.plot(steps, mean, line, color=colour, linewidth=1.8, zorder=3)
            ax.fill_between(steps, low, high, color=colour, alpha=0.12, linewidth=0)
            ends[name] = float(mean[-1])
        _label(ax, max(steps), ends)
        ax.set(title=body, xlabel="steps of training", xlim=(0, max(steps)), ylim=(0, 1.01), ylabel="success (5 cm)")
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    figure.savefig(picture, dpi=110)


def _label(ax: Any, x: float, ends: dict[str, float]) -> None:
    """Write each line's name beside its end, and a thin line from one to the other."""
    names = sorted(ends, key=lambda name: ends[name])
    for name, y in zip(names, spread([ends[name] for name in names], LABEL_DISTANCE), strict=True):
        _, colour, line = MIXTURES[name]
        # In parts of the panel's width to the right of its edge: the sample of the line, then the name
        beside = ax.get_yaxis_transform()
        ax.plot([1, 1.05], [ends[name], y], color=colour, linewidth=0.6, transform=beside, clip_on=False)
        ax.plot([1.05, 1.13], [y, y], line, color=colour, linewidth=1.8, transform=beside, clip_on=False)
        ax.text(1.15, y, name, transform=beside, va="center", fontsize=9)


def spread(heights: Sequence[float], distance: float) -> list[float]:
    """
    :param heights: Ascending, up to 1
    :param distance: The least from one to the next
    :return: Heights near those, so far from each other, and none above 1
    """
    spaced: list[float] = []
    for height in heights:
        spaced.append(max(height, spaced[-1] + distance) if spaced else height)
    ceiling = 1.0
    for i in reversed(range(len(spaced))):
        spaced[i] = min(spaced[i], ceiling)
        ceiling = spaced[i] - distance
    return spaced


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, then draw all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rewards", description=__doc__)
    parser.add_argument("--bodies", nargs="+", choices=BUDGETS, default=list(BUDGETS), metavar="BODY")
    parser.add_argument("--mixtures", nargs="+", choices=MIXTURES, default=list(MIXTURES), metavar="MIXTURE")
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help=f"trainings of each kind (default: {N_SEEDS})")
    parser.add_argument("--steps", type=int, help="steps of each training (default: depends on the body)")
    parser.add_argument("--poses", type=int, default=N_POSES, help=f"poses of each measure (default: {N_POSES})")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results lie, and those to come")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where rewards.md lies, and images/ for the figure")
    args = parser.parse_args(arguments)
    runs = [
        Run(body, mixture, MIXTURES[mixture].weights, seed, args.steps or BUDGETS[body], args.poses)
        for mixture in args.mixtures
        for body in args.bodies
        for seed in range(args.seeds)
    ]
    records = study(runs, args.results, args.jobs)
    draw(records, args.docs / "images" / "rewards.png")
    text = table(records)
    print(text)
    write_between_marks(args.docs / "rewards.md", "rewards", text)


if __name__ == "__main__":
    main()
