"""Trains rl-zoo3's recipe on panda-gym's Push three times as long as ours took on MimicPushState-v0, and tells how far."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rl_zoo3
import yaml

from benchmarks import tasks
from benchmarks.hindsight import first_at, parser_of, run_of, shared_of, train
from benchmarks.study import DOCS, REPOSITORY, Record, find, read, study
from sb3_mimic.agents.tables import write_between_marks

OURS, PEER = "Push", "PandaPush-v3"
# The zoo has an entry for the version of before
ALGO, ENTRY = "tqc", "PandaPush-v1"
RESULTS = REPOSITORY / "benchmarks" / "peer.jsonl"
LEVEL, PATIENCE, SEED = 0.9, 3.0, 0
# Its updates are slow: a measure after every few hundred steps
DISTANCE = 500


def zoo_entry() -> dict[str, Any]:
    """:return: rl-zoo3's hyperparameters for panda-gym's Push"""
    file = Path(rl_zoo3.__file__).parent / "hyperparams" / f"{ALGO}.yml"
    entry: dict[str, Any] = yaml.safe_load(file.read_text())[ENTRY]
    return entry


def our_seconds(records: Sequence[Record]) -> tuple[float, int]:
    """
    :param records: Of ``benchmarks.tasks``
    :return: The seconds after which the mean of our trainings was first measured at the level, and their number
    """
    # Not those by hyperparameters of before
    entry = shared_of(tasks.entry_of(OURS)[1])
    group = [record for record in records if record["setting"] == OURS and record["entry"] == entry]
    if not group:
        raise SystemExit("Train ours first: python -m benchmarks.tasks --only Push")
    first = first_at(group, LEVEL)
    if first is None:
        raise SystemExit(
            f"Our own trainings never reached {LEVEL} in the mean of {len(group)}: there is nothing to compare with."
        )
    return first[1], len(group)


def text_of(record: Record, seconds: float, n_ours: int) -> str:
    """:return: What is said on the page"""
    spent, goals = record["seconds"][-1], record["n_episodes"]
    return (
        f"Ours was measured at {LEVEL:.2f} after {seconds:,.0f} s of one core (mean of {n_ours} seeds). rl-zoo3's own recipe"
        f" on `PandaPush-v3` (TQC, three layers of 512, batches of 2,048) was stopped after {spent:,.0f} s of one core,"
        f" {spent / seconds:.1f} times as long: it had taken {record['steps'][-1]:,} steps, and its best measure was"
        f" {max(record['success']):.2f} of {goals} goals. {record['machine']}."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the peer if that is missing, then tell of it."""
    parser = parser_of("python -m benchmarks.peer", __doc__, RESULTS, DOCS)
    parser.set_defaults(distance=DISTANCE)
    args = parser.parse_args(arguments)
    import panda_gym  # noqa: F401  # registers it

    seconds, n_ours = our_seconds(read(tasks.RESULTS))
    run = run_of(args, PEER, ENTRY, zoo_entry(), SEED, algo=ALGO, max_seconds=round(PATIENCE * seconds))
    study([run], args.results, 1, train)
    record = find(run, read(args.results))
    assert record is not None
    text = text_of(record, seconds, n_ours)
    print(text)
    write_between_marks(args.docs / "manipulation.md", "peer", text)


if __name__ == "__main__":
    main()
