"""The table of ids, and the loop that registers them with Gymnasium."""

from typing import Any

import gymnasium as gym

from sb3_mimic import keys

MAX_EPISODE_STEPS = 100

_BODIES = {
    "MimicReacherPlane": "sb3_mimic.envs.bodies.reacher:reacher_plane",
    "MimicReacher3D": "sb3_mimic.envs.bodies.reacher:reacher_3d",
    "MimicReacher6D": "sb3_mimic.envs.bodies.reacher:reacher_6d",
    "MimicHalfHumanoid": "sb3_mimic.envs.bodies.humanoid:half_humanoid",
    "MimicHumanoid": "sb3_mimic.envs.bodies.humanoid:humanoid",
}
# One id per observation mode: rl-zoo3 does not hand env_kwargs to the environment it evaluates in
_MODES: dict[str, dict[str, Any]] = {
    "": {},
    "State": {"observation_keys": keys.STATE_KEYS},
    "Pixels": {"observation_keys": keys.IMAGE_KEYS},
    "Fused": {"observation_keys": (keys.OBSERVATION, keys.ACHIEVED_GOAL, *keys.IMAGE_KEYS)},
    "Sparse": {"observation_keys": keys.STATE_KEYS, "reward_weights": {"sparse": 1.0}},
}

POSE_IDS = tuple(f"{body}{mode}-v0" for body in _BODIES for mode in _MODES)
# It has no goals, and so no observation modes
WALK_ID, WALK_STEPS = "MimicHumanoidWalk-v0", 1000
ENV_IDS = (*POSE_IDS, WALK_ID)


def register_envs() -> None:
    """Register every id, with entry points given as text: nothing is imported before an environment is made."""
    for body, entry_point in _BODIES.items():
        for mode, arguments in _MODES.items():
            gym.register(
                id=f"{body}{mode}-v0",
                entry_point=entry_point,
                kwargs=dict(arguments),
                max_episode_steps=MAX_EPISODE_STEPS,
                disable_env_checker=True,
            )
    gym.register(
        id=WALK_ID, entry_point="sb3_mimic.envs.walk_env:WalkEnv", max_episode_steps=WALK_STEPS, disable_env_checker=True
    )
