"""Reads what ``rl_zoo3.train`` leaves on disk, without running it."""

from sb3_mimic.runs.shipped import hyperparams_file, trained_agents_folder

__all__ = ["hyperparams_file", "trained_agents_folder"]
