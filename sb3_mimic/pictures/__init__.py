"""Pictures in and out."""

from sb3_mimic.pictures.files import caption, enlarge, read_picture, read_truth, write_animation, write_picture, write_truth

__all__ = ["caption", "enlarge", "read_picture", "read_truth", "write_animation", "write_picture", "write_truth"]
