"""Which states a transition is replayed with as goals."""

from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_mimic.errors import InputError

Indices = npt.NDArray[np.int64]


class GoalSelectionStrategy(Enum):
    """
    The strategies of Andrychowicz et al. (https://arxiv.org/abs/1707.01495) for choosing a state that was achieved as the
    goal of a transition.
    """

    #: The state in which the episode ended
    FINAL = "final"
    #: A state of the same episode from the end of the transition on, as SB3 and OpenAI's baselines choose it: the transition
    #: itself may be what achieves the goal
    FUTURE = "future"
    #: A state of the same episode that came after the transition, as the paper puts it: at least one step later
    STRICT_FUTURE = "strict_future"
    #: Any state that was achieved in the same episode
    EPISODE = "episode"
    #: Any state that was achieved in the whole training, as far as it is still stored
    RANDOM = "random"

    @classmethod
    def of(cls, strategy: Any) -> "GoalSelectionStrategy":
        """
        Finds a strategy.

        :param strategy: Its name, in any case, or one of SB3's or of these strategies
        :return: The strategy
        :raises InputError: When there is none of that name
        """
        name = strategy.name if isinstance(strategy, Enum) else str(strategy)
        try:
            return cls[name.upper()]
        except KeyError:
            known = ", ".join(each.value for each in cls)
            raise InputError(f"There is no goal_selection_strategy {strategy!r}. Use one of: {known}.") from None

    @property
    def n_later(self) -> int:
        """Returns how many transitions must come after one in its episode, so that it can be given a goal."""
        return int(self is GoalSelectionStrategy.STRICT_FUTURE)

    def draw_steps(self, step: Indices, length: Indices) -> Indices:
        """
        Draws for each transition the one at whose end its goal was achieved, within its episode. Numbers come from numpy's
        global random state, as all of SB3's buffers draw them; those of RANDOM are drawn from the whole buffer instead.

        :param step: Places of the transitions in their episodes, from 0 on, shape (n,)
        :param length: Numbers of transitions of those episodes, shape (n,)
        :return: Places in those episodes, shape (n,)
        """
        if self is GoalSelectionStrategy.FINAL:
            return length - 1
        first = np.zeros_like(step) if self is GoalSelectionStrategy.EPISODE else step + self.n_later
        return first + (np.random.random_sample(len(step)) * (length - first)).astype(np.int64)
