"""Extends a running rl-zoo3."""

# Modules that are imported when they are needed: most of them are heavy
__all__ = ["entries", "install", "manager", "replay", "scripts"]
