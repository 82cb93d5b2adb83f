"""Checkpoints that a run goes on from bit by bit."""

from sb3_mimic.checkpoints.callback import BestStatisticsCallback, RunStateCallback
from sb3_mimic.checkpoints.files import checkpoints_in, find_state, how_to_continue, restore_statistics, write_checkpoint

__all__ = [
    "BestStatisticsCallback",
    "RunStateCallback",
    "checkpoints_in",
    "find_state",
    "how_to_continue",
    "restore_statistics",
    "write_checkpoint",
]
