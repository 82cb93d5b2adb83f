"""Defines the command ``push``."""

import argparse
from pathlib import Path
from typing import Any

from sb3_mimic.cli.common import add_agent, add_env, add_packages


def add_commands(commands: Any) -> None:
    """Adds the command of this module to the parser's."""
    push = commands.add_parser("push", help="upload an agent with its card to the Hugging Face Hub")
    add_env(push)
    add_packages(push)
    add_agent(push)
    push.add_argument("-orga", "--organization", required=True, help="user or organisation on the Hub")
    push.add_argument("-name", "--repo-name", help="default: ALGO-ID, where rl_zoo3.load_from_hub looks for it")
    push.add_argument(
        "--measures", type=Path, help="JSON of 'sb3-mimic evaluate' for the card (default: the run's measures.json)"
    )
    push.add_argument("--private", action="store_true", help="a repository that only you see")
    push.add_argument("--dry-run", type=Path, metavar="FOLDER", help="write there what would be uploaded, and upload nothing")
    push.set_defaults(run=_push)


def _push(args: argparse.Namespace) -> None:
    from sb3_mimic.agents.loading import file_name, find_agent
    from sb3_mimic.hub.upload import push, stage

    run = find_agent(args.env, args.algo, args.folder, args.exp_id)
    algo = run.parent.name
    repo_id = f"{args.organization}/{args.repo_name or f'{algo}-{file_name(args.env)}'}"
    if args.dry_run:
        stage(run, args.env, algo, repo_id, args.dry_run, args.measures)
        print(f"Wrote {args.dry_run}; nothing was uploaded.")
    else:
        print(f"Uploaded: {push(run, args.env, algo, repo_id, args.measures, args.private)}")
