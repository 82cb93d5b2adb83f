"""Defines the command ``film``, and what ``imitate`` does with a video."""

import argparse
import math
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from sb3_mimic.cli.common import add_agent, add_env, add_packages, load, positive

MIN_SIZE, MAX_SIZE = 36, 1024
RANDOM, AGENT, SLIDERS = "random", "agent", "sliders"
MOTION = "random, wave, circle, or a .csv with the columns time_s and JOINT_deg for each joint"


def add_commands(commands: Any) -> None:
    """Adds the commands of this module to the parser's."""
    film = commands.add_parser("film", help="film a robot that moves, with its joints in a table beside the film")
    add_env(film)
    add_packages(film)
    _add_motion(film, MOTION)
    film.add_argument("--size", type=positive, default=128, metavar="PIXELS", help="height of the film, even (default: 128)")
    film.add_argument("-o", "--output", type=Path, default=Path("clip.mp4"), help="a .mp4 or .gif (default: clip.mp4)")
    film.set_defaults(run=_film)

    mirror = commands.add_parser("mirror", help="let a robot mirror the one opposite, which it only sees, and animate it")
    add_env(mirror)
    add_packages(mirror)
    add_agent(mirror)
    _add_motion(mirror, f"{MOTION}; agent, which takes random poses; or sliders, in a window")
    mirror.add_argument("--both", action="store_true", help="let both mirror each other, from where they happen to be")
    mirror.add_argument("-o", "--output", type=Path, default=Path("mirror.gif"), help="a .gif or .mp4 (default: mirror.gif)")
    mirror.set_defaults(run=_mirror)


def _add_motion(parser: argparse.ArgumentParser, motion: str) -> None:
    """Adds to a command the arguments that say how a robot moves."""
    parser.add_argument("--motion", default=RANDOM, metavar="HOW", help=f"{motion} (default: {RANDOM})")
    parser.add_argument("--seed", type=int, default=0, help="which random motion or poses (default: 0)")
    parser.add_argument("--speed", type=float, default=90.0, help="no joint is faster, in deg/s (default: 90)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long (default: 5)")
    parser.add_argument("--fps", type=positive, default=30, help="frames per second (default: 30)")


def _n_frames(args: argparse.Namespace) -> int:
    """
    Returns how many frames a film has.

    :raises InputError: When it has none
    """
    from sb3_mimic.errors import InputError

    n_frames = round(args.seconds * args.fps) if math.isfinite(args.seconds) else 0
    if n_frames < 1:
        raise InputError(f"A film must be longer than a frame, got --seconds {args.seconds:g} at --fps {args.fps}.")
    return n_frames


def _film(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from sb3_mimic.agents.environments import make_env
    from sb3_mimic.agents.films import TABLES, TIME, columns_of, film, in_units, motion_of, write_table
    from sb3_mimic.errors import InputError
    from sb3_mimic.pictures.animation import AnimationWriter, check_animation_path
    from sb3_mimic.writing import check_output

    check_animation_path(args.output)
    n_frames = _n_frames(args)
    if not MIN_SIZE <= args.size <= MAX_SIZE or args.size % 2:
        raise InputError(f"A film must be {MIN_SIZE} to {MAX_SIZE} pixels high, an even number, got --size {args.size}.")
    table = check_output(args.output.with_suffix(".csv"), TABLES)
    if table.resolve() == Path(args.motion).resolve():
        raise InputError(f"{table} is the motion itself, and would be written over. Give the film another name with -o.")
    with closing(make_env(None, args.env)) as env:
        env.reset(seed=0)
        motion = motion_of(env, args.motion, math.radians(args.speed), args.seed)
        rows = []
        with AnimationWriter(args.output, args.fps) as writer:
            frames = film(env, motion, n_frames, args.fps, args.size)
            for index, (qpos, frame) in enumerate(tqdm(frames, total=n_frames, unit="frame")):
                writer.write(frame)
                rows.append([round(index / args.fps, 6), *in_units(env, qpos)])
        write_table(table, [TIME, *columns_of(env)], rows)
    print(f"Wrote {args.output}, and the joints in it: {table}")


def _mirror(args: argparse.Namespace) -> None:
    import numpy as np
    from tqdm import tqdm

    from sb3_mimic.agents.driving import SliderMotion
    from sb3_mimic.agents.environments import make_env
    from sb3_mimic.agents.mirroring import Mirrored, Spectator, mirror, mirror_each_other, mirror_errors
    from sb3_mimic.errors import InputError, WindowError
    from sb3_mimic.pictures.animation import AnimationWriter, check_animation_path
    from sb3_mimic.pictures.drawing import caption, enlarge
    from sb3_mimic.translator.training import torch_threads

    check_animation_path(args.output)
    if args.both and args.motion != RANDOM:
        raise InputError(f"--both drives none of the robots: leave out --motion {args.motion}.")
    n_frames, agent = _n_frames(args), load(args)
    moments: list[Mirrored] = []
    window: SliderMotion | None = None
    with ExitStack() as stack:
        envs = [
            stack.enter_context(closing(make_env(agent, args.env, render_mode="rgb_array")))
            for _ in range(2 if args.both or args.motion == AGENT else 1)
        ]
        for env in envs:
            env.reset(seed=0)
        spectator = Spectator(envs[0])
        stack.enter_context(torch_threads(1))
        if args.both:
            pairs = mirror_each_other((agent, agent), (envs[0], envs[1]), n_frames, args.fps)
            found: Iterator[Mirrored] = (first for first, _ in pairs)
        else:
            motion = _driver(args, agent, envs)
            window = motion if isinstance(motion, SliderMotion) else None
            if window is not None:
                stack.callback(window.close)
            found = mirror(agent, envs[0], motion, n_frames, args.fps)
        writer = stack.enter_context(AnimationWriter(args.output, args.fps))

        def write(each: Mirrored) -> None:
            left = caption(spectator(each.taken, each.driven), "both" if args.both else "mirroring, and driven")
            writer.write(np.hstack((left, caption(enlarge(each.seen, left.shape[0]), "what the left one sees"))))

        bar = stack.enter_context(tqdm(total=n_frames, unit="frame"))
        try:
            for each in found:
                moments.append(each)
                if window is None:
                    write(each)
                else:
                    window.show(each.driven, each.taken)
                bar.update()
        except (KeyboardInterrupt, WindowError):
            if not moments:
                raise
            bar.write("Stopped: what was shown until now is kept.")
        if window is not None:
            # Somebody was waiting for the robots meanwhile
            for each in tqdm(moments, desc="writing", unit="frame"):
                write(each)
        first, last = (mirror_errors(envs[0], part) for part in (moments[:1], moments[n_frames // 5 :]))
    told = " and ".join(f"{_told(name)} {value:.2f}" for name, value in last.items())
    begun = f"{_told('joint_error_deg')} {first['joint_error_deg']:.2f} at the start, then " if args.both else ""
    print(f"Apart from the mirror image: {begun}{told}. Wrote {args.output}")


def _driver(args: argparse.Namespace, agent: Any, envs: list[Any]) -> Any:
    """Returns how the robot is driven that is to be mirrored."""
    from sb3_mimic.agents.driving import AgentMotion, SliderMotion
    from sb3_mimic.agents.films import motion_of

    if args.motion == AGENT:
        return AgentMotion(agent, envs[1], args.seed)
    if args.motion == SLIDERS:
        return SliderMotion(envs[0])
    return motion_of(envs[0], args.motion, math.radians(args.speed), args.seed)


def _told(name: str) -> str:
    """Returns the name of a measure in words."""
    return name.replace("_error_", " error, ").replace("keypoint", "key-point")


def follow(args: argparse.Namespace) -> None:
    """
    Lets an agent follow a video.

    :param args: Arguments of ``imitate``
    """
    from tqdm import tqdm

    from sb3_mimic.agents.environments import make_env
    from sb3_mimic.agents.films import TABLES
    from sb3_mimic.agents.following import Followed, follow_video, tracking_errors
    from sb3_mimic.pictures.animation import AnimationWriter, check_animation_path
    from sb3_mimic.pictures.videos import open_video
    from sb3_mimic.translator.training import torch_threads
    from sb3_mimic.writing import check_output

    check_animation_path(args.output)
    # Not the name that the truth beside a film has
    table = check_output(args.poses or args.output.with_name(f"{args.output.stem}-poses.csv"), TABLES)
    video = open_video(args.video if args.camera is None else args.camera, args.fps)
    agent = load(args)
    followed: list[Followed] = []
    with closing(make_env(agent, args.env, render_mode="rgb_array")) as env, ExitStack() as stack:
        stack.enter_context(torch_threads(1))
        bar = stack.enter_context(tqdm(total=video.n_frames, unit="frame"))
        writer = stack.enter_context(AnimationWriter(args.output, round(video.fps)))
        how = args.lead / 1000, not args.no_refine, args.force, writer.write
        try:
            for each in follow_video(agent, env, video, video.fps, *how):
                followed.append(each)
                bar.update()
        except KeyboardInterrupt:
            # A camera goes on until then
            bar.write("Stopped: what was followed until now is kept.")
        _write(table, env, followed)
        true = None if args.camera is not None else _truth(Path(args.video).with_suffix(".csv"), table, env, followed)
        errors = tracking_errors(env, followed, true)
    lag = errors.pop("lag_ms")
    told = [f"{_told(name)} {value:.2f}" for name, value in errors.items()]
    against = "what was read" if true is None else "the truth beside the video"
    print(f"{len(followed)} frames, against {against}: {', '.join(told)}; {abs(lag):.0f} ms {'late' if lag >= 0 else 'early'}")
    if n_lost := sum(not each.is_readable for each in followed):
        print(f"{n_lost} of them did not look like pictures of the robot, and were passed over.")
    print(f"Wrote {args.output} and {table}")


def _write(table: Path, env: Any, followed: Any) -> None:
    """Writes what was read and what was taken, joint by joint."""
    from sb3_mimic.agents.films import TIME, columns_of, in_units, write_table

    layout, columns = env.unwrapped.pose_layout, columns_of(env)
    rows = [
        [round(each.time, 6), *(value for pose in (each.read, each.taken) for value in in_units(env, layout.joints(pose)))]
        for each in followed
    ]
    write_table(table, [TIME, *(f"{what}_{name}" for what in ("read", "taken") for name in columns)], rows)


def _truth(beside: Path, written: Path, env: Any, followed: Any) -> Any:
    """Returns the poses that a table beside a video tells, or None where there is none."""
    from sb3_mimic.agents.films import Script, read_table

    if not beside.is_file() or beside.resolve() == written.resolve():
        return None
    bare = env.unwrapped
    motion = Script(*read_table(beside, bare.joint_names))
    return [bare.pose_of(motion.qpos(each.time)) for each in followed]
