"""Refuses what no environment can use, before anything has changed."""

import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from sb3_mimic.errors import EnvArgumentError

SettingsT = TypeVar("SettingsT")


def checked_action(action: Any, joints: Collection[str]) -> list[float]:
    """
    Checks an action, and clips it.

    :param action: Fractions of the maximum torque, shape (n_joints,)
    :param joints: Names of the joints
    :return: The fractions, clipped to [-1, 1]
    :raises EnvArgumentError: When the action has another shape or is not finite
    """
    action = np.asarray(action, np.float64)
    fractions: list[float] = action.ravel().tolist()
    if action.shape != (len(joints),) or not math.isfinite(sum(fractions)):
        raise EnvArgumentError(
            f"An action must be {len(joints)} finite numbers in [-1, 1], one per joint"
            f" ({', '.join(joints)}). Got shape {action.shape}: {action}"
        )
    return [min(max(fraction, -1.0), 1.0) for fraction in fractions]


def checked_options(
    options: dict[str, Any], picture_shape: tuple[int, int, int], others: Collection[str] = ()
) -> dict[str, Any]:
    """
    Checks the options of a reset.

    :param options: Of a reset: ``desired_goal``, ``desired_image``, and others
    :param picture_shape: What a picture must have: (height, width, 3)
    :param others: More options that are known
    :return: The options, the picture as an array
    :raises EnvArgumentError: For an unknown option, or a picture of another shape or type than uint8
    """
    known = ("desired_goal", "desired_image", *others)
    unknown = set(options) - set(known)
    if unknown:
        raise EnvArgumentError(f"Unknown reset options {sorted(unknown)}. Known options: {', '.join(known)}.")
    if options.get("desired_image") is None:
        return options
    image = np.asarray(options["desired_image"])
    if image.shape != picture_shape or image.dtype != np.uint8:
        raise EnvArgumentError(
            f"A desired_image must have shape {picture_shape} and type uint8, got {image.shape} and {image.dtype}"
        )
    return {**options, "desired_image": image}


def checked_settings(cls: type[SettingsT], settings: Any, name: str) -> SettingsT | None:
    """
    Makes settings out of what stands in YAML.

    :param cls: A dataclass
    :param settings: One of it or its arguments; True for its defaults; False or None for none
    :param name: What the argument is called
    :return: The settings, or None
    :raises EnvArgumentError: When an argument is unknown or has a value that is not allowed
    """
    if settings is None or isinstance(settings, cls):
        return settings
    if isinstance(settings, bool):
        return cls() if settings else None
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    if not isinstance(settings, Mapping) or not set(settings) <= set(known):
        raise EnvArgumentError(f"{name} must be True or a mapping of {', '.join(known)} to their values, got {settings!r}.")
    return cls(**settings)


def is_number(value: Any) -> bool:
    """Whether something is a number, and no truth value."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
