"""Where pictures are taken from."""

from dataclasses import dataclass

from sb3_mimic.errors import BodyError

Vector = tuple[float, float, float]

# SB3's convolutional networks and checker want no smaller images
MIN_SIZE = 36


@dataclass(frozen=True)
class View:
    """
    Where a camera stands, and what it looks at.

    :param eye: Where the camera is, in m
    :param target: What it looks at, in m
    :param up: Which way is up in the picture
    :param fov: Vertical field of view, in deg
    :param width: In pixels, at least 36
    :param height: In pixels, at least 36
    :raises BodyError: When a picture would be too small, or the field of view is none
    """

    eye: Vector
    target: Vector
    up: Vector
    fov: float
    width: int = 64
    height: int = 64

    def __post_init__(self) -> None:
        # Arrays and lists would not be hashable
        for name in ("eye", "target", "up"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if min(self.width, self.height) < MIN_SIZE:
            raise BodyError(f"A picture must be at least {MIN_SIZE} pixels wide and high, got {self.width}x{self.height}")
        if not 0 < self.fov < 180:
            raise BodyError(f"The field of view must lie between 0 and 180 deg, got {self.fov}")
