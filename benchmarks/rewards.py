"""Trains with one mixture of reward terms beside another, and draws how fast each of them learns."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch as th
import yaml
from matplotlib.figure import Figure
from rl_zoo3.utils import get_class_by_name, linear_schedule
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

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
    study,
)
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.cli.common import add_ray
from sb3_mimic.runs.shipped import hyperparams_file

RESULTS = REPOSITORY / "benchmarks" / "rewards.jsonl"
# Steps of training: long enough for the best to be nearly done, short enough for the others to differ from them
BUDGETS = {"MimicReacherPlane": 40_960, "MimicReacher3D": 40_960}
# In so short a training, more and smaller updates get further
N_STEPS, BATCH_SIZE = 128, 256
N_SEEDS = 5
# Of the learning curves
N_POSES = 32
# During a training, beside the one before it
N_MEASURES = 6
SOLVED = 0.9


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
    def title(self) -> str:
        return f"{self.body}, {self.mixture}, seed {self.seed}"

    @property
    def env_id(self) -> str:
        """The body's id without pictures: a reward that compares pictures draws its own"""
        return f"{self.body}State-v0"


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
    start = perf_counter()
    model = make_model(run)
    examination = Examination(run.env_id, run.n_poses)
    curve = LearningCurve(examination, run.n_timesteps / N_MEASURES)
    try:
        model.learn(run.n_timesteps, callback=curve)
    finally:
        examination.close()
        assert model.env is not None
        model.env.close()
    seconds = round(perf_counter() - start, 1)
    return {**asdict(run), "steps": curve.steps, "success": curve.success, "seconds": seconds, "machine": machine()}


def interquartile_mean(values: FloatArray, axis: int = -1) -> FloatArray:
    """:return: Mean along an axis without the lowest and the highest quarter: of five values, of the middle three"""
    n = values.shape[axis]
    return np.sort(values, axis).take(range(n // 4, n - n // 4), axis).mean(axis)  # type: ignore[no-any-return]


def curves(records: Iterable[Record]) -> dict[str, Curves]:
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
    mean, low, high = band(success, interquartile_mean)
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
    styles = {name: (mixture.colour, mixture.line) for name, mixture in MIXTURES.items()}
    for ax, (body, by_name) in zip(axes[0], by_body.items(), strict=True):
        draw_curves(ax, by_name, styles, interquartile_mean)
        ax.set_title(body)
    figure.savefig(picture, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, then draw all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rewards", description=__doc__)
    parser.add_argument("--bodies", nargs="+", choices=BUDGETS, default=list(BUDGETS), metavar="BODY")
    parser.add_argument("--mixtures", nargs="+", choices=MIXTURES, default=list(MIXTURES), metavar="MIXTURE")
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help=f"trainings of each kind (default: {N_SEEDS})")
    parser.add_argument("--steps", type=int, help="steps of each training (default: depends on the body)")
    parser.add_argument("--poses", type=int, default=N_POSES, help=f"poses of each measure (default: {N_POSES})")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    add_ray(parser)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results lie, and those to come")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where rewards.md lies, and images/ for the figure")
    args = parser.parse_args(arguments)
    runs = [
        Run(body, mixture, MIXTURES[mixture].weights, seed, args.steps or BUDGETS[body], args.poses)
        for mixture in args.mixtures
        for body in args.bodies
        for seed in range(args.seeds)
    ]
    records = study(runs, args.results, args.jobs, train, args.ray)
    draw(records, args.docs / "images" / "rewards.png")
    text = table(records)
    print(text)
    write_between_marks(args.docs / "rewards.md", "rewards", text)


if __name__ == "__main__":
    main()
