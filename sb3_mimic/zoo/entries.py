"""Chooses which of our hyperparameters an id gets where its run names none."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import yaml
from rl_zoo3.utils import ALGOS

from sb3_mimic import keys
from sb3_mimic.errors import HyperparametersError
from sb3_mimic.pose import JOINTS, OBJECT
from sb3_mimic.runs.shipped import hyperparams_file
from sb3_mimic.tuning.environment import REWARD_WEIGHTS, Offer

# Ids without an entry of their own take that of an id of one of these that shows and pays the same: of a robot that is asked
# for poses, of a hand that goes somewhere, and of one that moves things, without opening and closing or with it
POSE_MODEL, REACH_MODEL, PUSH_MODEL, GRIP_MODEL = "MimicReacher3D", "MimicReach", "MimicPush", "MimicPickAndPlace"
SCENE_RANDOMIZATION = "scene_randomization"
EVERY_KEY = keys.STATE_KEYS + keys.IMAGE_KEYS


def read_entries(file: Path) -> dict[str, dict[str, Any]]:
    """
    Reads a YAML file of hyperparameters, which is plain data.

    :param file: The file, which need not be there
    :return: An entry for each id
    """
    return dict(yaml.safe_load(file.read_text())) if file.is_file() else {}


def our_entry(algo: str, env_id: str) -> dict[str, Any] | None:
    """
    Finds the entry of an id in our own file of an algorithm.

    :param algo: Name of the algorithm, as rl-zoo3 spells it
    :param env_id: The id
    :return: Its hyperparameters, or None
    """
    return read_entries(hyperparams_file(algo)).get(env_id)


def algorithms_of(env_id: str) -> list[str]:
    """
    Lists the algorithms that we have hyperparameters for.

    :param env_id: An id
    :return: Names of the algorithms; none where the id is not in our files
    """
    return sorted(algo for algo in ALGOS if our_entry(algo, env_id) is not None)


def similar_id(env_id: str, offer: Offer) -> str | None:
    """
    Finds the id of ours that shows the same observation and pays the same reward.

    :param env_id: An id that has no entry
    :param offer: What its environment offers
    :return: An id of ours, or None where the observation is none of ours
    """
    found: dict[bool, str] = {}
    weights = gym.spec(env_id).kwargs.get(REWARD_WEIGHTS)
    has_joints = offer.layout is None or JOINTS in offer.layout
    # Where a goal is not all that a picture shows, an entry serves as well where the camera moves
    is_wild = has_joints and offer.has_moving_camera
    model = _model(env_id, offer)
    made_of = gym.spec(f"{model}-v0").kwargs
    for spec in gym.registry.values():
        # One name may begin with another
        is_mode = spec.id.startswith(model) and all(spec.kwargs.get(what) == made_of.get(what) for what in ("body", "task"))
        observed = frozenset(spec.kwargs.get("observation_keys", EVERY_KEY))
        if is_mode and observed == offer.keys and is_wild == (SCENE_RANDOMIZATION in spec.kwargs):
            paid = spec.kwargs.get(REWARD_WEIGHTS)
            if paid in (None, weights):
                found[paid == weights] = spec.id
    return found.get(True, found.get(False))


def _model(env_id: str, offer: Offer) -> str:
    """Returns the name, without mode and version, of what an id is most like."""
    if offer.layout is None or JOINTS in offer.layout:
        return POSE_MODEL
    if OBJECT not in offer.layout:
        return REACH_MODEL
    task = gym.spec(env_id).kwargs.get("task")
    # The name of one of ours, or another
    return f"Mimic{task}" if isinstance(task, str) else GRIP_MODEL if getattr(task, "grips", False) else PUSH_MODEL


def entry_for(algo: str, env_id: str, similar: str | None = None) -> dict[str, Any]:
    """
    Finds the entry of an id; the error names the algorithms that have one where this has none.

    :param algo: Name of the algorithm
    :param env_id: The id
    :param similar: The id of ours whose entry it takes; by default itself
    :return: Its hyperparameters
    :raises HyperparametersError: When we have none for that algorithm
    """
    entry = our_entry(algo, similar or env_id)
    if entry is None:
        raise HyperparametersError(
            f"sb3_mimic has no hyperparameters of {algo} for {env_id}, only of {', '.join(algorithms_of(similar or env_id))}."
            " Choose one of those with --algo, or bring your own with --conf-file."
        )
    return entry
