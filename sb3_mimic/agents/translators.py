"""Gives a trained agent a translator of a user's own class."""

from pathlib import Path
from typing import Any

from sb3_mimic.agents.agent import Agent
from sb3_mimic.errors import InputError, TranslatorFileError
from sb3_mimic.extractors.translated import PoseReadingExtractor
from sb3_mimic.pose import PoseLayout
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.files import load_translator


def give_translator(
    agent: Agent, path: Path, translator_class: type[Translator], pose_layout: PoseLayout | None = None
) -> None:
    """
    Replaces an agent's translator with the one in a file, whatever its class.

    :param agent: Changed in place; left as it is when anything does not fit
    :param path: File written by ``save_translator``
    :param translator_class: The class of the file's translator
    :param pose_layout: What the states that it reads mean; compared where the file says what they mean in it
    :raises InputError: When the class is none of a translator
    :raises NoTranslatorError: When the agent has no translator to replace
    :raises TranslatorFileError: When the file is missing or damaged, is of another class, or does not fit
    """
    if not (isinstance(translator_class, type) and issubclass(translator_class, Translator)):
        raise InputError(f"{translator_class!r} is no translator. Give a subclass of {Translator.__module__}.Translator.")
    before = agent.translator
    translator, layout = load_translator(path, [translator_class])
    needed: dict[str, Any] = {"pictures": (before.n_channels, before.height, before.width), "states": before.state_dim}
    given: dict[str, Any] = {
        "pictures": (translator.n_channels, translator.height, translator.width),
        "states": translator.state_dim,
    }
    if pose_layout is not None and layout is not None:
        needed, given = {**needed, "poses": pose_layout}, {**given, "poses": layout}
    for what, size in needed.items():
        if given[what] != size:
            raise TranslatorFileError(f"{path} does not fit the agent: it reads {what} of {given[what]}, the agent {size}.")
    policy: Any = agent.model.policy
    arguments = {"translator_class": translator_class, "translator_kwargs": translator.get_constructor_parameters()}
    # By the first a zip of the agent is built again, by the second one of the policy alone
    agent.model.policy_kwargs = {**(agent.model.policy_kwargs or {}), **arguments}
    policy._translator_arguments = {**policy._translator_arguments, **arguments}
    policy.translator = translator
    for extractor in policy.modules():
        if isinstance(extractor, PoseReadingExtractor):
            extractor.attach(translator)
