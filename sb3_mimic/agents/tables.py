"""Measures as tables for people."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Measures = Mapping[str, Any]

# Name of a measure, what it is called, how many digits it is given with
MEASURES = {
    "success": ("success (5 cm)", 3),
    "success_2cm": ("success at 2 cm", 3),
    "held": ("held (0.1 m for 50 steps)", 3),
    "joint_error_deg": ("joint error, deg", 2),
    "keypoint_error_cm": ("key-point error, cm", 2),
    "success_from_image": ("success from image (5 cm)", 3),
    "success_2cm_from_image": ("success from image at 2 cm", 3),
    "held_from_image": ("held from image", 3),
    "joint_error_deg_from_image": ("joint error from image, deg", 2),
    "keypoint_error_cm_from_image": ("key-point error from image, cm", 2),
    "success_from_image_read_once": ("success from image (5 cm), read once", 3),
    "keypoint_error_cm_from_image_read_once": ("key-point error from image, read once, cm", 2),
    "translator_joint_error_deg": ("translator: median joint error, deg", 2),
    "translator_keypoint_error_cm": ("translator: mean key-point error, cm", 2),
    "decision_ms": ("one decision, ms", 2),
    "distance_m": ("distance walked, m", 2),
    "upright_steps": ("steps upright", 0),
    "return": ("return", 1),
}
# What the table of all agents shows of those that take poses
OVERVIEW = (
    "success",
    "success_from_image",
    "keypoint_error_cm",
    "translator_joint_error_deg",
    "translator_keypoint_error_cm",
    "decision_ms",
)


def value_of(measures: Measures, name: str) -> str:
    """:return: A measure with its 95 % bootstrap interval, or a dash where it was not taken"""
    if name not in measures:
        return "-"
    digits, (low, high) = MEASURES[name][1], measures[name]["interval"]
    return f"{measures[name]['value']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def table_of(measures: Measures) -> str:
    """:return: Every measure of one agent, as the rows of a Markdown table"""
    rows = [f"| {title} | {value_of(measures, name)} |" for name, (title, _) in MEASURES.items() if name in measures]
    return "\n".join(["| measure | value [95 % bootstrap interval] |", "|---|---|", *rows])


def overview(every: Sequence[Measures]) -> str:
    """:return: The most telling measures of several agents, one row each, as Markdown"""
    head = ["", *(MEASURES[name][0] for name in OVERVIEW)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    walkers = []
    for measures in every:
        if "distance_m" in measures:
            walks = "; ".join(f"{MEASURES[name][0]}: {value_of(measures, name)}" for name in ("distance_m", "upright_steps"))
            walkers.append(f"`{measures['env']}`: {walks}; {measures['episodes']} episodes.")
        else:
            cells = [f"`{measures['env']}`", *(value_of(measures, name) for name in OVERVIEW)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *("\n" + walker for walker in walkers)])


def write_between_marks(file: Path, name: str, text: str) -> None:
    """
    Replace what stands between two marks in a Markdown file.

    :param file: Holds the marks ``<!-- name -->`` and ``<!-- /name -->``, once each, on lines of their own
    :param name: Name of the marks
    :param text: What is to stand there
    :raises ValueError: When the marks are not there, or several times; the file is left as it is
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    changed, n_places = re.subn(f"({begin}\n).*?({end})", lambda m: f"{m[1]}{text}\n{m[2]}", file.read_text(), flags=re.S)
    if n_places != 1:
        raise ValueError(f"{file} must hold the lines {begin} and {end} exactly once, found {n_places} such places")
    file.write_text(changed)
