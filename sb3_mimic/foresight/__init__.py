"""Foresees what a robot will see: predictors of frames, and plans made in what they foresee."""

from sb3_mimic.foresight.base import VideoPredictor
from sb3_mimic.foresight.conv_lstm import ConvLSTMPredictor
from sb3_mimic.foresight.files import load_predictor, save_predictor
from sb3_mimic.foresight.pose import PosePredictor
from sb3_mimic.foresight.simvp import SimVPPredictor

__all__ = ["ConvLSTMPredictor", "PosePredictor", "SimVPPredictor", "VideoPredictor", "load_predictor", "save_predictor"]
