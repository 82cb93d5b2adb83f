"""Pictures of a world, and from where to take them."""

from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.fitting import fitted_view

__all__ = ["Camera", "fitted_view"]
