"""Learns from failures: hindsight experience replay, and demonstrations by a script."""

from sb3_mimic.her.demonstrations import DemonstrationCallback
from sb3_mimic.her.goal_selection_strategy import GoalSelectionStrategy
from sb3_mimic.her.her_replay_buffer import HerReplayBuffer
from sb3_mimic.her.normalization import VecTransposeOutside, share_goal_statistics

__all__ = ["DemonstrationCallback", "GoalSelectionStrategy", "HerReplayBuffer", "VecTransposeOutside", "share_goal_statistics"]
