"""Reads, writes and draws over pictures, and keeps the true pose in a photograph's file."""

from sb3_mimic.pictures.animation import AnimationWriter, write_animation
from sb3_mimic.pictures.drawing import caption, draw_lines, enlarge
from sb3_mimic.pictures.files import read_full_picture, read_picture, write_picture
from sb3_mimic.pictures.framing import shrink
from sb3_mimic.pictures.truth import read_renderer, read_truth, write_truth

__all__ = [
    "AnimationWriter",
    "caption",
    "draw_lines",
    "enlarge",
    "read_full_picture",
    "read_picture",
    "read_renderer",
    "read_truth",
    "shrink",
    "write_animation",
    "write_picture",
    "write_truth",
]
