"""Defines the command line ``sb3-mimic``, with one module for each group of commands."""

from sb3_mimic.cli.main import build_parser

__all__ = ["build_parser"]
