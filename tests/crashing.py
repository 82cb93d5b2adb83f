"""A callback for the tests of studies: the first trial of a process crashes."""

from itertools import count

from stable_baselines3.common.callbacks import BaseCallback

_rollouts = count()


class CrashOnce(BaseCallback):
    def _on_rollout_end(self) -> None:
        if next(_rollouts) == 0:
            raise FloatingPointError("a crash on purpose")

    def _on_step(self) -> bool:
        return True
