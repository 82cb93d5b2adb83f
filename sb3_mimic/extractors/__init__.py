"""Extracts the features that policies act on."""

from sb3_mimic.extractors.conv_lstm import ConvLSTM
from sb3_mimic.extractors.fused import FusedExtractor
from sb3_mimic.extractors.pixel import PixelExtractor
from sb3_mimic.extractors.state import StateExtractor
from sb3_mimic.extractors.translated import PoseReadingExtractor

__all__ = ["ConvLSTM", "FusedExtractor", "PixelExtractor", "PoseReadingExtractor", "StateExtractor"]
