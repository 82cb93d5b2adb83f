"""Our hyperparameters for rl-zoo3, with no flag beyond --env and --gym-packages."""

import copy
import functools
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

from sb3_mimic.envs.registration import ENV_IDS
from sb3_mimic.runs.shipped import hyperparams_file, trained_agents_folder

TUNED_ALGOS = ("ppo", "ppo_lstm")


def _has_entry(file: Path, env_id: str) -> bool:
    import yaml  # comes with rl-zoo3, and only it calls this

    return file.is_file() and env_id in yaml.safe_load(file.read_text())


def install() -> None:
    """
    Teach a running rl-zoo3 our hyperparameters, and where our trained agents are. Does nothing where rl-zoo3 is not
    in use, or the second time.

    An explicit ``--conf-file`` and ids of others are left alone.
    """
    _offer_trained_agents()
    _use_statistics_of_the_zip()
    exp_manager = sys.modules.get("rl_zoo3.exp_manager")
    if exp_manager is None:
        return
    manager_class = getattr(exp_manager, "ExperimentManager", None)
    original = getattr(manager_class, "read_hyperparameters", None)
    if manager_class is None or original is None:
        warnings.warn(
            "This version of rl-zoo3 is not known to sb3_mimic, which cannot give it its hyperparameters."
            f" Pass them yourself: --conf-file {hyperparams_file('ppo')}",
            UserWarning,
            stacklevel=2,
        )
        return
    if getattr(original, "knows_sb3_mimic", False):
        return

    @functools.wraps(original)
    def read_hyperparameters(self: Any) -> Any:
        env_id = self.env_name.gym_id
        if env_id not in ENV_IDS:
            return original(self)
        _prepare(self, env_id, exp_manager)
        hyperparams, saved = original(self)
        if self.optimize_hyperparameters and self.algo in TUNED_ALGOS:
            _tune(self, copy.deepcopy(dict(saved)), exp_manager)
        return hyperparams, saved

    read_hyperparameters.knows_sb3_mimic = True  # type: ignore[attr-defined]
    manager_class.read_hyperparameters = read_hyperparameters


def _offer_trained_agents() -> None:
    """Where ``enjoy`` finds no agent in its folder and would ask the Hub for one, hand it one of ours."""
    for name in ("__main__", "rl_zoo3.enjoy"):
        enjoy = sys.modules.get(name)
        spec = getattr(enjoy, "__spec__", None)
        if enjoy is None or spec is None or spec.name != "rl_zoo3.enjoy" or hasattr(enjoy.download_from_hub, "__wrapped__"):
            continue
        original = enjoy.download_from_hub

        @functools.wraps(original)
        def download_from_hub(
            algo: str, env_name: Any, exp_id: int, folder: str, *args: Any, original: Any = original, **kwargs: Any
        ) -> None:
            run = trained_agents_folder() / algo / f"{env_name}_{exp_id or 1}"
            if not run.is_dir():
                original(algo, env_name, exp_id, folder, *args, **kwargs)
                return
            print(f"Taking the agent that comes with sb3_mimic: {run}")
            shutil.copytree(run, Path(folder) / algo / run.name)

        vars(enjoy)["download_from_hub"] = download_from_hub


def _use_statistics_of_the_zip() -> None:
    """Where a script of the zoo loads a checkpoint or the best model, give it the statistics that belong to that one."""
    utils = sys.modules.get("rl_zoo3.utils")
    if utils is None or hasattr(utils.create_test_env, "__wrapped__"):
        return
    get_model_path, create_test_env = utils.get_model_path, utils.create_test_env
    chosen = []

    @functools.wraps(get_model_path)
    def get_and_note_model_path(*args: Any, **kwargs: Any) -> Any:
        found = get_model_path(*args, **kwargs)
        chosen.append(Path(found[1]))
        return found

    @functools.wraps(create_test_env)
    def create_test_env_with_its_statistics(env_id: str, *args: Any, **kwargs: Any) -> Any:
        venv = create_test_env(env_id, *args, **kwargs)
        if env_id in ENV_IDS and chosen:
            from sb3_mimic.checkpoints.files import restore_statistics

            restore_statistics(venv, chosen[-1])
        return venv

    # Scripts that are already running have names of their own for both
    for module in (utils, sys.modules["__main__"], sys.modules.get("rl_zoo3.enjoy")):
        for new in (get_and_note_model_path, create_test_env_with_its_statistics):
            if getattr(module, new.__name__, None) is new.__wrapped__:
                setattr(module, new.__name__, new)


def _prepare(manager: Any, env_id: str, exp_manager: Any) -> None:
    """Set what an ``ExperimentManager`` would otherwise lack for one of our ids."""
    import torch as th

    default_file = Path(exp_manager.__file__).parent / "hyperparams" / f"{manager.algo}.yml"
    ours = hyperparams_file(manager.algo)
    if Path(manager.config) == default_file:
        if not _has_entry(ours, env_id):
            known = (path for path in ours.parent.glob("*.yml") if path.stem in exp_manager.ALGOS)
            have = sorted(path.stem for path in known if _has_entry(path, env_id))
            raise ValueError(
                f"sb3_mimic has no hyperparameters of {manager.algo} for {env_id}, only of {', '.join(have)}."
                " Choose one of those with --algo, or bring your own with --conf-file."
            )
        manager.config = str(ours)
    if getattr(manager.args, "num_threads", -1) < 0:
        # Small networks are fastest on one thread; the translator takes more for itself
        th.set_num_threads(1)
    if manager.optimize_hyperparameters:
        return
    manager.load_trial = functools.partial(_load_trial, manager)
    manager.show_progress = True
    from sb3_mimic.runs.resuming import make_resumable

    make_resumable(manager)


def _tune(manager: Any, entry: dict[str, Any], exp_manager: Any) -> None:
    """Let a manager run trials of ours, and the zoo's sampler leave alone what they have drawn already."""
    from sb3_mimic.tuning.storage import RECORD
    from sb3_mimic.tuning.worker import Worker

    sampler = exp_manager.HYPERPARAMS_SAMPLER[manager.algo]

    def sample(trial: Any, *args: Any) -> Any:
        return {} if RECORD in trial.user_attrs else sampler(trial, *args)

    exp_manager.HYPERPARAMS_SAMPLER[manager.algo] = sample
    Worker(manager, entry, manager.storage)


def _load_trial(manager: Any, storage: str, study_name: str, trial_id: int | None = None, convert: bool = True) -> Any:
    """``--trial-id`` for trials of ours, which remember their whole entry."""
    from sb3_mimic.tuning.storage import RECORD, load_study

    study = load_study(storage, study_name)
    trial = study.best_trial if trial_id is None else study.trials[trial_id]
    if RECORD in trial.user_attrs:
        return trial.user_attrs[RECORD]["entry"]
    return type(manager).load_trial(manager, storage, study_name, trial_id, convert)
