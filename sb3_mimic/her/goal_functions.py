"""What an environment computes of goals, asked in batches and without a way to another process where that can be."""

import inspect
import warnings
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_mimic.errors import UnsuitableEnvError

Goals = npt.NDArray[Any]
Function = Callable[..., Any]

REWARD, TERMINATED = "compute_reward", "compute_terminated"
#: Where environments say whether goals are fulfilled: theirs, that of our goals, that of panda-gym's tasks
SUCCESS = ("is_success", "goal.is_success", "task.is_success")
# The two methods that _teach gives to all environments of a process
FETCH, CALL = "sb3_mimic_fetch_function", "sb3_mimic_call_function"


class GoalFunctions:
    """
    Computes rewards, terminations and successes for goals that were not asked for.

    Environments in this process are called directly. From those of a ``SubprocVecEnv`` a function is fetched once, where it
    is one by itself that can be pickled; a method would bring its whole simulation along, and is called through the pipe.

    :param venv: Environments, of which the first is asked for all
    :raises UnsuitableEnvError: When they have no ``compute_reward``
    """

    def __init__(self, venv: VecEnv):
        reward = _find(venv, REWARD)
        if reward is None:
            raise UnsuitableEnvError(
                "Hindsight needs an environment with a method compute_reward(achieved_goal, desired_goal, info), and this one"
                " has none. Add one, or leave HerReplayBuffer out."
            )
        self._venv = venv
        self._reward: Function = reward
        self._terminated = _find(venv, TERMINATED)
        self._success: Function | None = None
        if isinstance(reward, _Remote):
            warnings.warn(
                "compute_reward is a method, or no object that can be pickled: every sample asks another process for its"
                " rewards. It is faster with DummyVecEnv, or where compute_reward is an attribute that can be pickled.",
                UserWarning,
                stacklevel=2,
            )

    @property
    def has_terminated(self) -> bool:
        """Whether the environment says when a goal ends its episode."""
        return self._terminated is not None

    def rewards(self, achieved: Goals, desired: Goals, infos: list[Any]) -> npt.NDArray[np.float32]:
        """
        Computes rewards.

        :param achieved: Goals achieved after the transitions, shape (n, dim)
        :param desired: Goals asked for, shape (n, dim)
        :param infos: What the steps told, of length n
        :return: Rewards, shape (n,)
        """
        return _in_a_batch(self._reward, achieved, desired, infos).astype(np.float32)

    def terminated(self, achieved: Goals, desired: Goals, infos: list[Any]) -> npt.NDArray[np.float32]:
        """
        Computes by the environment's ``compute_terminated`` whether transitions end their episodes.

        :param achieved: See :meth:`rewards`
        :param desired: See there
        :param infos: See there
        :return: 1 where they do, shape (n,)
        """
        assert self._terminated is not None
        return _in_a_batch(self._terminated, achieved, desired, infos).astype(np.float32)

    @property
    def knows_success(self) -> bool:
        """Whether it is known how success is told."""
        return self._success is not None

    def learn_success(self, examples: Goals) -> None:
        """
        Finds out how success is told. Of a sparse reward, which has two values, the one for what was asked for is that of
        success; where the reward has more, or needs to know more than goals, the environment's own function is asked.

        :param examples: Goals that were achieved in the training at different times, shape (n, dim)
        :raises UnsuitableEnvError: When neither can be had
        """
        if self.knows_success:
            return
        best = self._best_reward(examples)
        if best is not None:
            self._success = lambda achieved, desired: self.rewards(achieved, desired, nothing_told(len(achieved))) == best
            return
        found = next((each for name in SUCCESS if (each := _find(self._venv, name)) is not None), None)
        if found is None:
            raise UnsuitableEnvError(
                "already_achieved needs to know whether a goal was fulfilled before the action. The environment's reward has"
                f" more than two values, or reads infos, and it offers none of {', '.join(SUCCESS)}: a function"
                " (achieved_goal, desired_goal) of batches. Add one, make the reward sparse, or use already_achieved='keep'."
            )
        function: Function = found
        self._success = lambda achieved, desired: _in_a_batch(function, achieved, desired).astype(bool)

    def is_success(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.bool_]:
        """
        Tells whether goals are fulfilled, after :meth:`learn_success`.

        :param achieved: What there is, shape (n, dim)
        :param desired: What is asked for, shape (n, dim)
        :return: Truth values, shape (n,)
        """
        assert self._success is not None
        found: npt.NDArray[np.bool_] = self._success(achieved, desired)
        return found

    def is_sparse(self, examples: Goals) -> bool:
        """
        Tells whether the reward has but two values, one of them for success.

        :param examples: Goals that were achieved in the training at different times, shape (n, dim)
        """
        return self._best_reward(examples) is not None

    def _best_reward(self, examples: Goals) -> np.float32 | None:
        """Returns the reward of success, where the reward is sparse, or None."""
        try:
            best = np.unique(self.rewards(examples, examples, nothing_told(len(examples))))
            others = self.rewards(examples, examples[::-1], nothing_told(len(examples)))
        except KeyError:
            # It reads the infos of steps
            return None
        return best[0] if len(best) == 1 and len(np.union1d(best, others)) <= 2 else None


def nothing_told(n: int) -> list[Any]:
    """Returns the infos of n steps that told nothing: one dict for all, since nobody writes into what a step told."""
    return [{}] * n


def _in_a_batch(function: Function, achieved: Goals, desired: Goals, *infos: list[Any]) -> npt.NDArray[Any]:
    """Returns what a function gives for each row: it is called once, or for each where it knows no batches."""
    found = np.asarray(function(achieved, desired, *infos))
    if found.shape == (len(achieved),):
        return found
    return np.array([function(*row) for row in zip(achieved, desired, *infos, strict=True)]).reshape(len(achieved))


class _Remote:
    """Calls a function of the first environment in the process that it runs in, once for a batch."""

    def __init__(self, venv: VecEnv, name: str):
        self.venv = venv
        self.name = name

    def __call__(self, *arguments: Any) -> Any:
        return self.venv.env_method(CALL, self.name, *arguments, indices=0)[0]


def _find(venv: VecEnv, name: str) -> Function | None:
    """Returns a function of the first environment by its dotted name, or None."""
    base = venv.unwrapped
    if not isinstance(base, SubprocVecEnv):
        first, *rest = name.split(".")
        try:
            return _attribute(base.get_attr(first, 0)[0], rest)
        except AttributeError:
            return None
    base.env_method("has_wrapper_attr", _Lesson(), indices=0)
    try:
        is_there, fetched = base.env_method(FETCH, name, indices=0)[0]
    except (AttributeError, ImportError):
        # It came, and is defined in what only the worker has imported
        is_there, fetched = True, None
    if fetched is None and is_there:
        return _Remote(base, name)
    function: Function | None = fetched
    return function


def _attribute(owner: Any, names: list[str]) -> Function | None:
    for name in names:
        owner = getattr(owner, name, None)
    return owner if callable(owner) else None


def _of_env(env: gym.Env[Any, Any], name: str) -> Function | None:
    first, *rest = name.split(".")
    return _attribute(env.get_wrapper_attr(first), rest) if env.has_wrapper_attr(first) else None


def _fetch(env: gym.Env[Any, Any], name: str) -> tuple[bool, Function | None]:
    """Returns whether an environment has a function, and the function where it may travel."""
    function = _of_env(env, name)
    if function is None or inspect.ismethod(function):
        return function is not None, None
    try:
        # As the pipe will do it
        ForkingPickler.dumps(function)
    except Exception:
        # Whatever another's object raises: raised there it would end the worker
        return True, None
    return True, function


def _call(env: gym.Env[Any, Any], name: str, *arguments: Any) -> npt.NDArray[Any]:
    function = _of_env(env, name)
    assert function is not None
    return _in_a_batch(function, *arguments)


def _teach() -> str:
    setattr(gym.Env, FETCH, _fetch)
    setattr(gym.Env, CALL, _call)
    return FETCH


class _Lesson:
    """Becomes a call of :func:`_teach` in the worker that it is sent to, which calls methods of its environment alone."""

    def __reduce__(self) -> Any:
        return _teach, ()
