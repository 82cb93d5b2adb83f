"""Finds out what an environment offers, by making one."""

import inspect
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator

from sb3_mimic.envs.sight.randomization import CAMERA_POSITION
from sb3_mimic.pose import JOINTS, POINTS, PoseLayout

#: The argument under which an environment takes the weights of its reward's terms
REWARD_WEIGHTS = "reward_weights"


@dataclass(frozen=True)
class Offer:
    """
    Describes what an environment offers to a training.

    :param keys: Keys of its observation; none where that is no dictionary
    :param layout: What its pose vectors mean, or None where it measures no poses
    :param n_actions: Size of its action vector, or 0 where actions are no vectors
    :param takes_weights: Whether it can be made with other weights of its reward
    :param view_layout: What all that its pictures show means, or None where poses are all of it
    """

    keys: frozenset[str]
    layout: PoseLayout | None
    n_actions: int
    takes_weights: bool
    view_layout: PoseLayout | None = None

    @property
    def has_moving_camera(self) -> bool:
        """Whether where the camera is belongs to what pictures show."""
        return self.view_layout is not None and any(part.name == CAMERA_POSITION for part in self.view_layout)

    @property
    def is_scored_by_pose(self) -> bool:
        """Whether all trials can be examined with one reward, made of the distances of key points."""
        return self.takes_weights and self.layout is not None and POINTS in self.layout

    @property
    def pays_for_joints(self) -> bool:
        """Whether the weights of a reward for poses can be drawn."""
        return self.is_scored_by_pose and self.layout is not None and JOINTS in self.layout


def probe(env_id: str, env_kwargs: dict[str, Any] | None = None) -> Offer:
    """
    Makes an environment, looks at it, and closes it.

    :param env_id: A registered id
    :param env_kwargs: What to make it with
    :return: What it offers
    """
    spec = gym.spec(env_id)
    env = spec.make(**(env_kwargs or {}))
    try:
        space, actions = env.observation_space, env.action_space
        layout, view_layout = (
            env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None for name in ("pose_layout", "view_layout")
        )
    finally:
        env.close()
    observed = frozenset(space.spaces) if isinstance(space, spaces.Dict) else frozenset()
    n_actions = actions.shape[0] if isinstance(actions, spaces.Box) and actions.shape else 0
    return Offer(observed, layout, n_actions, _takes_weights(spec), view_layout)


def _takes_weights(spec: gym.envs.registration.EnvSpec) -> bool:
    creator: Any = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    parameters = inspect.signature(creator).parameters
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return takes_any or REWARD_WEIGHTS in parameters
