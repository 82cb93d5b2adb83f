"""Checkpoints that a run goes on from bit by bit."""

from sb3_mimic.checkpoints.callback import RunStateCallback

__all__ = ["RunStateCallback"]
