"""The command line: ``sb3-mimic``, one module for each group of commands."""
