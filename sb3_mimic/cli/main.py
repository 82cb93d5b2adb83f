"""The command line; see :func:`build_parser` for the commands."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sb3_mimic.envs.registration import ENV_IDS, POSE_IDS
from sb3_mimic.errors import NoTranslatorError, PictureError, PublishingError

EXIT_BAD_INPUT = 2


def build_parser() -> argparse.ArgumentParser:
    """:return: The parser of ``sb3-mimic``"""
    parser = argparse.ArgumentParser(prog="sb3-mimic", description="Robots that take the pose in a picture.")
    commands = parser.add_subparsers(dest="command", required=True)

    photograph = commands.add_parser("photograph", help="take a picture of a random pose, with its truth beside it as JSON")
    _add_env(photograph)
    photograph.add_argument("--seed", type=int, default=0, help="which random pose (default: 0)")
    photograph.add_argument("-o", "--output", type=Path, default=Path("pose.png"), help="a .png file (default: pose.png)")
    photograph.set_defaults(run=_photograph)

    imitate = commands.add_parser("imitate", help="take the pose in each picture, and write an animation of it")
    _add_env(imitate)
    _add_agent(imitate)
    imitate.add_argument("--image", type=Path, nargs="+", required=True, help="PNG or JPEG pictures of poses")
    imitate.add_argument("-o", "--output", type=Path, default=Path("out.gif"), help="a .gif or .mp4 (default: out.gif)")
    imitate.add_argument("--steps", type=_positive, default=100, help="control steps for each picture (default: 100)")
    imitate.set_defaults(run=_imitate)

    evaluate = commands.add_parser("evaluate", help="measure agents on episodes they have never seen")
    which = evaluate.add_mutually_exclusive_group(required=True)
    _add_env(which, ENV_IDS, required=False)
    which.add_argument("--all", action="store_true", help="every agent there is, one after the other")
    _add_agent(evaluate)
    evaluate.add_argument("--episodes", type=_positive, default=200, help="episodes per measure (default: 200)")
    evaluate.add_argument("-o", "--output", type=Path, help="where to write the JSON (default: evaluation-ENV.json)")
    evaluate.add_argument(
        "--table", type=Path, metavar="FILE", help="a Markdown file: the table goes between its <!-- measures --> marks"
    )
    evaluate.set_defaults(run=_evaluate)

    exporting = commands.add_parser("export-translator", help="write an agent's translator alone, as safetensors")
    _add_env(exporting)
    _add_agent(exporting)
    exporting.add_argument(
        "-o", "--output", type=Path, default=Path("translator.safetensors"), help="default: translator.safetensors"
    )
    exporting.set_defaults(run=_export_translator)

    importing = commands.add_parser("import-translator", help="give an agent another translator, and write it as a new zip")
    importing.add_argument("file", type=Path, help="a .safetensors file that export-translator wrote")
    _add_env(importing)
    _add_agent(importing)
    importing.add_argument("-o", "--output", type=Path, required=True, help="the .zip to write")
    importing.set_defaults(run=_import_translator)

    runs = commands.add_parser("runs", help="list trainings: steps, best return, last checkpoint")
    runs.add_argument("-f", "--folder", type=Path, default=Path("logs"), help="where they lie (default: logs)")
    runs.set_defaults(run=_runs)

    resume = commands.add_parser("resume", help="continue a training from its last checkpoint, with its own arguments")
    resume.add_argument("path", type=Path, metavar="RUN", help="its folder, such as logs/ppo/MimicReacher3D-v0_1")
    resume.add_argument("arguments", nargs=argparse.REMAINDER, help="more for rl_zoo3.train, such as -n 500000")
    resume.set_defaults(run=_resume)

    push = commands.add_parser("push", help="upload an agent with its card to the Hugging Face Hub")
    _add_env(push, ENV_IDS)
    _add_agent(push)
    push.add_argument("-orga", "--organization", required=True, help="user or organisation on the Hub")
    push.add_argument("-name", "--repo-name", help="default: ALGO-ID, where rl_zoo3.load_from_hub looks for it")
    push.add_argument(
        "--measures", type=Path, help="JSON of 'sb3-mimic evaluate' for the card (default: the run's measures.json)"
    )
    push.add_argument("--private", action="store_true", help="a repository that only you see")
    push.add_argument("--dry-run", type=Path, metavar="FOLDER", help="write there what would be uploaded, and upload nothing")
    push.set_defaults(run=_push)

    zoo = commands.add_parser("zoo", help="run a script of rl-zoo3 that knows no --gym-packages, such as record_video")
    zoo.add_argument("script", help="its name; a wrong one is answered with those that there are")
    zoo.add_argument("arguments", nargs=argparse.REMAINDER, help="are handed to it as they are")
    zoo.set_defaults(run=_zoo)

    tuned = commands.add_parser("tuned", help="write the best trial of a study as an entry for --conf-file or hyperparams/")
    tuned.add_argument("study", help="name of the study, as given to rl-zoo3 with --study-name")
    tuned.add_argument("--storage", required=True, help="where it is kept: a .log file or the URL of a database")
    _add_env(tuned, ENV_IDS, required=False)
    tuned.add_argument("-o", "--output", type=Path, help="a .yml file that is not there yet (default: STUDY.yml)")
    tuned.add_argument("--verify", action="store_true", help="train by it, and compare the score with the trial's")
    tuned.set_defaults(run=_tuned)
    return parser


def _add_env(parser: argparse._ActionsContainer, ids: Sequence[str] = POSE_IDS, required: bool = True) -> None:
    parser.add_argument("--env", required=required, choices=ids, metavar="ID", help=f"one of: {', '.join(ids)}")


def _add_agent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--algo", default="ppo", help="the agent's algorithm (default: ppo)")
    parser.add_argument("-f", "--folder", help="where your own runs lie, such as logs (default: the shipped agents)")
    parser.add_argument("--exp-id", type=int, default=0, help="number of the run (default: the latest)")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _make(env_id: str, **kwargs: Any) -> Any:
    import gymnasium as gym

    return gym.make(env_id, **kwargs).unwrapped


def _photograph(args: argparse.Namespace) -> None:
    from sb3_mimic import keys
    from sb3_mimic.pictures import files as pictures

    env = _make(args.env)
    observation, _ = env.reset(seed=args.seed)
    if keys.DESIRED_IMAGE not in observation:
        raise PictureError(f"{args.env} shows no pictures. Use an id without 'State' or 'Sparse'.")
    pose = env.desired_goal
    pictures.write_picture(args.output, observation[keys.DESIRED_IMAGE])
    truth = pictures.write_truth(args.output, args.env, pose, _joints(env, pose))
    print(f"Wrote {args.output} and, beside it, the truth: {truth}")
    env.close()


def _imitate(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from sb3_mimic.agents.imitation import imitate
    from sb3_mimic.agents.loading import load_agent
    from sb3_mimic.pictures import files as pictures
    from sb3_mimic.translator.training import torch_threads

    pictures.check_animation_path(args.output)
    env = _make(args.env, render_mode="rgb_array")
    layout = env.pose_layout
    targets = [pictures.read_picture(path, env.camera.width, env.camera.height) for path in args.image]
    truths = [pictures.read_truth(path, args.env, layout.dim) for path in args.image]
    agent = load_agent(args.env, args.algo, args.folder, args.exp_id)
    frames = []
    with torch_threads(1), tqdm(total=len(targets), unit="picture") as progress:
        for path, truth, result in zip(args.image, truths, imitate(agent, env, targets, args.steps), strict=True):
            frames += result.frames
            progress.update()
            joints = ", ".join(f"{name} {angle:.1f}" for name, angle in _joints(env, result.estimate).items())
            progress.write(f"{path}: estimated pose (deg): {joints}")
            if truth is not None:
                for what, pose in (("read", result.estimate), ("taken", result.taken)):
                    progress.write(
                        f"    pose {what}: joint error {layout['joints'].error(pose, truth):.2f} deg,"
                        f" key-point error {layout['points'].error(pose, truth):.2f} cm"
                    )
    env.close()
    pictures.write_animation(args.output, frames, fps=25)
    print(f"Wrote {args.output}")


def _evaluate(args: argparse.Namespace) -> None:
    from sb3_mimic.agents.evaluation import evaluate
    from sb3_mimic.agents.loading import find_agents, load_agent
    from sb3_mimic.agents.tables import overview, table_of, write_between_marks

    env_ids = find_agents(args.algo, args.folder) if args.all else [args.env]
    every = []
    for env_id in env_ids:
        every.append(evaluate(load_agent(env_id, args.algo, args.folder, args.exp_id), env_id, args.episodes))
        print(f"\n{env_id}\n{table_of(every[-1])}", flush=True)
    output = args.output or Path(f"evaluation-{'all' if args.all else args.env}.json")
    output.write_text(json.dumps(every if args.all else every[0], indent=2) + "\n")
    print(f"Wrote {output}")
    if args.table:
        write_between_marks(args.table, "measures", overview(every))
        print(f"Wrote the table in {args.table}")


def _export_translator(args: argparse.Namespace) -> None:
    from sb3_mimic.agents.loading import load_agent
    from sb3_mimic.translator.files import save_translator

    translator = load_agent(args.env, args.algo, args.folder, args.exp_id).translator
    print(f"Wrote {save_translator(translator, args.output, _make(args.env).pose_layout)}")


def _import_translator(args: argparse.Namespace) -> None:
    from sb3_mimic.agents.loading import load_agent
    from sb3_mimic.translator.files import replace_translator

    if args.output.suffix != ".zip":
        raise ValueError(f"An agent is written as .zip, got {args.output}")
    agent = load_agent(args.env, args.algo, args.folder, args.exp_id)
    replace_translator(agent.translator, args.file, _make(args.env).pose_layout)
    agent.model.save(args.output)
    print(f"Wrote {args.output}")


def _push(args: argparse.Namespace) -> None:
    from sb3_mimic.agents.loading import find_agent
    from sb3_mimic.hub.upload import push, stage

    run = find_agent(args.env, args.algo, args.folder, args.exp_id)
    repo_id = f"{args.organization}/{args.repo_name or f'{args.algo}-{args.env}'}"
    if args.dry_run:
        stage(run, args.env, args.algo, repo_id, args.dry_run, args.measures)
        print(f"Wrote {args.dry_run}; nothing was uploaded.")
    else:
        print(f"Uploaded: {push(run, args.env, args.algo, repo_id, args.measures, args.private)}")


def _runs(args: argparse.Namespace) -> None:
    from sb3_mimic.runs.resuming import find_runs

    print(f"{'run':44} {'steps':>11} {'of':>11} {'best return':>11}  last checkpoint")
    for run in find_runs(args.folder):
        total = "?" if run.total_steps is None else f"{run.total_steps:,}"
        best = "-" if run.best_return is None else f"{run.best_return:.2f}"
        last = "-" if run.last_checkpoint is None else run.last_checkpoint.name
        print(f"{f'{run.algo}/{run.path.name}':44} {run.steps:>11,} {total:>11} {best:>11}  {last}")


def _resume(args: argparse.Namespace) -> None:
    from sb3_mimic.runs.resuming import resume_arguments
    from sb3_mimic.zoo.scripts import train

    train([*resume_arguments(args.path), *args.arguments])


def _zoo(args: argparse.Namespace) -> None:
    from sb3_mimic.zoo.scripts import run_zoo_script

    run_zoo_script(args.script, args.arguments)


def _tuned(args: argparse.Namespace) -> None:
    from sb3_mimic.tuning.results import best_trial, write_entry
    from sb3_mimic.tuning.storage import load_study

    study = load_study(args.storage, args.study)
    trial = best_trial(study, args.env)
    output = args.output or Path(f"{args.study}.yml")
    command = write_entry(trial, study, output)
    print(f"Wrote trial {trial.number} of {len(study.trials)}, with a score of {trial.value}, in {output}. Train by it:")
    print(command)
    if args.verify:
        from sb3_mimic.tuning.retraining import retrain

        with tempfile.TemporaryDirectory() as folder:
            score = retrain(trial, output, Path(folder))
        print(f"Trained anew, it has a score of {score}")


def _joints(env: Any, pose: Any) -> dict[str, float]:
    import numpy as np

    angles = np.rad2deg(env.pose_layout.joints(pose))
    return {name: round(float(angle), 2) for name, angle in zip(env.robot.spec.joints, angles, strict=True)}


def main(arguments: Sequence[str] | None = None) -> int:
    """
    :param arguments: Those of the command line by default
    :return: Exit code: 0, or 2 where something that was given is wrong
    """
    args = build_parser().parse_args(arguments)
    try:
        args.run(args)
    except (NoTranslatorError, OSError, PublishingError, ValueError) as error:
        print(f"sb3-mimic: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0
