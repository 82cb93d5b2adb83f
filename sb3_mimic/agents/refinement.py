"""Reads a pose better than a translator does: draws what was read, compares it with the picture, and corrects it."""

import numpy as np

from sb3_mimic.agents.comparison import PLAIN_LIGHT, target_of
from sb3_mimic.agents.fitting import COARSE_STAGES, FINE_STAGES, MIDDLE_STAGES, Fit, Search
from sb3_mimic.agents.unknowns import Unknowns
# Pictures are compared at the first of these sizes, then at the others as far as they have as many pixels
SIZES = (64, 128, 256)
SUSPICIOUS = 1.0, 2.0
N_RESTARTS = 3


def fit_of(env, picture, layout, estimate, scales=None, has_camera=False):
    unknowns = Unknowns(env, layout, estimate, scales, has_camera)
    camera = env.camera
    target = target_of(picture, camera.height, camera.width, SIZES[-1])
    rng = np.random.default_rng(0)
    coarse = Search(unknowns, target.reduced(*_reduced(target.height, target.width, SIZES[0])), rng)
    fit = coarse.run(unknowns.estimate, COARSE_STAGES, PLAIN_LIGHT, None)
    is_reduced = coarse.target is not target
    limit = SUSPICIOUS[is_reduced]
    for _ in range(N_RESTARTS):
        if fit.noise < limit * max(1.0, fit.background.noise / 1.5):
            break
        for start in coarse.others(fit):
            other = coarse.run(start, COARSE_STAGES, fit.photometry, None)
            if other.noise < fit.noise:
                fit = other
    if max(target.height, target.width) > 1.2 * SIZES[0]:
        fine = Search(unknowns, target, rng)
        fit = fine.run(fit.x, FINE_STAGES, fit.photometry, None)
    return fit, unknowns, coarse


def _reduced(height: int, width: int, size: int) -> tuple[int, int]:
    scale = min(1.0, size / max(height, width))
    return max(36, round(height * scale)), max(36, round(width * scale))
