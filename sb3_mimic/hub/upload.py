"""Uploads an agent to the Hugging Face Hub, in the form in which rl-zoo3 fetches it."""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

from sb3_mimic.agents.loading import file_name
from sb3_mimic.errors import PublishingError
from sb3_mimic.hub.card import REPLAY, card_of
from sb3_mimic.runs.arguments import read_arguments, read_hyperparameters

#: Where the run's own files go: the names that ``rl_zoo3.load_from_hub`` asks for
NAMES = {"config.yml": "config.yml", "vecnormalize.pkl": "vec_normalize.pkl"}
BESIDE_THE_CARD = (REPLAY, "measures.json", "*.safetensors")
# Where files lie on the uploader's machine, and whom he reports to, is nobody's business
PRIVATE_ARGUMENTS: dict[str, Any] = {
    "log_folder": "logs",
    "optimization_log_path": None,
    "storage": None,
    "tensorboard_log": "",
    "wandb_entity": None,
    "wandb_group": None,
    "wandb_tags": [],
}


def stage(run: Path, env_id: str, algo: str, repo_id: str, folder: Path, measures: Path | None = None) -> None:
    """
    Writes what is going to be uploaded. Nothing of the agent is loaded, so nothing of it is run.

    :param run: Folder of a run of ``rl_zoo3.train``
    :param env_id: Id of the environment that the agent was trained on
    :param algo: Name of its algorithm
    :param repo_id: Where it is going to lie: ``organization/name``
    :param folder: New or empty
    :param measures: JSON of ``sb3-mimic evaluate`` for the card; the run's ``measures.json`` by default, if there is one.
        A ``README.md`` in the run's folder is taken as the card, unless measures are given
    :raises PublishingError: When the folder is in use, or the measures are of something else
    :raises DamagedAgentError: When the run's arguments or hyperparameters cannot be read
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PublishingError(f"{folder} is not empty. Give a new folder.")
    name = file_name(env_id)
    arguments = read_arguments(run, name)
    arguments |= {key: value for key, value in PRIVATE_ARGUMENTS.items() if key in arguments}
    arguments |= {key: Path(arguments[key]).name for key in ("conf_file", "trained_agent") if arguments[key]}
    card = None if measures is None and (run / "README.md").is_file() else _card(run, env_id, arguments, measures, repo_id)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(run / f"{name}.zip", folder / f"{algo}-{name}.zip")
    for file_here, file_there in NAMES.items():
        if (run / name / file_here).is_file():
            shutil.copy(run / name / file_here, folder / file_there)
    for pattern in BESIDE_THE_CARD:
        for file in run.glob(pattern):
            shutil.copy(file, folder / file.name)
    (folder / "args.yml").write_text(yaml.safe_dump(arguments))
    (folder / "env_kwargs.yml").write_text(yaml.safe_dump(arguments.get("env_kwargs") or {}))
    with zipfile.ZipFile(folder / "train_eval_metrics.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (*sorted(run.glob("*.csv")), run / "evaluations.npz"):
            if file.is_file():
                archive.write(file, file.name)
    (folder / "README.md").write_text((run / "README.md").read_text() if card is None else card)


def push(run: Path, env_id: str, algo: str, repo_id: str, measures: Path | None = None, is_private: bool = False) -> str:
    """
    Uploads an agent with its statistics, hyperparameters and card.

    :param run: Folder of a run of ``rl_zoo3.train``
    :param env_id: Id of the environment that the agent was trained on
    :param algo: Name of its algorithm
    :param repo_id: ``organization/name``; made where it does not exist
    :param measures: See :func:`stage`
    :param is_private: Whether only its owner sees the repository, where it is new
    :return: Its address
    :raises PublishingError: When there is no token, or the Hub refuses
    """
    import huggingface_hub

    if huggingface_hub.get_token() is None:
        raise PublishingError(
            "There is no token for the Hugging Face Hub. Make one that can write at https://huggingface.co/settings/tokens,"
            " then run: hf auth login (or set HF_TOKEN). To see what would be uploaded, pass --dry-run FOLDER."
        )
    api = huggingface_hub.HfApi()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "agent"
        stage(run, env_id, algo, repo_id, folder, measures)
        try:
            address = api.create_repo(repo_id, private=is_private, exist_ok=True)
            api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=f"{algo} on {env_id}")
        # The Hub's client fails in ways of its own and in those of its transport
        except Exception as error:
            raise PublishingError(
                f"{run} could not be uploaded to {repo_id}: {error} Is the token allowed to write there, and the Hub in reach?"
            ) from error
    return str(address)


def _card(run: Path, env_id: str, arguments: dict[str, Any], measures: Path | None, repo_id: str) -> str:
    if repo_id.count("/") != 1 or not all(repo_id.split("/")):
        raise PublishingError(f"A repository is named organization/name, got {repo_id!r}")
    file, has_replay, name = measures or run / "measures.json", (run / REPLAY).is_file(), file_name(env_id)
    hyperparameters = read_hyperparameters(run, name, packages=None) if (run / name / "config.yml").is_file() else {}
    if measures is None and not file.is_file():
        return card_of(env_id, arguments, None, has_replay, repo_id, hyperparameters)
    try:
        content = json.loads(file.read_text())
        if content["env"] != env_id:
            raise ValueError(f"they are of {content['env']}, and the agent was trained on {env_id}")
        return card_of(env_id, arguments, content, has_replay, repo_id, hyperparameters)
    except (AttributeError, OSError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise PublishingError(
            f"{file} holds no measures of this agent: {error!r}. Write them with: sb3-mimic evaluate --env {env_id} -f logs"
        ) from error
