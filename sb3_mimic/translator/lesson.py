"""What becomes known about a translator while it learns: how well it reads what it has not learnt from."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sb3_mimic.data.dataset import Dataset
from sb3_mimic.pose import PoseLayout
from sb3_mimic.translator.base import WITHIN_90, Translator
from sb3_mimic.translator.training import read_with_scales


@dataclass
class Lesson:
    """
    Says what became known about a translator while it was measured and trained.

    :param measures: By their names in the log
    :param picture: Of one frame, shape (height, width, channels)
    :param states: The true state in it, and the one that was read
    """

    measures: dict[str, float] = field(default_factory=dict)
    picture: npt.NDArray[np.uint8] | None = None
    states: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


def measured(
    translator: Translator, windows: Dataset, layout: PoseLayout | None, n_windows: int, rng: np.random.Generator
) -> Lesson:
    """
    Measures a translator on windows that it has not learnt from, and calibrates the scales that it states.

    :param translator: The translator
    :param windows: The windows
    :param layout: What the vector means whose first numbers it reads, where that is known
    :param n_windows: So many of them are read, drawn at random
    :param rng: Random numbers
    :return: What was measured
    """
    sample = windows.sample(n_windows, rng)
    states, scales = read_with_scales(translator, sample)
    # Of a window the last frame, which a translator with memory reads best
    read, true = states[:, -1], sample.states[:, -1]
    # (C, H, W) -> (H, W, C)
    picture = sample.images[0, -1].transpose(1, 2, 0)
    lesson = Lesson(picture=picture, states={"true": true[0], "read": read[0]})
    errors = np.abs(read - true)
    if scales is not None:
        lesson.measures["coverage"] = float((errors <= WITHIN_90 * scales[:, -1]).mean())
        translator.calibrate(errors, scales[:, -1])
    if layout is None:
        lesson.measures["state_error"] = float(errors.mean())
        return lesson
    for part in layout.leading(translator.state_dim):
        # A joint that cannot be told from its mirror image is far off; a point hardly is
        average = np.median if len(part.shape) == 1 else np.mean
        lesson.measures[part.measure] = float(average(part.error(read, true)))
    return lesson
