"""Shares agents on the Hugging Face Hub."""

from sb3_mimic.hub.card import card_of
from sb3_mimic.hub.upload import push, stage

__all__ = ["card_of", "push", "stage"]
