"""Plans actions in what is foreseen: the cross-entropy method towards a picture of a goal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces

from sb3_mimic import keys
from sb3_mimic.errors import ForesightError, UnsuitableEnvError, require_at_least
from sb3_mimic.extractors.layers import evaluated
from sb3_mimic.foresight.base import Frames, VideoPredictor
from sb3_mimic.foresight.pose import PosePredictor
from sb3_mimic.translator.base import Translator

Cost = Literal["pose", "pixels", "both"]
# In a sum of both, a difference of so much of all light weighs as much as one of 1 in scaled joints
PIXEL_WEIGHT = 10.0
# How strongly an action follows the one before among those that are tried
CORRELATION = 0.6
# What the end of a plan weighs beside all that lies before it
END_WEIGHT = 1.0
SMALLEST_SPREAD = 0.05


@dataclass(frozen=True)
class PlanSettings:
    """
    Says how is planned: the cross-entropy method with what iCEM (Pinneri et al., arXiv 2008.06389) adds to it, actions that
    follow one another and the best ones kept.

    :param horizon: Steps that are foreseen
    :param n_samples: Plans that are tried at once
    :param n_elites: The best of them, which the next ones are drawn around
    :param n_iterations: How often
    :param cost: What is to become small: ``pose``, the distance of joints; ``pixels``, that of pictures; or ``both``
    :param seed: Of what is tried
    :raises ForesightError: When a number is not allowed, or the cost is unknown
    """

    horizon: int = 12
    n_samples: int = 96
    n_elites: int = 12
    n_iterations: int = 3
    cost: Cost = "pose"
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least(self, ForesightError, horizon=1, n_samples=1, n_elites=1, n_iterations=1)
        if self.n_elites > self.n_samples:
            raise ForesightError(f"Of {self.n_samples} plans {self.n_elites} cannot be the best ones: take fewer n_elites.")
        if self.cost not in get_args(Cost):
            raise ForesightError(f"Unknown cost {self.cost!r}. There are: {', '.join(get_args(Cost))}.")


class Imagination(Protocol):
    """What a planner foresees in, while an episode goes on."""

    def begin(self, goal: Frames) -> None:
        """Begins an episode that is to come to what a picture shows, shape (height, width, channels)."""

    def see(self, frame: Frames, action: npt.NDArray[np.float32] | None) -> None:
        """Sees the next frame, and is told which action led there; None at the beginning."""

    def costs(self, actions: th.Tensor, cost: Cost) -> th.Tensor:
        """Returns how far plans, shape (n, horizon, action_dim), stay from the goal: after each step, shape (n, horizon)."""


class PoseImagination:
    """
    Foresees poses.

    :param predictor: What foresees them; it must draw where pictures count
    """

    def __init__(self, predictor: PosePredictor):
        self.predictor = predictor

    def begin(self, goal: Frames) -> None:
        self._belief: Any = None
        self._before = th.zeros(1, self.predictor.action_dim)
        self._picture = _tensor(goal)
        self._goal = self.predictor.read(self._picture)[0][:, 0]

    def see(self, frame: Frames, action: npt.NDArray[np.float32] | None) -> None:
        taken = th.zeros_like(self._before) if action is None else th.as_tensor(action)[None]
        read = self.predictor.read(_tensor(frame))
        self._belief = self.predictor.believe(*read, th.stack((self._before, taken), dim=1), self._belief)
        self._before = taken

    def costs(self, actions: th.Tensor, cost: Cost) -> th.Tensor:
        n, horizon = actions.shape[:2]
        place, change, _ = self._belief
        joints = self.predictor.go_on(place.expand(n, -1), change.expand(n, -1), self._before.expand(n, -1), actions)
        found = th.zeros(n, horizon)
        if cost != "pixels":
            found += (joints - self._goal).abs().mean(dim=2)
        if cost != "pose":
            if self.predictor.draw is None:
                raise ForesightError("Pictures count, and nothing draws them: load the predictor with its environment.")
            drawn = self.predictor.draw(self.predictor.qpos_of(joints).reshape(n * horizon, -1).astype(np.float32))
            pictures = th.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255
            found += _unlike(pictures.view(n, horizon, *pictures.shape[1:]), self._picture)
        return found


class FrameImagination:
    """
    Foresees frames.

    :param predictor: What foresees them
    :param translator: Reads poses in them, where those count
    """

    def __init__(self, predictor: VideoPredictor, translator: Translator | None = None):
        self.predictor, self.translator = predictor, translator

    def begin(self, goal: Frames) -> None:
        self._frames: list[th.Tensor] = []
        self._actions: list[th.Tensor] = []
        self._picture = _tensor(goal)
        self._goal = None if self.translator is None else self._read(self._picture)

    def see(self, frame: Frames, action: npt.NDArray[np.float32] | None) -> None:
        if action is None:
            # Until more is seen, nothing moves
            self._frames = [_tensor(frame)] * (self.predictor.n_context - 1)
            self._actions = [th.zeros(self.predictor.action_dim)] * (self.predictor.n_context - 2)
        self._actions.append(th.zeros(self.predictor.action_dim) if action is None else th.as_tensor(action))
        self._frames.append(_tensor(frame))
        # More than it must see helps little, and takes time
        self._frames = self._frames[-self.predictor.n_context :]
        self._actions = self._actions[-self.predictor.n_context + 1 :]

    def costs(self, actions: th.Tensor, cost: Cost) -> th.Tensor:
        n = len(actions)
        seen = th.cat(self._frames, dim=1).expand(n, -1, -1, -1, -1)
        taken = th.stack(self._actions).expand(n, -1, -1)
        foreseen = self.predictor.foresee(seen, th.cat((taken, actions), dim=1)).clamp(0, 1)
        found = th.zeros(actions.shape[:2])
        if cost != "pose":
            found += _unlike(foreseen, self._picture)
        if cost != "pixels":
            if self._goal is None:
                raise ForesightError("Poses count, and nothing reads them: give a translator.")
            found += (self._read(foreseen) - self._goal).abs().mean(dim=2)
        return found

    def _read(self, frames: th.Tensor) -> th.Tensor:
        assert self.translator is not None
        states: th.Tensor = self.translator(frames.flatten(0, 1)[:, None] * 255)[0]
        return states.view(*frames.shape[:2], -1)


class PlanningPolicy:
    """
    Acts as planned in what is foreseen, anew in each step. It is called as policies of SB3 are, and sees pictures alone:
    ``image`` and ``desired_image``.

    :param predictor: What foresees
    :param action_space: Of the environment, a Box with bounds
    :param settings: How is planned
    :param translator: Reads poses in foreseen frames, where those count and it foresees no poses itself
    :raises UnsuitableEnvError: When the actions have no bounds
    """

    def __init__(
        self,
        predictor: VideoPredictor,
        action_space: spaces.Space[Any],
        settings: PlanSettings | None = None,
        translator: Translator | None = None,
    ):
        if not isinstance(action_space, spaces.Box) or not action_space.is_bounded():
            raise UnsuitableEnvError(
                f"Plans are made of actions in a Box with bounds, and the environment takes {action_space}."
            )
        self.predictor, self.settings, self.translator = predictor, settings or PlanSettings(), translator
        self._low, self._high = th.as_tensor(action_space.low), th.as_tensor(action_space.high)

    def predict(
        self,
        observation: Mapping[str, npt.NDArray[Any]],
        state: Any = None,
        episode_start: npt.NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[npt.NDArray[np.float32], Any]:
        """
        Plans, and returns the first action of the plan.

        :param observation: With ``image`` and ``desired_image``, of one environment or of several, as those show them
        :param state: What was returned for the step before
        :param episode_start: Whether an episode begins, shape (n_envs,); where no state is given, it does
        :param deterministic: Is there for SB3's sake: what is tried is drawn with the settings' seed
        :return: Actions, and what is to be remembered
        """
        images, goals = observation[keys.IMAGE], observation[keys.DESIRED_IMAGE]
        if images.ndim == 3:
            actions, state = self.predict(
                {keys.IMAGE: images[None], keys.DESIRED_IMAGE: goals[None]}, state, episode_start, deterministic
            )
            return actions[0], state
        plans: list[_Plan | None] = [None] * len(images) if state is None else list(state)
        begins = np.zeros(len(images), bool) if episode_start is None else np.asarray(episode_start)
        with evaluated(self.predictor):
            for index, plan in enumerate(plans):
                if plan is None or begins[index]:
                    plans[index] = plan = self._begun(goals[index])
                plan.imagination.see(images[index], plan.action)
                self._improve(plan)
        return np.stack([plan.action for plan in plans if plan is not None and plan.action is not None]), plans

    def _begun(self, goal: Frames) -> "_Plan":
        imagination: Imagination = (
            PoseImagination(self.predictor)
            if isinstance(self.predictor, PosePredictor)
            else FrameImagination(self.predictor, self.translator)
        )
        imagination.begin(goal)
        middle = (self._low + self._high) / 2
        return _Plan(imagination, middle.expand(self.settings.horizon, -1), th.Generator().manual_seed(self.settings.seed))

    def _improve(self, plan: "_Plan") -> None:
        """Plans on from where the plan before ends."""
        how, half = self.settings, (self._high - self._low) / 2
        mean = th.cat((plan.actions[1:], plan.actions[-1:]))
        spread = half.expand_as(mean)
        weights = th.ones(how.horizon)
        weights[-1] += END_WEIGHT * how.horizon
        best, lowest, elites = mean, float("inf"), mean.new_zeros(0, *mean.shape)
        for _ in range(how.n_iterations):
            noise = _correlated(th.randn(how.n_samples, *mean.shape, generator=plan.generator))
            tried = (mean + spread * noise).clamp(self._low, self._high)
            tried[0] = mean
            tried = th.cat((tried, elites))
            costs = plan.imagination.costs(tried, how.cost) @ weights
            order = costs.argsort()[: how.n_elites]
            elites = tried[order]
            mean, spread = elites.mean(dim=0), elites.std(dim=0, correction=0).clamp(min=SMALLEST_SPREAD * half)
            if float(costs[order[0]]) < lowest:
                best, lowest = elites[0], float(costs[order[0]])
        plan.actions, plan.action = best, best[0].numpy().copy()


@dataclass
class _Plan:
    """What is remembered of one environment's episode."""

    imagination: Imagination
    actions: th.Tensor
    generator: th.Generator
    action: npt.NDArray[np.float32] | None = None


def _correlated(noise: th.Tensor) -> th.Tensor:
    """Lets noise follow what it was in the step before, shape (n, horizon, action_dim)."""
    rows = [noise[:, 0]]
    for row in noise[:, 1:].unbind(1):
        rows.append(CORRELATION * rows[-1] + (1 - CORRELATION**2) ** 0.5 * row)
    return th.stack(rows, dim=1)


def _tensor(frame: Frames) -> th.Tensor:
    """Returns a picture in [0, 1], shape (1, 1, channels, height, width)."""
    return th.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))[None, None].float() / 255


def _unlike(frames: th.Tensor, goal: th.Tensor) -> th.Tensor:
    """Returns how unlike a goal frames are, shape (n, horizon)."""
    return PIXEL_WEIGHT * (frames - goal).square().mean(dim=(2, 3, 4))
