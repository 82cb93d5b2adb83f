"""Makes the environments that agents are used in, as in training, and checks what imitation needs of them."""

import difflib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec

from sb3_mimic.agents.agent import Agent, Setting
from sb3_mimic.errors import UnknownEnvError, UnreplayableRunError, UnsuitableEnvError
from sb3_mimic.pose import JOINTS, PoseLayout

#: Option of a reset that lets an episode begin from where the robot stands
KEEP_POSE = "keep_pose"

# What imitation and evaluation ask of an environment, and what it is for
NEEDED = {
    "pose_layout": "the layout of its goal vectors, a sb3_mimic.pose.PoseLayout",
    "achieved_goal": "its present state as a vector",
    "desired_goal": "the state asked for, as a vector",
    "ask_for": "a method ask_for(desired_goal, desired_image=None) that changes the goal and returns the observation",
}


@dataclass(frozen=True)
class Goals:
    """
    Gives access to the goals of an environment, whichever of its wrappers offers them.

    :param layers: The wrapper, or the environment itself, that has each of :data:`NEEDED`
    """

    layers: dict[str, Any]

    @classmethod
    def of(cls, env: gym.Env[Any, Any]) -> "Goals":
        """
        Finds the goals of an environment.

        :param env: The environment, wrapped or not
        :return: Its goals
        :raises UnsuitableEnvError: When it does not offer all of :data:`NEEDED`
        """
        layers = {name: layer_with(env, name) for name in NEEDED}
        missing = [f"'{name}' ({NEEDED[name]})" for name, layer in layers.items() if layer is None]
        if missing:
            raise UnsuitableEnvError(
                f"{_name(env)} lacks {'; '.join(missing)}. Wrap it in sb3_mimic.envs.picture_goals.PictureGoals,"
                " which offers all of it, or add it to the environment."
            )
        return cls(layers)

    @property
    def layout(self) -> PoseLayout:
        """Returns the layout of a goal vector."""
        layout: PoseLayout = self.layers["pose_layout"].pose_layout
        return layout

    @property
    def achieved(self) -> npt.NDArray[np.float32]:
        """Returns the present state, shape (dim,), whether or not it is observed."""
        return np.asarray(self.layers["achieved_goal"].achieved_goal)

    @property
    def desired(self) -> npt.NDArray[np.float32]:
        """Returns the desired state, shape (dim,), whether or not it is observed."""
        return np.asarray(self.layers["desired_goal"].desired_goal)

    def ask_for(self, desired_goal: npt.NDArray[np.floating], desired_image: npt.NDArray[np.uint8] | None) -> dict[str, Any]:
        """Changes the goal, and returns the environment's own observation, without the changes that wrappers make."""
        observation: dict[str, Any] = self.layers["ask_for"].ask_for(desired_goal, desired_image)
        return observation


def layout_read(env: gym.Env[Any, Any], state_dim: int) -> PoseLayout:
    """
    Returns the layout of the vector whose first numbers a translator reads in pictures of an environment: a goal vector, read
    as a whole or its joints alone, or, where the camera moves, one that is followed by where the camera is.

    :param env: The environment, wrapped or not
    :param state_dim: How many numbers are read
    :return: The layout of that vector
    :raises UnsuitableEnvError: When the environment has no goals, or there is nothing of that size to read
    """
    layout = Goals.of(env).layout
    layer = layer_with(env, "view_layout")
    view_layout: PoseLayout | None = None if layer is None else layer.view_layout
    if state_dim == layout.dim or (JOINTS in layout and layout[JOINTS].slice == slice(0, state_dim)):
        return layout
    if view_layout is not None and view_layout.dim == state_dim:
        return view_layout
    parts = ", ".join(f"{part.name} ({part.size})" for part in view_layout or layout)
    raise UnsuitableEnvError(
        f"The agent reads {state_dim} numbers in a picture, and a state of the environment has {parts}."
        " Use the id that the agent was trained on."
    )


def has_goals(env: gym.Env[Any, Any]) -> bool:
    """Whether an environment offers goal vectors at all."""
    return layer_with(env, "pose_layout") is not None


class Replay(gym.Wrapper[Any, Any, Any, Any]):
    """
    Stands between an environment and the wrappers of a run. It shows them the time limit of the training, though an
    episode may take longer now; it counts and reports the environment's own steps, of which a wrapper may take several
    at once; and it lets an episode begin from where the robot stands, so that wrappers begin anew.

    :param env: The environment
    :param spec: What wrappers see as its spec
    """

    def __init__(self, env: gym.Env[Any, Any], spec: EnvSpec | None):
        super().__init__(env)
        self._shown_spec = spec
        #: Steps since the last reset
        self.n_steps = 0
        #: Called with the info of each step
        self.on_step: Callable[[dict[str, Any]], None] | None = None

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """Returns the environment's spec, as it was in training."""
        return self._shown_spec

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        Begins an episode.

        :param seed: Seed of the random numbers
        :param options: Those of the environment; with :data:`KEEP_POSE` the robot stays where it is, and only
            ``desired_goal`` and ``desired_image`` change
        :return: Observation and info
        """
        self.n_steps = 0
        options = dict(options or {})
        if options.pop(KEEP_POSE, False):
            return Goals.of(self.env).ask_for(options["desired_goal"], options.get("desired_image")), {}
        return self.env.reset(seed=seed, options=options or None)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes one step of the environment, counts it, and reports its info to ``on_step``."""
        result = self.env.step(action)
        self.n_steps += 1
        if self.on_step is not None:
            self.on_step(result[4])
        return result


def warn_of_renderer(agent: Agent, env: gym.Env[Any, Any]) -> None:
    """
    Warns where an agent has learnt to read pictures of another renderer than that which draws an environment.

    :param agent: Has a translator
    :param env: Its environment; what draws it stands in its attribute ``renderer``, where it has one
    """
    here, there = getattr(env.unwrapped, "renderer", None), agent.translator.renderer
    # Of one that has learnt nothing yet there is nothing to be said
    if isinstance(here, str) and here != there and agent.model.num_timesteps > 0:
        warnings.warn(
            f"The agent has learnt to read pictures drawn by {there or 'another renderer'}, and those of {_name(env)} are"
            f" drawn by {here}: it may misread them. Train its translator anew.",
            stacklevel=3,
        )


def replay_of(env: gym.Env[Any, Any]) -> Replay | None:
    """Returns the wrapper that counts the environment's own steps, or None where there is none."""
    return next((layer for layer in _layers(env) if isinstance(layer, Replay)), None)


def spec_of(env_id: str) -> EnvSpec:
    """
    Returns the specification under which an environment is registered.

    :param env_id: Id of any environment
    :return: Its specification
    :raises UnknownEnvError: When it is not registered; the message names similar ids
    """
    try:
        return gym.spec(env_id)
    except (gym.error.Error, ImportError) as error:
        close = difflib.get_close_matches(env_id, list(gym.registry), cutoff=0.5)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise UnknownEnvError(
            f"No environment is registered as {env_id!r}.{hint} Packages that register environments are imported with"
            " --gym-packages, or in Python by an import."
        ) from error


def make_env(agent: Agent | None, env_id: str | None = None, has_time_limit: bool = False, **kwargs: Any) -> gym.Env[Any, Any]:
    """
    Makes the environment that an agent was trained in, with the arguments and the wrappers that its run's own files name.

    :param agent: The agent, or None for the environment as it is registered
    :param env_id: Another id than that of the training, for example one with pictures
    :param has_time_limit: Whether episodes end after as many steps as in training, or go on
    :param kwargs: More arguments of the environment, such as ``render_mode``; they win over those of the run
    :return: The environment, not vectorised, with a :class:`Replay` under the wrappers of the run
    :raises UnknownEnvError: When no environment is registered under the id
    :raises UnreplayableRunError: When the environment or a wrapper of it cannot be made, or wraps vectorised environments
    :raises UnsuitableEnvError: When the agent does not fit the environment
    """
    setting = agent.setting if agent is not None else None
    env_id = env_id or (setting.env_id if setting else None)
    if env_id is None:
        raise UnknownEnvError("What the agent was trained on is not known. Give the id of an environment.")
    spec = spec_of(env_id)
    setting = setting or Setting(env_id)
    if setting.vec_env_wrapper:
        raise UnreplayableRunError(
            f"The run of {env_id} was trained with vec_env_wrapper {setting.vec_env_wrapper}, which is made for several"
            " environments at once and cannot be replayed in one. Replay it with: python -m rl_zoo3.enjoy"
        )
    arguments = {**setting.env_kwargs, **kwargs}
    # -1 means none
    limit = None if has_time_limit else -1
    try:
        env: gym.Env[Any, Any] = Replay(gym.make(env_id, limit, **arguments), spec)
    # An environment of anybody's refuses arguments in its own way
    except Exception as error:
        raise UnreplayableRunError(f"{env_id} cannot be made with the arguments {arguments}: {error}") from error
    env = _wrapped(env, setting)
    if agent is not None:
        agent.require_fit(env.observation_space, env.action_space)
    return env


def _wrapped(env: gym.Env[Any, Any], setting: Setting) -> gym.Env[Any, Any]:
    from rl_zoo3.utils import get_wrapper_class

    try:
        wrap = get_wrapper_class({"env_wrapper": setting.env_wrapper})
        return env if wrap is None else wrap(env)
    # So does a wrapper
    except Exception as error:
        env.close()
        raise UnreplayableRunError(
            f"The run of {setting.env_id} was trained with env_wrapper {setting.env_wrapper}, which cannot be made here:"
            f" {error!r}. Install its package, or import it with --gym-packages."
        ) from error


def _layers(env: gym.Env[Any, Any]) -> list[gym.Env[Any, Any]]:
    """Returns all wrappers from the outermost, and then the environment."""
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    return layers


def layer_with(env: gym.Env[Any, Any], name: str) -> Any:
    """Returns the outermost wrapper, or the environment itself, that has an attribute; None where none has."""
    # Without reading it: before the first reset it may have no value yet
    return next((layer for layer in _layers(env) if hasattr(type(layer), name) or name in vars(layer)), None)


def _name(env: gym.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else str(env)
