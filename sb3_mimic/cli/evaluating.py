"""Defines the command ``evaluate``."""

import argparse
import json
from pathlib import Path
from typing import Any

from sb3_mimic.cli.common import add_agent, add_env, add_packages, add_ray, positive


def add_commands(commands: Any) -> None:
    """Adds the command of this module to the parser's."""
    evaluate = commands.add_parser("evaluate", help="measure agents on episodes they have never seen")
    which = evaluate.add_mutually_exclusive_group(required=True)
    add_env(which, required=False)
    which.add_argument("--all", action="store_true", help="every agent there is, one after the other")
    add_packages(evaluate)
    add_agent(evaluate)
    evaluate.add_argument("--episodes", type=positive, default=200, help="episodes per measure (default: 200)")
    evaluate.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that share --all (default: 1)")
    add_ray(evaluate)
    evaluate.add_argument("--target-network", action="store_true", help="act by the actor's target network (DDPG, TD3)")
    evaluate.add_argument("-o", "--output", type=Path, help="where to write the JSON (default: evaluation-ENV.json)")
    evaluate.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="a Markdown file: the tables go between its <!-- measures --> marks, and its <!-- sight --> marks if it has any",
    )
    evaluate.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> None:
    from sb3_mimic.agents.environments import spec_of
    from sb3_mimic.agents.evaluation import Examinee, examine
    from sb3_mimic.agents.loading import file_name, find_agents
    from sb3_mimic.agents.tables import (
        check_marks,
        has_marks,
        overview,
        sight_overview,
        sight_table_of,
        table_of,
        write_between_marks,
    )
    from sb3_mimic.data.workers import done
    from sb3_mimic.writing import check_output, write_whole

    output = args.output or Path(f"evaluation-{'all' if args.all else file_name(args.env)}.json")
    check_output(output)
    if args.table:
        check_marks(args.table, "measures")
    env_ids = find_agents(args.algo, args.folder) if args.all else [args.env]
    for env_id in env_ids:
        spec_of(env_id)
    examinees = [
        Examinee(env_id, args.algo, args.folder, args.exp_id, args.episodes, args.target_network, tuple(args.gym_packages))
        for env_id in env_ids
    ]
    found = {}
    for examinee, measures in done(examine, examinees, args.workers, args.ray):
        found[examinee.env_id] = measures
        print(f"\n{examinee.env_id}\n{table_of(measures)}\n\n{sight_table_of(measures)}".rstrip(), flush=True)
    every = [found[env_id] for env_id in env_ids]
    write_whole(output, json.dumps(every if args.all else every[0], indent=2) + "\n")
    print(f"Wrote {output}")
    if args.table:
        write_between_marks(args.table, "measures", overview(every))
        if has_marks(args.table, "sight"):
            write_between_marks(args.table, "sight", sight_overview(every))
        print(f"Wrote the table in {args.table}")
