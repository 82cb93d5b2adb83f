"""Defines the command line ``sb3-mimic``, with one module for each group of commands."""
