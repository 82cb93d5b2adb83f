"""The table of ids, and the loop that registers them with Gymnasium."""

import gymnasium as gym

MAX_EPISODE_STEPS = 100

_FACTORIES = {
    "MimicReacherPlane": "sb3_mimic.envs.reacher:reacher_plane",
    "MimicReacher3D": "sb3_mimic.envs.reacher:reacher_3d",
}
# One id per observation mode: rl-zoo3 does not hand env_kwargs to the environment it evaluates in
_MODES: dict[str, dict[str, bool]] = {"": {}, "State": {"images": False}}

POSE_IDS = tuple(f"{body}{mode}-v0" for body in _FACTORIES for mode in _MODES)
# It has no goals, and so no observation modes
WALK_ID, WALK_STEPS = "MimicHumanoidWalk-v0", 1000
ENV_IDS = (*POSE_IDS, WALK_ID)


def register_envs() -> None:
    """Register every id, with entry points given as text: nothing is imported before an environment is made."""
    for body, factory in _FACTORIES.items():
        for mode, arguments in _MODES.items():
            gym.register(
                id=f"{body}{mode}-v0",
                entry_point=factory,
                kwargs=dict(arguments),
                max_episode_steps=MAX_EPISODE_STEPS,
                disable_env_checker=True,
            )
    gym.register(
        id=WALK_ID, entry_point="sb3_mimic.envs.walk:humanoid_walk", max_episode_steps=WALK_STEPS, disable_env_checker=True
    )
