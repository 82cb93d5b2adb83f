"""Defines the command ``tuned``."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from sb3_mimic.cli.common import add_env, add_packages


def add_commands(commands: Any) -> None:
    """Adds the command of this module to the parser's."""
    tuned = commands.add_parser("tuned", help="write the best trial of a study as an entry for --conf-file or hyperparams/")
    tuned.add_argument("study", help="name of the study, as given to rl-zoo3 with --study-name")
    tuned.add_argument("--storage", required=True, help="where it is kept: a .log file or the URL of a database")
    add_env(tuned, required=False)
    add_packages(tuned)
    tuned.add_argument("-o", "--output", type=Path, help="a .yml file that is not there yet (default: STUDY.yml)")
    tuned.add_argument("--verify", action="store_true", help="train by it, and compare the score with the trial's")
    tuned.set_defaults(run=_tuned)


def _tuned(args: argparse.Namespace) -> None:
    from sb3_mimic.tuning.results import best_trial, write_entry
    from sb3_mimic.tuning.storage import load_study
    from sb3_mimic.writing import check_output

    output = args.output or Path(f"{args.study}.yml")
    check_output(output)
    study = load_study(args.storage, args.study)
    trial = best_trial(study, args.env)
    command = write_entry(trial, study, output)
    print(f"Wrote trial {trial.number} of {len(study.trials)}, with a score of {trial.value}, in {output}. Train by it:")
    print(command)
    if args.verify:
        from sb3_mimic.tuning.retraining import retrain

        with tempfile.TemporaryDirectory() as folder:
            score = retrain(trial, output, Path(folder))
        print(f"Trained anew, it has a score of {score}")
