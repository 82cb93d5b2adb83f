"""Defines the commands ``export-translator`` and ``import-translator``."""

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

from sb3_mimic.cli.common import add_agent, add_env, add_packages, load


def add_commands(commands: Any) -> None:
    """Adds the commands of this module to the parser's."""
    exporting = commands.add_parser("export-translator", help="write an agent's translator alone, as safetensors")
    add_env(exporting)
    add_packages(exporting)
    add_agent(exporting)
    exporting.add_argument(
        "-o", "--output", type=Path, default=Path("translator.safetensors"), help="default: translator.safetensors"
    )
    exporting.set_defaults(run=_export_translator)

    importing = commands.add_parser("import-translator", help="give an agent another translator, and write it as a new zip")
    importing.add_argument("file", type=Path, help="a .safetensors file that export-translator wrote")
    add_env(importing)
    add_packages(importing)
    add_agent(importing)
    importing.add_argument(
        "--class",
        dest="translator_class",
        metavar="NAME",
        help="its class, if it is your own: package.module.Name",
    )
    importing.add_argument("-o", "--output", type=Path, required=True, help="the .zip to write")
    importing.set_defaults(run=_import_translator)


def _export_translator(args: argparse.Namespace) -> None:
    from sb3_mimic.translator.files import save_translator
    from sb3_mimic.writing import check_output

    check_output(args.output, (".safetensors",))
    agent = load(args)
    translator = agent.translator
    print(f"Wrote {save_translator(translator, args.output, _layout(agent, args.env))}")


def _import_translator(args: argparse.Namespace) -> None:
    import io

    from sb3_mimic.agents.translators import give_translator
    from sb3_mimic.translator.files import import_class, replace_translator
    from sb3_mimic.writing import check_output, write_whole
    from sb3_mimic.zoo.scripts import look_in_current_folder

    check_output(args.output, (".zip",))
    look_in_current_folder()
    translator_class = import_class(args.translator_class) if args.translator_class else None
    agent = load(args)
    layout = _layout(agent, args.env)
    if translator_class is None:
        replace_translator(agent.translator, args.file, layout)
    else:
        give_translator(agent, args.file, translator_class, layout)
    stream = io.BytesIO()
    agent.model.save(stream)
    write_whole(args.output, stream.getvalue())
    print(f"Wrote {args.output}")


def _layout(agent: Any, env_id: str) -> Any:
    """Returns the layout of the vector whose first numbers an agent reads."""
    from sb3_mimic.agents.environments import layout_read, make_env

    with closing(make_env(agent, env_id, render_mode="rgb_array")) as env:
        return layout_read(env, agent.translator.state_dim)
