"""Goal pictures for any environment: a goal is a photograph of a state that the environment can be in."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from PIL import Image

from sb3_mimic import keys
from sb3_mimic.envs.mujoco_scene import MujocoScene
from sb3_mimic.errors import InputError, UnsuitableEnvError
from sb3_mimic.pose import Part, PoseLayout

Vector = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Observation = dict[str, Any]
Reward = Callable[[npt.NDArray[np.floating], npt.NDArray[np.floating], Any], Any]

#: Side of the pictures, in pixels
SIZE = 64
#: Random steps from a start to a goal, where no sampler is given
N_RANDOM_STEPS = 20
TOLERANCE = 0.05
GOAL_KEYS = (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL, keys.IMAGE, keys.DESIRED_IMAGE)


class PictureGoals(gym.Wrapper[Observation, Any, Any, Any]):
    """
    Gives an environment without goals the keys ``achieved_goal``, ``desired_goal``, ``image`` and ``desired_image``,
    beside its own observation under ``observation``.

    At each reset the environment goes to a state that it can be in, is measured and photographed there, and is put back.
    So the vector and the picture of a goal cannot disagree. All functions are given the unwrapped environment.

    :param env: With ``render_mode="rgb_array"``
    :param measure: ``measure(env)`` gives the state as a vector, shape (dim,): what a goal consists of
    :param get_state: ``get_state(env)`` gives all that ``set_state`` needs to put the environment back exactly.
        Random numbers of the environment (``np_random``) need not be part of it. Of plain data, it makes runs with
        checkpoints continue exactly.
    :param set_state: ``set_state(env, state)`` puts the environment into a state; it changes nothing in the state
    :param layout: What the vector means; by default one part named ``state``, without unit
    :param sample_state: ``sample_state(env, rng)`` gives the state of a goal; by default that after some random steps
    :param to_state: ``to_state(env, goal)`` gives a state with that goal vector, so that a goal asked for by its vector
        alone can be photographed
    :param render: ``render(env)`` takes a picture, shape (height, width, 3); by default the environment's own ``render``
    :param size: Height and width of the pictures in the observation
    :param tolerance: A goal is reached (``is_success``) where no number, or point, is further from it, in its unit: one
        number, or one for each part by its name
    :param reward: ``"dense"``: minus the mean distance over all numbers, or points; ``"sparse"``: 1 where the goal is
        reached, else 0; ``"env"``: the environment's own; or a function of achieved goals, desired goals and infos, for one
        step and for batches
    :raises UnsuitableEnvError: When the environment cannot be rendered, or has goals of its own
    :raises InputError: When an argument has a value that is not allowed
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        measure: Callable[[Any], npt.ArrayLike],
        get_state: Callable[[Any], Any],
        set_state: Callable[[Any, Any], None],
        layout: PoseLayout | None = None,
        sample_state: Callable[[Any, np.random.Generator], Any] | None = None,
        to_state: Callable[[Any, Vector], Any] | None = None,
        render: Callable[[Any], Any] | None = None,
        size: int = SIZE,
        tolerance: float | Mapping[str, float] = TOLERANCE,
        reward: str | Reward = "dense",
    ):
        super().__init__(env)
        self._measure, self._get_state, self._set_state = measure, get_state, set_state
        self._sample_state, self._to_state, self._render = sample_state, to_state, render
        self.size = size
        self._rng = np.random.default_rng()
        self._actions = copy.deepcopy(env.action_space)
        if env.render_mode != "rgb_array":
            raise UnsuitableEnvError(
                f"PictureGoals photographs {_name(env)}, which needs render_mode 'rgb_array', got {env.render_mode!r}."
                " Make it with: gym.make(ID, render_mode='rgb_array')"
            )
        # What is measured and seen is known for certain only by doing both once
        env.reset()
        vector = np.asarray(measure(env.unwrapped), np.float32)
        if vector.ndim != 1 or not vector.size:
            raise InputError(f"measure must give a vector of at least one number, got shape {vector.shape}")
        #: What a goal vector means
        self.pose_layout = layout or PoseLayout((Part("state", vector.shape),))
        if self.pose_layout.dim != vector.size:
            raise InputError(f"measure gives {vector.size} numbers, and the layout has {self.pose_layout.dim}")
        self._tolerance = _tolerances(tolerance, self.pose_layout)
        self._reward = reward
        if not callable(reward) and reward not in ("dense", "sparse", "env"):
            raise InputError(f"reward must be 'dense', 'sparse', 'env' or a function, got {reward!r}")
        self._achieved = self._desired = self._measured()
        self._image = self._desired_image = self._photograph()
        self._own: Any = None
        self.observation_space = self._space(env.observation_space)

    @classmethod
    def mujoco(cls, env: gym.Env[Any, Any], joints: Sequence[str] | None = None, **kwargs: Any) -> "PictureGoals":
        """
        Goals of one of Gymnasium's MuJoCo environments, or of another with MuJoCo's ``model`` and ``data``: its joints
        take random angles within their limits, unlimited ones any angle, and all else stays as it is.

        :param env: With ``render_mode="rgb_array"``
        :param joints: Names of hinges and slides; by default those that motors drive
        :param kwargs: More arguments of the wrapper, which win: for a body on a floor give ``sample_state``
        :return: The wrapped environment
        :raises UnsuitableEnvError: When it has no such joint
        """
        scene = MujocoScene(env, joints)
        offered: dict[str, Any] = {
            "measure": scene.measure,
            "get_state": scene.get_state,
            "set_state": scene.set_state,
            "layout": scene.layout,
            "sample_state": scene.sample_state,
            "to_state": scene.to_state,
            "render": scene.render,
        }
        wrapped = cls(env, **{**offered, **kwargs})
        wrapped.joint_names = scene.joint_names
        return wrapped

    #: Names of the joints, in the order of a pose, where they are known
    joint_names: tuple[str, ...]

    @property
    def achieved_goal(self) -> Vector:
        """The present state, shape (dim,)"""
        return self._achieved.copy()

    @property
    def desired_goal(self) -> Vector:
        """The state asked for, shape (dim,)"""
        return self._desired.copy()

    @property
    def compute_reward(self) -> Reward:
        """
        The reward for any goal: a function of achieved goals, desired goals and infos, of one step or a batch.

        :raises AttributeError: Where the reward is the environment's own, which knows of no goals
        """
        if self._reward == "env":
            raise AttributeError("The environment's own reward cannot be computed for other goals. Use another reward.")
        return self._reward if callable(self._reward) else self._computed

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """
        Begin an episode, with a photograph of a random state as the goal.

        :param seed: Seed of the random numbers, of the environment and of goals
        :param options: ``"desired_goal"``: a vector to ask for, shape (dim,). ``"desired_image"``: a picture to show for
            it, shape (size, size, 3), uint8. All others are the environment's own.
        :return: Observation and info
        :raises InputError: For a wrong shape or type, or a goal without picture that cannot be photographed
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        options = dict(options or {})
        goal, image = options.pop("desired_goal", None), options.pop("desired_image", None)
        goal, image = self._checked(goal, image)
        self._own, info = self.env.reset(seed=seed, options=options or None)
        self._adopt(goal, image)
        self._look()
        return self._observe(), self._told(info)

    def step(self, action: Any) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """
        Steps the environment, and compares where it is with the goal.

        :param action: One of the environment's own
        :return: Observation, reward, whether the environment has ended the episode, whether its time is up, and info
        """
        self._own, reward, terminated, truncated, info = self.env.step(action)
        self._look()
        info = self._told(info)
        if self._reward != "env":
            reward = float(self.compute_reward(self._achieved, self._desired, info))
        return self._observe(), reward, terminated, truncated, info

    def ask_for(self, desired_goal: npt.ArrayLike, desired_image: Picture | None = None) -> Observation:
        """
        Asks for another goal in mid-episode. The environment stays as it is.

        :param desired_goal: Shape (dim,)
        :param desired_image: What to show for it, shape (size, size, 3), uint8; by default a photograph
        :return: The observation with the new goal
        :raises InputError: For a wrong shape or type, or a goal without picture that cannot be photographed
        """
        self._adopt(*self._checked(desired_goal, desired_image))
        return self._observe()

    def run_state(self) -> dict[str, Any]:
        """Returns all that the future of a running episode depends on, as far as ``get_state`` gives it."""
        return {
            "env": self._get_state(self.unwrapped),
            "np_random": self.unwrapped.np_random.bit_generator.state,
            "goals_random": self._rng.bit_generator.state,
            "own": self._own,
            "achieved": self._achieved,
            "desired": self._desired,
            "image": self._image,
            "desired_image": self._desired_image,
        }

    def restore_run_state(self, state: dict[str, Any]) -> None:
        """
        Goes on with an episode from an earlier state.

        :param state: What :meth:`run_state` gave, be it in another process: the episode goes on from there
        """
        # Wrappers refuse a step before the first reset
        self.env.reset()
        self._set_state(self.unwrapped, state["env"])
        self.unwrapped.np_random.bit_generator.state = state["np_random"]
        self._rng.bit_generator.state = state["goals_random"]
        self._own, self._achieved, self._desired = state["own"], state["achieved"], state["desired"]
        self._image, self._desired_image = state["image"], state["desired_image"]

    def is_success(self, achieved: npt.NDArray[np.floating], desired: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """
        Tells whether goals are reached.

        :param achieved: Shape (..., dim)
        :param desired: Shape (..., dim)
        :return: Whether one is within the tolerance of the other, shape (...,)
        """
        is_near = [(part.distances(achieved, desired) <= self._tolerance[part.name]).all(axis=-1) for part in self.pose_layout]
        return np.asarray(np.all(is_near, axis=0))

    def _computed(self, achieved: npt.NDArray[np.floating], desired: npt.NDArray[np.floating], info: Any) -> Any:
        if self._reward == "sparse":
            return self.is_success(achieved, desired).astype(np.float64)
        distances = [part.distances(achieved, desired) for part in self.pose_layout]
        return -np.concatenate(distances, axis=-1).mean(axis=-1)

    def _space(self, own: spaces.Space[Any]) -> spaces.Dict:
        """Returns the space of the observation."""
        picture = spaces.Box(0, 255, (self.size, self.size, 3), np.uint8)
        vector = spaces.Box(-self.pose_layout.bounds, self.pose_layout.bounds, dtype=np.float32)
        every: dict[str, spaces.Space[Any]] = {
            **dict(zip(GOAL_KEYS, (vector, vector, picture, picture), strict=True)),
            **(own.spaces if isinstance(own, spaces.Dict) else {keys.OBSERVATION: own}),
        }
        if isinstance(own, spaces.Dict) and not own.spaces.keys().isdisjoint(GOAL_KEYS):
            raise UnsuitableEnvError(
                f"{_name(self.env)} has {', '.join(set(own.spaces) & set(GOAL_KEYS))} of its own, which PictureGoals would"
                " hide. Use it as it is, or rename its keys."
            )
        return spaces.Dict(every)

    def _measured(self) -> Vector:
        vector = np.asarray(self._measure(self.unwrapped), np.float32)
        return np.clip(vector, -self.pose_layout.bounds, self.pose_layout.bounds)

    def _photograph(self) -> Picture:
        picture = self.env.render() if self._render is None else self._render(self.unwrapped)
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape[2:] != (3,):
            got = f"{picture.dtype} of shape {picture.shape}" if isinstance(picture, np.ndarray) else repr(picture)
            raise UnsuitableEnvError(f"{_name(self.env)} must render uint8 pictures of shape (height, width, 3), got {got}")
        if picture.shape[:2] == (self.size, self.size):
            return picture.copy()
        return np.array(Image.fromarray(picture).resize((self.size, self.size), Image.Resampling.BOX))

    def _look(self) -> None:
        self._achieved, self._image = self._measured(), self._photograph()

    def _checked(self, goal: npt.ArrayLike | None, image: Picture | None) -> tuple[Vector | None, Picture | None]:
        """Returns a goal and its picture, as arrays."""
        shape = (self.size, self.size, 3)
        if goal is not None:
            goal = np.asarray(goal, np.float32)
            if goal.shape != (self.pose_layout.dim,) or not np.isfinite(goal).all():
                raise InputError(f"A desired_goal must be {self.pose_layout.dim} finite numbers, got {goal!r}")
        if image is not None and (not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != shape):
            got = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"A desired_image must be uint8 of shape {shape}, got {got}")
        if goal is not None and image is None and self._to_state is None:
            raise InputError("A goal asked for by its vector alone cannot be photographed. Give desired_image, or to_state.")
        return goal, image

    def _adopt(self, goal: Vector | None, image: Picture | None) -> None:
        """Takes over what is asked for, and photographs or draws what is not given."""
        if goal is not None and image is not None:
            self._desired, self._desired_image = goal, image.copy()
            return
        env = self.unwrapped
        start, random = self._get_state(env), copy.deepcopy(env.np_random.bit_generator.state)
        try:
            self._set_state(env, self._drawn() if goal is None else self._to_state(env, goal))  # type: ignore[misc]
            self._desired = self._measured()
            self._desired_image = self._photograph() if image is None else image.copy()
        finally:
            self._set_state(env, start)
            env.np_random.bit_generator.state = random

    def _drawn(self) -> Any:
        """Returns a random state that the environment can be in."""
        env = self.unwrapped
        if self._sample_state is not None:
            return self._sample_state(env, self._rng)
        self._actions.seed(int(self._rng.integers(2**31)))
        state = self._get_state(env)
        for _ in range(int(self._rng.integers(1, N_RANDOM_STEPS + 1))):
            # Not the wrappers': their clocks stand still
            _, _, terminated, _, _ = env.step(self._actions.sample())
            if terminated:
                break
            state = self._get_state(env)
        return state

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        goals = {keys.ACHIEVED_GOAL: self._achieved.copy(), keys.DESIRED_GOAL: self._desired.copy()}
        return {**info, **goals, "is_success": bool(self.is_success(self._achieved, self._desired))}

    def _observe(self) -> Observation:
        own = dict(self._own) if isinstance(self._own, dict) else {keys.OBSERVATION: self._own}
        goals = {keys.ACHIEVED_GOAL: self.achieved_goal, keys.DESIRED_GOAL: self.desired_goal}
        return {**own, **goals, keys.IMAGE: self._image.copy(), keys.DESIRED_IMAGE: self._desired_image.copy()}


def _tolerances(tolerance: float | Mapping[str, float], layout: PoseLayout) -> dict[str, float]:
    """Returns what belongs to each part, by its name."""
    given = dict(tolerance) if isinstance(tolerance, Mapping) else {part.name: tolerance for part in layout}
    names = {part.name for part in layout}
    if given.keys() != names or not all(value > 0 for value in given.values()):
        raise InputError(
            f"tolerance must be a positive number, or one for each of {', '.join(sorted(names))}, got {tolerance!r}"
        )
    return given


def _name(env: gym.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__
