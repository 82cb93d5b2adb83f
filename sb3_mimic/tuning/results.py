"""Writes the results of a study: its best trial, as an entry for a YAML file, and the report of a worker."""

import time
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from sb3_mimic.errors import StudyNotFoundError, UnfinishedStudyError
from sb3_mimic.tuning.storage import RECORD


def best_trial(study: optuna.Study, env_id: str | None = None) -> FrozenTrial:
    """
    Finds the best finished trial of a study.

    :param study: A study of ours
    :param env_id: Id that must have been tuned; by default any
    :return: Its best finished trial, with its record under ``user_attrs["sb3_mimic"]``
    :raises StudyNotFoundError: When the study was not made by us, or with another id
    :raises UnfinishedStudyError: When none has finished
    """
    trials = study.get_trials(deepcopy=False)
    ours = [trial for trial in trials if RECORD in trial.user_attrs]
    tuned = sorted({trial.user_attrs[RECORD]["env"] for trial in ours})
    if trials and not ours:
        raise StudyNotFoundError(f"Study '{study.study_name}' has no trial of sb3_mimic: it was made for others.")
    if env_id is not None and tuned and env_id not in tuned:
        raise StudyNotFoundError(f"Study '{study.study_name}' tuned {', '.join(tuned)}, not {env_id}.")
    finished = [trial for trial in ours if trial.state == TrialState.COMPLETE]
    if not finished:
        states = [trial.state.name.lower() for trial in trials]
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "none at all"
        errors = "".join(f"\n  trial {t.number}: {t.user_attrs['error']}" for t in ours[-3:] if "error" in t.user_attrs)
        raise UnfinishedStudyError(
            f"Study '{study.study_name}' has no finished trial. Its trials: {counts}. Let it run for longer.{errors}"
        )
    return max(finished, key=lambda trial: trial.values[0])


def write_entry(trial: FrozenTrial, study: optuna.Study, file: Path) -> str:
    """
    Writes the entry of a trial for ``--conf-file``.

    :param trial: A trial of ours
    :param study: Its study
    :param file: A YAML file to make
    :return: The command that trains by it
    :raises FileExistsError: When the file is there: it may hold the entries of other ids
    """
    if file.exists():
        raise FileExistsError(f"{file} exists, and may hold entries of other ids. Choose another name with -o.")
    record = trial.user_attrs[RECORD]
    packages = " ".join(record.get("gym_packages") or ["sb3_mimic"])
    command = (
        f"python -m rl_zoo3.train --algo {record['algo']} --env {record['env']} --gym-packages {packages}"
        f" --conf-file {file} --seed {record['seed']}"
    )
    header = f"# Trial {trial.number} of study {study.study_name}, with a score of {trial.value}. {record['measure']}\n"
    file.write_text(f"{header}# {command}\n" + yaml.safe_dump({record["env"]: record["entry"]}, sort_keys=False))
    return command


def report(study: optuna.Study, manager: Any) -> None:
    """
    Prints the best trial, and writes all as a table, as rl-zoo3 does; the study itself is in its storage.

    :param study: The study
    :param manager: The zoo's manager
    :raises UnfinishedStudyError: When no trial has finished
    """
    print("Number of finished trials: ", len(study.trials))
    trial = best_trial(study)
    print(f"Best trial: {trial.number}\nValue:  {trial.values[0]}\nParams: ")
    for key, value in trial.params.items():
        print(f"    {key}: {value}")
    name = f"report_{manager.env_name}_{manager.n_trials}-trials-{manager.n_timesteps}-{manager.sampler}-{manager.pruner}"
    path = Path(manager.log_folder, manager.algo, f"{name}_{int(time.time())}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    study.trials_dataframe().to_csv(path)
    print(f"Wrote {path}")
    if not manager.no_optim_plots:
        _plot(study)


def _plot(study: optuna.Study) -> None:
    try:
        optuna.visualization.plot_optimization_history(study).show()
        optuna.visualization.plot_param_importances(study).show()
    except (ImportError, RuntimeError, ValueError) as error:
        print(f"No plots are shown: {error}. Leave them out with --no-optim-plots.")
