"""Defines the commands ``collect``, ``data`` and ``fit``."""

import argparse
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from sb3_mimic.cli.common import add_agent, add_env, add_packages, add_ray, positive

AGENT = "agent"
POLICIES = ("random", "smooth", AGENT)
PREDICTORS = ("pose", "convlstm", "simvp", "cnn", "lstm")
# Passes of a translator over the frames
N_EPOCHS = 10
SHARD_STEPS = 4000
# Of translators with memory
WINDOW = 32


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
    add_ray(collect)
    collect.add_argument(
        "--shard-steps", type=positive, default=SHARD_STEPS, metavar="N", help=f"steps in a file (default: {SHARD_STEPS})"
    )
    collect.add_argument(
        "--export", choices=("minari",), help="write a data set of Minari besides, named after the environment"
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

    _add_minari(kinds)

    fit = commands.add_parser("fit", help="train a translator or a predictor on what was collected")
    fit.add_argument("data", type=Path, help="the folder that collect has written")
    kinds = fit.add_mutually_exclusive_group()
    kinds.add_argument("--translator", choices=("convnet", "convlstm"), default="convnet", help="default: convnet")
    kinds.add_argument("--predictor", choices=PREDICTORS, help="what is to come: poses that are drawn, or frames")
    fit.add_argument("--epochs", type=positive, metavar="N", help="passes over the frames (default: 10; predictor pose: 4)")
    fit.add_argument("--updates", type=positive, metavar="N", help="of predictors (default: 1000; pose: 12000)")
    fit.add_argument("--window", type=positive, metavar="N", help="frames of a window (default: 1, or 32 of convlstm)")
    fit.add_argument("--batch-size", type=positive, default=256, metavar="N", help="frames per step (default: 256)")
    fit.add_argument("--learning-rate", type=float, default=3e-3, help="the largest (default: 0.003)")
    fit.add_argument("--augmentation", action="store_true", help="learn from spoilt pictures, too")
    fit.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (default: 0)")
    fit.add_argument("-o", "--output", type=Path, default=Path("fit"), help="the folder to write into (default: fit)")
    fit.set_defaults(run=_fit)


def _add_minari(kinds: Any) -> None:
    """Adds the commands that know Minari's data sets."""
    export = kinds.add_parser("export", help="write it as a data set of Minari")
    export.add_argument("folder", type=Path, help="what collect has written")
    export.add_argument("name", help="the data set's, such as mimic/reacher-plane/smooth-v0")
    export.set_defaults(run=_export)
    imported = kinds.add_parser("import", help="read a data set of Minari")
    imported.add_argument("name", help="the data set's, such as D4RL/pointmaze/open-v2")
    imported.add_argument("-o", "--output", type=Path, default=Path("data"), help="the folder (default: data)")
    add_packages(imported)
    imported.set_defaults(run=_import)


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
        n_new = collect(args.output, manifest, make_policy, args.workers, bar.update, args.ray)
    shards = Shards(args.output, is_complete=True)
    print(f"{len(shards):,} rows of {shards.n_episodes:,} episodes in {args.output}, {n_new} new files. {_seen(shards)}")
    if args.export:
        from sb3_mimic.data.minari_format import export_minari

        dataset_id = f"mimic/{args.env.rpartition('-')[0].replace(':', '/').lower()}/{args.policy}-v{args.seed}"
        print(f"Wrote {export_minari(shards, dataset_id)}. Read it: minari.load_dataset({dataset_id!r})")


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


def _export(args: argparse.Namespace) -> None:
    from sb3_mimic.cli.common import import_packages
    from sb3_mimic.data.minari_format import export_minari
    from sb3_mimic.data.shards import Shards

    shards = Shards(args.folder, is_complete=True)
    import_packages(list(shards.manifest.packages))
    path = export_minari(shards, args.name)
    print(f"Wrote {path}. Read it: minari.load_dataset({args.name!r})")


def _import(args: argparse.Namespace) -> None:
    from sb3_mimic.data.minari_format import import_minari
    from sb3_mimic.data.shards import Shards

    import_minari(args.name, args.output)
    shards = Shards(args.output, is_complete=True)
    print(f"{len(shards):,} rows of {shards.n_episodes:,} episodes in {args.output}. {_seen(shards)}")


def _fit(args: argparse.Namespace) -> None:
    import gymnasium as gym

    from sb3_mimic.cli.common import import_packages
    from sb3_mimic.data.shards import Shards
    from sb3_mimic.translator.supervised import FitSettings, fit_shards
    from sb3_mimic.translator.training import default_n_threads, torch_threads

    if args.predictor:
        _fit_predictor(args)
        return
    window = args.window or (WINDOW if args.translator == "convlstm" else 1)
    settings = FitSettings(
        args.translator, args.epochs or N_EPOCHS, window, args.batch_size, args.learning_rate, args.augmentation, args.seed
    )
    shards = Shards(args.data, is_complete=True)
    import_packages(list(shards.manifest.packages))
    with closing(gym.make(shards.manifest.env_id, **shards.manifest.env_kwargs)) as env, torch_threads(default_n_threads()):
        draw = getattr(env.unwrapped, "draw_poses", None)
        path = fit_shards(shards, args.output, settings, draw, _tell_epoch)
    print(f"Wrote {path}. Give it to an agent: sb3-mimic import-translator {path} --env {shards.manifest.env_id} -o agent.zip")


def _fit_predictor(args: argparse.Namespace) -> None:
    import torch as th
    from tqdm import tqdm

    from sb3_mimic.data.shards import Shards
    from sb3_mimic.foresight.files import Origin, new_predictor, save_predictor
    from sb3_mimic.foresight.pose import PosePredictor
    from sb3_mimic.foresight.pose_training import PoseSettings, fit_pose_predictor
    from sb3_mimic.foresight.training import ForesightSettings, fit_predictor
    from sb3_mimic.translator.training import default_n_threads, torch_threads

    shards = Shards(args.data, is_complete=True)
    manifest, n_updates = shards.manifest, {"n_updates": args.updates} if args.updates else {}
    th.manual_seed(args.seed)
    predictor = new_predictor(args.predictor, shards)
    args.output.mkdir(parents=True, exist_ok=True)
    with torch_threads(default_n_threads()), tqdm(unit="step") as bar:
        if isinstance(predictor, PosePredictor):
            epochs = {"n_epochs": args.epochs} if args.epochs else {}
            fit_pose_predictor(predictor, shards, PoseSettings(seed=args.seed, **epochs, **n_updates), partial(_show, bar))
        else:
            settings = ForesightSettings(seed=args.seed, **n_updates)
            fit_predictor(predictor, shards, settings, lambda n, loss: _show(bar, "foreseeing", n, settings.n_updates, loss))
    origin = Origin(manifest.env_id, manifest.env_kwargs, manifest.renderer)
    path = save_predictor(predictor, args.output / "predictor.safetensors", origin)
    print(f"Wrote {path}. See what it foresees: sb3-mimic foresee --env {manifest.env_id} --predictor {path}")


def _show(bar: Any, what: str, n_done: int, n_steps: int, loss: float) -> None:
    """Shows on a bar what is learnt."""
    bar.desc, bar.total, bar.n = what, n_steps, n_done
    bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
    bar.update(0)


def _tell_epoch(n_epochs: int, lesson: Any) -> None:
    print(f"epoch {n_epochs}: " + ", ".join(f"{name} {value:.4g}" for name, value in lesson.measures.items()), flush=True)
