"""Defines the commands ``collect`` and ``data``."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from sb3_mimic.cli.common import add_agent, add_env, add_packages, positive

AGENT = "agent"
POLICIES = ("random", "smooth", AGENT)
SHARD_STEPS = 4000


def add_commands(commands: Any) -> None:
    """Adds the commands of this module to the parser's."""
    collect = commands.add_parser("collect", help="collect steps with their pictures into a folder; goes on where it ended")
    add_env(collect)
    add_packages(collect)
    add_agent(collect)
    collect.add_argument("--steps", type=positive, required=True, metavar="N", help="how many, with those that are there")
    collect.add_argument("--policy", choices=POLICIES, default="random", help="what chooses the actions (default: random)")
    collect.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    collect.add_argument("--workers", type=positive, default=1, metavar="N", help="processes (default: 1)")
    collect.add_argument(
        "--shard-steps", type=positive, default=SHARD_STEPS, metavar="N", help=f"steps in a file (default: {SHARD_STEPS})"
    )
    collect.add_argument("-o", "--output", type=Path, default=Path("data"), help="the folder (default: data)")
    collect.set_defaults(run=_collect)

    data = commands.add_parser("data", help="show what was collected, check it, or draw some of it")
    kinds = data.add_subparsers(dest="what", required=True)
    for name, run, told in (
        ("info", _info, "say what is in it"),
        ("check", _check, "compare all files with their checksums"),
        ("sample", _sample, "draw a contact sheet of its pictures"),
    ):
        kind = kinds.add_parser(name, help=told)
        kind.add_argument("folder", type=Path, help="what collect has written")
        kind.set_defaults(run=run)
        if name == "sample":
            kind.add_argument("--seed", type=int, default=0, help="of the choice (default: 0)")
            kind.add_argument("-o", "--output", type=Path, default=Path("sample.png"), help="default: sample.png")


def _collect(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from sb3_mimic import keys
    from sb3_mimic.agents.acting import AgentPolicy
    from sb3_mimic.agents.environments import spec_of
    from sb3_mimic.agents.loading import load_agent
    from sb3_mimic.data.collection import POLICIES, collect, plan
    from sb3_mimic.data.shards import Shards

    spec_of(args.env)
    kwargs: dict[str, Any] = {}
    if args.policy == AGENT:
        name = args.env, args.algo, args.folder, args.exp_id
        agent = load_agent(*name)
        make_policy: Any = partial(AgentPolicy, *name)
        kwargs["left_out"] = tuple({keys.DESIRED_IMAGE} - agent.needed_keys)
        if agent.setting is not None:
            kwargs["env_kwargs"] = agent.setting.env_kwargs
    else:
        make_policy = POLICIES[args.policy]
    manifest = plan(
        args.env, args.steps, args.policy, args.seed, shard_steps=args.shard_steps, packages=tuple(args.gym_packages), **kwargs
    )
    with tqdm(total=args.steps, unit="step") as bar:
        n_new = collect(args.output, manifest, make_policy, args.workers, bar.update)
    shards = Shards(args.output, is_complete=True)
    print(f"{len(shards):,} rows of {shards.n_episodes:,} episodes in {args.output}, {n_new} new files. {_seen(shards)}")


def _seen(shards: Any) -> str:
    """Says how to look at it."""
    return f"Look at them: sb3-mimic data sample {shards.folder}"


def _info(args: argparse.Namespace) -> None:
    from sb3_mimic.data.shards import Shards

    shards = Shards(args.folder)
    manifest = shards.manifest
    size = sum((args.folder / manifest.file_of(index)).stat().st_size for index in shards.indices)
    print(f"environment  {manifest.env_id} {dict(manifest.env_kwargs) or ''}")
    print(f"actions by   {manifest.policy}, seed {manifest.seed}")
    print(f"files        {len(shards.indices)} of {manifest.n_shards}, {size / 2**20:.1f} MiB")
    print(f"rows         {len(shards):,}, one for each observation, of {shards.n_episodes:,} episodes")
    for name, column in manifest.columns.items():
        layout = manifest.layouts.get(name)
        parts = "" if layout is None else ": " + ", ".join(f"{part.name} {list(part.shape)} {part.unit}" for part in layout)
        print(f"  {name:<15}{column.dtype:<9}{list(column.shape) or ''}{parts}")


def _check(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from sb3_mimic.data.shards import Shards
    from sb3_mimic.errors import CollectionError

    shards = Shards(args.folder)
    faults = [shard.fault() for shard in tqdm(shards, total=len(shards.indices), unit="file")]
    if any(faults):
        raise CollectionError("\n".join(filter(None, faults)))
    missing = shards.manifest.n_shards - len(shards.indices)
    yet = f" {missing} are yet to be collected." if missing else ""
    print(f"{len(shards.indices)} files are as they were written.{yet}")


def _sample(args: argparse.Namespace) -> None:
    import numpy as np

    from sb3_mimic.data.contact_sheet import contact_sheet
    from sb3_mimic.data.shards import Shards
    from sb3_mimic.pictures.files import write_picture
    from sb3_mimic.writing import check_output

    check_output(args.output, (".png",))
    shards = Shards(args.folder)
    write_picture(args.output, contact_sheet(shards, np.random.default_rng(args.seed)))
    print(f"Wrote {args.output}: each row shows frames of one episode, from left to right")
