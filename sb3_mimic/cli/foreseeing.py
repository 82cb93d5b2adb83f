"""Defines the command ``foresee``."""

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

from sb3_mimic.cli.common import add_env, add_packages, positive

# After so many steps figures are told
TOLD = (1, 5, 10, 20, 50)


def add_commands(commands: Any) -> None:
    """Adds the command of this module to the parser's."""
    foresee = commands.add_parser("foresee", help="draw what a predictor foresees beside what comes")
    add_env(foresee)
    add_packages(foresee)
    foresee.add_argument("--predictor", type=Path, metavar="FILE", help="what fit has written (default: the shipped one)")
    foresee.add_argument("--steps", type=positive, default=20, metavar="N", help="how far ahead (default: 20)")
    foresee.add_argument("--policy", choices=("random", "smooth"), default="smooth", help="actions (default: smooth)")
    foresee.add_argument("--seed", type=int, default=0, help="of the episode (default: 0)")
    foresee.add_argument("--fps", type=positive, default=10, help="frames per second of the animation (default: 10)")
    foresee.add_argument(
        "-o", "--output", type=Path, default=Path("foreseen.gif"), help="a .gif or .mp4; a strip as .png beside"
    )
    foresee.set_defaults(run=_foresee)


def _foresee(args: argparse.Namespace) -> None:
    from sb3_mimic.agents.environments import make_env
    from sb3_mimic.agents.foreseeing import find_predictor, foresee, let_draw
    from sb3_mimic.data.collection import POLICIES
    from sb3_mimic.pictures.animation import AnimationWriter, check_animation_path
    from sb3_mimic.pictures.files import write_picture
    from sb3_mimic.translator.training import torch_threads
    from sb3_mimic.writing import check_output

    check_animation_path(args.output)
    strip = check_output(args.output.with_suffix(".png"), (".png",))
    predictor = find_predictor(args.env, args.predictor)
    with closing(make_env(None, args.env)) as env, torch_threads(1):
        let_draw(predictor, env)
        foreseen = foresee(env, predictor, POLICIES[args.policy](), args.steps, args.seed)
    with AnimationWriter(args.output, args.fps) as writer:
        for index in range(args.steps):
            writer.write(foreseen.side_by_side(index))
    write_picture(strip, foreseen.strip())
    quality = foreseen.psnr()
    told = ", ".join(f"{step}: {quality[step - 1]:.1f}" for step in TOLD if step <= args.steps)
    print(f"PSNR in dB by steps ahead: {told}")
    print(f"Wrote {args.output}, and {strip}: what came above what was foreseen, from left to right")
