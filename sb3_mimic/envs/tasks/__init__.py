"""What is asked of a body, how it is measured, and what is paid for it."""

from sb3_mimic.envs.tasks.pose import Goal, PoseGoal
from sb3_mimic.envs.tasks.rewards import REWARD_TERMS, Reward, register_reward_term
from sb3_mimic.envs.tasks.walk import WALK_TERMS, WalkReward

__all__ = ["REWARD_TERMS", "WALK_TERMS", "Goal", "PoseGoal", "Reward", "WalkReward", "register_reward_term"]
