"""Trains every task on the table by its own hyperparameters, without pictures, and tells how soon each is learnt."""

from collections.abc import Sequence
from typing import Any

from benchmarks.hindsight import (
    Run,
    base_entry,
    grouped,
    how_measured,
    reached,
    run_of,
    stacked,
    study_parser,
    train,
    trained,
)
from benchmarks.study import DOCS, REPOSITORY, Record, band
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.envs.tasks.manipulation import TASKS
from sb3_mimic.her.demonstrations import n_demonstrated

RESULTS = REPOSITORY / "benchmarks" / "tasks.jsonl"
LEVELS = (0.90, 0.95)
# By the name of what is trained, what it is
IDS = {task: f"Mimic{task}State-v0" for task in TASKS}
# What else may help where chance achieves nothing: in place of demonstrations, how episodes begin; measured from plain starts
HELPS = {"PickAndPlace-held": {"held_starts": 0.5}, "PickAndPlace-held-near": {"held_starts": 0.5, "near_goals": 0.5}}
NAMES = (*IDS, *HELPS)


def entry_of(name: str) -> tuple[str, dict[str, Any]]:
    """
    :param name: One of ``NAMES``
    :return: The id, and its hyperparameters
    """
    env_id = IDS[name.partition("-")[0]]
    entry = base_entry(env_id)
    return env_id, entry | {"callback": [], "env_kwargs": HELPS[name]} if name in HELPS else entry


def table(records: Sequence[Record]) -> str:
    """:return: Markdown: for each task the success at the end with its interval, and steps and seconds to each level"""
    heads = "".join(f" to {level:.2f} |" for level in LEVELS)
    lines = [f"| id | helps | seeds | success at the end |{heads}", "|---|---|---|---|" + "---|" * len(LEVELS)]
    for group in grouped(records).values():
        mean, low, high = band(stacked(group, "success"))
        shown = [_help(group[0]["entry"]), len(group)]
        shown += [f"{mean[-1]:.2f} [{low[-1]:.2f}, {high[-1]:.2f}] after {group[0]['n_timesteps']:,} steps"]
        shown += [reached(group, level) for level in LEVELS]
        lines.append(f"| `{group[0]['env_id']}` | " + " | ".join(map(str, shown)) + " |")
    return "\n".join([*lines, "", how_measured(records)])


def _help(entry: dict[str, Any]) -> str:
    if n_shown := n_demonstrated(entry):
        return f"{n_shown:,} demonstrated steps"
    return ", ".join(f"`{name}={value}`" for name, value in entry.get("env_kwargs", {}).items()) or "-"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, then tell of all that is there."""
    parser = study_parser("python -m benchmarks.tasks", __doc__, NAMES, RESULTS, DOCS)
    args = parser.parse_args(arguments)

    def run(name: str, seed: int) -> Run:
        env_id, entry = entry_of(name)
        return run_of(args, env_id, name, entry, seed)

    text = table(trained(args, NAMES, run, train))
    print(text)
    write_between_marks(args.docs / "manipulation.md", "tasks", text)


if __name__ == "__main__":
    main()
