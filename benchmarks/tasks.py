"""Trains every task on the table by its own hyperparameters, without pictures, and tells how soon each is learnt."""

from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.hindsight import Run, base_entry, how_measured, reached, stacked, study_parser, train
from benchmarks.study import DOCS, REPOSITORY, Record, band, read, study
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.envs.tasks.manipulation import TASKS
from sb3_mimic.her.demonstrations import n_demonstrated

RESULTS = REPOSITORY / "benchmarks" / "tasks.jsonl"
LEVELS = (0.90, 0.95)
IDS = {task: f"Mimic{task}State-v0" for task in TASKS}


def table(records: Sequence[Record]) -> str:
    """:return: Markdown: for each task the success at the end with its interval, and steps and seconds to each level"""
    heads = "".join(f" to {level:.2f} |" for level in LEVELS)
    lines = [f"| id | demonstrated steps | seeds | success at the end |{heads}", "|---|---|---|---|" + "---|" * len(LEVELS)]
    for env_id in dict.fromkeys(record["env_id"] for record in records):
        group = [record for record in records if record["env_id"] == env_id]
        mean, low, high = band(stacked(group, "success"))
        shown = [f"{n_demonstrated(group[0]['entry']):,}", len(group)]
        shown += [f"{mean[-1]:.2f} [{low[-1]:.2f}, {high[-1]:.2f}] after {group[0]['n_timesteps']:,} steps"]
        shown += [reached(group, mean, level) for level in LEVELS]
        lines.append(f"| `{env_id}` | " + " | ".join(map(str, shown)) + " |")
    return "\n".join([*lines, "", how_measured(records)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, then tell of all that is there."""
    parser = study_parser("python -m benchmarks.tasks", __doc__, list(IDS), RESULTS, DOCS)
    args = parser.parse_args(arguments)

    def run(task: str, seed: int) -> Run:
        entry = base_entry(IDS[task])
        buffer, steps = entry.pop("replay_buffer_kwargs"), int(entry.pop("n_timesteps"))
        return Run(IDS[task], "own", buffer, entry, seed, args.steps or steps, args.episodes, args.distance)

    study([run(task, seed) for seed in args.seeds for task in args.only], args.results, args.workers, train)
    names = {env_id: task for task, env_id in IDS.items()}
    every = read(args.results)
    records = [record for record in every if record == record | asdict(run(names[record["env_id"]], record["seed"]))]
    records.sort(key=lambda record: (list(names).index(record["env_id"]), record["seed"]))
    text = table(records)
    print(text)
    write_between_marks(args.docs / "manipulation.md", "tasks", text)


if __name__ == "__main__":
    main()
