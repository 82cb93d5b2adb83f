"""Replays runs with rl-zoo3's scripts, in the environment of the run and with the statistics of the zip that is loaded."""

import shutil
from pathlib import Path
from typing import Any

from rl_zoo3 import load_from_hub, utils
from stable_baselines3.common.vec_env import VecEnv

from sb3_mimic.checkpoints import restore_statistics
from sb3_mimic.runs.shipped import trained_agents_folder


class Replay:
    """
    Replaces the functions that rl-zoo3's scripts call in turn: one finds a zip, the next makes an environment without being
    told of the zip. This class remembers it in between.

    :param get_model_path: The zoo's own function of that name, as are the others
    :param create_test_env: See there
    :param download_from_hub: See there
    """

    def __init__(self, get_model_path: Any, create_test_env: Any, download_from_hub: Any):
        self._get_model_path, self._create_test_env = get_model_path, create_test_env
        self._download_from_hub = download_from_hub
        self._model_path: Path | None = None

    def get_model_path(self, *args: Any, **kwargs: Any) -> tuple[str, str, str]:
        """
        Finds the zip of a run as the zoo does, and remembers it.

        :return: A prefix for names, the path of the zip, and the folder of the run
        """
        found: tuple[str, str, str] = self._get_model_path(*args, **kwargs)
        self._model_path = Path(found[1])
        return found

    def create_test_env(
        self,
        env_id: str,
        *args: Any,
        hyperparams: dict[str, Any] | None = None,
        env_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> VecEnv:
        """
        Makes the environments of a replay as the zoo does. ``env_kwargs`` of the run's config.yml count, which
        ``record_video`` does not look at, and statistics are those that belong to the zip.

        :param env_id: The id
        :param hyperparams: Of the run
        :param env_kwargs: What the environment is made with
        :return: The environments
        """
        hyperparams = dict(hyperparams or {})
        env_kwargs = {**(hyperparams.pop("env_kwargs", None) or {}), **(env_kwargs or {})}
        venv: VecEnv = self._create_test_env(env_id, *args, hyperparams=hyperparams, env_kwargs=env_kwargs, **kwargs)
        if self._model_path is not None:
            restore_statistics(venv, self._model_path)
        return venv

    def download_from_hub(self, algo: str, env_name: Any, exp_id: int, folder: str, *args: Any, **kwargs: Any) -> None:
        """
        Takes an agent that comes with us, where there is one, instead of asking the Hub.

        :param algo: Name of its algorithm
        :param env_name: Name of its environment
        :param exp_id: Number of the run; 0 for the first
        :param folder: Where it is to be
        """
        run = trained_agents_folder() / algo / f"{env_name}_{exp_id or 1}"
        if not run.is_dir():
            self._download_from_hub(algo, env_name, exp_id, folder, *args, **kwargs)
            return
        print(f"Taking the agent that comes with sb3_mimic: {run}")
        shutil.copytree(run, Path(folder) / algo / run.name)


REPLAY = Replay(utils.get_model_path, utils.create_test_env, load_from_hub.download_from_hub)
