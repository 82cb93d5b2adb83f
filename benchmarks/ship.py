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

import numpy as np
import yaml
from stable_baselines3.common.save_util import load_from_zip_file, recursive_getattr

from sb3_mimic.agents.evaluation import evaluate
from sb3_mimic.agents.loading import NO_MEMORY, find_agent, find_agents, load_agent
from sb3_mimic.envs.registration import ENV_IDS
from sb3_mimic.hub.card import REPLAY, card_of
from sb3_mimic.runs.arguments import read_arguments, read_hyperparameters

REPOSITORY = Path(__file__).parent.parent
SHIPPED = REPOSITORY / "rl-trained-agents"
PICTURES = REPOSITORY / "docs" / "images"
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
    Copy what ``enjoy`` needs: without the states of the optimisers, two thirds of what a run saves, and without the last
    pictures that the training environments showed.

    :param run: The run's folder
    :param env_id: What it was trained on
    :return: The shipped agent's folder
    """
    algo = run.parent.name
    target = SHIPPED / algo / f"{env_id}_1"
    shutil.rmtree(target, ignore_errors=True)
    (target / env_id).mkdir(parents=True)
    shutil.copy(run / env_id / "config.yml", target / env_id / "config.yml")
    # Where the runs lay is nobody's business
    arguments = read_arguments(run, env_id) | {"log_folder": "logs"}
    if arguments["trained_agent"]:
        arguments["trained_agent"] = f"first_gait/{env_id}.zip"
    (target / env_id / "args.yml").write_text(yaml.dump(OrderedDict(arguments)))
    agent = load_agent(env_id, algo, str(run.parent.parent))
    if agent.has_translator:
        # Which leaves out its optimiser's state
        agent.translator.set_weights(agent.translator.weights(), agent.translator.renderer)
    for name in agent.model._get_torch_save_params()[0]:
        if name.endswith("optimizer"):
            recursive_getattr(agent.model, name).state.clear()
    data, *_ = load_from_zip_file(run / f"{env_id}.zip", load_data=True, device="cpu")
    assert data is not None
    # What an agent that only acts does without, and who trains on needs
    for name in NO_MEMORY.keys() & data.keys():
        setattr(agent.model, name, data[name])
    agent.model._last_obs = agent.model._last_original_obs = None  # type: ignore[attr-defined]
    agent.model.save(target / f"{env_id}.zip")
    assert agent.normalization is not None
    agent.normalization.old_obs = np.array([])
    agent.normalization.save(str(target / env_id / "vecnormalize.pkl"))
    return target


def write_card(run: Path, env_id: str) -> None:
    """Write the card of a shipped agent, from the measures that lie beside it, and put its picture beside both."""
    for picture in (f"{env_id}-imitate.gif", f"{env_id}.gif"):
        if (PICTURES / picture).is_file():
            shutil.copy(PICTURES / picture, run / REPLAY)
    measures = json.loads((run / "measures.json").read_text())
    has_replay, hyperparameters = (run / REPLAY).is_file(), read_hyperparameters(run, env_id, packages=None)
    card = card_of(env_id, read_arguments(run, env_id), measures, has_replay, hyperparameters=hyperparameters)
    (run / "README.md").write_text(card)
    print(f"Wrote {run / 'README.md'}")


def main() -> None:
    """Ship the latest run of an environment, or write the cards of all shipped agents."""
    parser = argparse.ArgumentParser(description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--env", choices=ENV_IDS, metavar="ID", help="whose latest run to ship")
    which.add_argument("--cards", action="store_true", help="only write all shipped agents' cards anew; measures nothing")
    parser.add_argument("--algo", help="of that run (default: ppo, or the one that there is a run of)")
    parser.add_argument("-f", "--folder", default="logs", help="where the runs lie (default: logs)")
    parser.add_argument("--again", action="store_true", help="measure the shipped agent again instead")
    parser.add_argument(
        "--measures", type=Path, help="what sb3-mimic evaluate has written of this agent, not to measure twice"
    )
    parser.add_argument("--episodes", type=int, default=200)
    args = parser.parse_args()
    if args.cards:
        for env_id in find_agents():
            write_card(find_agent(env_id), env_id)
        return
    folder = str(SHIPPED) if args.again else args.folder
    run = find_agent(args.env, args.algo, folder)
    agent = load_agent(args.env, args.algo, folder)
    measures = json.loads(args.measures.read_text()) if args.measures else evaluate(agent, args.env, args.episodes)
    if measures["env"] != args.env:
        parser.error(f"{args.measures} holds the measures of {measures['env']}, not of {args.env}")
    measures["n_timesteps"] = agent.model.num_timesteps
    if args.again:
        # How it was trained has not changed
        before = json.loads((run / "measures.json").read_text())
        measures |= {name: before[name] for name in ("training_seconds", "machine", "without_optimizers") if name in before}
    else:
        measures |= {"training_seconds": training_seconds(run), "machine": machine(), "without_optimizers": True}
        run = copy_run(run, args.env)
    measures["packages"] = {name: version(name) for name in PACKAGES}
    (run / "measures.json").write_text(json.dumps(measures, indent=2) + "\n")
    write_card(run, args.env)


if __name__ == "__main__":
    main()
