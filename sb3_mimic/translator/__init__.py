"""Defines, trains and saves networks that read states out of pictures."""

from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.callback import TranslatorCallback
from sb3_mimic.translator.convnet import ConvNetTranslator
from sb3_mimic.translator.files import load_translator, replace_translator, save_translator

__all__ = [
    "ConvNetTranslator",
    "Translator",
    "TranslatorCallback",
    "load_translator",
    "replace_translator",
    "save_translator",
]
