"""Gathers pictures with exact states, in windows of time."""

from sb3_mimic.data.dataset import Dataset
from sb3_mimic.data.frame_source import FrameSource, ReplayFrames, RolloutFrames
from sb3_mimic.data.memory import Memory
from sb3_mimic.data.windows import cut_windows

__all__ = ["Dataset", "FrameSource", "Memory", "ReplayFrames", "RolloutFrames", "cut_windows"]
