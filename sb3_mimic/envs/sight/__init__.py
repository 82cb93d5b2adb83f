"""Pictures of a world, and from where to take them."""

from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.fitting import fitted_view
from sb3_mimic.envs.sight.photographer import Light, Photographer, RayCaster, photographer_of
from sb3_mimic.envs.sight.randomization import SceneRandomization
from sb3_mimic.envs.sight.scene import Scene

__all__ = ["Camera", "Light", "Photographer", "RayCaster", "Scene", "SceneRandomization", "fitted_view", "photographer_of"]
