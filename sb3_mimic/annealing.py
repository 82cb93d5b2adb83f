"""Changes learning rate, clip range and the actions' standard deviation as training goes on."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import FloatSchedule

# Part of the training that is done, in [0, 1] -> part of the way from the initial to the final value, in [0, 1]
SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda progress: progress,
    "cosine": lambda progress: (1 - math.cos(math.pi * progress)) / 2,
}


@dataclass(frozen=True)
class Annealing:
    """
    Computes a schedule as SB3 understands it, and can be pickled.

    :param initial: Value at the beginning of the training
    :param final: Value at its end
    :param shape: ``linear``, or ``cosine``: slow at both ends
    :raises ValueError: When the shape is unknown, or a value is not a finite number
    """

    initial: float
    final: float
    shape: str = "linear"

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"Unknown shape {self.shape!r} of an annealing. Known shapes: {', '.join(SHAPES)}.")
        for name, value in {"initial": self.initial, "final": self.final}.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                hint = " YAML takes 1e-3 for text: write 1.0e-3." if isinstance(value, str) else ""
                raise ValueError(f"{name} must be a finite number, got {value!r}.{hint}")

    def __call__(self, progress_remaining: float) -> float:
        """
        Returns the value at a moment of the training.

        :param progress_remaining: Part of the training that is left; taken for 0 or 1 where it is outside of that
        """
        progress = min(max(1 - progress_remaining, 0.0), 1.0)
        return self.initial + (self.final - self.initial) * SHAPES[self.shape](progress)


class AnnealingCallback(BaseCallback):
    """
    Anneals what is named, from its ``initial`` to its ``final`` value, over the whole training. Each is given as a mapping
    with these two and a ``shape``, as in :class:`Annealing`.

    The values depend on ``num_timesteps`` and ``_total_timesteps`` of the model alone, and go on where they were when
    those are restored. The schedules of learning rate and clip range are part of the model, and saved with it.

    :param learning_rate: Of all optimisers of the algorithm
    :param clip_range: Of PPO's and RecurrentPPO's ratio
    :param log_std: Logarithm of the standard deviation of each action, set before every rollout. From then on it is not
        trained any more, and weighs nothing in the norm that gradients are clipped by
    :param verbose: Verbosity
    :raises ValueError: When a value is wrong, or nothing is named
    """

    def __init__(
        self,
        learning_rate: Mapping[str, Any] | None = None,
        clip_range: Mapping[str, Any] | None = None,
        log_std: Mapping[str, Any] | None = None,
        verbose: int = 0,
    ):
        super().__init__(verbose)
        self.learning_rate = _annealing("learning_rate", learning_rate, is_positive=True)
        self.clip_range = _annealing("clip_range", clip_range, is_positive=True)
        self.log_std = _annealing("log_std", log_std)
        if not (self.learning_rate or self.clip_range or self.log_std):
            raise ValueError("AnnealingCallback has nothing to anneal. Name learning_rate, clip_range or log_std.")

    def _init_callback(self) -> None:
        algorithm: Any = self.model
        if self.clip_range and not hasattr(algorithm, "clip_range"):
            raise ValueError(f"{type(algorithm).__name__} has no clip_range to anneal. Leave it out, or use PPO.")
        if self.log_std:
            self._log_std_parameter().requires_grad_(False).grad = None
        if self.clip_range:
            algorithm.clip_range = FloatSchedule(self.clip_range)
        if self.learning_rate:
            # The first of them is what a loaded model makes the second from
            algorithm.learning_rate = self.learning_rate
            algorithm.lr_schedule = FloatSchedule(self.learning_rate)

    def _on_rollout_start(self) -> None:
        if self.log_std:
            # The model's own figure is one training old in the first rollout
            progress_remaining = 1 - self.model.num_timesteps / self.model._total_timesteps
            self._log_std_parameter().data.fill_(self.log_std(progress_remaining))

    def _on_step(self) -> bool:
        return True

    def _log_std_parameter(self) -> th.nn.Parameter:
        log_std = getattr(self.model.policy, "log_std", None)
        if not isinstance(log_std, th.nn.Parameter):
            raise ValueError(
                f"{type(self.model.policy).__name__} has no log_std to anneal: its actions have no standard deviation of their"
                " own. Leave log_std out, or use PPO with continuous actions."
            )
        if getattr(self.model, "use_sde", False):
            raise ValueError(
                "With use_sde=True, log_std is not that of the actions and cannot be annealed. Leave out log_std or use_sde."
            )
        return log_std


def _annealing(name: str, given: Mapping[str, Any] | None, is_positive: bool = False) -> Annealing | None:
    """
    Builds the annealing of one value.

    :param name: What is annealed
    :param given: Keyword arguments of :class:`Annealing`
    :param is_positive: Whether only values above zero make sense; the final one may be zero
    :return: The annealing, or None where nothing is given
    :raises ValueError: When something of it is wrong; the message begins with the name
    """
    if given is None:
        return None
    form = "{initial: ..., final: ..., shape: linear or cosine}"
    if not isinstance(given, Mapping) or not {"initial", "final"} <= set(given) <= {"initial", "final", "shape"}:
        raise ValueError(f"{name} must be given as {form}, got {given!r}")
    try:
        annealing = Annealing(**given)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if is_positive and (annealing.initial <= 0 or annealing.final < 0):
        raise ValueError(
            f"{name} must start above 0 and not end below 0, got initial {annealing.initial} and final {annealing.final}"
        )
    return annealing
