"""The name by which :mod:`sb3_mimic.agents.imitation` has always been imported."""

from sb3_mimic.agents.imitation import Imitation, PictureReader, Step, follow, imitate

__all__ = ["Imitation", "PictureReader", "Step", "follow", "imitate"]
