"""Pictures in and out, what is drawn on them, and the truth that comes with a photograph."""

from sb3_mimic.pictures.drawing import caption, draw_lines, enlarge
from sb3_mimic.pictures.files import AnimationWriter, read_picture, write_animation, write_picture
from sb3_mimic.pictures.truth import read_truth, write_truth

__all__ = [
    "AnimationWriter",
    "caption",
    "draw_lines",
    "enlarge",
    "read_picture",
    "read_truth",
    "write_animation",
    "write_picture",
    "write_truth",
]
