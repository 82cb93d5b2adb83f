"""Re-exports :mod:`sb3_mimic.agents.imitation` under the name by which it was imported before."""

from sb3_mimic.agents.imitation import Imitation, PictureReader, Step, follow, imitate

__all__ = ["Imitation", "PictureReader", "Step", "follow", "imitate"]
