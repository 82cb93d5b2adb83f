"""Defines the commands ``photograph`` and ``imitate``."""

import argparse
import contextlib
import math
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from sb3_mimic.cli.common import add_agent, add_env, add_packages, describe, load, picture_size, positive, unit_of
from sb3_mimic.cli.filming import follow

# Frames per second of an animation
FPS = 25
# Of a photograph, in pixels
MIN_SIZE = 36


def add_commands(commands: Any) -> None:
    """Adds the commands of this module to the parser's."""
    photograph = commands.add_parser("photograph", help="take a picture of a random pose, with its truth inside the PNG")
    add_env(photograph)
    add_packages(photograph)
    photograph.add_argument("--seed", type=int, default=0, help="which random pose (default: 0)")
    photograph.add_argument(
        "--size", type=positive, metavar="PIXELS", help="height of the picture, up to 1024 (default: as the robot sees itself)"
    )
    photograph.add_argument("-o", "--output", type=Path, default=Path("pose.png"), help="a .png file (default: pose.png)")
    photograph.set_defaults(run=_photograph)

    imitate = commands.add_parser(
        "imitate", help="take the pose in each picture, or follow a video, and write an animation of it"
    )
    add_env(imitate)
    add_packages(imitate)
    add_agent(imitate)
    shown = imitate.add_mutually_exclusive_group(required=True)
    shown.add_argument("--image", type=Path, nargs="+", help="PNG or JPEG pictures of poses")
    shown.add_argument(
        "--video", type=Path, help="a film, a .gif, or a folder of pictures: the robot does the same at the same time"
    )
    shown.add_argument("--camera", type=int, metavar="NUMBER", help="a camera to follow, until Ctrl-C; needs OpenCV")
    imitate.add_argument("-o", "--output", type=Path, default=Path("out.gif"), help="a .gif or .mp4 (default: out.gif)")
    imitate.add_argument("--steps", type=positive, default=100, help="control steps for each picture (default: 100)")
    imitate.add_argument(
        "--no-refine", action="store_true", help="believe what the translator reads, without drawing it and looking again"
    )
    imitate.add_argument("--force", action="store_true", help="act on pictures that do not look like ones of the robot too")
    imitate.add_argument("--fps", type=positive, help="of a video: frames per second (default: as it says itself)")
    imitate.add_argument(
        "--lead",
        type=float,
        default=33.3,
        help="of a video: how far ahead of what it sees the robot aims, in ms (default: 33.3)",
    )
    imitate.add_argument(
        "--poses", type=Path, help="of a video: a .csv or .json for what was read and taken (default: OUTPUT-poses.csv)"
    )
    imitate.set_defaults(run=_imitate)


def _photograph(args: argparse.Namespace) -> None:
    from sb3_mimic import keys
    from sb3_mimic.agents.environments import Goals, make_env
    from sb3_mimic.pictures.files import write_picture
    from sb3_mimic.pictures.truth import write_truth
    from sb3_mimic.writing import check_output

    check_output(args.output, (".png",))
    with closing(make_env(None, args.env, render_mode="rgb_array")) as env:
        goals = Goals.of(env)
        picture_size(env, keys.DESIRED_IMAGE)
        observation, _ = env.reset(seed=args.seed)
        write_picture(args.output, _photograph_of(env, observation[keys.DESIRED_IMAGE], args.size))
        pose = describe(env, goals.desired)
        write_truth(args.output, args.env, goals.desired, pose, _attribute(env, "renderer"))
        digits = unit_of(goals.layout)[1]
    truth = ", ".join(f"{name} {value:.{digits}f}" for name, value in pose.items())
    print(f"Wrote {args.output}, with the truth in it: {truth}")


def _photograph_of(env: Any, own: Any, size: int | None) -> Any:
    """
    Returns a photograph of the target pose, of the size asked for, by the environment's own camera.

    :raises InputError: When the size is out of range
    :raises UnsuitableEnvError: When the environment takes no pictures of any size but its own
    """
    from sb3_mimic.errors import InputError, UnsuitableEnvError
    from sb3_mimic.pictures.files import MAX_SIZE

    height, width = own.shape[:2]
    if size is None or size == height:
        return own
    sizes = size, size * width / height
    if min(sizes) < MIN_SIZE or max(sizes) > MAX_SIZE:
        raise InputError(f"A photograph must be {MIN_SIZE} to {MAX_SIZE} pixels high and wide, got --size {size}.")
    photograph = _attribute(env, "desired_photograph")
    if photograph is None:
        raise UnsuitableEnvError(
            f"{env.spec.id if env.spec else env} takes pictures of {width}x{height} pixels only. Leave out --size {size}."
        )
    return photograph(size)


def _attribute(env: Any, name: str) -> Any:
    """Returns an attribute of an environment or of one of its wrappers, or None."""
    return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None


def _imitate(args: argparse.Namespace) -> None:
    if args.image is None:
        follow(args)
        return
    from tqdm import tqdm

    from sb3_mimic import keys
    from sb3_mimic.agents.environments import Goals, make_env
    from sb3_mimic.agents.imitation import imitate, side_by_side, unreadable
    from sb3_mimic.errors import UnreadablePictureError
    from sb3_mimic.pictures.animation import check_animation_path
    from sb3_mimic.pictures.files import read_full_picture, write_picture
    from sb3_mimic.pictures.truth import read_truth
    from sb3_mimic.translator.training import torch_threads

    check_animation_path(args.output)
    agent = load(args)
    refused: list[str] = []
    with closing(make_env(agent, args.env, render_mode="rgb_array")) as env:
        layout = Goals.of(env).layout
        height, width = picture_size(env, keys.IMAGE)
        targets = [read_full_picture(path, width / height, _warn) for path in args.image]
        truths = [read_truth(path, args.env, layout.dim) for path in args.image]

        def refuse(index: int, reading: Any) -> None:
            beside = args.output.with_name(f"{args.output.stem}-picture-{index + 1}-unreadable.png")
            write_picture(beside, side_by_side(targets[index], reading))
            refused.append(f"{unreadable(env, str(args.image[index]), reading, '--force')} Compare: {beside}")
            # What was taken before is kept, and what comes after it is taken
            bar.update()

        with contextlib.ExitStack() as stack:
            stack.enter_context(torch_threads(1))
            bar = stack.enter_context(tqdm(total=len(targets), unit="picture"))
            frames = _Frames(args.output, stack)
            results = imitate(
                agent, env, targets, args.steps, on_frame=frames.write, refine=not args.no_refine, force=args.force,
                on_unreadable=refuse,
            )  # fmt: skip
            for result in results:
                bar.update()
                path, truth = args.image[result.index], truths[result.index]
                for line in _told(env, layout, path, result):
                    bar.write(line)
                if truth is not None:
                    bar.write(f"    pose read: {_errors(layout, result.estimate, truth)}")
                    bar.write(f"    pose taken: {_errors(layout, result.taken, truth)}")
    if len(refused) < len(targets):
        print(f"Wrote {args.output}")
    if refused:
        raise UnreadablePictureError(" ".join(refused))


class _Frames:
    """Begins an animation when its first frame comes: where no picture can be read there is none."""

    def __init__(self, path: Path, stack: contextlib.ExitStack):
        self._path, self._stack = path, stack
        self._writer: Any = None

    def write(self, frame: Any) -> None:
        from sb3_mimic.pictures.animation import AnimationWriter

        if self._writer is None:
            self._writer = self._stack.enter_context(AnimationWriter(self._path, FPS))
        self._writer.write(frame)


def _warn(sentence: str) -> None:
    print(f"sb3-mimic: {sentence}", file=sys.stderr)


def _told(env: Any, layout: Any, path: Path, result: Any) -> list[str]:
    """Says in words what was read in a picture, and how sure that is."""
    unit, digits = unit_of(layout)
    values = describe(env, result.estimate)
    widths = [""] * len(values)
    if result.half_width is not None:
        factor = math.degrees(1) if "joints" in layout and layout["joints"].unit == "rad" else 1.0
        widths = [f" \u00b1 {max(factor * width, 10.0**-digits):.{digits}f}" for width in result.half_width]
    pose = ", ".join(f"{name} {value:.{digits}f}{width}" for (name, value), width in zip(values.items(), widths, strict=True))
    lines = [f"{path}: estimated pose{unit}: {pose}"]
    if result.reading is not None:
        if result.reading.hidden:
            lines.append(f"    warning: the picture hardly shows how {', '.join(result.reading.hidden)} stands")
        if not result.reading.is_readable:
            lines.append(f"    warning: it does not look like a picture of the robot: {result.reading.reason}")
    return lines


def _errors(layout: Any, vector: Any, truth: Any) -> str:
    """Writes the error of each part in words."""
    units = {"deg": "deg", "cm": "cm", "deg_per_s": "deg/s"}
    found = []
    for name, error in layout.errors(vector, truth).items():
        what, _, unit = name.partition("_error")
        unit = unit.removeprefix("_")
        found.append(f"{what.replace('keypoint', 'key-point')} error {error:.2f} {units.get(unit, unit)}".rstrip())
    return ", ".join(found)
