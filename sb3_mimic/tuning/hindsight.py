"""Tunes how our replay buffer chooses goals, within studies that are rl-zoo3's own."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from sb3_mimic.her.goal_selection_strategy import GoalSelectionStrategy

#: In an entry, and in what a trial remembers
REPLAY_BUFFER_KWARGS = "replay_buffer_kwargs"

Entry = dict[str, Any]


@contextmanager
def tuned_hindsight(samplers: MutableMapping[str, Callable[..., Entry]], algo: str) -> Iterator[None]:
    """
    Lets the zoo's search space of an algorithm draw what our replay buffer takes, too: the zoo does so for SB3's alone.

    :param samplers: The zoo's search spaces, by the name of their algorithm; as they were afterwards
    :param algo: Name of the algorithm
    """
    sampler = samplers[algo]

    def sample(trial: Any, n_actions: int, n_envs: int, additional_args: Entry) -> Entry:
        drawn = sampler(trial, n_actions, n_envs, additional_args)
        return {**drawn, REPLAY_BUFFER_KWARGS: suggest_hindsight(trial, additional_args["her_kwargs"])}

    samplers[algo] = sample
    try:
        yield
    finally:
        samplers[algo] = sampler


def suggest_hindsight(trial: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """
    Draws how transitions are relabelled, and lets the trial remember it.

    :param trial: An Optuna trial
    :param kwargs: Arguments of :class:`~sb3_mimic.her.her_replay_buffer.HerReplayBuffer` to start from; what becomes of goals
        that had been achieved already is drawn where they name it: not every environment tells success
    :return: Arguments, plain data
    """
    drawn = {
        **kwargs,
        "n_sampled_goal": trial.suggest_categorical("n_sampled_goal", [1, 2, 4, 8]),
        "goal_selection_strategy": trial.suggest_categorical(
            "goal_selection_strategy", [strategy.value for strategy in GoalSelectionStrategy]
        ),
    }
    if "already_achieved" in kwargs:
        drawn["already_achieved"] = trial.suggest_categorical("already_achieved", ["keep", "redraw", 0.1, 0.3])
    trial.set_user_attr(REPLAY_BUFFER_KWARGS, drawn)
    return drawn
