"""Writes measures as tables for people."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_mimic.errors import OutputError
from sb3_mimic.writing import check_output, write_whole

Measures = Mapping[str, Any]

# Name of a measure, what it is called, how many digits it is given with
MEASURES = {
    "success": ("success (5 cm)", 3),
    "success_2cm": ("success at 2 cm", 3),
    "held": ("held (0.1 m for 50 steps)", 3),
    "joint_error_deg": ("joint error, deg", 2),
    "keypoint_error_cm": ("key-point error, cm", 2),
    "object_error_cm": ("distance of things from their goals, cm", 2),
    "success_from_image": ("success from image (5 cm)", 3),
    "success_2cm_from_image": ("success from image at 2 cm", 3),
    "held_from_image": ("held from image", 3),
    "joint_error_deg_from_image": ("joint error from image, deg", 2),
    "keypoint_error_cm_from_image": ("key-point error from image, cm", 2),
    "object_error_cm_from_image": ("distance of things from their goals, from image, cm", 2),
    "success_from_image_read_once": ("success from image (5 cm), read once", 3),
    "keypoint_error_cm_from_image_read_once": ("key-point error from image, read once, cm", 2),
    "translator_joint_error_deg": ("translator: median joint error, deg", 2),
    "translator_joint_error": ("translator: mean error of joints and how things lie, of their ranges", 4),
    "translator_keypoint_error_cm": ("translator: mean key-point error, cm", 2),
    "translator_object_error_cm": ("translator: mean error of where things are, cm", 2),
    "translator_camera_position_error_cm": ("translator: mean error of the camera's position, cm", 2),
    "translator_camera_direction_error_deg": ("translator: mean error of the camera's direction, deg", 2),
    "translator_camera_fov_error": ("translator: mean error of the field of view, relative", 3),
    "decision_ms": ("one decision, ms", 2),
    "distance_m": ("distance walked, m", 2),
    "upright_steps": ("steps upright", 0),
    "return": ("return", 1),
}
# What the table of all agents shows of those that take poses
OVERVIEW = (
    "success",
    "success_from_image",
    "success_2cm_from_image",
    "keypoint_error_cm",
    "translator_joint_error_deg",
    "translator_keypoint_error_cm",
    "decision_ms",
)
# How a picture of each kind is read: what it is called, how many digits
SIGHT = {
    "translator": ("translator alone", 2),
    "refined": ("with render and compare", 3),
    "within": ("within the stated 90 %", 3),
    "refused": ("refused", 3),
    "ms": ("a reading, ms", 1),
}
# Of what the table of all agents shows the error with render and compare
SEEN = (
    "own camera",
    "256 px",
    "darker",
    "grey background",
    "noise",
    "jpeg",
    "random background",
    "grey-scale",
    "bar",
    "camera moved by 5 cm and 5 deg",
)


# Digits of a measure that is not in the table above: that of a state's part of a user's own
DIGITS = 3


def titles_of(measures: Measures) -> dict[str, tuple[str, int]]:
    """Returns the title and the number of digits of every measure that was taken, by name."""
    taken = [name for name, value in measures.items() if isinstance(value, Mapping) and "interval" in value]
    # Not all that is measured of our own is shown
    own = [name for name in taken if name not in MEASURES and _stem(name) not in MEASURES]
    known = {name: title for name, title in MEASURES.items() if name in measures}
    return known | {name: (name.replace("_", " "), DIGITS) for name in own}


def _stem(name: str) -> str:
    """Returns the name of what is measured, without how it was measured."""
    return name.removesuffix("_read_once").removesuffix("_from_image").removeprefix("translator_")


def value_of(measures: Measures, name: str) -> str:
    """Formats a measure with its 95 % bootstrap interval, or as a dash where it was not taken."""
    if name not in measures:
        return "-"
    digits, (low, high) = titles_of(measures)[name][1], measures[name]["interval"]
    return f"{measures[name]['value']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def table_of(measures: Measures) -> str:
    """Writes every measure of one agent as the rows of a Markdown table."""
    rows = [f"| {title} | {value_of(measures, name)} |" for name, (title, _) in titles_of(measures).items()]
    return "\n".join(["| measure | value [95 % bootstrap interval] |", "|---|---|", *rows])


def sight_table_of(measures: Measures) -> str:
    """Writes how one agent reads pictures of each kind as a Markdown table; empty where that was not measured."""
    if "sight" not in measures:
        return ""
    unit = f", {_unit(measures)}" if _unit(measures) else ""
    head = ["picture", *(title + unit * (name in ("translator", "refined")) for name, (title, _) in SIGHT.items())]
    rows = [f"| {kind} | {' | '.join(_read(found, name) for name in SIGHT)} |" for kind, found in measures["sight"].items()]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows])


def sight_overview(every: Sequence[Measures]) -> str:
    """Writes how several agents read pictures, after render and compare, as a Markdown table, one row each."""
    head = ["", *SEEN, "within the stated 90 %", "refused of its own", "not refused of others"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for measures in every:
        if "sight" not in measures:
            continue
        sight = measures["sight"]
        others = [found["refused"]["value"] for found in sight.values() if "refined" not in found]
        cells = [_read(sight.get(kind, {}), "refined") for kind in SEEN]
        cells += [_read(sight["own camera"], name) for name in ("within", "refused")]
        cells.append(f"{1 - sum(others) / len(others):.3f}" if others else "-")
        unit = " (cm)" if _unit(measures) == "cm" else ""
        lines.append(f"| `{measures['env']}`{unit} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _unit(measures: Measures) -> str:
    """Returns the unit in which readings are measured: that of angles, or of places; empty where it is not known."""
    if "translator_joint_error_deg" in measures:
        return "deg"
    return "cm" if {"translator_object_error_cm", "translator_keypoint_error_cm"} & measures.keys() else ""


def _read(found: Measures, name: str) -> str:
    return f"{found[name]['value']:.{SIGHT[name][1]}f}" if name in found else "-"


def overview(every: Sequence[Measures]) -> str:
    """Writes the most telling measures of several agents as a Markdown table, one row each."""
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


def check_marks(file: Path, name: str) -> None:
    """
    Checks that text can be written between two marks in a Markdown file, before the work of making that text begins.

    :param file: Must hold the marks ``<!-- name -->`` and ``<!-- /name -->``, once each, on lines of their own
    :param name: Name of the marks
    :raises OutputError: When the file is missing or cannot be written, or the marks are not there, or several times
    """
    check_output(file)
    _with_text(file, name, "")


def has_marks(file: Path, name: str) -> bool:
    """Whether a Markdown file has the marks ``<!-- name -->`` and ``<!-- /name -->``."""
    text = file.read_text()
    return f"<!-- {name} -->" in text and f"<!-- /{name} -->" in text


def write_between_marks(file: Path, name: str, text: str) -> None:
    """
    Replaces what stands between two marks in a Markdown file.

    :param file: See :func:`check_marks`
    :param name: Name of the marks
    :param text: What is to stand there
    :raises OutputError: When the marks are not there, or several times; the file is left as it is
    """
    write_whole(file, _with_text(file, name, text))


def _with_text(file: Path, name: str, text: str) -> str:
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    try:
        before = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"Cannot read {file}, in which a table is to be written: {error}") from error
    changed, n_places = re.subn(f"({begin}\n).*?({end})", lambda m: f"{m[1]}{text}\n{m[2]}", before, flags=re.S)
    if n_places != 1:
        raise OutputError(f"{file} must hold the lines {begin} and {end} exactly once, found {n_places} such places")
    return changed
