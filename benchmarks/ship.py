"""Turns a finished run into a shipped agent: its files, its measures and its card."""

import argparse
import csv
import json
import os
import platform
import shutil
from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sb3_mimic.agents import find_agent, load_agent
from sb3_mimic.envs.registration import ENV_IDS
from sb3_mimic.evaluation import FIRST_SEED, evaluate
from sb3_mimic.report import table_of

REPOSITORY = Path(__file__).parent.parent
SHIPPED = REPOSITORY / "rl-trained-agents" / "ppo"
PACKAGES = ("sb3_mimic", "torch", "stable_baselines3", "rl_zoo3", "pybullet", "gymnasium", "numpy")


def machine() -> str:
    """:return: This machine, in words"""
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), no GPU, Python {platform.python_version()}"


def training_seconds(run: Path) -> float:
    """:return: Wall-clock time from the first environment's creation to the end of the last episode"""
    with (run / "0.monitor.csv").open() as stream:
        next(stream)
        return max(float(row["t"]) for row in csv.DictReader(stream))


def copy_run(run: Path, env_id: str) -> Path:
    """
    Copy what ``enjoy`` needs, without the last pictures that the training environments showed.

    :param run: The run's folder
    :param env_id: What it was trained on
    :return: The shipped agent's folder
    """
    target = SHIPPED / f"{env_id}_1"
    shutil.rmtree(target, ignore_errors=True)
    (target / env_id).mkdir(parents=True)
    shutil.copy(run / env_id / "config.yml", target / env_id / "config.yml")
    # Where the runs lay is nobody's business
    arguments = read_arguments(run, env_id) | {"log_folder": "logs"}
    if arguments["trained_agent"]:
        arguments["trained_agent"] = f"first_gait/{env_id}.zip"
    (target / env_id / "args.yml").write_text(yaml.dump(OrderedDict(arguments)))
    agent = load_agent(env_id, folder=str(run.parent.parent))
    agent.model._last_obs = agent.model._last_original_obs = None  # type: ignore[attr-defined]
    agent.model.save(target / f"{env_id}.zip")
    assert agent.normalization is not None
    agent.normalization.old_obs = np.array([])
    agent.normalization.save(str(target / env_id / "vecnormalize.pkl"))
    return target


def read_arguments(run: Path, env_id: str) -> dict[str, Any]:
    """:return: What the zoo was called with. The file could run code: it is to be one's own."""
    return dict(yaml.load((run / env_id / "args.yml").read_text(), Loader=yaml.UnsafeLoader))


def card_of(measures: dict[str, Any], arguments: dict[str, Any]) -> str:
    """
    :param measures: Of the agent
    :param arguments: What the zoo was called with
    :return: The card of a shipped agent, as Markdown
    """
    env_id = measures["env"]
    first = "    python -m benchmarks.first_gait\n" if arguments["trained_agent"] else ""
    options = {"--conf-file": arguments["conf_file"], "-i": arguments["trained_agent"]}
    given = "".join(f" {option} {value}" for option, value in options.items() if value)
    pictures = " (the translator: 1000 pictures)" if "translator_joint_error_deg" in measures else ""
    packages = ", ".join(f"{name} {number}" for name, number in measures["packages"].items())
    return f"""# PPO on {env_id}

Trained for {measures["n_timesteps"]:,} steps, in {measures["training_seconds"]:.0f} s of wall-clock time, on
{measures["machine"]}, by

{first}    python -m rl_zoo3.train --algo ppo --env {env_id} --gym-packages sb3_mimic{given}

Replay it, from the top of the repository:

    python -m rl_zoo3.enjoy --algo ppo --env {env_id} --gym-packages sb3_mimic

{table_of(measures)}

Measured by `python -m benchmarks.ship --env {env_id}`: {measures["episodes"]} episodes{pictures},
deterministic actions, seeds from {FIRST_SEED:,}, which training never used. What each measure means stands in the
docstring of `sb3_mimic.evaluation.evaluate`.

Made with {packages}.
"""


def main() -> None:
    """Ship the latest run of an environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", choices=ENV_IDS, metavar="ID", required=True, help="whose latest run to ship")
    parser.add_argument("-f", "--folder", default="logs", help="where the runs lie (default: logs)")
    parser.add_argument("--again", action="store_true", help="measure the shipped agent again instead")
    parser.add_argument("--episodes", type=int, default=200)
    args = parser.parse_args()
    folder = str(SHIPPED.parent) if args.again else args.folder
    run = find_agent(args.env, folder=folder)
    agent = load_agent(args.env, folder=folder)
    measures = evaluate(agent, args.env, args.episodes)
    measures["n_timesteps"] = agent.model.num_timesteps
    if args.again:
        # How it was trained has not changed
        before = json.loads((run / "measures.json").read_text())
        measures |= {name: before[name] for name in ("training_seconds", "machine")}
    else:
        measures |= {"training_seconds": training_seconds(run), "machine": machine()}
        run = copy_run(run, args.env)
    measures["packages"] = {name: version(name) for name in PACKAGES}
    (run / "measures.json").write_text(json.dumps(measures, indent=2) + "\n")
    (run / "README.md").write_text(card_of(measures, read_arguments(run, args.env)))
    print(f"Shipped {run}")


if __name__ == "__main__":
    main()
