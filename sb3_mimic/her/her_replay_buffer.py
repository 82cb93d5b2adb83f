"""Hindsight experience replay: transitions are replayed with goals that were achieved, as if those had been asked for."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer as SB3HerReplayBuffer
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_normalize

from sb3_mimic import keys
from sb3_mimic.errors import InputError, ObservationSpaceError, UnfinishedEpisodeError
from sb3_mimic.her.goal_functions import GoalFunctions, nothing_told
from sb3_mimic.her.goal_selection_strategy import GoalSelectionStrategy, Indices
from sb3_mimic.her.memory import require_memory
from sb3_mimic.her.normalization import shares_goal_statistics

#: What is replaced by what was achieved: the goal, and its picture where there is one
RELABELLED = {keys.DESIRED_GOAL: keys.ACHIEVED_GOAL, keys.DESIRED_IMAGE: keys.IMAGE}
#: How likely a transition is kept whose new goal had been achieved before its action
KEPT = {"keep": 1.0, "redraw": 0.0}
# How often another transition is drawn for one that is not wanted, or belongs to no finished episode
MAX_REDRAWS = 8
# States by which it is found out how the environment tells success
N_EXAMPLES = 256


class HerReplayBuffer(SB3HerReplayBuffer):
    """
    Samples transitions, most of them with goals that were achieved. It takes the place of SB3's own, with the same names:
    ``replay_buffer_class=sb3_mimic.her.HerReplayBuffer``, or the same as text in a YAML file of rl-zoo3.

    Beside what SB3's does, it relabels the picture of the goal together with the goal, computes terminations anew where the
    environment has a ``compute_terminated``, spreads relabelled transitions evenly over a sample, and draws in a time that
    does not grow with what is stored. Infos take memory only where they are asked for.

    :param buffer_size: Transitions to store
    :param observation_space: Observation space
    :param action_space: Action space
    :param env: The training environment
    :param device: PyTorch device
    :param n_envs: Number of parallel environments
    :param optimize_memory_usage: Not supported, as in SB3
    :param handle_timeout_termination: Whether episodes that end by a time limit go on in the eyes of the critic
    :param n_sampled_goal: Relabelled transitions for each that is sampled as it was
    :param goal_selection_strategy: ``future`` (SB3's), ``strict_future`` (the paper's), ``final``, ``episode`` or ``random``;
        see :class:`~sb3_mimic.her.goal_selection_strategy.GoalSelectionStrategy`
    :param copy_info_dict: Whether to store infos, for a reward that reads them
    :param already_achieved: What to do with a transition whose new goal had been achieved before its action, so that it
        shows nothing but how to stay: ``keep`` it, ``redraw`` another (up to eight times), or the probability in [0, 1] that
        it is kept. By default they are redrawn where the reward is sparse, and kept elsewhere
    :param stored_keys: Which keys of an observation to store, those that the policy reads; all by default. A picture of 64x64
        pixels takes as much memory as a hundred vectors, four times for each transition
    :raises InputError: For a setting that is not allowed, or goals that are normalised by statistics of their own
    :raises ObservationSpaceError: When the observation has no goals, or a picture of the goal alone
    :raises BufferSizeError: When the buffer does not fit into the machine's memory
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        env: VecEnv,
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        n_sampled_goal: int = 4,
        goal_selection_strategy: Any = "future",
        copy_info_dict: bool = False,
        already_achieved: str | float | None = None,
        stored_keys: Sequence[str] | None = None,
    ):
        if isinstance(n_sampled_goal, bool) or not isinstance(n_sampled_goal, int) or n_sampled_goal < 0:
            raise InputError(f"n_sampled_goal must be a whole number from 0 on, got {n_sampled_goal!r}.")
        self.probability_kept = None if already_achieved is None else _probability_kept(already_achieved)
        strategy = GoalSelectionStrategy.of(goal_selection_strategy)
        observation_space = _stored_space(observation_space, stored_keys)
        self.relabelled = _relabelled_keys(observation_space)
        normalization = None if env is None else unwrap_vec_normalize(env)
        if normalization is not None and not shares_goal_statistics(normalization):
            raise InputError(
                "VecNormalize keeps statistics of their own for achieved_goal and desired_goal, and hindsight puts one in the"
                " place of the other. Call sb3_mimic.her.share_goal_statistics(venv) before, or leave both out of"
                " norm_obs_keys."
            )
        require_memory(buffer_size, n_envs, observation_space, action_space, copy_info_dict)
        # Past SB3's own, which makes an empty dict for each transition
        DictReplayBuffer.__init__(
            self,
            buffer_size,
            observation_space,
            action_space,
            device=device,
            n_envs=n_envs,
            optimize_memory_usage=optimize_memory_usage,
            handle_timeout_termination=handle_timeout_termination,
        )
        self.env = env
        self.copy_info_dict = copy_info_dict
        self.goal_selection_strategy: GoalSelectionStrategy = strategy  # type: ignore[assignment]  # SB3 knows three
        self.n_sampled_goal = n_sampled_goal
        self.her_ratio = 1 - 1 / (n_sampled_goal + 1)
        shape = (self.buffer_size, n_envs)
        self.infos = np.empty(shape if copy_info_dict else (0, n_envs), object)
        self.ep_start = np.zeros(shape, np.int64)
        self.ep_length = np.zeros(shape, np.int64)
        self._current_ep_start = np.zeros(n_envs, np.int64)
        self._goal_functions: GoalFunctions | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The environment's own functions stay with the environment
        return {**super().__getstate__(), "_goal_functions": None}

    @property
    def goal_functions(self) -> GoalFunctions:
        """
        Returns what the environment computes of goals.

        :raises InputError: When there is no environment, as after loading
        """
        if self._goal_functions is None:
            if self.env is None:
                raise InputError("HerReplayBuffer has no environment to compute rewards with. Give it one: set_env(venv).")
            self._goal_functions = GoalFunctions(self.env)
        return self._goal_functions

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> DictReplayBufferSamples:  # type: ignore[override]
        """
        Samples transitions of finished episodes, relabelled ones among them. Every part of the sample holds as many of those
        as its share of the whole.

        :param batch_size: Number of transitions
        :param env: Environments whose statistics normalise observations and rewards
        :return: The sample
        :raises UnfinishedEpisodeError: When no episode has ended yet
        """
        k = self.n_sampled_goal
        is_virtual = np.diff(np.arange(batch_size + 1) * k // (k + 1)) > 0
        relabelled, goals = self._draw_virtual(int(is_virtual.sum()))
        if not len(relabelled):
            is_virtual[:] = False
        virtual, real = np.flatnonzero(is_virtual), np.flatnonzero(~is_virtual)
        places = np.empty(batch_size, np.int64)
        places[virtual] = relabelled
        places[real] = self._draw_transitions(len(real))

        observations = {key: self._of(array, places) for key, array in self.observations.items() if key not in self.relabelled}
        following = {
            key: self._of(array, places) for key, array in self.next_observations.items() if key not in self.relabelled
        }
        for desired, achieved in self.relabelled.items():
            new = self._of(self.next_observations[achieved], goals)
            for found, stored in ((observations, self.observations), (following, self.next_observations)):
                array = stored[desired]
                found[desired] = np.empty((batch_size, *array.shape[2:]), array.dtype)
                found[desired][virtual] = new
                found[desired][real] = self._of(array, places[real])

        rewards = self._of(self.rewards, places)
        dones = self._of(self.dones, places) * (1 - self._of(self.timeouts, places))
        if len(virtual):
            asked = following[keys.ACHIEVED_GOAL][virtual], following[keys.DESIRED_GOAL][virtual], self._infos_of(relabelled)
            rewards[virtual] = self.goal_functions.rewards(*asked)
            # Without that, it is not known which ends were those of time limits
            if self.goal_functions.has_terminated and self.handle_timeout_termination:
                dones[virtual] = self.goal_functions.terminated(*asked)
        return DictReplayBufferSamples(
            observations=self._tensors(observations, env),
            actions=self.to_torch(self._of(self.actions, places), copy=False),
            next_observations=self._tensors(following, env),
            dones=self.to_torch(dones.reshape(-1, 1), copy=False),
            rewards=self.to_torch(self._normalize_reward(rewards.reshape(-1, 1), env), copy=False),
        )

    def _draw_virtual(self, n: int) -> tuple[Indices, Indices]:
        """Returns transitions and those that end in what is to be their goals, (n,) each; none where none can have one."""
        places = self._draw_transitions(n, self.goal_selection_strategy.n_later)
        goals = self._draw_goals(places)
        if not len(places):
            return places, goals
        if self.probability_kept is None:
            self.probability_kept = KEPT["redraw" if self.goal_functions.is_sparse(self._examples()) else "keep"]
        if self.probability_kept == 1:
            return places, goals
        if not self.goal_functions.knows_success:
            self.goal_functions.learn_success(self._examples())
        pending = np.flatnonzero(self._is_unwanted(places, goals))
        if not len(pending):
            return places, goals
        others = self._draw_transitions(MAX_REDRAWS * len(pending), self.goal_selection_strategy.n_later)
        theirs = self._draw_goals(others)
        # The first that is wanted of those drawn for each, or the last
        is_taken = ~self._is_unwanted(others, theirs).reshape(-1, MAX_REDRAWS)
        is_taken[:, -1] = True
        taken = np.arange(len(pending)) * MAX_REDRAWS + is_taken.argmax(axis=1)
        places[pending], goals[pending] = others[taken], theirs[taken]
        return places, goals

    def _is_unwanted(self, places: Indices, goals: Indices) -> npt.NDArray[np.bool_]:
        before = self._of(self.observations[keys.ACHIEVED_GOAL], places)
        desired = self._of(self.next_observations[keys.ACHIEVED_GOAL], goals)
        is_achieved = self.goal_functions.is_success(before, desired)
        assert self.probability_kept is not None
        return is_achieved & (np.random.random_sample(len(places)) >= self.probability_kept)

    def _examples(self) -> npt.NDArray[Any]:
        """Returns goals that were achieved at different times, shape (n, dim)."""
        # Evenly over all there is: no random numbers, so that a run that is continued draws the same ones
        n_examples = min(N_EXAMPLES, self._n_stored)
        examples = np.linspace(0, self._n_stored - 1, n_examples).astype(np.int64)
        return self._of(self.next_observations[keys.ACHIEVED_GOAL], examples)

    def _draw_transitions(self, n: int, n_later: int = 0) -> Indices:
        """
        Draws transitions of finished episodes, each with the same probability.

        :param n: How many
        :param n_later: How many transitions must come after each in its episode
        :return: Their places, shape (n,); none where there is no such transition in any finished episode
        :raises UnfinishedEpisodeError: When no episode has ended yet
        """
        places = np.random.randint(0, max(self._n_stored, 1), n)
        pending = np.flatnonzero(~self._is_usable(places, n_later))
        for _ in range(MAX_REDRAWS):
            if not len(pending):
                return places
            places[pending] = np.random.randint(0, max(self._n_stored, 1), len(pending))
            pending = pending[~self._is_usable(places[pending], n_later)]
        if len(pending):
            # Hardly any episode has ended yet
            usable = np.flatnonzero(self._is_usable(np.arange(self._n_stored), n_later))
            if not len(usable) and n_later and self.ep_length.any():
                return usable
            if not len(usable):
                raise UnfinishedEpisodeError(
                    "Hindsight knows what an episode achieved when it has ended, and none has. Choose learning_starts larger"
                    f" than the longest episode times the number of environments ({self.n_envs})."
                )
            places[pending] = usable[np.random.randint(0, len(usable), len(pending))]
        return places

    def _is_usable(self, places: Indices, n_later: int) -> npt.NDArray[np.bool_]:
        length = self._of(self.ep_length, places)
        if not n_later:
            return length > 0
        return self._step_of(places) + n_later < length

    def _step_of(self, places: Indices) -> Indices:
        """Returns the places of transitions in their episodes."""
        step: Indices = (places // self.n_envs - self._of(self.ep_start, places)) % self.buffer_size
        return step

    def _draw_goals(self, places: Indices) -> Indices:
        """Draws for each transition the one that ends in what is to be its goal."""
        if self.goal_selection_strategy is GoalSelectionStrategy.RANDOM:
            return np.random.randint(0, max(self._n_stored, 1), len(places))
        step = self.goal_selection_strategy.draw_steps(self._step_of(places), self._of(self.ep_length, places))
        rows = (self._of(self.ep_start, places) + step) % self.buffer_size
        goals: Indices = rows * self.n_envs + places % self.n_envs
        return goals

    @property
    def _n_stored(self) -> int:
        return self.size() * self.n_envs

    def _of(self, array: npt.NDArray[Any], places: Indices) -> npt.NDArray[Any]:
        """Returns what an array holds of transitions, a copy; places count environments first, then steps."""
        return array.reshape(-1, *array.shape[2:]).take(places, axis=0)

    def _infos_of(self, places: Indices) -> list[Any]:
        if self.copy_info_dict:
            return list(self._of(self.infos, places))
        return nothing_told(len(places))

    def _tensors(self, observations: dict[str, npt.NDArray[Any]], env: VecNormalize | None) -> dict[str, th.Tensor]:
        if env is not None and env.norm_obs:
            # It copies all that it is given
            normalized = env.normalize_obs({key: observations[key] for key in env.norm_obs_keys or ()})
            assert isinstance(normalized, dict)
            observations = observations | normalized
        # In the order of the observation space, by which some concatenate them
        return {key: self.to_torch(observations[key], copy=False) for key in self.observations}


def _probability_kept(already_achieved: str | float) -> float:
    value = KEPT.get(already_achieved) if isinstance(already_achieved, str) else already_achieved
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and 0 <= value <= 1):
        raise InputError(
            f"already_achieved must be {', '.join(KEPT)}, or a probability in [0, 1] by which such transitions are kept, got"
            f" {already_achieved!r}."
        )
    return float(value)


def _stored_space(observation_space: spaces.Dict, stored_keys: Sequence[str] | None) -> spaces.Dict:
    if stored_keys is None:
        return observation_space
    unknown = [key for key in stored_keys if key not in observation_space.spaces]
    if unknown or isinstance(stored_keys, str):
        raise InputError(
            f"stored_keys must be a list of keys of the observation, of {', '.join(observation_space.spaces)}, got"
            f" {stored_keys!r}."
        )
    return spaces.Dict({key: observation_space[key] for key in stored_keys})


def _relabelled_keys(observation_space: Any) -> dict[str, str]:
    """Returns which keys of an observation are replaced by which, after a check that they can be."""
    shown = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {}
    missing = [key for key in (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL) if key not in shown]
    if missing:
        raise ObservationSpaceError(
            f"Hindsight needs {' and '.join(missing)} in the observation, which has {', '.join(shown) or 'no keys'}. Use an"
            " environment with goals, or leave HerReplayBuffer out."
        )
    if keys.DESIRED_VELOCITY in shown:
        raise ObservationSpaceError(
            f"Hindsight asks for states in which nothing moves, and the observation says how fast a goal moves:"
            f" '{keys.DESIRED_VELOCITY}'. Use an id whose goals stay, or leave HerReplayBuffer out."
        )
    if keys.DESIRED_IMAGE in shown and keys.IMAGE not in shown:
        raise ObservationSpaceError(
            f"Hindsight puts what was seen under '{keys.IMAGE}' in the place of '{keys.DESIRED_IMAGE}', and the observation"
            f" has no '{keys.IMAGE}', only {', '.join(shown)}. Show both, or none."
        )
    relabelled = {desired: achieved for desired, achieved in RELABELLED.items() if desired in shown}
    for desired, achieved in relabelled.items():
        if shown[desired].shape != shown[achieved].shape:
            raise ObservationSpaceError(
                f"Hindsight puts '{achieved}' of shape {shown[achieved].shape} in the place of '{desired}' of shape"
                f" {shown[desired].shape}: give both one shape."
            )
    return relabelled
