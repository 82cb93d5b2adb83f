"""Lets a translator learn in a thread, while the robot acts in the main one."""

import copy
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch as th

ModuleT = TypeVar("ModuleT")
ResultT = TypeVar("ResultT")

# Seconds. Python's own 5 ms are what the thread would wait before each of its many short calls of torch
SWITCH_INTERVAL = 5e-4


class Learning(Generic[ModuleT, ResultT]):
    """
    Runs in a thread of its own what a network learns.

    :param learn: Trains the learner, and returns what is known about it
    :param learner: A copy, which nothing else uses meanwhile
    """

    def __init__(self, learn: Callable[[ModuleT], ResultT], learner: ModuleT):
        def run() -> ResultT:
            with _switch_interval(SWITCH_INTERVAL):
                return learn(learner)

        self.learner = learner
        executor = ThreadPoolExecutor(1, thread_name_prefix="translator")
        self._future: Future[ResultT] = executor.submit(run)
        executor.shutdown(wait=False)

    def wait(self) -> None:
        """Waits for the end, whether good or bad."""
        wait([self._future])

    def result(self) -> ResultT:
        """
        Waits for the end.

        :return: What was returned
        :raises BaseException: What was raised in the thread, with its traceback
        """
        return self._future.result()


@contextmanager
def _switch_interval(seconds: float) -> Iterator[None]:
    """Lets Python's threads take turns more often inside the block."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, seconds))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def draws_random_numbers(translator: Any) -> bool:
    """
    Tries whether a translator draws random numbers of torch's when it learns, as dropout does: a thread would draw them in
    an order that is left to chance.

    :param translator: Left as it is, and so are the random numbers
    """
    picture = th.zeros(2, 1, translator.n_channels, translator.height, translator.width, dtype=th.uint8)
    copied = copy.deepcopy(translator).train()
    with th.random.fork_rng(devices=[]), th.no_grad():
        before = th.get_rng_state()
        copied.read(picture.to(next(copied.parameters()).device))
        return not th.equal(before, th.get_rng_state())
