"""A callback for the tests of studies: the first trial of a process crashes."""

from itertools import count

from stable_baselines3.common.callbacks import BaseCallback

_trials = count()


class CrashOnce(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.number = next(_trials)

    def _on_rollout_end(self) -> None:
        # The zoo makes one set of callbacks before the trials'
        if self.number == 1:
            raise FloatingPointError("a crash on purpose")

    def _on_step(self) -> bool:
        return True
