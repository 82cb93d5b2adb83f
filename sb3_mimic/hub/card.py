"""Writes an agent's card, in the format of the Hugging Face Hub: what it is, how it was trained and what it can do."""

import shlex
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from sb3_mimic.agents.tables import Measures, sight_table_of, table_of, titles_of
from sb3_mimic.her.demonstrations import n_demonstrated

#: An animation of the agent, where one lies beside its card
REPLAY = "replay.gif"
TAGS = ("deep-reinforcement-learning", "reinforcement-learning", "stable-baselines3", "sb3_mimic", "robotics", "pybullet")
# What the Hub calls a measure, where it has a name for it
HUB_NAMES = {"return": "mean_reward"}


def card_of(
    env_id: str,
    arguments: Mapping[str, Any],
    measures: Measures | None = None,
    has_replay: bool = False,
    repo_id: str | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
) -> str:
    """
    Writes the card of an agent.

    :param env_id: Id of the environment that the agent was trained on
    :param arguments: What the zoo was called with
    :param measures: As ``sb3_mimic.agents.evaluation.evaluate`` gives them, and what else is known of the training
    :param has_replay: Whether there is an animation beside the card
    :param repo_id: Where it lies on the Hub: ``organization/name``
    :param hyperparameters: What it was trained with
    :return: The card, as Markdown with the Hub's metadata before it
    """
    measures = measures or {}
    algo = arguments["algo"]
    name = "RecurrentPPO" if algo == "ppo_lstm" else algo.upper()
    picture = f"![The agent at work]({REPLAY})" if has_replay else ""
    sections = [
        f"# {name} on {env_id}",
        picture,
        _training(env_id, arguments, measures, n_demonstrated(hyperparameters or {})),
        _usage(env_id, arguments, measures, repo_id),
        _numbers(env_id, arguments, measures, repo_id),
    ]
    return _front_matter(name, env_id, measures) + "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(name: str, env_id: str, measures: Measures) -> str:
    results = [
        EvalResult(
            task_type="reinforcement-learning",
            task_name="reinforcement-learning",
            dataset_type=env_id,
            dataset_name=env_id,
            metric_type=HUB_NAMES.get(key, key),
            metric_name=title,
            metric_value=round(measures[key]["value"], 4),
        )
        for key, (title, _) in titles_of(measures).items()
    ]
    data = ModelCardData(
        library_name="stable-baselines3",
        tags=[env_id, *TAGS],
        model_name=name if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml(line_break=chr(10))}\n---\n"


def _training(env_id: str, arguments: Mapping[str, Any], measures: Measures, n_shown: int) -> str:
    first = "    python -m benchmarks.first_gait\n" if (arguments["trained_agent"] or "").startswith("first_gait/") else ""
    n_timesteps = max(arguments["n_timesteps"], 0)
    options = {"-n": n_timesteps, "--conf-file": arguments["conf_file"], "-i": arguments["trained_agent"]}
    given = "".join(f" {option} {value}" for option, value in options.items() if value)
    effort = ""
    if "training_seconds" in measures:
        effort = (
            f" for {measures['n_timesteps']:,} steps, in {measures['training_seconds']:.0f} s of wall-clock time, on\n"
            f"{measures['machine']},"
        )
    for name in ("env_kwargs", "eval_env_kwargs"):
        if arguments.get(name):
            pairs = " ".join(shlex.quote(f"{key}:{value!r}") for key, value in arguments[name].items())
            given += f" --{name.replace('_', '-')} {pairs}"
    packages = " ".join(_packages(arguments))
    command = f"python -m rl_zoo3.train --algo {arguments['algo']} --env {env_id} --gym-packages {packages}{given}"
    note = ""
    if n_shown:
        note = f"\n\nIts first {n_shown:,} steps were demonstrated: a script acted, with noise, for the agent to learn from."
    if measures.get("without_optimizers"):
        note += "\n\nThe states of its optimisers are left out: when training goes on from here, they begin anew."
    return f"Trained{effort} by\n\n{first}    {command}{note}"


def _packages(arguments: Mapping[str, Any]) -> list[str]:
    """Returns the packages that register the environment."""
    return list(arguments.get("gym_packages") or ["sb3_mimic"])


def _own_packages(arguments: Mapping[str, Any]) -> str:
    """Returns the ``--gym-packages`` argument for a command of ours, which knows ours and must be told of others."""
    own = [package for package in _packages(arguments) if package != "sb3_mimic"]
    return f" --gym-packages {' '.join(own)}" if own else ""


def _folder(repo_id: str | None) -> str:
    """Returns the argument that says where a fetched agent lies: in logs. Commands find a shipped one by default."""
    return " -f logs" if repo_id else ""


def _usage(env_id: str, arguments: Mapping[str, Any], measures: Measures, repo_id: str | None) -> str:
    which, folder, own = f"--algo {arguments['algo']} --env {env_id}", _folder(repo_id), _own_packages(arguments)
    lines = []
    if repo_id:
        organization, name = repo_id.split("/")
        lines += [
            "Files of an agent can run code. If you trust this one, fetch and replay it:\n",
            f"    TRUST_REMOTE_CODE=True python -m rl_zoo3.load_from_hub {which} -orga {organization} -name {name} -f logs",
        ]
    else:
        lines += ["Replay it, from the top of the repository:\n"]
    lines += [f"    python -m rl_zoo3.enjoy {which} --gym-packages {' '.join(_packages(arguments))}{folder}"]
    if any(name.startswith("translator_") for name in measures):
        lines += [
            "\nShow it a picture of a pose, and it takes that pose:\n",
            f"    sb3-mimic photograph --env {env_id}{own} -o pose.png",
            f"    sb3-mimic imitate {which}{own}{folder} --image pose.png -o out.gif",
        ]
    return "\n".join(lines)


def _numbers(env_id: str, arguments: Mapping[str, Any], measures: Measures, repo_id: str | None) -> str:
    own, folder = _own_packages(arguments), _folder(repo_id)
    command = f"sb3-mimic evaluate --algo {arguments['algo']} --env {env_id}{own}{folder}"
    if not measures:
        return f"Not measured yet: `{command}` does it."
    pictures = " (the translator on 1000 pictures)" if any(name.startswith("translator_") for name in measures) else ""
    made_with = ""
    if "packages" in measures:
        made_with = f"\n\nMade with {', '.join(f'{name} {number}' for name, number in measures['packages'].items())}."
    sight = sight_table_of(measures)
    read = f"\n\nHow it reads pictures, see `sb3_mimic.agents.sight.measure_sight`:\n\n{sight}" if sight else ""
    return f"""{table_of(measures)}{read}

Measured by `{command} --episodes {measures["episodes"]}`{pictures}:
unseen episodes, deterministic actions, seeds from {measures["first_seed"]:,}, which training never used.
What each measure means stands in the docstring of `sb3_mimic.agents.evaluation.evaluate`.{made_with}"""
