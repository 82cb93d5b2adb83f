"""A package of a user's, for --gym-packages: registers an arm of its own, in all modes."""

import gymnasium as gym

import sb3_mimic  # noqa: F401  # registers the ids

MODES = ("", "State", "Pixels", "Fused", "Sparse")

for mode in MODES:
    plane = gym.spec(f"MimicReacherPlane{mode}-v0")
    gym.register(
        id=f"MyArm{mode}-v0",
        entry_point=plane.entry_point,
        kwargs=plane.kwargs,
        max_episode_steps=plane.max_episode_steps,
        disable_env_checker=True,
    )
