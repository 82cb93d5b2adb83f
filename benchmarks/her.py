"""Trains with one way of hindsight beside another on MimicPushState-v0, and draws how fast each of them learns."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.hindsight import (
    Run,
    Setting,
    base_entry,
    grouped,
    how_measured,
    reached,
    run_of,
    stacked,
    study_parser,
    train,
    trained,
)
from benchmarks.study import DOCS, REPOSITORY, Curves, Record, band, draw_curves
from sb3_mimic.agents.tables import write_between_marks
from sb3_mimic.her import GoalSelectionStrategy

ENV_ID = "MimicPushState-v0"
RESULTS = REPOSITORY / "benchmarks" / "her.jsonl"
LEVELS = (0.5, 0.9)
# Steps of a training: while some still learn and some have learnt
N_TIMESTEPS = 60_000

STRATEGIES = tuple(strategy.value for strategy in GoalSelectionStrategy)
N_SAMPLED_GOAL = (1, 4, 8)
ALREADY_ACHIEVED = ("keep", "redraw", 0.1, 0.3)
# Where the strategy is not what is compared
PLAIN = ("future", 4)
# These can be told apart by colour-blind people
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")


def settings(entry: dict[str, Any]) -> dict[str, Setting]:
    """
    :param entry: Hyperparameters that all share
    :return: What is compared, by its name: arguments of the replay buffer
    """
    common = entry.get("replay_buffer_kwargs", {})
    found: dict[str, Setting] = {}
    for strategy in STRATEGIES:
        for k in N_SAMPLED_GOAL:
            found[f"{strategy}-{k}"] = {**common, "goal_selection_strategy": strategy, "n_sampled_goal": k}
    plain = "-".join(map(str, PLAIN))
    for already in ALREADY_ACHIEVED:
        setting = {**found[plain], "already_achieved": already}
        if setting != found[plain]:
            found[f"{plain}-{already}"] = setting
    return found


def curves(records: Iterable[Record]) -> Curves:
    """:return: By setting, the steps of the measures, and the success there, shape (n_seeds, n_measures)"""
    return {name: (group[0]["steps"], stacked(group, "success")) for name, group in grouped(records).items()}


def table(records: Sequence[Record]) -> str:
    """:return: Markdown: for each setting the success at the end with its interval, and steps and seconds to each level"""
    first = records[0]
    heads = "".join(f" to {level} |" for level in LEVELS)
    lines = [
        f"| strategy | k | `already_achieved` | seeds | success after {first['n_timesteps']:,} steps |{heads}",
        "|---|---|---|---|---|" + "---|" * len(LEVELS),
    ]
    for group in grouped(records).values():
        setting = group[0]["replay_buffer_kwargs"]
        mean, low, high = band(stacked(group, "success"))
        shown = [setting[name] for name in ("goal_selection_strategy", "n_sampled_goal")]
        shown += [setting.get("already_achieved", "keep"), len(group), f"{mean[-1]:.2f} [{low[-1]:.2f}, {high[-1]:.2f}]"]
        shown += [reached(group, level) for level in LEVELS]
        lines.append("| " + " | ".join(map(str, shown)) + " |")
    return "\n".join([*lines, "", how_measured(records)])


def panels(records: Sequence[Record]) -> dict[str, Curves]:
    """:return: By the title of a panel, its curves: for each k of the strategies, and of what had been achieved already"""
    last = f"{PLAIN[0]}, k = {PLAIN[1]}, already_achieved"
    found: dict[str, Curves] = {**{f"k = {k}": {} for k in N_SAMPLED_GOAL}, last: {}}
    groups = grouped(records)
    for name, curve in curves(records).items():
        setting = groups[name][0]["replay_buffer_kwargs"]
        strategy, k = setting["goal_selection_strategy"], setting["n_sampled_goal"]
        if name == f"{strategy}-{k}":
            found[f"k = {k}"][strategy] = curve
        if (strategy, k) == PLAIN:
            found[last][str(setting.get("already_achieved", "keep"))] = curve
    return {title: group for title, group in found.items() if group}


def draw(records: Sequence[Record], picture: Path) -> None:
    """
    :param records: What to draw
    :param picture: The file to write
    """
    colours = dict(zip(STRATEGIES, COLOURS, strict=True)) | dict(zip(map(str, ALREADY_ACHIEVED), COLOURS, strict=False))
    styles = {name: (colour, "-") for name, colour in colours.items()}
    drawn = panels(records)
    n_rows = -(-len(drawn) // 2)
    figure = Figure(figsize=(13, 4.6 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, 2, squeeze=False).ravel()
    for ax in axes[len(drawn) :]:
        ax.set_axis_off()
    for ax, (title, group) in zip(axes, drawn.items(), strict=False):
        draw_curves(ax, group, styles)
        ax.set_title(title)
    figure.savefig(picture, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, then draw all that is there."""
    entry = base_entry(ENV_ID)
    known = settings(entry)
    parser = study_parser("python -m benchmarks.her", __doc__, list(known), RESULTS, DOCS)
    parser.set_defaults(steps=N_TIMESTEPS)
    args = parser.parse_args(arguments)

    def run(name: str, seed: int) -> Run:
        return run_of(args, ENV_ID, name, entry | {"replay_buffer_kwargs": known[name]}, seed)

    records = trained(args, list(known), run, train)
    draw(records, args.docs / "images" / "her.png")
    text = f"![Learning curves of all that is compared](images/her.png)\n\n{table(records)}"
    print(text)
    write_between_marks(args.docs / "her.md", "her", text)


if __name__ == "__main__":
    main()
