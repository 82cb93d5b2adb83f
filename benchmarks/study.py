"""What studies share: they train what their results lack, measure success during it, and draw it with its interval."""

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_mimic.agents.statistics import bootstrap_interval
from sb3_mimic.data.workers import done

FloatArray = npt.NDArray[np.floating]
# One line of the results: a run and what came out of it
Record = dict[str, Any]
# By the name of what is compared, the steps of the measures, and the success there, shape (n_seeds, n_measures)
Curves = dict[str, tuple[list[int], FloatArray]]

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
PACKAGES = ("torch", "stable_baselines3", "pybullet", "gymnasium", "numpy")
# Goals of the learning curves: neither among the seeds of training nor among those of the final measures
FIRST_SEED = 500_000
# Of names in a figure, as part of its height
LABEL_DISTANCE = 0.045


class Examination:
    """
    Asks for the same goals again and again.

    :param env_id: The environment; its reward does not matter
    :param n_episodes: Number of goals
    :param n_envs: How many of them are asked for at once; all by default
    """

    def __init__(self, env_id: str, n_episodes: int, n_envs: int | None = None):
        self.n_episodes = n_episodes
        self.envs = [gym.make(env_id) for _ in range(min(n_envs or n_episodes, n_episodes))]
        self.n_steps = gym.spec(env_id).max_episode_steps

    def success(self, model: BaseAlgorithm) -> float:
        """
        :param model: Acts deterministically, with VecNormalize's statistics of its training, where there are any
        :return: Fraction of the goals that are fulfilled at the episode's last step
        """
        seeds = range(FIRST_SEED, FIRST_SEED + self.n_episodes)
        return float(np.mean([end for i in range(0, self.n_episodes, len(self.envs)) for end in self._ends(model, seeds[i:])]))

    def _ends(self, model: BaseAlgorithm, seeds: Sequence[int]) -> list[bool]:
        normalization = model.get_vec_normalize_env()
        pairs = list(zip(self.envs, seeds, strict=False))
        observations = [env.reset(seed=seed)[0] for env, seed in pairs]
        for _ in range(self.n_steps):
            batch: Any = {key: np.stack([observation[key] for observation in observations]) for key in observations[0]}
            seen = batch if normalization is None else normalization.normalize_obs(batch)
            actions, _ = model.predict(seen, deterministic=True)
            steps = [env.step(action) for (env, _), action in zip(pairs, actions, strict=True)]
            observations = [step[0] for step in steps]
        return [step[-1]["is_success"] for step in steps]

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
        self.success.append(self.examination.success(self.model))

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= len(self.steps) * self.distance:
            self._measure()

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._measure()


def machine() -> str:
    """:return: The machine and the versions of what learns"""
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), Python {platform.python_version()}, {versions}"


def read(results: Path) -> list[Record]:
    """:return: What has been trained so far"""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def find(run: Any, records: Sequence[Record]) -> Record | None:
    """:return: What came out of a run, or None where it has not been trained"""
    return next((record for record in records if asdict(run).items() <= record.items()), None)


def study(
    runs: Sequence[Any], results: Path, n_jobs: int, train: Callable[[Any], Record], cluster: str | None = None
) -> list[Record]:
    """
    Train what has not been trained yet, and write the result of each as soon as it is there.

    :param runs: What to train: dataclasses, each with a ``title``
    :param results: A file of one JSON object per line; what it holds is not trained again
    :param n_jobs: Processes
    :param train: Trains a run and returns it with what came out of it, under ``success`` and ``seconds`` among others
    :param cluster: Address of a Ray cluster that trains instead
    :return: The results in the order of the runs
    """
    records = read(results)
    missing = [run for run in runs if find(run, records) is None]
    print(f"{len(runs) - len(missing)} of {len(runs)} runs are in {results}", flush=True)
    for run, record in done(train, missing, n_jobs, cluster):
        with results.open("a") as stream:
            stream.write(json.dumps(record) + "\n")
        records.append(record)
        took = record["seconds"]
        print(f"{run.title}: {record['success'][-1]:.2f}, {took[-1] if isinstance(took, list) else took} s", flush=True)
    return [record for run in runs if (record := find(run, records)) is not None]


def band(success: FloatArray, statistic: Any = np.mean) -> tuple[FloatArray, FloatArray, FloatArray]:
    """
    :param success: Shape (n_seeds, n_measures)
    :param statistic: Function of (..., n_seeds, ...) and an axis
    :return: The statistic over the seeds, and the bounds of its 95 % bootstrap interval, shape (n_measures,) each. The seeds
        are drawn again within each of what is compared.
    """
    intervals = np.array([bootstrap_interval(column, statistic) for column in success.T])
    return statistic(success, axis=0), intervals[:, 0], intervals[:, 1]


def draw_curves(ax: Any, curves: Curves, styles: Mapping[str, tuple[str, str]], statistic: Any = np.mean) -> None:
    """
    Draw a panel: a line with its interval for each of what is compared, its name at the line's end.

    :param ax: Matplotlib's axes
    :param curves: What to draw
    :param styles: Colour and line of each
    :param statistic: See :func:`band`
    """
    ends = {}
    for name, (steps, success) in curves.items():
        mean, low, high = band(success, statistic)
        colour, line = styles[name]
        ax.plot(steps, mean, line, color=colour, linewidth=1.8, zorder=3)
        ax.fill_between(steps, low, high, color=colour, alpha=0.12, linewidth=0)
        ends[name] = float(mean[-1])
    _label(ax, ends, styles)
    longest = max(steps[-1] for steps, _ in curves.values())
    ax.set(xlabel="steps of training", xlim=(0, longest), ylim=(0, 1.01), ylabel="success (5 cm)")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)


def _label(ax: Any, ends: dict[str, float], styles: Mapping[str, tuple[str, str]]) -> None:
    """Write each line's name beside its end, and a thin line from one to the other."""
    names = sorted(ends, key=lambda name: ends[name])
    for name, y in zip(names, spread([ends[name] for name in names], LABEL_DISTANCE), strict=True):
        colour, line = styles[name]
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
