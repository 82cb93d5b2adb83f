"""Measurements of this project against its peers."""
