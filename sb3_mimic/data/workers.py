"""Does independent tasks in several processes; what a process that died was doing is done again."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from sb3_mimic.errors import WorkerError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

# A task that has killed so many processes will kill the next one, too
N_TRIES = 3


def done(function: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], n_workers: int = 1) -> Iterator[tuple[TaskT, ResultT]]:
    """
    Does tasks, and hands over what comes of each as soon as it is there. A process that dies is replaced, and what it did and
    all that waited is done by others.

    :param function: What to do with a task; of a module, so that processes find it
    :param tasks: What it is to be done with
    :param n_workers: Processes; with one all is done in this process
    :return: Tasks and results, in the order in which they are ready
    :raises WorkerError: When a task was begun for the third time and its process died again
    """
    if n_workers == 1:
        yield from ((task, function(task)) for task in tasks)
        return
    left, n_deaths = dict(enumerate(tasks)), Counter[int]()
    while left:
        # Spawned, since a fork would inherit torch's threads
        with ProcessPoolExecutor(min(n_workers, len(left)), get_context("spawn")) as executor:
            futures: dict[Future[ResultT], int] = {executor.submit(function, task): key for key, task in left.items()}
            try:
                for future in as_completed(futures):
                    key = futures[future]
                    result = future.result()
                    yield left.pop(key), result
            except BrokenProcessPool as error:
                # Nobody knows which of those that ran has killed its process
                n_deaths.update(key for key in sorted(left)[: min(n_workers, len(left))])
                worst = max(n_deaths, key=lambda key: n_deaths[key])
                if n_deaths[worst] >= N_TRIES:
                    raise WorkerError(
                        f"A worker died for the {N_TRIES}rd time, the last time at {left[worst]!r}: was memory short? What was"
                        " done before is kept. Try again with fewer workers."
                    ) from error
            finally:
                # What raises an error of its own ends all
                executor.shutdown(wait=True, cancel_futures=True)
