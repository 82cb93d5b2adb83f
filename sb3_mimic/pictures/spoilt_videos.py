"""Spoils videos in named ways, to measure how well a moving robot is read from such videos."""

from collections.abc import Callable

import numpy as np

from sb3_mimic.errors import InputError, PictureError
from sb3_mimic.pictures.coverage import Bytes

# How much of every frame bars hide, and how many there are
HIDDEN, N_BARS = 0.3, (1, 3)
# How far they move from one frame to the next, as a share of the picture
BAR_SPEEDS = (1 / 64, 4 / 64)
NOISE = 10.0
DROPPED = 0.3


def put_bars(frames: Bytes, rng: np.random.Generator, share: float = HIDDEN) -> None:
    """
    Puts bars in front of the frames of a video. They move evenly across it, and come back at the other side.

    :param frames: Shape (time, height, width, channels); written to
    :param rng: Draws how many bars there are, which way they move, how fast, and their colours
    :param share: How much of each frame they hide
    """
    # Upright bars go across, others down
    frames = frames.swapaxes(1, 2) if rng.random() < 0.5 else frames
    side, _, n_channels = frames.shape[1:]
    n_bars = int(rng.integers(N_BARS[0], N_BARS[1] + 1))
    speed = side * rng.uniform(*BAR_SPEEDS) * rng.choice((-1, 1))
    firsts = side * (rng.random() + np.arange(n_bars) / n_bars)
    colours = rng.integers(0, 256, (n_bars, n_channels), dtype=np.uint8)
    lines = np.arange(side)
    for step, frame in enumerate(frames):
        for first, colour in zip(firsts, colours, strict=True):
            frame[(lines - first - speed * step) % side < share * side / n_bars] = colour


def _moving_bars(frames: Bytes, rng: np.random.Generator) -> Bytes:
    spoilt = frames.copy()
    put_bars(spoilt, rng)
    return spoilt


def _noise(frames: Bytes, rng: np.random.Generator) -> Bytes:
    return np.clip(np.rint(frames + rng.normal(0.0, NOISE, frames.shape)), 0, 255).astype(np.uint8)


def _dropped_frames(frames: Bytes, rng: np.random.Generator) -> Bytes:
    is_dropped = rng.random(len(frames)) < DROPPED
    is_dropped[0] = False
    # The last one that came is still there
    return frames[np.maximum.accumulate(np.where(is_dropped, 0, np.arange(len(frames))))]


VIDEO_CORRUPTIONS: dict[str, Callable[[Bytes, np.random.Generator], Bytes]] = {
    "moving bars": _moving_bars,
    "noise": _noise,
    "dropped frames": _dropped_frames,
}


def corrupt_video(frames: Bytes, name: str, seed: int) -> Bytes:
    """
    Spoils a video of a robot.

    :param frames: uint8, shape (time, height, width, 3); not written to
    :param name: How: a key of `VIDEO_CORRUPTIONS`
    :param seed: Of random numbers: with the same one the same happens
    :return: New frames
    :raises InputError: When the name is unknown
    :raises PictureError: When the frames have another form
    """
    if name not in VIDEO_CORRUPTIONS:
        raise InputError(f"Unknown corruption {name!r}. There are: {', '.join(VIDEO_CORRUPTIONS)}")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
        raise PictureError(
            f"A video of {frames.dtype} and shape {frames.shape} cannot be spoilt: give uint8 of shape"
            " (time, height, width, 3)"
        )
    return VIDEO_CORRUPTIONS[name](frames, np.random.default_rng(seed))
