"""Tunes hyperparameters in studies, with rl-zoo3 and Optuna."""

# Modules that are imported when they are needed: most of them are heavy
__all__ = ["environment", "objective", "results", "retraining", "sampler", "search_space", "storage", "worker"]
